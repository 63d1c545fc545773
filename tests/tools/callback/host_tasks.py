# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts, for each host of a playbook run, the tasks that reached it, and takes the time of the run."""

from __future__ import annotations

import collections
import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: host_tasks
type: aggregate
short_description: Tasks that reach a host
description:
  - Prints how many tasks each host ran, without the skipped ones and those that the controller does by itself.
  - Appends the same as a line of JSON to the file that the option names.
author: The devportal.backstage maintainers (@devportal)
options:
  file:
    description: Where the line goes.
    type: path
    env:
      - name: HOST_TASKS_FILE
"""

# What the controller does by itself; anything else counts, each item of a loop by itself.
_CONTROLLER = {
    "add_host", "assert", "debug", "fail", "group_by", "import_playbook", "import_role", "import_tasks",
    "include_role", "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats", "validate_argument_spec",
}  # fmt: skip


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "host_tasks"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._reached = collections.Counter()
        self._start = time.monotonic()
        self._playbook = ""

    def v2_playbook_on_start(self, playbook):
        self._playbook = os.path.basename(playbook._file_name)

    def _count(self, result):
        action = result.task.action.split(".")[-1]
        # The preflight queries each host once a run.
        on_controller = action in _CONTROLLER or (action == "backstage_preflight" and not result.result.get("queried"))
        if not on_controller:
            self._reached[result.host.get_name()] += 1

    def v2_runner_on_ok(self, result):
        # Of a loop, the items were counted.
        if not result.task.loop:
            self._count(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not result.task.loop:
            self._count(result)

    v2_runner_item_on_ok = v2_runner_item_on_failed = _count

    def v2_playbook_on_stats(self, stats):
        seconds = round(time.monotonic() - self._start, 1)
        hosts = {
            host: {"tasks": self._reached[host], **stats.summarize(host)} for host in sorted(stats.processed.keys())
        }
        counts = ", ".join(f"{host} {counted['tasks']}" for host, counted in hosts.items())
        self._display.display(f"{self._playbook}: {seconds} s, tasks that reached a host: {counts or 'none'}")
        path = self.get_option("file")
        if path:
            with open(path, "a", encoding="utf-8") as record:
                record.write(json.dumps({"playbook": self._playbook, "seconds": seconds, "hosts": hosts}) + "\n")
