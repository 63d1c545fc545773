# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbooks as a user would, with everything on that could write a secret down, and searches afterwards.

Environment: LEAK_INVENTORY and LEAK_HOST (the container), from verify.yml; LEAK_KILLS, how many of the task boundaries
to kill a rotation at (default 2, `all` for each).
"""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse

import pytest

HERE = pathlib.Path(__file__).parent
CONTAINER = os.environ["LEAK_HOST"]
ENV_FILE = "/etc/backstage/backstage.env"


class Host:
    """The container."""

    def run(self, *command, stdin=None, check=True):
        done = subprocess.run(
            ["docker", "exec", "-i", CONTAINER, *command], input=stdin, capture_output=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout

    def sql(self, query):
        done = self.run(
            "runuser", "-u", "postgres", "--", "psql", "-XAt", stdin=f"SET log_statement = none;{query}".encode()
        )
        return done.decode().splitlines()[1:]

    @contextlib.contextmanager
    def watch(self, program, *arguments):
        """Run a Python program there meanwhile; its output's lines are in the list at the end."""
        command = ["docker", "exec", "-i", CONTAINER, "python3", "-c", (HERE / program).read_text(encoding="utf-8")]
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        lines = []
        try:
            yield lines
        finally:
            out, err = process.communicate(timeout=60)
            lines += out.decode("utf-8", "replace").splitlines()
        assert process.returncode == 0, err.decode()


class Controller:
    """ansible-playbook, with all that it writes below one directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.outputs = []
        self.verifiers = set()
        # A file of further variables, outside of the directory.
        self.variables = None
        self.host = Host()

    def command(self, playbook, login, extra):
        user, password, owner = login
        environment = {
            **os.environ,
            "LEAK_USER": user,
            "LEAK_PASSWORD": password,
            "LEAK_OWNER": owner,
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "home" / "tmp"),
            "ANSIBLE_LOG_PATH": str(self.directory / "ansible.log"),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.directory / "facts"),
            "ANSIBLE_GATHERING": "implicit",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_KEEP_REMOTE_FILES": "0",
            **extra,
        }
        program = shutil.which("ansible-playbook", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
        command = [program, "--inventory", os.environ["LEAK_INVENTORY"], "-vvv", "--diff", playbook]
        command += [f"--extra-vars=@{self.variables}"] if self.variables else []
        return command, environment

    def play(self, playbook, login, **extra):
        """Run it to its end; the output. The exit code is in the attribute `code`."""
        command, environment = self.command(playbook, login, extra)
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return self._ended(done.returncode, done.stdout)

    def kill(self, playbook, login, task, times=1, **extra):
        """Run it, and kill -9 it when a task begins for the `times`-th time; whether it got there."""
        command, environment = self.command(playbook, login, extra)
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = []
        for line in process.stdout:
            lines.append(line)
            if re.match(r"(TASK|RUNNING HANDLER) \[", line) and task in line:
                times -= 1
                if times == 0:
                    os.killpg(process.pid, signal.SIGKILL)
                    break
        process.wait()
        process.stdout.close()
        self._ended(process.returncode, "".join(lines))
        return times == 0

    def _ended(self, code, output):
        self.code = code
        self.outputs.append(output)
        with contextlib.suppress(AssertionError):  # before there is a server
            self.verifiers.update(self.host.sql("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL;"))
        return output

    def changed(self):
        """How much the last run changed."""
        return [int(count) for count in re.findall(r"changed=(\d+)", self.outputs[-1].partition("PLAY RECAP")[2])]


def needles(password):
    """The ways in which a password could be written down."""
    data = password.encode()
    ways = {"clear": data, "hex": data.hex().encode()}
    for shift in range(3):
        # In the middle of something longer: only whole groups of characters are the same.
        text = base64.b64encode(b"\0" * shift + data + b"\0" * ((-len(data) - shift) % 3))
        ways[f"base64 at {shift}"] = text[(4 if shift else 0) : (-4 if (len(data) + shift) % 3 else None)]
    ways["url"] = urllib.parse.quote(password, safe="").encode()
    ways["json"] = data.replace(b"/", b"\\/")
    return ways


def verifier_needles(verifiers):
    """Salt, StoredKey and ServerKey of each verifier."""
    return {part.encode() for verifier in verifiers for part in re.split(r"[$:]", verifier)[2:]}


class Search:
    """Where any of some byte strings is; `found` has (place, what)."""

    def __init__(self, controller, wanted, samples):
        self.controller, self.wanted, self.found = controller, dict(wanted), set()
        host = controller.host
        self._files()
        self._text("sampled process or session", "\n".join(samples).encode())
        self._text("journal", host.run("journalctl", "--all", "--output=export", "--no-pager"))
        self._text("pg_stat_statements", "\n".join(host.sql("SELECT query FROM pg_stat_statements;")).encode())
        self._text("ansible's output", "\n".join(controller.outputs).encode())
        for path in controller.directory.rglob("*"):
            if path.is_file():
                self._text(f"controller {path.relative_to(controller.directory)}", path.read_bytes())

    def _text(self, place, data):
        self.found.update((place, name) for name, needle in self.wanted.items() if needle in data)

    def _files(self):
        """The whole of the host's file system, in one go."""
        names = {needle: name for name, needle in self.wanted.items()}
        # /proc and /sys are no files; a file that vanishes meanwhile makes grep end with 2.
        command = "cd / && grep -raoF --devices=skip -f - --exclude-dir=proc --exclude-dir=sys . 2>/dev/null || true"
        done = self.controller.host.run("sh", "-c", command, stdin=b"\n".join(names) + b"\n")
        for line in set(done.splitlines()):
            path, _colon, text = line.partition(b":")
            if text in names:
                self.found.add((path.decode("utf-8", "replace")[1:], names[text]))


@pytest.fixture(scope="session")
def controller(tmp_path_factory):
    return Controller(tmp_path_factory.mktemp("controller"))
