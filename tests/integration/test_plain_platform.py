# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgresql_config on a cluster that is a systemd unit and a data directory: PostgreSQL 14 in PGDG's rpm layout.

The server runs as `postmaster`, and the package's set-up script gives the superuser a public password.
"""

from __future__ import annotations

import json
import os
import random
import time

import pytest
from rocky_host import Rocky

pytestmark = pytest.mark.once
IMAGE = os.environ.get("DEVPORTAL_ROCKY", "")
if not IMAGE and os.environ.get("CI") != "true":
    pytest.skip("needs the stand-in for Rocky Linux 9: make integration", allow_module_level=True)

DATA = "/var/lib/pgsql/14/data"
UNIT = "postgresql-14"
SETTINGS = {"listen_addresses": ["localhost"], "shared_buffers": "16MB", "fsync": False}
QUIET = {"changed": False, "created": False, "started": False, "reloaded": False, "restarted": False}
PUBLIC = "# -----------------------------"
KILLS = int(os.environ.get("KILLS", "5"))
_QUERY = """
import json, psycopg2, sys
connection = psycopg2.connect(**json.loads(sys.argv[1]))
cursor = connection.cursor()
cursor.execute(sys.argv[2])
print(json.dumps(cursor.fetchall(), default=str))
"""


@pytest.fixture(scope="module")
def rocky():
    host = Rocky(IMAGE, "postgresql14-server", "python3-psycopg2", "python3-pyyaml")
    yield host
    host.close()


def wipe(rocky):
    rocky.shell(f"systemctl stop {UNIT}; systemctl disable --quiet {UNIT}; systemctl reset-failed {UNIT} 2>/dev/null; "
                f"rm -rf {DATA}/* /var/lib/pgsql/14/.dev* /var/lib/pgsql/14/initdb.log; chmod 700 {DATA}")  # fmt: skip


@pytest.fixture
def bare(rocky):
    """The host with the package, and no cluster."""
    wipe(rocky)
    return rocky


@pytest.fixture(scope="module")
def _created(rocky):
    wipe(rocky)
    ok(rocky)


@pytest.fixture
def host(rocky, _created):
    """The host with a cluster that the module has created."""
    if not rocky.module("postgresql_config", state="absent", settings=None)["failed"]:
        ok(rocky)
    return rocky


def run(rocky, settings=None, **more):
    return rocky.module("postgresql_config", **{"settings": {**SETTINGS, **(settings or {})}, **more})


def ok(rocky, settings=None, **more):
    result = run(rocky, settings, **more)
    assert not result["failed"], result["msg"]
    return result


def query(rocky, statement, **login):
    login = {"host": "/run/postgresql", "user": "postgres", "dbname": "postgres", **login}
    by = [] if login["host"] == "127.0.0.1" else ["runuser", "-u", "postgres", "--"]
    done = rocky.run(*by, "python3", "-c", _QUERY, json.dumps(login), statement)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def files(rocky):
    """Everything of the data directory that is configuration, with owner, mode and content."""
    return rocky.shell(
        f"cd {DATA} && find . -maxdepth 1 -printf '%P %m %u %y\\n' | grep -v 'postmaster\\|current_logfiles' | sort; "
        "find . -path ./conf.d -prune -o -maxdepth 1 -name '*.conf' -print0 | sort -z | xargs -0 sha256sum; "
        "[ ! -d conf.d ] || find conf.d -type f -printf '%p %m %u ' -exec sha256sum {} ';'"
    )


class TestCreation:
    def test_the_fault_of_the_set_up_script(self, bare):
        """What the module has to mend is there without it."""
        bare.shell(f"postgresql-14-setup initdb && systemctl start {UNIT}")
        assert query(bare, "SELECT 1", host="127.0.0.1", password=PUBLIC) == [[1]]

    def test_all_of_it(self, bare):
        foretold = ok(bare, check=True)
        assert foretold["created"] is foretold["changed"] is True
        assert bare.run("ls", "-A", DATA).stdout == ""
        result = ok(bare)
        assert {key: result[key] for key in ("created", "changed", "started")} == dict.fromkeys(
            ("created", "changed", "started"), True
        )
        assert (result["cluster"]["data_directory"], result["cluster"]["version"]) == (DATA, 14)
        assert query(bare, "SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL") == []
        shown = [["UTF8", "C.UTF-8", "on", "scram-sha-256"]]
        names = ("server_encoding", "lc_collate", "data_checksums", "password_encryption")
        assert query(bare, f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}") == shown
        methods = query(bare, "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules ORDER BY 1")
        assert methods == [["host", "scram-sha-256"], ["local", "peer"]]
        assert bare.shell(f"tr '\\0' ' ' </proc/$(head -1 {DATA}/postmaster.pid)/cmdline").startswith(
            "/usr/pgsql-14/bin/postmaster "
        )
        assert bare.shell(f"systemctl is-enabled {UNIT}; systemctl is-active {UNIT}") == "enabled\nactive\n"
        assert bare.run("ls", "-A", "/var/lib/pgsql/14").stdout.split() == ["backups", "data", "initdb.log"]

    def test_a_second_run_changes_nothing(self, host):
        for check in (True, False):
            result = ok(host, check=check)
            assert {key: result[key] for key in QUIET} == QUIET

    def test_a_creation_that_fails(self, bare):
        result = run(bare, locale="xx_XX.UTF-8")
        assert result["failed"]
        assert 'invalid locale name "xx_XX.UTF-8"' in result["msg"]
        assert ok(bare)["created"] is True

    def test_types_of_files_after_each_creation_and_change(self, bare):
        bare.write("/usr/local/sbin/restorecon", '#!/bin/sh\necho "$@" >>/root/restorecon\n')
        bare.shell("chmod 755 /usr/local/sbin/restorecon")
        try:
            ok(bare)
            created = bare.shell("cat /root/restorecon; rm /root/restorecon")
            assert "-R /var/lib/pgsql/14\n" in created
            assert f"-R {DATA}/conf.d" in created
            ok(bare, {"work_mem": "5MB"})
            assert bare.shell("cat /root/restorecon").startswith(f"-R {DATA}/conf.d/")
        finally:
            bare.shell("rm -f /usr/local/sbin/restorecon /root/restorecon")

    def test_another_name(self, bare):
        assert 'cluster: "other" cannot be created' in run(bare, cluster="other")["msg"]


class TestSettings:
    def test_rejected_before_anything(self, host):
        before = files(host)
        for check in (True, False):
            assert (
                "has no setting work_men; did you mean work_mem?" in run(host, {"work_men": "1MB"}, check=check)["msg"]
            )
        assert files(host) == before

    def test_a_reload_and_a_restart(self, host):
        result = ok(host, {"work_mem": "9MB"})
        assert (result["reloaded"], result["restarted"]) == (True, False)
        assert query(host, "SHOW work_mem") == [["9MB"]]
        result = ok(host, {"port": 5499})
        assert (result["restarted"], result["port"]) == (True, 5499)
        assert query(host, "SHOW port", port=5499) == [["5499"]]
        result = ok(host, {"port": 5432})
        assert (result["restarted"], result["port"]) == (True, 5432)

    def test_an_address_of_another_host_is_rejected_before_anything_changes(self, host):
        before = files(host)
        assert (
            '"192.0.2.7", which is not an address of this host' in run(host, {"listen_addresses": ["192.0.2.7"]})["msg"]
        )
        assert files(host) == before

    def test_a_library_that_is_not_there(self, host):
        assert "nothing_such" in run(host, {"shared_preload_libraries": ["nothing_such"]})["msg"]
        assert ok(host, {"shared_preload_libraries": ["pg_stat_statements"]})["restarted"] is True

    @pytest.mark.parametrize(
        ("settings", "said"),
        [({"shared_buffers": "900GB"}, "shared memory")],
    )
    def test_a_start_that_fails_is_rolled_back_and_has_its_own_reason(self, host, settings, said):
        before = files(host)
        text = run(host, settings)["msg"]
        assert said in text
        # The last words of the server before it are no reason.
        assert "shutting down" not in text
        assert "database system is shut down" not in text
        assert "Changes were rolled back; the server is running with the previous configuration." in text
        assert files(host) == before
        result = ok(host)
        assert {key: result[key] for key in QUIET} == QUIET

    def test_a_firewall_is_named_where_addresses_are_remote(self, host):
        host.write("/usr/local/bin/firewall-cmd", '#!/bin/sh\n[ "$1" = --state ]\n')
        host.shell("chmod 755 /usr/local/bin/firewall-cmd")
        try:
            assert not ok(host).get("warnings")
            (sentence,) = ok(host, {"listen_addresses": ["*"]})["warnings"]
            assert "firewall-cmd --permanent --add-port=5432/tcp" in str(sentence)
        finally:
            host.shell("rm /usr/local/bin/firewall-cmd")


class TestRemoval:
    def test_the_directory_as_it_was(self, bare):
        bare.shell(f"postgresql-14-setup initdb && systemctl enable --now --quiet {UNIT}")
        before = files(bare)
        rules = [{"type": "host", "users": ["backstage"], "address": "10.0.0.0/8"}]
        assert ok(bare, access_rules=rules, diff=True)["changed"] is True
        assert "conf.d" in files(bare)
        modes = bare.shell(f"stat -c %a {DATA}/conf.d {DATA}/conf.d/*")
        assert modes == "700\n600\n"
        for check, changed in ((True, True), (False, True), (False, False)):
            result = bare.module("postgresql_config", state="absent", check=check)
            assert result["changed"] is changed
            assert (files(bare) == before) is not check
        assert query(bare, "SHOW shared_buffers") == [["128MB"]]

    def test_of_a_version_that_is_too_old(self, host):
        assert "older than 15" in run(host, minimum_version=15)["msg"]
        result = host.module("postgresql_config", state="absent", minimum_version=15)
        assert (result["failed"], result["changed"]) == (False, True)
        assert "conf.d" not in files(host)


class TestLoopback:
    @pytest.mark.parametrize("method", ["ident", "trust"])
    def test_a_wrong_password_is_rejected_where_the_distribution_asks_for_none(self, host, method):
        host.shell(
            f"cp -p {DATA}/pg_hba.conf /root/hba; sed -i -E '/^host/s/scram-sha-256$/{method}/' {DATA}/pg_hba.conf"
        )
        try:
            result = ok(host, access_rules=[], password_user="backstage")
            assert result["changed"] is True
            user = {"name": "backstage", "password": "right one", "create": True, "os_user": "postgres"}
            assert not host.module("postgresql_password", login_unix_socket="/run/postgresql", **user)["failed"]
            assert query(host, "SELECT 1", host="127.0.0.1", user="backstage", password="right one") == [[1]]
            with pytest.raises(AssertionError, match="password authentication failed"):
                query(host, "SELECT 1", host="127.0.0.1", user="backstage", password="wrong one")
            assert ok(host, access_rules=[], password_user="backstage")["changed"] is False
            assert host.module("postgresql_config", state="absent")["changed"] is True
            assert host.shell(f"grep -c '{method}$' {DATA}/pg_hba.conf").strip() == "4"
        finally:
            host.shell(f"cp -p /root/hba {DATA}/pg_hba.conf; kill -HUP $(head -1 {DATA}/postmaster.pid)")

    def test_nothing_where_a_password_is_asked_for(self, host):
        assert ok(host, access_rules=[], password_user="backstage")["changed"] is False


def test_killed_at_any_moment(bare):
    """The next run makes whole what a killed one left, whatever that was."""
    start = time.monotonic()
    ok(bare)
    length = time.monotonic() - start
    points = random.Random(KILLS)
    for number in range(KILLS):
        wipe(bare)
        at = points.uniform(0.05, length)
        run(bare, killed_after=at)
        result = ok(bare)
        assert result["cluster"]["status"] == "online", (number, at)
        assert {key: value for key, value in ok(bare).items() if key in QUIET} == QUIET, (number, at)
        assert query(bare, "SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL") == [], (number, at)
        assert bare.run("ls", "-A", "/var/lib/pgsql/14").stdout.split() == ["backups", "data", "initdb.log"], (
            number,
            at,
        )


# Says what an answering backend says, and how it was started.
_PORTAL = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/.backstage/health/v1/readiness" else 404)
        self.end_headers()
        self.wfile.write("|".join([*sys.argv[1:], os.environ["POSTGRES_PASSWORD"], str(os.getuid())]).encode())
http.server.HTTPServer(("127.0.0.1", 7007), Answer).serve_forever()
"""


