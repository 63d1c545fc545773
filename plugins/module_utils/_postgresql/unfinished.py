# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mark, outside of a cluster, that its creation is going on or was interrupted.

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
        with contextlib.suppress(OSError):
            marked = os.stat(self.path).st_size > 0
            return marked and not os.path.exists(os.path.join(self._data, "postmaster.opts"))
        return False

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

    def set(self) -> None:
        """From here on an interruption leaves something that is not whole."""
        os.write(self._file, b"unfinished")

    def clear(self) -> None:
        """It is whole, or nothing was begun."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
