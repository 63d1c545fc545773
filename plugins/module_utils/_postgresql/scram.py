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
NODE_PG_MAX_ITERATIONS = 100_000  # lib/crypto/sasl.js of the npm package pg 8.23: more is refused at login
SALT_BYTES = 16
_KEY_BYTES = 32
_DIGITS = frozenset("0123456789")
_HEXADECIMAL = frozenset("0123456789abcdef")


class ScramError(CollectionError):
    """A text is not what it should be; the message never holds the text."""


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


def saslprep(password: bytes) -> bytes:
    """Prepare a password as PostgreSQL's server and libpq do (src/common/saslprep.c).

    Pure ASCII passes untouched. What is not UTF-8, or what SASLprep forbids, is used as it is: both sides of PostgreSQL
    do so in place of an error. The forbidden characters are looked for after the mapping and before the normalisation,
    as PostgreSQL does it; the RFC would look after it.
    """
    if password.isascii():
        return password
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    mapped = _mapped(text)
    return _normalised(mapped).encode() if _allowed(mapped) else password


def same_in_node_pg(password: str) -> bool:
    """Whether the npm package pg logs in with this password where libpq does.

    pg (8.23, lib/crypto/sasl.js) maps and normalises every password; it knows no forbidden characters, so it has no
    fall-back to the text as it is. The two differ for a password that SASLprep forbids (a character newer than
    Unicode 3.2 such as an emoji, a control character, right-to-left and left-to-right letters mixed) and that mapping
    and normalisation would also change ("Ⅸ", a no-break space, a soft hyphen). Text with a character that this
    Python's Unicode tables do not know counts as different, because node's may normalise it.
    """
    if password.isascii():
        return True
    mapped = _mapped(password)
    if _allowed(mapped):
        return True
    from unicodedata import category

    return _normalised(mapped) == password and not any(category(character) in ("Cn", "Cs") for character in password)


def make(password: str, iterations: int = DEFAULT_ITERATIONS, salt: bytes | None = None) -> Verifier:
    """The verifier of a password in clear.

    Args:
        password: not empty, without NUL. Bytes that are no UTF-8 come as Python's surrogate escapes.
        iterations: of PBKDF2, 1 to 2147483647.
        salt: 16 random bytes when left out.

    Raises:
        ScramError: the password or the count cannot be.
    """
    clear = _clear(password)
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise ScramError(f"iterations is {iterations}; give a number from 1 to {MAX_ITERATIONS}.")
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(clear), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(iterations, salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def parse(text: str) -> Verifier:
    """Read a verifier in PostgreSQL's form, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.

    Stricter than the server, which takes text in any other form for a password in clear.

    Raises:
        ScramError: it is in another form.
    """
    if not text.startswith(PREFIX):
        raise ScramError(f"A verifier begins with {PREFIX}.")
    head, _dollar, keys = text[len(PREFIX) :].partition("$")
    count, _colon, salt = head.partition(":")
    stored_key, _colon, server_key = keys.partition(":")
    if not count or not _DIGITS.issuperset(count) or len(count) > 10 or not 1 <= int(count) <= MAX_ITERATIONS:
        raise ScramError(f"The iteration count of the verifier is not a number from 1 to {MAX_ITERATIONS}.")
    verifier = Verifier(int(count), *(_unbase64(part) for part in (salt, stored_key, server_key)))
    if not verifier.salt:
        raise ScramError("The salt of the verifier is empty.")
    if len(verifier.stored_key) != _KEY_BYTES or len(verifier.server_key) != _KEY_BYTES:
        raise ScramError(f"The keys of the verifier are not {_KEY_BYTES} bytes each.")
    if str(verifier) != text:
        raise ScramError("The verifier is not in the form that PostgreSQL writes.")
    return verifier


def kind(stored: str | None) -> str:
    """How a rolpassword is stored: `none`, `md5`, `scram-sha-256`, or `unknown` for a form of neither."""
    if stored is None:
        return "none"
    if is_md5(stored):
        return "md5"
    try:
        parse(stored)
    except ScramError:
        return "unknown"
    return "scram-sha-256"


def is_md5(text: str) -> bool:
    """Whether PostgreSQL takes this text for a ready md5 hash (src/backend/libpq/crypt.c)."""
    return len(text) == 35 and text.startswith("md5") and _HEXADECIMAL.issuperset(text[3:])


def matches(stored: str | None, password: str, role: str) -> bool:
    """Whether a rolpassword, md5 or SCRAM, is that of this password for this role.

    Raises:
        ScramError: the password cannot be one (empty, NUL).
    """
    clear = _clear(password)
    if stored is None:
        return False
    if is_md5(stored):
        digest = hashlib.md5(clear + role.encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(stored, "md5" + digest)
    try:
        verifier = parse(stored)
    except ScramError:
        return False
    return hmac.compare_digest(make(password, verifier.iterations, verifier.salt).stored_key, verifier.stored_key)


def check_password(password: str) -> None:
    """Refuse a password that PostgreSQL cannot take.

    Raises:
        ScramError: it is empty, or holds what is no character of a password.
    """
    _clear(password)


def _clear(password: str) -> bytes:
    if not password:
        raise ScramError("The password is empty; PostgreSQL lets nobody log in with an empty password.")
    if "\0" in password:
        raise ScramError("The password holds a NUL character, which PostgreSQL cannot take; choose another.")
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ScramError(
            "The password holds half of a surrogate pair, which is no character; choose another."
        ) from None


def _mapped(text: str) -> str:
    import stringprep

    return "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )


def _normalised(text: str) -> str:
    from unicodedata import normalize

    return normalize("NFKC", text)


def _allowed(mapped: str) -> bool:
    import stringprep

    forbidden = (
        stringprep.in_table_a1,
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if not mapped or any(table(character) for character in mapped for table in forbidden):
        return False
    if any(map(stringprep.in_table_d1, mapped)):
        ends = stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1])
        return ends and not any(map(stringprep.in_table_d2, mapped))
    return True


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _unbase64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"))
    except ValueError:
        raise ScramError("The salt or a key of the verifier is not base64.") from None
