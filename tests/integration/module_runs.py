# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module in a process of its own, as Ansible runs it.

Most of what a short run costs is Python's start and the imports, and there are thousands of runs. So a run is a fork of
a process that has only imported the module; a run with another environment or Python begins with a new one.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading

from ansible.module_utils.testing import patch_module_args

PROGRAM = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
call = json.load(sys.stdin)
module = importlib.import_module("ansible_collections.devportal.backstage.plugins.modules." + call["name"])
with patch_module_args(call["args"]):
    module.main()
"""
_CHANGES_BY_ITSELF = "PYTEST_CURRENT_TEST"


def _state():
    """What a new process would have of this one."""
    return {name: value for name, value in os.environ.items() if name != _CHANGES_BY_ITSELF}, os.getcwd()


def anew(python, call, env):
    """What a run in a new Python prints on standard output and standard error."""
    done = subprocess.run(
        [python, "-c", PROGRAM],
        input=json.dumps(call),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    return done.stdout, done.stderr


class _Forks:
    """The process that imports and forks, one for each thread, for it forks for one at a time."""

    def __init__(self):
        self.state = _state()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self):
        """End it, which a lost thread's does by itself: its standard input ends."""
        with self._process as process:
            process.stdin.close()

    __del__ = close

    def run(self, call):
        """As `anew`, for a call in the state that it was started with."""
        with tempfile.TemporaryDirectory(prefix="devportal-run-") as folder:
            files = [os.path.join(folder, name) for name in ("out", "err")]
            self._process.stdin.write(json.dumps([call, *files]) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "ended\n"
            texts = []
            for path in files:
                with open(path, encoding="utf-8") as stream:
                    texts.append(stream.read())
            return texts


_OF_THIS_THREAD = threading.local()


def forked(call):
    """As `anew`, without a start of Python, where nothing has changed since the last one."""
    forks = getattr(_OF_THIS_THREAD, "forks", None)
    if forks is None:
        forks = _OF_THIS_THREAD.forks = _Forks()
    return forks.run(call) if forks.state == _state() else anew(sys.executable, call, {})


def _serve():
    """Fork for each line of standard input, and say so when that process has ended."""
    for line in sys.stdin:
        call, *files = json.loads(line)
        module = importlib.import_module("ansible_collections.devportal.backstage.plugins.modules." + call["name"])
        child = os.fork()
        if not child:
            for number, path in enumerate((os.devnull, *files)):
                with open(path, "rb" if number == 0 else "wb") as stream:
                    os.dup2(stream.fileno(), number)
            with patch_module_args(call["args"]):
                module.main()
            sys.exit()
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    _serve()
