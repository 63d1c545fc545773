# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Patroni cluster: what its variables must be, what is wrong with it, and what its members' REST API answers mean.

Sources: Patroni's documentation (REST API, dynamic configuration settings, replication modes) and Debian's wrappers
pg_createconfig_patroni(1) and patroni@.service.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SIZES = (3, 5)
# Patroni writes these itself, into its own file or from the DCS (patroni/postgresql/config.py).
PATRONI_SETTINGS = frozenset(
    (
        "cluster_name",
        "hot_standby",
        "listen_addresses",
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_replication_slots",
        "max_wal_senders",
        "max_worker_processes",
        "port",
        "synchronous_standby_names",
        "track_commit_timestamp",
        "wal_level",
        "wal_log_hints",
    )
)
# Those of them that the DCS holds for all members; the role takes them there.
DCS_SETTINGS = frozenset(
    (
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_worker_processes",
        "track_commit_timestamp",
        "wal_level",
    )
)
_PREFIX = "backstage_postgresql_ha"
# Of the module postgresql_restore.
_RESTORE_JOURNAL = "/var/lib/backstage-postgresql-backup/restore.json"
# A line of Patroni's configuration file, once clients may connect with TLS only.
ENCRYPTED = "# Clients connect with TLS only."


def variable_problems(
    members: Mapping[str, str],
    *,
    network: str,
    secrets: Mapping[str, str],
    ttl: int,
    loop_wait: int,
    retry_timeout: int,
) -> list[str]:
    """What is wrong with the variables of a cluster; each a sentence. No secret is in them.

    Args:
        members: the database hosts' names, and the addresses by which they reach each other.
        network: who replicates, in CIDR notation.
        secrets: the names of the three password variables, and their values.
        ttl, loop_wait, retry_timeout: Patroni's, in seconds.
    """
    found = list(_member_problems(members, network))
    if loop_wait + 2 * retry_timeout > ttl:
        found.append(
            f"{_PREFIX}_ttl: {ttl} s is less than loop_wait + 2 x retry_timeout = {loop_wait + 2 * retry_timeout} s, "
            f"so that a slow answer of etcd would demote a healthy leader. Raise {_PREFIX}_ttl."
        )
    for name, seconds, least in (("ttl", ttl, 20), ("loop_wait", loop_wait, 1), ("retry_timeout", retry_timeout, 3)):
        if seconds < least:
            found.append(f"{_PREFIX}_{name}: {seconds} s is below Patroni's minimum of {least} s. Raise it.")
    for name, value in secrets.items():
        if not value:
            found.append(f"{name} is missing. Set it, for instance from a vault.")
        elif not isinstance(value, str) or any(character in value for character in "\0\r\n"):
            found.append(f"{name} is not a string on one line. Choose another password.")
    if len(set(secrets.values())) < len(secrets) and all(secrets.values()):
        found.append(f"{' and '.join(secrets)} must differ from each other. Choose a password for each.")
    return found


def _member_problems(members: Mapping[str, str], network: str) -> Iterable[str]:
    if len(members) not in SIZES:
        remedy = {
            1: "One host cannot fail over: set backstage_postgresql_ha to false, or add two hosts.",
            2: "Two hosts have no majority when one is lost: add a third.",
            4: "Four hosts survive no more than three do: remove one, or add a fifth.",
        }.get(len(members), "Use three or five.")
        yield f"{_PREFIX}: the group backstage_database has {len(members)} hosts. {remedy}"
    try:
        allowed = ipaddress.ip_network(network)
    except ValueError:
        yield (
            f"backstage_postgresql_ha_network: {network!r} is not a network. "
            "Give the one of the database hosts in CIDR notation, such as 10.0.0.0/24."
        )
        return
    for host, address in members.items():
        try:
            inside = ipaddress.ip_address(address) in allowed
        except ValueError:
            yield (
                f"{_PREFIX}_address: {address!r} of {host} is not an IP address. "
                f"Set {_PREFIX}_address of that host to its address in {network}."
            )
            continue
        if not inside:
            yield (
                f"{_PREFIX}_address: {address} of {host} is not in backstage_postgresql_ha_network {network}. "
                "Correct one of the two."
            )
    twice = {address for address in members.values() if list(members.values()).count(address) > 1}
    if twice:
        yield f"{_PREFIX}_address: {', '.join(sorted(twice))} is the address of several hosts. Correct it."


def setting_problems(settings: Mapping[str, Any]) -> list[str]:
    """Settings that Patroni owns and that no file of ours can set; each a sentence."""
    found = []
    for name in sorted(settings):
        if name.lower() in PATRONI_SETTINGS - DCS_SETTINGS:
            remedy = {
                "port": "Use backstage_postgresql_port.",
                "listen_addresses": "Patroni listens on backstage_postgresql_ha_address and the loopback address.",
            }.get(name.lower(), "Remove it.")
            found.append(f"backstage_postgresql_settings.{name}: Patroni sets {name} itself. {remedy}")
    return found


