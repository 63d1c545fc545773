# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
import subprocess
import sys

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files

NOBODY = 65534
ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners takes root")


def acl(*entries):
    """A POSIX ACL as the kernel stores it (linux/posix_acl_xattr.h): (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NO_ID = 1, 2, 4, 16, 32, 0xFFFFFFFF


def acl_for(user, permissions=4, owner=6):
    return acl(
        (USER_OBJ, owner, NO_ID), (USER, permissions, user), (GROUP_OBJ, 4, NO_ID), (MASK, 4, NO_ID), (OTHER, 0, NO_ID)
    )


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "app-config.yaml"
    path.write_bytes(b"old\n")
    path.chmod(0o640)
    return path


def names(directory):
    return sorted(os.listdir(directory))


def replace(path, data=b"new\n", **options):
    with files.edit(str(path)) as edited:
        return edited.replace(data, **options)


def test_content_is_replaced_and_everything_else_kept(target):
    inode = target.stat().st_ino
    os.setxattr(target, "user.note", b"mine")
    assert replace(target) is None
    assert target.read_bytes() == b"new\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.getxattr(target, "user.note") == b"mine"
    assert target.stat().st_ino != inode
    assert names(target.parent) == ["app-config.yaml"]


def test_looking_writes_nothing(target):
    (target.parent / ".app-config.yaml.devportal-0.tmp").mkdir()
    before = target.parent.stat().st_mtime_ns
    with files.edit(str(target)) as edited:
        assert edited.data == b"old\n"
        assert edited.mode == 0o640
        assert edited.links == 1
    assert target.parent.stat().st_mtime_ns == before


def test_what_a_killed_run_left_is_swept(target):
    left = target.parent / ".app-config.yaml.devportal-0.tmp"
    left.mkdir()
    (left / "app-config.yaml").write_text("half")
    other = target.parent / ".other.yaml.devportal-0.tmp"
    other.mkdir()
    replace(target)
    assert names(target.parent) == [other.name, "app-config.yaml"]


def test_sweeping_follows_no_link(target, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").write_text("kept")
    (target.parent / ".app-config.yaml.devportal-0.tmp").symlink_to(elsewhere)
    replace(target)
    assert names(elsewhere) == ["precious"]


def test_a_new_file_is_private(tmp_path):
    path = tmp_path / "new"
    with files.edit(str(path)) as edited:
        assert (edited.data, edited.mode) == (None, None)
        edited.replace(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@as_root
def test_owner_is_kept_and_a_new_file_gets_its_directorys(target):
    os.chown(target, NOBODY, NOBODY)
    replace(target)
    assert (target.stat().st_uid, target.stat().st_gid) == (NOBODY, NOBODY)
    replace(target, uid=0, gid=0)
    assert (target.stat().st_uid, target.stat().st_gid) == (0, 0)
    os.chown(target.parent, NOBODY, 1)
    replace(target.parent / "new")
    assert ((target.parent / "new").stat().st_uid, (target.parent / "new").stat().st_gid) == (NOBODY, 1)


def test_the_file_may_be_replaced_twice(target):
    with files.edit(str(target)) as edited:
        edited.replace(b"first", mode=0o600)
        assert (edited.data, edited.mode) == (b"first", 0o600)
        edited.replace(b"second")
    assert target.read_bytes() == b"second"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_remove(target):
    with files.edit(str(target)) as edited:
        assert edited.remove() is True
        assert edited.remove() is False
        edited.replace(b"again")
    assert target.read_bytes() == b"again"


def test_backup_loses_the_rights_that_the_file_loses(target):
    target.chmod(0o644)
    saved = replace(target, backup=True, mode=0o640)
    assert re.fullmatch(r"app-config\.yaml\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~", os.path.basename(saved))
    assert os.path.dirname(saved) == str(target.parent)
    with open(saved, "rb") as stream:
        assert stream.read() == b"old\n"
    assert stat.S_IMODE(os.stat(saved).st_mode) == 0o640


def test_a_refused_content_leaves_nothing(target):
    seen = []

    def refuse(path):
        with open(path, "rb") as stream:
            seen.append((os.path.basename(path), stream.read(), stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        replace(target, check=refuse, backup=True)
    assert seen == [("app-config.yaml", b"new\n", 0o700)]
    assert target.read_bytes() == b"old\n"
    assert names(target.parent) == ["app-config.yaml"]


def test_links_are_followed_and_kept(target, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "link.yaml"
    second = link.parent / "second.yaml"
    second.symlink_to(target)
    link.symlink_to("second.yaml")
    with files.edit(str(link)) as edited:
        assert edited.path == str(target)
        edited.replace(b"new\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\n"


def test_a_dangling_link_makes_its_target(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/../real/file")
    replace(tmp_path / "link")
    assert (tmp_path / "real" / "file").read_bytes() == b"new\n"


@as_root
@pytest.mark.parametrize("how", ["last", "directory", "chain", "dangling"])
def test_a_link_laid_by_another_user_is_refused(tmp_path, how):
    precious = tmp_path / "precious"
    precious.mkdir()
    goal = precious / "file"
    if how != "dangling":
        goal.write_bytes(b"kept")
    link = tmp_path / "link"
    link.symlink_to(precious if how == "directory" else goal)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    asked = link
    if how == "directory":
        asked = link / "file"
    elif how == "chain":
        asked = tmp_path / "mine"
        asked.symlink_to(link)
    with pytest.raises(CollectionError, match="symbolic link owned by user id 65534"), files.edit(str(asked)):
        pass
    os.chown(precious, NOBODY, NOBODY)
    for directory in (tmp_path, *tmp_path.parents[:-2]):  # the link is followed with the permissions of its owner
        directory.chmod(0o755)
    if how != "dangling":
        os.chown(goal, NOBODY, NOBODY)
    replace(asked)
    assert goal.read_bytes() == b"new\n"


def test_a_circle_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(CollectionError, match="lead in a circle"), files.edit(str(tmp_path / "a")):
        pass


def test_a_hard_link_keeps_the_old_content(target):
    other = target.parent / "other"
    os.link(target, other)
    with files.edit(str(target)) as edited:
        assert edited.links == 2
        edited.replace(b"new\n")
    assert other.read_bytes() == b"old\n"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), "is a directory. Name a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.parent.rename(path.parent.with_name("gone")), "Create the directory first"),
    ],
)
def test_what_is_no_file(tmp_path, make, text):
    path = tmp_path / "in" / "app-config.yaml"
    path.parent.mkdir()
    make(path)
    with pytest.raises(CollectionError, match=text), files.edit(str(path)):
        pass


@pytest.mark.parametrize(("path", "text"), [("/", "is a directory"), ("/proc/self/status/x", "not a directory")])
def test_odd_paths(path, text):
    with pytest.raises(CollectionError, match=text), files.edit(path):
        pass


def test_acl_is_kept_and_a_tightened_mode_closes_it(target):
    os.setxattr(target, ACL, acl_for(NOBODY))
    before = os.getxattr(target, ACL)
    replace(target)
    assert os.getxattr(target, ACL) == before
    replace(target, mode=0o600)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600  # the group bits are the mask, acl(5)


def test_a_directorys_default_acl_does_not_open_an_old_file(target):
    os.setxattr(target.parent, DEFAULT_ACL, acl_for(NOBODY, owner=7))
    replace(target)
    assert ACL not in os.listxattr(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_second_run_waits_and_then_says_so(target):
    holder = os.open(target.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    text = r"held its directory for 0\.05 s\. Nothing was changed\. Run again"
    with pytest.raises(CollectionError, match=text), files.edit(str(target), timeout=0.05):
        pass
    os.close(holder)
    replace(target)


def test_two_files_of_one_directory_at_once(target):
    with files.edit(str(target)) as first, files.edit(str(target.parent / "secret"), timeout=0) as second:
        second.replace(b"s")
        first.replace(b"new\n")
        with pytest.raises(BlockingIOError):
            fcntl.flock(os.open(target.parent, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert names(target.parent) == ["app-config.yaml", "secret"]
    with files.edit(str(target), timeout=0):
        pass


def test_the_lock_is_free_after_an_error(target):
    with pytest.raises(ZeroDivisionError), files.edit(str(target)):
        raise ZeroDivisionError
    replace(target)


@pytest.mark.parametrize("how", ["written", "replaced", "removed"])
def test_somebody_elses_change_is_not_overwritten(target, how):
    with files.edit(str(target)) as edited:
        if how == "written":
            target.write_bytes(b"edit")
        elif how == "removed":
            target.unlink()
        else:
            (target.parent / "x").write_bytes(b"edit")
            (target.parent / "x").rename(target)
        with pytest.raises(CollectionError, match="another process changed it"):
            edited.replace(b"new\n")
    assert (target.read_bytes() if target.exists() else None) == (None if how == "removed" else b"edit")
    assert all(not name.endswith(".tmp") for name in names(target.parent))


def test_somebody_elses_new_file_is_not_overwritten(tmp_path):
    with files.edit(str(tmp_path / "new")) as edited:
        (tmp_path / "new").write_bytes(b"theirs")
        with pytest.raises(CollectionError, match="another process changed it"):
            edited.replace(b"ours")


_AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
os.setgroups([4711]); os.setgid(65534); os.setuid(65534)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
try:
    with files.edit(sys.argv[2]) as edited:
        edited.replace(b"new")
except CollectionError as error:
    print(error)
"""


