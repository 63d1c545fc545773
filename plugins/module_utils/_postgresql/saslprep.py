# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SASLprep (RFC 4013) as PostgreSQL does it, for the passwords that are not plain ASCII.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import stringprep
from unicodedata import category, normalize


def prepare(password: bytes) -> bytes:
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
    return normalize("NFKC", mapped).encode() if _allowed(mapped) else password


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
    return normalize("NFKC", mapped) == password and not any(
        category(character) in ("Cn", "Cs") for character in password
    )


def _mapped(text: str) -> str:
    return "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )


def _allowed(mapped: str) -> bool:
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
