# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs a run of ansible-playbook and no host but this one."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil

import pytest
from inventory_runs import assert_only_validated
from servers import Server, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is not on PATH")


@pytest.mark.parametrize("provider", ["container", "packages"])
def test_one_app_config_that_cannot_be_patched_stops_all_hosts(play, tmp_path, provider):
    (tmp_path / "app-config.yaml").write_text("backend: [\n")
    done = play(
        "devportal.backstage.site",
        # It has no Python, so that nothing could be done to this machine.
        {"backstage_database": {"db": {"ansible_python_interpreter": "/nowhere"}}, "backstage": {"app": {}}},
        env={"ANSIBLE_STRATEGY": "free"},
        backstage_database_provider=provider,
        backstage_postgresql_host="db",
        __backstage_postgresql_found="ID=debian",
    )
    assert done.returncode == 2, done.stdout
    assert "app-config.yaml" in done.stdout
    assert_only_validated(done.stdout)


LOOPBACK_ONLY = "cannot reach a server that listens on"


@pytest.mark.parametrize(
    ("app", "variables", "refused"),
    [
        # What an existing server listens on is not ours to know, and this machine has one.
        ({}, {}, False),
        ({}, {"backstage_postgresql_listen_addresses": ["localhost"]}, True),
        ({"backstage_app_config_host": "10.0.0.9"}, {}, False),
        ({}, {"backstage_postgresql_settings": {"listen_addresses": "*"}}, False),
        ({}, {"backstage_postgresql_settings": {"listen_addresses": None}}, False),
        # As the role writes them, the settings come first.
        (
            {},
            {
                "backstage_postgresql_settings": {"listen_addresses": "localhost, ::1"},
                "backstage_postgresql_listen_addresses": ["10.0.0.5"],
            },
            True,
        ),
    ],
)
def test_a_server_that_the_apps_cannot_reach_is_refused(play, app, variables, refused):
    done = play(
        "devportal.backstage.preflight",
        {"backstage_database": {"db": {}}, "backstage": {"app": app}},
        "--limit=db",
        __backstage_postgresql_found="ID=debian",
        **variables,
    )
    assert (done.returncode, LOOPBACK_ONLY in done.stdout) == ((2, True) if refused else (0, False)), done.stdout


NO_CLUSTER = {"port": 5432, "cluster": {"version": None, "name": "main", "port": 5432, "status": "down"}}


@pytest.fixture(scope="module")
def server():
    """A running server, and as its `env` what makes it the cluster `main` in the place of this machine's own."""
    if os.geteuid() != 0 or not shutil.which("pg_lsclusters"):
        pytest.skip("needs root, and Debian's postgresql-common")
    one = Server()
    one.env = one.lay_out_as_main()
    yield one
    one.close()


class TestUndo:
    """What `make clean` does after `make demo TARGET=localhost`."""

    STAYS = "The role backstage_demo stays"

    @pytest.fixture
    def undo(self, play, server):
        def run(**env):
            return play(
                str(ROOT / "tests/demo/undo.yml"), {"backstage_database": {"db": {}}}, env={**server.env, **env}
            )

        server.query("CREATE ROLE backstage_demo")
        yield run
        server.query("DROP ROLE IF EXISTS backstage_demo")

    def test_the_user_goes(self, undo, server):
        done = undo()
        assert (done.returncode, self.STAYS in done.stdout) == (0, False), done.stdout
        assert server.query("SELECT 1 FROM pg_roles WHERE rolname = 'backstage_demo'") == []

    def test_it_stays_in_a_server_that_is_down(self, undo, server):
        server.stop()
        try:
            done = undo()
        finally:
            server.start()
        assert (done.returncode, self.STAYS in done.stdout) == (0, True), done.stdout

    def test_postgresql_was_purged(self, undo, tmp_path):
        done = undo(PG_CLUSTER_CONF_ROOT=str(tmp_path))
        assert (done.returncode, self.STAYS in done.stdout) == (0, True), done.stdout

    def test_a_user_that_cannot_be_removed_is_a_failure(self, undo, server):
        server.query("CREATE SCHEMA theirs AUTHORIZATION backstage_demo")
        done = undo()
        server.query("DROP SCHEMA theirs")
        assert (done.returncode, "cannot be dropped" in done.stdout) == (2, True), done.stdout


