# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the formats of env files share.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)

# A value that every reader takes as it stands, without quotes.
PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+\Z")


@dataclass(frozen=True)
class Assignment:
    """One assignment in a file.

    Attributes:
        name: the variable.
        value: what the format's readers make of it.
        line: 1-based.
        agreed: whether all readers of the format read this value.
        start, end: where the separator and the value stand in the text.
        first, last: the whole of the lines it takes.
    """

    name: str
    value: str
    line: int
    agreed: bool
    start: int
    end: int
    first: int
    last: int


def line_at(text: str, position: int) -> int:
    """Return the number of the line that holds this position, 1-based."""
    return text.count("\n", 0, position) + 1


def unclosed(text: str, position: int) -> CollectionError:
    """Return the error about a quote that opens here."""
    return CollectionError(
        f"line {line_at(text, position)}: opens a quote that is not closed, so the meaning of the lines after it is "
        "unsure.",
        "Close the quote.",
    )


def whole_lines(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span of the whole lines, with their line end, that hold text[start:end]."""
    newline = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if newline < 0 else newline + 1
