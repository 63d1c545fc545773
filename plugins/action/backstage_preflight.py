# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.host_probe import (
    Host,
    Request,
    command,
    host_problems,
    missing_packages,
    parse,
    pgdg_repository,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.preflight import (
    connection_problems,
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
                "iterations": {"type": "int"},
                "version": {"type": "str", "default": ""},
                "repository": {"type": "str", "choices": ["distribution", "pgdg"], "default": "distribution"},
                "repository_url": {"type": "str", "default": ""},
                "repository_key": {"type": "str", "default": "", "no_log": False},
                "listen_addresses": {"type": "list", "elements": "str"},
            }
        )[1]
        variables = task_vars or {}
        request = package_request(arguments)
        host = probed(self, variables)
        problems = [*_CHECKS[arguments["scope"]](arguments, variables)]
        if not [*version_problems(arguments["version"])]:
            problems = [*host_problems(host, request), *problems]
        manager = host.platform.manager if host.platform else ""
        result.update(changed=False, problems=problems, package_manager=manager)
        if not problems:
            result["packages"] = missing_packages(host, request)
            if request.pgdg:
                result["repository"] = pgdg_repository(host, request.version, arguments["repository_url"])
        if problems:
            result.update(failed=True, msg=" ".join(problems))
        return result


def probed(action: ActionBase, variables: dict[str, Any]) -> Host:
    """What there is on the host that a task is for."""
    python = str(variables.get("ansible_python_interpreter") or "python3")
    done = action._low_level_execute_command(command(python if python.startswith("/") else "python3"), sudoable=True)
    return parse(done.get("stdout", ""))


def package_request(arguments: dict[str, Any]) -> Request:
    """What a role has to find on its host, or to install there."""
    return Request(
        libraries=("psycopg2", "yaml", *(("requests",) if arguments["scope"] == "container" else ())),
        database=arguments["scope"] == "database",
        version=arguments["version"],
        pgdg=arguments["repository"] == "pgdg",
        key=bool(arguments["repository_key"]),
    )


def _database(arguments: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    prefix = "backstage_postgresql"
    return [
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
