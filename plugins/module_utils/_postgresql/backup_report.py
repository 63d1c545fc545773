# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgBackRest reports of a repository, and what is wrong with it.

Source: pgBackRest's command reference, "info" and "verify", and its source for the codes of a status.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

# Status codes of `info`.
OK = 0
NO_STANZA = 1
NO_BACKUPS = 2
_DATABASE_MISMATCH = 5
_HOUR, _DAY = 3600.0, 86400.0
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Backup:
    """One backup.

    Attributes:
        kind: full, diff or incr.
        started, stopped: in seconds of the Unix time.
        size: bytes of the cluster.
        stored: bytes that the backup takes in the repository.
        damaged: whether pages with wrong checksums were found while it was taken.
    """

    label: str
    kind: str
    started: float
    stopped: float
    size: int
    stored: int
    damaged: bool


@dataclass(frozen=True)
class Repository:
    """One stanza's part of a repository.

    Attributes:
        code, message: its status.
        backups: those of this cluster, oldest first; those of before a major upgrade are left out.
        system: the identifier of the cluster that the stanza is for now; empty without a stanza.
        version: that cluster's major version; 0 without a stanza.
        known: the identifiers of all clusters that the stanza was ever for.
    """

    code: int
    message: str
    backups: tuple[Backup, ...] = ()
    system: str = ""
    version: int = 0
    known: frozenset[str] = frozenset()

    @property
    def latest(self) -> Backup | None:
        return self.backups[-1] if self.backups else None

    def is_of_another(self, system: str, version: int) -> bool:
        """Whether it has backups of a cluster that this one did not come from.

        A major upgrade gives a cluster a new identifier and a new version. A new identifier with the same version is a
        new cluster, for instance on a host that was set up again.
        """
        return bool(self.backups) and self.version == version and system not in self.known


