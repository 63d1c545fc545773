# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling pgBackRest as the owner of a cluster, and the cluster that its stanza is for.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    backup_files,
    backup_report,
    connection,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster, choose
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import (
    NOT_INSTALLED,
    Platform,
    detect,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, run

PROGRAM = "pgbackrest"
# What cannot be known before site.yml has run; check mode does not fail for it.
NOT_YET = (*connection.NOT_YET, NOT_INSTALLED, "pgbackrest")
RECORD = os.path.join(backup_files.STATE, "restore_test.json")


def chosen_cluster(version: int | None, name: str, supervisor: str | None = None) -> tuple[Platform, Cluster]:
    """The cluster of this name, which must be there.

    Args:
        version, name: of the cluster.
        supervisor: the cluster manager that may run it.

    Raises:
        CollectionError: there is none, or several, or a cluster manager runs it.
    """
    platform = detect()
    found = choose(
        platform.clusters(), platform.installed_versions(), version, name, False, supervisor=supervisor or ""
    )
    if isinstance(found, int):
        raise CollectionError(
            f"O(cluster): there is none named {name} on this host.", "Run the playbook devportal.backstage.site."
        )
    return platform, found


def login_of(cluster: Cluster, user: str | None = None, password: str | None = None) -> dict[str, Any]:
    """With which `connection.connect` reaches the running server as its superuser.

    Raises:
        CollectionError: it does not run.
    """
    server = cluster.settled()
    if server is None:
        raise CollectionError(f"Cluster {cluster}: its server does not run.", f"Start {cluster.unit}.")
    return {
        "login_unix_socket": server.socket_directory,
        "login_port": server.port,
        "login_user": user or cluster.owner,
        "login_password": password,
    }


class PgBackRest:
    """The program, for one stanza.

    Args:
        cluster: whose owner runs it.
        stanza: its name.
    """

    def __init__(self, cluster: Cluster, stanza: str) -> None:
        self._cluster = cluster
        self.stanza = stanza
        self.owner = cluster.owner

    def call(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its exit code.

        Raises:
            CollectionError: pgBackRest is not installed.
        """
        if shutil.which(PROGRAM) is None:
            raise CollectionError(
                "pgBackRest is not installed on this host.", "Install the package pgbackrest.", PROGRAM
            )
        words = [PROGRAM, *backup_files.arguments(self.stanza), *options, command]
        return run(words, **as_user(self._cluster.uid, self._cluster.gid))

    def run(self, command: str, *options: str) -> str:
        """Run a command; what it printed.

        Raises:
            CollectionError: it failed.
        """
        done = self.call(command, *options)
        if done.returncode:
            reason = backup_report.errors(done.stderr or done.stdout)
            raise CollectionError(f"pgBackRest {command}: {reason}.", _remedy(reason))
        return done.stdout

    def info(self) -> backup_report.Repository:
        """What the repository holds."""
        return backup_report.parse_info(self.run("info", "--output=json"), self.stanza)

    def damages(self) -> list[str]:
        """What is wrong with the files in the repository; all of them are read."""
        done = self.call("verify", "--output=text")
        if done.returncode:
            return [backup_report.errors(done.stderr or done.stdout)]
        return backup_report.verify_problems(done.stdout)


def _remedy(reason: str) -> str:
    if "archive_mode" in reason:
        return "Restart the server, or run the playbook devportal.backstage.site."
    if "system-id" in reason or "do not match" in reason:
        return "Run the playbook devportal.backstage.site, which upgrades the stanza after a major upgrade."
    return "Correct what it names."


def system_identifier(cluster: Cluster) -> str:
    """The cluster's own, from its control file; empty where that cannot be read."""
    return control_data(cluster, cluster.data_directory).get("Database system identifier", "")


def control_data(cluster: Cluster, directory: str) -> Mapping[str, str]:
    """What pg_controldata(1) prints of a data directory."""
    program = os.path.join(cluster.binaries, "pg_controldata")
    done = run([program, "-D", directory], **as_user(cluster.uid, cluster.gid))
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, _colon, value in pairs}


def write_record(path: str, record: Mapping[str, Any] | None) -> None:
    """Write a small JSON file in a directory of root's, or remove it."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with edit(path) as edited:
        if record is None:
            edited.remove()
        else:
            edited.replace((json.dumps(record, indent=1, sort_keys=True) + "\n").encode(), mode=0o644)


def read_record(path: str) -> dict[str, Any] | None:
    """What `write_record` wrote; None where there is nothing of use."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
        found = json.load(stream)
        return found if isinstance(found, dict) else None
    return None
