# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles in the ways that Ansible has of running roles, against a real server: each is right, or says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
from inventory_runs import assert_only_validated
from servers import Server

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="peer authentication as another OS user needs root"),
    pytest.mark.skipif(not shutil.which("pg_lsclusters"), reason="needs Debian's postgresql-common"),
    pytest.mark.once,
]
APP = "backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"
SITE = "devportal.backstage.site"
# Once in the preflight, where it changes nothing, and once in the role.
FILES = "Set backend.database in app-config and its variables"


@pytest.fixture(scope="module")
def server():
    """A running server that is this machine's only cluster, `main`."""
    one = Server()
    one.env = one.lay_out_as_main(one.os_user)
    yield one
    one.close()


@pytest.fixture
def run(play, server, tmp_path):
    """A function that runs a playbook, or the tasks of a play: its exit code, its output, the tasks that ran."""
    (tmp_path / "app-config.yaml").write_text(APP)

    def call(playbook, *options, hosts=None, play_keywords=None, env=None, **variables):
        if not isinstance(playbook, str):
            path = tmp_path / "play.json"
            keywords = {"hosts": "all", "gather_facts": False, **(play_keywords or {})}
            path.write_text(json.dumps([{**keywords, "tasks": playbook}]))
            playbook = str(path)
        both = {"backstage_database": {"one": {}}, "backstage": {"one": {}}}
        wish = {"backstage_postgresql_user": "usage", "backstage_postgresql_password": "hunter2", **variables}
        done = play(playbook, hosts or both, *options, env={**server.env, **(env or {})}, **wish)
        ran = re.findall(r"TASK \[(?:[^\]]* : )?([^\]]*)\] \**\n(?:ok|changed):", done.stdout)
        return done.returncode, done.stdout, ran

    yield call
    server.query("DROP ROLE IF EXISTS usage")


def exists(server):
    return server.query("SELECT 1 FROM pg_roles WHERE rolname = 'usage'") != []


def test_a_whole_run_skips_no_task_of_a_role_that_is_off(run, server, tmp_path):
    code, output, ran = run(SITE)
    assert code == 0, output
    assert exists(server)
    assert "client: pg" in (tmp_path / "app-config.yaml").read_text()
    assert {"Configure the PostgreSQL cluster", "Verify that Backstage can use the database"} <= set(ran)
    skipped = re.findall(r"TASK \[([^\]]*)\] \**\nskipping:", output)
    assert [name for name in skipped if "backstage_service" in name or "_ha" in name or "container" in name] == []


def test_the_role_changes_files_that_the_preflight_found_outdated(run, server, tmp_path):
    port = {"backstage_app_config_port": server.port}  # which the preflight otherwise does not know
    code, output, _ran = run(SITE, **port)
    assert code == 0, output
    files = tmp_path / "app-config.yaml", tmp_path / ".env"
    right = [path.read_text() for path in files]
    code, output, ran = run(SITE, **port)
    assert (code, ran.count(FILES)) == (0, 1), output
    for path, text in zip(files, right):
        path.write_text(text.replace("hunter2", "former").replace("client: pg", "client: better-sqlite3"))
        code, output, ran = run(SITE, **port)
        assert (code, ran.count(FILES)) == (0, 2), output
        assert [path.read_text() for path in files] == right
    # Without the preflight nobody has looked.
    code, output, ran = run(
        [{"name": "App", "import_role": {"name": "devportal.backstage.backstage_app_config"}}], **port
    )
    assert (code, ran.count(FILES)) == (0, 1), output


def test_what_the_preflight_found_counts_for_its_own_variables(run, server, tmp_path):
    port = {"backstage_app_config_port": server.port}
    assert run(SITE, **port)[0] == 0
    role = {"name": "devportal.backstage.backstage_app_config"}
    tasks = [{"name": "App", "import_role": role, "vars": {"backstage_app_config_database": {"prefix": "own_"}}}]
    path = tmp_path / "own.json"
    play = {"hosts": "backstage", "gather_facts": False, "tasks": tasks}
    path.write_text(json.dumps([{"import_playbook": "devportal.backstage.preflight"}, play]))
    code, output, ran = run(str(path), **port)
    assert (code, ran.count(FILES)) == (0, 2), output
    assert "prefix: own_" in (tmp_path / "app-config.yaml").read_text()


