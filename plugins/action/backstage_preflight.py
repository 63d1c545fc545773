# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import re
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader, test_loader
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import role_options, topology, variables
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.host_probe import (
    Request,
    command,
    host_problems,
    missing_packages,
    parse,
    pgdg_repository,
    root_problems,
    unreachable_problems,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.preflight import (
    backup_host_problems,
    connection_problems,
    default_addresses,
    iterations_problems,
    password_problems,
    reach_problems,
    remote_hosts,
    variable_problems,
    version_problems,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import tls_variables

# Loaded once, before Ansible forks a process for each host and task, which would each load them for itself.
role_options.of_all_roles()
filter_loader.get("devportal.backstage.database_connection")
filter_loader.get("ansible.builtin.combine")
test_loader.get("ansible.builtin.match")


class ActionModule(ActionBase):
    """See the module of this name for its documentation."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            argument_spec={
                "scope": {"type": "str", "choices": ["host", "database", "container", "app", "tls"], "required": True},
                "password": {"type": "str", "no_log": True},
                "user": {"type": "str"},
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
                "cluster": {"type": "str", "default": "main"},
                "create": {"type": "bool", "default": False},
                "tls": {"type": "dict", "options": dict(tls_variables.OPTIONS)},
                "probe": {"type": "str", "default": ""},
            }
        )[1]
        facts = task_vars or {}
        problems = [*_delegation_problems(self._task.delegate_to), *_display_problems(self._task)]
        problems += self._variable_problems(facts)
        if arguments["scope"] == "host":
            problems += _required_problems(facts)
        result["warnings"] = [*_topology_warnings(facts)]
        if arguments["tls"] and not problems:
            result["warnings"] += tls_variables.warnings(arguments["tls"])
        if not problems:
            result["queried"] = not arguments["probe"]
            result["probe"] = arguments["probe"] or self._probe(facts)
            problems = self._host_problems(arguments, facts, result)
        result.update(changed=False, problems=problems)
        if problems:
            result.update(failed=True, msg=" ".join(problems))
        return result

    def _variable_problems(self, facts: dict[str, Any]) -> list[str]:
        """Sentences about the variables of all roles that are set for this host."""
        own = variables.prefixes(role_options.by_role())
        role = self._task._role
        defaults = role.get_default_vars() if role else {}
        values, found = {}, []
        for name in sorted(name for name in facts if str(name).startswith(own)):
            # The role's own default; to resolve them all takes longer than the rest.
            if name in defaults and facts[name] == defaults[name]:
                continue
            try:
                values[name] = self._templar.template(facts[name])
            except AnsibleError as error:
                missing = re.search(r"'(\w+)' is undefined", str(error))
                # What a default refers to is required where it matters.
                if not missing or not missing[1].startswith(own):
                    reason = f"{missing[1]} is undefined" if missing else "its value cannot be resolved"
                    found.append(f"{name}: {reason}. Define what it refers to.")
        found += backup_host_problems(values, facts.get("hostvars") or ())
        return found + variables.problems(values, role_options.of_all_roles())

    def _probe(self, facts: dict[str, Any]) -> str:
        """What the host answers to the one command that asks for all that is needed."""
        python = str(facts.get("ansible_python_interpreter") or constants.INTERPRETER_PYTHON)
        script = command(python if python.startswith("/") else "python3")
        done = self._low_level_execute_command(script, sudoable=True)
        return str(done.get("stdout", "") or done.get("stderr", ""))

    def _host_problems(self, arguments: dict[str, Any], facts: dict[str, Any], result: dict[str, Any]) -> list[str]:
        """Sentences about the host and what one role is to do there; `result` gets what the role has to install."""
        if "devportal:uid " not in result["probe"]:
            return [*unreachable_problems(facts["inventory_hostname"], result["probe"])]
        if arguments["scope"] == "host":
            return []
        request = package_request(arguments)
        host = parse(result["probe"])
        if arguments["scope"] == "database" and arguments["listen_addresses"] is None:
            arguments["listen_addresses"] = default_addresses(host.servers)
        problems = [*_CHECKS[arguments["scope"]](arguments, facts)]
        if not [*version_problems(arguments["version"])]:
            problems = [*host_problems(host, request), *root_problems(host, request), *problems]
        result["package_manager"] = host.platform.manager if host.platform else ""
        if not problems:
            result["packages"] = missing_packages(host, request)
            if request.pgdg:
                result["repository"] = pgdg_repository(host, request.version, arguments["repository_url"])
        return problems


def _delegation_problems(host: str | None) -> list[str]:
    if not host:
        return []
    return [
        f"delegate_to: the roles of this collection work on the host that their variables belong to, not on {host}. "
        f"Run the role in a play with hosts: {host}."
    ]


def _display_problems(task: Any) -> list[str]:
    """A sentence where the headers of tasks would show passwords.

    With display_args_to_stdout they show arguments, which are templates until a host has run the task. The callback
    `default` waits for that with some strategies, and where it leaves out hosts.
    """
    if not constants.DISPLAY_ARGS_TO_STDOUT:
        return []
    strategies = {constants.DEFAULT_STRATEGY, getattr(getattr(task._parent, "_play", None), "strategy", "")}
    shown = (_option_of_the_output(name) for name in ("display_skipped_hosts", "display_ok_hosts"))
    if all(shown) and not any(str(name).endswith(("free", "host_pinned")) for name in strategies):
        return []
    return [
        "display_args_to_stdout: with it, and with strategy free or hosts that are not displayed, Ansible shows the "
        "passwords among the arguments of tasks. Set ANSIBLE_DISPLAY_ARGS_TO_STDOUT=false for this run."
    ]


def _option_of_the_output(name: str) -> bool:
    try:
        plugin = constants.DEFAULT_STDOUT_CALLBACK
        return bool(constants.config.get_config_value(name, plugin_type="callback", plugin_name=plugin))
    except AnsibleError:  # which this callback does not have
        return True


def _required_problems(facts: dict[str, Any]) -> list[str]:
    """Sentences about required variables that are not set, for the roles that site.yml runs on this host."""
    this, groups = facts.get("inventory_hostname", ""), facts.get("groups") or {}
    provider = str(facts.get("backstage_database_provider", "packages"))
    roles = []
    if this in (groups.get(topology.DATABASES) or []) and provider in _PROVIDERS:
        roles.append(_PROVIDERS[provider])
    if this in (groups.get(topology.APPS) or []):
        roles.append("backstage_app_config")
    required = {
        name for role in roles for name, option in role_options.by_role()[role].items() if option.get("required")
    }
    return [f"{name}: required. Set it for {this}." for name in sorted(required) if name not in facts]


def _topology_warnings(facts: dict[str, Any]) -> list[str]:
    this, groups = facts.get("inventory_hostname", ""), facts.get("groups") or {}
    if this not in (groups.get(topology.APPS) or []):
        return []
    servers = topology.ambiguous(this, groups, facts["hostvars"])
    if not servers:
        return []
    return [
        f"{this} uses the database of {servers[0]}, the first of {len(servers)} hosts in the group "
        f"{topology.DATABASES} ({', '.join(servers)}). Set backstage_postgresql_host of {this} to the one that it is "
        "to use."
    ]


def package_request(arguments: dict[str, Any]) -> Request:
    """What a role has to find on its host, or to install there."""
    return Request(
        libraries=_LIBRARIES.get(arguments["scope"], ("psycopg2", "yaml")),
        database=arguments["scope"] == "database",
        version=arguments["version"],
        pgdg=arguments["repository"] == "pgdg",
        key=bool(arguments["repository_key"]),
        cluster=arguments["cluster"],
        port=int(str(arguments["port"] or "")) if str(arguments["port"] or "").isdecimal() else None,
        create=arguments["create"],
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


def _tls(arguments: dict[str, Any], _variables: dict[str, Any]) -> list[str]:
    return tls_variables.problems(arguments["tls"], crypto=importlib.util.find_spec(_CRYPTO) is not None)


_CRYPTO = "ansible_collections.community.crypto"
_LIBRARIES = {"container": ("psycopg2", "yaml", "requests"), "tls": ("cryptography",)}
_PROVIDERS = {"packages": "backstage_postgresql", "container": "backstage_postgresql_container"}
_CHECKS = {"database": _database, "container": _container, "app": _app, "tls": _tls}
