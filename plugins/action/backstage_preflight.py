# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.preflight import (
    connection_problems,
    distribution_problems,
    iterations_problems,
    password_problems,
    reach_problems,
    remote_hosts,
    variable_problems,
    version_problems,
)


class ActionModule(ActionBase):
    """See the module of this name for its documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            argument_spec={
                "scope": {"type": "str", "choices": ["database", "container", "app"], "required": True},
                "password": {"type": "str", "no_log": True},
                "user": {"type": "str", "required": True},
                "host": {"type": "str"},
                "port": {"type": "raw"},
                "credentials": {"type": "str", "choices": ["env", "literal", "file"], "default": "env"},
                "variables": {"type": "dict", "default": {}, "no_log": True},
                "env_format": {"type": "str", "default": "dotenv"},
                "os_release": {"type": "str", "default": ""},
                "iterations": {"type": "int"},
                "version": {"type": "str", "default": ""},
                "listen_addresses": {"type": "list", "elements": "str"},
            }
        )[1]
        problems = _CHECKS[arguments["scope"]](arguments, task_vars or {})
        result.update(changed=False, problems=problems)
        if problems:
            result.update(failed=True, msg=" ".join(problems))
        return result


def _database(arguments: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    prefix = "backstage_postgresql"
    return [
        *distribution_problems(arguments["os_release"]),
        *version_problems(arguments["version"]),
        *iterations_problems(arguments["iterations"]),
        *connection_problems(prefix, None, arguments["port"], arguments["user"]),
        *reach_problems(arguments["listen_addresses"], remote_hosts(variables)),
        *password_problems(prefix, arguments["password"], None),
    ]


def _app(arguments: dict[str, Any], _variables: dict[str, Any]) -> list[str]:
    prefix = "backstage_app_config"
    return [
        *connection_problems(prefix, arguments["host"] or "", arguments["port"], arguments["user"]),
        *iterations_problems(arguments["iterations"]),
        *password_problems(prefix, arguments["password"], arguments["credentials"]),
        *variable_problems(prefix, arguments["variables"], arguments["env_format"]),
    ]


def _container(arguments: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    return [
        *connection_problems("backstage_postgresql_container", None, arguments["port"], arguments["user"]),
        *reach_problems(arguments["listen_addresses"], remote_hosts(variables), container=True),
        *password_problems("backstage_postgresql", arguments["password"], "literal"),
    ]


_CHECKS = {"database": _database, "container": _container, "app": _app}
