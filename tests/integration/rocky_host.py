# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that calls itself Rocky Linux 9 (tests/tools/rocky.py), and the modules in it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import ansible
from module_runs import PROGRAM

_TREES = pathlib.Path(__file__).resolve().parents[5]
_REPOSITORY = """[pgdg14]
name=PostgreSQL 14 of the PostgreSQL project
baseurl=file:///srv/packages/yum/14/redhat/rhel-9-x86_64
gpgkey=file:///srv/packages/KEY
"""
_START = [
    "--detach", "--label", "devportal.backstage=test", "--cap-add", "SYS_ADMIN", "--cgroupns", "host",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--env", "container=docker",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",
]  # fmt: skip


class Rocky:
    """A running host, with the packages that are named.

    Args:
        image: of rocky.py.
        packages: for dnf.
    """

    def __init__(self, image: str, *packages: str) -> None:
        groups = "/sys/fs/cgroup" + ("/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "")
        places = {groups: "/sys/fs/cgroup:rw", _TREES: "/collection:ro", ansible.__path__[0]: "/ansible/ansible:ro"}
        volumes = [word for source, target in places.items() for word in ("--volume", f"{source}:{target}")]
        done = subprocess.run(
            ["docker", "run", *_START, *volumes, image], capture_output=True, text=True, check=True
        )  # fmt: skip
        self.name = done.stdout.strip()
        try:
            self.shell("until systemctl is-system-running | grep -Eq 'running|degraded'; do sleep 0.2; done")
            self.write("/etc/yum.repos.d/pgdg.repo", _REPOSITORY)
            self.shell(f"dnf --quiet --assumeyes install {' '.join(packages)}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)

    def run(self, *command: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        options = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        return subprocess.run(
            ["docker", "exec", "--interactive", *options, self.name, *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def shell(self, script: str) -> str:
        done = self.run("sh", "-c", script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, path: str, text: str) -> None:
        assert self.run("sh", "-c", 'cat >"$1"', "sh", path, given=text).returncode == 0

    def module(
        self, name: str, /, check: bool = False, diff: bool = False, killed_after: float | None = None, **arguments
    ):
        """The module's result; None where it was killed first."""
        arguments.update(_ansible_check_mode=check, _ansible_diff=diff)
        killer = [] if killed_after is None else ["timeout", "--signal=KILL", f"{killed_after:.3f}"]
        done = self.run(
            *killer, "python3", "-B", "-c", PROGRAM,
            given=json.dumps({"name": name, "args": arguments}), PYTHONPATH="/collection:/ansible",
        )  # fmt: skip
        if killer and done.returncode == 137:
            return None
        assert done.stderr == "", done.stderr
        return {"failed": False, "changed": False, **json.loads(done.stdout)}
