# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of an unprivileged user's beside one of root's, and all that could lead from the one to the other."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, owned, replacement

APP, OTHER = 65534, 4242  # user ids; the second has no name
SECRET = b"canary-of-root"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing ids takes root")


class Host:
    """`app` belongs to the app's user, `root` to root, who lets nobody into it."""

    def __init__(self, top):
        self.top = top
        self.app, self.root = os.path.join(top, "app"), os.path.join(top, "root")
        os.chmod(top, 0o755)
        os.mkdir(self.app)
        os.mkdir(self.root, 0o700)
        self.secret = os.path.join(self.root, ".env")
        with open(self.secret, "wb") as stream:
            stream.write(SECRET)
        os.chmod(self.secret, 0o600)
        os.chown(self.app, APP, APP)

    def file(self, *parts, data=b"mine", uid=APP, mode=0o644):
        path = os.path.join(self.top, *parts)
        with open(path, "wb") as stream:
            stream.write(data)
        os.chmod(path, mode)
        os.chown(path, uid, uid)
        return path

    def link(self, target, *parts, uid=APP):
        path = os.path.join(self.top, *parts)
        os.symlink(target, path)
        os.chown(path, uid, uid, follow_symlinks=False)
        return path


@pytest.fixture
def host():
    top = tempfile.mkdtemp()  # pytest's own directories let nobody else in
    yield Host(top)
    shutil.rmtree(top)


def test_a_directory_of_roots_is_roots(host):
    found = owned.read(host.secret)
    assert found == (SECRET, accounts.ROOT, host.secret)


def test_a_directory_is_its_owners(host):
    path = host.file("app", "app-config.yaml")
    found = owned.read(path)
    assert (found.data, found.ids) == (b"mine", accounts.ids_of(APP))
    assert owned.owner(host.app) == accounts.ids_of(APP)
    assert os.geteuid() == 0


def test_a_directory_of_roots_below_one_of_the_apps_is_not_roots(host):
    inner = os.path.join(host.app, "inner")
    os.mkdir(inner, 0o755)
    host.file("app", "inner", ".env", data=SECRET, uid=0, mode=0o600)
    assert owned.owner(inner) == accounts.ids_of(APP)
    with pytest.raises(PermissionError, match="Permission denied"):
        owned.read(os.path.join(inner, ".env"))


def test_a_user_without_a_name_is_in_no_group(host):
    os.chown(host.app, OTHER, 0)
    host.file("app", "shared", data=SECRET, uid=0, mode=0o640)
    assert owned.owner(host.app) == accounts.Ids(OTHER, 65534, ())
    with pytest.raises(PermissionError):
        owned.read(os.path.join(host.app, "shared"))


WAYS = {
    "file": lambda host: host.link(host.secret, "app", "x"),
    "relative": lambda host: host.link("../root/.env", "app", "x"),
    "chain": lambda host: host.link(host.link(host.secret, "app", "y"), "app", "x"),
    "directory": lambda host: os.path.join(host.link(host.root, "app", "x"), ".env"),
    "up_and_down": lambda host: os.path.join(host.link("..", "app", "x"), "root", ".env"),
    "dots_behind_a_link": lambda host: host.link(
        os.path.join(host.link("/usr", "app", "y"), "..", host.secret.lstrip("/")), "app", "x"
    ),
    "link_of_roots": lambda host: host.link(host.secret, "app", "x", uid=0),
    "link_in_a_directory_of_roots": lambda host: host.link(host.secret, "x"),
    "the_directory_itself": lambda host: (
        os.rename(host.app, f"{host.app}-real"),
        os.path.join(host.link(host.root, "app"), ".env"),
    )[1],
    "root_of_a_process": lambda host: host.link(f"/proc/self/root{host.secret}", "app", "x"),
    "file_of_roots": lambda host: host.file("app", "x", data=SECRET, uid=0, mode=0o600),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_roots_is_read(host, way):
    path = WAYS[way](host)
    with pytest.raises(PermissionError) as caught:
        owned.read(path)
    assert caught.value.remedy.endswith((": name the file itself.", ": give it to that user."))
    assert os.geteuid() == 0


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_roots_is_written_or_removed(host, way):
    path = WAYS[way](host)
    for act in (lambda file: file.replace(b"new"), lambda file: file.remove()):
        with pytest.raises(CollectionError), replacement.edit(path) as edited:
            act(edited)
    with open(host.secret, "rb") as stream:
        assert stream.read() == SECRET
    assert os.listdir(host.root) == [".env"]


@pytest.mark.parametrize("way", WAYS)
def test_it_is_not_told_what_root_has(host, way):
    path = WAYS[way](host)
    if way != "file_of_roots":
        assert owned.exists(path) is False
    os.mkdir(os.path.join(host.root, "inner"))
    os.symlink(os.path.join(host.root, "inner"), os.path.join(host.app, "to-inner"))
    assert owned.is_directory(os.path.join(host.app, "to-inner")) is False


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        *(
            (path, ids)
            for path in ("/proc/self/environ", "/proc/self/cmdline", "/proc/thread-self/environ")
            for ids in ("None", f"accounts.ids_of({APP})")
        ),
        ("/proc/self/fd/0", f"accounts.ids_of({APP})"),
        ("/dev/stdin", f"accounts.ids_of({APP})"),
    ],
)
def test_nothing_of_this_process_is_read(host, path, ids):
    # As a process of root's with a secret in its environment and its input.
    code = (
        "import sys; from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, owned\n"
        f"print(owned.read({path!r}, {ids}))"
    )
    root = owned.__file__.split("/ansible_collections/", maxsplit=1)[0]
    environment = {"PYTHONPATH": root, "SECRET": SECRET.decode()}
    with open(host.secret, "rb") as secret:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=secret, capture_output=True, env=environment, check=False
        )
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)