class TestDatabases:
    """The variable backstage_postgresql_databases."""

    NAMES = ("one", "the ü'\"other")

    @pytest.fixture
    def role(self, play, server, tmp_path):
        """A function that runs the end of the role: the outcome of the task that creates databases.

        `found` is what postgresql_config has returned, `keywords` are the play's.
        """
        running = {"port": server.port, "cluster": {"owner": server.os_user, "socket_directory": server.directory}}

        def run(*options, found=None, **keywords):
            tasks = [{"import_role": {"name": "devportal.backstage.backstage_postgresql"}}]
            path = tmp_path / "play.json"
            path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, **keywords, "tasks": tasks}]))
            done = play(
                str(path),
                {"databases": {"db": {}}},
                "--start-at-task=Configure the databases and the user of the monitoring",
                *options,
                backstage_postgresql_databases=self.NAMES,
                backstage_postgresql_user="portal",
                backstage_postgresql_owner="backstage",
                __backstage_postgresql_config=found or running,
            )
            assert done.returncode == 0, done.stdout
            return re.findall(r"TASK \[.* : Create databases and set their owner\].*\n(\w+):", done.stdout)

        server.query("CREATE ROLE backstage")
        yield run
        for name in self.NAMES:
            quoted = name.replace('"', '""')
            server.query(f'DROP DATABASE IF EXISTS "{quoted}"')
        server.query("DROP ROLE backstage")

    @staticmethod
    def owners(server):
        query = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname !~ '^(postgres|template.)$'"
        return dict(server.query(query))

    def test_they_are_made_and_given_to_their_owner(self, role, server):
        wanted = dict.fromkeys(self.NAMES, "backstage")
        assert role() == ["changed"]
        assert self.owners(server) == wanted
        assert role() == ["ok"]
        server.query("ALTER DATABASE one OWNER TO postgres")
        assert role() == ["changed"]
        assert self.owners(server) == wanted
        assert role("--check") == ["ok"]

    def test_check_mode_tells_of_them(self, role, server):
        assert role("--check") == ["changed"]
        assert self.owners(server) == {}

    def test_check_mode_on_a_bare_host(self, role):
        assert role("--check", found=NO_CLUSTER) == ["changed"]

    def test_check_mode_of_the_play_makes_nothing(self, role, server):
        role(check_mode=True)
        assert self.owners(server) == {}

    def test_a_server_that_does_not_answer(self, role, server):
        down = {"port": free_port(), "cluster": {"owner": server.os_user, "socket_directory": server.directory}}
        assert role("--check", found=down) == ["changed"]
        with pytest.raises(AssertionError, match="No PostgreSQL server answers at"):
            role(found=down)


FACT = {"host": "127.0.0.1", "port": 5433, "user": "backstage"}


