# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller can tell to be wrong before a host is touched.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import topology
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    check_connection,
    check_password,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.supported_versions import SUPPORTED_MAJORS
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import saslprep, scram

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def connection_problems(prefix: str, host: str | None, port: str | int | None, user: str) -> Iterable[str]:
    """Sentences about a host, port or user that no connection can have.

    Args:
        prefix: the role's variable prefix, so that a sentence names the variable to change.
        host: name, address or socket directory; None where the side in question does not choose it.
        port: None where the cluster chooses it; empty where the play that tells it did not run.
        user: the PostgreSQL role.
    """
    if host is not None and not host.strip():
        yield (
            f"{prefix}_host is empty: set backstage_postgresql_host to the address of the database, "
            "or put the database's host into the group backstage_database."
        )
        host = None
    if port is not None and not str(port).strip():
        yield (
            f"{prefix}_port is empty: the database's host had no part in this run, or failed in it, so the port "
            "of its server is unknown. Run this for that host too, or set backstage_postgresql_port."
        )
        port = None
    for one in ((host, None, None), (None, port, None), (None, None, user)):
        try:
            check_connection(*one)
        except CollectionError as error:
            yield f"{prefix}_{error}"


def remote_hosts(variables: Mapping[str, Any]) -> list[str]:
    """The app hosts that are to reach this database host's server from elsewhere.

    Args:
        variables: of the database host, with Ansible's own.
    """
    if "backstage_postgresql_host" in variables:
        return []
    groups, this = variables["groups"], variables["inventory_hostname"]
    if this not in (groups.get(topology.DATABASES) or [this]):
        return []
    known = {**groups, topology.DATABASES: groups.get(topology.DATABASES) or [this]}
    return topology.remote_app_hosts(this, known, topology.ResolvedOnce(variables["hostvars"]))


def default_addresses(servers: Collection[int]) -> list[str] | None:
    """Where a server listens that nobody has given addresses: a new one on localhost, an existing one where it does.

    Args:
        servers: the major versions of PostgreSQL whose server programs are installed.
    """
    return None if servers else ["localhost"]


def reach_problems(
    listen_addresses: Sequence[str] | None, remote: Sequence[str], container: bool = False
) -> Iterable[str]:
    """A sentence where app hosts cannot reach a server that listens on loopback alone.

    Args:
        listen_addresses: as in postgresql.conf, one address an item; of a container, where it is published; None where
            the server keeps what it has.
        remote: the app hosts elsewhere.
        container: whether it is the container role's server.
    """
    if remote and listen_addresses is not None and all(address.strip() in _LOOPBACK for address in listen_addresses):
        remedy = (
            "Set backstage_postgresql_container_bind_address to another address"
            if container
            else "Add an address to backstage_postgresql_listen_addresses (or to listen_addresses in "
            "backstage_postgresql_settings, which comes first) and a rule to backstage_postgresql_access_rules"
        )
        yield (
            f"{', '.join(remote)} cannot reach a server that listens on {', '.join(listen_addresses)} only. {remedy}, "
            "or set backstage_postgresql_host to another database for the app hosts."
        )


def password_problems(prefix: str, password: str | None, credentials: str | None) -> Iterable[str]:
    """Sentences about a password that PostgreSQL or Backstage would not take. The password is never in them.

    Args:
        prefix: the role's variable prefix.
        password: clear text, or for the database's side a ready verifier.
        credentials: how Backstage is to get it (env, literal, file), or None for the database's side.
    """
    try:
        if credentials is not None:
            check_password(password, credentials)
        elif (password or "").startswith(scram.PREFIX):
            scram.parse(password or "")
        else:
            scram.check_password(password or "")
    except CollectionError as error:
        yield f"{prefix}_{error}" if credentials is not None else f"{prefix}_password: {error}"
    else:
        if credentials is not None and not saslprep.same_in_node_pg(password or ""):
            yield (
                f"{prefix}_password mixes characters that PostgreSQL and Backstage's driver normalise differently "
                "(SASLprep), so that Backstage could not log in with it: leave out such characters, "
                "best by keeping to ASCII."
            )


def iterations_problems(iterations: int | None) -> Iterable[str]:
    """A sentence about an iteration count with which Backstage's driver refuses to log in.

    Args:
        iterations: of the verifier; None for the server's own.
    """
    if iterations is not None and not 1 <= iterations <= scram.NODE_PG_MAX_ITERATIONS:
        yield (
            f"backstage_postgresql_iterations is {iterations}: Backstage's driver takes "
            f"1 to {scram.NODE_PG_MAX_ITERATIONS}. Use a number from there, or leave it out."
        )


def variable_problems(prefix: str, variables: Mapping[str, object], env_format: str) -> Iterable[str]:
    """Sentences about what an env file of this format could not hold. No value is in them.

    Args:
        prefix: the role's variable prefix.
        variables: name to value.
        env_format: dotenv or systemd.
    """
    for name, value in variables.items():
        try:
            env_file.check(name, str(value), env_format)
        except CollectionError as error:
            yield f"{prefix}_env_file: {error}"


def backup_host_problems(values: Mapping[str, Any], inventory: Collection[str]) -> Iterable[str]:
    """A sentence about a repository host that the inventory does not have.

    Args:
        values: of the variables of the roles, by name.
        inventory: the names of all hosts.
    """
    name = "backstage_postgresql_backup_repository_host"
    host = values.get(name)
    if host and host not in inventory:
        yield (
            f"{name}: {host} is not a host of the inventory. Add the host, or put it into the group backstage_backup "
            "and leave the variable out."
        )


def version_problems(version: str) -> Iterable[str]:
    """A sentence about a PostgreSQL version that Backstage does not support.

    Args:
        version: a major version, or an empty text for the distribution's own.
    """
    if not version:
        return
    if not version.isascii() or not version.isdigit():
        yield f"backstage_postgresql_version is {version!r}: a major version is a number, such as 17."
    elif int(version) not in SUPPORTED_MAJORS:
        yield (
            f"backstage_postgresql_version is {version}: Backstage supports PostgreSQL {SUPPORTED_MAJORS[0]} to "
            f"{SUPPORTED_MAJORS[-1]}. Use one of these."
        )
