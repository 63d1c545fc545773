# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server for a restored copy of a cluster: no TCP, no archiving, its own directory, and nothing of it stays.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import connect, statement_error
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import control_data
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import MESSAGE, LogTail

_LONGEST_SOCKET = 107  # bytes (unix(7))
_SPARE = 512 * 1024 * 1024  # for the WAL that is replayed
# A standby and a recovery need at least what the server had (PostgreSQL manual, "Hot Standby"), by pg_controldata(1).
_LIMITS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}


class ScratchServer:
    """A copy of a cluster in a directory of its own.

    Args:
        cluster: the cluster, whose programs and owner run it.
        directory: absent yet, or left by a run that was killed.
    """

    def __init__(self, cluster: Cluster, directory: str) -> None:
        self._cluster = cluster
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self._log = os.path.join(directory, "log")
        self._ids = as_user(cluster.uid, cluster.gid)

    def check(self, size: int) -> None:
        """Reject a directory that cannot hold the copy.

        Args:
            size: bytes of the cluster.

        Raises:
            CollectionError: too little space, or the path is too long for a socket.
        """
        if len(os.path.join(self.directory, f".s.PGSQL.{DEFAULT_PORT}").encode()) > _LONGEST_SOCKET:
            raise CollectionError(
                f"O(test_directory): {self.directory} is too long for a socket.", "Use a shorter one."
            )
        need_space(os.path.dirname(self.directory), size + _SPARE, "O(test_directory)")

    def create(self) -> None:
        """The empty directory, as the cluster's owner."""
        self.drop()
        with acting_as(ids_of(self._cluster.uid)):
            try:
                os.mkdir(self.directory, 0o700)
                os.mkdir(self.data, 0o700)
            except OSError as error:
                raise CollectionError(
                    f"O(test_directory): {self.directory} cannot be created: {error.strerror}.",
                    f"Choose one in a directory that {self._cluster.owner} may write.",
                ) from error

    def start(self, seconds: float) -> None:
        """Start it, and wait until it has replayed the WAL and takes writes.

        Raises:
            CollectionError: it does not get there.
        """
        self._write("pg_hba.conf", f"local all {self._cluster.owner} peer\n")
        self._write("pg_ident.conf", "")
        self._write("postgresql.conf", self._settings())
        config = os.path.join(self.directory, "postgresql.conf")
        program = os.path.join(self._cluster.binaries, "pg_ctl")
        options = ["--wait", f"--timeout={int(seconds)}", f"--log={self._log}", f"--options=--config-file={config}"]
        done = run([program, "start", f"--pgdata={self.data}", *options], **self._ids)
        if done.returncode:
            raise CollectionError(f"The restored copy does not start: {self._reason() or one_line(done.stderr)}.")
        wait_until_writable(self.login, self._cluster.owner, seconds, self._runs, self._reason)

    def _runs(self) -> bool:
        return os.path.exists(os.path.join(self.data, "postmaster.pid"))

    @property
    def login(self) -> dict[str, Any]:
        """With which `connection.connect` reaches it."""
        return {
            "login_unix_socket": self.directory, "login_port": DEFAULT_PORT, "login_user": self._cluster.owner
        }  # fmt: skip

    def drop(self) -> None:
        """Stop it, and remove it with its directory."""
        if os.path.lexists(self.directory):
            program = os.path.join(self._cluster.binaries, "pg_ctl")
            run([program, "stop", f"--pgdata={self.data}", "--mode=immediate", "--wait"], **self._ids)
            # As the owner, because the path lies under directories that the owner can rearrange.
            remove_tree(self.directory, self._cluster.uid, self._cluster.gid)

    def _settings(self) -> str:
        found = control_data(self._cluster, self.data)
        values: dict[str, Any] = {name: found[label] for name, label in _LIMITS.items() if found.get(label)}
        values.update(
            data_directory=self.data,
            hba_file=os.path.join(self.directory, "pg_hba.conf"),
            ident_file=os.path.join(self.directory, "pg_ident.conf"),
            listen_addresses="",
            port=DEFAULT_PORT,
            unix_socket_directories=self.directory,
            unix_socket_permissions="0700",
            archive_mode="off",
            # Nothing of it is kept.
            fsync="off",
            autovacuum="off",
            ssl="off",
            shared_preload_libraries="",
            lc_messages="C",
        )
        return "".join(f"{name} = '{value!s}'\n" for name, value in values.items())

    def _write(self, name: str, text: str) -> None:
        with acting_as(ids_of(self._cluster.uid)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(os.path.join(self.directory, name), flags, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)

    def _reason(self) -> str:
        return last_trouble(LogTail(self._log, self._cluster.owner, 0).lines())


def last_trouble(lines: list[str]) -> str:
    """The last fatal message of a server's log; empty without one."""
    found = [match for match in map(MESSAGE.search, lines) if match and match[1] in ("FATAL", "PANIC")]
    return found[-1][2].rstrip(".") if found else ""


def wait_until_writable(
    login: dict[str, Any], os_user: str, seconds: float, runs: Callable[[], bool], reason: Callable[[], str]
) -> None:
    """Wait until a server that recovers has ended its recovery.

    Raises:
        CollectionError: it ended, or did not get there in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(CollectionError):
            if not query(login, os_user, "SELECT pg_catalog.pg_is_in_recovery()")[0][0]:
                return
        if not runs():
            raise CollectionError(f"The recovery failed: {reason() or 'the server ended'}.")
        if time.monotonic() > deadline:
            raise CollectionError(f"The recovery did not end within {seconds:g} s.", "Raise O(timeout).")
        time.sleep(0.2)


def query(login: dict[str, Any], os_user: str, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
    """The rows of one statement, outside of a transaction.

    Raises:
        CollectionError: no connection, or the statement fails.
    """
    connection = connect(login, os_user=os_user)
    import psycopg2

    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(session.OUTSIDE)
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []
    except psycopg2.Error as error:
        raise statement_error(error) from error
    finally:
        connection.close()


def need_space(directory: str, size: float, subject: str) -> None:
    """Reject a file system with too little space.

    Raises:
        CollectionError: it has less than `size` bytes.
    """
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_report import size as shown

    free = shutil.disk_usage(directory).free
    if free < size:
        raise CollectionError(
            f"{subject}: {directory} has {shown(free)} free, and {shown(size)} are needed.",
            "Free some space, or choose another place.",
        )


def remove_tree(directory: str, uid: int, gid: int) -> None:
    """Remove a directory below one that its owner can rearrange, as the owner.

    Raises:
        CollectionError: something of it stays.
    """
    done = run(["rm", "-rf", "--one-file-system", "--", directory], **as_user(uid, gid))
    if done.returncode or os.path.lexists(directory):
        raise CollectionError(f"{directory}: cannot be removed: {one_line(done.stderr)}.", "Remove it.")
