# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drills do not ask of the module: its other results, its check mode, and that it changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from servers import Server, free_port

NAME = "backstage_database_info"
SECRET = "s3cret word"
CONFIG = """\
backend:
  database:
    client: pg
    connection:
      host: ${POSTGRES_HOST}
      port: ${POSTGRES_PORT}
      user: ${POSTGRES_USER}
      password: ${POSTGRES_PASSWORD}
"""


@pytest.fixture(scope="module")
def server():
    own = Server({"log_statement": "all"})
    own.query(f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{SECRET}'")
    yield own
    own.close()


def app(folder, server, config=CONFIG, **environment):
    given = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": "backstage", "PASSWORD": SECRET, **environment}
    (folder / "app-config.yaml").write_text(config)
    (folder / ".env").write_text("".join(f"POSTGRES_{name}='{value}'\n" for name, value in given.items()))
    return {"directory": str(folder), "env_file": str(folder / ".env")}


def named(result, name):
    return next(check for check in result["checks"] if check["name"] == name)


def test_all_that_it_tells(run_module, server, tmp_path):
    server.query("CREATE DATABASE backstage_plugin_catalog OWNER backstage")
    server.query("CREATE DATABASE backstage_plugin_auth OWNER backstage")
    try:
        owner = {"user": "backstage", "password": SECRET, "dbname": "backstage_plugin_catalog"}
        server.query("CREATE TABLE entities AS SELECT generate_series(1, 500)", **owner)
        server.query("ANALYZE", **owner)
        result = run_module(NAME, plugins=["auth", "search"], **app(tmp_path, server))
        assert result["would_start"] is True
        assert not result["changed"]
        assert result["client"] == "pg"
        assert (result["host"], result["port"], result["user"]) == ("127.0.0.1", server.port, "backstage")
        assert (result["mode"], result["tls"]) == ("database", False)
        assert (
            result["connection"] == f"postgresql://backstage:********@127.0.0.1:{server.port}/backstage_plugin_catalog"
        )
        assert result["origins"]["connection.host"] == f"{tmp_path}/app-config.yaml:5 (POSTGRES_HOST)"
        assert result["config_files"] == [f"{tmp_path}/app-config.yaml"]
        assert result["server_version"].startswith(str(server.version))
        catalog = next(entry for entry in result["databases"] if entry["name"] == "backstage_plugin_catalog")
        assert catalog["owner"] == "backstage"
        assert catalog["rows"] == 500
        assert catalog["size"] > 1000000
        assert {entry["name"] for entry in result["databases"]} == {"backstage_plugin_catalog", "backstage_plugin_auth"}
        assert "30" in named(result, "connections")["message"]
        assert result["table"][0] == "Backstage would start."
        assert SECRET not in json.dumps(result)
    finally:
        server.query("DROP DATABASE backstage_plugin_catalog WITH (FORCE)")
        server.query("DROP DATABASE backstage_plugin_auth WITH (FORCE)")


@pytest.fixture
def catalog(server):
    """The catalog's database, of Backstage's user; a function that runs SQL in it as that user."""
    server.query("CREATE DATABASE backstage_plugin_catalog OWNER backstage")
    owner = {"user": "backstage", "password": SECRET, "dbname": "backstage_plugin_catalog"}
    yield lambda statement: server.query(statement, **owner)
    server.query("DROP DATABASE backstage_plugin_catalog WITH (FORCE)")


def test_the_plugins_that_have_a_database_count_without_a_list(run_module, server, catalog, tmp_path):
    server.query("CREATE DATABASE backstage_plugin_auth OWNER backstage")
    try:
        asked = app(tmp_path, server)
        result = run_module(NAME, **asked)
        assert "2 plugins may open up to 20" in named(result, "connections")["message"]
        assert named(result, "plugin_auth")["ok"] is True
        # One that was removed from the app counts no more.
        package = tmp_path / "node_modules" / "@backstage" / "plugin-catalog-backend"
        package.mkdir(parents=True)
        assert "1 plugin may open up to 10" in named(run_module(NAME, **asked), "connections")["message"]
    finally:
        server.query("DROP DATABASE backstage_plugin_auth WITH (FORCE)")


def test_our_own_session_is_not_counted(run_module, server, tmp_path):
    total = int(server.query("SHOW max_connections")[0][0])
    asked = app(tmp_path, server)
    reserved = int(server.query("SHOW superuser_reserved_connections")[0][0])
    free = f"{total - reserved} of {total - reserved} connections are free"
    assert free in named(run_module(NAME, **asked), "connections")["message"]
    superuser = {"USER": "postgres", "PASSWORD": server.password}
    message = named(run_module(NAME, **app(tmp_path, server, **superuser)), "connections")["message"]
    assert f"{total} of {total} connections are free" in message


def test_the_connections_of_a_backstage_that_runs_here_do_not_prevent_its_start(run_module, server, tmp_path):
    """They are free again when it restarts; those of another user are not."""
    asked = app(tmp_path, server)
    server.query("ALTER ROLE backstage CONNECTION LIMIT 2")
    mine = {"user": "backstage", "password": SECRET, "dbname": "postgres"}
    try:
        with contextlib.closing(server.connect(**mine)):
            assert run_module(NAME, plugins=["auth"], **asked)["would_start"] is True
        refused = run_module(NAME, plugins=["auth", "search"], **asked)
        assert refused["would_start"] is False
        assert "2 of 37 connections are free; 3 plugins may open up to 30, and a start needs one each" in refused["msg"]
    finally:
        server.query("ALTER ROLE backstage CONNECTION LIMIT -1")


def test_rows_that_were_not_analyzed_yet_are_not_called_none(run_module, server, catalog, tmp_path):
    catalog("CREATE TABLE entities AS SELECT generate_series(1, 500)")
    result = run_module(NAME, **app(tmp_path, server))
    entry = result["databases"][0]
    assert (entry["rows"], entry["analyzed"]) == (None, False)
    assert "rows not analyzed yet" in result["table"][-1]


LOCKED = (
    "CREATE TABLE knex_migrations (id serial, name text, batch int, migration_time timestamptz);"
    "CREATE TABLE knex_migrations_lock (index serial, is_locked int);"
    "INSERT INTO knex_migrations (name, migration_time) VALUES ('1_init.js', '2026-01-02 03:04:05+00');"
    "INSERT INTO knex_migrations_lock (is_locked) VALUES (1)"
)


def test_a_migration_lock_says_who_may_hold_it_and_how_to_unlock(run_module, server, catalog, tmp_path):
    catalog(LOCKED)
    asked = app(tmp_path, server)
    result = run_module(NAME, **asked)
    assert result["would_start"] is False
    check = named(result, "migrations_catalog")
    assert "2026-01-02" in check["message"]
    assert "Nobody is connected to backstage_plugin_catalog" in check["message"]
    assert check["remedy"].startswith("Only while no Backstage runs or starts on any host")
    assert 'UPDATE "public"."knex_migrations_lock" SET is_locked = 0' in check["remedy"]
    mine = {"user": "backstage", "password": SECRET, "dbname": "backstage_plugin_catalog"}
    with contextlib.closing(server.connect(**mine)) as connection:
        pid = connection.info.backend_pid
        check = named(run_module(NAME, **asked), "migrations_catalog")
    assert "backstage from 127.0.0.1 since " in check["message"]
    assert f"(pid {pid})" in check["message"]
    assert "UPDATE" not in check["remedy"]
    # Nothing was unlocked; where migrations are skipped, the lock does not matter.
    assert catalog("SELECT is_locked FROM knex_migrations_lock") == [(1,)]
    skipped = app(tmp_path, server, CONFIG + "    skipMigrations: true\n")
    assert run_module(NAME, **skipped)["would_start"] is True


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE knex_migrations_lock (index int, locked int)",
        "CREATE TABLE knex_migrations (id int)",
        "CREATE VIEW knex_migrations_lock AS SELECT 1 AS is_locked",
        "CREATE TABLE knex_migrations_lock (index int, is_locked int)",
    ],
)
def test_tables_that_are_not_those_of_knex(run_module, server, catalog, tmp_path, statement):
    catalog(statement)
    assert run_module(NAME, **app(tmp_path, server))["would_start"] is True


