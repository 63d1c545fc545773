# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Backstage on what site.yml made, in the order of this file: later tests change what the earlier ones saw."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import ask, call, play, started
from ansible_collections.devportal.backstage.tests.integration.inventory_runs import assert_only_validated

SHARED = pathlib.Path(__file__).parents[2] / "shared" / "files"
SERVICE = pathlib.Path(__file__).parents[1] / "service.yml"
# Generous, since other things may keep the cores busy: a start takes about 5 s of one.
PATIENCE = 240
READINESS = "/.backstage/health/v1/readiness"
ENV_FILE = "/etc/backstage/backstage.env"
ENTITIES = {"api:default/example-api", "component:default/example-website", "system:default/examples"}
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


class Site:
    """The hosts, and what can be asked of them; `portal` is the app host of the tests that need one."""

    def __init__(self, hosts):
        self.portal, self.wanted = hosts["portal"]
        self.portals = [hosts["portal"][0], hosts["portal2"][0]]
        self.balancer = hosts["balancer"][0]
        self.database, self.server = hosts["database"]
        self.storage = {"dbname": "backstage_plugin_catalog"}

    def become(self, **variables):
        """Run the main playbook with other variables; the tests that follow see that site."""
        done = play("devportal.backstage.site", **variables)
        assert done.returncode == 0, done.stdout[-6000:]
        assert "failed=0" in done.stdout
        return done

    def wait(self):
        """Until Backstage is ready on both app hosts."""
        deadline = time.monotonic() + PATIENCE
        for portal in self.portals:
            while self.get(READINESS, portal) != {"status": "ok"}:
                assert time.monotonic() < deadline, portal.run("journalctl -u backstage -n 40 -o cat").stdout
                time.sleep(1)

    def get(self, path, host=None):
        """What Backstage answers; on one app host, or through the load balancer."""
        port = 7007 if host else 80
        done = (host or self.balancer).run("python3 -c %s %s", GET, f"http://127.0.0.1:{port}{path}")
        return json.loads(done.stdout) if done.rc == 0 else []

    def from_backstage(self):
        """The entities of the catalog file by reference, with their uids, as Backstage answers."""
        return {
            f"{each['kind']}:{each['metadata']['namespace']}/{each['metadata']['name']}".lower(): each["metadata"][
                "uid"
            ]
            for each in self.get("/api/catalog/entities")
            if each["kind"] != "Location"
        }

    def from_database(self):
        """The same as the database has them."""
        query = "SELECT entity_ref, entity_id FROM refresh_state WHERE entity_ref NOT LIKE 'location:%'"
        rows = ask(self.database, self.server, query, **self.storage)
        return dict(row.split("|") for row in rows)

    def uids(self):
        """Both, when they agree and are complete."""
        self.wait()
        deadline = time.monotonic() + PATIENCE
        while (found := self.from_backstage()).keys() != ENTITIES:
            assert time.monotonic() < deadline, found
            time.sleep(1)
        assert found == self.from_database()
        return found


@pytest.fixture(scope="module")
def site(hosts):
    return Site(hosts)


@pytest.fixture(scope="module")
def uids(site):
    """The uids before anything was restarted."""
    return site.uids()


def test_backstage_is_ready_and_comes_back_after_a_boot(site):
    assert site.portal.run("systemctl is-enabled backstage").stdout.strip() == "enabled"
    assert site.get(READINESS, site.portal) == {"status": "ok"}
    assert site.portal.check_output("stat -c %U /proc/$(systemctl show -P MainPID backstage)") == "backstage"
    assert site.portal.check_output("systemctl is-active backstage-recovery") == "active"


def test_the_second_host_was_started_when_the_first_was_ready(site):
    """Two that create their tables at the same time fail; of the first start of each, which found an empty database."""
    first, second = (
        portal.check_output("journalctl -u backstage -o short-unix | grep -m1 %s", line).split()[0]
        for portal, line in zip(site.portals, ("Plugin initialization complete", "Started backstage.service"))
    )
    assert float(first) < float(second)


def test_the_files_of_the_production_form_stay_as_they_were(site):
    """Both are those that create-app made, and the production file reads the variables already."""
    for portal in site.portals:
        for name, folder in (("app-config.yaml", SHARED), ("app-config.production.yaml", SERVICE.parent / "files")):
            text = portal.file(f"/srv/backstage/{name}").content_string
            assert text == (folder / name).read_text(encoding="utf-8")


def test_the_catalog_file_is_in_the_database(uids):
    assert uids.keys() == ENTITIES


