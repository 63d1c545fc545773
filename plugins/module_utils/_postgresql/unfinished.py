# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mark, outside of a cluster, of how far its creation is: going on or interrupted, or whole and not yet at boot.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

_TIMEOUT = 300.0  # seconds
# What the mark holds: the first with the data directory that is being created.
_CREATING = "creating "
_CREATED = "created"


class Unfinished:
    """The mark of one cluster.

    Args:
        directory: where it lies.
        label: what tells it from those of other clusters.
        data: the cluster's data directory.
    """

    def __init__(self, directory: str, label: str, data: str) -> None:
        self.path = os.path.join(directory, f".devportal-backstage-unfinished-{label}")
        self._data = data
        self._file = -1

    def interrupted(self) -> bool:
        """Whether the creation was interrupted, or is going on; what a server has run on is whole."""
        return bool(self.creating_data()) and not os.path.exists(os.path.join(self._data, "postmaster.opts"))

    def creating_data(self) -> str:
        """The data directory whose creation was interrupted, or is going on; empty without one."""
        text = self._read()
        return text[len(_CREATING) :] if text.startswith(_CREATING) else ""

    def created(self) -> bool:
        """Whether a run has created it, and none has enabled its start at boot yet."""
        return self._read() == _CREATED

    def _read(self) -> str:
        with contextlib.suppress(OSError), open(self.path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(4096)
        return ""

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """The mark's file, locked: by flock(2), which a child that outlives its run holds on to.

        Raises:
            CollectionError: it cannot be written, or another run does not end.
        """
        deadline = time.monotonic() + _TIMEOUT
        while not self._lock():
            if time.monotonic() > deadline:
                raise CollectionError(
                    f"{self.path}: another run has been creating this cluster for {_TIMEOUT:g} s.",
                    "Find out which process holds it.",
                )
            time.sleep(0.05)
        try:
            yield self._file
            if os.fstat(self._file).st_size == 0:
                self.clear()
        finally:
            os.close(self._file)

    def _lock(self) -> bool:
        try:
            mark = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CollectionError(
                f"{self.path}: cannot be written ({error.strerror}), so no cluster can be created.",
                "Run with `become: true`, or install the package of the PostgreSQL server.",
            ) from error
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(self.path) and os.path.samestat(os.fstat(mark), os.stat(self.path)):
                self._file = mark
                return True
        except BlockingIOError:
            pass
        os.close(mark)
        return False

    def creating(self) -> None:
        """From here on an interruption leaves something that is not whole."""
        self._write(_CREATING + self._data)

    def whole(self) -> None:
        """It is whole."""
        self._write(_CREATED)

    def nothing(self) -> None:
        """What an interruption left is removed."""
        self._write("")

    def _write(self, text: str) -> None:
        # A reader sees the one, the other or nothing.
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, os.fsencode(text), 0)

    def clear(self) -> None:
        """Nothing is left to do."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
