# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """See the module of this name for its documentation.

    A module prints nothing while it runs, so a long wait is several calls of it, with a line between two of them.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        timeout, interval = (_seconds(arguments, *default) for default in (("timeout", 120), ("progress_interval", 30)))
        if timeout <= 0 or interval <= 0 or not arguments.get("service"):
            # One call, which also rejects what is not a number.
            return {**result, **self._execute_module(task_vars=task_vars)}
        done = self._wait(arguments, min(timeout, interval), task_vars)
        changed = done.get("changed", False)
        # Only a start that goes on is worth another call.
        while done.get("failed") and done.get("starting") and (waited := done["seconds"]) < timeout:
            host = (task_vars or {}).get("inventory_hostname", "")
            said = done["reason"] or "nothing yet"
            self._display.display(f"[{host}]: Backstage is not ready after {waited:.0f} s; last message: {said}")
            # The first call has started it and compared its files.
            again = {**arguments, "state": "ready", "files": [], "waited": waited}
            done = self._wait(again, min(timeout, int(waited) + interval), task_vars)
        return {**result, **done, "changed": changed}

    def _wait(self, arguments: dict[str, Any], timeout: int, variables: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(module_args={**arguments, "timeout": timeout}, task_vars=variables)
        return done


def _seconds(arguments: dict[str, Any], name: str, default: int) -> int:
    try:
        return int(arguments.get(name, default))
    except (TypeError, ValueError):
        return 0
