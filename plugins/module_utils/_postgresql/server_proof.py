# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a server prove itself where libpq does not insist, and the error for one that does not.

Private to this collection: its interface may change in any release.

SCRAM proves both sides: a server that does not have the user's verifier learns nothing, and cannot answer. libpq 16 and
later reject everything else (require_auth). Older ones do so where TLS is required (channel binding exists in SCRAM
alone). For the rest a login of our own comes first, in which the server has to prove itself: that finds a wrong rule
and an impostor, but not somebody in between who lets this first connection through and answers the second one himself.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram_client
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.authentication import (
    METHODS,
    methods,
    settings,
)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SECONDS = 15.0  # for each answer
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL manual, 55.7 Message Formats
_SASL, _SASL_CONTINUE, _SASL_FINAL = 10, 11, 12
_MOST_BYTES = 1 << 14

_REMEDY = {
    "password": "Have pg_hba.conf of the server use scram-sha-256; where it has to be so, add password to require_auth",
    "md5": "Set the password anew with password_encryption scram-sha-256; where it has to be so, add md5 to "
    "require_auth",
    "none": "A line with trust in pg_hba.conf allows every login; where it has to be so, add none to require_auth",
}


def check_server(wanted: Mapping[str, Any], host: str, libpq: int) -> list[str]:
    """Do what `settings` cannot with an old libpq; returns warnings.

    Raises:
        CollectionError: the server asks for the password in a way that is not allowed; it got none.
    """
    allowed, given = methods(wanted["require_auth"]), settings(wanted, libpq)
    if allowed is None or "require_auth" in given or given.get("channel_binding") == "require":
        return []
    method = _asked(host, wanted)
    if method and method not in allowed:
        raise rejected(method, f"{host} port {wanted['login_port']}")
    if host in _LOOPBACK:
        return []
    return [
        f"libpq {libpq // 10000} cannot enforce require_auth (16 and later can): somebody in between who can answer "
        f"for {host} port {wanted['login_port']} could get the password of {wanted['login_user']}. Set ssl_mode to "
        "verify-full, or update libpq."
    ]


def rejected(method: str, where: str) -> CollectionError:
    """The error for a server that wants another way of logging in than is allowed."""
    said = {
        "password": "asks for the password in clear text",
        "md5": "asks for an md5 hash of the password",
        "none": "allows the login without asking for the password, so it proves nothing",
    }.get(method, f"asks for the method {method}")
    remedy = _REMEDY.get(method, f"Where it has to be so, add {method} to require_auth")
    return CollectionError(f"The server at {where} {said}; it did not get it.", f"{remedy}.", f"method_{method}")


def _asked(host: str, wanted: Mapping[str, Any]) -> str | None:
    """The method that the server asks for on a connection of its own; None: it does not say, or rejects the login.

    Raises:
        CollectionError: it asks for SCRAM, and does not prove that it has the user's verifier.
    """
    timeout = float(wanted["connect_timeout"] or _SECONDS)
    with contextlib.suppress(OSError), socket.create_connection((host, wanted["login_port"]), timeout) as server:
        server.sendall(_start(wanted["login_user"], wanted["login_db"]))
        code, data = _request(server)
        if code == _SASL and b"SCRAM-SHA-256\0" in data:
            exchange = scram_client.Exchange(wanted["login_password"])
            later, challenge = _challenge(server, exchange)
            if later == _SASL_CONTINUE and (answer := exchange.final(challenge)):
                server.sendall(_packed(b"p", answer))
                later, data = _request(server)
            # Anything but a request is the server's error, which libpq gets and explains.
            if later is not None and not (later == _SASL_FINAL and exchange.is_proven(data)):
                raise CollectionError(
                    f"The server at {host} port {wanted['login_port']} cannot prove that it knows "
                    f"{wanted['login_user']}: it is an impostor, or something in between changes the login.",
                    "Check the address, and what listens there.",
                    "method_unproven",
                )
        return METHODS.get(code) if code is not None else None
    return None


def offered_iterations(wanted: Mapping[str, Any]) -> int | None:
    """The iterations of a user's verifier, which the server tells everybody before the login; None: it does not.

    Args:
        wanted: the login's host, port, user, database and ssl_mode. The server's certificate does not matter, as
            nothing secret is sent.
    """
    host, encrypted = wanted["login_host"], wanted["ssl_mode"] != "disable"
    if host.startswith("/"):
        return None
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError, ValueError))  # ValueError: a name that cannot be encoded
        server = stack.enter_context(socket.create_connection((host, wanted["login_port"]), _SECONDS))
        if encrypted:
            server = stack.enter_context(_encrypted(server))
        server.sendall(_start(wanted["login_user"], wanted["login_db"]))
        code, data = _request(server)
        if code == _SASL and b"SCRAM-SHA-256\0" in data:
            found = re.search(rb"(?:^|,)i=([0-9]{1,10})(?:,|$)", _challenge(server, scram_client.Exchange(""))[1])
            return int(found.group(1)) if found else None
    return None


def agrees_to_tls(plain: socket.socket) -> bool:
    """Ask a server for TLS on a new connection; where it agrees, the handshake comes next."""
    plain.sendall(_SSL_REQUEST)
    return plain.recv(1) == b"S"


def _encrypted(plain: socket.socket) -> socket.socket:
    """Raises: OSError: the server speaks no TLS."""
    import ssl  # a tenth of the CPU of a task that only sets a password, which needs it nowhere

    if not agrees_to_tls(plain):
        raise OSError("no TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def _start(user: str, database: str) -> bytes:
    """The first message of a session."""
    names = (("user", user), ("database", database))
    body = b"".join(part.encode("utf-8", "surrogateescape") + b"\0" for pair in names for part in pair)
    return _packed(b"", b"\0\3\0\0" + body + b"\0")


def _challenge(server: socket.socket, exchange: scram_client.Exchange) -> tuple[int | None, bytes]:
    """What the server answers to the first message of SCRAM."""
    first = exchange.first()
    server.sendall(_packed(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
    return _request(server)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _request(server: socket.socket) -> tuple[int | None, bytes]:
    """The code and the data of the server's next authentication request; no code where it sends something else."""
    head = server.recv(9, socket.MSG_WAITALL)
    if len(head) < 9 or head[:1] != b"R":
        return None, b""
    length, code = struct.unpack("!ii", head[1:])
    return code, server.recv(min(max(length - 8, 0), _MOST_BYTES), socket.MSG_WAITALL) if length > 8 else b""