def parse_info(text: str, stanza: str) -> Repository:
    """The answer of `pgbackrest info --output=json`.

    Raises:
        CollectionError: it is not what pgBackRest 2 writes.
    """
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError("not a list")
        found = next((entry for entry in entries if entry["name"] == stanza), None)
        if found is None:
            return Repository(NO_STANZA, "the repository has no such stanza")
        databases = found.get("db") or []
        newest = max(databases, key=lambda entry: entry["id"]) if databases else None
        entries = [one for one in found.get("backup") or [] if newest and one["database"]["id"] == newest["id"]]
        return Repository(
            found["status"]["code"],
            _message(found),
            tuple(sorted(map(_backup, entries), key=lambda backup: backup.stopped)),
            str(newest["system-id"]) if newest else "",
            int(float(newest["version"])) if newest else 0,
            frozenset(str(one["system-id"]) for one in databases),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CollectionError(
            f"pgBackRest: its report cannot be read ({type(error).__name__}).", "Install pgBackRest 2.45 or later."
        ) from error


def _backup(entry: Mapping[str, Any]) -> Backup:
    return Backup(
        str(entry["label"]),
        str(entry["type"]),
        float(entry["timestamp"]["start"]),
        float(entry["timestamp"]["stop"]),
        int(entry["info"]["size"]),
        int(entry["info"]["repository"]["delta"]),
        bool(entry.get("error")),
    )


def _message(found: Mapping[str, Any]) -> str:
    details = [entry["status"]["message"] for entry in found.get("repo") or [] if entry["status"]["code"] != OK]
    return readable(details[0] if details else str(found["status"]["message"]))


def readable(text: str) -> str:
    """The first line of a message of pgBackRest, which may quote bytes of a damaged or encrypted file."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # What follows the file's name quotes its content.
    first = re.sub(r":?\s*[^\x20-\x7e].*$", "", lines[0]) if lines else ""
    return first.rstrip(".: ")[:300]


def errors(text: str) -> str:
    """What pgBackRest reports as an error, in one sentence without its time stamps; else the last line."""
    found = re.findall(r"\bERROR: \[(\d+)\]: (.*)", text)
    if found:
        return readable(found[-1][1])
    lines = [line for line in text.splitlines() if line.strip()]
    return readable(lines[-1]) if lines else "no output"


def verify_problems(text: str) -> list[str]:
    """What `pgbackrest verify --output=text` found to be wrong: a phrase for each damaged part."""
    if "status: error" not in text:
        return []
    found = []
    subject = ""
    for line in map(str.strip, text.splitlines()):
        backup, archive = re.match(r"backup: (\S+), status: (\S+),", line), re.match(r"archiveId: ([^,]+),", line)
        if backup:
            # Without a fault of its own, an invalid backup is one whose earlier backup is damaged.
            subject = f"backup {backup[1]}"
            if backup[2].rstrip(",") != "valid":
                found.append(f"{subject} is {backup[2].rstrip(',')}")
        elif archive:
            subject = f"WAL archive {archive[1]}"
        elif re.match(r"[a-z ]+: \d+(,|$)", line):
            counts = {name: int(number) for name, number in re.findall(r"([a-z ]+): (\d+)", line)}
            wrong = ", ".join(f"{number} {name.strip()}" for name, number in counts.items() if number)
            if wrong and found and found[-1].startswith(f"{subject} is"):
                found[-1] += f" (files: {wrong})"
            elif wrong:
                found.append(f"{subject} has damaged files ({wrong})")
    general = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not re.match(r"\s*((stanza|status|archiveId|backup)\b|[a-z ]+: \d+(,|$))", line)
    ]
    return found or [readable(" ".join(general)) or "pgBackRest reports an error"]


def repository_problems(repository: Repository, now: float, max_age: float) -> Iterator[str]:
    """Sentences about a repository from which a restore may fail.

    Args:
        repository: what `info` reports.
        now: in seconds of the Unix time.
        max_age: hours that the latest backup may be old; 0 for any age.
    """
    if repository.code not in (OK, NO_BACKUPS):
        yield f"The backup repository cannot be used: {repository.message}. Repair it, or take a backup into a new one."
        return
    latest = repository.latest
    if latest is None:
        yield "No backup has been taken. Run the playbook devportal.backstage.backup."
        return
    if max_age and now - latest.stopped > max_age * _HOUR:
        yield (
            f"The latest backup is {age(now - latest.stopped)} old, more than {max_age:g} hours. "
            "Look at `systemctl status backstage-postgresql-backup@*`, and run the playbook devportal.backstage.backup."
        )
    if latest.damaged:
        yield f"Backup {latest.label} holds pages with wrong checksums. Check the disk of the database host."


def test_problems(record: Mapping[str, Any] | None, now: float, max_age: float) -> Iterator[str]:
    """Sentences about the last tested restore.

    Args:
        record: what the test wrote; None before the first one, which is no fault.
        now: in seconds of the Unix time.
        max_age: days that it may be old; 0 for any age.
    """
    if record is None:
        return
    if record.get("problems"):
        found = " ".join(record["problems"])
        yield f"The restore test of {age(now - float(record['time']))} ago failed: {found} Repair that, and test again."
    elif max_age and now - float(record["time"]) > max_age * _DAY:
        yield (
            f"The last restore test was {age(now - float(record['time']))} ago, more than {max_age:g} days. "
            "Run the playbook devportal.backstage.restore_test."
        )


def summary(repository: Repository, record: Mapping[str, Any] | None, now: float) -> str:
    """How old the latest backup and the last restore test are, in sentences."""
    latest = repository.latest
    backup = (
        f"The latest backup ({latest.label}, {latest.kind}, {size(latest.size)}) is {age(now - latest.stopped)} old."
        if latest
        else "No backup has been taken."
    )
    if record is None:
        return f"{backup} No restore has been tested; run the playbook devportal.backstage.restore_test."
    outcome = "failed" if record.get("problems") else "passed"
    return f"{backup} The last restore test was {age(now - float(record['time']))} ago and {outcome}."


def age(seconds: float) -> str:
    """A time span in the largest unit of which it has two."""
    seconds = max(0.0, seconds)
    for unit, length in (("days", _DAY), ("hours", _HOUR), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds)} s"


def size(number: float) -> str:
    """A number of bytes, as PostgreSQL's units have it."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def parse_target(text: str) -> datetime.datetime:
    """A point in time with its time zone.

    Raises:
        CollectionError: it is not one, or has no time zone.
    """
    hint = "Write it as in 2026-11-26 14:30:00+00:00."
    # A YAML value without quotes has lost its zone on the way, and one without minutes is no time.
    value = text.strip().replace("T", " ").replace("Z", "+00:00")
    value = re.sub(r"([+-]\d\d)$", r"\1:00", re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", value))
    try:
        found = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise CollectionError(f"O(restore_time): {text!r} is not a point in time.", hint) from None
    if found.tzinfo is None or len(value) < 16:
        raise CollectionError(f"O(restore_time): {text!r} has no time of the day, or no time zone.", hint)
    return found


def check_target(target: datetime.datetime, repository: Repository, now: float) -> None:
    """Reject a point in time to which no backup leads.

    Raises:
        CollectionError: it is before the end of the first backup, or in the future.
    """
    moment = target.timestamp()
    if moment > now:
        raise CollectionError(
            f"O(restore_time): {target.isoformat(' ')} is in the future.", "Choose a time that has passed."
        )
    if not repository.backups or moment < repository.backups[0].stopped:
        first = (
            f"the first one ended at {when(repository.backups[0].stopped)}" if repository.backups else "there is none"
        )
        raise CollectionError(
            f"O(restore_time): {target.isoformat(' ')} is before the first backup; {first}.", "Choose a later time."
        )


def when(seconds: float) -> str:
    """A Unix time as a point in time of UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(" ", "seconds")
