# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting to a PostgreSQL server: the modules' options, the OS user of peer authentication, the error texts.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import locale
import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

DEFAULT_PORT = 5432
SSL_MODES = ("allow", "disable", "prefer", "require", "verify-ca", "verify-full")
# Debian's and the PGDG packages' place, then that of a server built from the sources.
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")
MISSING_LIBRARY = (
    "The Python library psycopg2 is missing on this host; install the package python3-psycopg2 "
    "(for the interpreter that Ansible uses here)."
)


class PostgresqlError(CollectionError):
    """A server cannot be reached, does not let the user in, or refuses a statement.

    Attributes:
        reason: one of `library` (psycopg2 is missing), `unreachable`, `os_user` (no such user, or not root),
            `password` (a wrong one), `no_login` and `no_connect` (the password was right, but the role may not),
            `refused` (any other answer of the server at login), `tls`, `option` (what was asked cannot be) and
            `statement`.

    The text is one sentence or two with the remedy, and holds no secret.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason=reason)


def connection_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec that goes with the doc fragment `devportal.backstage.connection`."""
    return {
        "login_host": {"type": "str", "default": ""},
        "login_port": {"type": "int", "default": DEFAULT_PORT},
        "login_user": {"type": "str", "default": "postgres"},
        "login_password": {"type": "str", "no_log": True},
        "login_unix_socket": {"type": "path"},
        "login_db": {"type": "str", "default": "postgres"},
        "ssl_mode": {"type": "str", "default": "prefer", "choices": list(SSL_MODES)},
        "ca_cert": {"type": "path"},
        "connect_timeout": {"type": "int", "default": 15},
        "os_user": {"type": "str"},
    }


def connect(params: Mapping[str, Any], os_user: str | None = None) -> Any:
    """Open a connection, with autocommit off.

    Neither the environment (PGHOST and the others) nor a password file or service file has a say.

    Args:
        params: `login_host` (empty: the socket; a path: the socket in that directory), `login_port`, `login_user`,
            `login_password`, `login_unix_socket`, `login_db`, `ssl_mode`, `ca_cert`, `connect_timeout` in seconds.
            What is left out or None has the default of `connection_argument_spec`.
        os_user: who to be for the server's peer authentication, when this process is root and the connection goes
            through the socket. None: the OS user of the same name as `login_user`, where there is one.

    Returns:
        A psycopg2 connection whose client encoding is UTF-8.

    Raises:
        PostgresqlError: no connection; the process has its own effective uid again.
    """
    wanted = {name: option.get("default") for name, option in connection_argument_spec().items()}
    wanted.update({name: value for name, value in params.items() if name in wanted and value is not None})
    _check(wanted)
    psycopg2 = _psycopg2()
    host = _host(wanted)
    settings = {
        "host": host,
        "port": wanted["login_port"],
        "user": wanted["login_user"],
        "dbname": wanted["login_db"],
        "sslmode": wanted["ssl_mode"],
        "connect_timeout": wanted["connect_timeout"],
        "client_encoding": "UTF8",
        "application_name": "devportal.backstage",
        "passfile": "/nonexistent",  # /dev/null would do as well, but libpq warns of it on standard error
    }
    if wanted["ca_cert"]:
        settings["sslrootcert"] = wanted["ca_cert"]
    uid = _account(wanted, host, os_user)

    def attempt(password: str | None) -> tuple[Any, str]:
        """The connection, or None and libpq's text."""
        given = {**settings, "password": password} if password else settings
        with _no_libpq_environment(), _english(), _effective_user(uid):
            try:
                return psycopg2.connect(**given), ""
            except (psycopg2.Error, UnicodeError) as error:
                return None, str(error)

    connection, text = attempt(wanted["login_password"])
    if connection is not None:
        return connection
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
        connection_errors as postgresql_errors,
    )

    raise PostgresqlError(*postgresql_errors.at_login(text, wanted, host, _os_user_name(uid), attempt))


