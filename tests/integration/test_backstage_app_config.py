# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess

import pytest

NAME = "backstage_app_config"
BEFORE = """\
backend:
  auth:
    keys:
      - secret: an-old-secret
  database:
    client: better-sqlite3
    connection: ':memory:'
app: 1
"""
ENV = BEFORE.replace("better-sqlite3", "pg").replace(
    " ':memory:'",
    "\n      host: ${POSTGRES_HOST}\n      port: ${POSTGRES_PORT}\n      user: ${POSTGRES_USER}\n"
    "      password: ${POSTGRES_PASSWORD}",
)
LITERAL = {"credentials": "literal", "host": "db", "port": 5433, "user": "me", "password": "geheim-12345"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners takes root")


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "app-config.yaml"
    path.write_text(BEFORE)
    path.chmod(0o644)
    return path


@pytest.fixture
def run(run_module, app):
    def call(**arguments):
        result = run_module(NAME, **{"path": str(app), **arguments})
        assert "geheim" not in json.dumps(result).replace("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "")
        return result

    return call


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(directory):
    return sorted(os.listdir(directory))


def warnings(result):
    return [text if isinstance(text, str) else text["event"]["msg"] for text in result.get("warnings", [])]


def git(directory, *arguments):
    options = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "safe.directory=*"]
    subprocess.run(["git", "-C", str(directory), *options, *arguments], check=True, capture_output=True)


def test_variables(run, app):
    result = run(diff=True, backup=True)
    assert result["changed"]
    assert app.read_text() == ENV
    assert mode(app) == 0o644
    with open(result["backup_file"], encoding="utf-8") as stream:
        assert stream.read() == BEFORE
    [diff] = result["diff"]
    assert diff["prepared"].startswith(f"--- {app}\n+++ {app}\n@@ -3,6 +3,10 @@\n")
    assert "+      password: ${POSTGRES_PASSWORD}\n" in diff["prepared"]
    assert "-      - secret" not in diff["prepared"]
    assert "       - secret: ********\n" in diff["prepared"]
    assert result["effective_source"]["backend.database.client"] == str(app)
    again = run(diff=True, backup=True)
    assert not again["changed"]
    assert again["diff"] == []
    assert "backup_file" not in again
    assert len(names(app.parent)) == 2


@pytest.mark.parametrize("credentials", ["env", "literal", "file"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_stays_json(run, app, credentials, indent):
    """Which Backstage reads as the YAML that it is."""
    database = {"client": "better-sqlite3", "connection": ":memory:"}
    app.write_text(json.dumps({"backend": {"database": database, "baseUrl": "http://x"}, "app": 1}, indent=indent))
    before = json.loads(app.read_text())
    asked = {**LITERAL, "credentials": credentials}
    assert run(**asked)["changed"] is True
    after = json.loads(app.read_text())
    database = after["backend"].pop("database")
    before["backend"].pop("database")
    assert after == before
    assert (database["client"], sorted(database["connection"])) == ("pg", ["host", "password", "port", "user"])
    assert run(**asked)["changed"] is False


def test_check_mode_writes_nothing_and_shows_the_same(run, app):
    would = run(check=True, diff=True, **LITERAL)
    assert app.read_text() == BEFORE
    assert names(app.parent) == ["app-config.yaml"]
    did = run(diff=True, **LITERAL)
    assert (would["changed"], would["diff"], would["tightened"]) == (True, did["diff"], did["tightened"])
    assert not run(check=True, **LITERAL)["changed"]


def test_literals(run, app):
    result = run(diff=True, **LITERAL)
    assert "      password: geheim-12345\n" in app.read_text()
    assert "      port: 5433\n" in app.read_text()
    assert mode(app) == 0o640
    assert result["tightened"] == [str(app)]
    assert any("removed world access, because it contains a secret (mode 0640)" in text for text in warnings(result))
    again = run(**LITERAL)
    assert not again["changed"]
    assert again["tightened"] == []


def test_a_changed_password_is_seen_in_the_diff_and_not_read(run, app):
    run(**LITERAL)
    result = run(diff=True, **{**LITERAL, "password": "geheim-2"})
    assert "+      password: ******** (changed)\n" in result["diff"][0]["prepared"]


def test_an_open_file_is_closed_although_the_secret_stands_there_already(run, app):
    run(**LITERAL)
    app.chmod(0o644)
    assert run(**LITERAL)["changed"]
    assert mode(app) == 0o640


def test_a_mode_that_was_asked_for_is_obeyed_with_a_warning(run, app):
    result = run(mode="0644", **LITERAL)
    assert mode(app) == 0o644
    assert any("mode 0644 lets everybody read the secret" in text for text in warnings(result))
    assert run(mode="0600", owner=str(os.geteuid()), **LITERAL)["changed"]
    assert mode(app) == 0o600
    assert not run(mode="600", **LITERAL)["changed"]


@as_root
def test_everybodys_group_loses_its_rights_too(run, app):
    os.chown(app, 0, 100)
    run(**LITERAL)
    assert mode(app) == 0o600


def test_a_file_for_the_password(run, app):
    asked = {**LITERAL, "credentials": "file"}
    result = run(diff=True, **asked)
    secret = app.parent / "postgres-password"
    assert result["password_file"] == str(secret)
    assert secret.read_text() == "geheim-12345\n"
    assert mode(secret) == 0o600
    assert mode(app) == 0o644
    assert "        $file: postgres-password\n" in app.read_text()
    assert "(changed)" in result["diff"][1]["prepared"]
    assert not run(**asked)["changed"]
    secret.write_text("geheim-12345")
    assert not run(**asked)["changed"]
    before = app.stat().st_ino
    result = run(**{**asked, "password": "geheim-new"})
    assert result["msg"] == f"{secret} was changed."
    assert (secret.read_text(), app.stat().st_ino) == ("geheim-new\n", before)
    secret.chmod(0o644)
    assert run(**{**asked, "password": "geheim-new"})["tightened"] == [str(secret)]
    assert mode(secret) == 0o640


def test_a_file_for_the_password_elsewhere(run, app, tmp_path_factory):
    secret = tmp_path_factory.mktemp("etc") / "secret"
    run(**{**LITERAL, "credentials": "file", "password_file": str(secret)})
    assert f"        $file: {secret}\n" in app.read_text()
    assert secret.exists()
    (app.parent / "secrets").mkdir()
    run(**{**LITERAL, "credentials": "file", "password_file": "secrets/one"})
    assert (app.parent / "secrets" / "one").exists()
    assert f"        $file: {app.parent}/secrets/one\n" in app.read_text()


@pytest.mark.parametrize(
    "kind",
    [
        ("passwd", "root:x:0:0\nother:x:1:1\n", 0o600),
        ("postgres-password", "two\nlines\n", 0o600),
        ("package.json", '{"name": "app"}\n', 0o644),
        ("sub/key", "a key", 0o600),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_file_of_another_kind_is_not_overwritten(run, app, kind, check):
    name, content, mode_ = kind
    other = app.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_text(content)
    other.chmod(mode_)
    result = run(**{**LITERAL, "credentials": "file", "password_file": name}, check=check)
    assert result["msg"].startswith(f"{other}: exists, and is not the password file that {app} names")
    assert (other.read_text(), mode(other), app.read_text()) == (content, mode_, BEFORE)


def test_a_former_password_beside_app_config_is_overwritten(run, app):
    former = app.parent / "postgres-password"
    former.write_text("former")
    former.chmod(0o600)
    assert run(**{**LITERAL, "credentials": "file"})["changed"]
    assert former.read_text() == "geheim-12345\n"


def test_a_file_for_two_purposes(run, app):
    files = {**LITERAL, "credentials": "file"}
    assert f"password_file: {app} is an app-config file." in run(**{**files, "password_file": app.name})["msg"]
    named = run(**{**files, "password_file": ".env", "env_file": ".env"})["msg"]
    assert f"password_file: {app.parent}/.env is the env file." in named
    both = run(**{**LITERAL, "credentials": "env", "env_file": app.name, "write_env_file": True})["msg"]
    assert f"env_file: {app} is an app-config file." in both
    assert app.read_text() == BEFORE


def test_check_mode_takes_a_directory_for_the_password_that_is_not_there_yet(run, app):
    asked = {**LITERAL, "credentials": "file", "password_file": "secrets/one"}
    result = run(check=True, diff=True, **asked)
    secret = app.parent / "secrets" / "one"
    assert result["msg"] == f"{app} and {secret} would be changed."
    assert len(result["diff"]) == 2
    assert "Create the directory first" in run(**asked)["msg"]


@as_root
def test_check_mode_sees_another_owner(run, app):
    run()
    assert not run(check=True, owner="root")["changed"]
    for check in (True, False):
        assert run(check=check, owner="nobody")["changed"]


@as_root
def test_a_file_for_the_password_is_readable_for_the_one_who_reads_app_config(run, app):
    asked = {**LITERAL, "credentials": "file"}
    secret = app.parent / "postgres-password"
    os.chown(app, 0, 65534)
    run(**asked)
    assert (secret.stat().st_uid, secret.stat().st_gid, mode(secret)) == (0, 65534, 0o600)  # nogroup is everybody's
    secret.unlink()
    os.chown(app, 0, 4711)
    run(**asked)
    assert (secret.stat().st_gid, mode(secret)) == (4711, 0o640)
    secret.unlink()
    os.chown(app, 4711, 4711)
    run(**asked)
    assert (secret.stat().st_uid, secret.stat().st_gid, mode(secret)) == (4711, 4711, 0o600)


@as_root
@pytest.mark.parametrize("credentials", ["literal", "file"])
def test_a_new_file_with_the_password_belongs_to_the_one_who_reads_it(run, app, credentials):
    nobody = pwd.getpwnam("nobody")
    asked = {**LITERAL, "credentials": credentials, "create": True, "path": str(app.parent / "app-config.local.yaml")}
    secret = app.parent / ("postgres-password" if credentials == "file" else "app-config.local.yaml")
    assert "no-such-user" in run(os_user="no-such-user", **asked)["msg"]
    assert run(check=True, os_user="no-such-user", **asked)["changed"]
    assert not secret.exists()
    run(os_user="nobody", **asked)
    assert (secret.stat().st_uid, secret.stat().st_gid, mode(secret)) == (nobody.pw_uid, nobody.pw_gid, 0o600)
    os.chown(secret, 4711, 4711)
    assert not run(os_user="nobody", **asked)["changed"]
    secret.unlink()
    run(os_user="nobody", owner="daemon", **asked)
    assert secret.stat().st_uid == pwd.getpwnam("daemon").pw_uid


def test_the_password_file_is_put_back_when_app_config_cannot_be_written(run, app):
    asked = {**LITERAL, "credentials": "file", "validate": "false %s"}
    assert run(**asked)["failed"]
    assert names(app.parent) == ["app-config.yaml"]
    secret = app.parent / "postgres-password"
    secret.write_text("old\n")
    assert run(**asked)["failed"]
    assert secret.read_text() == "old\n"
    assert app.read_text() == BEFORE


def test_absent(run, app):
    run()
    result = run(state="absent")
    assert result["changed"]
    assert app.read_text() == BEFORE
    assert not run(state="absent")["changed"]
    assert not run(path=str(app.parent / "none.yaml"), state="absent")["changed"]


def test_further_keys(run, app):
    keys = {
        "pluginDivisionMode": "schema",
        "connection": {"database": "backstage", "ssl": {"ca": {"$file": "ca.pem"}}},
        "plugin": {"catalog": {"connection": {"password": "geheim-too"}}},
    }
    (app.parent / "ca.pem").write_text("x")
    result = run(database=keys, diff=True)
    assert "pluginDivisionMode: schema" in app.read_text()
    assert "password: geheim-too" in app.read_text()
    assert mode(app) == 0o640
    assert "+    pluginDivisionMode: schema\n" in result["diff"][0]["prepared"]
    assert not run(database=keys)["changed"]
    assert run(database={"plugin": None})["changed"]
    assert "plugin:" not in app.read_text()


def test_links_line_ends_and_rights_are_kept(run, app, tmp_path_factory):
    link = tmp_path_factory.mktemp("x") / "app-config.yaml"
    link.symlink_to(app)
    app.write_bytes(b"\xef\xbb\xbf" + BEFORE.replace("\n", "\r\n").encode()[:-2])
    app.chmod(0o604)
    assert run(path=str(link))["changed"]
    assert link.is_symlink()
    assert app.read_bytes() == b"\xef\xbb\xbf" + ENV.replace("\n", "\r\n").encode()[:-2]
    assert mode(app) == 0o604


def test_a_hard_link_is_told_of(run, app):
    os.link(app, app.parent / "other")
    assert any("has 2 hard links" in text for text in warnings(run()))
    assert warnings(run()) == []


@pytest.mark.parametrize("check", [False, True])
def test_an_env_file_that_could_not_get_the_variables(run, app, check):
    env_file = app.parent / ".env"
    env_file.write_text("A='never closed\n")
    before = app.read_bytes()
    for asked, words in (
        ({"env_file": str(env_file), "env_format": "systemd"}, f"{env_file}: line 1"),
        ({"env_file": str(app.parent)}, "is a directory"),
    ):
        refused = run(check=check, **asked)
        assert refused["failed"]
        assert words in refused["msg"]
    gone = run(check=check, env_file=str(app.parent / "gone" / "env"))
    assert "gone" in gone["msg"]
    assert gone["failed"] is not check
    assert ("missing_directory" in gone) is check
    assert app.read_bytes() == before


def test_an_env_file_that_is_not_what_backstage_takes_the_password_from(run, app):
    result = run(env_file=str(app.parent), **LITERAL)
    assert result["changed"]
    assert any("cannot find out what overrides it" in text and "is a directory" in text for text in warnings(result))


def test_files_with_which_backstage_would_not_start(run, app):
    result = run(database={"connection": {"ssl": {"ca": {"$file": "gone.pem"}}}})
    assert result["changed"]
    assert any(text.startswith(f"Backstage would not start: {app}:") for text in warnings(result)), result


@pytest.mark.parametrize("credentials", ["env", "literal", "file"])
def test_a_new_file(run, app, credentials):
    path = app.parent / "app-config.local.yaml"
    asked = {**LITERAL, "path": str(path), "create": True, "credentials": credentials}
    assert "would be created" in run(check=True, **asked)["msg"]
    assert not path.exists()
    result = run(**asked)
    assert result["changed"]
    assert mode(path) == 0o600
    assert path.read_text().startswith("backend:\n  database:\n    client: pg\n    connection:\n      host: ")
    assert not run(**asked)["changed"]


class TestSeveralFiles:
    @pytest.fixture
    def files(self, app):
        production, local = app.parent / "app-config.production.yaml", app.parent / "app-config.local.yaml"
        production.write_text("backend:\n  database:\n    connection: {host: h}\n")
        local.write_text("app: 2\n")
        return app, production, local

    def asked(self, files, **more):
        return {"config_files": [str(path) for path in files], **more}

    @pytest.mark.parametrize(("credentials", "chosen"), [("env", 1), ("literal", 2), ("file", 1)])
    def test_the_right_one_is_written(self, run_module, files, credentials, chosen):
        result = run_module(NAME, **self.asked(files, **{**LITERAL, "credentials": credentials}))
        assert result["path"] == str(files[chosen])
        assert set(result["effective_source"].values()) == {str(files[chosen])}
        assert "client: pg" in files[chosen].read_text()
        assert not run_module(NAME, **self.asked(files, **{**LITERAL, "credentials": credentials}))["changed"]

    @pytest.mark.parametrize("check", [True, False])
    def test_what_hides_is_warned_of(self, run, files, check):
        env_file = files[0].parent / ".env"
        env_file.write_text("APP_CONFIG_backend_database_client=better-sqlite3\n")
        result = run(check=check, **self.asked(files, env_file=".env"))
        said = warnings(result)
        warning = f"connection.host: {files[1]}:3 overrides what is written to {files[0]}"
        assert any(warning in text for text in said), said
        assert any("client: APP_CONFIG_backend_database_client overrides" in text for text in said)
        assert result["effective_source"]["backend.database.connection.host"] == str(files[1])

    def test_the_default_files_belong_together(self, run, files):
        files[2].write_text("backend: {database: {client: better-sqlite3, connection: ':memory:'}}\n")
        assert any(f"{files[2]}:1 overrides" in text for text in warnings(run()))

    def test_a_file_that_is_not_loaded(self, run, files):
        result = run(config_files=[str(files[1])])
        assert result["msg"].startswith(f"{files[0]}: is not among config_files, so Backstage would not read it.")

    def test_a_file_that_is_not_there(self, run, files):
        files[1].unlink()
        files[2].unlink()
        said = warnings(run(**self.asked(files)))
        assert said == [f"{files[1]}: this file does not exist; Backstage does not start without it."]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
class TestGit:
    @pytest.fixture
    def repository(self, app):
        git(app.parent, "init", "-q")
        git(app.parent, "add", ".")
        git(app.parent, "commit", "-qm", "first")
        return app.parent

    def test_a_literal_in_a_tracked_file_is_refused(self, run, app, repository):
        for check in (True, False):
            result = run(check=check, **LITERAL)
            assert result["failed"]
            assert result["msg"].startswith(
                f"{app}: git tracks this file, and it would contain a secret. Use `credentials: env`"
            )
        assert app.read_text() == BEFORE
        assert run(database={"plugin": {"a": {"connection": {"password": "geheim-1"}}}})["failed"]
        assert run(**{**LITERAL, "credentials": "file", "password_file": str(app.parent / "x")})["changed"]
        assert run(allow_tracked=True, **LITERAL)["changed"]

    def test_a_worktree(self, run, app, repository, tmp_path_factory):
        other = tmp_path_factory.mktemp("w") / "tree"
        git(repository, "worktree", "add", "-q", str(other))
        assert "git tracks this file" in run(**{**LITERAL, "path": str(other / "app-config.yaml")})["msg"]

    def test_a_password_file_that_is_tracked(self, run, app, repository):
        (repository / "postgres-password").write_text("x")
        git(repository, "add", ".")
        result = run(**{**LITERAL, "credentials": "file"})
        assert result["msg"].startswith(f"{repository / 'postgres-password'}: git tracks this file")
        assert app.read_text() == BEFORE

    def test_backups_that_no_rule_covers(self, run, app, repository):
        (repository / ".gitignore").write_text("*.local.yaml\n.env*\n")
        local = {**LITERAL, "path": str(repository / "app-config.local.yaml"), "create": True, "backup": True}
        assert warnings(run(**local)) == []  # a new file has no backup
        assert warnings(run(**local)) == []
        assert warnings(run(mode="0640", **local)) == []  # nor has one that gets other rights
        local["password"] = "geheim-2"
        assert warnings(run(**{**local, "backup": False}, check=True)) == []
        assert "its backups contain secrets" in warnings(run(**local, check=True))[0]
        result = run(**local)
        assert "its backups contain secrets" in warnings(result)[0]
        assert "backup_file" in result
        (repository / ".gitignore").write_text("*.local.yaml\n.env*\n*~\n")
        assert warnings(run(**{**local, "password": "geheim-3"})) == []

    def test_what_no_rule_covers(self, run, app, repository):
        result = run(env_file=str(repository / ".env"))
        names = [str(repository / name) for name in ("app-config.local.yaml", ".env")]
        assert result["exposed"] == names
        assert result["tracked"] == [str(app)]
        assert sum("no .gitignore covers it" in text for text in warnings(result)) == 2
        (repository / ".gitignore").write_text("*.local.yaml\n.env*\n")
        result = run(env_file=str(repository / ".env"))
        assert (result["exposed"], warnings(result)) == ([], [])
        git(repository, "add", "-f", ".")
        (repository / ".env").write_text("")
        git(repository, "add", "-f", ".env")
        assert warnings(run()) == [
            f"{repository / '.env'}: is for secrets, and git tracks it. Remove it from the repository."
        ]

    def test_an_untracked_file_without_a_rule(self, run, app, repository):
        result = run(**{**LITERAL, "path": str(repository / "app-config.local.yaml"), "create": True})
        assert result["changed"]
        assert any("no .gitignore covers it" in text for text in warnings(result))

    def test_git_is_not_installed(self, run, app, repository):
        result = run(env={"PATH": "/nonexistent"}, **LITERAL)
        assert result["changed"]
        assert any(
            "git is not installed here). Make sure that git does not track it" in text for text in warnings(result)
        )

    @as_root
    def test_a_repository_of_another_user(self, run, app, repository):
        for directory in repository.parents:
            if str(directory) in ("/", "/tmp"):
                break
            directory.chmod(0o755)
        subprocess.run(["chown", "-R", "65534:65534", str(repository)], check=True)
        assert "git tracks this file" in run(**LITERAL)["msg"]


class TestValidate:
    def test_it_sees_the_new_file(self, run, app, tmp_path_factory):
        seen = tmp_path_factory.mktemp("seen") / "copy"
        assert run(validate=f"cp %s {seen}")["changed"]
        assert seen.read_text() == ENV

    def test_a_refusal_changes_nothing_and_tells_nothing(self, run, app):
        result = run(validate="""sh -c "cat '%s'; cat '%s' >&2; exit 3" """, backup=True, **LITERAL)
        assert result["failed"]
        assert "the validate command exited with 3 on the new content. The file was not changed." in result["msg"]
        assert app.read_text() == BEFORE
        assert names(app.parent) == ["app-config.yaml"]

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            ("nonexistent-command %s", "the validate command cannot run: "),
            ("true", 'validate: "%s" is missing'),
            ("sh -c 'a %s", "validate: is not a command"),
        ],
    )
    def test_commands_that_cannot_be(self, run, app, command, text):
        result = run(validate=command)
        assert text in result["msg"]
        assert app.read_text() == BEFORE


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "this file does not exist. Correct the path, or set `create: true`"),
        ("directory", "is a directory. Name a regular file"),
        (b"a: \xff\n", "UTF-8"),
        (b"a: [1\n", "line 2"),
        (b"<<<<<<< x\na: 1\n=======\na: 2\n>>>>>>> y\n", "line 1: git's conflict markers stand in the file"),
        (b"a: 1\n---\nb: 1\n", "line 2"),
        (b"backend:\n  a: 1\nbackend:\n  b: 1\n", "line 3"),
        (b"backend: [1]\n", "line 1: backend is a sequence"),
        (b"backend: x\n", "line 1: backend is a scalar"),
        (b"x: &x {client: a}\nbackend: {database: *x}\n", "line 2: backend.database is an alias"),
        (b"backend: {$include: x.yaml}\n", "comes from another file"),
    ],
)
def test_bad_files(run, app, content, text):
    app.unlink()
    if content == "directory":
        app.mkdir()
    elif content:
        app.write_bytes(content)
    result = run()
    assert result["failed"]
    assert result["msg"].startswith(f"{app}: ")
    assert text in result["msg"]
    assert "\n" not in result["msg"]
    if isinstance(content, bytes):
        assert app.read_bytes() == content


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"port": "abc"}, "port is 'abc': a TCP port is a number from 1 to 65535."),
        ({"port": 70000}, "port is '70000'"),
        ({"host": ""}, "host is empty"),
        ({"credentials": "literal", "host": "h"}, "password is missing"),
        ({"credentials": "literal", "host": "h", "password": ""}, "password is empty"),
        ({"credentials": "literal", "host": "h", "password": "geheim\0"}, "password has a NUL in it"),
        ({"credentials": "literal", "password": "geheim"}, "host: missing, and `credentials: literal` writes it"),
        ({"password": " geheim"}, "which Backstage trims from a variable"),
        ({"credentials": "file", "host": "h", "password": "geheim\n"}, "which Backstage trims from a file"),
        ({"credentials": "secret"}, "value of credentials must be one of: env, literal, file, got: secret"),
        ({"host_variable": "A-B"}, "host_variable is 'A-B'"),
        ({"database": {"connection": None}}, "database.connection is not a dictionary"),
        ({"database": {"pluginDivisonMode": "schema"}}, "did you mean pluginDivisionMode?"),
        ({"mode": "u=rw"}, "mode: 'u=rw' is not an octal number"),
        ({"mode": 644}, "mode: 644 is not an octal number in quotes"),
        ({"owner": "nemo-1"}, "the user 'nemo-1' does not exist on this host"),
        ({"path": None}, "path and config_files are both empty"),
    ],
)
def test_bad_wishes(run, app, asked, text):
    result = run(**asked)
    assert result["failed"]
    assert text in result["msg"]
    assert app.read_text() == BEFORE


