# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import locale
import os
import sys
import types

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    limits,
    role_password,
    scram,
)


def test_the_spec_and_the_documentation_agree():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    spec = postgresql.connection_argument_spec()
    assert set(documented) == set(spec)
    for name, option in spec.items():
        for key in ("type", "default", "choices"):
            assert documented[name].get(key) == option.get(key), name
    assert spec["login_password"]["no_log"]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("postgres", '"postgres"'), ('a"b', '"a""b"'), ("it's %s", '"it\'s %s"'), ("ü" * 31, '"' + "ü" * 31 + '"')],
)
def test_quoted_identifier(name, quoted):
    assert limits.quoted_identifier(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0", "x" * 64, "ü" * 32])
def test_names_that_cannot_be(name):
    with pytest.raises(CollectionError):
        limits.quoted_identifier(name)


@pytest.mark.parametrize(
    ("params", "reason", "words"),
    [
        ({"login_port": 0}, "option", "login_port: 0"),
        ({"login_port": 65536}, "option", "1 to 65535"),
        ({"login_user": "a\0b"}, "option", "login_user holds a NUL"),
        ({"login_password": "a\0b"}, "option", "login_password holds a NUL"),
        ({"ca_cert": "/nonexistent/ca.pem"}, "tls", "/nonexistent/ca.pem"),
    ],
)
def test_options_that_cannot_be(params, reason, words):
    with pytest.raises(CollectionError, match=words) as caught:
        postgresql.connect(params)
    assert caught.value.reason == reason


def test_the_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(CollectionError, match="python3-psycopg2") as caught:
        postgresql.connect({})
    assert caught.value.reason == "library"


class _Driver:
    """Stands in for psycopg2: notes what it was called with, then fails in the server's words."""

    class Error(Exception):
        pass

    extensions = types.SimpleNamespace(libpq_version=lambda: 170000, connection=object)

    def __init__(self, text):
        self.text = text

    def connect(self, **settings):
        self.settings = settings
        self.environment = dict(os.environ)
        self.uid = os.geteuid()
        self.locale = locale.setlocale(locale.LC_MESSAGES)
        raise self.Error(self.text)


def _failure(monkeypatch, text, **params):
    driver = _Driver(text)
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    with pytest.raises(CollectionError) as caught:
        postgresql.connect({"login_host": "db", "login_password": "s3cr3t", **params})
    assert "s3cr3t" not in str(caught.value)
    return caught.value, driver


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("FATAL:  SASL authentication failed", "password", "login_password"),
        ('FATAL:  Ident authentication failed for user "postgres"', "refused", "scram-sha-256"),
        ("FATAL:  no such database: postgres", "refused", "login_db"),
        ("FATAL:  no such user: postgres", "refused", "login_user"),
        ('FATAL:  role "x y" does not exist', "refused", "does not exist"),
        ("FATAL:  sorry, too many clients already", "refused", "max_connections"),
        ("FATAL:  the database system is starting up", "unreachable", "not ready"),
        ("server closed the connection unexpectedly\n\tThis probably means", "unreachable", "read its log"),
        ('could not translate host name "db" to address: Name or service not known', "unreachable", "(db)"),
        ('connection to server at "db", port 5432 failed: timeout expired', "unreachable", "does not answer in 15 s"),
        ("connection to server failed: SSL error: certificate verify failed", "tls", "ca_cert"),
        ("SSL error: tlsv1 alert", "tls", "TLS"),
        ("FATAL:  etwas ging schief\n", "refused", "etwas ging schief."),
    ],
)
def test_login_errors_name_the_remedy(monkeypatch, text, reason, words):
    error, _driver = _failure(monkeypatch, text)
    assert error.reason == reason
    assert words in str(error)
    assert "\n" not in str(error)


def test_the_environment_has_no_say_and_stays(monkeypatch):
    for name in ("PGHOST", "PGSERVICE", "PGPASSWORD", "PGPASSFILE", "PGOPTIONS"):
        monkeypatch.setenv(name, "x")
    before = dict(os.environ)
    _error, driver = _failure(monkeypatch, "FATAL: no")
    assert not [name for name in driver.environment if name.startswith("PG")]
    assert dict(os.environ) == before
    assert driver.settings["host"] == "db"
    assert not os.path.exists(driver.settings["passfile"])


