# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.app_config_change import AppConfigChange
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import VARIABLES
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

BEFORE = "backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"


@pytest.fixture
def change(tmp_path):
    """A function `change(check_mode=False, diff=False, run=None, **options)` on a file of create-app."""
    path = tmp_path / "app-config.yaml"
    path.write_text(BEFORE)
    path.chmod(0o644)
    defaults = {
        "path": str(path),
        "config_files": None,
        "env_file": None,
        "env_format": "dotenv",
        "write_env_file": False,
        "env_file_owner": None,
        "env_file_group": None,
        "credentials": "env",
        "host": None,
        "port": "5432",
        "user": "postgres",
        "password": None,
        **{f"{key}_variable": name for key, name in VARIABLES.items()},
        "password_file": "postgres-password",
        "database": {},
        "ca": None,
        "client_certificate": None,
        "state": "present",
        "os_user": None,
        "create": False,
        "allow_tracked": False,
        "backup": False,
        "validate": None,
        "owner": None,
        "group": None,
        "mode": None,
    }

    def make(check_mode=False, diff=False, run=None, **options):
        return AppConfigChange({**defaults, **options}, check_mode, diff, run)

    return make


LITERAL = {"credentials": "literal", "host": "db", "user": "me", "password": "geheim-1"}
FILE = {**LITERAL, "credentials": "file"}


def test_the_preview_reports_what_the_change_does(change, tmp_path):
    path = tmp_path / "app-config.yaml"
    preview = change(True, True, **LITERAL)
    would = preview.apply()
    assert path.read_text() == BEFORE
    real = change(False, True, **LITERAL)
    did = real.apply()
    assert "password: geheim-1" in path.read_text()
    assert {**would, "msg": ""} == {**did, "msg": ""}
    assert (would["msg"], did["msg"]) == (f"{path} would be changed.", f"{path} was changed.")
    assert [text.replace("would remove", "removed") for text in preview.warnings] == real.warnings
    again = change(False, True, **LITERAL)
    assert again.apply()["msg"] == f"{path} is up to date."
    assert again.warnings == []


def test_both_files_or_none(change, tmp_path):
    with pytest.raises(CollectionError, match="exited with 1 on the new content"):
        change(run=lambda command: 1, validate="check %s", **FILE).apply()
    assert [path.name for path in tmp_path.iterdir()] == ["app-config.yaml"]
    seen = []
    result = change(run=lambda command: seen.append(command) or 0, validate="check -f '%s'", **FILE).apply()
    assert seen[0][:2] == ["check", "-f"]
    assert result["msg"] == f"{tmp_path}/app-config.yaml and {tmp_path}/postgres-password were changed."
    assert (tmp_path / "postgres-password").read_text() == "geheim-1\n"


ENV = {"env_file": ".env", "write_env_file": True, "host": "db", "user": "me", "password": "geheim-1"}


