# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's side of a SCRAM-SHA-256 login (RFC 5802), to have a server prove itself where libpq does not insist.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram


class Exchange:
    """One login. The messages are those of the RFC, without channel binding."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._nonce = secrets.token_urlsafe(18)
        self._signature = b""

    def first(self) -> bytes:
        """The client's first message."""
        return f"n,,{self._bare}".encode()

    @property
    def _bare(self) -> str:
        return f"n=,r={self._nonce}"  # PostgreSQL takes the name from the start-up message

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's first message; empty where that cannot be one."""
        try:
            text = challenge.decode()
            parts = dict(part.split("=", 1) for part in text.split(","))
            nonce, salt, iterations = parts["r"], base64.b64decode(parts["s"], validate=True), int(parts["i"])
        except (ValueError, KeyError):
            return b""
        if not nonce.startswith(self._nonce) or not salt or not 1 <= iterations <= scram.COMPUTED_ITERATIONS:
            return b""
        client_key, server_key = scram.keys(self._password, iterations, salt)
        bare = f"c=biws,r={nonce}"
        message = f"{self._bare},{text},{bare}".encode()
        stored_key = hashlib.sha256(client_key).digest()
        proof = bytes(one ^ other for one, other in zip(client_key, hmac.digest(stored_key, message, "sha256")))
        self._signature = hmac.digest(server_key, message, "sha256")
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def is_proven(self, final: bytes) -> bool:
        """Whether the server's last message shows that it has the user's verifier."""
        wanted = b"v=" + base64.b64encode(self._signature)
        return bool(self._signature) and hmac.compare_digest(final, wanted)
