# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server writes to its log file, and which of its lines tell of trouble.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator

MESSAGE = re.compile(r"\b(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT):\s+(.*)")
_TROUBLE = re.compile(r"could not|cannot|invalid|unrecognized|syntax error|not reloaded|errors|outside the valid")


class LogTail:
    """What a server writes to its log file from now on.

    Args:
        path: the log file, which may not be there yet.
        start: where to begin; None for its end.
    """

    def __init__(self, path: str, start: int | None = None) -> None:
        self._path = path
        self._start = start if start is not None else os.path.getsize(path) if os.path.exists(path) else 0

    def lines(self) -> list[str]:
        """The new lines."""
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(self._start)
            return stream.read(1 << 20).decode("utf-8", "replace").splitlines()
        return []

    def reasons(self) -> list[str]:
        """Why a server did not do what it was asked: the lines of trouble, else the last few lines."""
        return reasons(self.lines())


def reasons(lines: Iterable[str]) -> list[str]:
    """The lines that tell of trouble, without time stamps; in an unknown language the last few lines."""
    lines = list(lines)
    return list(troubles(lines)) or [line.strip() for line in lines[-3:]]


def troubles(lines: Iterable[str]) -> Iterator[str]:
    """The lines that tell of trouble, without time stamps."""
    follows = False
    for line in lines:
        found = MESSAGE.search(line)
        if not found:
            continue
        kind, text = found.group(1), found.group(2).rstrip(".")
        if kind in ("DETAIL", "HINT", "CONTEXT"):
            if follows:
                yield text
            continue
        follows = kind in ("ERROR", "FATAL", "PANIC") or bool(_TROUBLE.search(text))
        if follows:
            yield text
