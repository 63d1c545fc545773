# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import connection_settings
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from hypothesis import given
from hypothesis import strategies as st

SPACES = "\t\n\v\f\r \xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\ufeff"


@pytest.mark.parametrize("space", SPACES)
def test_passwords_that_would_be_trimmed(space):
    for password in (space + "x", "x" + space):
        with pytest.raises(CollectionError, match="trims from a variable"):
            connection_settings.check_password(password, "env")
        connection_settings.check_password(password, "literal")
    connection_settings.check_password(space + "x", "file")
    with pytest.raises(CollectionError, match="trims from a file"):
        connection_settings.check_password("x" + space, "file")


@pytest.mark.parametrize("credentials", connection_settings.CREDENTIALS)
def test_passwords(credentials):
    for password in ("12345", "true", "a\u200bb\x85", "\x85x", "\x1cx", "密碼😀", "a${X}b", "x" * 4096, "a\nb"):
        connection_settings.check_password(password, credentials)
    verifier = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
    wrong = {None: "missing", "": "empty", "a\0b": "NUL", "a\ud800": "UTF-8", verifier: "verifier"}
    for password, text in wrong.items():
        with pytest.raises(CollectionError, match=text):
            connection_settings.check_password(password, credentials)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("", 1, "u"), "host is empty"),
        (("  ", 1, "u"), "host is empty"),
        (("postgres://h/d", 1, "u"), "host is a URL"),
        (("db:5432", 1, "u"), "has a port in it"),
        (("a b", 1, "u"), "white space"),
        (("h", "abc", "u"), "port is 'abc': a TCP port is a number from 1 to 65535"),
        (("h", 0, "u"), "port is 0"),
        (("h", 65536, "u"), "port is 65536"),
        (("h", "-1", "u"), "port is '-1'"),
        (("h", "\uff15\uff14", "u"), "port is"),
        (("h", 1, ""), "user is empty"),
        (("h", 1, " u"), "white space"),
        (("h", 1, "u" * 64), "63 bytes"),
    ],
)
def test_connections_that_cannot_be(given, text):
    with pytest.raises(CollectionError, match=text):
        connection_settings.check_connection(*given)


@pytest.mark.parametrize("host", ["db", "db.example.com", "10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql", None])
def test_connections(host):
    connection_settings.check_connection(host, "65535", "my user")


def test_variables():
    connection_settings.check_variables(connection_settings.VARIABLES)
    for name in ("1A", "A-B", "", "A}", "É"):
        with pytest.raises(CollectionError, match="user_variable is"):
            connection_settings.check_variables({**connection_settings.VARIABLES, "user": name})
    with pytest.raises(CollectionError, match="user_variable and password_variable are both P"):
        connection_settings.check_variables({**connection_settings.VARIABLES, "user": "P", "password": "P"})


def substituted(text):
    """Backstage's substitution where no variable is set; packages/config-loader, sources/transform/substitution.ts."""
    parts = re.split(r"(\$?\$\{[^{}]*\})", text)
    for index in range(1, len(parts), 2):
        assert parts[index].startswith("$$"), "a placeholder was left"
        parts[index] = parts[index][1:]
    return "".join(parts)


@given(st.text(st.sampled_from("${}X:-a'"), max_size=12) | st.text())
def test_escape(text):
    assert substituted(connection_settings.escape(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [("a${X}b", "a$${X}b"), ("$${X}", "$$${X}"), ("${", "${"), ("${a{b}", "${a{b}"), ("$X", "$X"), ("${}", "$${}")],
)
def test_escape_only_what_has_to_be(text, written):
    assert connection_settings.escape(text) == written


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_verified_tls():
    path = connection_settings.verified_tls("/etc/ssl/certs/${X}.pem")
    assert path == {"ssl": {"ca": {"$file": "/etc/ssl/certs/$${X}.pem"}, "rejectUnauthorized": True}}
    assert connection_settings.verified_tls(PEM) == {"ssl": {"ca": PEM, "rejectUnauthorized": True}}
    shown = connection_settings.verified_tls(PEM, ("/c.crt", "/c.key"))["ssl"]
    assert shown == {"ca": PEM, "rejectUnauthorized": True, "cert": {"$file": "/c.crt"}, "key": {"$file": "/c.key"}}


@pytest.mark.parametrize(
    "ca",
    ["", " ", "a\nb", "-----BEGIN RSA PRIVATE KEY-----\nx", PEM + "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN X-----"],
)
def test_what_is_no_authority(ca):
    with pytest.raises(CollectionError, match=r"^ca: "):
        connection_settings.verified_tls(ca)
