# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup by pgBackRest: its configuration, the secrets apart from it, the units and timers.

They lie in a directory of their own, so that a pgBackRest that somebody else configured on the host is not touched.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster

DIRECTORY = "/etc/backstage-postgresql-backup"
# Results of tests and journals of restores; root's, unlike the directory of locks in it.
STATE = "/var/lib/backstage-postgresql-backup"
LOCKS = f"{STATE}/lock"
UNITS = "/etc/systemd/system"
UNIT = "backstage-postgresql-backup"
KINDS = ("full", "diff")
CIPHER = "aes-256-cbc"
_SFTP = (2, 46)  # the first version that has it
# A data directory has this file while its server follows another one (PostgreSQL manual, "Standby Server Operation").
STANDBY = "standby.signal"
_HEADER = "# Written by Ansible, role devportal.backstage.backstage_postgresql_backup.\n"
# What the role itself writes.
_OURS = ("repo1-path", "repo1-cipher-type", "repo1-cipher-pass", "repo1-retention-full", "lock-path")


@dataclass(frozen=True)
class BackupSettings:
    """What is wanted of the backups of one cluster.

    Attributes:
        stanza: pgBackRest's name for the cluster.
        repository: the directory of the repository.
        passphrase: with which it is encrypted; empty for not at all.
        retention: how many full backups are kept.
        options, secret_options: further ones of pgBackRest's section `global`, name to value.
        schedules: the calendar expression of systemd by `KINDS`.
        shared: whether the cluster has several members, each with these files, of which one leads.
    """

    stanza: str
    repository: str
    passphrase: str = ""
    retention: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)
    secret_options: Mapping[str, Any] = field(default_factory=dict)
    schedules: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the repository is a directory of this host."""
        kind = self.options.get("repo1-type", "posix")
        return kind in ("posix", "cifs") and "repo1-host" not in self.options

    def check_version(self, text: str) -> None:
        """Reject a pgBackRest that is too old for a repository host.

        Args:
            text: what `pgbackrest version` prints.

        Raises:
            CollectionError: it has no SFTP.
        """
        found = re.search(r"(\d+)\.(\d+)", text)
        if self.options.get("repo1-type") == "sftp" and found and (int(found[1]), int(found[2])) < _SFTP:
            raise CollectionError(
                f"pgBackRest {found[0]}: it has no SFTP, by which it would reach the repository host.",
                f"Install {_SFTP[0]}.{_SFTP[1]} or later, as the PostgreSQL project's repository has it, or mount the "
                "other host's directory at O(repository) and leave the group backstage_backup empty.",
            )

    def check(self) -> None:
        """Reject what a configuration file of pgBackRest could not hold.

        Raises:
            CollectionError: a name or value is not valid.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.stanza):
            raise CollectionError(
                f"O(stanza): {self.stanza!r} is not a valid name.", 'Use letters, digits, "-" and "_".'
            )
        if self.passphrase != self.passphrase.strip() or re.search(r"[\x00-\x1f]", self.passphrase):
            raise CollectionError(
                "O(passphrase): it begins or ends with white space, or has a control character.", "Choose another."
            )
        for option, values in (("options", self.options), ("secret_options", self.secret_options)):
            for name in values:
                if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", str(name)):
                    raise CollectionError(f"O({option}): {str(name)[:80]!r} is not an option of pgBackRest.")
                if name in _OURS:
                    raise CollectionError(f"O({option}): {name} has an option of its own.", "Remove it here.")
            _lines(option, values)


def config_text(settings: BackupSettings, cluster: Cluster, port: int) -> str:
    """pgbackrest.conf, without a secret."""
    values: dict[str, Any] = {
        "repo1-path": settings.repository,
        "repo1-retention-full": settings.retention,
        "repo1-bundle": True,
        **({"repo1-cipher-type": CIPHER} if settings.passphrase else {}),
        "start-fast": True,
        "log-level-console": "warn",
        "log-level-file": "off",
        "lock-path": LOCKS,
        **settings.options,
    }
    cluster_values = {
        "pg1-path": cluster.data_directory, "pg1-port": port, "pg1-socket-path": cluster.socket_directory
    }  # fmt: skip
    lines = ["[global]", *_lines("options", values), "", f"[{settings.stanza}]", *_lines("options", cluster_values)]
    return _HEADER + "\n".join(lines) + "\n"


def secrets_text(settings: BackupSettings) -> str:
    """The file of secrets, which pgBackRest reads with the other one; empty where there are none."""
    values = {**({"repo1-cipher-pass": settings.passphrase} if settings.passphrase else {}), **settings.secret_options}
    return _HEADER + "\n".join(["[global]", *_lines("secret_options", values)]) + "\n" if values else ""


def _lines(option: str, values: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in values.items():
        # An option that has several values is written once for each.
        for item in value if isinstance(value, (list, tuple)) else [value]:
            text = ("y" if item else "n") if isinstance(item, bool) else str(item)
            if not text or text != text.strip() or re.search(r"[\x00-\x1f]", text):
                raise CollectionError(f"O({option}): the value of {name} is not one line of text.", "Correct it.")
            lines.append(f"{name}={text}")
    return lines


def passphrase_of(text: str) -> str:
    """The passphrase in a file of secrets."""
    found = re.search(r"^repo1-cipher-pass=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def repository_of(text: str) -> str:
    """The repository in a pgbackrest.conf."""
    found = re.search(r"^repo1-path=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def arguments(stanza: str) -> list[str]:
    """With which pgBackRest reads these files and no others."""
    return [f"--config-path={DIRECTORY}", f"--stanza={stanza}"]


def archive_settings(stanza: str) -> dict[str, str]:
    """The server's settings that send its WAL to the repository."""
    return {
        "archive_mode": "on",
        "archive_command": " ".join(["pgbackrest", *arguments(stanza), "archive-push", '"%p"']),
    }


def foreign_archiving(settings: Mapping[str, str | None], stanza: str) -> str:
    """The archive command or library of somebody else that is in force; empty where there is none.

    Args:
        settings: `archive_mode`, `archive_command` and `archive_library` of the server.
        stanza: ours.
    """
    if settings.get("archive_mode") in (None, "off"):
        return ""
    command = settings.get("archive_command") or ""
    ours = ("", "(disabled)", archive_settings(stanza)["archive_command"])
    return settings.get("archive_library") or ("" if command in ours else command)


def unit_texts(settings: BackupSettings, cluster: Cluster, program: str) -> dict[str, str]:
    """The service and its timers, by their paths."""
    # Every member has the timers, and the leader takes the backups.
    replica = os.path.join(cluster.data_directory, STANDBY).replace("%", "%%")
    condition = f'ExecCondition=/usr/bin/test ! -e "{replica}"\n' if settings.shared else ""
    description = f"backup of the PostgreSQL cluster of Backstage (stanza {settings.stanza})"
    command = " ".join([program, *arguments(settings.stanza), "--type=%i", "backup"])
    texts = {
        f"{UNIT}@.service": f"""{_HEADER}[Unit]
Description=%i {description}
Documentation=man:pgbackrest(1)
After=postgresql.service

[Service]
Type=oneshot
User={cluster.owner}
{condition}ExecStart={command}
Nice=10
IOSchedulingClass=idle
"""
    }
    for kind in KINDS:
        texts[f"{UNIT}@{kind}.timer"] = f"""{_HEADER}[Unit]
Description={kind} {description}

[Timer]
OnCalendar={settings.schedules[kind]}
RandomizedDelaySec=5m
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {os.path.join(UNITS, name): text for name, text in texts.items()}