def test_the_env_file_is_written_with_the_app_config_file_or_not_at_all(change, tmp_path):
    env = tmp_path / ".env"
    with pytest.raises(CollectionError, match="exited with 1 on the new content"):
        change(run=lambda command: 1, validate="check %s", **ENV).apply()
    assert [path.name for path in tmp_path.iterdir()] == ["app-config.yaml"]
    env.write_text("OTHER=1 # kept\n")
    env.chmod(0o644)
    with pytest.raises(CollectionError, match="exited with 1 on the new content"):
        change(run=lambda command: 1, validate="check %s", **ENV).apply()
    assert (env.read_text(), env.stat().st_mode & 0o777) == ("OTHER=1 # kept\n", 0o644)
    env.chmod(0o640)
    would = change(True, True, **ENV).apply()
    assert env.read_text() == "OTHER=1 # kept\n"
    did = change(False, True, **ENV).apply()
    assert would["msg"] == f"{tmp_path}/app-config.yaml and {env} would be changed."
    assert did["msg"] == f"{tmp_path}/app-config.yaml and {env} were changed."
    assert would["diff"] == did["diff"]
    assert "geheim-1" not in str(did)
    assert did["changed_variables"] == list(VARIABLES.values())
    wanted = "POSTGRES_HOST=db\nPOSTGRES_PORT=5432\nPOSTGRES_USER=me\nPOSTGRES_PASSWORD=geheim-1\n"
    assert env.read_text() == "OTHER=1 # kept\n" + wanted
    assert env.stat().st_mode & 0o777 == 0o640
    again = change(**ENV).apply()
    assert (again["changed"], again["changed_variables"]) == (False, [])
    given = {"env_file": ".env", "host": "db", "port": "5432", "user": "me", "ca": None}
    assert again["unchanged_with"] == {"path": f"{tmp_path}/app-config.yaml", **given}
    assert "unchanged_with" not in did
    other = change(**{**ENV, "password": "geheim-2"}).apply()
    assert (other["msg"], other["changed_variables"]) == (f"{env} was changed.", ["POSTGRES_PASSWORD"])


def test_an_env_file_that_everybody_reads_is_closed(change, tmp_path):
    change(**ENV).apply()
    (tmp_path / ".env").chmod(0o644)
    closing = change(**ENV)
    result = closing.apply()
    assert (result["changed"], result["tightened"]) == (True, [str(tmp_path / ".env")])
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert any("removed world access" in warning for warning in closing.warnings)


def test_an_env_file_that_cannot_be_changed_leaves_app_config_alone(change, tmp_path):
    (tmp_path / ".env").write_text('A="never closed\n')
    with pytest.raises(CollectionError, match=r"\.env"):
        change(env_format="systemd", **ENV).apply()
    assert (tmp_path / "app-config.yaml").read_text() == BEFORE


def test_relative_paths_start_at_the_app_config_file(change, tmp_path):
    (tmp_path / "env").write_text("APP_CONFIG_backend_database_client=sqlite3\n")
    one = change(env_file="env")
    assert one.apply()["effective_source"]["backend.database.client"] == "APP_CONFIG_backend_database_client"
    assert change(**{**FILE, "password_file": "x/../secret"}).result["password_file"] == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": None}, "path and config_files are both empty"),
        ({"config_files": ["/other.yaml"]}, "is not among config_files"),
        ({**LITERAL, "host": None}, "host: missing"),
        ({**LITERAL, "password": None}, "password"),
        ({"port": "x"}, "port"),
        ({"host_variable": "POSTGRES_PORT"}, "host_variable and port_variable"),
        ({**LITERAL, "env_file": ".env", "write_env_file": True}, "write_env_file: is for `credentials: env` only"),
        ({**ENV, "env_file": None}, "env_file: missing"),
        ({**ENV, "password": None}, "password: missing"),
        ({**ENV, "password": "a\0b"}, "NUL"),
        ({**ENV, "env_file_owner": "nobody-of-this-name"}, "owner: the user"),
        ({"database": {"clientt": "pg"}}, "clientt"),
        ({"path": "/nowhere/app-config.yaml"}, "/nowhere"),
        ({"validate": "x"}, '"%s" is missing'),
    ],
)
def test_rejected_before_anything_changes(change, tmp_path, options, words):
    with pytest.raises(CollectionError, match=words):
        change(run=lambda command: 0, **options).apply()
    assert (tmp_path / "app-config.yaml").read_text() == BEFORE


def test_check_mode_of_what_is_not_there_yet(change, tmp_path):
    path = str(tmp_path / "app-config.local.yaml")
    assert change(True, path=path, create=True).apply()["msg"] == f"{path} would be created."
    assert change(True, path=path).apply()["missing"]
    assert not change(True, path=path, state="absent").apply()["changed"]
    gone = change(True, env_file=str(tmp_path / "gone" / ".env")).apply()
    assert gone["missing_directory"] == f"{tmp_path}/gone"
    assert f"the directory {tmp_path}/gone does not exist" in gone["msg"]


