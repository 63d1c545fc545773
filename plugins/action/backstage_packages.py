# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

_ONE_DAY = 86400  # seconds


class ActionModule(ActionBase):
    """See the module of this name for its documentation."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "list", "elements": "str", "required": True},
                "manager": {"type": "str", "choices": ["apt", "rpm"], "required": True},
                "lock_timeout": {"type": "int", "default": 60},
                "refresh": {"type": "bool", "default": False},
            }
        )[1]
        names = arguments["name"]
        if not names:
            return {**result, "changed": False}
        if self._task.check_mode:
            # A bare host has neither the library that apt's module needs nor lists of packages.
            return {**result, "changed": True, "msg": f"Would install {', '.join(names)}."}
        if arguments["manager"] == "apt":
            return {**result, **self._apt(arguments, task_vars)}
        return {**result, **self._package(names, task_vars)}

    def _apt(self, arguments: dict[str, Any], variables: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = {}
        for age in [0] if arguments["refresh"] else [_ONE_DAY, 0]:
            done = self._execute_module(
                module_name="ansible.builtin.apt",
                module_args={
                    "name": arguments["name"],
                    "update_cache": True,
                    "cache_valid_time": age,
                    "lock_timeout": arguments["lock_timeout"],
                },
                task_vars=variables,
            )
            # Lists of yesterday may not have a package of today, or of a repository that was added since.
            if not done.get("failed"):
                break
        return done

    def _package(self, names: list[str], variables: dict[str, Any] | None) -> dict[str, Any]:
        task = self._task.copy()
        task.args = {"name": names, "state": "present"}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.package",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        done: dict[str, Any] = action.run(task_vars=variables)
        return done