def test_an_interpreter_that_no_package_is_for(run, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    hosts = {
        group: {"one": {"ansible_python_interpreter": str(python)}} for group in ("backstage_database", "backstage")
    }
    code, output, _ran = run(SITE, hosts=hosts)
    assert code == 2, output
    assert f"ansible_python_interpreter: {python} does not find what the modules need (psycopg2, yaml)" in output
    assert_only_validated(output)


@pytest.mark.parametrize(
    ("settings", "shows"),
    [({}, False), ({"ANSIBLE_STRATEGY": "free"}, True), ({"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false"}, True)],
)
def test_arguments_in_the_headers_of_tasks(run, settings, shows):
    code, output, _ran = run(SITE, env={"ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "true", **settings})
    assert "hunter2" not in output
    assert (code, "Set ANSIBLE_DISPLAY_ARGS_TO_STDOUT=false" in output) == (2 if shows else 0, shows), output
    assert not shows or "Configure the PostgreSQL cluster" not in output


def test_a_newer_version_is_rejected_and_the_playbook_for_it_named(run, server):
    code, output, _ran = run(SITE, backstage_postgresql_version=str(server.version + 1))
    assert code == 2, output
    assert f"would get a new, empty cluster beside {server.version}/main (port {server.port}, online)" in output
    assert "run the playbook devportal.backstage.upgrade" in output
    assert_only_validated(output)
    assert not exists(server)


@pytest.mark.parametrize(
    ("tags", "runs", "not_runs", "files"),
    [
        ("install", [], ["Configure the PostgreSQL cluster", "Set connection facts"], 1),
        (
            "configure",
            ["Configure the PostgreSQL cluster", "Set the database user's password"],
            ["Verify that Backstage can use the database"],
            2,
        ),
        (
            "backstage_postgresql",
            ["Configure the PostgreSQL cluster", "Set the database user's password"],
            ["Verify that Backstage can use the database"],
            1,
        ),
        ("preflight", [], ["Configure the PostgreSQL cluster"], 1),
    ],
)
def test_tags(run, tags, runs, not_runs, files):
    code, output, ran = run(SITE, f"--tags={tags}")
    assert code == 0, output
    assert set(runs) <= set(ran), output
    assert not set(not_runs) & set(ran), output
    assert ran.count(FILES) == files, output


def test_the_tag_verify_changes_nothing(run, server, tmp_path):
    assert run(SITE)[0] == 0
    before = (tmp_path / "app-config.yaml").read_text(), (tmp_path / ".env").read_text()
    server.query("ALTER ROLE usage PASSWORD 'of somebody else'")
    code, output, ran = run(SITE, "--tags=verify")
    assert "Verify that Backstage can use the database" in output
    assert "Set the database user's password" not in ran
    assert code == 2, output
    assert before == ((tmp_path / "app-config.yaml").read_text(), (tmp_path / ".env").read_text())


def test_the_app_alone_says_which_variable_it_needs(run, server):
    code, output, _ran = run(SITE, "--tags=backstage_app_config")
    assert (code, "backstage_app_config_port is empty" in output) == (2, True), output
    assert run(SITE)[0] == 0
    code, output, ran = run(SITE, "--tags=backstage_app_config", backstage_postgresql_port=server.port)
    assert code == 0, output
    assert "Configure the PostgreSQL cluster" not in ran


def test_skipped_tags(run):
    assert run(SITE)[0] == 0
    code, output, ran = run(SITE, "--skip-tags=verify")
    assert code == 0, output
    assert "Set the database user's password" in ran
    assert "Verify that Backstage can use the database" not in ran
    code, output, ran = run(SITE, "--skip-tags=backstage_app_config")
    assert code == 0, output
    assert ran.count(FILES) == 1  # of the preflight


ROLE = {"name": "devportal.backstage.backstage_postgresql"}


@pytest.mark.parametrize(
    "keywords",
    [{"strategy": "free"}, {"serial": 1}, {"any_errors_fatal": True}, {"tags": ["pg"]}],
    ids=str,
)
def test_keywords_of_a_play(run, server, keywords):
    code, output, ran = run([{"name": "Portal", "import_role": ROLE}], "--tags=all,pg", play_keywords=keywords)
    assert code == 0, output
    assert "Set the database user's password" in ran
    assert exists(server)


def test_a_tag_of_the_play(run):
    code, output, ran = run([{"name": "Portal", "import_role": ROLE, "tags": ["pg"]}], "--tags=pg")
    assert code == 0, output
    assert "Set the database user's password" in ran


def test_start_at_task_in_an_imported_role(run):
    code, output, ran = run(
        [{"name": "Portal", "import_role": ROLE}], "--start-at-task=Configure the PostgreSQL cluster"
    )
    assert code == 0, output
    assert "Set the database user's password" in ran
    # In site.yml the include is what has a name: roles that are off are not entered, and so not listed.
    code, output, ran = run(SITE, "--start-at-task=Configure PostgreSQL")
    assert code == 0, output
    assert "Set the database user's password" in ran


def test_delegation_is_rejected(run):
    for task in (
        {"name": "Portal", "import_role": ROLE, "delegate_to": "other"},
        {"name": "Portal", "include_role": {**ROLE, "apply": {"delegate_to": "other"}}},
    ):
        code, output, ran = run([task], hosts={"databases": {"one": {}, "other": {}}})
        assert code == 2, output
        assert "delegate_to: the roles of this collection work on the host that their variables belong to" in output
        assert "Configure the PostgreSQL cluster" not in ran


def test_groups_that_match_nothing(run):
    code, output, _ran = run(SITE, hosts={"databases": {"one": {}}})
    assert (code, "This run has no host of the groups backstage and backstage_database" in output) == (2, True), output
    code, output, _ran = run(SITE, "--limit=nobody")
    assert code != 0, output


def test_several_apps_on_one_host_in_one_play(run, server, tmp_path):
    assert run(SITE)[0] == 0
    tasks = []
    # One handler of a name is kept: as the guide says, each app flushes its own.
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app-config.yaml").write_text(APP)
        tasks.append(
            {
                "name": f"App {name}",
                "include_role": {"name": "devportal.backstage.backstage_app_config"},
                "vars": {
                    "backstage_app_config_directory": str(folder),
                    "backstage_app_config_database": {"prefix": f"{name}_"},
                },
            }
        )
        tasks.append({"name": "Report the app", "meta": "flush_handlers"})
    connection = {"backstage_postgresql_host": "127.0.0.1", "backstage_postgresql_port": server.port}
    code, output, _ran = run(tasks, hosts={"apps": {"one": {}}}, **connection)
    assert code == 0, output
    for name in ("a", "b"):
        assert f"prefix: {name}_" in (tmp_path / name / "app-config.yaml").read_text()
        assert f"The configuration of Backstage in {tmp_path / name} has changed" in output


def test_what_ansible_keeps_on_request_is_for_the_login_user_only(run, tmp_path):
    """As the table of the security guide has it: ANSIBLE_KEEP_REMOTE_FILES keeps the password, below mode 0700."""
    kept = tmp_path / "kept"
    env = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TMP": str(kept), "ANSIBLE_PIPELINING": "0"}
    code, output, _ran = run([{"name": "Portal", "import_role": ROLE}], env=env)
    assert code == 0, output
    folders = list(kept.glob("ansible-tmp-*"))
    assert {folder.stat().st_mode & 0o777 for folder in [kept, *folders]} == {0o700}
    assert any("hunter2" in path.read_text() for path in kept.rglob("AnsiballZ_postgresql_password.py"))
