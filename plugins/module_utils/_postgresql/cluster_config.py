# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a cluster to the wanted settings and access rules, loaded, or leave it as it was.

What a killed run left half done is seen by the next one: a file that is newer than what the server has loaded, a
setting that waits for a restart, a server that is down.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile, edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import (
    Cluster,
    ClusterError,
    LogTail,
    Postmaster,
    check_port,
    check_settings,
    control,
    effective_settings,
    not_included,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import PostgresqlError, connect
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pg_config import (
    AccessRule,
    settings_text,
    shown,
    tcp_address,
    with_block,
)

_LOCK_TIMEOUT = 120.0  # seconds; a run may hold the files for the length of a restart
_LOAD_TIMEOUT = 15.0  # seconds until a reload must have happened
_CLOCK_GRAIN = 0.01  # seconds; a file's time stamp comes from the kernel's coarse clock
_SSL_IS_OFF = "SSL is disabled"

_SESSION = "SELECT set_config('search_path', 'pg_catalog', false), set_config('lc_messages', 'C', false)"
_FACTS = """
SELECT json_build_object(
  'loaded', extract(epoch FROM pg_conf_load_time()),
  'listen_addresses', current_setting('listen_addresses'),
  'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'),
  'settings', (
    SELECT coalesce(json_agg(json_build_object('name', lower(name), 'value', setting, 'context', context,
                                               'file', sourcefile, 'pending', pending_restart)), '[]')
    FROM pg_settings
    WHERE pending_restart OR sourcefile = %(file)s OR lower(name) = ANY(%(names)s)),
  'files', (
    SELECT coalesce(json_agg(json_build_object('name', lower(f.name), 'value', f.setting, 'file', f.sourcefile,
                                               'line', f.sourceline, 'error', f.error,
                                               'context', s.context) ORDER BY f.seqno), '[]')
    FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)
    WHERE f.error IS NOT NULL OR lower(f.name) = ANY(%(names)s)),
  'rules', (SELECT coalesce(json_agg(to_json(r)), '[]') FROM pg_hba_file_rules r WHERE r.error IS NOT NULL)
)::text
"""


@dataclass(frozen=True)
class Wanted:
    """What our file and our block are to hold; None leaves the one or the other as it is.

    Attributes:
        online: start the server when it is down.
    """

    settings: Mapping[str, str] | None
    rules: Sequence[AccessRule] | None
    online: bool = True


@dataclass
class Outcome:
    """What was done, or would be.

    Attributes:
        pending_restart: the settings whose values on disk wait for a restart, whoever wrote them.
        host: an address on which a client of the same machine reaches the server; None without TCP.
        differences: of each file that differs its path, the old and the new text, secrets masked.
    """

    started: bool = False
    reloaded: bool = False
    restarted: bool = False
    pending_restart: list[str] = field(default_factory=list)
    host: str | None = None
    port: int = 0
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.differences) or self.started or self.reloaded or self.restarted


def configure(
    cluster: Cluster, wanted: Wanted, found: Sequence[Cluster], *, restart: bool = True, check: bool = False
) -> Outcome:
    """Bring a cluster to what is wanted, and its server to running with it.

    Args:
        cluster: which one.
        wanted: its settings and access rules.
        found: all clusters of this host.
        restart: whether the server may be restarted where a setting needs it.
        check: change nothing, only say what would be done.

    Raises:
        ClusterError: PostgreSQL refuses something. The files are as they were, and the server runs with them again.
        FileError, PgConfigError, PostgresqlError: likewise.
    """
    if os.geteuid() not in (0, cluster.uid):
        raise ClusterError(f"Cluster {cluster} belongs to {cluster.owner}; run with `become: true`.")
    directory = os.path.dirname(cluster.settings_file)
    if not os.path.isdir(directory):
        raise ClusterError(
            f"There is no directory {directory}; make it, and have postgresql.conf say \"include_dir = 'conf.d'\"."
        )
    with edit(cluster.settings_file, _LOCK_TIMEOUT) as settings, edit(cluster.access_file, _LOCK_TIMEOUT) as access:
        if access.data is None:
            raise ClusterError(f"Cluster {cluster} has no file {cluster.access_file}; put it back from a backup.")
        run = _Run(cluster, wanted, restart, _Change(settings, access, wanted))
        run.check(found)
        if check:
            run.foretell()
        else:
            run.apply()
        return run.outcome


