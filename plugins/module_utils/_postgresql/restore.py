# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a cluster from its backups: for a test beside it, and in its place.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import datetime
import errno
import glob
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_files, backup_report
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster, serves
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    RECORD,
    PgBackRest,
    control_data,
    login_of,
    read_record,
    write_record,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import Platform
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portal_data import compare, snapshot
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.scratch_server import (
    ScratchServer,
    last_trouble,
    need_space,
    query,
    remove_tree,
    wait_until_writable,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import LogTail

JOURNAL = os.path.join(backup_files.STATE, "restore.json")
_FORMER = ".before-restore-"
_ENDED = "recovery ended before configured recovery target was reached"
_SPARE = 256 * 1024 * 1024
# What pgBackRest writes into postgresql.auto.conf for the recovery (PostgreSQL manual, "Archive Recovery").
_RECOVERY = (
    "restore_command",
    "recovery_target_time",
    "recovery_target_name",
    "recovery_target_action",
    "recovery_target_timeline",
    "recovery_target_inclusive",
    "recovery_target",
)


@dataclass
class Trial:
    """The outcome of a restore test, as it is recorded.

    Attributes:
        time: of its start, in seconds of the Unix time.
        backup: the label of the latest backup.
        backup_time: when that ended; 0 without one.
        size, stored: of that backup, in bytes.
        seconds: what the restore took.
        databases, tables, rows, entities, moving: of the copy, see `portal_data.Comparison`.
        problems: sentences; none when the test passed.
    """

    time: float
    backup: str = ""
    backup_time: float = 0.0
    size: int = 0
    stored: int = 0
    seconds: float = 0.0
    databases: int = 0
    tables: int = 0
    rows: int = 0
    entities: int = 0
    moving: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """What it found, for people."""
        if self.problems:
            return "The backups do not restore the cluster. " + " ".join(self.problems)
        moving = f" {len(self.moving)} tables changed meanwhile and were compared loosely." if self.moving else ""
        return (
            f"Backup {self.backup} ({backup_report.size(self.size)}, {backup_report.size(self.stored)} stored, "
            f"{backup_report.age(self.time - self.backup_time)} old) and the WAL up to this moment were restored in "
            f"{self.seconds:.0f} s: {self.databases} databases, {self.tables} tables, {self.rows} rows and "
            f"{self.entities} catalog entities are equal.{moving}"
        )


def try_restore(cluster: Cluster, stanza: str, directory: str, login: Mapping[str, Any], seconds: float) -> Trial:
    """Restore into a scratch server beside the cluster, compare, drop it, and record the result.

    Args:
        cluster: the cluster, whose server runs.
        stanza: pgBackRest's name for it.
        directory: for the copy; absent, or left by a killed run.
        login: with which its server is reached.
        seconds: that the recovery may take.
    """
    made = Trial(time.time())
    backups = PgBackRest(cluster, stanza)
    scratch = ScratchServer(cluster, directory)
    try:
        repository = backups.info()
        made.problems += backup_report.repository_problems(repository, made.time, 0)
        if repository.latest:
            latest = repository.latest
            made.backup, made.backup_time = latest.label, latest.stopped
            made.size, made.stored = latest.size, latest.stored
        if not made.problems:
            scratch.check(made.size)
            _compare_copy(made, backups, scratch, dict(login), seconds=seconds)
    except CollectionError as error:
        made.problems.append(str(error))
    finally:
        scratch.drop()
    # What a restore of today did not need may be what another day needs.
    made.problems += [f"The repository is damaged: {damage}." for damage in backups.damages()]
    write_record(RECORD, asdict(made))
    return made


def _compare_copy(
    made: Trial, backups: PgBackRest, scratch: ScratchServer, login: dict[str, Any], *, seconds: float
) -> None:
    owner = backups.owner
    name = f"backstage restore test {int(made.time)}"
    before = snapshot(login, owner)
    end = query(login, owner, "SELECT pg_catalog.pg_create_restore_point(%s)", (name,))[0][0]
    after = snapshot(login, owner)
    _await_archive(login, owner, end)
    started = time.monotonic()
    scratch.create()
    backups.run(
        "restore",
        f"--pg1-path={scratch.data}",
        "--archive-mode=off",
        "--type=name",
        f"--target={name}",
        "--target-action=promote",
    )
    scratch.start(seconds)
    made.seconds = time.monotonic() - started
    found = compare(before, after, snapshot(scratch.login, owner))
    made.databases, made.tables, made.rows = found.databases, found.tables, found.rows
    made.entities, made.moving = found.entities, found.moving
    made.problems += found.problems


def _await_archive(login: dict[str, Any], os_user: str, end: str, seconds: float = 90.0) -> None:
    """Wait until the WAL up to a position is in the repository.

    Raises:
        CollectionError: it does not get there.
    """
    name = query(login, os_user, "SELECT pg_catalog.pg_walfile_name(%s::pg_catalog.pg_lsn)", (end,))[0][0]
    query(login, os_user, "SELECT pg_catalog.pg_switch_wal()")
    deadline = time.monotonic() + seconds
    while True:
        found = query(login, os_user, "SELECT last_archived_wal, last_failed_wal FROM pg_catalog.pg_stat_archiver")[0]
        # A segment's name without its time line.
        if found[0] and found[0][8:24] >= name[8:24]:
            return
        if time.monotonic() > deadline:
            trouble = f"; archiving {found[1]} failed" if found[1] else ""
            raise CollectionError(
                f"The WAL of this moment did not reach the repository within {seconds:g} s{trouble}.",
                "Look at the server's log.",
            )
        time.sleep(0.2)


def former_directories(cluster: Cluster) -> list[str]:
    """The data directories that restores have kept, oldest first."""
    return sorted(glob.glob(glob.escape(cluster.data_directory) + _FORMER + "*"))


def remove_former(cluster: Cluster, check: bool) -> list[str]:
    """Remove the data directories that restores have kept; those that were, or would be.

    Raises:
        CollectionError: something cannot be removed.
    """
    found = former_directories(cluster)
    for directory in [] if check else found:
        remove_tree(directory, cluster.uid, cluster.gid)
    return found


def undo_interrupted() -> Mapping[str, Any] | None:
    """Put the data directory that an interrupted restore kept in its place again.

    Where a server runs on the restored one, the restore had come to its end, and nothing is moved; nor where the
    journal says so, which is then kept.

    Returns:
        The journal of the one that was interrupted; None without one.

    Raises:
        CollectionError: the file system refuses.
    """
    journal = read_record(JOURNAL)
    if journal is None:
        return None
    if "restored" in journal:
        return journal
    if os.path.lexists(journal["former"]) and not serves(journal["data"]):
        _put_former_in_place(journal)
    write_record(JOURNAL, None)
    return journal


def _put_former_in_place(journal: Mapping[str, Any]) -> None:
    former, data = journal["former"], journal["data"]
    info = os.lstat(former)
    if os.path.lexists(data):
        remove_tree(data, info.st_uid, info.st_gid)
    move(former, data, info.st_uid, info.st_gid)


def move(source: str, target: str, uid: int, gid: int) -> None:
    """Rename a directory as its owner; where that is not possible, copy it, whole or not at all.

    Raises:
        CollectionError: the file system refuses.
    """
    part = f"{target}.part"
    try:
        with acting_as(ids_of(uid)):
            os.rename(source, target)
        return
    except OSError as error:
        # An overlay file system cannot rename a directory of a lower layer (Linux, overlayfs.rst).
        if error.errno != errno.EXDEV:
            raise CollectionError(
                f"{source}: cannot be renamed to {target}: {error.strerror}.", "Correct the file system."
            ) from error
    if os.path.lexists(part):
        remove_tree(part, uid, gid)
    done = run(["cp", "-a", "--", source, part], **as_user(uid, gid))
    if done.returncode:
        remove_tree(part, uid, gid)
        raise CollectionError(f"{source}: cannot be copied: {one_line(done.stderr)}.", "Free some space.")
    with acting_as(ids_of(uid)):
        os.rename(part, target)
    remove_tree(source, uid, gid)


def replayed_all(control: Mapping[str, str], lines: Sequence[str]) -> bool:
    """Whether a recovery came to the end of the WAL of a server that was stopped in order.

    Args:
        control: pg_controldata(1) of that server's data directory.
        lines: what the recovering server logged.
    """
    ends = [found[1] for found in map(re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)").search, lines) if found]
    try:
        segment = int(control["Bytes per WAL segment"])
        last = _position(control["Latest checkpoint location"]) // segment
    except (KeyError, ValueError):
        return False
    # A server that stops switches to a new segment, where its last checkpoint is; that one is not archived.
    stopped = control.get("Database cluster state") == "shut down"
    return stopped and bool(ends) and _position(ends[-1]) // segment >= last - 1


def _position(text: str) -> int:
    """A position in the WAL as a number."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


class Restore:
    """A restore in the cluster's place. A journal lets the next run undo one that was interrupted.

    Args:
        platform: of this host.
        cluster: the cluster.
        stanza: pgBackRest's name for it.
        target: the point in time; None for the end of the WAL archive.
        seconds: that the recovery may take.
        stays_stopped: whether a cluster manager starts the restored server.
    """

    def __init__(
        self,
        platform: Platform,
        cluster: Cluster,
        stanza: str,
        target: datetime.datetime | None,
        seconds: float,
        *,
        stays_stopped: bool = False,
    ) -> None:
        self._platform = platform
        self._cluster = cluster
        self._backups = PgBackRest(cluster, stanza)
        self._target = target
        self._seconds = seconds
        self._stays_stopped = stays_stopped

    @property
    def target(self) -> str:
        """The point in time as PostgreSQL reads it; empty for the end of the WAL archive."""
        return self._target.isoformat(" ") if self._target else ""

    def check(self) -> None:
        """Reject what cannot be restored, before anything changes.

        Raises:
            CollectionError: the target, the repository, the disk or the data directory is not fit for it.
        """
        cluster, now = self._cluster, time.time()
        repository = self._backups.info()
        for problem in backup_report.repository_problems(repository, now, 0):
            raise CollectionError(problem)
        if self._target:
            backup_report.check_target(self._target, repository, now)
        data = cluster.data_directory
        if os.path.ismount(data) or os.path.islink(data):
            raise CollectionError(
                f"Cluster {cluster}: its data directory {data} is a mount point or a symbolic link, and cannot be kept "
                "beside the restored one.",
                "Restore with pgBackRest itself, as its user guide describes.",
            )
        if os.path.isdir(os.path.join(data, "pg_tblspc")) and os.listdir(os.path.join(data, "pg_tblspc")):
            raise CollectionError(
                f"Cluster {cluster}: it has tablespaces, which this restore would overwrite.",
                "Restore with pgBackRest itself, as its user guide describes.",
            )
        if repository.latest:
            need_space(os.path.dirname(data), repository.latest.size + _SPARE, f"Cluster {cluster}")

    def run(self, ran: bool = False) -> str:
        """Do it; the directory that keeps the former data.

        Args:
            ran: whether the server ran before a restore that was interrupted.

        Raises:
            CollectionError: it failed. The former data directory is in its place again, and its server runs if it ran.
        """
        data = self._cluster.data_directory
        former = data + _FORMER + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        journal = {"data": data, "former": former, "ran": ran or self._cluster.settled() is not None}
        write_record(JOURNAL, journal)
        try:
            self._stop()
            move(data, former, self._cluster.uid, self._cluster.gid)
            self._recover(former)
        except (CollectionError, OSError) as error:
            raise CollectionError(f"{error} {self._roll_back(journal)}") from error
        self._reset_target()
        if self._stays_stopped:
            self._stop()
        # A member with the former data could lead until the manager has started this one, which ends the restore.
        done = {**journal, "restored": self.target, "checkpoint": self._checkpoint()}
        write_record(JOURNAL, done if self._stays_stopped else None)
        return former

    def was_done(self, journal: Mapping[str, Any] | None) -> bool:
        """Whether the run of this journal restored the cluster to the same target, and nothing was written since."""
        return journal is not None and (journal.get("restored"), journal.get("checkpoint")) == (
            self.target,
            self._checkpoint(),
        )

    def _checkpoint(self) -> str:
        control = control_data(self._cluster, self._cluster.data_directory)
        return control.get("Latest checkpoint location", "")

    def _recover(self, former: str) -> None:
        log = LogTail(self._cluster.log_file, self._cluster.owner)
        try:
            self._attempt()
        except CollectionError as error:
            if _ENDED not in error.message or not self._reached_end(former, log.lines()):
                raise
            # Nothing was committed after the point in time, so that the end of the WAL is the same.
            self._target, target = None, self._target
            self._attempt()
            self._target = target

    def _attempt(self) -> None:
        data = self._cluster.data_directory
        self._stop()
        if os.path.lexists(data):
            remove_tree(data, self._cluster.uid, self._cluster.gid)
        with acting_as(ids_of(self._cluster.uid)):
            os.mkdir(data, 0o700)
        target = [f"--target={self.target}", "--type=time", "--target-action=promote"] if self._target else []
        self._backups.run("restore", *target)
        self._start()

    def _reached_end(self, former: str, lines: Sequence[str]) -> bool:
        """Whether a recovery replayed all WAL that the former server wrote before it was stopped."""
        return replayed_all(control_data(self._cluster, former), lines)

    def _stop(self) -> None:
        if self._cluster.settled() is not None:
            reason = self._platform.control(self._cluster, "stop")
            if reason:
                raise CollectionError(f"Cluster {self._cluster}: its server cannot be stopped: {reason}.")

    def _start(self) -> None:
        cluster = self._cluster
        log = LogTail(cluster.log_file, cluster.owner)
        reason = self._platform.control(cluster, "start")

        def why() -> str:
            return last_trouble(log.lines()) or reason or ""

        if reason is not None:
            raise CollectionError(f"Cluster {cluster}: the restored server does not start: {why()}.")
        wait_until_writable(
            login_of(cluster), cluster.owner, self._seconds, lambda: cluster.postmaster() is not None, why
        )

    def _reset_target(self) -> None:
        """Remove what only the recovery needs: the next one must not end at the same point."""
        login = login_of(self._cluster)
        for name in _RECOVERY:
            query(login, self._cluster.owner, f"ALTER SYSTEM RESET {name}")
        query(login, self._cluster.owner, "SELECT pg_catalog.pg_reload_conf()")

    def _roll_back(self, journal: Mapping[str, Any]) -> str:
        """Put the former data directory in its place again; a sentence about that."""
        try:
            if os.path.lexists(journal["former"]):
                self._stop()
                _put_former_in_place(journal)
            reason = self._platform.control(self._cluster, "start") if journal["ran"] else None
            if reason:
                raise CollectionError(f"its server does not start: {reason}.")
        except CollectionError as error:
            return f"The former data could not be restored to its place: {error}"
        write_record(JOURNAL, None)
        return "The former data is in its place again" + (", and its server runs." if journal["ran"] else ".")