def test_libpq_speaks_english_only_for_the_call(monkeypatch):
    before = locale.setlocale(locale.LC_MESSAGES)
    locale.setlocale(locale.LC_MESSAGES, "C.UTF-8")
    try:
        _error, driver = _failure(monkeypatch, "FATAL: no")
        assert driver.locale == "C"
        assert locale.setlocale(locale.LC_MESSAGES) == "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_MESSAGES, before)


class _Foreigner(_Driver):
    """Says no by what it is asked with; "in" stands for a login."""

    def __init__(self, own, another, none):
        super().__init__(None)
        self.answers = {"s3cr3t": own, None: none}
        self.another = another
        self.asked = []
        self.open = 0

    def connect(self, **settings):
        self.asked.append(settings.get("password"))
        text = self.answers.get(self.asked[-1], self.another)
        if text != "in":
            raise self.Error(text)
        self.open += 1
        return self

    def close(self):
        self.open -= 1


WRONG = "FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen"
NONE = "fe_sendauth: no password supplied"


@pytest.mark.parametrize(
    ("answers", "reason", "tries"),
    [
        ((WRONG, WRONG, NONE), "password", 3),
        (("FATAL:  Rolle »app« hat keine Berechtigung zum Einloggen", WRONG, NONE), "refused", 3),
        (("FATAL:  Datenbank »x« existiert nicht", "in", "in"), "refused", 2),
        (("FATAL:  Datenbank »x« existiert nicht", "in", NONE), "refused", 3),
        (("FATAL:  schon zu viele Verbindungen",) * 3, "refused", 2),
        (("FATAL:  password authentication failed", "", ""), "password", 1),
    ],
)
def test_a_wrong_password_at_a_server_that_speaks_another_language(monkeypatch, answers, reason, tries):
    driver = _Foreigner(*answers)
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    with pytest.raises(CollectionError) as caught:
        postgresql.connect({"login_host": "db", "login_user": "app", "login_password": "s3cr3t"})
    assert caught.value.reason == reason
    assert (len(driver.asked), driver.open) == (tries, 0)
    assert ("Correct login_user and login_password" in str(caught.value)) is (reason == "password")


def test_without_a_password_nothing_else_is_tried(monkeypatch):
    driver = _Foreigner("", "", WRONG)
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    with pytest.raises(CollectionError):
        postgresql.connect({"login_host": "db"})
    assert driver.asked == [None]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_effective_user_is_another_only_for_the_call(monkeypatch):
    _error, driver = _failure(monkeypatch, "FATAL: no", login_host="/somewhere", login_user="nobody")
    assert driver.uid not in (0, os.geteuid())
    assert os.geteuid() == 0
    _error, driver = _failure(monkeypatch, "FATAL: no", login_user="nobody")
    assert driver.uid == 0  # TCP has no peer authentication


def test_the_socket_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(postgresql, "SOCKET_DIRECTORIES", ("/nonexistent", str(tmp_path)))
    _error, driver = _failure(monkeypatch, "FATAL: no", login_host="", login_user="no such account")
    assert driver.settings["host"] == "/nonexistent"
    (tmp_path / ".s.PGSQL.5433").touch()
    error, driver = _failure(
        monkeypatch, "Connection refused", login_host="", login_user="no such account", login_port=5433
    )
    assert driver.settings["host"] == str(tmp_path)
    assert f"{tmp_path}/.s.PGSQL.5433" in str(error)


def _check(**fields):
    role_password.check(role_password.Wanted(**{"name": "r", "password": "p", **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"password": None},
        {"password": str(scram.make("p", 7)), "iterations": 7},
        {"flags": tuple(flag for flag in role_password.FLAGS if not flag.startswith("NO"))},
        {"valid_until": "infinity"},
    ],
)
def test_what_may_be_wanted(fields):
    _check(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": ""}, "empty"),
        ({"password": "a\0"}, "NUL"),
        ({"password": "md5" + "0" * 32}, "md5"),
        ({"password": "SCRAM-SHA-256$gurk"}, "verifier"),
        ({"password": str(scram.make("p", 7)), "iterations": 8}, "verifier's 7"),
        ({"iterations": 0}, "iterations: 0"),
        ({"name": ""}, "name"),
        ({"flags": ("LOGIN", "NOLOGIN")}, "both LOGIN and NOLOGIN"),
        ({"flags": ("login",)}, "unknown flag 'login'"),
        ({"valid_until": ""}, "valid_until"),
    ],
)
def test_what_may_not_be_wanted(fields, words):
    with pytest.raises(CollectionError, match=words):
        _check(**fields)
