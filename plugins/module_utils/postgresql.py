# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting to a PostgreSQL server: the modules' options, the OS user of peer authentication, the error texts.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_PORT = 5432
SSL_MODES = ("allow", "disable", "prefer", "require", "verify-ca", "verify-full")
# Debian's and the PGDG packages' place, then that of a server built from the sources.
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")
MISSING_LIBRARY = (
    "The Python library psycopg2 is missing on this host; install the package python3-psycopg2 "
    "(for the interpreter that Ansible uses here)."
)


class PostgresqlError(Exception):
    """A server cannot be reached, does not let the user in, or refuses a statement.

    Attributes:
        reason: one of `library` (psycopg2 is missing), `unreachable`, `os_user` (no such user, or not root),
            `password` (a wrong one), `no_login` and `no_connect` (the password was right, but the role may not),
            `refused` (any other answer of the server at login), `tls`, `option` (what was asked cannot be) and
            `statement`.

    The text is one sentence or two with the remedy, and holds no secret.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


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
    if wanted["login_password"]:
        settings["password"] = wanted["login_password"]
    if wanted["ca_cert"]:
        settings["sslrootcert"] = wanted["ca_cert"]
    with _no_libpq_environment(), _effective_user(_account(wanted, host, os_user)):
        try:
            return psycopg2.connect(**settings)
        except (psycopg2.Error, UnicodeError) as error:
            text = _one_line(str(error))
            who = _os_user_name()
        raise _explained(text, wanted, host, who)


def statement_error(error: Any) -> PostgresqlError:
    """What a psycopg2 error says, in one line; the statement's text is not in it."""
    diagnosis: Any = getattr(error, "diag", None)
    text = _one_line(getattr(diagnosis, "message_primary", None) or str(error))
    if getattr(diagnosis, "message_detail", None):
        text += f" ({_one_line(diagnosis.message_detail)})"
    if "statement pooling mode" in text:
        remedy = "a pooler in statement mode cannot run a transaction; name the server itself as login_host"
    elif "server closed the connection" in text:
        remedy = "read its log; a pooler in between, where there is one, must not be in statement mode"
    elif "read-only transaction" in text:
        remedy = "this is a standby or a read-only session; name the primary server as login_host"
    elif "concurrently updated" in text or "already exists" in text:
        remedy = "another session changed the role at the same moment; run again"
    elif "lock timeout" in text:
        remedy = "another session holds the role; run again when it has ended"
    elif error.__class__.__name__ == "InsufficientPrivilege":
        remedy = "log in as a superuser, or as the role itself"
    else:
        remedy = "the transaction was rolled back"
    return PostgresqlError(f"The server refuses: {text}; {remedy}.", "statement")


def quoted_identifier(name: str) -> str:
    """A name as it stands in SQL (PostgreSQL manual, 4.1.1).

    Raises:
        PostgresqlError: it is empty, has a NUL, or is longer than the 63 bytes to which the server would cut it.
    """
    if not name or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > 63:
        raise PostgresqlError(
            f"{name[:80]!r} is no name for a role: PostgreSQL takes 1 to 63 bytes without NUL.", "option"
        )
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


def _os_user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


# What libpq or a server (also pgbouncer) says at login, as a pattern; why; and what to do about it.
_LOGIN_ERRORS = (
    (
        r"password authentication failed|SASL authentication failed|auth failed",
        "password",
        "The server at {where} refuses the password of {user}; correct login_user and login_password.",
    ),
    (
        r"no password supplied",
        "password",
        "The server at {where} wants a password of {user}; give login_password.",
    ),
    (
        r"[Pp]eer authentication failed",
        "refused",
        "The server at {where} refuses the OS user {who} as {user} (peer authentication); set os_user to the OS user "
        "that pg_hba.conf and pg_ident.conf let in (usually postgres, which needs `become: true`), or give login_host "
        "and login_password.",
    ),
    (
        r"[Ii]dent authentication failed",
        "refused",
        "The server at {where} refuses {user} by ident; have pg_hba.conf ask this address for scram-sha-256.",
    ),
    (r'role ".*" does not exist|no such user', "refused", "There is no role {user} at {where}; correct login_user."),
    (
        r'database ".*" does not exist|no such database',
        "refused",
        "There is no database {database} at {where}; correct login_db.",
    ),
    (
        r'role ".*" is not permitted to log in',
        "no_login",
        "The role {user} at {where} may not log in; give it LOGIN, or use another login_user.",
    ),
    (
        r"permission denied for database",
        "no_connect",
        "{user} may not connect to the database {database} at {where}; grant CONNECT, or use another login_db.",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "refused",
        "The access rules of the server at {where} do not let {user} into {database} from this host ({text}); add a "
        "rule to pg_hba.conf.",
    ),
    (
        r"server does not support SSL|SSL required|SSL off",
        "tls",
        "The server at {where} speaks no TLS, and ssl_mode is {ssl_mode}; turn on TLS there, or choose another "
        "ssl_mode.",
    ),
    (
        r'root certificate file ".*" does not exist|root certificate',
        "tls",
        "ssl_mode {ssl_mode} needs the certificate of the server's CA: give ca_cert ({text}).",
    ),
    (
        r"certificate verify failed|does not match host name|certificate",
        "tls",
        "The TLS certificate of the server at {where} is not trusted ({text}); correct ca_cert, or use as login_host "
        "the name that the certificate carries.",
    ),
    (r"SSL", "tls", "TLS with the server at {where} fails ({text}); look at ssl_mode and ca_cert."),
    (
        r"starting up|shutting down|recovery mode|not yet accepting|not accepting connections",
        "unreachable",
        "The server at {where} is not ready ({text}); run again when it is.",
    ),
    (
        r"too many (clients|connections)|remaining connection slots|no more connections",
        "refused",
        "The server at {where} has no free connection ({text}); end some, or raise max_connections.",
    ),
    (
        r"could not translate host name|Name or service not known",
        "unreachable",
        "The host name in login_host ({host}) cannot be resolved; correct it.",
    ),
    (
        r"timeout expired|timed out|server_login_retry|pgbouncer cannot connect",
        "unreachable",
        "The server at {where} does not answer in {connect_timeout} s; see that it is up and that no firewall is in "
        "the way.",
    ),
    (
        r"Connection refused|No such file or directory|Network is unreachable|No route to host",
        "unreachable",
        "No PostgreSQL server answers at {where}; start it, or correct {address}.",
    ),
    (
        r"Permission denied",
        "refused",
        "The OS user {who} may not use the socket {where}; set os_user to the one that owns it, or give login_host.",
    ),
    (
        r"server closed the connection|Connection reset",
        "unreachable",
        "The server at {where} closes the connection; see that it is PostgreSQL, and read its log.",
    ),
)


def _explained(text: str, wanted: Mapping[str, Any], host: str, who: str) -> PostgresqlError:
    port = wanted["login_port"]
    on_socket = host.startswith("/")
    facts = {
        "where": f"{host}/.s.PGSQL.{port}" if on_socket else f"{host} port {port}",
        "address": "login_unix_socket and login_port" if on_socket else "login_host and login_port",
        "host": host,
        "user": wanted["login_user"],
        "database": wanted["login_db"],
        "ssl_mode": wanted["ssl_mode"],
        "connect_timeout": wanted["connect_timeout"],
        "who": who,
        "text": text,
    }
    for pattern, reason, sentence in _LOGIN_ERRORS:
        if re.search(pattern, text):
            return PostgresqlError(sentence.format(**facts), reason)
    return PostgresqlError(f"No connection to the server at {facts['where']} as {facts['user']}: {text}.", "refused")
