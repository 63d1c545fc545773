# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import pwd
import subprocess
import sys
import tempfile

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing ids takes root")


def rights(mode=None, owner=None, group=None, check_mode=False):
    return accounts.wanted_rights("/x", {"mode": mode, "owner": owner, "group": group}, check_mode)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (None, None),
        ("600", 0o600),
        ("0640", 0o640),
        ("0755", 0o755),
        ("2750", 0o2750),
        *((bits, bits) for bits in (0, 0o400, 0o440, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666)),
    ],
)
def test_mode(value, bits):
    assert rights(mode=value) == {"mode": bits, "uid": None, "gid": None}


@pytest.mark.parametrize("value", ["u=rw", "0888", "640 ", True, 6.4, "", 644, 640, 600, 400, 404, 440, 444, 500, -1])
def test_a_mode_that_is_none(value):
    with pytest.raises(CollectionError, match=r"^/x: mode: .* is not an octal number in quotes"):
        rights(mode=value)


def test_owners():
    assert rights(owner="root", group="17") == {"mode": None, "uid": 0, "gid": 17}
    assert rights(owner="17", group="root") == {"mode": None, "uid": 17, "gid": 0}
    with pytest.raises(CollectionError, match=r"^/x: owner: the user 'nemo-1' does not exist on this host"):
        rights(owner="nemo-1")
    with pytest.raises(CollectionError, match=r"^/x: group: the group 'nemo-1' does not exist on this host"):
        rights(group="nemo-1")
    assert rights(owner="nemo-1", group="17", check_mode=True) == {"mode": None, "uid": None, "gid": 17}
    assert rights(owner="root", group="nemo-1", check_mode=True) == {"mode": None, "uid": 0, "gid": None}


@as_root
def test_acting_as_another_user():
    nobody = pwd.getpwuid(NOBODY)
    kinds = {"own": (0, 0o600, False), "shared": (nobody.pw_gid, 0o640, True), "open": (0, 0o604, True)}
    before = os.geteuid(), os.getegid(), os.getgroups()
    with tempfile.TemporaryDirectory() as directory:  # pytest's own lets nobody else in
        os.chmod(directory, 0o755)
        for name, (gid, mode, readable) in kinds.items():
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8"):
                os.chown(path, 0, gid)
                os.chmod(path, mode)
            assert accounts.may_read(nobody, 0, gid, mode) is readable
            with accounts.acting_as(accounts.named(nobody.pw_name)):
                assert os.access(path, os.R_OK, effective_ids=True) is readable
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before
    for user in (None, "no-such-user", "root"):
        with accounts.acting_as(accounts.named(user)):
            assert os.geteuid() == 0


_DUMPABLE = """
import ctypes, sys
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
before = libc.prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
with accounts.acting_as(accounts.ids_of(65534)):
    pass
print(before, libc.prctl(3, 0, 0, 0, 0))
"""


@as_root
def test_no_core_file_after_the_files_of_another_user():
    """Linux gives a process that changed its ids the value of fs.suid_dumpable; the security guide has the rest."""
    wanted = pathlib.Path("/proc/sys/fs/suid_dumpable").read_text(encoding="ascii").strip()
    done = subprocess.run([sys.executable, "-c", _DUMPABLE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", wanted]