def local_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that each member has in a file of ours: those that neither Patroni nor its DCS holds."""
    return {name: value for name, value in settings.items() if name.lower() not in PATRONI_SETTINGS}


def dcs_configuration(
    *, ttl: int, loop_wait: int, retry_timeout: int, synchronous: bool, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the DCS is to hold of ours (`PATCH /config`); other keys there stay.

    Args:
        settings: the user's; those of DCS_SETTINGS are taken.
    """
    parameters = {name.lower(): value for name, value in settings.items() if name.lower() in DCS_SETTINGS}
    return {
        "ttl": ttl,
        "loop_wait": loop_wait,
        "retry_timeout": retry_timeout,
        "maximum_lag_on_failover": 1048576,
        "check_timeline": True,
        "failsafe_mode": True,
        "synchronous_mode": synchronous,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
            "parameters": {"wal_log_hints": "on", "password_encryption": "scram-sha-256", **parameters},
        },
    }


def leader(answers: Iterable[Mapping[str, Any] | None]) -> str:
    """The member that leads a cluster; empty where none does.

    Args:
        answers: of members to `GET /cluster`; None where one did not answer. A member that is cut off answers with what
            it saw last, so what most of them say counts, and then the newest timeline.
    """
    named: dict[str, tuple[int, int]] = {}
    for answer in answers:
        for member in (answer or {}).get("members", []):
            if member.get("role") == "leader":
                count, timeline = named.get(member["name"], (0, 0))
                named[member["name"]] = (count + 1, max(timeline, int(member.get("timeline") or 0)))
    return max(named, key=lambda name: named[name], default="")


def cluster_state(answers: Mapping[str, Any], listings: Mapping[str, str], name: str) -> dict[str, Any]:
    """Which hosts have what of a cluster.

    Args:
        answers: of each host the answer of `GET /cluster`; None where Patroni did not answer.
        listings: of each host the lines of pg_lsclusters(1), the names of Patroni's configuration files, of etcd's data
            and of the journal of an interrupted restore, and ENCRYPTED where a configuration file has it.
        name: the cluster's.

    Returns:
        `leader` (a name; empty where there is none), `managed` (hosts with a Patroni configuration), `with_data` (hosts
        with a cluster of this name), `cluster` (its `version` and `port`; empty where no host has it), `with_etcd` and
        `without_etcd` (hosts with and without data of etcd), `restoring` (hosts with an interrupted restore),
        `encrypted` (whether clients may connect with TLS only), and `seed`, the host whose data the cluster has or
        gets.
    """
    managed = [host for host, text in listings.items() if "/etc/patroni/" in text]
    found = {host: _listed_cluster(text, name) for host, text in listings.items()}
    with_data = [host for host, cluster in found.items() if cluster]
    with_etcd = [host for host, text in listings.items() if "/var/lib/etcd/" in text]
    # A run that was killed may have left a configuration on hosts that have no data.
    seed = next(iter([*(host for host in with_data if host in managed), *with_data, *managed, *listings]), "")
    return {
        "leader": leader(answers.values()),
        "managed": managed,
        "with_data": with_data,
        "cluster": found.get(seed, {}) or next((cluster for cluster in found.values() if cluster), {}),
        "with_etcd": with_etcd,
        "without_etcd": [host for host in listings if host not in with_etcd],
        "restoring": [host for host, text in listings.items() if _RESTORE_JOURNAL in text.splitlines()],
        # That every app used TLS was seen before the first member had it; a run may have been killed after that.
        "encrypted": any(ENCRYPTED in text.splitlines() for text in listings.values()),
        "seed": seed,
    }


def _listed_cluster(text: str, name: str) -> dict[str, Any]:
    for line in text.splitlines():
        words = line.split()
        if line[:1].isdigit() and words[1:2] == [name]:
            return {"version": words[0], "port": int(words[2])}
    return {}


def etcd_join(listing: str, name: str, peer_url: str) -> dict[str, Any]:
    """How a host without etcd's data becomes a member of a running etcd.

    Args:
        listing: `etcdctl member list --write-out=json`.
        name, peer_url: the host's.

    Returns:
        `remove`, the ids of lost members with its name or URL, and `initial_cluster` for the first start.
    """
    members = json.loads(listing)["members"]
    lost = [member for member in members if member.get("name") == name or peer_url in member["peerURLs"]]
    # A member that was added and has not started yet has no name, and takes part in no election.
    others = [member for member in members if member not in lost and member.get("name")]
    known = [f"{member['name']}={url}" for member in others for url in member["peerURLs"]]
    return {
        "remove": [f"{member['ID']:x}" for member in lost],
        "initial_cluster": ",".join([*known, f"{name}={peer_url}"]),
    }