def test_tls_with_an_authority(change, tmp_path):
    path = tmp_path / "app-config.yaml"
    change(ca="ca.pem").apply()
    assert "      ssl:\n        ca:\n          $file: ca.pem\n        rejectUnauthorized: true\n" in path.read_text()
    assert not change(ca="ca.pem").apply()["changed"]
    assert not change().apply()["changed"]  # what is not asked for stays
    change(ca="ca.pem", database={"connection": {"ssl": {"rejectUnauthorized": False}}}).apply()
    assert "rejectUnauthorized: false" in path.read_text()
    with pytest.raises(CollectionError, match=r"^ca: "):
        change(ca="-----BEGIN PRIVATE KEY-----").apply()


CLIENT = {"cert": "/etc/tls/client.crt", "key": "/etc/tls/client.key", "state": "present"}


def test_a_client_certificate_comes_and_goes(change, tmp_path):
    path = tmp_path / "app-config.yaml"
    files = {key: str(tmp_path / f"client.{key}") for key in ("cert", "key")}
    (tmp_path / "client.cert").write_text("# Written by devportal.backstage.\n-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "client.key").write_text("x")
    shown = {**files, "state": "present"}
    change(ca="ca.pem", client_certificate=shown).apply()
    block = "".join(f"        {key}:\n          $file: {name}\n" for key, name in files.items())
    verified = "      ssl:\n        ca:\n          $file: ca.pem\n        rejectUnauthorized: true\n"
    assert verified + block in path.read_text()
    assert not change(ca="ca.pem", client_certificate=shown).apply()["changed"]
    gone = {**shown, "state": "absent"}
    preview = change(True, ca="ca.pem", client_certificate=gone).apply()
    assert preview["changed"]
    assert f"{path} and {files['key']} and {files['cert']} would be changed." in preview["msg"]
    done = change(ca="ca.pem", client_certificate=gone).apply()
    keys = [f"backend.database.connection.ssl.{key}" for key in ("cert", "key")]
    assert (done["changed"], done["removed"]) == (True, keys)
    assert verified in path.read_text()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["app-config.yaml"]
    assert not change(ca="ca.pem", client_certificate=gone).apply()["changed"]


def test_a_client_certificate_that_the_user_put_there_stays(change, tmp_path):
    files = {key: str(tmp_path / f"client.{key}") for key in ("cert", "key")}
    for name in files.values():
        pathlib.Path(name).write_text("-----BEGIN CERTIFICATE-----\n")
    change(ca="ca.pem", client_certificate={**files, "state": "present"}).apply()
    gone = {**files, "state": "absent"}
    assert not change(ca="ca.pem", client_certificate=gone).apply()["changed"]
    assert {entry.name for entry in tmp_path.iterdir()} == {"app-config.yaml", "client.cert", "client.key"}
    # Without the certificate Backstage would not start.
    (tmp_path / "client.cert").unlink()
    assert change(ca="ca.pem", client_certificate=gone).apply()["removed"]
    assert (tmp_path / "client.key").exists()


def test_a_client_certificate_of_the_user_stays(change, tmp_path):
    path = tmp_path / "app-config.yaml"
    own = {"connection": {"ssl": {"cert": {"$file": "my.crt"}, "key": {"$file": "my.key"}}}}
    change(ca="ca.pem", database=own).apply()
    for more in ({}, {"client_certificate": {**CLIENT, "state": "absent"}}):
        assert not change(ca="ca.pem", **more).apply()["changed"]
    assert "$file: my.key" in path.read_text()


def test_a_client_certificate_needs_an_authority(change):
    with pytest.raises(CollectionError, match=r"^client_certificate: is shown with TLS only, and ca is not set"):
        change(client_certificate=CLIENT).apply()
