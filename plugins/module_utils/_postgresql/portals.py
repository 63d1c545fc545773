# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: of a portal, as it stands in file names and comments, and of options, as a message's reader knows them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

_LONGEST = 63  # bytes, as a database user's name, which it is by default


def checked_portal(name: str) -> str:
    """The name itself.

    Raises:
        CollectionError: it cannot stand in a file name or a comment.
    """
    if not name or not name.isprintable() or len(name.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise CollectionError(
            f"O(portal): {name[:80]!r} is not a valid name.", f"Use 1 to {_LONGEST} bytes of printable characters."
        )
    return name


def encoded(portal: str) -> str:
    """The name with letters, digits, "-", "_", "." and "~" only; everything else as in a URL."""
    return quote(portal, safe="")


def decoded(word: str) -> str:
    """The name that `encoded` wrote."""
    return unquote(word)


def option_names(text: str, prefix: str) -> str:
    """A message with its options, written O(name), as its reader knows them.

    Args:
        text: the message.
        prefix: of the variables of the role whose user reads it; empty for the module's own options.
    """

    def name(found: re.Match[str]) -> str:
        option, rest, setting = found.groups()
        # A role has a variable of their own for these two.
        return f"{prefix}{setting}" if prefix and setting else f"{prefix}{option}{rest or ''}"

    return re.sub(r"O\((\w+)\)(:? (port|listen_addresses)\b)?", name, text)
