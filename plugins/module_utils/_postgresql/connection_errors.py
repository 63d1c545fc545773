# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL server, libpq or a pooler says when it refuses, as a sentence with the remedy.

Kept apart from `postgresql`, which loads it when there is an error: a run that has nothing to do shall be quick.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Callable

_NO_PASSWORD = "no password supplied"
_WRONG_PASSWORD = "The server at {where} refuses the password of {user}; correct login_user and login_password."
# What libpq or a server (also pgbouncer) says at login, as a pattern; why; and what to do about it.
_LOGIN_ERRORS = (
    (r"password authentication failed|SASL authentication failed|auth failed", "password", _WRONG_PASSWORD),
    (
        _NO_PASSWORD,
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


def at_login(
    text: str, wanted: Mapping[str, Any], host: str, who: str, attempt: Callable[[str | None], tuple[Any, str]]
) -> tuple[str, str]:
    """Explain a failed login.

    Args:
        text: libpq's.
        wanted: the options of `postgresql.connect`.
        host: the host's name, or the directory of the socket.
        who: the OS user that connected.
        attempt: logs in with another password, or with none; gives a connection, or None and libpq's text.

    Returns:
        The sentence, and the reason as `postgresql.PostgresqlError` has it.
    """
    said, text = text, _one_line(text)
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
            return sentence.format(**facts), reason
    if wanted["login_password"] and _is_wrong_password(said, attempt):
        return _WRONG_PASSWORD.format(**facts), "password"
    return f"No connection to the server at {facts['where']} as {facts['user']}: {text}.", "refused"


def _is_wrong_password(text: str, attempt: Callable[[str | None], tuple[Any, str]]) -> bool:
    """Whether this is how a server refuses any wrong password: its texts are in the language of its lc_messages."""

    def answer(password: str | None) -> str:
        connection, said = attempt(password)
        if connection is not None:
            connection.close()
        return said

    return _NO_PASSWORD in answer(None) and answer(secrets.token_hex(16)) == text


def at_statement(error: Any) -> str:
    """Explain a psycopg2 error at a statement; the statement's text is not in the sentence."""
    diagnosis: Any = getattr(error, "diag", None)
    text = _one_line(getattr(diagnosis, "message_primary", None) or str(error))
    if getattr(diagnosis, "message_detail", None):
        text += f" ({_one_line(diagnosis.message_detail)})"
    if "server closed the connection" in text:
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
    return f"The server refuses: {text}; {remedy}."


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
