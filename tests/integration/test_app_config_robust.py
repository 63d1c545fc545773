# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to the file when a run is killed, the disk is full, or two runs meet.

KILLS is how many runs are killed (default 60).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import stat
import subprocess
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import connection_settings, database_block
from ansible_collections.devportal.backstage.plugins.modules import backstage_app_config

BEFORE = b"backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n" + b"# more\n" * 3000
FULL = "cannot be written: No space left on device. Free some space on the file system."
WISH = {"credentials": "literal", "host": "db", "port": "5432", "user": "me"}


def expected(password, data=BEFORE):
    return database_block.present(data, connection_settings.by_literal("db", 5432, "me", password)).data


def start(output, **arguments):
    """Run the module in a child of this process, which has everything imported already; the child's id."""
    child = os.fork()
    if child:
        return child
    try:
        with (
            open(output, "w", encoding="utf-8") as sink,
            contextlib.redirect_stdout(sink),
            patch_module_args(arguments),
        ):
            backstage_app_config.main()
    except SystemExit:
        pass
    finally:
        os._exit(0)


def result_of(child, output):
    os.waitpid(child, 0)
    with open(output, encoding="utf-8") as stream:
        return json.loads(stream.read().splitlines()[-1])


def readable_by_others(directory):
    """What a stranger could read below a directory."""
    found = []
    for entry in os.scandir(directory):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and mode & 0o077:
            found += [entry.path, *readable_by_others(entry.path)]
        elif not stat.S_ISDIR(mode) and mode & 0o007:
            found.append(entry.path)
    return found


def test_kill(tmp_path, tmp_path_factory):
    count = int(os.environ.get("KILLS", "60"))
    output = str(tmp_path_factory.mktemp("out") / "json")
    path = tmp_path / "app-config.yaml"
    path.write_bytes(BEFORE)
    begin = time.monotonic()
    assert result_of(start(output, path=str(path), password="first", **WISH), output)["changed"]
    duration = time.monotonic() - begin
    dice = random.Random(4711)
    seen = {"old": 0, "new": 0, "left": 0}
    for number in range(count):
        old = path.read_bytes()
        password = f"password-{number}"
        child = start(output, path=str(path), password=password, backup=bool(number % 2), **WISH)
        time.sleep(dice.uniform(0, duration * 2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        now = path.read_bytes()
        assert now in (old, expected(password)), number
        seen["old" if now == old else "new"] += 1
        # So that half of the kills come before the change, however busy the cores are now.
        duration *= 1.2 if now == old else 1 / 1.2
        left = [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        seen["left"] += bool(left)
        assert readable_by_others(tmp_path) == []
    print(seen)
    assert seen["old"] > count * 0.1, seen
    assert seen["new"] > count * 0.01, seen
    assert result_of(start(output, path=str(path), password="last", **WISH), output)["changed"]
    assert path.read_bytes() == expected("last")
    backups = [name for name in os.listdir(tmp_path) if name.endswith("~")]
    assert sorted(os.listdir(tmp_path)) == sorted(["app-config.yaml", *backups])
    for name in backups:
        assert (tmp_path / name).read_bytes().count(b"\n") in (BEFORE.count(b"\n"), expected("x").count(b"\n"))


def test_runs_that_meet(tmp_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    path = tmp_path / "app-config.yaml"
    path.write_bytes(BEFORE)
    for turn in range(5):
        passwords = [f"password-{turn}-{number}" for number in range(6)]
        children = [start(str(out / word), path=str(path), password=word, **WISH) for word in passwords]
        for child, word in zip(children, passwords):
            result = result_of(child, str(out / word))
            assert result.get("changed"), result
        assert path.read_bytes() in [expected(word) for word in passwords]
        assert os.listdir(tmp_path) == ["app-config.yaml"]


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a tmpfs of some KiB, with the file on it."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    mounted = []

    def mount(kilobytes, inodes=100):
        place = tmp_path / "disk"
        place.mkdir()
        options = f"size={kilobytes}k,nr_inodes={inodes}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False)
        if done.returncode:
            pytest.skip("this machine lets nobody mount a tmpfs")
        mounted.append(place)
        path = place / "app-config.yaml"
        path.write_bytes(BEFORE)
        return path

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("backup", [True, False])
@pytest.mark.parametrize(("kilobytes", "inodes"), [(32, 100), (1000, 3)])
def test_full_disk(small_disk, run_module, kilobytes, inodes, backup):
    path = small_disk(kilobytes, inodes)
    result = run_module("backstage_app_config", path=str(path), password="geheim", backup=backup, **WISH)
    assert result["failed"]
    assert result["msg"] == f"{path}: {FULL} The file is as it was."
    assert path.read_bytes() == BEFORE
    assert os.listdir(path.parent) == ["app-config.yaml"]


def test_full_disk_and_the_password_file(small_disk, run_module):
    path = small_disk(32)
    result = run_module("backstage_app_config", path=str(path), password="geheim", **{**WISH, "credentials": "file"})
    assert "No space left on device" in result["msg"]
    assert path.read_bytes() == BEFORE
    assert os.listdir(path.parent) == ["app-config.yaml"]


def test_read_only(small_disk, run_module):
    path = small_disk(1000)
    subprocess.run(["mount", "-o", "remount,ro", str(path.parent)], check=True)
    assert run_module("backstage_app_config", check=True, path=str(path), password="geheim", **WISH)["changed"]
    result = run_module("backstage_app_config", path=str(path), password="geheim", **WISH)
    assert result["msg"] == (
        f"{path}: cannot be written: Read-only file system. Mount the file system read-write. The file is as it was."
    )
    assert path.read_bytes() == BEFORE