def statement_error(error: Any) -> PostgresqlError:
    """A psycopg2 error at a statement as an error of ours; the statement's text is not in it."""
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
        connection_errors as postgresql_errors,
    )

    return PostgresqlError(postgresql_errors.at_statement(error), "statement")


def quoted_identifier(name: str) -> str:
    """A name as it stands in SQL (PostgreSQL manual, 4.1.1).

    Raises:
        PostgresqlError: it is empty, has a NUL, or is longer than the 63 bytes to which the server would cut it.
    """
    if not name or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > 63:
        raise PostgresqlError(
            f"{name[:80]!r} is no name for a role: PostgreSQL takes 1 to 63 bytes without NUL.", "option"
        )
    return as_identifier(name)


def as_identifier(name: str) -> str:
    """Any string in double quotes, for a sentence that shows SQL. What is executed takes `quoted_identifier`."""
    return '"' + name.replace('"', '""') + '"'


def _psycopg2() -> Any:
    try:
        import psycopg2
    except ImportError as error:
        if getattr(error, "name", None) not in (None, "psycopg2"):
            raise PostgresqlError(f"psycopg2 does not load: {error}. Reinstall python3-psycopg2.", "library") from error
        raise PostgresqlError(MISSING_LIBRARY, "library") from error
    return psycopg2


def _check(wanted: Mapping[str, Any]) -> None:
    if not 1 <= wanted["login_port"] <= 65535:
        raise PostgresqlError(f"login_port is {wanted['login_port']}; give a number from 1 to 65535.", "option")
    for name, value in wanted.items():
        if isinstance(value, str) and "\0" in value:
            raise PostgresqlError(f"{name} holds a NUL character, which PostgreSQL cannot take.", "option")
    certificate = wanted["ca_cert"]
    if certificate and certificate != "system" and not os.access(certificate, os.R_OK):
        raise PostgresqlError(
            f"ca_cert: the file {certificate} is not there or cannot be read; put the server's CA certificate there.",
            "tls",
        )


def _host(wanted: Mapping[str, Any]) -> str:
    """A host name, or the socket's directory."""
    if wanted["login_host"]:
        return str(wanted["login_host"])
    if wanted["login_unix_socket"]:
        return str(wanted["login_unix_socket"])
    for directory in SOCKET_DIRECTORIES:
        if os.path.exists(f"{directory}/.s.PGSQL.{wanted['login_port']}"):
            return directory
    return SOCKET_DIRECTORIES[0]


def _account(wanted: Mapping[str, Any], host: str, os_user: str | None) -> int:
    """The effective uid that the connect call needs."""
    own = os.geteuid()
    if not host.startswith("/"):
        return own
    try:
        account = pwd.getpwnam(os_user or wanted["login_user"])
    except (KeyError, ValueError):
        if not os_user:
            return own
        raise PostgresqlError(
            f"os_user: there is no OS user {os_user} on this host; install the server first, or name another.",
            "os_user",
        ) from None
    if own in (0, account.pw_uid):
        return account.pw_uid
    if not os_user:
        return own
    raise PostgresqlError(
        f"os_user is {os_user}, and only root can become that user; run with `become: true`.", "os_user"
    )


@contextlib.contextmanager
def _effective_user(uid: int) -> Iterator[None]:
    """Be this user for the server: SO_PEERCRED (unix(7)) carries the effective uid of the connect call."""
    own = os.geteuid()
    if uid == own:
        yield
        return
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(own)


@contextlib.contextmanager
def _no_libpq_environment() -> Iterator[None]:
    """Hide what libpq would read from the environment (PostgreSQL manual, 34.15)."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextlib.contextmanager
def _english() -> Iterator[None]:
    """Have libpq's own texts as `postgresql_errors` knows them; AnsibleModule takes its locale from the environment."""
    before = locale.setlocale(locale.LC_MESSAGES)
    locale.setlocale(locale.LC_MESSAGES, "C")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_MESSAGES, before)


def _os_user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
