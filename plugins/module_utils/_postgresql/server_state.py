# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server has loaded, what its files say, and what it finds wrong in them.

Source: the PostgreSQL manual, chapters "pg_settings", "pg_file_settings" and "pg_hba_file_rules".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster, Postmaster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import connect, statement_error

CLOCK_GRAIN = 0.01  # seconds; a file's time stamp comes from the kernel's coarse clock
# Values of pg_settings.source that are those of one session or one user, not the server's.
SESSION_SOURCES = ("client", "database", "database user", "interactive", "session", "user")
_SESSION = f"{session.OUTSIDE}; SET lc_messages TO 'C'"
_LOADED = "SELECT extract(epoch FROM pg_catalog.pg_conf_load_time())::float8"
_OF_USERS = """(u.rolname = ANY(%(users)s)
       OR NOT u.rolsuper
       AND EXISTS (SELECT FROM pg_catalog.pg_roles r
                   WHERE r.rolname = ANY(%(roles)s) AND pg_catalog.pg_has_role(u.oid, r.oid, 'MEMBER')))"""
_UNENCRYPTED = f"""
SELECT a.usename, pg_catalog.host(a.client_addr), count(*)
FROM pg_catalog.pg_stat_activity a
JOIN pg_catalog.pg_stat_ssl s ON s.pid = a.pid
JOIN pg_catalog.pg_roles u ON u.oid = a.usesysid
WHERE a.client_addr IS NOT NULL AND (NOT s.ssl OR (%(certificates)s AND s.client_dn IS NULL))
  AND {_OF_USERS}
GROUP BY 1, 2 ORDER BY 1, 2
"""
_ADDRESSES = f"""
SELECT DISTINCT pg_catalog.host(a.client_addr)
FROM pg_catalog.pg_stat_activity a
JOIN pg_catalog.pg_roles u ON u.oid = a.usesysid
WHERE a.client_addr IS NOT NULL
  AND {_OF_USERS}
ORDER BY 1
"""
_STATE = """
SELECT json_build_object(
  'loaded', extract(epoch FROM pg_conf_load_time()),
  'in_recovery', pg_is_in_recovery(),
  'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'),
  'settings', (
    SELECT json_agg(json_build_object('name', lower(name), 'value', setting, 'context', context, 'source', source,
                                      'file', sourcefile, 'line', sourceline, 'pending', pending_restart,
                                      'shown', current_setting(name, true), 'unit', unit))
    FROM pg_settings),
  'files', (
    SELECT coalesce(json_agg(json_build_object('name', lower(f.name), 'value', f.setting, 'file', f.sourcefile,
                                               'line', f.sourceline, 'error', f.error) ORDER BY f.seqno), '[]')
    FROM pg_file_settings f
    WHERE f.sourcefile IS NOT NULL),  -- the others are those that no file sets any more
  'rules', (SELECT coalesce(json_agg(to_json(r)), '[]') FROM pg_hba_file_rules r)
)::text
"""


@dataclass(frozen=True)
class Setting:
    """One row of pg_settings: the value in force, where it comes from, and how SHOW shows it."""

    name: str
    value: str | None
    context: str
    source: str
    file: str | None
    line: int | None
    pending: bool
    shown: str | None = None
    unit: str | None = None

    @property
    def place(self) -> str:
        """Where the value comes from."""
        return f"{self.file}, line {self.line}" if self.file else self.source


@dataclass(frozen=True)
class FileSetting:
    """One line of a settings file, as the server would read it now; the last one of a name counts."""

    name: str
    value: str | None
    file: str
    line: int
    error: str | None


@dataclass(frozen=True)
class ServerState:
    """What a server reports of itself.

    Attributes:
        loaded: when it has last read its files, in seconds since the epoch.
        encoding: of the databases that it creates.
        in_recovery: whether it is a standby.
        settings: by name in lower case.
        rules: the rows of pg_hba_file_rules.
    """

    loaded: float
    encoding: str
    in_recovery: bool
    settings: Mapping[str, Setting]
    files: Sequence[FileSetting]
    rules: Sequence[Mapping[str, Any]]

    def pending(self) -> list[str]:
        """The settings whose values on disk wait for a restart, whoever wrote them."""
        return sorted(setting.name for setting in self.settings.values() if setting.pending)


@dataclass(frozen=True)
class Login:
    """As whom the server is queried, through its socket.

    Attributes:
        user: a superuser; None for the one named like the cluster's owner.
        password: where peer authentication does not do.
        database: any.
    """

    user: str | None = None
    password: str | None = None
    database: str = "postgres"


def query_state(cluster: Cluster, server: Postmaster, login: Login) -> ServerState:
    """The state of a running server.

    Raises:
        CollectionError: no connection.
    """
    with _cursor(cluster, server, login) as cursor:
        cursor.execute(_STATE)
        ((text,),) = cursor.fetchall()
    found = json.loads(text)
    return ServerState(
        loaded=float(found["loaded"]),
        encoding=found["encoding"],
        in_recovery=found["in_recovery"],
        settings={entry["name"]: Setting(**entry) for entry in found["settings"]},
        files=[FileSetting(**entry) for entry in found["files"]],
        rules=found["rules"],
    )


def query_loaded(cluster: Cluster, server: Postmaster, login: Login) -> float:
    """When a new session's server has last read its files, in seconds since the epoch."""
    with _cursor(cluster, server, login) as cursor:
        cursor.execute(_LOADED)
        ((seconds,),) = cursor.fetchall()
    return float(seconds)


def query_unencrypted(
    cluster: Cluster, server: Postmaster, login: Login, users: Sequence[str], certificates: bool
) -> list[tuple[str, str, int]]:
    """User, address and number of the connections over TCP that are not encrypted.

    Args:
        cluster, server, login: as in `query_state`.
        users: whose connections; with a plus sign before it, those of the members of a role.
        certificates: whether a connection without the client's certificate is meant as well.
    """
    with _cursor(cluster, server, login) as cursor:
        cursor.execute(_UNENCRYPTED, {**_members(users), "certificates": certificates})
        return list(cursor.fetchall())


def query_addresses(cluster: Cluster, server: Postmaster, login: Login, users: Sequence[str]) -> list[str]:
    """The addresses from which users are connected over TCP; the arguments are those of `query_unencrypted`."""
    with _cursor(cluster, server, login) as cursor:
        cursor.execute(_ADDRESSES, _members(users))
        return [address for (address,) in cursor.fetchall()]


def _members(users: Sequence[str]) -> dict[str, list[str]]:
    """The parameters of the queries for users, and for the members of roles."""
    return {"users": list(users), "roles": [name[1:] for name in users if name.startswith("+")]}


@contextlib.contextmanager
def _cursor(cluster: Cluster, server: Postmaster, login: Login) -> Iterator[Any]:
    connection = connect(
        {
            "login_unix_socket": server.socket_directory,
            "login_port": server.port,
            "login_user": login.user or cluster.owner,
            "login_password": login.password,
            "login_db": login.database,
        },
        os_user=cluster.owner,
    )
    import psycopg2

    try:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            yield cursor
    except psycopg2.Error as error:
        raise statement_error(error) from error
    finally:
        connection.close()
