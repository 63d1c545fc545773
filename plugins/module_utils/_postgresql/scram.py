# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 7677), with PostgreSQL's own SASLprep (RFC 4013).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
from typing import NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

PREFIX = "SCRAM-SHA-256$"
DEFAULT_ITERATIONS = 4096  # RFC 7677, and PostgreSQL's default for scram_iterations
MAX_ITERATIONS = 2**31 - 1
# What is still computed for a stored verifier, some 3 s: a database user chooses its own, and could choose hours.
COMPUTED_ITERATIONS = 5_000_000
NODE_PG_MAX_ITERATIONS = 100_000  # lib/crypto/sasl.js of the npm package pg 8.23: more is refused at login
SALT_BYTES = 16
_KEY_BYTES = 32
_DIGITS = frozenset("0123456789")
_HEXADECIMAL = frozenset("0123456789abcdef")


class Verifier(NamedTuple):
    """What a server needs to check a password (RFC 5802, section 3); its text form is PostgreSQL's rolpassword."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"Verifier(iterations={self.iterations})"

    def __str__(self) -> str:
        salt, stored, server = (_base64(part) for part in self[1:])
        return f"{PREFIX}{self.iterations}:{salt}${stored}:{server}"


def _prepared(password: bytes) -> bytes:
    """SASLprep; pure ASCII passes untouched."""
    if password.isascii():
        return password
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import saslprep

    return saslprep.prepare(password)


def make(password: str, iterations: int = DEFAULT_ITERATIONS, salt: bytes | None = None) -> Verifier:
    """The verifier of a password in clear.

    Args:
        password: not empty, without NUL. Bytes that are no UTF-8 come as Python's surrogate escapes.
        iterations: of PBKDF2, 1 to 2147483647.
        salt: 16 random bytes when left out.

    Raises:
        CollectionError: the password or the count cannot be.
    """
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise CollectionError(f"iterations: {iterations} is out of range.", f"Use a number from 1 to {MAX_ITERATIONS}.")
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    client_key, server_key = keys(password, iterations, salt)
    return Verifier(iterations, salt, hashlib.sha256(client_key).digest(), server_key)


def keys(password: str, iterations: int, salt: bytes) -> tuple[bytes, bytes]:
    """ClientKey and ServerKey (RFC 5802, section 3). Raises: CollectionError where the password cannot be one."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(_clear(password)), salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def parse(text: str) -> Verifier:
    """Read a verifier in PostgreSQL's form, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.

    Stricter than the server, which takes text in any other form for a password in clear.

    Raises:
        CollectionError: it is in another form.
    """
    if not text.startswith(PREFIX):
        raise CollectionError(f"A verifier begins with {PREFIX}.")
    head, _dollar, keys = text[len(PREFIX) :].partition("$")
    count, _colon, salt = head.partition(":")
    stored_key, _colon, server_key = keys.partition(":")
    if not count or not _DIGITS.issuperset(count) or len(count) > 10 or not 1 <= int(count) <= MAX_ITERATIONS:
        raise CollectionError(f"The iteration count of the verifier is not a number from 1 to {MAX_ITERATIONS}.")
    verifier = Verifier(int(count), *(_unbase64(part) for part in (salt, stored_key, server_key)))
    if not verifier.salt:
        raise CollectionError("The salt of the verifier is empty.")
    if len(verifier.stored_key) != _KEY_BYTES or len(verifier.server_key) != _KEY_BYTES:
        raise CollectionError(f"The keys of the verifier are not {_KEY_BYTES} bytes each.")
    if str(verifier) != text:
        raise CollectionError("The verifier is not in the form that PostgreSQL writes.")
    return verifier


def kind(stored: str | None) -> str:
    """How a rolpassword is stored: `none`, `md5`, `scram-sha-256`, or `unknown` for a form of neither."""
    if stored is None:
        return "none"
    if is_md5(stored):
        return "md5"
    try:
        parse(stored)
    except CollectionError:
        return "unknown"
    return "scram-sha-256"


def is_md5(text: str) -> bool:
    """Whether PostgreSQL takes this text for a ready md5 hash (src/backend/libpq/crypt.c)."""
    return len(text) == 35 and text.startswith("md5") and _HEXADECIMAL.issuperset(text[3:])


def matches(stored: str | None, password: str, role: str) -> bool:
    """Whether a rolpassword, md5 or SCRAM, is that of this password for this user.

    A verifier with more than `COMPUTED_ITERATIONS` counts as another password's.

    Raises:
        CollectionError: the password cannot be one (empty, NUL).
    """
    clear = _clear(password)
    if stored is None:
        return False
    if is_md5(stored):
        digest = hashlib.md5(clear + role.encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(stored, "md5" + digest)
    try:
        verifier = parse(stored)
    except CollectionError:
        return False
    if verifier.iterations > COMPUTED_ITERATIONS:
        return False
    return hmac.compare_digest(make(password, verifier.iterations, verifier.salt).stored_key, verifier.stored_key)


def check_password(password: str) -> None:
    """Reject a password that PostgreSQL cannot take.

    Raises:
        CollectionError: it is empty, or holds what is no character of a password.
    """
    _clear(password)


def _clear(password: str) -> bytes:
    if not password:
        raise CollectionError(
            "The password is empty, and PostgreSQL rejects every login with an empty one.", "Choose another."
        )
    if "\0" in password:
        raise CollectionError("The password holds a NUL character, which PostgreSQL cannot take.", "Choose another.")
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise CollectionError(
            "The password holds half of a surrogate pair, which is not a character.", "Choose another."
        ) from None


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _unbase64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"))
    except ValueError:
        raise CollectionError("The salt or a key of the verifier is not base64.") from None
