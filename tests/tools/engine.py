# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees to it that a Docker engine answers: one that is there, else Debian's docker.io where we may install it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

import common

_LOG = common.CACHE / "dockerd.log"
_PID = common.CACHE / "dockerd.pid"
_SECONDS_TO_START = 60


def answer() -> str | None:
    """None when the engine answers, else what the client says."""
    if not shutil.which("docker"):
        return "there is no docker command"
    done = common.output(["docker", "info", "--format", "{{.ServerVersion}}"], timeout=20)
    if done.returncode == 0 and done.stdout.strip():
        return None
    return (done.stderr.strip() or done.stdout.strip() or "docker info says nothing").splitlines()[-1]


def _process(pid_file: pathlib.Path, name: str) -> int | None:
    """The process that a pid file names, if it is alive and is the program it should be."""
    try:
        pid = int(pid_file.read_text())
        return pid if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name else None
    except (OSError, ValueError):
        return None


def _start() -> None:
    if pathlib.Path("/run/systemd/system").is_dir():
        common.output(["systemctl", "start", "docker"], timeout=_SECONDS_TO_START)
    else:
        # Left by an engine that was killed, such a file keeps the next one from starting: its number is another
        # process's by now.
        for path, name in (("/run/docker.pid", "dockerd"), ("/run/docker/containerd/containerd.pid", "containerd")):
            if _process(pathlib.Path(path), name) is None:
                pathlib.Path(path).unlink(missing_ok=True)
        common.CACHE.mkdir(exist_ok=True)
        with _LOG.open("ab") as log:
            engine = subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        _PID.write_text(str(engine.pid))
    deadline = time.monotonic() + _SECONDS_TO_START
    while (problem := answer()) and time.monotonic() < deadline:
        time.sleep(0.5)
    if problem:
        last = _LOG.read_text(errors="replace").strip().splitlines()[-1:] if _LOG.exists() else []
        raise common.Skipped(f"the Docker engine does not start: {problem} {' '.join(last)}")


def ensure() -> None:
    """Return when an engine answers; raise Skipped with the reason and the remedy when none can be had."""
    problem = answer()
    if problem is None:
        return
    if os.geteuid() != 0:
        raise common.Skipped(f"no Docker engine answers ({problem}); start one, or join the group docker, or be root")
    if not shutil.which("dockerd"):
        if not shutil.which("apt-get"):
            raise common.Skipped(f"no Docker engine answers ({problem}); install one and start it")
        try:
            common.apt_install("docker.io", why="an engine for the throw-away hosts")
        except common.Problem as failure:
            raise common.Skipped(str(failure)) from failure
        problem = answer()
    if problem:
        common.say("Starting the Docker engine ...")
        _start()


def stop() -> None:
    """Stop the engine if it was started by `ensure` in the background."""
    pid = _process(_PID, "dockerd")
    if pid is not None:
        os.kill(pid, 15)
        common.say(f"Stopped the Docker engine that the tests had started (process {pid}).")
    _PID.unlink(missing_ok=True)