def test_it_changes_nothing(run_module, server, tmp_path):
    before = len(server.read_log())
    run_module(NAME, **app(tmp_path, server))
    said = server.read_log()[before:]
    statements = [line.split("statement: ", 1)[1] for line in said.splitlines() if "statement: " in line]
    assert any("READ ONLY" in statement for statement in statements)
    assert all(
        statement.startswith(("SELECT", "SHOW", "BEGIN READ ONLY", "SET", "ROLLBACK")) for statement in statements
    )
    assert SECRET not in said


def test_a_pool_that_is_too_large_is_a_warning(run_module, server, tmp_path):
    config = CONFIG + "    knexConfig: {pool: {max: 100}}\n"
    result = run_module(NAME, fail_on_problem=True, **app(tmp_path, server, config))
    assert result["would_start"] is True
    assert named(result, "connections")["ok"] is False
    assert "up to 100" in named(result, "connections")["message"]


def test_an_old_server_is_a_warning(run_module, server, tmp_path):
    """The table of versions stands in one place; here the server is older than all of it."""
    script = (
        "from ansible_collections.devportal.backstage.plugins.module_utils._backstage import database_session as c\n"
        "c.SUPPORTED_MAJORS = (98, 99)\n"
        "import json, sys\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.devportal.backstage.plugins.modules import backstage_database_info as m\n"
        "with patch_module_args(json.load(sys.stdin)): m.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(app(tmp_path, server)),
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert result["would_start"] is True
    assert named(result, "version")["ok"] is False
    assert "supports 98 to 99" in named(result, "version")["message"]


def test_a_fault_elsewhere_counts_unless_only_the_database_is_meant(run_module, server, tmp_path):
    asked = app(tmp_path, server, CONFIG + "integrations: {$include: none.yaml}\n")
    result = run_module(NAME, **asked)
    assert result["would_start"] is False
    assert "none.yaml: there is no such file" in result["msg"]
    assert named(result, "login")["ok"] is True
    result = run_module(NAME, scope="database", **asked)
    assert result["would_start"] is True
    assert any("none.yaml" in line for line in result["table"])


def test_a_server_without_an_app(run_module, server):
    asked = {"login_host": "127.0.0.1", "login_port": server.port, "login_user": "backstage"}
    result = run_module(NAME, login_password=SECRET, fail_on_problem=True, **asked)
    assert not result["failed"]
    assert result["would_start"] is True
    assert result["msg"] == f"backstage logs in at 127.0.0.1 port {server.port}."
    wrong = run_module(NAME, login_password="hush hush", fail_on_problem=True, **asked)
    assert wrong["failed"]
    assert "rejects the password of backstage" in wrong["msg"]
    assert "hush" not in json.dumps(wrong)


def test_an_unset_variable_is_named_with_its_line(run_module, server, tmp_path):
    asked = app(tmp_path, server)
    (tmp_path / ".env").write_text(f"POSTGRES_HOST=127.0.0.1\nPOSTGRES_PORT={server.port}\nPOSTGRES_USER=backstage\n")
    result = run_module(NAME, fail_on_problem=True, **asked)
    assert result["failed"]
    assert "POSTGRES_PASSWORD" in result["msg"]
    assert f"{tmp_path}/app-config.yaml:8" in result["msg"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("backend: {database: {client: pg, connection: {type: rds, host: a}}}", "type is rds"),
        ("backend: {database: {client: mysql2, connection: {}}}", "The client is mysql2"),
        ("backend: {database: {client: pg, connection: {user: a, ssl: {pfx: a}}}}", "client certificate"),
    ],
)
def test_what_it_cannot_tell_it_owns_up_to(run_module, tmp_path, text, words):
    (tmp_path / "app-config.yaml").write_text(text)
    result = run_module(NAME, directory=str(tmp_path), fail_on_problem=True)
    assert result["would_start"] is None
    assert not result["failed"]
    assert words in result["msg"]


