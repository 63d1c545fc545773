# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster of this host, its server process, and which of several clusters is meant.

Source: the PostgreSQL manual, chapter "Database File Layout", for postmaster.pid.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

_SETTLE_TIMEOUT = 60.0  # seconds
_PROGRAMS = (b"postgres", b"postmaster")  # the second is a link to the first; some packages' units start it


def cluster_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec that goes with the doc fragment `devportal.backstage.cluster`."""
    return {
        "version": {"type": "int"},
        "cluster": {"type": "str", "default": "main"},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "variable_prefix": {"type": "str", "default": ""},
    }


@dataclass(frozen=True)
class Postmaster:
    """What a running server wrote into its postmaster.pid."""

    pid: int
    port: int
    socket_directory: str
    ready: bool


@dataclass(frozen=True)
class Cluster:
    """One cluster, as its platform knows it.

    Attributes:
        port: what the files on disk say; a running server may still have another one, see `postmaster`.
        status: "online" or "down".
        start: whether it starts at boot: "auto" or "manual"; "disabled" where the platform refuses to start it at all.
        owner: the OS user who owns it, which is its superuser's name too; empty where the uid has no name.
        uid: of the owner; -1 where the data directory is missing.
        log_file: where the server logs; empty where that is not one file.
        access_file: pg_hba.conf, wherever it is.
        ident_file: pg_ident.conf, wherever it is.
        include_file: postgresql.conf.
        settings_directory: the directory of settings files that postgresql.conf includes, or that it would include.
        binaries: the directory of `postgres` and its companions.
        libraries: the directory that `$libdir` stands for.
        unit: the systemd unit that runs the server, for texts.
        supervisor: what else starts and stops the server and writes its files, such as "patroni"; empty for nothing.
        unfinished: a run of ours has created it, and none has enabled its start at boot yet.
    """

    version: int
    name: str
    port: int
    status: str
    start: str
    owner: str
    uid: int
    gid: int
    data_directory: str
    config_directory: str
    socket_directory: str
    log_file: str
    access_file: str
    ident_file: str
    include_file: str
    settings_directory: str
    binaries: str
    libraries: str
    unit: str
    supervisor: str = ""
    unfinished: bool = False

    def __str__(self) -> str:
        return f"{self.version}/{self.name}"

    @property
    def log_hint(self) -> str:
        """Where an admin finds the server's messages, for texts."""
        return self.log_file or f"`journalctl -u {self.unit}`"

    def postmaster(self) -> Postmaster | None:
        """The running server, or None; a postmaster.pid that a crash left behind does not count."""
        try:
            lines = _read(os.path.join(self.data_directory, "postmaster.pid")).splitlines()
            ready = lines[7].strip() in ("ready", "standby")
            found = Postmaster(int(lines[0]), int(lines[3]), lines[4] or self.socket_directory, ready)
            return found if self._runs_as(found.pid) else None
        except (OSError, ValueError, IndexError):
            return None

    def _runs_as(self, pid: int) -> bool:
        """Whether this process is a server of the cluster's owner, and of no other data directory."""
        # Not its cwd: in a container without CAP_SYS_PTRACE root may not read that of another user's process.
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().split(b"\0")
        if not os.path.basename(words[0]).startswith(_PROGRAMS):
            return False
        if b"-D" in words[:-1]:
            asked = os.fsdecode(words[words.index(b"-D") + 1])
            if os.path.isabs(asked) and os.path.realpath(asked) != os.path.realpath(self.data_directory):
                return False
        return os.stat(f"/proc/{pid}").st_uid == os.stat(self.data_directory).st_uid

    def settled(self) -> Postmaster | None:
        """Like `postmaster`, once the server neither starts nor stops, as it may after a killed run.

        Raises:
            CollectionError: it still does after a minute.
        """
        deadline = time.monotonic() + _SETTLE_TIMEOUT
        while True:
            found = self.postmaster()
            if found is None or found.ready:
                return found
            if time.monotonic() > deadline:
                raise CollectionError(
                    f"Cluster {self}: its server has been starting or stopping for a minute.", f"See {self.log_hint}."
                )
            time.sleep(0.05)


def serves(data_directory: str) -> bool:
    """Whether a server of any name runs in this data directory, going by its command line."""
    real = os.path.realpath(data_directory)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().split(b"\0")
            if not os.path.basename(words[0]).startswith(_PROGRAMS) or b"-D" not in words[:-1]:
                continue
            if os.path.realpath(os.fsdecode(words[words.index(b"-D") + 1])) == real:
                return True
    return False


def _read(path: str) -> str:
    """A small regular file in a directory of the cluster's owner, who could have put something else there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as stream:
        return stream.read(4096) if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""


class Listed(Protocol):
    """What a list of clusters has of each."""

    @property
    def version(self) -> int:
        """The major version."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def port(self) -> int:
        """Its TCP port."""

    @property
    def status(self) -> str:
        """As pg_lsclusters(1) has it: online, down or with more words."""


_Listed = TypeVar("_Listed", bound=Listed)