class TestWhereTheDatabaseIs:
    """What the role backstage_app_config makes of the database host's word, or of its silence."""

    APP = "backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"

    @pytest.fixture
    def told(self, play, tmp_path):
        """A function that says which host, port and user the role takes."""

        def run(hosts, **variables):
            names = [f"backstage_app_config_{name}" for name in ("host", "port", "user")]
            role = {"name": "devportal.backstage.backstage_app_config", "tasks_from": "preflight"}
            show = {"msg": "TOLD {{ " + " ~ ' ' ~ ".join(names) + " }}"}
            tasks = [{"import_role": role}, {"debug": show}]
            (tmp_path / "app-config.yaml").write_text(self.APP)
            path = tmp_path / "play.json"
            path.write_text(json.dumps([{"hosts": "apps", "gather_facts": False, "tasks": tasks}]))
            done = play(str(path), hosts, **variables)
            assert done.returncode == 0, done.stdout
            return re.search(r"TOLD ([^\"]*)", done.stdout)[1].split(" ")

        return run

    def test_the_roles_of_one_host_in_a_play_of_somebody_else(self, told):
        assert told({"apps": {"one": {"backstage_database_connection": FACT}}}) == [
            "127.0.0.1",
            "5433",
            "backstage",
        ]
        listening = {**FACT, "host": "10.0.0.5"}
        assert told({"apps": {"one": {"backstage_database_connection": listening}}})[0] == "10.0.0.5"

    def test_one_host_in_both_groups(self, told):
        hosts = {"backstage_database": {"one": {}}, "apps": {"one": {}}}
        assert told(hosts) == ["127.0.0.1", "5432", "postgres"]
        hosts["apps"]["one"]["backstage_database_connection"] = FACT
        assert told(hosts) == ["127.0.0.1", "5433", "backstage"]

    def test_a_database_host_elsewhere(self, told):
        hosts = {"backstage_database": {"db": {"ansible_host": "10.0.0.5"}}, "apps": {"one": {}}}
        # Before the database's own play there is no word of it.
        assert told(hosts, backstage_postgresql_user="portal") == ["10.0.0.5", "5432", "portal"]
        hosts["backstage_database"]["db"]["backstage_database_connection"] = FACT
        assert told(hosts) == ["10.0.0.5", "5433", "backstage"]
        assert told(hosts, backstage_postgresql_port=6432, backstage_postgresql_user="me") == ["10.0.0.5", "6432", "me"]

    def test_a_run_without_the_database_host(self, play, tmp_path):
        hosts = {"backstage_database": {"db": {}}, "backstage": {"app": {}}}
        (tmp_path / "app-config.yaml").write_text(self.APP)
        refused = play("devportal.backstage.site", hosts, "--limit=app", "--check")
        assert refused.returncode == 2, refused.stdout
        assert "backstage_app_config_port is empty" in refused.stdout
        done = play("devportal.backstage.site", hosts, "--limit=app", "--check", backstage_postgresql_port=5433)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("variables", "words"),
        [
            ({}, "line 1"),
            ({"backstage_app_config_env_file": "/nowhere/at/all"}, "the directory /nowhere/at does not exist"),
        ],
    )
    def test_an_env_file_that_could_not_be_written_stops_all_hosts(self, play, tmp_path, variables, words):
        (tmp_path / "app-config.yaml").write_text(self.APP)
        (tmp_path / ".env").write_text("A='never closed\n")
        hosts = {"backstage_database": {"db": {"ansible_python_interpreter": "/nowhere"}}, "backstage": {"app": {}}}
        done = play(
            "devportal.backstage.site", hosts, backstage_postgresql_host="db", __backstage_postgresql_found="ID=debian",
            backstage_app_config_env_format="systemd", **variables,
        )  # fmt: skip
        assert done.returncode == 2, done.stdout
        assert words in done.stdout
        assert_only_validated(done.stdout)


class TestExistingDatabase:
    """The login to a database that no role provides comes before the files of a portal change."""

    APP = "backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"

    @pytest.fixture
    def portal(self, play, postgres_server, tmp_path):
        postgres_server.query("DROP ROLE IF EXISTS existing_portal")
        postgres_server.query("CREATE ROLE existing_portal LOGIN PASSWORD 'hunter2'")
        files = {tmp_path / "app-config.yaml": self.APP, tmp_path / ".env": "OTHER=1\n"}
        for path, text in files.items():
            path.write_text(text)
        right = {"host": "127.0.0.1", "port": postgres_server.port, "user": "existing_portal"}

        def run(*options, provider="external", **wrong):
            given = {f"backstage_postgresql_{name}": value for name, value in {**right, **wrong}.items()}
            done = play(
                "devportal.backstage.site",
                {"backstage": {"app": {}}},
                *options,
                backstage_database_provider=provider,
                **given,
            )
            return done, {path: path.read_text() == text for path, text in files.items()}

        yield run
        postgres_server.query("DROP ROLE existing_portal")

    @pytest.mark.parametrize("options", [(), ("--check",)])
    @pytest.mark.parametrize(
        "wrong",
        [{"host": "no-such-host.invalid"}, {"port": 1}, {"user": "nobody_there"}, {"password": "wr0ng"}],
        ids=str,
    )
    def test_a_login_that_fails_leaves_the_files_as_they_are(self, portal, wrong, options):
        done, unchanged = portal(*options, **wrong)
        assert done.returncode == 2, done.stdout
        assert "Verify the login to the existing database" in done.stdout
        assert all(unchanged.values()), done.stdout
        assert "wr0ng" not in done.stdout

    def test_a_login_that_works(self, portal):
        done, unchanged = portal("--check")
        assert done.returncode == 0, done.stdout
        assert all(unchanged.values())
        done, unchanged = portal()
        # The user may not create databases; the files are written all the same, and the reason is told.
        assert not any(unchanged.values()), done.stdout
        assert "may not create databases" in done.stdout
