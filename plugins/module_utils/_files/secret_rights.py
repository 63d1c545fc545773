# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mode and owner of a file that holds a secret, so that Backstage reads it and nobody else does.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass, replace

from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import may_read, rights_of_everybody
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile

NEW_MODE = 0o600


@dataclass(frozen=True)
class Rights:
    """Permission bits and owner of a file.

    Attributes:
        uid, gid: None keeps the current one.
    """

    mode: int
    uid: int | None
    gid: int | None

    def differ_from(self, file: EditedFile) -> bool:
        """Whether the file has other rights now; one that is to be created has none that differ."""
        pairs = ((self.mode, file.mode), (self.uid, file.uid), (self.gid, file.gid))
        return any(new not in (None, old) for new, old in pairs)


def of_existing(file: EditedFile, uid: int | None, gid: int | None) -> Rights:
    """The current rights, without those of others, and without those of a group that everybody is in."""
    closed = rights_of_everybody(file.gid if gid is None else gid)
    return Rights((NEW_MODE if file.mode is None else file.mode) & ~closed, uid, gid)


def of_new(file: EditedFile, mode: int, uid: int | None, gid: int | None, reader: pwd.struct_passwd | None) -> Rights:
    """The rights of a new file; it belongs to the reader where the reader could not read it otherwise.

    Args:
        file: the file to be created, with the owner that it would have.
        mode, uid, gid: what is asked for.
        reader: the OS user that has to read it; None where nobody is known.
    """
    return _readable(Rights(mode, uid, gid), file, gid, reader)


def beside(
    secret: EditedFile, file: EditedFile, uid: int | None, gid: int | None, reader: pwd.struct_passwd | None
) -> Rights:
    """The rights of a file that holds the secret of another one: those who read that one read this one.

    Args:
        secret: the file with the secret; an existing one keeps its owner and loses world access.
        file: the file that refers to it.
        uid, gid: the owner asked for the other file.
        reader: as in `of_new`.
    """
    if secret.mode is not None:
        return Rights(secret.mode & ~0o007, None, None)
    owner, group = (file.uid if uid is None else uid, file.gid if gid is None else gid)
    by_group = owner == 0 and group != 0 and (file.mode or 0) & 0o040 and not rights_of_everybody(group) & 0o070
    return _readable(Rights(0o640 if by_group else NEW_MODE, owner, group), secret, gid, reader)


def _readable(rights: Rights, file: EditedFile, gid: int | None, reader: pwd.struct_passwd | None) -> Rights:
    """The rights of a new file, or the reader's; a group that was asked for stays."""
    owner = (file.uid if rights.uid is None else rights.uid, file.gid if rights.gid is None else rights.gid)
    if reader is None or may_read(reader, *owner, rights.mode):
        return rights
    return replace(rights, uid=reader.pw_uid, gid=reader.pw_gid if gid is None else gid)