class _File:
    """One of the two files: what it held, what it is to hold."""

    def __init__(self, edited: EditedFile, new: bytes | None) -> None:
        self.edited = edited
        self.old = edited.data
        self.new = new
        self.path = edited.path
        self.written = False
        self._times = self._stat()

    @property
    def differs(self) -> bool:
        return self.old != self.new

    def modified(self) -> float:
        """When it was last written, in seconds since the epoch; 0 where there is none."""
        return self._stat()[1] / 1e9

    def _stat(self) -> tuple[int, int]:
        with contextlib.suppress(FileNotFoundError):
            info = os.stat(self.path)
            return info.st_atime_ns, info.st_mtime_ns
        return 0, 0

    def write(self) -> None:
        if self.differs:
            self.written = True
            self._put(self.new)

    def put_back(self, keep_times: bool) -> None:
        if not self.written:
            return
        self._put(self.old)
        if keep_times and self.old is not None:
            os.utime(self.path, ns=self._times)

    def _put(self, data: bytes | None) -> None:
        if data is None:
            self.edited.remove()
        else:
            self.edited.replace(data, mode=0o644 if self.edited.mode is None else None)


class _Change:
    def __init__(self, settings: EditedFile, access: EditedFile, wanted: Wanted) -> None:
        old = access.data or b""
        text = settings.data if wanted.settings is None else settings_text(wanted.settings)
        self.settings = _File(settings, text)
        self.access = _File(access, old if wanted.rules is None else with_block(old, wanted.rules, access.path))
        self.files = (self.settings, self.access)

    @property
    def differs(self) -> bool:
        return any(one.differs for one in self.files)

    @property
    def written(self) -> bool:
        return any(one.written for one in self.files)


