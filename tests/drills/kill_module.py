# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills the process of a module that Ansible runs with pipelining; day_two_kills.py starts it where the modules run.

    python3 -c PROGRAM INTERPRETER MARK

Reads lines with the seconds that the process may run, and whether its children are killed too (1 or 0); answers each
with `killed`, `ended` where it had ended before, or `none`. A process with another environment than MARK is not it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

INTERPRETER, MARK = sys.argv[1].encode(), sys.argv[2].encode()


def read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def find():
    """Its program is its standard input, so that its arguments are the interpreter alone."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if read(pid, "cmdline") == INTERPRETER + b"\0" and MARK in read(pid, "environ"):
            return pid
    return None


def tree(pid):
    pids, parents = [pid], {}
    for each in filter(str.isdigit, os.listdir("/proc")):
        fields = read(each, "stat").rpartition(b")")[2].split()
        parents[each] = fields[1].decode() if fields else ""
    for each in pids:
        pids += [child for child, parent in parents.items() if parent == each]
    return pids


def kill(seconds, children):
    deadline, pid = time.monotonic() + 3, None
    while pid is None:
        if time.monotonic() > deadline:
            return "none"
        pid = find()
        time.sleep(0.002)
    time.sleep(seconds)
    if read(pid, "cmdline") != INTERPRETER + b"\0":
        return "ended"
    for each in tree(pid) if children else [pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(each), signal.SIGKILL)
    return "killed"


print("ready", flush=True)
for line in sys.stdin:
    print(kill(float(line.split()[0]), line.split()[1] == "1"), flush=True)