def all_streaming(cluster: Mapping[str, Any], wanted: Sequence[str], synchronous: bool) -> bool:
    """Whether one member of a cluster (`GET /cluster`) leads, all others that are wanted stream, one synchronously.

    Args:
        synchronous: whether one of them must do so.
    """
    members = cluster.get("members", [])
    leaders = [member["name"] for member in members if member.get("role") == "leader"]
    streaming = {member["name"] for member in members if member.get("state") == "streaming"}
    follow = len(leaders) == 1 and set(wanted) <= streaming | set(leaders)
    return follow and (not synchronous or bool(candidate(cluster, synchronous)))


def candidate(cluster: Mapping[str, Any], synchronous: bool) -> str:
    """The replica that can take over without a loss; empty where there is none."""
    roles = ("sync_standby", "quorum_standby") if synchronous else ("sync_standby", "quorum_standby", "replica")
    fit = [
        (roles.index(member["role"]), str(member["name"]))
        for member in cluster.get("members", [])
        if member.get("role") in roles and member.get("state") == "streaming" and isinstance(member.get("lag"), int)
    ]
    return min(fit)[1] if fit else ""


def restart_order(cluster: Mapping[str, Any], pending: Sequence[str]) -> list[str]:
    """The members that wait for a restart, in its order: replicas, the synchronous one after others, the leader."""
    roles = {member["name"]: member.get("role") for member in cluster.get("members", [])}
    order = {"leader": 2, "sync_standby": 1, "quorum_standby": 1}
    return sorted(pending, key=lambda name: (order.get(str(roles.get(name)), 0), name))


def etcd_problems(health: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the members of etcd, of `etcdctl endpoint health --write-out=json`; each a sentence."""
    failed = sorted(str(member["endpoint"]) for member in health if not member.get("health"))
    found = [
        f"etcd does not answer at {endpoint}. Look at its log on that host: journalctl -u etcd. A host that lost its "
        "data joins again when site.yml runs."
        for endpoint in failed
    ]
    if health and 2 * len(failed) >= len(health):
        found.append(
            f"etcd has lost its majority: {len(failed)} of {len(health)} members are away. Until it is back nobody can "
            "be promoted."
        )
    return found


def cluster_problems(
    cluster: Mapping[str, Any], members: Mapping[str, Mapping[str, Any]], wanted: Sequence[str], synchronous: bool
) -> list[str]:
    """What is wrong with a running cluster; each a sentence with the remedy.

    Args:
        cluster: the answer of `GET /cluster` of any member.
        members: the answers of `GET /patroni` of each member that gave one, by the member's name.
        wanted: the names of all members.
        synchronous: whether a synchronous standby must be there.
    """
    listed = {member["name"]: member for member in cluster.get("members", [])}
    leaders = [name for name, member in listed.items() if member.get("role") in ("leader", "standby_leader")]
    found = []
    if len(leaders) != 1:
        have = " and ".join(leaders) or "none"
        found.append(
            f"The cluster has {len(leaders)} leaders ({have}). Look at patronictl list, and at etcd: without a "
            "majority of its members nobody is promoted."
        )
    for name in wanted:
        if name not in listed:
            found.append(f"{name} is not a member of the cluster. Start patroni there, or run site.yml again.")
        elif name not in leaders:
            found += _replica_problems(name, listed[name], members.get(name))
    if synchronous and not any(member.get("role") in ("sync_standby", "quorum_standby") for member in listed.values()):
        found.append(
            "No replica is synchronous, so that a failover could lose the last commits. Look why no replica streams."
        )
    return found


def _replica_problems(name: str, listed: Mapping[str, Any], own: Mapping[str, Any] | None) -> Iterable[str]:
    state, lag = listed.get("state"), listed.get("lag")
    if state != "streaming":
        yield f"{name} does not stream from the leader (state {state}). Look at its log: journalctl -u 'patroni@*'."
    elif not isinstance(lag, int):
        yield f"{name} does not report its lag. Look at its log: journalctl -u 'patroni@*'."
    if own is None:
        yield f"The REST API of patroni on {name} does not answer. Check the service and the network."
    elif own.get("timeline") is None and state == "streaming":
        # Patroni asks its own server for the timeline by a replication connection from localhost. Without it, this
        # member never takes part in an election, and nothing else shows that.
        yield (
            f"{name} cannot be promoted: it does not know its timeline, since its server rejects a replication "
            "connection from 127.0.0.1. Add the rule host replication for 127.0.0.1/32 to its pg_hba."
        )