class _Run:
    def __init__(self, cluster: Cluster, wanted: Wanted, restart: bool, change: _Change) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._settings = dict(wanted.settings or {})
        self._may_restart = restart
        self._change = change
        self._server = cluster.settled()
        self.outcome = Outcome(
            port=self._server.port if self._server else cluster.port,
            differences=[
                (one.path, shown(one.old or b""), shown(one.new or b"")) for one in change.files if one.differs
            ],
        )

    def check(self, found: Sequence[Cluster]) -> None:
        """What can be refused before anything is touched."""
        if self._change.settings.differs:
            check_settings(self._cluster, self._settings, self._change.settings.new)
        port = int(self._settings.get("port", 0))
        if port and not (self._server and self._server.port == port):
            check_port(port, self._settings.get("listen_addresses", "localhost"), self._cluster, found)

    def foretell(self) -> None:
        """Fill the outcome with what `apply` would do, as far as this can be known."""
        outcome = self.outcome
        outcome.port = int(self._settings.get("port", outcome.port))
        outcome.host = tcp_address(self._settings.get("listen_addresses", "localhost"))
        if self._server is None:
            outcome.started = self._wanted.online
            return
        try:
            facts = self._ask()
        except PostgresqlError as error:
            if error.reason != "library":
                raise
            outcome.reloaded = self._change.differs
            return
        self._refuse_overridden(facts)
        self._refuse_rules(facts)
        outcome.reloaded = self._change.differs or any(self._stale(one, facts) for one in self._change.files)
        waiting = {one["name"] for one in facts["settings"] if one["pending"]}
        ours = set(self._ours_pending(facts))
        if self._change.settings.differs:
            named = {one["name"]: one["value"] for one in facts["settings"] if one["context"] == "postmaster"}
            after = effective_settings(self._cluster, self._change.settings.new, named)
            ours |= {name for name, value in named.items() if after[name] != value}
        outcome.restarted = bool(ours) and self._may_restart
        outcome.pending_restart = [] if outcome.restarted else sorted(waiting | ours)
        outcome.host = tcp_address(self._settings.get("listen_addresses", facts["listen_addresses"]))

    def apply(self) -> None:
        if self._server is None and not self._wanted.online:
            for one in self._change.files:
                one.write()
            return
        try:
            facts = self._start() if self._server is None else self._load()
            if self._may_restart and self._ours_pending(facts):
                facts = self._restart()
        except Exception as error:
            raise self._put_back(error) from error
        outcome = self.outcome
        outcome.pending_restart = sorted(one["name"] for one in facts["settings"] if one["pending"])
        outcome.host = tcp_address(facts["listen_addresses"])
        outcome.port = self._running().port
        if facts["encoding"] != "UTF8":
            outcome.warnings.append(
                f"Cluster {self._cluster} makes databases with encoding {facts['encoding']}, not UTF8, so that text "
                "may be refused or garbled; make a new cluster, or name one that has UTF8."
            )

    def _start(self) -> dict[str, Any]:
        for one in self._change.files:
            one.write()
        self.outcome.started = True
        self._control("start")
        facts = self._ask_after_rules()
        self._refuse_overridden(facts)
        self._refuse_rules(facts)
        return facts

    def _load(self) -> dict[str, Any]:
        settings, access = self._change.files
        facts = self._ask()
        self._refuse_overridden(facts)
        if settings.differs:
            settings.write()
            facts = self._ask()
            self._refuse_overridden(facts)
        # First the settings alone: a rule of type hostssl is right only once ssl is on.
        if self._stale(settings, facts):
            facts = self._reload(facts)
        if access.differs:
            access.write()
            facts = self._ask()
        self._refuse_rules(facts)
        if self._stale(access, facts):
            facts = self._reload(facts)
        return facts

    def _restart(self) -> dict[str, Any]:
        self.outcome.restarted = True
        self._control("restart")
        return self._ask_after_rules()

    def _control(self, action: str) -> None:
        log = LogTail(self._cluster.log_file)
        reason = control(self._cluster, action)
        if reason is None:
            # PostgreSQL goes on with the addresses that it could have.
            lost = re.findall(r'could not create listen socket for "([^"]+)"', "\n".join(log.lines()))
            if not lost:
                return
            reason = f"it cannot listen on {', '.join(lost)} ({'; '.join(log.reasons())})"
        raise ClusterError(f"Cluster {self._cluster} does not {action} as its files say: {reason}.")

    def _running(self) -> Postmaster:
        self._server = self._cluster.settled()
        if self._server is None:
            raise ClusterError(f"The server of cluster {self._cluster} has stopped; look at {self._cluster.log_file}.")
        return self._server

    def _ask(self) -> dict[str, Any]:
        """What the server has loaded, what its files say now, and what it finds wrong in them."""
        server = self._running()
        connection = connect(
            {
                "login_unix_socket": server.socket_directory,
                "login_port": server.port,
                "login_user": self._cluster.owner,
                "login_db": "postgres",
            },
            os_user=self._cluster.owner,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(_SESSION)
                cursor.execute(
                    _FACTS,
                    {"file": self._cluster.settings_file, "names": sorted({*self._settings, *self._names_on_disk()})},
                )
                ((text,),) = cursor.fetchall()
        finally:
            connection.close()
        facts: dict[str, Any] = json.loads(text)
        return facts

    def _names_on_disk(self) -> list[str]:
        return re.findall(r"^(\S+) = '", (self._change.settings.old or b"").decode("utf-8", "replace"), re.MULTILINE)

    def _ask_after_rules(self) -> dict[str, Any]:
        try:
            return self._ask()
        except PostgresqlError as error:
            if error.reason not in ("password", "refused") or not self._change.access.written:
                raise
            raise ClusterError(
                f"access_rules shut out {self._cluster.owner} on the local socket, which Debian's upkeep and this "
                f"module need; put a rule of type local, users [{self._cluster.owner}], method peer before them. "
                f"{error}"
            ) from error

    def _stale(self, one: _File, facts: Mapping[str, Any]) -> bool:
        """Whether the server has loaded something else than what the file says now."""
        if one is self._change.settings and not os.path.exists(one.path):
            return any(
                entry["file"] == self._cluster.settings_file and not entry["pending"] for entry in facts["settings"]
            )
        return bool(facts["loaded"] - _CLOCK_GRAIN < one.modified() <= time.time())

    def _reload(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        log = LogTail(self._cluster.log_file)
        server = self._running()
        # So that the next run can tell from the time stamps that it is loaded.
        time.sleep(2 * _CLOCK_GRAIN)
        self.outcome.reloaded = True
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + _LOAD_TIMEOUT
        while True:
            time.sleep(_CLOCK_GRAIN)
            # A new session has what the server itself has loaded.
            now = self._ask_after_rules()
            if now["loaded"] > facts["loaded"]:
                break
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Cluster {self._cluster} does not load its files: "
                    f"{'; '.join(log.reasons()) or 'look at ' + self._cluster.log_file}."
                )
        if any("was not reloaded" in line for line in log.lines()):
            raise ClusterError(f"Cluster {self._cluster} does not load its files: {'; '.join(log.reasons())}.")
        return now

    def _ours_pending(self, facts: Mapping[str, Any]) -> list[str]:
        return [
            one["name"]
            for one in facts["settings"]
            if one["pending"] and (one["name"] in self._settings or one["file"] == self._cluster.settings_file)
        ]

    def _refuse_overridden(self, facts: Mapping[str, Any]) -> None:
        ours = self._change.settings
        in_place = ours.edited.data == ours.new
        for name, value in self._settings.items():
            rows = [one for one in facts["files"] if one["name"] == name]
            read = any(one["file"] == self._cluster.settings_file for one in rows)
            if in_place and not read:
                raise not_included(self._cluster)
            last = rows[-1] if rows else None
            if last is None or last["file"] == self._cluster.settings_file or last["value"] == value:
                continue
            by_command = os.path.basename(last["file"]) == "postgresql.auto.conf"
            if not by_command and not read:
                continue  # Our file is not there yet, or does not have it yet.
            remedy = f'run "ALTER SYSTEM RESET {name}"' if by_command else "remove it there"
            raise ClusterError(
                f'settings: {name} is also set in {last["file"]}, line {last["line"]}, to "{last["value"]}", '
                f"which wins; {remedy}, or leave it out here."
            )
        replaced = None if in_place else self._cluster.settings_file
        for one in facts["files"]:
            # What waits for a restart is marked as an error too.
            if one["error"] and one["context"] != "postmaster" and one["file"] != replaced:
                raise ClusterError(
                    f"{one['file']}, line {one['line']}: PostgreSQL says: {one['error']}; correct that line."
                )

    def _refuse_rules(self, facts: Mapping[str, Any]) -> None:
        edited = self._change.access.edited
        in_place = edited.data == self._change.access.new
        lines = shown(edited.data or b"").splitlines()
        for one in facts["rules"]:
            number, error = one["line_number"], one["error"]
            path = one.get("file_name") or self._cluster.access_file
            if path == self._cluster.access_file and 1 < number <= len(self._wanted.rules or ()) + 1 and in_place:
                remedy = " Set ssl to true in settings, or give type host." if _SSL_IS_OFF in error else ""
                rule = f'rule {number - 1} ("{lines[number - 1]}")'
                raise ClusterError(f"access_rules, {rule}: PostgreSQL says: {error}.{remedy}")
            if _SSL_IS_OFF in error:
                self.outcome.warnings.append(f"{path}, line {number}: PostgreSQL says: {error}.")
                continue
            raise ClusterError(f"{path}, line {number}: PostgreSQL says: {error}; correct that line.")

    def _put_back(self, error: Exception) -> Exception:
        """Undo all of it; the error to raise, which says what became of the server."""
        change, outcome = self._change, self.outcome
        if not change.written:
            return error
        for one in reversed(change.files):
            one.put_back(keep_times=not (outcome.reloaded or outcome.restarted or outcome.started))
        server = self._cluster.settled()
        reason = None
        if server is None:
            reason = control(self._cluster, "start")
        elif outcome.restarted or outcome.started:
            reason = control(self._cluster, "restart")
        elif outcome.reloaded:
            os.kill(server.pid, signal.SIGHUP)
        state = "the server runs with them." if reason is None else f"the server does not start with them: {reason}."
        return ClusterError(f"{error} The files are as they were, and {state}")
