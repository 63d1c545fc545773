# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes .cache/venv and .cache/tree, or brings them up to date. Runs on Python 3.11 to 3.13, without the venv."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

# ansible-core and ansible-test know no other.
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.13 ...")

import common

REQUIREMENTS = common.ROOT / "tests" / "requirements.txt"


def _digest(*parts: str | bytes) -> str:
    return hashlib.sha256(b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)).hexdigest()


def venv() -> None:
    """The virtual environment with tests/requirements.txt; made again when that, the Python or the path changed."""
    stamp = common.VENV / "made-from"
    # A venv holds absolute paths, so a checkout that was moved needs a new one.
    wanted = _digest(REQUIREMENTS.read_bytes(), sys.version, str(common.ROOT))
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        common.apt_install("python3-venv", why="making a virtual environment")
    common.say(f"Making .cache/venv with Python {sys.version.split()[0]} (about a minute) ...")
    shutil.rmtree(common.VENV, ignore_errors=True)
    # Another process: after python3-venv was installed, this one would still not find ensurepip.
    if subprocess.run([sys.executable, "-m", "venv", str(common.VENV)], check=False).returncode:
        raise common.Problem(f"{sys.executable} could not make a virtual environment in {common.VENV}.")
    pip = [str(common.PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    with (common.CACHE / "pip.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [*pip, "--requirement", str(REQUIREMENTS)], stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise common.Problem(f"pip could not install tests/requirements.txt; {log.name} says why.")
    stamp.write_text(wanted)


def _known_files() -> list[str]:
    """The files git knows, or would know after `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, check=False)
    if done.returncode:
        raise common.Problem(f"git ls-files in {common.ROOT}: {done.stderr.decode().strip()}")
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return sorted({name for name in names if os.path.lexists(common.ROOT / name)})


def _same(source: pathlib.Path, target: pathlib.Path) -> bool:
    try:
        old, new = os.lstat(source), os.lstat(target)
    except FileNotFoundError:
        return False
    return (old.st_mode, old.st_size, old.st_mtime_ns) == (new.st_mode, new.st_size, new.st_mtime_ns)


def tree() -> None:
    """The copy of the checkout that the tools work in; only what differs is written or removed."""
    listing = common.TREES / "files"
    before = listing.read_text(encoding="utf-8").split("\0") if listing.exists() else []
    names = _known_files()
    for name in set(before) - set(names):
        (common.TREE / name).unlink(missing_ok=True)
    for name in names:
        source, target = common.ROOT / name, common.TREE / name
        if not _same(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    if not (common.TREE / ".git").exists():
        # ansible-test asks git for the files, and would otherwise ask the checkout's, which ignores .cache.
        subprocess.run(["git", "init", "--quiet", str(common.TREE)], check=True)
    listing.write_text("\0".join(names), encoding="utf-8")


def main() -> int:
    common.CACHE.mkdir(exist_ok=True)
    venv()
    tree()
    return 0


if __name__ == "__main__":
    common.main(main)
