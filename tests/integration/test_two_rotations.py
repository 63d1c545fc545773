# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rotations at once, hosts one after the other, what Ansible masks, and what `finish` leaves alone.

Environment:
    DEVPORTAL_SEED: which random interleavings (a number).
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import re

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import rotation_journal
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from rotated_app import STAGES, App, prepare, retire, turn

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the journal is root's"),
    pytest.mark.usefixtures("no_journal_stays"),
]

NEW = {"A": "the password of run A", "B": "the password of run B"}
INTERLEAVINGS = [
    "A.begin B.begin A.switch A.ready A.finish B.switch B.ready B.finish",
    "A.begin B.begin A.switch B.switch A.roll_back A.finish B.ready B.finish",
    "A.begin A.switch B.begin B.switch A.ready A.finish B.ready B.finish",
    "A.begin A.switch A.ready B.begin A.finish B.switch B.ready B.finish",
    "A.begin A.switch B.begin A.roll_back B.switch B.ready B.finish A.finish",
    "A.begin B.begin B.switch B.ready B.finish A.switch A.ready A.finish",
    "A.begin B.begin B.switch B.roll_back B.finish A.switch A.ready A.finish",
    "A.begin B.begin A.begin B.switch A.switch A.ready B.ready A.finish B.finish",
]


class Run:
    """A run of the playbook's steps on one host."""

    def __init__(self, app, password):
        self.app, self.password, self.id, self.failed = app, password, None, False

    def step(self, stage):
        result = self.app.stage(stage, self.password, run_id=None if stage == "begin" else self.id)
        if stage == "begin" and not result["failed"]:
            self.id, self.failed = result["run_id"], False
        self.failed = self.failed or result["failed"] or stage == "roll_back"
        return result


def interleave(app, order, passwords):
    runs = {name: Run(app, password) for name, password in passwords.items()}
    for step in order:
        name, stage = step.split(".")
        result = runs[name].step(stage)
        if result["failed"]:
            assert re.search("another run of|not complete|with the new password already", result["msg"]), (step, result)
    return runs


@pytest.mark.parametrize("credentials", ["literal"], indirect=True)
@pytest.mark.parametrize("order", INTERLEAVINGS)
def test_two_runs_at_once_never_end_in_success_with_another_password(app, order):
    runs = interleave(app, order.split(), NEW)
    assert app.lets_in(), "what the files say does not work"
    succeeded = [name for name, run in runs.items() if not run.failed]
    assert succeeded == [name for name in succeeded if NEW[name] == app.said()[1]]
    assert succeeded or "roll_back" in order


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_random_interleavings_of_two_runs(app):
    """With another password or with the same, and with a run that rolls back."""
    chance = random.Random(int(os.environ.get("DEVPORTAL_SEED", "1")))
    for number in range(12):
        passwords = {"A": f"random A {number}", "B": f"random {chance.choice('AB')} {number}"}
        back = ["begin", "switch", "roll_back", "finish"]
        steps = {name: list(STAGES if chance.random() < 0.6 else back) for name in "AB"}
        order = []
        while any(steps.values()):
            name = chance.choice([name for name in "AB" if steps[name]])
            order.append(f"{name}.{steps[name].pop(0)}")
        runs = interleave(app, order, passwords)
        assert app.lets_in(), order
        for name, run in runs.items():
            assert run.failed or app.said()[1] == passwords[name], (order, name, app.said())
        app.rotate(f"between {number}")


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_a_step_of_another_run_changes_nothing(app):
    first = app.stage("begin", "the second secret")
    second = app.stage("begin", "the second secret")
    assert first["run_id"] != second["run_id"]
    assert not second["changed"]
    before = app.snapshot()
    for stage in ("switch", "ready", "roll_back", "finish"):
        for run_id in (first["run_id"], ""):
            refused = app.stage(stage, "the second secret", run_id=run_id)
            assert "another run of the rotation" in refused["msg"], stage
    assert app.snapshot() == before
    assert app.lets_in()
    app.rotate("the second secret", STAGES[1:])


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_it_is_not_ready_where_something_else_is_in_force(app):
    app.rotate("the second secret", ["begin", "switch"])
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'by somebody else'")
    assert "not complete" in app.stage("ready", "the second secret")["msg"]
    app.server.query(f"ALTER ROLE {app.user} PASSWORD 'the second secret'")
    app.call("backstage_env_file", path=os.path.join(app.directory, ".env"), variables={"POSTGRES_PASSWORD": "edited"})
    assert "not complete" in app.stage("ready", "the second secret")["msg"]


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_a_step_waits_for_the_step_of_another_run(app):
    app.rotate("the second secret", ["begin"])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with files.edit(rotation_journal.journal_path(app.directory)):
            waiting = pool.submit(app.stage, "switch", "the second secret", process=True)
            done, _not_done = concurrent.futures.wait([waiting], timeout=3)
            assert not done
            assert app.said()[1] == "the first secret"
        assert not waiting.result(timeout=60)["failed"]
    app.rotate("the second secret", STAGES[2:])