def test_sqlite_is_a_warning_where_it_is_installed(run_module, tmp_path):
    (tmp_path / "app-config.yaml").write_text("backend: {database: {client: better-sqlite3, connection: ':memory:'}}\n")
    (tmp_path / "node_modules" / "better-sqlite3").mkdir(parents=True)
    result = run_module(NAME, directory=str(tmp_path))
    assert result["would_start"] is True
    assert result["client"] == "better-sqlite3"
    assert "not in PostgreSQL" in named(result, "client")["message"]


def test_check_mode_never_fails(run_module, tmp_path):
    result = run_module(
        NAME,
        check=True,
        fail_on_problem=True,
        directory=str(tmp_path / "none"),
        env_file=str(tmp_path / "none" / ".env"),
    )
    assert not result["failed"]
    assert result["would_start"] is not True
    result = run_module(
        NAME, check=True, fail_on_problem=True, login_host="127.0.0.1", login_port=free_port(), login_password="x"
    )
    assert not result["failed"]


@pytest.mark.parametrize("library", ["yaml", "psycopg2"])
def test_a_missing_library_fails_but_for_check_mode(run_module, server, tmp_path, library):
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / f"{library}.py").write_text(f"raise ImportError('No module named {library}', name='{library}')\n")
    folder = tmp_path / "app"
    folder.mkdir()
    env = {"PYTHONPATH": f"{stub}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    asked = app(folder, server)
    wanted = {"yaml": "python3-yaml", "psycopg2": "python3-psycopg2"}[library]
    failed = run_module(NAME, env=env, **asked)
    assert failed["failed"]
    assert wanted in failed["msg"]
    checked = run_module(NAME, env=env, check=True, **asked)
    assert not checked["failed"]
    assert checked["would_start"] is None
    assert wanted in checked["msg"]


@pytest.mark.once
@pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is not on PATH")
@pytest.mark.parametrize("password", [SECRET, "wrong one"])
def test_the_playbook_shows_a_table_and_fails_when_backstage_would(server, tmp_path, password):
    app(tmp_path, server, PASSWORD=password)
    hosts = f"""\
all:
  vars: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}, ansible_become: false}}
  children:
    backstage:
      hosts: {{app1: , app2: }}
      vars: {{backstage_app_config_directory: {tmp_path}}}
"""
    (tmp_path / "hosts.yml").write_text(hosts)
    done = subprocess.run(
        ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), "devportal.backstage.verify"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": os.environ.get("PYTHONPATH", "")},
    )
    assert password not in done.stdout
    assert done.stdout.count("Report the results of all hosts") == 1
    if password == SECRET:
        assert done.returncode == 0, done.stdout
        assert done.stdout.count('"Backstage would start."') == 2
    else:
        assert done.returncode == 2, done.stdout
        assert "rejects the password of backstage" in done.stdout


