# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of the operating system: names, ids, permissions, and acting with the ids of an account.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

# Distributions that give each user no group of his own put all into one.
_GROUPS_OF_EVERYBODY = ("users", "nogroup", "nobody", "everyone", "domain users")
_NOBODY = 65534  # the user and the group that own nothing, on every Linux


class Ids(NamedTuple):
    """What the kernel checks permissions against (credentials(7))."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        """The name of the user, or its number."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def may_read(self, uid: int, gid: int, mode: int) -> bool:
        """Whether they may read a file with this owner, group and mode (path_resolution(7)); no ACL counts."""
        if self.uid in (0, uid):
            return self.uid == 0 or bool(mode & 0o400)
        return bool(mode & (0o040 if gid in (self.gid, *self.groups) else 0o004))


NOBODY = Ids(_NOBODY, _NOBODY, ())
ROOT = Ids(0, 0, (0,))


def ids_of(uid: int) -> Ids:
    """The ids that a login of this user has. A user that this host has no name for is in no group."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Ids(uid, _NOBODY, ())
    return Ids(uid, found.pw_gid, tuple(os.getgrouplist(found.pw_name, found.pw_gid)))


def account(user: str, option: str, may_be_missing: bool) -> pwd.struct_passwd | None:
    """The OS user of this name.

    Args:
        user: its name.
        option: what named it, for the error's text.
        may_be_missing: None is then returned where there is none, in check mode for instance.

    Raises:
        CollectionError: there is none.
    """
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):
        if may_be_missing:
            return None
        raise CollectionError(f"{option}: the user {user!r} does not exist on this host.", "Create it first.") from None


def named(user: str | None) -> Ids | None:
    """The ids of the OS user of this name. None without a name, for root, and for a user that is yet to be created."""
    found = account(user, "os_user", may_be_missing=True) if user else None
    return ids_of(found.pw_uid) if found and found.pw_uid else None


def may_read(user: pwd.struct_passwd, uid: int, gid: int, mode: int) -> bool:
    """Whether an OS user may read a file with this owner, group and mode (path_resolution(7)); no ACL counts."""
    return ids_of(user.pw_uid).may_read(uid, gid, mode)


def rights_of_everybody(gid: int) -> int:
    """The permission bits that let everybody into a file of this group: its own, too, where everybody is in it."""
    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        return 0o007
    return 0o077 if name in _GROUPS_OF_EVERYBODY else 0o007


@contextlib.contextmanager
def acting_as(ids: Ids | None) -> Iterator[None]:
    """Meet the permissions that these ids meet.

    The real uid stays root's, so that the user in question can neither trace nor signal this process.

    Args:
        ids: None, root's, and in a process that is not root's: nothing changes.
    """
    if ids is None or ids.uid == 0 or os.geteuid() != 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    try:
        os.setgroups(ids.groups)
        os.setegid(ids.gid)
        os.seteuid(ids.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def wanted_rights(path: str, asked: Mapping[str, Any], check_mode: bool) -> dict[str, int | None]:
    """Read the options `mode`, `owner` and `group` of a module.

    Args:
        path: the file, for the error's text.
        asked: the options; an octal number as a string, and names or numbers. None means: keep what is there.
        check_mode: a name that this host does not know then passes, as an earlier task would perhaps have created it.

    Returns:
        `mode`, `uid` and `gid` as `EditedFile.replace` takes them.

    Raises:
        CollectionError: no octal number, or a name that this host does not know.
    """
    mode, owner, group = asked["mode"], asked["owner"], asked["group"]
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3,4}", mode):
        mode = int(mode, 8)
    elif mode is not None and not _is_octal(mode):
        raise CollectionError(f"{path}: mode: {mode!r} is not an octal number in quotes such as '0600'.")
    uid, gid = owner, None
    if owner is not None and not owner.isdigit():
        found = account(owner, f"{path}: owner", check_mode)
        uid = found and found.pw_uid
    try:
        gid = group if group is None or group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        if not check_mode:
            raise CollectionError(
                f"{path}: group: the group {group!r} does not exist on this host.", "Create it first."
            ) from None
    return {"mode": mode, "uid": None if uid is None else int(uid), "gid": None if gid is None else int(gid)}


def _is_octal(mode: Any) -> bool:
    """Whether a number was written as an octal one; 644 is 0o1204, and 400 is 0o620, which no file of data has."""
    if not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= 0o777:
        return False
    return not mode & 0o111 and all(mode >> shift & 0o6 != 0o2 for shift in (0, 3, 6))
