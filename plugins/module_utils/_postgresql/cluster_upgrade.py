# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upgrade of a cluster to another major version by pg_upgradecluster, and the way back.

A record outside of the clusters has how far it is, so that a run after an interrupted one goes on, and so that only a
cluster of our own making is ever dropped.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.debian import Debian, set_start
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    login_of,
    read_record,
    write_record,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import Platform
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portal_data import (
    Comparison,
    Snapshot,
    compare,
    snapshot,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.scratch_server import need_space, query
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.upgrade_checks import (
    Staged,
    check_extensions,
    check_space,
)

RECORD = "/var/lib/backstage-postgresql-upgrade/upgrade.json"
_PROGRAM = "pg_upgradecluster"
_HOOKS = "/etc/postgresql-common/pg_upgradecluster.d"
_HOOK = f"{_HOOKS}/devportal-backstage"
# pg_upgradecluster copies postgresql.conf and pg_hba.conf, and no directory of settings files.
_HOOK_TEXT = """#!/bin/sh
# Written by Ansible, module devportal.backstage.postgresql_upgrade, for the time of an upgrade: OLD CLUSTER NEW PHASE.
[ "$4" = init ] || exit 0
old="${PG_CLUSTER_CONF_ROOT:-/etc/postgresql}/$1/$2/conf.d" new="${PG_CLUSTER_CONF_ROOT:-/etc/postgresql}/$3/$2/conf.d"
mkdir -p "$new" || exit 1
for file in "$old"/*.conf; do
    [ ! -f "$file" ] || cp -p "$file" "$new/" || exit 1
done
"""
_SIZE = "SELECT sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database"
_BACK = "Run the playbook devportal.backstage.upgrade with -e backstage_postgresql_upgrade_roll_back=true."


def pair(clusters: Sequence[Cluster], name: str, version: int) -> tuple[Cluster | None, Cluster | None]:
    """The cluster of this name that is to be upgraded, and that of the new version; None for one that is missing.

    Raises:
        CollectionError: several might be meant.
    """
    new = next((cluster for cluster in clusters if (cluster.version, cluster.name) == (version, name)), None)
    older = [cluster for cluster in clusters if cluster.name == name and cluster.version < version]
    online = [cluster for cluster in older if cluster.status == "online"]
    found = online or older
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise CollectionError(f"O(cluster): several could be upgraded: {names}.", "Stop or drop all but one.")
    if any(cluster.name == name and cluster.version > version for cluster in clusters):
        raise CollectionError(
            f"O(version): a cluster named {name} of a later version than {version} exists.", "Choose a later version."
        )
    return (found[0] if found else None), new


class Upgrade:
    """The upgrade of one cluster.

    Args:
        platform: of this host.
        name: the cluster's.
        version: the new major version.
        user, password: with which the server is queried; None for the owner.

    Raises:
        CollectionError: this host or this cluster cannot be upgraded so.
    """

    def __init__(
        self, platform: Platform, name: str, version: int, user: str | None = None, password: str | None = None
    ) -> None:
        if not isinstance(platform, Debian) or shutil.which(_PROGRAM) is None:
            raise CollectionError(
                "This host has no pg_upgradecluster, which is Debian's and Ubuntu's.",
                "Upgrade the cluster with pg_upgrade, as the PostgreSQL manual describes, then run "
                "devportal.backstage.site.",
            )
        self._platform = platform
        self._name = name
        self._version = version
        self._account = (user, password)
        self.old, self.new = pair(platform.clusters(), name, version)
        self.record = read_record(RECORD)

    @property
    def is_done(self) -> bool:
        """Whether the cluster of the new version is in use, and nothing is left to do."""
        replaced = self.old is None or self.old.status != "online"
        return self.new is not None and self.new.status == "online" and replaced and not self.is_interrupted

    @property
    def _needed_old(self) -> Cluster:
        if self.old is None:
            raise CollectionError(
                f"O(cluster): this host does not have an older cluster named {self._name}.",
                "Run the playbook devportal.backstage.site.",
            )
        if self.old.supervisor:
            raise CollectionError(
                f"Cluster {self.old}: it is managed by {self.old.supervisor}, which this upgrade does not support.",
                "Upgrade it as that manager's documentation describes.",
            )
        return self.old

    def check(self) -> None:
        """Reject what would not succeed, before anything changes.

        Raises:
            CollectionError: with the reason.
        """
        if self.is_done or self.is_interrupted:
            return
        old = self._needed_old
        if self.new is not None:
            raise CollectionError(
                f"Cluster {self.new}: it exists already ({self.new.status}), beside {old}.",
                f"If it is of no use, remove it with `pg_dropcluster {self.new.version} {self.new.name}`.",
            )
        if self._version not in self._platform.installed_versions():
            raise CollectionError(
                f"O(version): PostgreSQL {self._version} is not installed.",
                f"Install the package postgresql-{self._version}.",
            )
        login = login_of(old, *self._account)
        check_space(old)
        check_extensions(login, old, self._version)
        done = run([_PROGRAM, "--check", f"--version={self._version}", "--method=upgrade", str(old.version), old.name])
        if done.returncode and "Unknown option" not in done.stderr:
            raise CollectionError(
                f"Cluster {old}: pg_upgradecluster rejects it: {one_line(done.stdout + done.stderr)}.",
                "Correct what it names.",
            )
        with Staged(old, self._version, login) as staged:
            staged.check()

    def dump(self, directory: str) -> str:
        """Dump all databases, users and grants of the cluster as SQL; the file's path.

        Raises:
            CollectionError: too little space, or pg_dumpall fails.
        """
        old = self._needed_old
        login = login_of(old, *self._account)
        _prepare(directory, old)
        need_space(directory, query(login, old.owner, _SIZE)[0][0], directory)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = os.path.join(directory, f"{old.version}-{old.name}-{stamp}.sql")
        program = os.path.join(os.path.dirname(os.path.dirname(old.binaries)), str(self._version), "bin", "pg_dumpall")
        where = [f"--host={login['login_unix_socket']}", f"--port={login['login_port']}"]
        command = [program, *where, f"--username={login['login_user']}", f"--file={path}"]
        done = run(command, **as_user(old.uid, old.gid))
        if done.returncode:
            raise CollectionError(f"pg_dumpall: {one_line(done.stderr[-800:])}.", "Correct what it names.")
        return path

    @property
    def is_interrupted(self) -> bool:
        """Whether a run was interrupted after its checks."""
        return self.record is not None and self.record["stage"] == "upgrading"

    def run(self) -> Comparison:
        """Do it, verify it, and keep the old cluster.

        Raises:
            CollectionError: it failed. Where pg_upgradecluster failed, the old cluster runs as before.
        """
        with _lock() as descriptor:
            if self.is_interrupted:
                self._resume()
            if not self._is_swapped:
                self._upgrade(descriptor)
            return self._verify()

    @property
    def _is_swapped(self) -> bool:
        """Whether pg_upgradecluster has come to its end: the new cluster has the port of the old one."""
        return bool(self.record and self.new and self.new.port == self.record["port"])

    def _upgrade(self, descriptor: int) -> None:
        old = self._needed_old
        login = login_of(old, *self._account)
        self.record = {
            "stage": "upgrading",
            "old": old.version,
            "new": self._version,
            "name": self._name,
            "port": login["login_port"],
            "start": old.start,
            "snapshot": snapshot(login, old.owner).to_json(),
        }
        write_record(RECORD, self.record)
        command = [_PROGRAM, f"--version={self._version}", "--method=upgrade", str(old.version), old.name]
        # Servers that systemd does not start would keep the lock.
        keep = {"pass_fds": (descriptor,)} if os.path.isdir("/run/systemd/system") else {}
        with _hook():
            done = run(command, **keep)
        self._look()
        if done.returncode or not self._is_swapped:
            self._restore_old()
            write_record(RECORD, None)
            raise CollectionError(
                f"pg_upgradecluster failed: {one_line((done.stderr or done.stdout)[-800:])}. "
                f"Cluster {old} runs as before.",
                "Look at its output in /var/log/postgresql.",
            )

    def _verify(self) -> Comparison:
        record, new = self.record, self.new
        if record is None or new is None:
            raise AssertionError("an upgrade has both")
        if new.settled() is None:
            reason = self._platform.control(new, "start")
            if reason:
                raise CollectionError(f"Cluster {new}: its server does not start: {reason}.", _BACK)
        if record["start"] == "auto" and not self._platform.starts_at_boot(new):
            self._platform.start_at_boot(new)
        before = Snapshot.from_json(record["snapshot"])
        found = snapshot(login_of(new, *self._account), new.owner)
        # Where others were connected, rows may have been written after they were counted.
        result = compare(before, before if before.quiet else found, found)
        missing = sorted(set(before.tables) - set(found.tables))
        result.problems += [] if before.quiet else [f"Table {name} is missing." for name in missing]
        if result.problems:
            raise CollectionError(f"Cluster {new}: {' '.join(result.problems[:5])}", _BACK)
        write_record(RECORD, {**record, "stage": "upgraded"})
        return result

    def _resume(self) -> None:
        """Go on after an interrupted run: to the verification, or back to the start."""
        record = self.record or {}
        if (record["new"], record["name"]) != (self._version, self._name):
            raise CollectionError(
                f"An upgrade of {record['name']} to {record['new']} was interrupted.", "Complete that one first."
            )
        if not self._is_swapped:
            self._restore_old()

    def _restore_old(self) -> None:
        """Have the old cluster run as before, without a half of a new one.

        Raises:
            CollectionError: its server does not start.
        """
        record = self.record or {}
        if self.new is not None:
            run(["pg_dropcluster", "--stop", str(self.new.version), self.new.name])
        self._set_port(record["old"], record["port"])
        self._look()
        old = self._needed_old
        set_start(old, record["start"])
        reason = self._platform.control(old, "start") if old.settled() is None else None
        if reason:
            raise CollectionError(f"Cluster {old}: its server does not start: {reason}.", f"See {old.log_hint}.")

    def roll_back(self, check: bool) -> bool:
        """Return to the old cluster, which knows nothing of what was written since the upgrade.

        Args:
            check: whether nothing is to be changed.

        Returns:
            Whether something was to be done.

        Raises:
            CollectionError: there is no way back, or a server cannot be stopped or started.
        """
        record = self.record
        if record is None or self.old is None:
            raise CollectionError(
                f"O(cluster): no upgrade of {self._name} to {self._version} is known on this host, or its old cluster "
                "is gone.",
                "Restore from a backup.",
            )
        if self.old.status == "online" and self.old.port == record["port"]:
            return False
        if check:
            return True
        if self.new is not None:
            if self.new.settled() is not None:
                reason = self._platform.control(self.new, "stop")
                if reason:
                    raise CollectionError(f"Cluster {self.new}: its server cannot be stopped: {reason}.")
            set_start(self.new, "manual")
            self._set_port(self.new.version, self.old.port if self.old.port != record["port"] else self.new.port)
        self._set_port(record["old"], record["port"])
        self._look()
        old = self._needed_old
        set_start(old, record["start"])
        reason = self._platform.control(old, "start") if old.settled() is None else None
        if reason:
            raise CollectionError(f"Cluster {old}: its server does not start: {reason}.", f"See {old.log_hint}.")
        write_record(RECORD, {**record, "stage": "rolled back"})
        return True

    def _set_port(self, version: int, port: int) -> None:
        done = run(["pg_conftool", str(version), self._name, "set", "port", str(port)])
        if done.returncode:
            raise CollectionError(f"pg_conftool: {one_line(done.stderr)}.", "Correct what it names.")

    def _look(self) -> None:
        self.old, self.new = pair(self._platform.clusters(), self._name, self._version)


def _prepare(directory: str, owner: Cluster) -> None:
    """Have a directory that only the owner of the cluster may look into: a dump has the verifiers of passwords."""
    try:
        os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
        os.mkdir(directory, 0o700)
        os.chown(directory, owner.uid, owner.gid)
    except FileExistsError:
        info = os.lstat(directory)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != owner.uid or info.st_mode & 0o077:
            raise CollectionError(
                f"O(dump_directory): {directory} is not a directory of {owner.owner} with mode 0700.",
                "Choose one that does not exist yet.",
            ) from None
    except OSError as error:
        raise CollectionError(f"O(dump_directory): {directory} cannot be created: {error.strerror}.") from error


@contextlib.contextmanager
def _hook() -> Iterator[None]:
    """The script of pg_upgradecluster that carries our settings over, for the time of the upgrade."""
    os.makedirs(_HOOKS, mode=0o755, exist_ok=True)
    with edit(_HOOK) as edited:
        edited.replace(_HOOK_TEXT.encode(), mode=0o755)
    try:
        yield
    finally:
        with edit(_HOOK) as edited:
            edited.remove()


@contextlib.contextmanager
def _lock() -> Iterator[int]:
    """One upgrade at a time, by flock(2), which a child that outlives its run holds on to."""
    os.makedirs(os.path.dirname(RECORD), mode=0o755, exist_ok=True)
    path, flags = f"{os.path.dirname(RECORD)}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CollectionError(
                "An upgrade that another run has started goes on.", "Wait for the end of pg_upgradecluster."
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def summary(result: Comparison, old: Any, new: Any) -> str:
    """What was upgraded, for people."""
    return (
        f"Cluster {new} has replaced {old}: {result.databases} databases, {result.tables} tables, {result.rows} rows "
        f"and {result.entities} catalog entities are equal. {old} is kept, and does not start; when it is of no use "
        f"any more, remove it with `pg_dropcluster {old.version} {old.name}`."
    )
