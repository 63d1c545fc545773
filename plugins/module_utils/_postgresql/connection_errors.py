# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL server, libpq or a pooler says when it rejects something, as an error with a remedy.

Kept apart from `connection`, which loads it when there is an error: a run that has nothing to do shall be quick.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import server_proof

_NO_PASSWORD = "no password supplied"
_WRONG_PASSWORD = (
    "The server at {where} rejects the password of {user}.",
    "Correct login_user and login_password.",
)
# What libpq's require_auth says, and the method that the server asked for.
_REJECTED_METHODS = (
    ("requested a cleartext password", "password"),
    ("requested a hashed password", "md5"),
    ("did not complete authentication", "none"),
    ("requested GSSAPI|requested SSPI", "gss"),
)
# libpq adds the system's own words for these to its message.
_UNREACHABLE = (errno.ECONNREFUSED, errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH)
# What libpq or a server (also pgbouncer) says at login, as a pattern; why; what is wrong; and what to do about it.
_LOGIN_ERRORS = (
    (
        r"channel binding (is )?required|server offered SCRAM-SHA-256-PLUS authentication over a non-SSL",
        "channel_binding",
        "The server at {where} offers no channel binding, as a connection pooler or a TLS proxy in between does not.",
        "With ssl_mode verify-full, set channel_binding to prefer.",
    ),
    (
        r"requirepeer specifies",
        "peer",
        "The socket {where} is not served by the OS user that owns it ({text}).",
        "Set login_unix_socket to the directory of the server's socket.",
    ),
    (r"password authentication failed|SASL authentication failed|auth failed", "password", *_WRONG_PASSWORD),
    (
        _NO_PASSWORD,
        "password",
        "The server at {where} asks for a password of {user}.",
        "Set login_password.",
    ),
    (
        r"[Pp]eer authentication failed",
        "refused",
        "The server at {where} rejects the OS user {who} as {user} (peer authentication).",
        "Set os_user to the OS user that pg_hba.conf and pg_ident.conf allow (usually postgres, which needs "
        "`become: true`), or set login_host and login_password.",
    ),
    (
        r"[Ii]dent authentication failed",
        "refused",
        "The server at {where} rejects {user} by ident.",
        "Use scram-sha-256 for this address in pg_hba.conf.",
    ),
    (
        r'role ".*" does not exist|no such user',
        "refused",
        "The database user {user} does not exist at {where}.",
        "Correct login_user.",
    ),
    (
        r'database ".*" does not exist|no such database',
        "refused",
        "The database {database} does not exist at {where}.",
        "Correct login_db.",
    ),
    (
        r'role ".*" is not permitted to log in',
        "no_login",
        "The database user {user} at {where} is not allowed to log in.",
        "Give it LOGIN, or use another login_user.",
    ),
    (
        r"permission denied for database",
        "no_connect",
        "{user} is not allowed to connect to the database {database} at {where}.",
        "Grant CONNECT, or use another login_db.",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "refused",
        "The access rules of the server at {where} do not allow {user} into {database} from this host ({text}).",
        "Add a rule to pg_hba.conf.",
    ),
    (
        r"server does not support SSL|SSL required|SSL off",
        "tls",
        "The server at {where} has no TLS, and ssl_mode is {ssl_mode}.",
        "Turn on TLS there, or choose another ssl_mode.",
    ),
    (
        r"requires a valid client certificate",
        "client_certificate",
        "The server at {where} demands a client certificate of {user}, and got none.",
        "Set ssl_cert and ssl_key.",
    ),
    (
        r"alert unknown ca",
        "client_certificate",
        "The server at {where} does not trust the CA of the client certificate ({text}).",
        "Use a certificate of a CA in the server's ssl_ca_file.",
    ),
    (
        r"alert certificate expired",
        "client_certificate",
        "The client certificate expired, and the server at {where} rejects it.",
        "Renew it.",
    ),
    (
        r"alert (unsupported|bad) certificate|alert certificate (unknown|revoked)",
        "client_certificate",
        "The server at {where} rejects the client certificate ({text}).",
        "Use one that is valid now, not revoked, and issued for TLS clients.",
    ),
    (
        r"key values mismatch",
        "client_certificate",
        "The private key does not belong to the client certificate.",
        "Use the key that the certificate was issued for.",
    ),
    (
        r"certificate present, but not private key|could not (load private key|read certificate) file|private key file",
        "client_certificate",
        "The client certificate or its private key cannot be read ({text}).",
        "Use PEM files, and a key without passphrase that no other user can read.",
    ),
    (
        r'root certificate file ".*" does not exist|root certificate',
        "tls",
        "ssl_mode {ssl_mode} needs the certificate of the server's CA ({text}).",
        "Set ca_cert.",
    ),
    (
        r"certificate verify failed|does not match host name|certificate",
        "tls",
        "The TLS certificate of the server at {where} is not trusted ({text}).",
        "Correct ca_cert, or use as login_host the name that the certificate carries.",
    ),
    (r"SSL", "tls", "TLS with the server at {where} fails ({text}).", "Check ssl_mode and ca_cert."),
    (
        r"starting up|shutting down|recovery mode|not yet accepting|not accepting connections",
        "unreachable",
        "The server at {where} is not ready ({text}).",
        "Run again when it is.",
    ),
    (
        r"too many (clients|connections)|remaining connection slots|no more connections",
        "refused",
        "The server at {where} has no free connection ({text}).",
        "End some, or raise max_connections.",
    ),
    (
        r"could not translate host name|Name or service not known",
        "unreachable",
        "The host name in login_host ({host}) cannot be resolved.",
        "Correct it.",
    ),
    (
        r"timeout expired|timed out|server_login_retry|pgbouncer cannot connect",
        "unreachable",
        "The server at {where} does not answer in {connect_timeout} s.",
        "Check that it is up and that no firewall blocks it.",
    ),
    (
        "|".join(map(os.strerror, _UNREACHABLE)),
        "unreachable",
        "No PostgreSQL server answers at {where}.",
        "Start it, or correct {address}.",
    ),
    (
        r"Permission denied",
        "refused",
        "The OS user {who} is not allowed to use the socket {where}.",
        "Set os_user to the one that owns it, or set login_host.",
    ),
    (
        r"server closed the connection|Connection reset",
        "unreachable",
        "The server at {where} closes the connection.",
        "Check that it is PostgreSQL, and read its log.",
    ),
)


