# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server writes to its log file, and which of its lines tell of trouble.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, named

MESSAGE = re.compile(r"\b(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT):\s+(.*)")
_TROUBLE = re.compile(r"could not|cannot|invalid|unrecognized|syntax error|not reloaded|errors|outside the valid")


class LogTail:
    """What a server writes to its log file from now on.

    Args:
        path: of the file, which the cluster's owner chooses, and which may not be there yet.
        owner: the OS user whose rights count.
        start: where to begin; None for its end.
    """

    def __init__(self, path: str, owner: str, start: int | None = None) -> None:
        self._path = path
        self._owner = owner
        self._start = start or 0
        if start is None:
            with contextlib.suppress(OSError), self._opened() as stream:
                self._start = stream.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        """The new lines."""
        with contextlib.suppress(OSError), self._opened() as stream:
            stream.seek(self._start)
            return stream.read(1 << 20).decode("utf-8", "replace").splitlines()
        return []

    def reasons(self) -> list[str]:
        """Why a server did not do what it was asked: the lines of trouble, else the last few lines."""
        return reasons(self.lines())

    def _opened(self) -> BinaryIO:
        with acting_as(named(self._owner)):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stream = open(descriptor, "rb")  # noqa: SIM115 (the caller closes it)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            stream.close()
            raise OSError(errno.EINVAL, "not a regular file", self._path)
        return stream


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
