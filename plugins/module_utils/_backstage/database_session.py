# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one read-only session finds out about a server and the databases of Backstage's plugins.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Report
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import (
    Login,
    Plugin,
    Target,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.supported_versions import SUPPORTED_MAJORS
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import (
    as_identifier,
    quoted_identifier,
)

# How many connections this user may open in all, and how many others there are: all, this user's, and this user's from
# this host. What other users' sessions do is not told to everybody, but that they are there.
_CONNECTIONS = (
    "SELECT current_setting('max_connections')::int - (NOT r.rolsuper)::int *"
    " (current_setting('superuser_reserved_connections')::int"
    " + coalesce(current_setting('reserved_connections', true), '0')::int),"
    " count(a.pid)::int, r.rolconnlimit, count(a.pid) FILTER (WHERE a.usename = session_user)::int,"
    " count(a.pid) FILTER (WHERE a.usename = session_user"
    " AND a.client_addr IS NOT DISTINCT FROM inet_client_addr())::int"
    " FROM pg_catalog.pg_roles r LEFT JOIN pg_catalog.pg_stat_activity a ON a.datid IS NOT NULL"
    " AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'"
    " WHERE r.rolname = session_user GROUP BY r.rolsuper, r.rolconnlimit"
)
# The planner's estimate; null where nothing was analyzed yet (reltuples is -1, and 0 before PostgreSQL 14).
_ROWS = (
    "CASE WHEN count(c.oid) = 0 OR max(c.reltuples) >= 0 THEN coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint END"
)


class Session:
    """A read-only connection, in the role that Backstage takes on."""

    def __init__(self, report: Report, login: Login, connection: Any) -> None:
        self._report = report
        self._login = login
        self._connection = connection
        self.role = login.user

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def one(self, statement: str, *values: Any) -> Any:
        """The first value of one statement."""
        return self.rows(statement, *values)[0][0]

    def take_on(self, role: str) -> None:
        """SET ROLE, as Backstage does on every connection."""
        rows = self.rows("SELECT pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = %s", role)
        if rows and rows[0][0]:
            with self._connection.cursor() as cursor:
                cursor.execute(f"SET ROLE {quoted_identifier(role)}")
            self.role = role
        elif not any(check.name == "role" for check in self._report.checks):
            self._report.warned(
                "role",
                f"{self.role} is not a member of the role {role}, so SET ROLE fails.",
                f"GRANT {as_identifier(role)} TO {as_identifier(self.role)}.",
            )

    def missing_databases(self, plugins: Sequence[Plugin]) -> list[str]:
        """Those of the plugins' databases that are not there."""
        there = {row[0] for row in self.rows("SELECT datname FROM pg_catalog.pg_database")}
        wanted = [plugin.database for plugin in plugins if plugin.database]
        return [name for name in dict.fromkeys(wanted) if name not in there]

    def creates(self, missing: Sequence[str] = ()) -> None:
        """Whether this role may create databases, and needs to."""
        name, role = "create_database", self.role
        remedy = f"Give {role} CREATEDB, or create the databases with {role} as their owner."
        if self.one("SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
            self._report.passed(name, f"{role} may create databases.")
        elif missing:
            are = "is" if len(missing) == 1 else "are"
            self._report.failed(
                name, f"{role} may not create databases, and {' and '.join(missing)} {are} missing.", remedy
            )
        else:
            self._report.warned(
                name, f"{role} may not create databases: a new plugin needs one created for it.", remedy
            )

    def shares_public(self) -> bool:
        """Whether this role may create tables in a database that another one makes (all may, before PostgreSQL 15)."""
        superuser = self.one("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
        return bool(superuser) or self._connection.server_version < 150000

    def tables_are_usable(self, schema: str) -> bool:
        """Whether an earlier start has made its tables, and this role may use all of them."""
        rows = self.rows(
            "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
            " AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')"
            " AND has_table_privilege(c.oid, 'DELETE')"
            " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname = %s",
            schema,
        )
        return bool(rows) and all(row[0] for row in rows)

    def look_at_server(self) -> None:
        """Version, encoding, and whether the server takes changes."""
        report = self._report
        number = self._connection.server_version
        report.server_version = str(self.one("SHOW server_version")).split()[0]
        major = number // 10000
        supported = f"Backstage supports {SUPPORTED_MAJORS[0]} to {SUPPORTED_MAJORS[-1]}"
        if major in SUPPORTED_MAJORS:
            report.passed("version", f"PostgreSQL {report.server_version}; {supported}.")
        else:
            report.warned(
                "version", f"PostgreSQL {report.server_version}; {supported}.", "Move to a supported version."
            )
        encoding = self.one("SHOW server_encoding")
        if encoding == "UTF8":
            report.passed("encoding", "The encoding is UTF8.")
        else:
            report.warned(
                "encoding",
                f"The encoding is {encoding}, so names and texts outside it fail.",
                "Use a cluster with UTF8.",
            )
        if self.one("SELECT pg_is_in_recovery()"):
            report.failed(
                "standby",
                "The server is a standby, which takes no changes. Backstage writes to its database at each start.",
                "Correct host and port of backend.database.connection, or promote the standby.",
            )

    def look_at_changes(self) -> None:
        """Whether sessions of this user may change something in this database."""
        statement = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'"
        if any(check.name in ("read_only", "standby") for check in self._report.checks):
            return
        if self.one(statement) == "on":
            self._report.failed(
                "read_only",
                f"default_transaction_read_only is on for {self._login.user} in {self._login.database}, so that "
                "Backstage can change nothing there.",
                "Set it to off, in postgresql.conf or with ALTER ROLE or ALTER DATABASE.",
            )

    def look_at_connections(self, plugins: Sequence[Plugin]) -> None:
        """Whether a start, which opens one connection a plugin, gets them; and all that the pools may open."""
        limit, used, own_limit, mine, here = self.rows(_CONNECTIONS)[0]
        free = limit - used
        if own_limit >= 0:
            free = min(free, own_limit - mine)
        wanted = sum(plugin.pool for plugin in plugins)
        are = "is" if free == 1 else "are"
        text = f"{max(free, 0)} of {limit} connections {are} free"
        if plugins:
            text += f"; {len(plugins)} plugin{'s' * (len(plugins) > 1)} may open up to {wanted}"
        remedy = "Raise max_connections or the limit of the user, or lower knexConfig.pool.max of backend.database."
        # Those of a Backstage that runs on this host are free when it starts again.
        if free + here < len(plugins):
            remedy = f"End other connections, or raise max_connections or the CONNECTION LIMIT of {self._login.user}."
            self._report.failed("connections", f"{text}, and a start needs one each.", remedy)
        elif free >= wanted:
            self._report.passed("connections", f"{text}.")
        else:
            self._report.warned("connections", f"{text}.", remedy)

    def look_at_databases(self, target: Target, plugins: Sequence[Plugin]) -> list[str]:
        """The databases that are the plugins' own, or have the prefix.

        Returns:
            The ids of the plugins that have one by the prefix.
        """
        names = [plugin.database for plugin in plugins if plugin.database]
        rows = self.rows(
            "SELECT datname, pg_catalog.pg_get_userbyid(datdba), CASE WHEN has_database_privilege(datname, 'CONNECT')"
            " THEN pg_catalog.pg_database_size(oid) END FROM pg_catalog.pg_database"
            " WHERE datname = ANY(%s) OR (%s AND starts_with(datname, %s)) ORDER BY 1",
            names,
            target.mode != "schema",
            target.prefix,
        )
        self._report.databases = [
            {"name": name, "schema": None, "owner": owner, "size": size, "rows": None, "analyzed": None}
            for name, owner, size in rows
        ]
        names = [name for name, _owner, _size in rows if target.mode != "schema" and name.startswith(target.prefix)]
        return [name[len(target.prefix) :] for name in names if name != target.prefix]

    def look_at_schemas(self, target: Target) -> None:
        """The schemas of this database that plugins may have made, and the rows below."""
        if any(entry["schema"] for entry in self._report.databases):
            return
        rows = self.rows(
            "SELECT n.nspname, pg_catalog.pg_get_userbyid(n.nspowner),"
            " coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint,"
            f" {_ROWS}"
            " FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
            " AND c.relkind IN ('r', 'p') WHERE starts_with(n.nspname, %s) AND n.nspname !~ '^pg_'"
            " AND n.nspname NOT IN ('information_schema', 'public') GROUP BY 1, 2 ORDER BY 1",
            target.prefix,
        )
        self._report.databases += [
            {
                "name": self._login.database,
                "schema": name,
                "owner": owner,
                "size": size,
                "rows": count,
                "analyzed": count is not None,
            }
            for name, owner, size, count in rows
        ]

    def count_rows(self) -> None:
        """Add the planner's estimate to this database's entry."""
        for entry in self._report.databases:
            if entry["name"] == self._login.database and entry["schema"] is None:
                entry["rows"] = self.one(
                    f"SELECT {_ROWS} FROM pg_catalog.pg_class c"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
                    " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
                )
                entry["analyzed"] = entry["rows"] is not None
