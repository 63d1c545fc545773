# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates .cache/venv and .cache/tree, or brings them up to date. Runs on Python 3.11 to 3.14, without the venv."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

# ansible-core and ansible-test know no other.
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit(f"Python 3.11 to 3.14 is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.13 ...")

import common
import venvs

# Not for the tools: what a ZIP download holds besides the project's files.
_UNKNOWN = {".git", ".cache", "__pycache__", ".hypothesis"}


def check_arguments() -> None:
    """git and the variables of the command line, before a minute goes into the venv. Raises: common.Problem."""
    if not shutil.which("git"):
        raise common.Problem("git is missing; the tools below need it. Install the package git.")
    target, app_config = os.environ.get("TARGET"), os.environ.get("APP_CONFIG")
    if target not in (None, "", "container", "localhost"):
        raise common.Problem(f"TARGET: {target} is unknown. Use TARGET=localhost, or leave it out for a container.")
    if app_config and not pathlib.Path(app_config).expanduser().is_file():
        raise common.Problem(f"APP_CONFIG: {app_config} is not a file. Name an app-config.yaml; a copy of it is used.")


def _known_files() -> list[str]:
    """The files git knows, or would know after `git add`; in a ZIP download, which has no .git, all files."""
    if not (common.ROOT / ".git").exists():
        found = (path.relative_to(common.ROOT) for path in common.ROOT.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in found if not _UNKNOWN.intersection(path.parts))
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
    check_arguments()
    common.CACHE.mkdir(exist_ok=True)
    venvs.ensure("tests", common.VENV)
    tree()
    return 0


if __name__ == "__main__":
    common.main(main)
