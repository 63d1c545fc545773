# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments below .cache, each from one pinned file of tests/requirements; standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import time

import common

REQUIREMENTS = common.ROOT / "tests" / "requirements"
# The newest ansible-core does not run on every Python that the tests run on.
NEWER_PYTHONS = ("python3.13", "python3.12", "python3.14")
_STEP = 25  # packages between two lines of progress


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _version(python: str) -> str:
    """What a Python calls itself; empty for one that does not start, as a pyenv shim may not."""
    return common.output([python, "-c", "import sys; print(sys.version)"]).stdout.strip()


def newer_python() -> str | None:
    """A Python that runs the newest ansible-core: this one, or another on PATH or of pyenv."""
    if sys.version_info >= (3, 12):
        return sys.executable
    found = [path for name in NEWER_PYTHONS if (path := shutil.which(name))]
    found += sorted(map(str, pathlib.Path.home().glob(".pyenv/versions/3.1[2-4].*/bin/python3")), reverse=True)
    return next((path for path in found if _version(path)), None)


def _pip(python: pathlib.Path, requirements: pathlib.Path, log: pathlib.Path) -> int:
    """Install, with a line of progress for every few packages; pip's exit code."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    command += ["--require-hashes", "--requirement", str(requirements)]
    total = len(re.findall(r"^\S+==", requirements.read_text(encoding="utf-8"), re.M))
    seen = 0
    with log.open("w", encoding="utf-8") as sink:
        done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.stdout is not None
        for line in done.stdout:
            sink.write(line)
            seen += line.startswith("Collecting ")
            if line.startswith("Collecting ") and seen % _STEP == 0:
                common.say(f"  {seen} of {total} packages ...")
            elif line.startswith("Installing "):
                common.say("  installing ...")
        return done.wait()


def _last_error(log: pathlib.Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    return errors[-1].removeprefix("ERROR:").strip() if errors else "pip printed nothing"


def check_index(python: str) -> None:
    """Ask pip's package index for one small package, so that a closed network is known within seconds.

    Raises:
        common.Problem: it does not answer; with pip's own words.
    """
    command = [python, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--retries", "1"]
    command += ["--timeout", "20", "--dest", str(common.CACHE / "probe"), "iniconfig"]
    done = common.output(command, timeout=90)
    shutil.rmtree(common.CACHE / "probe", ignore_errors=True)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or [done.stderr.strip()]
        raise common.Problem(
            f"pip cannot reach its package index: {last[-1].removeprefix('ERROR:').strip()[:300]} "
            "Check the network, the proxy variables and pip's configuration (pip config list)."
        )


def ensure(name: str, folder: pathlib.Path, python: str = sys.executable) -> pathlib.Path:
    """The Python of the virtual environment `folder`, created again when its pins, Python or path changed.

    Args:
        name: the file tests/requirements/NAME.txt.
        folder: where the environment is.
        python: what it is created with.

    Raises:
        common.Problem: it cannot be created; with pip's last error.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    stamp = folder / "created-from"
    # A venv holds absolute paths, so a checkout that was moved needs a new one.
    wanted = _digest(requirements.read_bytes(), _version(python).encode(), str(common.ROOT).encode())
    inside = folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return inside
    if python == sys.executable and None in map(importlib.util.find_spec, ("ensurepip", "venv")):
        common.apt_install("python3-venv", why="creating a virtual environment")
    common.say(f"Creating .cache/{folder.name} with Python {_version(python).split()[0]} (about a minute) ...")
    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    # Another process: after python3-venv was installed, this one would still not find ensurepip.
    done = common.output([python, "-m", "venv", str(folder)])
    if done.returncode:
        raise common.Problem(f"{python} could not create a virtual environment in {folder}: {done.stderr.strip()}")
    check_index(str(inside))
    log = common.CACHE / f"pip-{folder.name}.log"
    if _pip(inside, requirements, log):
        raise common.Problem(
            f"pip could not install tests/requirements/{name}.txt: {_last_error(log)} The whole log: {log}"
        )
    stamp.write_text(wanted)
    common.say(f"  ready after {time.monotonic() - start:.0f} s")
    return inside


def oldest() -> pathlib.Path:
    """The Python of the environment with the oldest supported ansible-core, which runs on Python 3.12 at most."""
    python = sys.executable if sys.version_info < (3, 13) else "python3.12"
    return ensure("oldest", common.CACHE / "venv-oldest", python)