def test_the_playbook_fails_without_a_host(tmp_path):
    (tmp_path / "hosts").write_text("[other]\n")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(tmp_path / "hosts"), "devportal.backstage.verify"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": os.environ.get("PYTHONPATH", "")},
    )
    assert done.returncode == 2, done.stdout
    assert "no host in the group backstage" in done.stdout


def test_a_harmless_variable_masks_nothing_of_the_result(run_module, server, tmp_path):
    given = {
        "BACKSTAGE_ENV": "production", "DEBUG": "1", "RETRIES": 2, "GREETING": "hidden", "SSH_KEY": "hidden",
        "PROXY": "http://somebody:word@proxy", "SYSADMIN": "hunter2",
        "APP_CONFIG_integrations_github": '[{"token": "ghp_1"}]', "GITHUB_APP_PEM": "-----BEGIN RSA PRIVATE KEY-----x",
    }  # fmt: skip
    asked = app(tmp_path, server, HOST="hidden")
    (tmp_path / "app-config.production.yaml").write_text("app: {title: 'http://somebody:word@proxy'}\n")
    result = run_module(NAME, environment=given, **asked)
    assert result["config_files"] == [f"{tmp_path}/app-config.yaml", f"{tmp_path}/app-config.production.yaml"]
    assert result["port"] == server.port
    assert sorted(result["invocation"]["module_args"]["environment"]) == sorted(given)
    for secret in ("hidden", "hunter2", "ghp_1", "BEGIN RSA", ":word@"):
        assert secret not in json.dumps(result)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_files_that_backstage_may_not_read(run_module, server, tmp_path):
    # systemd reads the env file as root.
    asked = {**app(tmp_path, server), "env_format": "systemd"}
    assert run_module(NAME, **asked)["would_start"] is True
    refused = run_module(NAME, os_user="nobody", **asked)
    assert refused["would_start"] is False
    assert f"{tmp_path}/app-config.yaml: the OS user nobody may not read it." in refused["msg"]
    # The role of the service makes its user later.
    assert run_module(NAME, os_user="no-such-user", **asked)["would_start"] is True
