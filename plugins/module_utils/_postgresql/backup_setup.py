# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting up the backups of a cluster: what must be written, enabled and created, planned first and then done.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_files, backup_report
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    PROGRAM,
    PgBackRest,
    login_of,
    system_identifier,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.scratch_server import query

CONFIG = os.path.join(backup_files.DIRECTORY, "pgbackrest.conf")
SECRETS = os.path.join(backup_files.DIRECTORY, "conf.d", "secrets.conf")
_HIDDEN = "(secrets, not shown)\n"
_TIMERS = [f"{backup_files.UNIT}@{kind}.timer" for kind in backup_files.KINDS]
_ARCHIVING = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name ~ '^archive_(mode|command|library)$'"


@dataclass(frozen=True)
class WantedFile:
    """One file as it is to be.

    Attributes:
        text: empty for no file.
        uid, gid, mode: of a file that is written.
        secret: whether its content is never shown.
    """

    path: str
    text: str
    uid: int
    gid: int
    mode: int
    secret: bool = False


@dataclass(frozen=True)
class Setup:
    """What has to be done.

    Attributes:
        files: those that differ, each with the present text.
        directories: those that are missing.
        timers: those that are not enabled or do not run.
        stanza: what pgBackRest has to do, `stanza-create` or `stanza-upgrade`; empty for nothing, and while
            its files have yet to be written.
    """

    files: tuple[tuple[WantedFile, str], ...]
    directories: tuple[str, ...]
    timers: tuple[str, ...]
    stanza: str

    @property
    def changed(self) -> bool:
        return bool(self.files or self.directories or self.timers or self.stanza)

    def differences(self) -> list[dict[str, str]]:
        """Diffs, without secrets."""
        return [
            {
                "before_header": wanted.path,
                "after_header": wanted.path,
                "before": (_HIDDEN if wanted.secret and before else before),
                "after": _HIDDEN.replace(")", ", changed)") if wanted.secret and wanted.text else wanted.text,
            }
            for wanted, before in self.files
        ]


def wanted_files(settings: backup_files.BackupSettings, cluster: Cluster, port: int) -> list[WantedFile]:
    """All files of the backups of a cluster."""
    owner = (cluster.uid, cluster.gid)
    program = shutil.which(PROGRAM, path="/usr/local/bin:/usr/bin:/bin") or f"/usr/bin/{PROGRAM}"
    units = backup_files.unit_texts(settings, cluster, program)
    return [
        WantedFile(CONFIG, backup_files.config_text(settings, cluster, port), *owner, 0o640),
        WantedFile(SECRETS, backup_files.secrets_text(settings), *owner, 0o600, secret=True),
        *(WantedFile(path, text, 0, 0, 0o644) for path, text in units.items()),
    ]


def plan(settings: backup_files.BackupSettings, cluster: Cluster, port: int) -> Setup:
    """Compare what is there with what is wanted, and reject what can be rejected before anything changes.

    Raises:
        CollectionError: a value that pgBackRest or systemd rejects, or something of somebody else's that it would end.
    """
    settings.check()
    if shutil.which(PROGRAM):
        settings.check_version(run([PROGRAM, "version"]).stdout)
    _check_schedules(settings.schedules)
    wanted = wanted_files(settings, cluster, port)
    present = {one.path: _text(one.path) for one in wanted}
    _check_repository(settings, cluster, present)
    differing = tuple((one, present[one.path]) for one in wanted if not _is_up_to_date(one, present[one.path]))
    needed = [backup_files.DIRECTORY, os.path.dirname(SECRETS), backup_files.STATE, backup_files.LOCKS]
    if settings.is_local:
        needed.append(settings.repository)
    return Setup(
        differing,
        tuple(path for path in needed if not os.path.isdir(path)),
        tuple(timer for timer in _TIMERS if not _is_enabled(timer)),
        "" if differing else _needed_stanza(settings, cluster),
    )


def _needed_stanza(settings: backup_files.BackupSettings, cluster: Cluster) -> str:
    if shutil.which(PROGRAM) is None:
        return "stanza-create"
    repository = PgBackRest(cluster, settings.stanza).info()
    if not repository.system and repository.code == backup_report.NO_STANZA:
        if is_replica(cluster):
            raise CollectionError(
                f"O(repository): {settings.repository} on this replica is not the repository of the leader.",
                "Mount the same file system on all members, or use an object store by O(options).",
            )
        return "stanza-create"
    if repository.code not in (backup_report.OK, backup_report.NO_BACKUPS):
        raise CollectionError(
            f"The backup repository {settings.repository}: {repository.message}.",
            "Repair it, set O(passphrase) to the one with which it was created, or choose another O(repository).",
        )
    system = system_identifier(cluster)
    if repository.is_of_another(system, cluster.version):
        raise CollectionError(
            f"O(repository): {settings.repository} has the backups of another cluster (system identifier "
            f"{repository.system}, here {system}), which those of this one would replace in time.",
            "To get the data of that cluster back, run the playbook devportal.backstage.restore. Otherwise choose "
            "another O(stanza).",
        )
    return "stanza-upgrade" if repository.system != system else ""


