# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL allows as a port and as a name, said once.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

DEFAULT_PORT = 5432
MAX_PORT = 65535
PORT_RANGE = f"1 to {MAX_PORT}"
NAME_BYTES = 63  # NAMEDATALEN - 1: the server cuts longer names without an error.


def is_port(value: object) -> bool:
    """Whether an integer, or a string of decimal digits, is a TCP port."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= MAX_PORT
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PORT


def is_long(name: str) -> bool:
    """Whether the server would cut this name."""
    return len(name.encode("utf-8", "replace")) > NAME_BYTES


def quoted_identifier(name: str, option: str = "name") -> str:
    """A name as it stands in SQL (PostgreSQL manual, 4.1.1).

    Args:
        name: of a database user, database or schema.
        option: where the user gave it, for the error.

    Raises:
        CollectionError: it is empty, has a NUL, or the server would cut it.
    """
    try:
        valid = name and "\0" not in name and len(name.encode("utf-8", "surrogateescape")) <= NAME_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        valid = False
    if not valid:
        raise CollectionError(
            f"{option}: {name[:80]!r} is not a valid name in PostgreSQL.",
            f"Use 1 to {NAME_BYTES} bytes without NUL.",
            "option",
        )
    return as_identifier(name)


def as_identifier(name: str) -> str:
    """Any string in double quotes, for a sentence that shows SQL. What is executed takes `quoted_identifier`."""
    return '"' + name.replace('"', '""') + '"'