def replace_as_nobody(path):
    for directory in path.parent.parents:
        if str(directory) in ("/", "/tmp"):
            break
        directory.chmod(0o755)
    root = files.__file__.split("/ansible_collections/", maxsplit=1)[0]
    run = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, root, str(path)], capture_output=True, text=True, check=True
    )
    return run.stdout


@as_root
@pytest.mark.parametrize("readable", [True, False])
def test_no_permission(target, readable):
    target.parent.chmod(0o755)
    target.chmod(0o644 if readable else 0o600)
    what = "written" if readable else "read"
    assert f"cannot be {what}: Permission denied. Run with `become: true`" in replace_as_nobody(target)
    assert target.read_bytes() == b"old\n"


@as_root
@pytest.mark.parametrize(("group", "mode", "given"), [(4711, 0o770, 4711), (65534, 0o770, 65534), (4712, 0o777, 65534)])
def test_a_new_file_in_a_directory_that_is_somebody_elses(tmp_path, group, mode, given):
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, group)
    shared.chmod(mode)
    assert replace_as_nobody(shared / "new") == ""
    assert ((shared / "new").stat().st_uid, (shared / "new").stat().st_gid) == (NOBODY, given)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.EROFS, "Mount the file system read-write"),
        (errno.EBUSY, "mount its directory instead"),
        (errno.EIO, "Look at the file system"),
    ],
)
def test_a_file_system_that_refuses(target, monkeypatch, code, text):
    def refuse(*args, **options):
        raise OSError(code, os.strerror(code), "hidden")

    with monkeypatch.context() as patch, files.edit(str(target)) as edited:
        patch.setattr(files.os, "rename", refuse)
        with pytest.raises(CollectionError, match=text) as caught:
            edited.replace(b"new\n", backup=True)
    assert str(caught.value).startswith(f"{target}: cannot be written: {os.strerror(code)}.")
    assert str(caught.value).endswith("The file is as it was.")
    assert names(target.parent) == ["app-config.yaml"]


def test_long_names(tmp_path):
    path = tmp_path / ("ü" * 120)
    replace(path)
    replace(path, b"again")
    assert path.read_bytes() == b"again"
    assert len(names(tmp_path)) == 1
