# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a rotation against a real server; the playbook itself is in the molecule scenario `leak`.

Environment:
    DEVPORTAL_ROTATIONS: how many rotations in a row a client has to live through (default 3).
"""

from __future__ import annotations

import collections
import json
import os
import threading
import time

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    database_target,
    rotation,
    rotation_journal,
    rotation_places,
    tls_check,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from rotated_app import APP_CONFIG, STAGES, App, prepare, turn
from servers import Server, free_port, self_signed

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the journal is root's"),
    pytest.mark.usefixtures("no_journal_stays"),
]

ROTATIONS = int(os.environ.get("DEVPORTAL_ROTATIONS", "3"))


def test_server_and_file_change_together(app):
    before = app.snapshot()
    results = app.rotate("the second secret", process=True)
    assert [result["changed"] for result in results] == [True, True, True, True]
    assert app.said() == (app.user, "the second secret")
    assert app.lets_in()
    assert not app.lets_in(password="the first secret")
    after = app.snapshot()
    assert [name for name in after if after[name] != before[name]] == [
        {"env": ".env", "literal": "app-config.local.yaml", "file": f"postgres-password-{app.user}"}[app.credentials]
    ]
    assert {name: mode for name, (_data, mode) in after.items()} == {name: mode for name, (_d, mode) in before.items()}
    assert not app.has_journal()
    again = app.rotate("the second secret")
    assert not any(result["changed"] or result["needed"] for result in again)
    app.password = "the second secret"
    app.configure()
    assert app.snapshot() == after


@pytest.mark.parametrize(
    ("credentials", "killed"),
    [*(("env", count) for count in range(5)), ("literal", 2), ("file", 2)],
    indirect=["credentials"],
)
def test_a_run_that_was_killed_at_any_boundary_is_finished_by_the_next(app, killed):
    app.rotate("the second secret", STAGES[:killed])
    assert app.lets_in(), "what the files say does not work"
    again = app.rotate("the second secret")
    # The restart that the killed run owes.
    assert again[1]["changed"] is (killed < 3)
    assert app.said() == (app.user, "the second secret")
    assert app.lets_in()
    assert not app.rotate("the second secret")[0]["needed"]


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
@pytest.mark.parametrize("wanted", ["the second secret", "the third secret"])
def test_a_run_that_was_killed_just_between_server_and_file(app, wanted):
    app.rotate("the second secret", ["begin"])
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'the second secret'")
    assert not app.lets_in()
    app.rotate(wanted, ["begin", "switch"])
    assert app.said() == (app.user, wanted)
    assert app.lets_in()
    app.rotate(wanted, ["roll_back"])
    # Of a third one it goes back to what the server had when that began.
    assert app.said() == (app.user, "the first secret" if wanted == "the second secret" else "the second secret")
    assert app.lets_in()
    app.rotate(wanted, ["finish"])


def test_a_run_that_was_killed_just_between_before_another_user_was_wanted(app):
    owner, other = app.user, f"{app.user}_a"
    app.rotate("the second secret", ["begin"])
    app.server.query(f"ALTER ROLE {owner} PASSWORD 'the second secret'")
    begun = app.stage("begin", "the third secret", other)
    assert (begun["failed"], begun["other_user"], begun["previous_users"]) == (False, True, [owner])
    prepare(app, owner, other, "the third secret")
    app.configure(other, "the third secret")
    app.stage("roll_back", "the third secret", other)
    assert app.said() == (owner, "the second secret")
    assert app.lets_in()
    app.stage("finish", "the third secret", other)


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_a_line_that_was_added_after_a_kill_stays(app):
    app.rotate("the second secret", ["begin"])
    with open(os.path.join(app.directory, ".env"), "a", encoding="utf-8") as stream:
        stream.write("BY_HAND=1\n")
    before = app.snapshot()
    app.rotate("the second secret", ["begin", "switch", "roll_back", "finish"])
    assert app.snapshot() == before


@pytest.mark.parametrize(
    ("credentials", "killed"),
    [("env", "begin"), ("env", "switch"), ("env", "roll_back"), ("literal", "switch"), ("file", "switch")],
    indirect=["credentials"],
)
def test_all_is_put_back(app, killed):
    before = app.snapshot()
    app.rotate(
        "the second secret", ["begin", "switch", "roll_back"][: ["begin", "switch", "roll_back"].index(killed) + 1]
    )
    result = app.stage("roll_back", "the second secret")
    assert result["changed"]
    assert app.snapshot() == before
    assert app.lets_in()
    assert app.stage("finish", "the second secret")["changed"]
    assert not app.stage("roll_back", "the second secret")["changed"]


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_no_way_back_once_it_is_ready(app):
    app.rotate("the second secret", ["begin", "switch", "ready"])
    result = app.stage("roll_back", "the second secret")
    assert result["failed"]
    assert app.lets_in()
    assert app.said()[1] == "the second secret"
    app.rotate("the second secret", ["finish"])


def places_of(app):
    return rotation_places.Places(
        app.directory, app.credentials, os.path.join(app.directory, app.name), (), os.path.join(app.directory, ".env"),
        "dotenv", "POSTGRES_PASSWORD", app.password_file(app.user), {},
    )  # fmt: skip


def test_a_file_that_cannot_be_written_leaves_the_old_password_on_the_server(app, monkeypatch):
    steps = rotation.Rotation(places_of(app), rotation_journal.Credentials(app.user, "the second secret"), {})
    steps.begin()

    def refuse(*_arguments, **_options):
        raise CollectionError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(files.EditedFile, "replace", refuse)
        with pytest.raises(CollectionError):
            steps.switch()
    assert app.said()[1] == "the first secret"
    assert app.lets_in()
    steps.roll_back()
    steps.finish()


@pytest.mark.parametrize("logins", [0, 1, 2])
def test_another_app_host_was_first(app, monkeypatch, logins):
    steps = rotation.Rotation(places_of(app), rotation_journal.Credentials(app.user, "the second secret"), {})
    steps.begin()
    connect = postgresql.connect
    calls = []

    def connect_after_the_other(options):
        if len(calls) == logins:
            app.server.query(f"ALTER ROLE {app.user} PASSWORD 'the second secret'")
        calls.append(options)
        return connect(options)

    monkeypatch.setattr(postgresql, "connect", connect_after_the_other)
    steps.switch()
    assert app.said()[1] == "the second secret"
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'the second secret'")
    assert app.lets_in()
    steps.finish()


@pytest.fixture
def apps(postgres_server, run_module, tmp_path):
    """Two app hosts of one database, on which a rotation to `the second secret` has begun."""
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(App(postgres_server, run_module, tmp_path / name, "env"))
    found[1].configure(user=found[0].user, password=found[0].password)
    for app in found:
        app.rotate("the second secret", ["begin"])
    return found


def test_two_app_hosts_of_one_database(apps):
    results = []
    threads = [
        threading.Thread(target=lambda app=app: results.append(app.stage("switch", "the second secret", process=True)))
        for app in apps
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [result for result in results if result["failed"]], results
    assert [app.lets_in() for app in apps] == [True, True]
    for app in apps:
        app.rotate("the second secret", ["roll_back"])
    assert [(app.said()[1], app.lets_in()) for app in apps] == [("the first secret", True)] * 2
    for app in apps:
        app.rotate("the second secret", ["finish"])


def test_two_app_hosts_of_which_one_was_switched_when_the_run_was_killed(apps):
    apps[0].rotate("the second secret", ["switch"])
    for stage in ("begin", "switch"):
        for app in apps:
            app.rotate("the third secret", [stage])
    assert [(app.said()[1], app.lets_in()) for app in apps] == [("the third secret", True)] * 2
    for app in apps:
        app.rotate("the third secret", ["roll_back", "finish"])
    assert [(app.said()[1], app.lets_in()) for app in apps] == [("the second secret", True)] * 2
    assert not [app for app in apps if app.has_journal()]


def test_another_user_takes_the_turn(app):
    owner = app.user
    first, second = f"{owner}_a", f"{owner}_b"
    refused = [app.stage(stage, "the second secret", first) for stage in ("begin", "switch")][1]
    assert "rejects the login" in refused["msg"]
    before = app.snapshot()
    turn(app, owner, first, "the second secret")
    assert app.said() == (first, "the second secret")
    assert app.lets_in()
    assert not app.lets_in(owner, "the first secret")
    # The former user's password file goes; what it said before comes back whole.
    if app.credentials == "file":
        assert sorted(app.snapshot()) == sorted(
            {*before, f"postgres-password-{first}"} - {f"postgres-password-{owner}"}
        )
    before = app.snapshot()
    app.stage("begin", "the third secret", second)
    prepare(app, owner, second, "the third secret")
    app.configure(second, "the third secret")
    assert app.lets_in()
    assert app.stage("roll_back", "the third secret", second)["changed"]
    assert app.snapshot() == before
    assert app.lets_in()
    app.stage("finish", "the third secret", second)


def test_what_cannot_be_rotated(app):
    def refusal(**changed):
        return app.stage("begin", "the second secret", **changed)["msg"]

    assert "part of the user's name" in app.stage("begin", "rotated")["msg"]
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'by somebody else'")
    assert "both the current and the new password" in refusal()
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'the first secret'")
    app.write(app.name, APP_CONFIG)
    assert "does not point at PostgreSQL yet" in refusal()
    # A file that wins, and that nobody told of.
    app.configure()
    connection = f"{{host: {app.server.host}, port: {app.server.port}, user: {app.user}, password: the first secret}}"
    app.write("app-config.local.yaml", f"backend: {{database: {{client: pg, connection: {connection}}}}}\n")
    if app.credentials == "literal":
        app.write("app-config.yaml", APP_CONFIG)
        app.name = "app-config.yaml"
    if app.credentials == "file":
        app.write(os.path.basename(app.password_file(app.user)), "what nobody reads")
    words = refusal()
    assert "does not hold the password that Backstage reads" in words or "is a scalar, not a mapping" in words


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_the_directory_of_the_journals_cannot_be_made(app):
    journals = os.path.join(app.directory, ".env", "journals")
    steps = rotation.Rotation(places_of(app), rotation_journal.Credentials(app.user, "x"), {}, journals=journals)
    with pytest.raises(CollectionError, match=f"{journals}.*Not a directory.*become: true"):
        steps.begin()


def connection_of(app, user=None, **more):
    return {"host": app.server.host, "port": app.server.port, "user": user or app.user, **more}


@pytest.mark.parametrize("credentials", ["literal"], indirect=True)
def test_a_role_that_may_not_connect_to_postgres(postgres_server, app):
    """In schema mode without ensureExists Backstage logs in to its own database only."""
    name = f"{app.user}_data"
    postgres_server.query(f"CREATE DATABASE {name}")
    connection = connection_of(app, password="the first secret", database=name)
    database = {"client": "pg", "pluginDivisionMode": "schema", "connection": connection}
    postgres_server.query("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    try:
        app.write(app.name, json.dumps({"backend": {"database": {**database, "ensureExists": True}}}))
        refused = app.run_module(
            "backstage_rotation", stage="begin", directory=app.directory, credentials="literal", user=app.user,
            password="the second secret", path=os.path.join(app.directory, app.name),
        )  # fmt: skip
        assert "GRANT CONNECT" in refused["msg"]
        assert "login_" not in refused["msg"]
        app.write(app.name, json.dumps({"backend": {"database": {**database, "ensureExists": False}}}, indent=2))
        app.rotate("the second secret")
        app.server.connect(user=app.user, password="the second secret", dbname=name).close()
    finally:
        postgres_server.query("GRANT CONNECT ON DATABASE postgres TO PUBLIC")


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_no_server_answers(app):
    app.call("backstage_env_file", path=os.path.join(app.directory, ".env"), variables={"POSTGRES_PORT": free_port()})
    refused = app.stage("begin", "the second secret", process=True)
    assert "correct host and port of backend.database.connection" in refused["msg"]
    assert "login_" not in refused["msg"]


def test_no_password_goes_to_a_server_that_backstage_would_not_trust(run_module, tmp_path):
    key, certificate = self_signed(tmp_path)
    server = Server()
    try:
        server.write("data/server.key", key.read_text())
        server.write("data/server.crt", certificate.read_text())
        server.configure({"ssl": "on", "log_connections": "on"})
        server.restart()
        app = App(server, run_module, tmp_path, "literal")
        trusted = connection_of(app, password="the first secret", ssl={"ca": certificate.read_text()})
        for connection, words in (
            ({**trusted, "ssl": True}, "does not trust the TLS certificate"),
            ({**trusted, "ssl": {**trusted["ssl"], "pfx": "x"}}, "a client certificate"),
        ):
            app.write(app.name, json.dumps({"backend": {"database": {"client": "pg", "connection": connection}}}))
            mark = len(server.read_log())
            refused = app.stage("begin", "the second secret")
            assert words in refused["msg"]
            assert "backend.database.connection" in refused["msg"]
            assert app.user not in server.read_log()[mark:]
        missing = database_target.Tls(verify=True, more_authorities="/nonexistent")
        login = database_target.Login(server.host, server.port, app.user, "postgres", tls=missing)
        assert "does not trust" in tls_check.tls_problem(login).message
        config = {"backend": {"database": {"client": "pg", "connection": trusted}}}
        app.write(app.name, json.dumps(config, indent=2))
        app.rotate("the second secret")
        app.server.connect(user=app.user, password="the second secret").close()
        # What the process has besides the files says whom it trusts: by the env file, or by the unit.
        config["backend"]["database"]["connection"].update(ssl=True, password="the second secret")
        app.write(app.name, json.dumps(config, indent=2))
        app.write(".env", f"NODE_EXTRA_CA_CERTS={certificate}\n")
        app.rotate("the third secret")
        app.write(".env", "")
        assert app.stage("begin", "the fourth secret")["failed"]
        results = [
            app.call(
                "backstage_rotation", stage=stage, directory=app.directory, credentials="literal", user=app.user,
                password="the fourth secret", path=os.path.join(app.directory, app.name),
                environment={"NODE_EXTRA_CA_CERTS": str(certificate), "BUILD": app.user[-1]},
            )
            for stage in STAGES
        ]  # fmt: skip
        assert (results[0]["previous_users"], results[0]["needed"]) == ([], True)
        app.server.connect(user=app.user, password="the fourth secret").close()
    finally:
        server.close()


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_check_mode_changes_nothing(app):
    before = app.snapshot()
    results = [
        app.run_module(
            "backstage_rotation", check=True, stage=stage, directory=app.directory, credentials=app.credentials,
            user=app.user, password="the second secret", path=os.path.join(app.directory, app.name),
            env_file=os.path.join(app.directory, ".env"), password_file=app.password_file(app.user),
        )
        for stage in STAGES
    ]  # fmt: skip
    assert [result["changed"] for result in results] == [True, False, False, False]
    assert app.snapshot() == before
    assert app.lets_in()


class Client(threading.Thread):
    """Logs in every 10 ms by what the files say; `answers` counts."""

    def __init__(self, app):
        super().__init__()
        self.app, self.answers, self.done = app, collections.Counter(), threading.Event()

    def run(self):
        while not self.done.wait(0.01):
            self.answers[self.app.lets_in()] += 1

    def __enter__(self):
        self.start()
        return self.answers

    def __exit__(self, *_reason):
        self.done.set()
        self.join()


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_nobody_is_turned_away_while_users_take_turns(app):
    owner = app.user
    with Client(app) as answers:
        start = time.monotonic()
        for number in range(ROTATIONS):
            turn(app, owner, f"{owner}_{'ba'[number % 2]}", f"secret number {number}")
        seconds = time.monotonic() - start
    print(f"{ROTATIONS} turns in {seconds:.0f} s: {answers[True]} logins, {answers[False]} turned away")
    assert answers[True] > 10 * ROTATIONS, "the client was not there"
    assert answers[False] == 0


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_the_gap_of_a_single_user_is_short(app):
    with Client(app) as answers:
        for number in range(ROTATIONS):
            app.rotate(f"secret number {number}", process=True)
    print(f"{ROTATIONS} rotations: {answers[True]} logins, {answers[False]} turned away")
    assert answers[False] <= ROTATIONS
    assert answers[True] > 10 * ROTATIONS
