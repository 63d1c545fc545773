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

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids, acting_as

LOCK_TIMEOUT = 20.0  # seconds; a run holds the lock for milliseconds
_ACL = "system.posix_acl_access"
_KEPT_XATTRS = (_ACL, "security.selinux")

# The directories that this process holds, by device and inode: two files of one directory may be edited together.
_held: set[tuple[int, int]] = set()


def backup_name(path: str) -> str:
    """What a backup that is made now is called."""
    return f"{path}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S~', time.localtime())}"


class EditedFile:
    """One regular file, held under its directory's lock by `edit`.

    Attributes:
        path: where the bytes really are, symbolic links followed.
        data: the present content, or None where there is no file.
        mode: the present permission bits, or None where there is no file.
        uid, gid: the present owner; for a file yet to be made, its directory's as far as this process may set it.
        links: how many names the file has; replacing one leaves the others with the old content.
        ids: with which all of this is done: those of the directory's owner.
        author: who may have written the present content; what it names is opened with those ids.
    """

    def __init__(self, asked: str, descriptor: int, found: owned.Place) -> None:
        self.path = found.path
        self.ids = self.author = found.ids
        self._asked = asked
        self._found = found
        self._descriptor = descriptor
        self._directory, self._name = os.path.split(found.path)
        self._identity: tuple[int, ...] | None = None
        self._xattrs: dict[str, bytes] = {}
        self.data: bytes | None = None
        self.mode: int | None = None
        self.links = 0
        self.uid, self.gid = _new_owner(os.fstat(descriptor), found.ids)
        with contextlib.suppress(FileNotFoundError):
            self._read(found)

    def _read(self, found: owned.Place) -> None:
        descriptor = found.open(os.O_RDONLY)
        try:
            self.data, info = owned.content(descriptor, self._asked)
            self.author = owned.author(found.ids, info)
            self._xattrs = _xattrs(descriptor)
        finally:
            os.close(descriptor)
        self._remember(info)

    def _remember(self, info: os.stat_result) -> None:
        self.mode, self.uid, self.gid, self.links = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_nlink
        self._identity = _identity(info)

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
            uid, gid: owner; None means those of the attributes.
            backup: keep the old content beside the file, with the same owner, and no right that `mode` takes away.
            check: called with the path of the new content before it counts; what it raises stops the replacement.

        Returns:
            The backup's path, or None.

        Raises:
            CollectionError: the file system refuses, or somebody else changed the file meanwhile, which is then left as
                it is.
        """
        with acting_as(self.ids):
            _sweep(self._descriptor, self._name)
        saved = backup_name(self._name)
        try:
            if backup := backup and self.data is not None:
                kept = self.mode if mode is None or self.mode is None else self.mode & mode
                self._put(saved, self.data or b"", kept, (self.uid, self.gid))
            owner = (self.uid if uid is None else uid, self.gid if gid is None else gid)
            self._must_stay_readable(mode, owner)
            try:
                info = self._put(self._name, data, mode, owner, check)
            except BaseException:
                if backup:
                    with acting_as(self.ids):
                        os.unlink(saved, dir_fd=self._descriptor)
                raise
        except OSError as error:
            raise CollectionError(
                f"{self._asked}: cannot be written: {error.strerror}. {_remedy(error, self._found)} "
                "The file is as it was."
            ) from error
        self.data = data
        self._remember(info)
        return os.path.join(self._directory, saved) if backup else None

    def remove(self) -> bool:
        """Remove the file.

        Returns:
            Whether there was one.

        Raises:
            CollectionError: the file system refuses.
        """
        try:
            with acting_as(self.ids):
                os.unlink(self._name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CollectionError(
                f"{self._asked}: cannot be removed: {error.strerror}. {_remedy(error, self._found)}"
            ) from error
        self.data = self.mode = self._identity = None
        return True

    def _put(
        self,
        target: str,
        data: bytes,
        mode: int | None,
        owner: tuple[int, int],
        check: Callable[[str], None] | None = None,
    ) -> os.stat_result:
        # In a directory of our own, so that a killed run leaves nothing that others can read, whatever its mode.
        name = f"{_prefix(self._name)}{os.urandom(6).hex()}.tmp"
        with acting_as(self.ids):
            os.mkdir(name, 0o700, dir_fd=self._descriptor)
        try:
            private, descriptor = self._open_private(name)
            try:
                with open(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    self._dress(descriptor, mode, owner)
                    os.fsync(descriptor)
                    if check:
                        check(os.path.join(self._directory, name, self._name))
                    with acting_as(self.ids):
                        if target == self._name:
                            self._must_be_unchanged()
                        os.rename(self._name, target, src_dir_fd=private, dst_dir_fd=self._descriptor)
                    info = os.fstat(descriptor)
            finally:
                os.close(private)
        finally:
            with acting_as(self.ids):
                _discard(self._descriptor, name)
        with contextlib.suppress(OSError):  # some file systems cannot; the file is in place all the same
            os.fsync(self._descriptor)
        return info

    def _open_private(self, name: str) -> tuple[int, int]:
        """The descriptors of a directory of our own, and of a new file in it."""
        with acting_as(self.ids):
            private = os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor
            )
            try:
                return private, os.open(
                    self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=private
                )
            except BaseException:
                os.close(private)
                raise

    def _dress(self, descriptor: int, mode: int | None, owner: tuple[int, int]) -> None:
        # With root's ids, and no path: the owner of the directory could not give a file to the owner that it had.
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != owner:
            os.fchown(descriptor, *owner)
        if self.mode is None:
            os.fchmod(descriptor, 0o600 if mode is None else mode)
            return
        # No special bits: a file of root's that somebody else could have written to must not run as root.
        os.fchmod(descriptor, self.mode & 0o777)
        for name, value in self._xattrs.items():
            os.setxattr(descriptor, name, value)
        if _ACL not in self._xattrs and _ACL in _xattrs(descriptor):
            os.removexattr(descriptor, _ACL)  # the directory's default ACL is for new files
            os.fchmod(descriptor, self.mode & 0o777)
        if mode is not None and mode != self.mode:
            os.fchmod(descriptor, mode)  # after the ACL, so that a tightened mode closes its mask too

    def _must_stay_readable(self, mode: int | None, owner: tuple[int, int]) -> None:
        """Reject rights with which the next run could not read the file."""
        bits = (0o600 if self.mode is None else self.mode) if mode is None else mode
        if owner[0] or not self.ids.uid or os.geteuid() or _ACL in self._xattrs:
            return
        if not self.ids.may_read(*owner, bits):
            raise CollectionError(
                f"{self._asked}: {self.ids}, who owns its directory, could not read it with owner "
                f"{Ids(owner[0], 0, ())} and mode {bits:04o}. Choose another owner or mode, or put the file into a "
                "directory of its owner."
            )

    def _must_be_unchanged(self) -> None:
        try:
            now = _identity(os.stat(self._name, dir_fd=self._descriptor, follow_symlinks=False))
        except FileNotFoundError:
            now = None
        if now != self._identity:
            raise CollectionError(
                f"{self._asked}: another process changed it during this run.", "Nothing was written. Run again."
            )


@contextlib.contextmanager
def edit(path: str, timeout: float = LOCK_TIMEOUT) -> Iterator[EditedFile]:
    """Hold one file for reading and replacing; a second run waits its turn.

    The lock (flock(2)) is on the directory, because replacing a file replaces its inode. Nothing is written, not even
    a lock file, until `replace` is called: check mode may use it too.

    Args:
        path: the file; a symbolic link is followed and stays a link. A hard link to it keeps the old content.
        timeout: seconds to wait for another run.

    Raises:
        CollectionError: no such directory, not a regular file, unreadable, an untrusted link, or locked for too long.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(owned.place(path))
            if not found.name:
                raise CollectionError(f"{path}: is a directory.", "Name a regular file.")
            with acting_as(found.ids):
                descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found.directory)
        except OSError as error:
            where = os.path.dirname(found.path) if error.filename == "." else error.filename
            raise CollectionError(f"{path}: cannot be opened: {error.strerror} ({where}). {_remedy(error)}") from error
        stack.callback(os.close, descriptor)
        _check_links(found, path)
        info = os.fstat(descriptor)
        identity = (info.st_dev, info.st_ino)
        if identity not in _held:
            _lock(descriptor, path, timeout)
            _held.add(identity)
            stack.callback(_held.discard, identity)
        try:
            edited = EditedFile(path, descriptor, found)
        except OSError as error:
            raise CollectionError(f"{path}: cannot be read: {error.strerror}. {_remedy(error)}") from error
        yield edited