def older_of_the_name(
    clusters: Sequence[_Listed], version: int | None, name: str, port: int | None = None
) -> _Listed | None:
    """The cluster whose upgrade is meant by a version that no cluster of its name has; None where another is meant.

    Args:
        clusters: all clusters of a host.
        version, name: of the cluster that is asked for.
        port: its port; one that no older cluster has is that of a second cluster.
    """
    same_name = [cluster for cluster in clusters if cluster.name == name]
    if version is None or any(cluster.version == version for cluster in same_name):
        return None
    older = [cluster for cluster in same_name if cluster.version < version]
    if port is not None and port not in [cluster.port for cluster in older]:
        return None
    return max(older, key=lambda cluster: (cluster.status == "online", cluster.version), default=None)


def upgrade_hint(version: int, older: Listed) -> tuple[str, str]:
    """What is wrong with a version of which an older cluster has the name, and what to do; for an error's two parts."""
    return (
        f"PostgreSQL {version} would get a new, empty cluster beside {older.version}/{older.name} (port {older.port}, "
        f"{older.status})",
        f"To upgrade {older.version}/{older.name}, run the playbook devportal.backstage.upgrade with this version. To "
        f"keep it, choose version {older.version}. For a second cluster, choose another",
    )


def choose(
    clusters: Sequence[Cluster],
    installed: Sequence[int],
    version: int | None,
    name: str,
    create: bool | None,
    *,
    port: int | None = None,
    supervisor: str = "",
) -> Cluster | int:
    """The cluster that is meant, or the version for which one is to be created.

    Args:
        clusters: all clusters of this host.
        installed: the major versions whose programs are installed, oldest first.
        version: the major version that is asked for; None takes the only one.
        name: the cluster's name.
        create: True creates a missing one also beside others, None only for a version without any, and of a name that
            no older version has, False never.
        port: the one that is asked for.
        supervisor: the cluster manager that may run it.

    Raises:
        CollectionError: several match, or none does and none may be created, or the one is not ours to configure.
    """
    same_name = [cluster for cluster in clusters if cluster.name == name and version in (None, cluster.version)]
    online = [cluster for cluster in same_name if cluster.status == "online"]
    if len(same_name) > 1 and len(online) == 1:
        same_name = online  # A major upgrade leaves the old cluster, down, beside the new one.
    if len(same_name) == 1:
        _must_be_ours(same_name[0], supervisor)
        if not create:
            _must_not_be_rolled_back(same_name[0], clusters)
        return same_name[0]
    known = ", ".join(f"{cluster} (port {cluster.port}, {cluster.status})" for cluster in clusters)
    if same_name:
        raise CollectionError(f"O(cluster): several are named {name}: {known}.", "Choose one of them with O(version).")
    beside = [cluster for cluster in clusters if version in (None, cluster.version)]
    if create is False or (create is None and beside):
        asked = f"{version}/{name}" if version else f'named "{name}"'
        raise CollectionError(
            f"O(cluster): there is none {asked} on this host, which has {known or 'none at all'}.",
            "Correct O(version) and O(cluster), or set O(create) to true.",
        )
    older = None if create else older_of_the_name(clusters, version, name, port)
    if version is not None and older is not None:
        wrong, remedy = upgrade_hint(version, older)
        raise CollectionError(f"O(version): {wrong}.", f"{remedy} O(cluster), or set O(create) to true.")
    if version is None and installed:
        return installed[-1]
    if version is None or version not in installed:
        programs = f"of PostgreSQL {version} " if version else ""
        have = f" (installed: {', '.join(map(str, installed))})" if installed else ""
        raise CollectionError(
            f"O(cluster): the server programs {programs}are not installed on this host{have}.",
            "Install them, or choose another version.",
        )
    return version


def _must_not_be_rolled_back(cluster: Cluster, clusters: Sequence[Cluster]) -> None:
    """Reject a cluster that nobody wants to run, as the way back from an upgrade leaves it."""
    if cluster.status == "online" or cluster.start == "auto" or cluster.unfinished:
        return
    for other in clusters:
        if other.name == cluster.name and other.version < cluster.version and other.status == "online":
            raise CollectionError(
                f"O(version): cluster {cluster} is down and does not start at boot, while {other} (port {other.port}) "
                "is online.",
                f"Choose version {other.version}, or start {cluster} with `pg_ctlcluster {cluster.version} "
                f"{cluster.name} start`.",
            )


def _must_be_ours(cluster: Cluster, supervisor: str) -> None:
    if cluster.uid < 0 or not cluster.owner:
        raise CollectionError(
            f"Cluster {cluster}: its data directory {cluster.data_directory} is missing or its owner is unknown.",
            "Mount or repair it, or remove the cluster.",
        )
    if cluster.supervisor not in ("", supervisor):
        raise CollectionError(
            f"Cluster {cluster}: it is managed by {cluster.supervisor}, which writes its configuration and starts and "
            "stops its server; nothing was changed.",
            "Configure it with the role backstage_postgresql_ha, or through its manager.",
        )
