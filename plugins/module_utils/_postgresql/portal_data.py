# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a cluster in figures: rows of every table and identities of the catalog's entities, and their comparison.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import connect, statement_error
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import as_identifier

_SECONDS = 3600  # for the rows of one database
_DATABASES = """
SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname
"""
# The catalog's own tables are left out, and those whose rows no backup has.
_TABLES = """
SELECT n.nspname, c.relname,
       pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
       + pg_catalog.pg_stat_get_tuples_deleted(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""
# Backstage's catalog: what an entity's uid is stored in.
_ENTITIES = {"refresh_state": ("entity_ref", "entity_id"), "final_entities": ("entity_id",)}
_OTHER_SESSIONS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() AND datname IS NOT NULL
"""


@dataclass
class Table:
    """One table.

    Attributes:
        rows: how many it has.
        moves: rows inserted, updated and deleted so far, as the server's statistics have it.
        entities: a digest of the entities' identities; empty for other tables.
    """

    rows: int
    moves: int = 0
    entities: str = ""


@dataclass
class Snapshot:
    """The figures of one cluster: its tables by `database.schema.table`.

    Attributes:
        databases: names of its databases, those without a table too.
        quiet: whether nobody else was connected, so that nothing can have changed since.
    """

    databases: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    quiet: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Snapshot:
        tables = {name: Table(**table) for name, table in found["tables"].items()}
        return Snapshot(list(found["databases"]), tables, bool(found["quiet"]))


@dataclass
class Comparison:
    """How a copy of a cluster compares with the cluster.

    Attributes:
        databases, tables, rows, entities: what the copy has, entities by their rows in the catalog.
        moving: tables that changed meanwhile and could not be compared exactly.
        problems: sentences.
    """

    databases: int = 0
    tables: int = 0
    rows: int = 0
    entities: int = 0
    moving: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def compare(before: Snapshot, after: Snapshot, copy: Snapshot) -> Comparison:
    """Compare a copy with the cluster that it was taken of.

    Args:
        before: the cluster just before the moment that the copy shows.
        after: just after that moment; the same as `before` where nothing could change.
        copy: the copy.
    """
    made = Comparison(len(copy.databases), len(copy.tables), sum(table.rows for table in copy.tables.values()))
    missing = sorted(set(before.databases) & set(after.databases) - set(copy.databases))
    made.problems += [f"Database {name} is missing." for name in missing]
    for name, table in sorted(copy.tables.items()):
        if table.entities and name.endswith(".refresh_state"):
            made.entities += table.rows
        if name not in before.tables and name not in after.tables:
            made.problems.append(f"Table {name} is not in the cluster.")
    for name in sorted(set(before.tables) & set(after.tables)):
        if name.partition(".")[0] not in missing:
            _compare_table(name, before.tables[name], after.tables[name], copy.tables.get(name), made)
    return made


def _compare_table(name: str, before: Table, after: Table, found: Table | None, made: Comparison) -> None:
    if found is None:
        made.problems.append(f"Table {name} is missing; the cluster has {before.rows} rows in it.")
        return
    if before != after:
        made.moving.append(name)
        if not found.rows and before.rows and after.rows:
            made.problems.append(f"Table {name} is empty; the cluster has {after.rows} rows in it.")
    elif found.rows != before.rows:
        made.problems.append(f"Table {name} has {found.rows} rows; the cluster has {before.rows}.")
    elif found.entities != before.entities:
        made.problems.append(f"Table {name} has other entities than the cluster.")


def snapshot(login: Mapping[str, Any], os_user: str) -> Snapshot:
    """The figures of a running cluster.

    Args:
        login: options of `connection.connect` for its superuser, without a database.
        os_user: whom the server's socket has to know.

    Raises:
        CollectionError: no connection, or a statement fails.
    """
    with _session(login, os_user, "postgres") as cursor:
        cursor.execute(_DATABASES)
        made = Snapshot([name for (name,) in cursor.fetchall()])
        cursor.execute(_OTHER_SESSIONS)
        made.quiet = cursor.fetchone()[0] == 0
    for database in made.databases:
        with _session(login, os_user, database) as cursor:
            cursor.execute(_TABLES)
            for schema, name, moves, columns in cursor.fetchall():
                made.tables[f"{database}.{schema}.{name}"] = _table(cursor, schema, name, moves, columns)
    return made


def _table(cursor: Any, schema: str, name: str, moves: int, columns: Sequence[str]) -> Table:
    identity = _ENTITIES.get(name, ())
    digest = "''"
    if identity and set(identity) <= set(columns):
        # With the bytes of UTF-8, since two releases of a distribution may sort text in two ways.
        text = " || ' ' || ".join(f"{column}::text" for column in identity)
        digest = f"coalesce(md5(string_agg({text}, ',' ORDER BY ({text}) COLLATE pg_catalog.\"C\")), '-')"
    cursor.execute(f"SELECT count(*), {digest} FROM ONLY {as_identifier(schema)}.{as_identifier(name)}")
    rows, entities = cursor.fetchone()
    return Table(rows, moves, entities)


@contextlib.contextmanager
def _session(login: Mapping[str, Any], os_user: str, database: str) -> Iterator[Any]:
    """A cursor in one read-only transaction that sees one moment."""
    connection = connect({**login, "login_db": database}, os_user=os_user, seconds=_SECONDS + session.SESSION_SECONDS)
    import psycopg2

    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(session.BEGIN_READ_ONLY)
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(f"SET LOCAL statement_timeout TO '{_SECONDS}s'")
            yield cursor
    except psycopg2.Error as error:
        raise statement_error(error) from error
    finally:
        connection.close()


def require_same(result: Comparison, what: str) -> None:
    """Raise what a comparison found.

    Raises:
        CollectionError: it found a difference.
    """
    if result.problems:
        raise CollectionError(f"{what} differs from the cluster: {' '.join(result.problems[:10])}")
