# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace a file whole or not at all, and keep everything about it but its content.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import Callable

LOCK_TIMEOUT = 20.0  # seconds; a run holds the lock for milliseconds
_KEPT_XATTRS = ("system.posix_acl_access", "security.selinux")


class FileError(Exception):
    """A file cannot be read or replaced; the text names the file, the reason and the remedy."""


class EditedFile:
    """One regular file, held under its directory's lock by `edit`.

    Attributes:
        path: where the bytes really are, symbolic links followed.
        data: the present content, or None where there is no file.
        mode: the present permission bits, or None where there is no file.
        uid, gid: the present owner; for a file yet to be made, its directory's.
    """

    def __init__(self, asked: str, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self._asked = asked
        self._directory = directory
        self._name = name
        self.data: bytes | None = None
        self.mode: int | None = None
        info = os.stat(directory)
        self.uid, self.gid = info.st_uid, info.st_gid
        with contextlib.suppress(FileNotFoundError):
            self._read()

    def _read(self) -> None:
        info = os.stat(self.path)
        if not stat.S_ISREG(info.st_mode):
            kind = "a directory" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise FileError(f"{self._asked}: is {kind}; name a regular file.")
        with open(self.path, "rb") as stream:
            self.data = stream.read()
        self.mode, self.uid, self.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid

    def replace(
        self,
        data: bytes,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        backup: bool = False,
        check: Callable[[str], None] | None = None,
    ) -> str | None:
        """Put `data` in the file's place in one step.

        Args:
            data: the whole new content.
            mode: permission bits; None keeps those there are, 0600 for a new file.
            uid, gid: owner; None keeps it (for a new file, the directory's owner).
            backup: keep the old content beside the file, with the same owner and mode.
            check: called with the path of the new content before it counts; what it raises stops the replacement.

        Returns:
            The backup's path, or None.

        Raises:
            FileError: the file system refuses. The old file is then as it was.
        """
        try:
            saved = None
            if backup and self.data is not None:
                stamp = time.strftime("%Y-%m-%d@%H:%M:%S~", time.localtime())
                saved = f"{self.path}.{os.getpid()}.{stamp}"
                self._write(saved, self.data, self.mode, self.uid, self.gid, None)
            self._write(
                self.path,
                data,
                mode,
                self.uid if uid is None else uid,
                self.gid if gid is None else gid,
                check,
            )
        except OSError as error:
            raise FileError(
                f"{self._asked}: cannot be written: {error.strerror} ({error.filename or self._directory}). "
                f"{_remedy(error)} The file is as it was."
            ) from error
        return saved

    def _write(
        self,
        target: str,
        data: bytes,
        mode: int | None,
        uid: int,
        gid: int,
        check: Callable[[str], None] | None,
    ) -> None:
        temporary = os.path.join(self._directory, f"{_prefix(self._name)}{os.urandom(6).hex()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                now = os.fstat(descriptor)
                if (now.st_uid, now.st_gid) != (uid, gid):
                    os.fchown(descriptor, uid, gid)
                os.fchmod(descriptor, mode if mode is not None else (0o600 if self.mode is None else self.mode))
                if self.data is not None:
                    self._copy_xattrs(descriptor)
                    if mode is not None and mode != self.mode:
                        # After the ACL, so that a tightened mode closes its mask too.
                        os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            if check:
                check(temporary)
            os.rename(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_directory(self._directory)

    def _copy_xattrs(self, descriptor: int) -> None:
        try:
            names = os.listxattr(self.path)
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.ENOSYS):
                return
            raise
        for name in names:
            if name in _KEPT_XATTRS or name.startswith("user."):
                os.setxattr(descriptor, name, os.getxattr(self.path, name))


@contextlib.contextmanager
def edit(path: str, timeout: float = LOCK_TIMEOUT) -> Iterator[EditedFile]:
    """Hold one file for reading and replacing; a second run waits its turn.

    The lock (flock(2)) is on the directory, because replacing a file replaces its inode.

    Args:
        path: the file; a symbolic link is followed and stays a link. A hard link to it keeps the old content.
        timeout: seconds to wait for another run.

    Raises:
        FileError: no such directory, not a regular file, unreadable, an untrusted link, or locked for too long.
    """
    real = os.path.realpath(path)
    try:
        _trust_link(path, real)
        directory, name = os.path.split(real)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(f"{path}: cannot be opened: {error.strerror} ({error.filename}). {_remedy(error)}") from error
    try:
        _lock(descriptor, path, timeout)
        _sweep(directory, name)
        try:
            edited = EditedFile(path, directory, name)
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror}. {_remedy(error)}") from error
        yield edited
    finally:
        os.close(descriptor)


def _trust_link(path: str, real: str) -> None:
    """Refuse a link that another user laid to a file that is not theirs (as fs.protected_symlinks does, proc(5))."""
    if not os.path.islink(path) or not os.path.exists(real):
        return
    link, target = os.lstat(path).st_uid, os.stat(real).st_uid
    if link not in (0, os.geteuid(), target):
        raise FileError(
            f"{path}: is a symbolic link owned by user id {link} to {real}, which belongs to user id {target}; "
            "name the file itself, or let the owner of the file make the link."
        )


def _lock(descriptor: int, path: str, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise FileError(
                    f"{path}: another run holds its directory since {timeout:g} s; nothing was changed, run again."
                ) from None
            time.sleep(0.01)


def _prefix(name: str) -> str:
    return f".{name[:200]}.devportal-"


def _sweep(directory: str, name: str) -> None:
    """Remove what a killed run left: under the lock no temporary file is in use."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(directory):
            if entry.startswith(_prefix(name)) and entry.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(directory, entry))


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remedy(error: OSError) -> str:
    return {
        errno.ENOENT: "Make the directory first, or correct the path.",
        errno.ENOTDIR: "Correct the path: a part of it is not a directory.",
        errno.EACCES: "Run with `become: true`, or as the owner of the file.",
        errno.EPERM: "Run with `become: true`, or as the owner of the file.",
        errno.EROFS: "Mount the file system read-write.",
        errno.ENOSPC: "Free some space on the file system.",
        errno.EDQUOT: "Raise the quota, or free some space.",
    }.get(error.errno or 0, "Look at the file system, then run again.")