def _new_owner(directory: os.stat_result, ids: Ids) -> tuple[int, int]:
    """The owner and the group of a file that is yet to be made."""
    root = os.geteuid() == 0
    own = root or directory.st_gid in os.getgroups()
    return (ids.uid or directory.st_uid) if root else os.geteuid(), directory.st_gid if own else os.getegid()


def _check_links(found: owned.Place, asked: str) -> None:
    """Reject a link that somebody else laid to a file (as fs.protected_symlinks does, proc(5))."""
    if not found.links:
        return
    info = found.status() or os.fstat(found.directory)
    for link, uid in found.links:
        if uid not in (0, os.geteuid(), info.st_uid):
            raise CollectionError(
                f"{asked}: {link} is a symbolic link owned by user id {uid} to {found.path}, which belongs to user id "
                f"{info.st_uid}; name the file itself, or create the link as the owner of the file."
            )


def _lock(descriptor: int, path: str, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise CollectionError(
                    f"{path}: another run has held its directory for {timeout:g} s.", "Nothing was changed. Run again."
                ) from None
            time.sleep(0.01)


def _identity(info: os.stat_result) -> tuple[int, ...]:
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _xattrs(descriptor: int) -> dict[str, bytes]:
    """What is kept of the extended attributes (xattr(7)); none where the file system has none."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            return {}
        raise
    return {name: os.getxattr(descriptor, name) for name in names if name in _KEPT_XATTRS or name.startswith("user.")}


def _prefix(name: str) -> str:
    short = name.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")  # NAME_MAX is in bytes
    return f".{short}.devportal-"


def _sweep(directory: int, name: str) -> None:
    """Remove what a killed run left: under the lock no temporary directory is in use."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(directory):
            if entry.startswith(_prefix(name)) and entry.endswith(".tmp"):
                _discard(directory, entry)


def _discard(directory: int, private: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(private, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            for entry in os.listdir(descriptor):
                os.unlink(entry, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        os.rmdir(private, dir_fd=directory)


def _remedy(error: OSError, found: owned.Place | None = None) -> str:
    if found and isinstance(error, PermissionError):
        error = found.denied(error)
    if isinstance(error, owned.DeniedError):
        return error.remedy
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return "Look for an immutable flag (lsattr), or for a host that denies this to root."
    return {
        errno.EINVAL: "Correct the path: it is empty, or has a character that no path can have.",
        errno.ENOENT: "Create the directory first, or correct the path.",
        errno.ENOTDIR: "Correct the path: a part of it is not a directory.",
        errno.ELOOP: "Correct the symbolic links: they lead in a circle.",
        errno.ENAMETOOLONG: "Use a shorter name.",
        errno.EACCES: "Run with `become: true`, or as the owner of the file.",
        errno.EPERM: "Run with `become: true`, or as the owner of the file.",
        errno.EROFS: "Mount the file system read-write.",
        errno.ENOSPC: "Free some space on the file system.",
        errno.EDQUOT: "Raise the quota, or free some space.",
        errno.EBUSY: "It is a mount point of its own (a file mounted into a container): mount its directory instead.",
    }.get(error.errno or 0, "Look at the file system, then run again.")
