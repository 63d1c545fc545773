# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pwd
from types import SimpleNamespace

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import secret_rights
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_rights import Rights

NOBODY = pwd.getpwnam("nobody")
USERS = 100


def file(mode, uid=0, gid=0):
    return SimpleNamespace(mode=mode, uid=uid, gid=gid)


@pytest.mark.parametrize(
    ("mode", "gid", "closed"),
    [(0o644, 0, 0o640), (0o600, 0, 0o600), (0o666, 4711, 0o660), (0o664, USERS, 0o600), (0o640, NOBODY.pw_gid, 0o600)],
)
def test_an_existing_file_loses_world_access(mode, gid, closed):
    assert secret_rights.of_existing(file(mode, gid=gid), None, None) == Rights(closed, None, None)


def test_a_group_that_everybody_is_in_is_closed_only_where_it_stays():
    assert secret_rights.of_existing(file(0o640, gid=USERS), None, 4711) == Rights(0o640, None, 4711)


def test_a_new_file_belongs_to_its_reader_where_he_could_not_read_it_otherwise():
    assert secret_rights.of_new(file(None), 0o600, None, None, None) == Rights(0o600, None, None)
    assert secret_rights.of_new(file(None), 0o600, None, None, NOBODY) == Rights(0o600, NOBODY.pw_uid, NOBODY.pw_gid)
    assert secret_rights.of_new(file(None), 0o600, None, 4711, NOBODY) == Rights(0o600, NOBODY.pw_uid, 4711)
    assert secret_rights.of_new(file(None), 0o644, None, None, NOBODY) == Rights(0o644, None, None)
    assert secret_rights.of_new(file(None, NOBODY.pw_uid), 0o600, None, None, NOBODY) == Rights(0o600, None, None)


def test_a_file_beside_is_read_by_those_who_read_the_other_one():
    assert secret_rights.beside(file(0o644), file(0o644), None, None, None) == Rights(0o640, None, None)
    assert secret_rights.beside(file(None), file(0o640, 0, 4711), None, None, None) == Rights(0o640, 0, 4711)
    assert secret_rights.beside(file(None), file(0o640, 0, USERS), None, None, None) == Rights(0o600, 0, USERS)
    assert secret_rights.beside(file(None), file(0o600, 7, 8), None, None, None) == Rights(0o600, 7, 8)
    reader = secret_rights.beside(file(None), file(0o644), None, None, NOBODY)
    assert reader == Rights(0o600, NOBODY.pw_uid, NOBODY.pw_gid)


def test_rights_differ():
    assert not Rights(0o600, None, None).differ_from(file(0o600, 5, 6))
    assert Rights(0o640, None, None).differ_from(file(0o600))
    assert Rights(0o600, 5, None).differ_from(file(0o600, os.geteuid()))