def huge(path):
    with open(path, "wb") as stream:
        stream.truncate(owned.MAX_SIZE + 1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (fifo, "is not a regular file"),
        (bound_socket, "No such device or address"),
        (os.mkdir, "is a directory"),
        (lambda path: os.symlink("/dev/zero", path), "is not a regular file"),
        (lambda path: os.symlink("/dev/full", path), "is not a regular file"),
        (huge, "is larger than 10 MB"),
    ],
)
@pytest.mark.parametrize("reader", [owned.read, lambda path: replacement.edit(path).__enter__()])
def test_what_is_no_file_of_a_sensible_size(host, make, text, reader):
    path = os.path.join(host.app, "x")
    make(path)
    began = time.monotonic()
    with pytest.raises((CollectionError, OSError), match=text):
        reader(path)
    assert time.monotonic() - began < 1


def test_as_large_as_it_may_be(host):
    path = os.path.join(host.app, "x")
    with open(path, "wb") as stream:
        stream.truncate(owned.MAX_SIZE)
    assert len(owned.read(path).data) == owned.MAX_SIZE


def test_a_lease_does_not_hold_a_run_up(host):
    path = host.file("app", "x")
    code = (
        f"import fcntl, os, time; held = os.open({path!r}, os.O_RDWR)\n"
        "fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE, user=APP) as holder:
        holder.stdout.readline()
        began = time.monotonic()
        with pytest.raises(BlockingIOError):
            owned.read(path)
        assert time.monotonic() - began < 1
        holder.kill()


@pytest.mark.parametrize("act", ["replace", "remove"])
def test_a_directory_that_is_swapped_meanwhile(host, act):
    path = host.file("app", ".env")
    with replacement.edit(path) as edited:
        os.rename(host.app, f"{host.app}-real")
        host.link(host.root, "app")
        assert edited.data == b"mine"
        if act == "replace":
            edited.replace(b"new")
        else:
            edited.remove()
    with open(host.secret, "rb") as stream:
        assert stream.read() == SECRET
    assert os.listdir(host.root) == [".env"]
    assert os.listdir(f"{host.app}-real") == ([".env"] if act == "replace" else [])


def test_a_directory_that_is_swapped_between_the_steps_of_the_walk(host, monkeypatch):
    """The former code followed all links first, and then opened what the path named by then."""
    path = host.file("app", ".env")
    follow = owned.place

    def raced(*arguments):
        context = follow(*arguments)
        if not os.path.islink(host.app):
            found = context.__enter__()
            os.rename(host.app, f"{host.app}-real")
            host.link(host.root, "app")
            assert found.path == path
            return _Entered(found, context)
        return context

    monkeypatch.setattr(owned, "place", raced)
    with replacement.edit(path) as edited:
        assert edited.data == b"mine"
        edited.replace(b"new")
    with open(host.secret, "rb") as stream:
        assert stream.read() == SECRET


class _Entered:
    def __init__(self, found, context):
        self.found, self.context = found, context

    def __enter__(self):
        return self.found

    def __exit__(self, *error):
        return self.context.__exit__(*error)


def test_what_is_written_is_the_owners(host):
    path = os.path.join(host.app, ".env")
    with replacement.edit(path) as edited:
        edited.replace(b"new")
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (APP, APP)


def test_the_owner_of_a_file_that_its_directorys_owner_may_read_is_kept(host):
    path = host.file("app", "app-config.yaml", uid=0, mode=0o4755)
    with replacement.edit(path) as edited:
        edited.replace(b"new")
    assert (os.stat(path).st_uid, os.stat(path).st_mode & 0o7777) == (0, 0o755)


@pytest.mark.parametrize("rights", [{"uid": 0}, {"uid": 0, "gid": 0, "mode": 0o640}])
def test_rights_with_which_the_next_run_could_not_read_it(host, rights):
    path = host.file("app", ".env", mode=0o600)
    with (
        pytest.raises(CollectionError, match="nobody, who owns its directory, could not read it"),
        replacement.edit(path) as edited,
    ):
        edited.replace(b"new", **rights)
    assert os.listdir(host.app) == [".env"]


@pytest.mark.parametrize(
    ("uid", "mode", "ids"),
    [
        (0, 0o644, accounts.ROOT),
        (0, 0o600, accounts.ROOT),
        (APP, 0o600, accounts.ids_of(APP)),
        (OTHER, 0o644, accounts.Ids(OTHER, 65534, ())),
        (0, 0o666, accounts.NOBODY),
        (0, 0o602, accounts.NOBODY),
        (0, 0o660, accounts.ROOT),
    ],
)
def test_whose_word_a_file_in_a_directory_of_roots_is(host, uid, mode, ids):
    path = host.file("root", "x", uid=uid, mode=mode)
    assert owned.read(path).ids == ids


def test_a_file_of_the_services_user_is_opened_with_his_ids(host):
    path = host.file("app", ".env", data=b"A=1", mode=0o600)
    os.chown(host.app, OTHER, OTHER)
    os.chmod(host.app, 0o755)
    assert owned.read(path) == owned.File(b"A=1", accounts.Ids(OTHER, 65534, ()), path)
    with replacement.edit(path) as edited:
        edited.replace(b"A=2")
    assert (os.stat(path).st_uid, os.stat(path).st_mode & 0o777) == (APP, 0o600)
    # By a second name anybody may have brought it there.
    os.link(path, os.path.join(host.top, "elsewhere"))
    with pytest.raises(PermissionError):
        owned.read(path)
    os.unlink(path)
    # Where he may not enter, neither Backstage nor anybody for him reads it.
    host.file("app", ".env", mode=0o600)
    os.chmod(host.app, 0o700)
    with pytest.raises(PermissionError):
        owned.read(path)


def test_a_group_that_writes_has_no_more_than_its_own_permissions(host):
    path = host.file("root", "x", uid=0, mode=0o664)
    os.chown(path, 0, 42)
    assert owned.read(path).ids == accounts.Ids(65534, 42, ())


def test_the_ids_of_the_caller_count_on_the_whole_way(host):
    path = host.file("root", "x", mode=0o644)
    with pytest.raises(PermissionError):
        owned.read(path, accounts.ids_of(APP))


@pytest.mark.parametrize("work", [lambda: time.sleep(60), lambda: [None for _never in iter(int, 1)]])
def test_time_limit(work):
    def working():
        try:
            with accounts.acting_as(accounts.ids_of(APP)):
                work()
        except Exception:
            time.sleep(60)

    began = time.monotonic()
    with pytest.raises(CollectionError, match=r"^x: not read within 0\.2 s\. Look for"), owned.time_limit("x", 0.2):
        working()
    assert time.monotonic() - began < 5
    assert (os.geteuid(), signal.getitimer(signal.ITIMER_REAL)[0]) == (0, 0)


def test_an_inner_time_limit_does_not_extend_the_outer_one():
    with (
        pytest.raises(CollectionError, match=r"^outer"),
        owned.time_limit("outer", 0.2),
        owned.time_limit("inner", 60),
    ):
        time.sleep(30)


def test_the_lock_of_another_run_is_waited_for_with_the_owners_ids(host):
    path = host.file("app", ".env")
    descriptor = os.open(host.app, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(CollectionError, match="another run"), replacement.edit(path, timeout=0.1):
        pass
    os.close(descriptor)


@pytest.mark.parametrize("path", ["", "a\0b", "/etc/\ud800"])
def test_what_no_path_can_be_is_no_file(path):
    assert not owned.exists(path)
    assert not owned.is_directory(path)
    with pytest.raises(OSError, match="Invalid argument"):
        owned.read(path)
    with (
        pytest.raises(CollectionError, match=r"cannot be opened: Invalid argument.*Correct the path"),
        replacement.edit(path),
    ):
        pass
