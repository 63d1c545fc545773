# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills its own ansible-playbook between two tasks, so that no module is running at that moment."""

from __future__ import annotations

import json
import os
import signal
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: boundaries
type: aggregate
short_description: Records the tasks of a run, and ends it by SIGKILL after one that changed something
description:
  - Appends a line of JSON to the file that the option O(record) names when a task begins, when a task has changed
    something, and when the run is killed.
author: The devportal.backstage maintainers (@devportal)
options:
  record:
    description: Where the lines go.
    type: path
    required: true
    env:
      - name: BOUNDARIES_RECORD
  kill:
    description: Whether to kill the run before its first task and after a task that changed something.
    type: bool
    default: false
    env:
      - name: BOUNDARIES_KILL
  done:
    description: File with a JSON list of the tasks after which a run was killed before. This run is not.
    type: path
    env:
      - name: BOUNDARIES_DONE
"""

# It removes what it has created, and reports no change; what it leaves is the record of its result.
_SILENT = "Restore the latest backup beside the cluster and compare the two"


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "boundaries"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._play = self._task = ""
        # After which task the next boundary comes; at first the start of the run.
        self._after = "the start"

    def _record(self, **event):
        with open(self.get_option("record"), "a", encoding="utf-8") as record:
            record.write(json.dumps({**event, "time": time.time()}) + "\n")

    def _boundary(self):
        """Between two tasks: all results of the former are in, and the next is not sent to a host yet."""
        if not self._after or not self.get_option("kill"):
            return
        with open(self.get_option("done"), encoding="utf-8") as done:
            killed = self._after not in json.load(done)
        if killed:
            self._record(killed=self._after)
            os.kill(os.getpid(), signal.SIGKILL)
        self._after = ""

    def v2_playbook_on_play_start(self, play):
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._boundary()
        # The same file of tasks may serve several plays.
        path = task.get_path().rpartition("/backstage/")[2]
        self._task = f"{self._play} | {path} | {task.get_name()}"
        self._record(begins=self._task, local=task.delegate_to == "localhost")

    def v2_playbook_on_handler_task_start(self, task):
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result):
        if result.is_changed() or self._task.endswith(_SILENT):
            self._after = self._task
            self._record(changed=self._task, reported=result.is_changed())

    def v2_playbook_on_stats(self, stats):
        self._boundary()