@pytest.fixture
def no_yaml(tmp_path_factory):
    """An environment in which `import yaml` fails, as on a bare host."""
    folder = tmp_path_factory.mktemp("no-yaml")
    (folder / "yaml.py").write_text("raise ImportError('no yaml here')\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_bare_host(run, app, no_yaml):
    result = run(check=True, env=no_yaml, diff=True, **LITERAL)
    assert (result["failed"], result["changed"]) == (False, True)
    assert "PyYAML is not installed on the host yet" in result["msg"]
    assert "password is missing" in run(check=True, env=no_yaml, credentials="literal", host="h")["msg"]
    result = run(env=no_yaml)
    assert result["failed"]
    assert "python3-yaml" in result["msg"]
    result = run(check=True, env=no_yaml, path=str(app.parent / "gone" / "app-config.yaml"))
    assert (result["failed"], result["changed"]) == (False, True)


CONNECTIONS = """\
backend:
  database:
    client: pg
    connection:
      host: localhost
      port: 5432
      user: xxx
      password: xxx
    plugin:
      auth:
        connection: 'postgresql://u:oldpw@oldhost:5432/test1'
      catalog:
        connection:
          host: otherhost
          password: otherpw
"""


@pytest.mark.parametrize("check", [True, False])
def test_connections_of_plugins_are_reported(run, app, check):
    app.write_text(CONNECTIONS)
    result = run(check=check, diff=True)
    assert [text.split(" overrides")[0] for text in warnings(result) if "for this plugin" in text] == [
        f"{app}: backend.database.plugin.{plugin}.connection" for plugin in ("auth", "catalog")
    ]
    assert not re.search("oldpw|otherpw", json.dumps(result))
    removed = run(check=check, state="absent")["removed"]
    assert [name for name in removed if "plugin" in name] == [
        f"backend.database.plugin.{plugin}.connection" for plugin in ("auth", "catalog")
    ]
    if not check:
        assert not re.search("postgres|host|pg", app.read_text())


@pytest.mark.parametrize("check", [True, False])
def test_data_in_sqlite_stays_behind(run, app, check):
    app.write_text(
        "backend:\n  database:\n    client: better-sqlite3\n    connection:\n      directory: /var/lib/portal\n"
    )
    [warning] = [text for text in warnings(run(check=check)) if "is not moved" in text]
    assert warning.startswith(f"{app}: The data in the SQLite files of /var/lib/portal is not moved: stars")
    if not check:
        assert warnings(run()) == []


def test_the_sqlite_files_of_an_earlier_file_are_named_once(run, app):
    app.write_text("backend: {database: {client: better-sqlite3, connection: {directory: ./db}}}\n")
    local = app.parent / "app-config.local.yaml"
    asked = {**LITERAL, "path": None, "config_files": [str(app), str(local)], "create": True}
    said = [[text for text in warnings(run(**asked)) if "is not moved" in text] for _run in range(2)]
    assert [len(texts) for texts in said] == [1, 0]
    assert said[0][0].startswith(f"{local}: The data in the SQLite files of ./db is not moved: ")


@pytest.mark.parametrize("check", [True, False])
def test_a_connection_string_in_an_object(run, app, check):
    app.write_text(
        "backend:\n  database:\n    client: pg\n    pluginDivisionMode: schema\n    connection:\n"
        "      connectionString: postgresql://u:oldpw@h:5432/mydb?sslmode=require\n"
    )
    result = run(check=check, diff=True)
    assert any("sslmode" in text for text in warnings(result))
    assert "+      database: mydb\n" in result["diff"][0]["prepared"]
    assert "oldpw" not in json.dumps(result)
    assert check or "database: mydb\n" in app.read_text()


def test_absent_names_what_it_removes(run, app):
    app.write_text(ENV.replace("client: pg", "client: pg\n    pluginDivisionMode: schema"))
    run(database={"connection": {"database": "portal"}}, ca="ca.pem")
    result = run(state="absent")
    names = ["pluginDivisionMode", "connection.database", "connection.ssl"]
    assert sorted(result["removed"]) == sorted(f"backend.database.{name}" for name in names)


@pytest.mark.parametrize(
    "text", ["{{ backstage_config }}\n", "backend:\n  {% if x %}\n  database: {}\n  {% endif %}\n"]
)
def test_a_template_is_named_as_such(run, app, text):
    app.write_text(text)
    result = run()
    assert result["failed"]
    assert "template" in result["msg"]
    assert app.read_text() == text
