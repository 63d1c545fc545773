# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known before a major upgrade: space, extensions, settings, and the verdict of pg_upgrade itself.

Sources: the PostgreSQL manual, "pg_upgrade", and pg_upgradecluster(1).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import glob
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.scratch_server import (
    need_space,
    query,
    remove_tree,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import troubles

_SPARE = 512 * 1024 * 1024  # for the programs' logs and the first WAL
_CHECK_PORT = "50432"  # pg_upgrade's own, for the server that it starts to look at
_TEMPLATE = "SELECT pg_catalog.to_jsonb(d)::text FROM pg_catalog.pg_database d WHERE datname = 'template0'"
_FACTS = """
SELECT pg_catalog.current_setting('data_checksums'), pg_catalog.pg_encoding_to_char(encoding),
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'), pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_database WHERE datname = 'template0'
"""
_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname"
_EXTENSIONS = "SELECT extname FROM pg_catalog.pg_extension ORDER BY extname"
# Settings that the staged server must not take from the old cluster.
_OWN = ("data_directory", "hba_file", "ident_file", "external_pid_file", "include_dir", "include", "include_if_exists")


def check_space(old: Cluster) -> None:
    """Reject a file system that cannot hold a second copy of the data.

    Raises:
        CollectionError: it has too little space.
    """
    done = run(["du", "-sb", "--", old.data_directory], **as_user(old.uid, old.gid))
    found = re.match(r"(\d+)", done.stdout)
    size = int(found[1]) if found else 0
    need_space(os.path.dirname(os.path.dirname(old.data_directory)), size * 1.1 + _SPARE, f"Cluster {old}")


def check_extensions(login: Mapping[str, Any], old: Cluster, version: int) -> None:
    """Reject extensions that the new version does not have.

    Raises:
        CollectionError: with the packages that are likely to have them.
    """
    used: dict[str, list[str]] = {}
    for (database,) in query(dict(login), old.owner, _DATABASES):
        for (name,) in query({**login, "login_db": database}, old.owner, _EXTENSIONS):
            used.setdefault(name, []).append(database)
    missing = missing_extensions(used, available_extensions(version))
    if missing:
        names = ", ".join(f"{name} (database {', '.join(used[name])})" for name in missing)
        raise CollectionError(
            f"Cluster {old}: PostgreSQL {version} does not have the extensions {names}.",
            f"Install their packages for {version}, or drop them.",
        )


def available_extensions(version: int, share: str = "/usr/share/postgresql") -> list[str]:
    """Names of the extensions whose files are installed."""
    paths = glob.glob(os.path.join(share, str(version), "extension", "*.control"))
    return sorted(os.path.basename(path)[: -len(".control")] for path in paths)


def missing_extensions(used: Mapping[str, Any], available: Sequence[str]) -> list[str]:
    """Those that are used and not available."""
    return sorted(set(used) - set(available))


class Staged:
    """An empty cluster of the new version beside the old one, for what only its programs know; a context manager.

    Args:
        old: the cluster, whose server runs.
        version: the new major version.
        login: with which its server is reached.
    """

    def __init__(self, old: Cluster, version: int, login: Mapping[str, Any]) -> None:
        self._old = old
        self._binaries = os.path.join(os.path.dirname(os.path.dirname(old.binaries)), str(version), "bin")
        self._login = dict(login)
        self._ids = as_user(old.uid, old.gid)
        self._directory = ""

    def __enter__(self) -> Staged:
        # In the owner's own directory: the copy of the settings is as secret as the settings are.
        parent = os.path.dirname(os.path.dirname(self._old.data_directory))
        with acting_as(ids_of(self._old.uid)):
            for left in glob.glob(os.path.join(glob.escape(parent), "backstage-upgrade-check-*")):
                remove_tree(left, self._old.uid, self._old.gid)
            self._directory = tempfile.mkdtemp(prefix="backstage-upgrade-check-", dir=parent)
        return self

    def __exit__(self, *_details: object) -> None:
        remove_tree(self._directory, self._old.uid, self._old.gid)

    def check(self) -> None:
        """Reject a cluster that pg_upgrade would reject, and settings that the new version does not take.

        Raises:
            CollectionError: with the reason in the programs' own words.
        """
        checksums, encoding, segment, recovering = query(self._login, self._old.owner, _FACTS)[0]
        if recovering:
            raise CollectionError(f"Cluster {self._old}: it is a standby.", "Upgrade its primary.")
        template = json.loads(query(self._login, self._old.owner, _TEMPLATE)[0][0])
        data = os.path.join(self._directory, "data")
        options = initdb_options(template, encoding, checksums == "on", int(segment), self._binaries)
        command = [os.path.join(self._binaries, "initdb"), f"--pgdata={data}", f"--username={self._old.owner}"]
        done = run([*command, "--auth=peer", "--no-sync", *options], **self._ids)
        if done.returncode:
            raise CollectionError(f"initdb of the new version fails: {one_line(done.stderr)}.")
        self._check_settings(data)
        self._check_upgrade(data)

    def _check_settings(self, data: str) -> None:
        with open(self._old.include_file, encoding="utf-8", errors="replace") as stream:
            main = stream.read()
        files = [main]
        for path in sorted(glob.glob(os.path.join(glob.escape(self._old.settings_directory), "*.conf"))):
            with open(path, encoding="utf-8", errors="replace") as stream:
                files.append(stream.read())
        staged = os.path.join(self._directory, "settings.conf")
        with acting_as(ids_of(self._old.uid)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(staged, flags, 0o600), "w", encoding="utf-8") as stream:
                stream.write("\n".join(line for text in files[1:] for line in kept_settings(text)) + "\n")
        program = os.path.join(self._binaries, "postgres")
        done = run([program, "-D", data, f"--config-file={staged}", "-C", "port"], **self._ids)
        if done.returncode:
            found = "; ".join(troubles(done.stderr.replace(f' in file "{staged}"', "").splitlines()))
            raise CollectionError(
                f"Cluster {self._old}: the new version rejects a setting: {found or one_line(done.stderr)}.",
                f"Remove or correct it in {self._old.settings_directory} or backstage_postgresql_settings.",
            )

    def _check_upgrade(self, data: str) -> None:
        command = [
            os.path.join(self._binaries, "pg_upgrade"),
            *("--check", "-b", self._old.binaries, "-B", self._binaries, "-p", str(self._login["login_port"])),
            *("-P", _CHECK_PORT, "-d", self._old.config_directory, "-D", data),
        ]
        # It writes its logs, and the socket of its server, where it is called.
        shell = ["sh", "-c", 'cd "$0" && exec "$@"', self._directory, *command]
        done = run(shell, **self._ids)
        if done.returncode:
            raise CollectionError(
                f"Cluster {self._old}: pg_upgrade --check rejects it: {upgrade_reason(done.stdout + done.stderr)}.",
                "Correct what it names.",
            )


def initdb_options(
    template: Mapping[str, Any], encoding: str, checksums: bool, segment: int, binaries: str
) -> list[str]:
    """With which initdb creates a cluster that pg_upgrade takes as the new one.

    Args:
        template: the row of template0 in pg_database, whose columns differ from version to version.
        encoding: its name.
        checksums: whether data pages have checksums.
        segment: bytes of a WAL segment.
        binaries: the directory of the new version's programs; 18 and later have checksums unless told otherwise.
    """
    options = [f"--encoding={encoding}", f"--lc-collate={template['datcollate']}", f"--lc-ctype={template['datctype']}"]
    provider = {"i": "icu", "b": "builtin"}.get(template.get("datlocprovider", "c"))
    if provider:
        locale = template.get("datlocale") or template.get("daticulocale")
        options += [f"--locale-provider={provider}", f"--{provider}-locale={locale}"]
    if checksums:
        options.append("--data-checksums")
    elif int(os.path.basename(os.path.dirname(binaries))) >= 18:
        options.append("--no-data-checksums")
    return [*options, f"--wal-segsize={segment // (1 << 20)}"]


def kept_settings(text: str) -> Iterator[str]:
    """The lines of a settings file, without what names the cluster's own files."""
    for line in text.splitlines():
        found = re.match(r"\s*(\w+)", line)
        if not (found and found[1].lower() in _OWN):
            yield line


def upgrade_reason(text: str) -> str:
    """Why pg_upgrade rejected a cluster: the lines from its first failed check on."""
    lines = [line.strip() for line in re.sub(r".*\r", "", text).splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if re.search(r"fatal|failure|Failure", line)), 0)
    return one_line(" ".join(lines[first:] or lines[-3:]))[:600]
