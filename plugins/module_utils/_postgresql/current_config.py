# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there of a cluster and its configuration, read once and held for the length of a change.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster, Postmaster, choose
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.configuration_files import (
    HeldFiles,
    files_of_new,
    held_files,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import NOT_INSTALLED, Platform
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import (
    Login,
    ServerState,
    query_state,
)


@dataclass(frozen=True)
class ClusterChoice:
    """Which cluster is meant (see `choose`), for which portal, and as whom its server is queried.

    Attributes:
        supervisor: the cluster manager that may run it, such as "patroni"; empty for none.
        port: the one that it is to have; None for any.
    """

    version: int | None
    name: str
    create: bool | None
    minimum_version: int
    supervisor: str = ""
    portal: str = "backstage"
    port: int | None = None
    login: Login = field(default_factory=Login)


@dataclass
class CurrentConfig:
    """What is there.

    Attributes:
        cluster: where `exists` is False, as it would be created.
        exists: whether the cluster is there.
        others: all clusters of this host.
        files: held until the end of the block that read them.
        server: the running one.
        state: of the running server; None also where its Python library is missing, in check mode.
        bare_host: what an earlier task would have created may be missing, in check mode.
    """

    platform: Platform
    cluster: Cluster
    exists: bool
    others: Sequence[Cluster]
    files: HeldFiles
    choice: ClusterChoice
    server: Postmaster | None = None
    state: ServerState | None = None
    bare_host: bool = False


@contextlib.contextmanager
def current_config(
    platform: Platform, choice: ClusterChoice, *, may_be_missing: bool = False, bare_host: bool = False
) -> Iterator[CurrentConfig]:
    """What is there, its files under lock until the end of the block.

    Args:
        platform: of this host.
        choice: which cluster.
        may_be_missing: nothing is wanted of it then.
        bare_host: PostgreSQL, or the Python library for it, may be missing, as an earlier task would have installed it.

    Raises:
        CollectionError: the cluster cannot be told, or not be configured, or is in disorder.
    """
    try:
        others = platform.clusters()
    except CollectionError as error:
        if error.reason != NOT_INSTALLED or not (bare_host or may_be_missing):
            raise
        others, cluster = [], platform.predicted(choice.version, choice.name)
    else:
        cluster = _chosen(platform, choice, others, may_be_missing)
        # Of a version that is too old too, what this collection has written can be removed.
        if 0 < cluster.version < choice.minimum_version and not may_be_missing:
            raise CollectionError(
                f"Cluster {cluster}: PostgreSQL {cluster.version} is older than {choice.minimum_version}, the oldest "
                "supported version.",
                "Upgrade the cluster, or choose another version.",
            )
    if cluster not in others:
        platform.check_new(choice.name)
        yield CurrentConfig(platform, cluster, False, others, files_of_new(cluster, choice.portal), choice)
        return
    if os.geteuid() not in (0, cluster.uid):
        raise CollectionError(f"Cluster {cluster}: belongs to {cluster.owner}.", "Run with `become: true`.")
    with held_files(cluster, choice.portal) as files:
        current = CurrentConfig(platform, cluster, True, others, files, choice, cluster.settled(), bare_host=bare_host)
        if current.server:
            try:
                current.state = query_state(cluster, current.server, choice.login)
            except CollectionError as error:
                if error.reason != "library" or not bare_host:
                    raise
        yield current


def _chosen(platform: Platform, choice: ClusterChoice, others: Sequence[Cluster], may_be_missing: bool) -> Cluster:
    version, name = choice.version, choice.name
    if may_be_missing and not any(other.name == name and version in (None, other.version) for other in others):
        return platform.predicted(version, name)
    found = choose(
        others,
        platform.installed_versions(),
        version,
        name,
        choice.create,
        port=choice.port,
        supervisor=choice.supervisor,
    )
    return platform.predicted(found, name) if isinstance(found, int) else found