@pytest.mark.parametrize("password", ["stage_a", "otated", "True", "e", "1", "_a"])
@pytest.mark.parametrize("credentials", ["literal"], indirect=True)
def test_what_ansible_masks_does_not_change_the_result(app, password):
    """A password that is a part of the former user's name, or of `True`."""
    owner = app.user
    previous, other = f"{owner}_stage_a", "db-user"
    if password in other:
        other = "xxx"
    turn(app, owner, previous, "a long secret")
    begun = app.stage("begin", password, other, process=True)
    assert not begun["failed"], begun
    assert (begun["needed"], begun["changed"], begun["other_user"]) == (True, True, True)
    assert (begun["user"], begun["previous_users"]) == (other, [previous])
    arguments = begun["invocation"]["module_args"]
    assert arguments["password"] == arguments["environment"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert "a long secret" not in json.dumps(begun)
    app.stage("roll_back", password, other)
    app.stage("finish", password, other)


def test_the_example_works_without_a_path(app):
    """`path` and `config_files` are left out, as in the module's own examples."""
    own = {"directory": app.directory, "credentials": app.credentials, "user": app.user, "password": "a second secret"}
    if app.credentials == "env":
        own["env_file"] = os.path.join(app.directory, ".env")
    elif app.credentials == "file":
        own["password_file"] = app.password_file(app.user)
    run_id = None
    for stage in STAGES:
        run_id = app.call("backstage_rotation", stage=stage, run_id=run_id, **own)["run_id"]
    assert app.said() == (app.user, "a second secret")
    assert app.lets_in()


@pytest.mark.parametrize("credentials", ["file"], indirect=True)
@pytest.mark.parametrize("kind", ["elsewhere", "another name", "other content", "a directory", "a link"])
def test_finish_removes_nothing_that_this_collection_did_not_create(app, tmp_path_factory, kind):
    """The app's own user names a file in app-config before a rotation, and the run is root's."""
    owner, other = app.user, f"{app.user}_b"
    victim = tmp_path_factory.mktemp("aside") / "important-of-root"
    victim.write_text("the first secret\n")
    named = {"elsewhere": str(victim), "another name": os.path.join(app.directory, "own-password")}
    named = named.get(kind, app.password_file(owner))
    if kind == "another name":
        app.write("own-password", "the first secret\n")
    with open(os.path.join(app.directory, app.name), encoding="utf-8") as stream:
        app.write(app.name, re.sub(r"\$file: \S+", f"$file: {named}", stream.read()))
    begun = app.stage("begin", "the second secret", other)
    assert not begun["failed"], begun
    prepare(app, f"{owner}_o", other, "the second secret")
    app.stage("switch", "the second secret", other)
    app.configure(other, "the second secret")
    if kind == "other content":
        with open(named, "a", encoding="utf-8") as stream:
            stream.write("and more\n")
    elif kind == "a directory":
        os.unlink(named)
        os.mkdir(named)
    elif kind == "a link":
        os.unlink(named)
        os.symlink(victim, named)
    app.stage("ready", "the second secret", other)
    done = app.stage("finish", "the second secret", other, process=True)
    assert not done["failed"], done
    assert victim.read_text() == "the first secret\n"
    assert os.path.lexists(named)
    assert f"{named} is no longer used" in str(done["warnings"])


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_the_other_users_login_goes_when_a_rotation_was_rolled_back(app):
    owner = app.user
    first, second = f"{owner}_a", f"{owner}_b"
    turn(app, owner, first, "the second secret")
    app.stage("begin", "the third secret", second)
    prepare(app, owner, second, "the third secret")
    back = app.stage("roll_back", "the third secret", second)
    assert (back["user"], back["previous_users"], back["rolled_back"]) == (first, [second], True)
    for user in back["previous_users"]:
        retire(app, owner, user)
    app.stage("finish", "the third secret", second)
    assert app.lets_in()
    assert not app.lets_in(second, "the third secret")
    assert app.server.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (second,)) == [(False,)]
    # The next rotation begins as if nothing had been.
    turn(app, owner, second, "the fourth secret")
    assert app.lets_in()


def switch_host(host, user, password):
    assert not host.stage("switch", password, user)["failed"]
    host.configure(user, password)


def test_a_host_that_is_rolled_back_leaves_the_switch_of_another_host(postgres_server, run_module, tmp_path):
    """Two users, one host after the other: the first is ready, the second fails."""
    hosts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        hosts.append(App(postgres_server, run_module, tmp_path / name, "env"))
    one, two = hosts
    two.configure(one.user, one.password)
    owner, other, password = one.user, f"{one.user}_b", "the second secret"
    for host in hosts:
        host.stage("begin", password, other)
    prepare(one, f"{owner}_o", other, password)
    switch_host(one, other, password)
    assert one.stage("ready", password, other)["ready"]
    switch_host(two, other, password)
    two.stage("roll_back", password, other)
    assert (one.said(), one.lets_in()) == ((other, password), True)
    assert (two.said(), two.lets_in()) == ((owner, "the first secret"), True)
    assert "with the new password already" in one.stage("roll_back", password, other)["msg"]
    # A second run completes what is left, and does not touch the first host.
    before = one.snapshot()
    for host in hosts:
        assert not host.stage("begin", password, other)["failed"]
    switch_host(two, other, password)
    for host in hosts:
        assert host.stage("ready", password, other)["ready"]
        assert not host.stage("finish", password, other)["failed"]
    assert one.snapshot() == before
    assert (two.said(), two.lets_in()) == ((other, password), True)


@pytest.mark.parametrize("credentials", ["env"], indirect=True)
def test_a_user_whose_sessions_start_as_the_owner_changes_its_own_password(app):
    owner = f"{app.user}_o"
    app.server.query(f"CREATE ROLE {owner}; GRANT {owner} TO {app.user}; ALTER ROLE {app.user} SET role TO {owner}")
    app.rotate("the second secret")
    assert app.lets_in()
