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
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    authentication,
    client_certificate,
    session,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import (
    DEFAULT_PORT,
    PORT_RANGE,
    is_port,
)

SSL_MODES = ("allow", "disable", "prefer", "require", "verify-ca", "verify-full")
# What cannot be known before site.yml has run; check mode does not fail for it.
NOT_YET = ("library", "unreachable", "os_user")
CHANNEL_BINDINGS = ("disable", "prefer", "require")
# Debian's and the PGDG packages' place, then that of a server built from the sources.
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")

# The reasons that a CollectionError of `connect` has: `library` (psycopg2 is missing), `unreachable`, `os_user` (no
# such user, or not root), `password` (a wrong one), `no_login` and `no_connect` (the password was right, but the user
# may not), `refused` (any other answer of the server at login), `tls`, `client_certificate` (none, or one that the
# server rejects), `channel_binding`, `peer` (a socket of somebody else's), `method_` and the method that the server
# asked for, and `option` (what was given cannot be).


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
        "ssl_cert": {"type": "path"},
        "ssl_key": {"type": "path", "no_log": False},
        "require_auth": {"type": "str", "default": authentication.DEFAULT},
        "channel_binding": {"type": "str", "choices": list(CHANNEL_BINDINGS)},
        "connect_timeout": {"type": "int", "default": 15},
        "os_user": {"type": "str"},
    }


def connect(params: Mapping[str, Any], os_user: str | None = None, seconds: float = session.SESSION_SECONDS) -> Any:
    """Open a connection, with autocommit off.

    Neither the environment (PGHOST and the others) nor a password file or service file has a say. Run
    `session.BEGIN`, `session.BEGIN_READ_ONLY`, `session.OUTSIDE` or `session.read_only` before anything else.

    Args:
        params: the options of `connection_argument_spec`, but for `os_user`. What is left out or None has its default.
            `ssl_cert` and `ssl_key` may be PEM text as well.
        os_user: who to be for the server's peer authentication, when this process is root and the connection goes
            through the socket. None: the OS user of the same name as `login_user`, where there is one.
        seconds: after which the connection is ended.

    Returns:
        A psycopg2 connection whose client encoding is UTF-8. Its attribute `login_warnings` holds sentences.

    Raises:
        CollectionError: no connection; the process has its own effective uid again. The reasons are above.
    """
    wanted: dict[str, Any] = {name: option.get("default") for name, option in connection_argument_spec().items()}
    wanted.update({name: value for name, value in params.items() if name in wanted and value is not None})
    _check(wanted)
    with client_certificate.as_files(wanted["ssl_cert"], wanted["ssl_key"]) as (certificate, key):
        return _connected({**wanted, "ssl_cert": certificate, "ssl_key": key}, os_user, seconds)


def _connected(wanted: Mapping[str, Any], os_user: str | None, seconds: float) -> Any:
    psycopg2 = _psycopg2()
    libpq = psycopg2.extensions.libpq_version()
    host = _host(wanted)
    settings = _settings(wanted, host, os_user, libpq)
    settings["connection_factory"] = session.limited(psycopg2.extensions.connection, seconds)
    uid = _account(wanted, host, os_user)

    def attempt(password: str | None) -> tuple[Any, str]:
        """The connection, or None and libpq's text."""
        given = {**settings, "password": password} if password else settings
        # SO_PEERCRED (unix(7)) carries the effective uid of the connect call.
        with _no_libpq_environment(), _english(), acting_as(ids_of(uid)):
            try:
                return psycopg2.connect(**given), ""
            except (psycopg2.Error, UnicodeError) as error:
                return None, str(error)

    over_tcp = wanted["login_password"] and not host.startswith("/")
    warnings = _check_server(wanted, host, libpq) if over_tcp else []
    connection, text = attempt(wanted["login_password"])
    if connection is None:
        from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection_errors

        raise connection_errors.at_login(text, wanted, host, _os_user_name(uid), attempt)
    allowed = authentication.methods(wanted["require_auth"])
    if over_tcp and allowed and "none" not in allowed and not connection.info.used_password:
        from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import server_proof

        connection.close()
        raise server_proof.rejected("none", f"{host} port {wanted['login_port']}")
    connection.login_warnings = warnings
    return connection


def _check_server(wanted: Mapping[str, Any], host: str, libpq: int) -> list[str]:
    """What an old libpq leaves to be checked; warnings."""
    if libpq >= authentication.LIBPQ_WITH_REQUIRE_AUTH:
        return []
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import server_proof

    return server_proof.check_server(wanted, host, libpq)


def _settings(wanted: Mapping[str, Any], host: str, os_user: str | None, libpq: int) -> dict[str, Any]:
    """What libpq is told, but for the password."""
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
        "sslcert": wanted["ssl_cert"],
        "sslkey": wanted["ssl_key"],
    }
    if wanted["ca_cert"]:
        settings["sslrootcert"] = wanted["ca_cert"]
    if host.startswith("/"):
        peer = authentication.socket_peer(host, wanted["login_port"], os_user or wanted["os_user"])
        if peer:
            settings["requirepeer"] = peer
    elif wanted["login_password"]:
        settings.update(authentication.settings(wanted, libpq))
    return settings


def statement_error(error: Any) -> CollectionError:
    """A psycopg2 error at a statement as an error of ours; the statement's text is not in it."""
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection_errors

    return connection_errors.at_statement(error)


def _psycopg2() -> Any:
    # psycopg2 imports ssl for the sake of OpenSSL before 1.1, and does without where it cannot: that saves a tenth of
    # the CPU of a task with nothing to do.
    hidden = sys.modules.setdefault("ssl", None) is None  # type: ignore[arg-type]
    try:
        import psycopg2
    except ImportError as error:
        if getattr(error, "name", None) not in (None, "psycopg2"):
            raise CollectionError(
                f"psycopg2 does not load: {error}.", "Reinstall python3-psycopg2.", "library"
            ) from error
        raise CollectionError(
            f"{sys.executable} does not find the Python library psycopg2.",
            "Install the package python3-psycopg2. It is for the distribution's own interpreter, /usr/bin/python3: set "
            "ansible_python_interpreter to that, or install psycopg2 for this one.",
            "library",
        ) from error
    finally:
        if hidden:
            del sys.modules["ssl"]
    return psycopg2


def _check(wanted: Mapping[str, Any]) -> None:
    if not is_port(wanted["login_port"]):
        raise CollectionError(
            f"login_port: {wanted['login_port']} is not a TCP port.", f"Use a number from {PORT_RANGE}.", "option"
        )
    for name, value in wanted.items():
        if isinstance(value, str) and "\0" in value:
            raise CollectionError(
                f"{name} holds a NUL character, which PostgreSQL cannot take.", "Remove it.", "option"
            )
    client_certificate.check(wanted["ssl_cert"], wanted["ssl_key"])
    certificate = wanted["ca_cert"]
    if certificate and certificate != "system" and not os.access(certificate, os.R_OK):
        raise CollectionError(
            f"ca_cert: the file {certificate} is missing or not readable.",
            "Put the certificate of the server's CA there.",
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
        raise CollectionError(
            f"os_user: the OS user {os_user} does not exist on this host.",
            "Install the server first, or set os_user to another.",
            "os_user",
        ) from None
    if own in (0, account.pw_uid):
        return account.pw_uid
    if not os_user:
        return own
    raise CollectionError(
        f"os_user is {os_user}, and only root can become that user.", "Run with `become: true`.", "os_user"
    )


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
    """Have libpq's own texts as `connection_errors` knows them; AnsibleModule takes its locale from the environment."""
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
