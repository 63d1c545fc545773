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
import grp
import os
import pwd
import re
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

LOCK_TIMEOUT = 20.0  # seconds; a run holds the lock for milliseconds
_ACL = "system.posix_acl_access"
_KEPT_XATTRS = (_ACL, "security.selinux")
_MAX_LINKS = 40  # path_resolution(7)

# The directories that this process holds, by device and inode: two files of one directory may be edited together.
_held: set[tuple[int, int]] = set()


class FileError(CollectionError):
    """A file cannot be read or replaced; the text names the file, the reason and the remedy."""


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
    """

    def __init__(self, asked: str, descriptor: int, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self._asked = asked
        self._descriptor = descriptor
        self._directory = directory
        self._name = name
        self._identity: tuple[int, ...] | None = None
        self._xattrs: dict[str, bytes] = {}
        self.data: bytes | None = None
        self.mode: int | None = None
        self.links = 0
        self.uid, self.gid = _new_owner(os.fstat(descriptor))
        with contextlib.suppress(FileNotFoundError):
            self._read()

    def _read(self) -> None:
        # Non-blocking, because a named pipe would wait for a writer.
        descriptor = os.open(
            self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor
        )
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                kind = "a directory" if stat.S_ISDIR(info.st_mode) else "not a regular file"
                raise FileError(f"{self._asked}: is {kind}; name a regular file.")
            with open(descriptor, "rb", closefd=False) as stream:
                self.data = stream.read()
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
            FileError: the file system refuses, or somebody else changed the file meanwhile. It is then left as it is.
        """
        _sweep(self._descriptor, self._name)
        saved = backup_name(self._name)
        try:
            if backup := backup and self.data is not None:
                kept = self.mode if mode is None or self.mode is None else self.mode & mode
                self._put(saved, self.data or b"", kept, (self.uid, self.gid))
            owner = (self.uid if uid is None else uid, self.gid if gid is None else gid)
            try:
                info = self._put(self._name, data, mode, owner, check)
            except BaseException:
                if backup:
                    os.unlink(saved, dir_fd=self._descriptor)
                raise
        except OSError as error:
            raise FileError(
                f"{self._asked}: cannot be written: {error.strerror}. {_remedy(error)} The file is as it was."
            ) from error
        self.data = data
        self._remember(info)
        return os.path.join(self._directory, saved) if backup else None

    def remove(self) -> bool:
        """Take the file away.

        Returns:
            Whether there was one.

        Raises:
            FileError: the file system refuses.
        """
        try:
            os.unlink(self._name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FileError(f"{self._asked}: cannot be removed: {error.strerror}. {_remedy(error)}") from error
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
        os.mkdir(name, 0o700, dir_fd=self._descriptor)
        try:
            private = os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor
            )
            try:
                descriptor = os.open(
                    self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=private
                )
                with open(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    self._dress(descriptor, mode, owner)
                    os.fsync(descriptor)
                    if check:
                        check(os.path.join(self._directory, name, self._name))
                    if target == self._name:
                        self._must_be_unchanged()
                    os.rename(self._name, target, src_dir_fd=private, dst_dir_fd=self._descriptor)
                    info = os.fstat(descriptor)
            finally:
                os.close(private)
        finally:
            _discard(self._descriptor, name)
        with contextlib.suppress(OSError):  # some file systems cannot; the file is in place all the same
            os.fsync(self._descriptor)
        return info

    def _dress(self, descriptor: int, mode: int | None, owner: tuple[int, int]) -> None:
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != owner:
            os.fchown(descriptor, *owner)
        if self.mode is None:
            os.fchmod(descriptor, 0o600 if mode is None else mode)
            return
        os.fchmod(descriptor, self.mode)
        for name, value in self._xattrs.items():
            os.setxattr(descriptor, name, value)
        if _ACL not in self._xattrs and _ACL in _xattrs(descriptor):
            os.removexattr(descriptor, _ACL)  # the directory's default ACL is for new files
            os.fchmod(descriptor, self.mode)
        if mode is not None and mode != self.mode:
            os.fchmod(descriptor, mode)  # after the ACL, so that a tightened mode closes its mask too

    def _must_be_unchanged(self) -> None:
        try:
            now = _identity(os.stat(self._name, dir_fd=self._descriptor, follow_symlinks=False))
        except FileNotFoundError:
            now = None
        if now != self._identity:
            raise FileError(
                f"{self._asked}: somebody else changed it while this run worked on it; nothing was written, run again."
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
        FileError: no such directory, not a regular file, unreadable, an untrusted link, or locked for too long.
    """
    try:
        real = _follow(path)
        directory, name = os.path.split(real)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(f"{path}: cannot be opened: {error.strerror} ({error.filename}). {_remedy(error)}") from error
    info = os.fstat(descriptor)
    identity = (info.st_dev, info.st_ino)
    first = identity not in _held
    try:
        if first:
            _lock(descriptor, path, timeout)
            _held.add(identity)
        try:
            edited = EditedFile(path, descriptor, directory, name)
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror}. {_remedy(error)}") from error
        yield edited
    finally:
        if first:
            _held.discard(identity)
        os.close(descriptor)


def wanted_rights(path: str, asked: Mapping[str, Any], check_mode: bool) -> dict[str, int | None]:
    """Read the options `mode`, `owner` and `group` of a module.

    Args:
        path: the file, for the error's text.
        asked: the options; an octal number as text, and names or numbers. None means: keep what is there.
        check_mode: a name that this host does not know then passes, as an earlier task would perhaps have made it.

    Returns:
        `mode`, `uid` and `gid` as `EditedFile.replace` takes them.

    Raises:
        FileError: no octal number, or a name that this host does not know.
    """
    mode, owner, group = asked["mode"], asked["owner"], asked["group"]
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3,4}", mode):
        mode = int(mode, 8)
    elif mode is not None and not _is_octal(mode):
        raise FileError(f"{path}: mode: {mode!r} is not an octal number in quotes such as '0600'.")
    uid, gid = owner, None
    if owner is not None and not owner.isdigit():
        found = account(owner, f"{path}: owner", check_mode)
        uid = found and found.pw_uid
    try:
        gid = group if group is None or group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        if not check_mode:
            raise FileError(f"{path}: group: there is no group {group!r} on this host; make it first.") from None
    return {"mode": mode, "uid": None if uid is None else int(uid), "gid": None if gid is None else int(gid)}


def account(user: str, option: str, may_be_missing: bool) -> pwd.struct_passwd | None:
    """The OS user of this name.

    Args:
        user: its name.
        option: what named it, for the error's text.
        may_be_missing: None is then returned where there is none, in check mode for instance.

    Raises:
        FileError: there is none.
    """
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):
        if may_be_missing:
            return None
        raise FileError(f"{option}: there is no user {user!r} on this host; make it first.") from None


def may_read(user: pwd.struct_passwd, uid: int, gid: int, mode: int) -> bool:
    """Whether an OS user may read a file with this owner, group and mode (path_resolution(7)); no ACL counts."""
    if user.pw_uid in (0, uid):
        return user.pw_uid == 0 or bool(mode & 0o400)
    in_group = gid in os.getgrouplist(user.pw_name, user.pw_gid)
    return bool(mode & (0o040 if in_group else 0o004))


@contextlib.contextmanager
def acting_as(user: str | None) -> Iterator[None]:
    """Meet the permissions that an OS user meets (credentials(7)).

    Args:
        user: its name. With None, with a name that this host does not have yet, and in a process that is not root's,
            nothing is different.
    """
    found = account(user, "os_user", may_be_missing=True) if user and os.geteuid() == 0 else None
    if found is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(found.pw_name, found.pw_gid))
    os.setegid(found.pw_gid)
    os.seteuid(found.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def _is_octal(mode: Any) -> bool:
    """Whether a number was written as an octal one; 644 is 0o1204, and 400 is 0o620, which no file of data has."""
    if not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= 0o777:
        return False
    return not mode & 0o111 and all(mode >> shift & 0o6 != 0o2 for shift in (0, 3, 6))


def _new_owner(directory: os.stat_result) -> tuple[int, int]:
    """The owner and the group of a file that is yet to be made."""
    root = os.geteuid() == 0
    own = root or directory.st_gid in os.getgroups()
    return directory.st_uid if root else os.geteuid(), directory.st_gid if own else os.getegid()


def _follow(path: str) -> str:
    """The path behind all symbolic links, each of which must be trusted (as fs.protected_symlinks does, proc(5))."""
    links: list[tuple[str, int]] = []
    rest = [part for part in os.path.abspath(path).split("/") if part]
    real = "/"
    while rest:
        part = rest.pop(0)
        if part == "..":
            real = os.path.dirname(real)
            continue
        here = os.path.join(real, part)
        try:
            info = os.lstat(here)
        except FileNotFoundError:
            real = os.path.join(here, *rest)
            break
        if not stat.S_ISLNK(info.st_mode):
            real = here
            continue
        links.append((here, info.st_uid))
        if len(links) > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        if target.startswith("/"):
            real = "/"
        rest[:0] = [part for part in target.split("/") if part not in ("", ".")]
    if real == "/":
        raise FileError(f"{path}: is a directory; name a regular file.")
    if links:
        owner = os.stat(real if os.path.lexists(real) else os.path.dirname(real)).st_uid
        for link, uid in links:
            if uid not in (0, os.geteuid(), owner):
                raise FileError(
                    f"{path}: {link} is a symbolic link owned by user id {uid} to {real}, which belongs to user id "
                    f"{owner}; name the file itself, or let the owner of the file make the link."
                )
    return real


def _lock(descriptor: int, path: str, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise FileError(
                    f"{path}: another run has held its directory for {timeout:g} s; nothing was changed, run again."
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


def _remedy(error: OSError) -> str:
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return "Look for an immutable flag (lsattr), or for a host that denies this to root."
    return {
        errno.ENOENT: "Make the directory first, or correct the path.",
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