class TestService:
    """The units of the backend, by systemd of this platform."""

    @pytest.fixture
    def service(self, rocky):
        rocky.shell("useradd --system backstage; mkdir -p /etc/backstage '/srv/a b'; chown backstage '/srv/a b'")
        rocky.write("/srv/a b/app.py", _PORTAL)
        rocky.write("/srv/a b/app-config.yaml", "backend:\n  listen: 127.0.0.1:7007\n")
        rocky.shell("umask 077; echo 'POSTGRES_PASSWORD=a $b' >/etc/backstage/backstage.env")
        yield {
            "user": "backstage",
            "directory": "/srv/a b",
            "command": "/usr/bin/python3 app.py '$HOME' 50%",
            "config_files": ["app-config.yaml"],
            "env_file": "/etc/backstage/backstage.env",
        }
        rocky.shell("systemctl disable --now --quiet backstage; rm -rf /etc/systemd/system/backstage* '/srv/a b'")

    def test_the_process_gets_what_was_given_and_is_ready(self, rocky, service):
        made = rocky.module("backstage_service", **service)
        assert (made["failed"], made["changed"], made["port"]) == (False, True, 7007), made
        started = rocky.module("backstage_ready", service="backstage.service", state="restarted", timeout=60)
        assert started["ready"] is True, started
        shown = rocky.shell("python3 -c 'import urllib.request as u; print(u.urlopen("
                            '"http://127.0.0.1:7007/.backstage/health/v1/readiness").read().decode())\'')  # fmt: skip
        user = rocky.shell("id -u backstage").strip()
        assert shown.strip() == f"$HOME|50%|--config|/srv/a b/app-config.yaml|a $b|{user}"
        assert rocky.module("backstage_service", **service)["changed"] is False
        assert rocky.module("backstage_ready", service="backstage.service", state="started")["changed"] is False

    def test_a_unit_of_the_admin_is_not_overwritten(self, rocky, service):
        rocky.write("/etc/systemd/system/backstage-recovery.service", "[Unit]\nDescription=mine\n")
        for check in (True, False):
            rejected = rocky.module("backstage_service", check=check, **service)
            assert "name: /etc/systemd/system/backstage-recovery.service exists, and was not" in rejected["msg"]
            assert rocky.run("test", "-e", "/etc/systemd/system/backstage.service").returncode == 1

    def test_a_port_that_is_taken_is_named(self, rocky, service):
        rocky.shell("systemd-run --quiet --unit=other python3 -m http.server 7007 --bind 127.0.0.1; "
                    "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 7007))' 2>/dev/null; "
                    "do sleep 0.1; done")  # fmt: skip
        try:
            rejected = rocky.module("backstage_service", **service)
            assert rejected["failed"]
            assert "port 7007 is already used by process" in rejected["msg"]
            assert "other.service" in rejected["msg"]
            assert rocky.run("test", "-e", "/etc/systemd/system/backstage.service").returncode == 1
        finally:
            rocky.shell("systemctl stop other")
