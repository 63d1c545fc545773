# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three files of a cluster that a change may touch: held, planned, written, rolled back.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile, edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import shown
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import (
    SETTINGS_FILE,
    settings_directory,
)

_LOCK_TIMEOUT = 120.0  # seconds; a run may hold the files for the length of a restart


@dataclass
class HeldFile:
    """One file under its directory's lock.

    Attributes:
        path: as the cluster's files name it.
        data: what it holds now; None where it is missing.
        edited: None where the cluster, or the file's directory, does not exist yet.
    """

    path: str
    data: bytes | None = None
    edited: EditedFile | None = None

    @property
    def real_path(self) -> str:
        """Where the bytes are, symbolic links followed."""
        return self.edited.path if self.edited else self.path

    def times(self) -> tuple[int, int]:
        """Of the last access and the last change, in nanoseconds since the epoch; 0 where the file is missing."""
        with contextlib.suppress(FileNotFoundError):
            info = os.stat(self.real_path)
            return info.st_atime_ns, info.st_mtime_ns
        return 0, 0

    @property
    def modified(self) -> float:
        """When it was last written, in seconds since the epoch."""
        return self.times()[1] / 1e9


@dataclass
class HeldFiles:
    """The files of one cluster.

    Attributes:
        main: postgresql.conf.
        access: pg_hba.conf.
        settings: our settings file.
        included: whether postgresql.conf reads the directory of our settings file.
    """

    main: HeldFile
    access: HeldFile
    settings: HeldFile
    included: bool


def files_of_new(cluster: Cluster) -> HeldFiles:
    """The files of a cluster that does not exist yet."""
    settings = os.path.join(cluster.settings_directory, SETTINGS_FILE)
    # What the platform puts into a new cluster's files is not known before, and not ours.
    return HeldFiles(HeldFile(cluster.include_file), HeldFile(cluster.access_file), HeldFile(settings), True)


@contextlib.contextmanager
def held_files(cluster: Cluster) -> Iterator[HeldFiles]:
    """The files of a cluster, under lock until the end of the block; a second run waits its turn.

    Raises:
        CollectionError: one is missing or cannot be read.
    """
    with contextlib.ExitStack() as stack:
        # In this order, in every run: each takes the lock on the directory of postgresql.conf first.
        main, access = (
            _must_exist(cluster, HeldFile(path, edited.data, edited))
            for path in (cluster.include_file, cluster.access_file)
            for edited in (stack.enter_context(edit(path, _LOCK_TIMEOUT)),)
        )
        directory, included = settings_directory(main.data or b"", cluster.settings_directory)
        settings = HeldFile(os.path.join(directory, SETTINGS_FILE))
        if os.path.isdir(directory):
            settings.edited = stack.enter_context(edit(settings.path, _LOCK_TIMEOUT))
            settings.data = settings.edited.data
        yield HeldFiles(main, access, settings, included)


def _must_exist(cluster: Cluster, held: HeldFile) -> HeldFile:
    if held.data is None:
        raise CollectionError(f"Cluster {cluster}: the file {held.path} is missing.", "Restore it from a backup.")
    return held


class PlannedFile:
    """What a file is to hold.

    Args:
        held: the file.
        new: its content; None for no file.
        like: the file whose mode a new one gets.
        remove_directory: its directory goes with it, if nothing else is in it.

    Attributes:
        new: None for no file.
        written: whether `write` has changed it.
    """

    def __init__(self, held: HeldFile, new: bytes | None, like: HeldFile, remove_directory: bool = False) -> None:
        self.held = held
        self.old = held.data
        self.new = new
        self.written = False
        self._like = like
        self._directory = os.path.dirname(held.path)
        self._remove_directory = remove_directory
        self._times = held.times()
        self._made_directory = False

    @property
    def differs(self) -> bool:
        return self.old != self.new

    @property
    def in_place(self) -> bool:
        """Whether the file on disk is what it is to be."""
        return self.written or not self.differs

    def difference(self) -> tuple[str, str, str]:
        """The path, the old and the new text; secrets are masked."""
        return self.held.path, shown(self.old or b""), shown(self.new or b"")

    def write(self) -> None:
        if self.differs:
            self.written = True
            self._put(self.new)

    def roll_back(self, keep_times: bool) -> None:
        """Write what was there before.

        Args:
            keep_times: nothing has loaded the new content, so the time stamps must not say that something has to.
        """
        if not self.written:
            return
        self._put(self.old)
        self.written = False
        if keep_times and self.old is not None:
            os.utime(self.held.real_path, ns=self._times)

    def _put(self, data: bytes | None) -> None:
        directory = self._directory
        if self.held.edited is None and data is not None and not os.path.isdir(directory):
            self._make_directory(directory)
        with contextlib.ExitStack() as stack:
            edited = self.held.edited or stack.enter_context(edit(self.held.path, _LOCK_TIMEOUT))
            if data is None:
                edited.remove()
            else:
                like = self._like.edited
                edited.replace(data, mode=like.mode if like and edited.mode is None else None)
        if data is None and (self._made_directory or self._remove_directory):
            with contextlib.suppress(OSError):  # somebody else's file may be in it
                os.rmdir(directory)
                self._made_directory = False

    def _make_directory(self, directory: str) -> None:
        """Like the directory that it is in; the files of the one may be read by whoever may read the other's."""
        info = os.stat(os.path.dirname(directory))
        os.mkdir(directory, 0o700)
        if os.geteuid() == 0:
            os.chown(directory, info.st_uid, info.st_gid)
        os.chmod(directory, info.st_mode & 0o777)
        self._made_directory = True