def test_the_password_is_not_in_what_anybody_may_read(site):
    password = site.wanted["backstage_postgresql_password"]
    # The unit's template escapes what it writes.
    forms = {password, *(json.dumps(password, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
    for command in (
        "systemctl show backstage; cat /etc/systemd/system/backstage.service",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    ):
        shown = site.portal.check_output(command)
        assert not [form for form in forms if form in shown]


def test_the_table_of_verify(site, uids):
    done = play("devportal.backstage.verify")
    assert done.returncode == 0, done.stdout
    assert "Backstage would start." in done.stdout
    assert "backstage_plugin_catalog: owner backstage" in done.stdout


def test_the_uids_are_the_same_after_a_restart_of_backstage(site, uids):
    site.portal.check_output("systemctl restart --no-block backstage")
    assert site.uids() == uids


def test_the_uids_are_the_same_after_a_restart_of_postgresql(site, uids):
    site.database.check_output("systemctl restart postgresql@17-main")
    assert site.uids() == uids


def test_the_uids_are_the_same_after_a_restart_of_both_hosts(site, uids):
    names = [site.server["ansible_host"], site.wanted["ansible_host"]]
    # The database's host stays away for a while: Backstage does not end when it finds none, and has to be restarted.
    subprocess.run(["docker", "stop", *names], check=True, capture_output=True)
    subprocess.run(["docker", "start", *reversed(names)], check=True, capture_output=True)
    assert site.uids() == uids


def test_a_backstage_older_than_its_files_is_restarted(site, uids):
    """As it is after a run that was killed between the files and the handlers."""
    site.wait()
    before = site.portal.check_output("systemctl show -P MainPID backstage")
    site.portal.check_output("echo '# by hand' >> %s", ENV_FILE)
    for changed in (1, 0):
        done = play(str(SERVICE))
        assert done.returncode == 0, done.stdout
        recap = next(line for line in done.stdout.splitlines() if line.startswith("portal ") and "ok=" in line)
        assert f"changed={changed} " in recap, done.stdout
    assert site.portal.check_output("systemctl show -P MainPID backstage") != before
    assert site.uids() == uids


def test_a_wrong_password_fails_with_the_reason_of_postgresql(site):
    site.portal.check_output("cp -p %s /root/env", ENV_FILE)
    site.portal.check_output("sed -i 's/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=wrong/' %s", ENV_FILE)
    site.portal.check_output("systemctl restart --no-block backstage")
    done = play(str(SERVICE), backstage_service_readiness_timeout=PATIENCE)
    # Nobody restarts it but the unit for recovery, once the file is right again.
    site.portal.check_output("mv /root/env %s", ENV_FILE)
    assert done.returncode == 2, done.stdout
    assert "backstage.service reports: Failed to connect to the database" in done.stdout
    assert "error: password authentication failed for user" in done.stdout
    site.wait()


def test_another_process_on_the_port_is_named_before_the_start(site):
    """An old Backstage that somebody started by hand answers 200 there; it must neither pass nor be ended."""
    site.portal.check_output("systemctl stop backstage")
    site.portal.check_output(
        "systemd-run --unit=old-portal python3 -c %s",
        "import http.server as h; h.BaseHTTPRequestHandler.do_GET = lambda s: (s.send_response(200), s.end_headers());"
        "h.HTTPServer(('', 7007), h.BaseHTTPRequestHandler).serve_forever()",
    )
    try:
        refused = play("devportal.backstage.site")
        assert refused.returncode == 2, refused.stdout
        assert "port 7007 is already used by process" in refused.stdout
        assert "(python3, old-portal.service)" in refused.stdout
        assert_only_validated(refused.stdout)
        # Started all the same, the module says what Backstage says, and who has the port.
        site.portal.check_output("systemctl start backstage")
        waited = call(site.wanted, "devportal.backstage.backstage_ready", service="backstage.service", timeout=PATIENCE)
        assert waited["reason"].startswith("listen EADDRINUSE: address already in use"), waited
        assert "old-portal.service" in waited["reason"]
    finally:
        site.portal.check_output("systemctl stop old-portal")
    site.wait()  # by the unit for recovery


def test_a_crash_is_reported_at_once_with_its_own_words(site):
    """Of a Backstage whose program cannot start, and not systemd's word of the next try."""
    site.portal.check_output("mv /srv/backstage/package.json /root/")
    site.portal.check_output("systemctl restart --no-block backstage")
    begin = time.monotonic()
    waited = call(site.wanted, "devportal.backstage.backstage_ready", service="backstage.service", timeout=PATIENCE)
    site.portal.check_output("mv /root/package.json /srv/backstage/")
    assert "No package.json could be found" in waited["reason"], waited
    assert time.monotonic() - begin < 60
    site.wait()


def test_the_other_host_is_left_alone_while_the_first_cannot_migrate(site, uids):
    """Its start would fail as well, and the portal would be without the host that still serves."""
    lock = "UPDATE knex_migrations_lock SET is_locked = %d RETURNING is_locked"
    ask(site.database, site.server, lock % 1, **site.storage)
    for portal in site.portals:
        portal.check_output("echo '# another version' >> %s", ENV_FILE)
    process = "systemctl show -P MainPID backstage"
    before = site.portals[1].check_output(process)
    try:
        locked = play(str(SERVICE), backstage_service_readiness_timeout=40)
        assert site.portals[1].check_output(process) == before
        assert site.get(READINESS, site.portals[1]) == {"status": "ok"}
    finally:
        ask(site.database, site.server, lock % 0, **site.storage)
    assert locked.returncode == 2, locked.stdout
    assert "The start goes on; its last message is: " in locked.stdout
    assert "Backstage was not restarted on portal2: it is still starting on portal" in " ".join(locked.stdout.split())
    site.wait()  # by the unit for recovery
    again = play(str(SERVICE))
    assert again.returncode == 0, again.stdout
    assert site.portals[1].check_output(process) != before
    assert site.uids() == uids


def test_a_long_wait_shows_the_last_message_of_the_log(site):
    """A migration of a large catalog, which no time limit ends."""
    migration = "print('Performing database migration', flush=True); import time; time.sleep(60)"
    site.portal.check_output("systemd-run --unit=slow python3 -c %s", migration)
    asked = {"service": "slow.service", "timeout": 5, "progress_interval": 2}
    waited = call(site.wanted, "devportal.backstage.backstage_ready", **asked)
    site.portal.check_output("systemctl stop slow")
    assert waited["shown"].count("s; last message: Performing database migration") in (1, 2), waited
    assert waited["starting"] is True
    assert waited["seconds"] >= 5
    assert "its last message is: Performing database migration." in waited["msg"]


NASTY = {
    "backstage_service_name": "nasty",
    "backstage_service_directory": '/srv/a b%h$x"q',
    "backstage_service_command": "/usr/bin/python3 -c 'import time; time.sleep(99)' '$HOME' '${X}' '50%' 'q\"q' ';' ''",
    "backstage_service_config_files": ['a "b" %t $c \\x.yaml'],
    "backstage_service_environment": {"A": 'x"\\ %h $HOME\ny', "B": ""},
    "backstage_service_env_file": "/etc/backstage/n a%h.env",
}


def test_every_value_reaches_the_process_as_it_was_given(site):
    site.portal.check_output(
        "mkdir -p %s && echo 'C=1%%' > %s", NASTY["backstage_service_directory"], NASTY["backstage_service_env_file"]
    )
    names = ("name", "directory", "command", "config_files", "env_file", "environment")
    asked = {name: NASTY[f"backstage_service_{name}"] for name in names}
    made = call(site.wanted, "devportal.backstage.backstage_service", user="backstage", **asked)
    assert made.get("changed") is True, made
    site.portal.check_output("systemctl daemon-reload && systemctl start nasty")
    time.sleep(2)
    shown = site.portal.check_output(
        "cd /proc/$(systemctl show -P MainPID nasty) && runuser -u backstage -- python3 -c %s",
        "import json, os; read = lambda name: open(name).read().split(chr(0))[:-1];"
        "print(json.dumps([read('cmdline'), read('environ'), os.readlink('cwd')]))",
    )
    site.portal.check_output("systemctl stop nasty; rm /etc/systemd/system/nasty*.service")
    arguments, environment, directory = json.loads(shown)
    assert directory == asked["directory"]
    assert arguments[3:] == [
        "$HOME",
        "${X}",
        "50%",
        'q"q',
        ";",
        "",
        "--config",
        f"{asked['directory']}/{asked['config_files'][0]}",
    ]
    assert {f"A={asked['environment']['A']}", "B=", "C=1%"} <= set(environment)


def test_the_password_in_a_file(site, uids):
    # The app is root's, and the service's user only reads what it is given.
    for changed in (True, False):
        done = site.become(backstage_app_config_credentials="file", backstage_postgresql_databases=["spare one"])
        recap = next(line for line in done.stdout.splitlines() if line.startswith("database ") and "ok=" in line)
        assert ("changed=0" not in recap) is changed
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'spare one'"
    assert ask(site.database, site.server, owner) == ["backstage"]
    text = site.portal.file("/srv/backstage/app-config.production.yaml").content_string
    assert "$file:" in text
    assert "${POSTGRES" not in text
    secret = site.portal.file("/srv/backstage/postgres-password")
    assert (secret.user, secret.mode) == ("backstage", 0o600)
    assert site.uids() == uids


def test_literal_values_one_database_with_schemas_and_the_superuser(site):
    site.become(
        backstage_app_config_credentials="literal",
        backstage_app_config_files=["app-config.yaml", "app-config.production.yaml", "app-config.local.yaml"],
        backstage_app_config_path="app-config.local.yaml",
        backstage_app_config_database={"pluginDivisionMode": "schema", "connection": {"database": "backstage"}},
        backstage_postgresql_user="postgres",
        backstage_postgresql_databases=["backstage"],
    )
    site.storage = {"dbname": "backstage", "user": "postgres", "options": "-csearch_path=catalog"}
    local = site.portal.file("/srv/backstage/app-config.local.yaml")
    assert (local.user, local.mode & 0o077) == ("backstage", 0)
    before = site.uids()
    site.portal.check_output("systemctl restart --no-block backstage")
    assert site.uids() == before


@pytest.fixture
def visitor(site):
    """A function that ends a client which reads the catalog through the load balancer, and returns its record."""
    name = site.balancer.backend.name
    client = pathlib.Path(__file__).with_name("client.py").read_text(encoding="utf-8")
    command = ["docker", "exec", name, "python3", "-c", client, "http://127.0.0.1/api/catalog/entities", "/tmp/stop"]
    site.balancer.check_output("rm -f /tmp/stop")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:

        def finish():
            site.balancer.check_output("touch /tmp/stop")
            return json.loads(running.communicate(timeout=60)[0])

        yield finish
        site.balancer.check_output("touch /tmp/stop")


@pytest.fixture
def first_form(site, uids):
    """The site as the scenario's inventory has it."""
    site.become()
    site.storage = {"dbname": "backstage_plugin_catalog"}
    assert site.uids() == uids


def test_no_request_fails_while_two_users_take_turns(site, uids, first_form, visitor):
    """ROTATIONS says how often; the first makes one user the owner of two."""
    count = int(os.environ.get("ROTATIONS") or 2)
    for number in range(count):
        asked = {
            "backstage_postgresql_owner": "backstage",
            "backstage_postgresql_user": f"backstage_{'ab'[number % 2]}",
            "backstage_postgresql_password": f"password {number}",
        }
        done = play("devportal.backstage.rotate_password", **asked)
        assert done.returncode == 0, done.stdout[-6000:]
    record = visitor()
    print(f"{count} rotations: {record}")
    if os.environ.get("ROTATIONS_RECORD"):
        pathlib.Path(os.environ["ROTATIONS_RECORD"]).write_text(json.dumps(record), encoding="utf-8")
    assert record["requests"] > 100
    assert record["failures"] == []
    assert record["longest_gap"] < 30  # a few seconds, on cores that other things keep busy
    site.server.update(asked)
    site.storage = {"dbname": "backstage_plugin_catalog"}
    assert site.uids() == uids


def test_an_app_host_that_is_lost_halfway(site, uids):
    """The others go on with the user of before, and a later run rotates all of them."""
    lost, password = site.portals[1].backend.name, site.server["backstage_postgresql_password"]
    asked = {
        "backstage_postgresql_owner": "backstage",
        "backstage_postgresql_user": "backstage_c",
        "backstage_postgresql_password": "password of c",
    }
    shown, turns = [], 0
    with started("devportal.backstage.rotate_password", **asked) as running:
        for line in running.stdout:
            shown.append(line)
            turns += line.startswith("PLAY [Rotate the password]")
            if turns == 2:  # the other host has had its turn
                subprocess.run(["docker", "kill", lost], check=True, capture_output=True)
                turns = 3
    text = "".join(shown)
    assert running.returncode != 0, text[-6000:]
    assert "portal2: " in text.rpartition("The password was not rotated.")[2], text[-6000:]
    env = site.portal.file(ENV_FILE).content_string
    assert "backstage_c" not in env
    assert ask(site.database, {**site.server, "backstage_postgresql_password": password}, "SELECT 1") == ["1"]
    assert site.get(READINESS, site.portal) == {"status": "ok"}
    subprocess.run(["docker", "start", lost], check=True, capture_output=True)
    done = play("devportal.backstage.rotate_password", **asked)
    assert done.returncode == 0, done.stdout[-6000:]
    for portal in site.portals:
        assert "backstage_c" in portal.file(ENV_FILE).content_string
    site.server.update(asked)
    assert site.uids() == uids
