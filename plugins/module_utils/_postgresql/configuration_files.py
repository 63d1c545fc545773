# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a cluster that a change may touch: held, planned, written, rolled back.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile, edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import shown
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import (
    FIRST_VERSION_FILE,
    portal_of,
    settings_directory,
    settings_file,
    written_settings,
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
        settings: the portal's settings file.
        first_version: the settings file of version 1.0.0.
        included: whether postgresql.conf reads the directory of the settings files.
        portals: the settings of each other portal.
    """

    main: HeldFile
    access: HeldFile
    settings: HeldFile
    first_version: HeldFile
    included: bool
    portals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def files_of_new(cluster: Cluster, portal: str) -> HeldFiles:
    """The files of a cluster that does not exist yet."""
    settings, first_version = (
        HeldFile(os.path.join(cluster.settings_directory, name)) for name in (settings_file(portal), FIRST_VERSION_FILE)
    )
    # What the platform puts into a new cluster's files is not known before, and not ours.
    main, access = HeldFile(cluster.include_file), HeldFile(cluster.access_file)
    return HeldFiles(main, access, settings, first_version, True)


@contextlib.contextmanager
def held_files(cluster: Cluster, portal: str) -> Iterator[HeldFiles]:
    """The files of a cluster, under lock until the end of the block; a second run waits its turn.

    Raises:
        CollectionError: one is missing, cannot be read, or is not the cluster's own.
    """
    _must_be_inside(cluster, "hba_file", cluster.access_file)
    with contextlib.ExitStack() as stack:
        # In this order, in every run: each takes the lock on the directory of postgresql.conf first.
        main, access = (
            _checked(cluster, HeldFile(path, edited.data, edited))
            for path in (cluster.include_file, cluster.access_file)
            for edited in (stack.enter_context(edit(path, _LOCK_TIMEOUT)),)
        )
        directory, included = settings_directory(main.data or b"", cluster.settings_directory)
        settings, first_version = (
            HeldFile(os.path.join(directory, name)) for name in (settings_file(portal), FIRST_VERSION_FILE)
        )
        portals: dict[str, Mapping[str, str]] = {}
        if os.path.isdir(directory):
            for held in (settings, first_version):
                held.edited = stack.enter_context(edit(held.path, _LOCK_TIMEOUT))
                held.data = held.edited.data
            portals = _other_portals(directory, portal)
        yield HeldFiles(main, access, settings, first_version, included, portals)


def _must_be_inside(cluster: Cluster, name: str, path: str) -> None:
    """Reject a path that the server's files give, for whoever may change those could name any file of this host."""
    directory = os.path.dirname(os.path.normpath(path))
    own = (cluster.config_directory, cluster.data_directory)
    if not any(directory == place or directory.startswith(f"{place}/") for place in own):
        raise CollectionError(
            f"Cluster {cluster}: its {name} is {path}, which is outside of its directories {' and '.join(own)}.",
            f'Run "ALTER SYSTEM RESET {name}", or correct it in {cluster.include_file}.',
        )


def _checked(cluster: Cluster, held: HeldFile) -> HeldFile:
    if held.data is None or held.edited is None:
        raise CollectionError(f"Cluster {cluster}: the file {held.path} is missing.", "Restore it from a backup.")
    if held.edited.uid not in (0, cluster.uid):
        raise CollectionError(
            f"Cluster {cluster}: the file {held.path} belongs to user id {held.edited.uid}.",
            f"Change its owner to {cluster.owner} or root.",
        )
    return held


def _other_portals(directory: str, portal: str) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for entry in sorted(os.listdir(directory)):
        other = portal_of(entry)
        if other and other != portal:
            with edit(os.path.join(directory, entry), _LOCK_TIMEOUT) as edited:
                found[other] = written_settings(edited.data)
    return found


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
