# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are, and how the tools are called. All that the set-up makes is below .cache; standard library only."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
VENV = CACHE / "venv"
# ansible-test and ansible-lint want a collection below ansible_collections/NAMESPACE/NAME, and resolve symlinks.
TREES = CACHE / "tree"
TREE = TREES / "ansible_collections" / "devportal" / "backstage"
# What a user gets: the built tarball, installed; the molecule scenarios and the demo run this one.
INSTALLED = CACHE / "installed"
PYTHON = VENV / "bin" / "python"
# The names of the Debian packages that were installed on this machine.
PACKAGES = CACHE / "packages"


class Problem(Exception):
    """Something a person has to know or do; shown without a traceback."""


class Skipped(Exception):
    """A part that cannot run here, and why."""


def say(text: str) -> None:
    """One line of progress, in step with what the tools print themselves."""
    print(text, flush=True)


def environment(**extra: str) -> dict[str, str]:
    """The variables the tools run with: the venv first, caches below .cache, no git repository above the tree."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    env.pop("PYTHONHOME", None)
    env.update(
        PATH=os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
        VIRTUAL_ENV=str(VENV),
        # Ansible refuses to start without UTF-8.
        LC_ALL="C.UTF-8",
        ANSIBLE_HOME=str(CACHE / "ansible"),
        ANSIBLE_NOCOWS="1",
        ANSIBLE_COLLECTIONS_PATH=str(TREES),
        # The tree lies below the checkout, where git ignores it: a tool that asks git there would see no files.
        GIT_CEILING_DIRECTORIES=str(CACHE),
        MYPYPATH=str(TREES),
        MYPY_CACHE_DIR=str(CACHE / "mypy"),
        RUFF_CACHE_DIR=str(CACHE / "ruff"),
        HYPOTHESIS_STORAGE_DIRECTORY=str(CACHE / "hypothesis"),
        XDG_CACHE_HOME=str(CACHE / "xdg"),
    )
    env.update(extra)
    return env


def run(command: list[str], cwd: pathlib.Path = ROOT, env: dict[str, str] | None = None) -> int:
    """Run a command, its output going where ours goes; its exit code."""
    return subprocess.run(command, cwd=cwd, env=env, check=False, stdin=subprocess.DEVNULL).returncode


def output(command: list[str], timeout: float | None = None, **options) -> subprocess.CompletedProcess:
    """Run a command and keep what it says; a missing program or a time-out counts as a failure."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            **options,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def apt_install(*packages: str, why: str) -> None:
    """Install Debian packages where we may; else say which are missing, and what for."""
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Problem(f"{why} needs the Debian packages {names}: install them (apt-get install {names}).")
    say(f"Installing {names} ({why}) ...")
    log = CACHE / "apt.log"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    CACHE.mkdir(exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", "--quiet", *command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
            )
    if done.returncode:
        raise Problem(f"apt-get could not install {names}; {log} says why.")
    with PACKAGES.open("a", encoding="utf-8") as record:
        record.write(names + "\n")


def main(action) -> None:
    """Run `action` as a program: a Problem is one line on standard error and exit code 1."""
    start = time.monotonic()
    try:
        code = action()
    except Problem as problem:
        print(f"\nFailed after {time.monotonic() - start:.0f} s: {problem}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
