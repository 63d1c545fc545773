# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever owns it, opens it: the files of an app are opened with the ids of the owner of their directory.

Private to this collection: its interface may change in any release.

A run is root's, and the app's directory belongs to an unprivileged user, who may put there what he likes: symbolic
links, pipes, endless files, and another directory in place of the one that was just looked at. So a path is walked
directory by directory, each held by a descriptor, and from the first directory or link that is not root's on with the
ids of its owner. Root's ids do not come back below it. What that user may not open himself is not opened for him.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids, acting_as

MAX_SIZE = 10 * 1024 * 1024  # bytes of a file
TIME_LIMIT = 10.0  # seconds for all that the app's files ask for
_MAX_LINKS = 40  # path_resolution(7)


@dataclass
class Place:
    """A name in a directory that is held open; the file itself need not exist.

    Attributes:
        directory: its descriptor, good for the `dir_fd` of other calls (O_PATH in open(2)).
        path: where the file really is, symbolic links followed.
        ids: whose permissions count there.
        links: the symbolic links on the way, each with the uid of its owner.
    """

    directory: int
    path: str
    ids: Ids
    links: list[tuple[str, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root directory."""
        return os.path.basename(self.path)

    def status(self) -> os.stat_result | None:
        """What stands there, or None."""
        try:
            with acting_as(self.ids):
                return os.stat(self.name or ".", dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, flags: int) -> int:
        """Open what stands there, without waiting (for the writer of a pipe) and without following a link.

        A file that another unprivileged user owns, the service's for instance, is opened with his ids if need be.
        """
        try:
            return self._open(flags, self.ids)
        except PermissionError as error:
            denied = self.denied(error)
        # One more name, and the owner of the directory could have given it that name.
        info = self.status()
        if info and stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid not in (0, self.ids.uid):
            with contextlib.suppress(PermissionError):
                descriptor = self._open(flags, accounts.ids_of(info.st_uid))
                if os.path.samestat(os.fstat(descriptor), info):
                    return descriptor
                os.close(descriptor)
        raise denied

    def _open(self, flags: int, ids: Ids) -> int:
        with acting_as(ids):
            return os.open(
                self.name or ".", flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.directory
            )

    def denied(self, error: PermissionError) -> PermissionError:
        """The error of a call on what stands there, with the reason where other ids than root's were denied it."""
        if self.ids.uid == 0 or os.getuid() != 0:
            return error
        for link, uid in self.links:
            if uid == self.ids.uid:
                return DeniedError(
                    self.path,
                    self.ids,
                    f"{link} is a symbolic link owned by user id {uid}, and only what that user may open is opened "
                    "through it: name the file itself.",
                )
        return DeniedError(
            self.path,
            self.ids,
            f"Only what {self.ids}, who owns its directory, may open is opened: give it to that user.",
        )


class File(NamedTuple):
    """The content of a file, and whose word it is.

    Attributes:
        data: all of it.
        ids: with which a path is opened that the content names.
        path: where it really is, symbolic links followed.
    """

    data: bytes
    ids: Ids
    path: str


@contextlib.contextmanager
def place(path: str, ids: Ids | None = None, follow: bool = True) -> Iterator[Place]:
    """Walk to a file.

    Args:
        path: of the file; symbolic links are followed with the permissions of their owner.
        ids: whose permissions count on the whole way. None and root's: root's, until the way leaves what is root's. In
            a process that is not root's, the process's own count everywhere.
        follow: whether the last part is followed where it is a symbolic link.

    Raises:
        OSError: the way is not there, or is closed to those ids; `filename` says where.
    """
    try:
        valid = bool(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair, which YAML and JSON can hold
        valid = False
    if not valid:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    walk = _Walk(ids if ids and ids.uid else None)
    try:
        yield walk.to(os.path.abspath(path), follow)
    finally:
        walk.close()


def read(path: str, ids: Ids | None = None) -> File:
    """Read a file.

    Args:
        path, ids: as for `place`.

    Raises:
        OSError: it is not there, or is closed to those ids.
        CollectionError: it is not a regular file, or larger than `MAX_SIZE`.
    """
    with place(path, ids) as found:
        descriptor = found.open(os.O_RDONLY)
        try:
            data, info = content(descriptor, path)
        finally:
            os.close(descriptor)
        return File(data, ids if ids and ids.uid else author(found.ids, info), found.path)


def exists(path: str, ids: Ids | None = None) -> bool:
    """Whether something stands there that those ids can see; a symbolic link to nothing does not count."""
    try:
        with place(path, ids) as found:
            return found.status() is not None
    except OSError:
        return False


def is_directory(path: str, ids: Ids | None = None) -> bool:
    """Whether there is a directory that those ids can see."""
    try:
        with place(path, ids) as found:
            info = found.status()
    except OSError:
        return False
    return info is not None and stat.S_ISDIR(info.st_mode)


def has_directory(path: str, ids: Ids | None = None) -> bool:
    """Whether the directory is there that a file is in, or would be; symbolic links are followed."""
    try:
        with place(path, ids):
            return True
    except OSError:
        return False


def remove(path: str, ids: Ids | None = None) -> bool:
    """Remove a file, or a symbolic link to one; what it leads to stays.

    Args:
        path: the last part of it is not followed.
        ids: as for `place`.

    Returns:
        Whether it was there.

    Raises:
        OSError: those ids may not remove it.
    """
    try:
        with place(path, ids, follow=False) as found, acting_as(found.ids):
            os.unlink(found.name, dir_fd=found.directory)
    except FileNotFoundError:
        return False
    return True


def owner(directory: str) -> Ids:
    """With which ids the files of a directory are opened. Raises: OSError: there is no such directory."""
    with place(os.path.join(directory, "x")) as found:
        return found.ids


def hide_attributes(module: Any) -> None:
    """Keep Ansible from adding the attributes of a path to the result: it would look there as root, and follow links.

    Args:
        module: an AnsibleModule whose result has a `path` or a `dest`.
    """
    module.add_path_info = lambda result: result


def content(descriptor: int, path: str) -> tuple[bytes, os.stat_result]:
    """All bytes of an open file, and its attributes.

    Args:
        descriptor: opened without blocking.
        path: for the error's text.

    Raises:
        OSError: it cannot be read.
        CollectionError: it is not a regular file, or larger than `MAX_SIZE`.
    """
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        kind = "a directory" if stat.S_ISDIR(info.st_mode) else "not a regular file"
        raise CollectionError(f"{path}: is {kind}.", "Name a regular file.")
    # A file there holds what a process of root's is about, this one for instance: /proc/self/environ.
    if _is_proc(info.st_dev):
        raise CollectionError(f"{path}: is a file about a process (proc(5)).", "Name a regular file.")
    parts: list[bytes] = []
    size = 0
    while size <= MAX_SIZE:
        part = os.read(descriptor, MAX_SIZE + 1 - size)
        if not part:
            return b"".join(parts), info
        parts.append(part)
        size += len(part)
    raise CollectionError(f"{path}: is larger than {MAX_SIZE // 1024 // 1024} MB; name a smaller file.")


@contextlib.contextmanager
def time_limit(subject: str, seconds: float = TIME_LIMIT) -> Iterator[None]:
    """End what takes too long: reading from a file system that hangs, or working through a huge file.

    A limit within another one does not count, nor does one outside the main thread.

    Args:
        subject: what is read, for the error's text.
        seconds: how long it may take.

    Raises:
        CollectionError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def expire(_signal: int, _frame: Any) -> None:
        raise _ExpiredError

    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _ExpiredError:
        if os.geteuid() != uid:  # the signal came while the ids were being changed back
            os.seteuid(uid)
            os.setegid(gid)
            os.setgroups(groups)
        raise CollectionError(
            f"{subject}: not read within {seconds:g} s. Look for a huge file, or for a file system that does not "
            "answer."
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class DeniedError(PermissionError):
    """Whoever owns the directory, or a link on the way to it, may not open this.

    Attributes:
        ids: of that user.
        remedy: why it is opened with that user's permissions, and what to do.
    """

    def __init__(self, path: str, ids: Ids, remedy: str) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES), path)
        self.ids = ids
        self.remedy = remedy


class _ExpiredError(BaseException):
    """The time is over. No `except Exception` on the way may catch it."""


class _Walk:
    """The way to a file: the directories that are held open, and whose permissions count in each."""

    def __init__(self, ids: Ids | None) -> None:
        # Set for good by a link of somebody's: it can lead anywhere, and so with his ids only.
        self._bound = ids
        self._held: list[tuple[int, Ids]] = []
        self._parts: list[str] = []
        self._links: list[tuple[str, int]] = []

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop()[0])

    def to(self, path: str, follow: bool) -> Place:
        self._held.append((os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), accounts.ROOT))
        rest = _parts(path)
        while rest:
            part = rest.pop(0)
            if part == "..":
                self._up()
            elif rest or (follow and self._is_link(part)):
                rest = self._into(part, rest)
            else:
                return self._place(part)
        # The way ends at a directory.
        name = self._parts.pop() if self._parts else ""
        if name:
            os.close(self._held.pop()[0])
        return self._place(name)

    @property
    def _ids(self) -> Ids:
        return self._bound or self._held[-1][1]

    def _here(self, *more: str) -> str:
        return "/" + "/".join([*self._parts, *more])

    def _place(self, name: str) -> Place:
        return Place(self._held[-1][0], self._here(*filter(None, [name])), self._ids, self._links)

    def _up(self) -> None:
        if self._parts:
            self._parts.pop()
            os.close(self._held.pop()[0])

    def _open(self, part: str, flags: int) -> int:
        with acting_as(self._ids):
            try:
                return os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=self._held[-1][0])
            except PermissionError as error:
                error.filename = self._here(part)
                raise self._place(part).denied(error) from error
            except OSError as error:
                error.filename = self._here(part)
                raise

    def _is_link(self, part: str) -> bool:
        try:
            descriptor = self._open(part, 0)
        except FileNotFoundError:
            return False
        try:
            return stat.S_ISLNK(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)

    def _into(self, part: str, rest: list[str]) -> list[str]:
        """Enter a directory, or follow a link; what is to be walked from there."""
        try:
            # With this flag a directory that is mounted on demand is mounted (autofs(5)).
            descriptor = self._open(part, os.O_DIRECTORY)
        except NotADirectoryError:
            return self._follow(part) + rest
        uid = os.fstat(descriptor).st_uid
        above = self._held[-1][1]
        self._held.append((descriptor, above if uid in (0, above.uid) else accounts.ids_of(uid)))
        self._parts.append(part)
        return rest

    def _follow(self, part: str) -> list[str]:
        # Held by a descriptor, too: owner and target are those of one and the same link.
        descriptor = self._open(part, 0)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISLNK(info.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._here(part))
            target = os.readlink("", dir_fd=descriptor)
        finally:
            os.close(descriptor)
        self._links.append((self._here(part), info.st_uid))
        if len(self._links) > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._here(part))
        if self._bound is None and self._ids.uid:
            self._bound = self._ids
        elif self._bound is None and info.st_uid:
            self._bound = accounts.ids_of(info.st_uid)
        if target.startswith("/"):
            while self._parts:
                self._up()
        return _parts(target)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def author(ids: Ids, info: os.stat_result) -> Ids:
    """Who may have written a file: of root's directory, its owner, or those who may write to it."""
    if ids.uid:
        return ids
    if info.st_uid:
        return accounts.ids_of(info.st_uid)
    if info.st_mode & 0o002:
        return accounts.NOBODY
    if info.st_mode & 0o020 and info.st_gid:
        return accounts.NOBODY._replace(gid=info.st_gid)
    return ids


def _is_proc(device: int) -> bool:
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
            mounts = [line.split() for line in stream]
    except OSError:
        return False
    return any(mount[2] == number and mount[mount.index("-") + 1] == "proc" for mount in mounts)
