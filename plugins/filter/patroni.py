# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    access_rules,
    encrypted_rules,
    patroni,
)


def _members(hosts: list[str], hostvars: Any) -> dict[str, str]:
    # A role's defaults of another host are not among its hostvars.
    names = ("backstage_postgresql_ha_address", "ansible_host")
    return {
        host: str(next((hostvars[host][name] for name in names if hostvars[host].get(name)), host)) for host in hosts
    }


def _state(hosts: list[str], hostvars: Any, cluster: str) -> dict[str, Any]:
    prefix = "__backstage_postgresql_ha_"
    listings = {host: hostvars[host].get(f"{prefix}clusters", {}).get("stdout", "") for host in hosts}
    return patroni.cluster_state(_answers(hosts, hostvars, "found"), listings, cluster)


def _answers(hosts: list[str], hostvars: Any, name: str) -> dict[str, Any]:
    return {host: (hostvars[host].get(f"__backstage_postgresql_ha_{name}") or {}).get("json") for host in hosts}


def _leader(results: list[dict[str, Any]]) -> str:
    return patroni.leader((result or {}).get("json") for result in results)


def _problems(hosts: list[str], hostvars: Any, *, synchronous: bool) -> list[str]:
    # Of a member that is cut off the answer is old, so that of the most members counts.
    clusters = [answer for answer in _answers(hosts, hostvars, "answer").values() if answer]
    cluster = max(clusters, key=lambda answer: len(answer.get("members", [])), default={})
    found = patroni.cluster_problems(cluster, _answers(hosts, hostvars, "member"), hosts, synchronous)
    listings = [(hostvars[host].get("__backstage_postgresql_ha_health") or {}).get("stdout") for host in hosts]
    # Where a member is away, etcdctl ends with an error and lists all.
    health = next((json.loads(text) for text in listings if text), [])
    return [*found, *patroni.etcd_problems(health)]


def _restart_order(cluster: dict[str, Any], hosts: list[str], hostvars: Any) -> list[str]:
    members = _answers(hosts, hostvars, "member")
    return patroni.restart_order(cluster, [host for host, own in members.items() if own and own.get("pending_restart")])


def _variable_problems(
    members: dict[str, str],
    *,
    network: str,
    secrets: dict[str, str],
    settings: dict[str, Any],
    ttl: int,
    loop_wait: int,
    retry_timeout: int,
) -> list[str]:
    found = patroni.variable_problems(
        members, network=network, secrets=secrets, ttl=ttl, loop_wait=loop_wait, retry_timeout=retry_timeout
    )
    return [*found, *patroni.setting_problems(settings)]


def _pg_hba_lines(rules: list[dict[str, Any]], *, encrypted: bool = False) -> list[str]:
    defaults = {"databases": ["all"], "users": ["all"], "method": "scram-sha-256", "options": {}, "secret_options": {}}
    found = access_rules.access_rules([{**defaults, **rule} for rule in rules])
    if encrypted:
        found = encrypted_rules.encrypted_only(found)
    return [rule.line() for rule in found]


class FilterModule:
    """See the .yml files of the filters for their documentation."""

    def filters(self) -> dict[str, Any]:
        return {
            "patroni_leader": _leader,
            "patroni_members": _members,
            "patroni_dcs": lambda settings, **options: patroni.dcs_configuration(settings=settings, **options),
            "pg_hba_lines": _pg_hba_lines,
            "patroni_state": _state,
            "etcd_join": patroni.etcd_join,
            "patroni_candidate": patroni.candidate,
            "patroni_problems": _problems,
            "patroni_restart_order": _restart_order,
            "patroni_streaming": patroni.all_streaming,
            "patroni_local_settings": patroni.local_settings,
            "patroni_variable_problems": _variable_problems,
        }
