# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with an environment that nothing of this process leaks into, and within bounds.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids

MAX_OUTPUT = 10 * 1024 * 1024  # bytes


class Done(NamedTuple):
    """How a program ended: its exit code, and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


def environment(**more: str) -> dict[str, str]:
    """PATH, messages in English and UTF-8, and `more`."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **more}


def as_user(ids: Ids | None) -> dict[str, Any]:
    """The options with which subprocess gives a program these ids for good; none in a process that is not root's."""
    if ids is None or os.geteuid() != 0:
        return {}
    return {"user": ids.uid, "group": ids.gid, "extra_groups": list(ids.groups)}


# The two calls below are the only ones that start a program: this code runs without Ansible too, so it has no
# AnsibleModule.run_command.
def completed(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """What `subprocess.run` returns, with the outputs kept, no input, and any exit code."""
    return subprocess.run(  # pylint: disable=ansible-bad-function
        command, capture_output=True, check=False, stdin=subprocess.DEVNULL, **options
    )


def run(
    command: Sequence[str],
    timeout: float,
    ids: Ids | None = None,
    stdin: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> Done:
    """Run a program in a session of its own, far from the terminal of this process, and wait for its end.

    Args:
        command: the program and its arguments.
        timeout: seconds; it is killed then, with what it started.
        ids: whose program it is; None: this process's.
        stdin: its input; less than a pipe takes (4096 bytes), or what it does not read would be waited for.
        variables: its environment; None: that of `environment`.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it did not end in time, or wrote more than `MAX_OUTPUT`.
    """
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment() if variables is None else variables,
        start_new_session=True,
        **as_user(ids),
    ) as process:
        try:
            return _communicate(process, timeout, stdin)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _communicate(process: subprocess.Popen[bytes], timeout: float, stdin: bytes) -> Done:
    if not (process.stdin and process.stdout and process.stderr):
        raise AssertionError("all three are pipes")
    end = time.monotonic() + timeout
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(stdin)
    outputs: dict[int, bytes] = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    with selectors.DefaultSelector() as selector:
        for descriptor in outputs:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _events in selector.select(max(0, end - time.monotonic())):
                data = os.read(key.fd, 65536)
                outputs[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
            if time.monotonic() >= end or sum(map(len, outputs.values())) > MAX_OUTPUT:
                raise TimeoutError(f"it did not end within {timeout:g} s, or wrote too much")
    try:
        code = process.wait(max(0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"it did not end within {timeout:g} s") from None
    stdout, stderr = outputs.values()
    return Done(code, stdout, stderr)