def apply(setup: Setup, settings: backup_files.BackupSettings, cluster: Cluster) -> str:
    """Do it.

    Returns:
        What was done about the stanza, as in `Setup`.

    Raises:
        CollectionError: a step fails; the next run goes on.
    """
    for path in setup.directories:
        _create_directory(path, cluster if path in (backup_files.LOCKS, settings.repository) else None)
    for one, _before in setup.files:
        with edit(one.path) as edited:
            if one.text:
                edited.replace(one.text.encode(), mode=one.mode, uid=one.uid, gid=one.gid)
            else:
                edited.remove()
    # The files must be there before pgBackRest can report what its repository has.
    step = _needed_stanza(settings, cluster)
    if step:
        PgBackRest(cluster, settings.stanza).run(step)
    if setup.files or setup.timers:
        _systemctl("daemon-reload")
    if setup.timers:
        _systemctl("enable", "--now", *setup.timers)
    elif setup.files:
        # A timer computes its next time when it starts.
        _systemctl("restart", *_TIMERS)
    return step


def is_replica(cluster: Cluster) -> bool:
    """Whether the server follows another one."""
    return os.path.lexists(os.path.join(cluster.data_directory, backup_files.STANDBY))


def check_archiving(cluster: Cluster, stanza: str, user: str | None, password: str | None) -> None:
    """Reject to replace somebody else's WAL archive.

    Raises:
        CollectionError: the server already archives its WAL elsewhere, or does not answer.
    """
    found = dict(query(login_of(cluster, user, password), cluster.owner, _ARCHIVING))
    other = backup_files.foreign_archiving(found, stanza)
    if other:
        raise CollectionError(
            f"Cluster {cluster}: its server already archives WAL by {other!r}, which this would end.",
            "Remove archive_mode and archive_command there first, or leave O(backup) off.",
        )


def _check_schedules(schedules: Mapping[str, str]) -> None:
    if not os.path.isdir("/run/systemd/system"):
        raise CollectionError(
            "This host does not run systemd, whose timers take the backups.",
            "Set backstage_postgresql_backup to false.",
        )
    for kind, expression in schedules.items():
        done = run(["systemd-analyze", "calendar", "--", expression])
        if done.returncode:
            raise CollectionError(
                f"O(schedule_{kind}): systemd does not accept {expression!r}: {one_line(done.stderr)}.",
                "Write it as in `Sun *-*-* 01:00` (systemd.time(7)).",
            )


def _check_repository(settings: backup_files.BackupSettings, cluster: Cluster, present: Mapping[str, str]) -> None:
    if not settings.is_local:
        return
    path = os.path.realpath(settings.repository)
    if f"{path}/".startswith(f"{os.path.realpath(cluster.data_directory)}/"):
        raise CollectionError(
            f"O(repository): {settings.repository} lies in the data directory.", "Choose a directory of its own."
        )
    if os.path.isdir(path):
        with acting_as(ids_of(cluster.uid)):
            writable = os.access(path, os.W_OK | os.X_OK, effective_ids=True)
        if not writable:
            raise CollectionError(
                f"O(repository): {settings.repository} is not writable for {cluster.owner}.",
                f"Run `chown {cluster.owner} {settings.repository}`, or choose another directory.",
            )
    same = backup_files.repository_of(present[CONFIG]) == settings.repository
    before = backup_files.passphrase_of(present[SECRETS])
    if same and before != settings.passphrase and os.path.isdir(os.path.join(path, "backup")):
        raise CollectionError(
            f"O(passphrase): differs from the one with which the repository {settings.repository} was created.",
            "Restore the former one, or choose another O(repository) for further backups.",
        )


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as stream:
        return stream.read()
    return ""


def _is_up_to_date(wanted: WantedFile, text: str) -> bool:
    if text != wanted.text:
        return False
    with contextlib.suppress(OSError):
        info = os.stat(wanted.path)
        return (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (wanted.uid, wanted.gid, wanted.mode)
    return not wanted.text


def _create_directory(path: str, owner: Cluster | None) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.mkdir(path, 0o750 if owner else 0o755)
        if owner:
            os.chown(path, owner.uid, owner.gid)
    except FileExistsError:
        pass
    except OSError as error:
        raise CollectionError(f"{path}: cannot be created: {error.strerror}.", "Correct the path.") from error


def _is_enabled(timer: str) -> bool:
    return all(run(["systemctl", query_, "--quiet", timer]).returncode == 0 for query_ in ("is-enabled", "is-active"))


def _systemctl(*arguments: str) -> None:
    done = run(["systemctl", *arguments])
    if done.returncode:
        raise CollectionError(f"systemctl {' '.join(arguments)}: {one_line(done.stderr)}.", "Correct what it names.")