def at_login(
    text: str, wanted: Mapping[str, Any], host: str, who: str, attempt: Callable[[str | None], tuple[Any, str]]
) -> CollectionError:
    """Explain a failed login.

    Args:
        text: libpq's.
        wanted: the options of `connection.connect`.
        host: the host's name, or the directory of the socket.
        who: the OS user that connected.
        attempt: logs in with another password, or with none; gives a connection, or None and libpq's text.

    Returns:
        The error, with a reason as `connection` lists them.
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
    for pattern, method in _REJECTED_METHODS:
        if "authentication method requirement" in text and re.search(pattern, text):
            return server_proof.rejected(method, facts["where"])
    for pattern, reason, message, remedy in _LOGIN_ERRORS:
        if re.search(pattern, text):
            return CollectionError(message.format(**facts), remedy.format(**facts), reason)
    if wanted["login_password"] and _is_wrong_password(said, attempt):
        message, remedy = _WRONG_PASSWORD
        return CollectionError(message.format(**facts), remedy.format(**facts), "password")
    return CollectionError(
        f"No connection to the server at {facts['where']} as {facts['user']}: {text}.", "", "refused"
    )


def _is_wrong_password(text: str, attempt: Callable[[str | None], tuple[Any, str]]) -> bool:
    """Whether this is how a server rejects any wrong password: its texts are in the language of its lc_messages."""

    def answer(password: str | None) -> str:
        connection, said = attempt(password)
        if connection is not None:
            connection.close()
        return said

    return _NO_PASSWORD in answer(None) and answer(secrets.token_hex(16)) == text


def at_statement(error: Any) -> CollectionError:
    """Explain a psycopg2 error at a statement; the statement's text is not in it."""
    connection: Any = getattr(getattr(error, "cursor", None), "connection", None)
    if getattr(connection, "timed_out", False):
        return CollectionError(
            f"The server did not answer within {connection.seconds_allowed:.0f} s; the connection was ended.",
            "Check that it is PostgreSQL and not overloaded, and read its log.",
            "unreachable",
        )
    diagnosis: Any = getattr(error, "diag", None)
    text = _one_line(getattr(diagnosis, "message_primary", None) or str(error))
    if getattr(diagnosis, "message_detail", None):
        text += f" ({_one_line(diagnosis.message_detail)})"
    if "server closed the connection" in text:
        remedy = "Read its log; a pooler in between must not be in statement mode"
    elif "read-only transaction" in text:
        remedy = "This is a standby or a read-only session: set login_host to the primary server"
    elif "concurrently updated" in text or "already exists" in text:
        remedy = "Another session changed the same object at the same moment: run again"
    elif "lock timeout" in text:
        remedy = "Another session holds the lock: run again when it has ended"
    elif "statement timeout" in text:
        remedy = "The server is overloaded, or another session holds a lock: run again"
    elif error.__class__.__name__ == "InsufficientPrivilege":
        remedy = "Log in as a superuser, or as the database user itself"
    else:
        remedy = "The transaction was rolled back"
    return CollectionError(f"The server rejects the statement: {text}.", f"{remedy}.", "statement")


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
