# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drop the databases of an owner, and database users, after a look at everything that would prevent it.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier

# A checkpoint and the removal of the files.
DROP_SECONDS = 300


class Removed(NamedTuple):
    """What was dropped; in check mode, what would be."""

    databases: tuple[str, ...]
    users: tuple[str, ...]


def remove(
    connection: Any, owner: str, names: Sequence[str] | None, users: Sequence[str], dry: bool = False
) -> Removed:
    """Drop databases and users that exist.

    Args:
        connection: of `connection.connect`, in no transaction.
        owner: of the databases; it may be missing.
        names: the databases, which have passed `databases.check`; None: all databases of the owner.
        users: database users to drop, after the databases.
        dry: change nothing.

    Raises:
        CollectionError: something stands in the way; nothing was dropped, unless it appeared at the same moment.
    """
    import psycopg2

    connection.autocommit = True  # a transaction may not hold DROP DATABASE
    try:
        with connection.cursor() as cursor:
            cursor.execute(session.OUTSIDE)
            found = _existing_users(cursor, [owner, *users])
            databases = _databases(cursor, owner, names)
            _check_sessions(cursor, databases)
            dropped = tuple(user for user in dict.fromkeys(users) if user in found)
            _check_dependencies(cursor, dropped, databases)
            if not dry:
                cursor.execute(f"SET statement_timeout TO '{DROP_SECONDS}s'")
                for name in databases:
                    cursor.execute(f"DROP DATABASE IF EXISTS {quoted_identifier(name)}")
                if dropped:
                    # One statement, because a user and the owner that it is a member of can depend on each other.
                    cursor.execute("DROP ROLE IF EXISTS " + ", ".join(map(quoted_identifier, dropped)))
    except psycopg2.Error as error:
        raise postgresql.statement_error(error) from None
    return Removed(databases, dropped)


def _existing_users(cursor: Any, names: Sequence[str]) -> set[str]:
    cursor.execute(
        "SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = ANY (%s::pg_catalog.name[])", (list(names),)
    )
    found = dict(cursor.fetchall())
    for name in sorted(name for name, superuser in found.items() if superuser):
        raise CollectionError(
            f"The database user {name} is a superuser, who may own what others need.",
            "Drop such a user and its databases by hand.",
            "option",
        )
    return set(found)


def _databases(cursor: Any, owner: str, names: Sequence[str] | None) -> tuple[str, ...]:
    cursor.execute(
        "SELECT datname, pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database "
        "WHERE CASE WHEN %(names)s::pg_catalog.name[] IS NULL "
        "THEN pg_catalog.pg_get_userbyid(datdba) = %(owner)s AND NOT datistemplate "
        "ELSE datname = ANY (%(names)s::pg_catalog.name[]) END ORDER BY datname",
        {"names": None if names is None else list(names), "owner": owner},
    )
    found = dict(cursor.fetchall())
    for name, actual in found.items():
        if actual != owner:
            raise CollectionError(
                f"databases: {name} belongs to {actual}, not to {owner}.", "Remove it from the list.", "option"
            )
    return tuple(found)


def _check_sessions(cursor: Any, databases: Sequence[str]) -> None:
    cursor.execute(
        "SELECT datname, usename, pg_catalog.count(*) FROM pg_catalog.pg_stat_activity "
        "WHERE datname = ANY (%s::pg_catalog.name[]) AND backend_type = 'client backend' "
        "GROUP BY datname, usename ORDER BY datname, usename LIMIT 1",
        (list(databases),),
    )
    used = cursor.fetchone()
    if used:
        database, user, count = used
        raise CollectionError(
            f"The database {database} is in use: {count} session{'s' if count > 1 else ''} of {user}.",
            "Stop Backstage, and run again.",
            "in_use",
        )


def _check_dependencies(cursor: Any, users: Sequence[str], databases: Sequence[str]) -> None:
    """Reject users that own something, or have rights on something, that is not dropped with them."""
    cursor.execute(
        "SELECT r.rolname, s.deptype = 'o', coalesce(d.datname, o.datname) FROM pg_catalog.pg_shdepend s "
        "JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid "
        "AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass "
        "LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid "
        "LEFT JOIN pg_catalog.pg_database o ON o.oid = s.objid "
        "AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass "
        "WHERE r.rolname = ANY (%s::pg_catalog.name[]) "
        "AND s.classid <> 'pg_catalog.pg_auth_members'::pg_catalog.regclass "
        "AND NOT coalesce(coalesce(d.datname, o.datname) = ANY (%s::pg_catalog.name[]), false) "
        "ORDER BY s.deptype = 'o' DESC, 1, 3 LIMIT 1",
        (list(users), list(databases)),
    )
    row = cursor.fetchone()
    if not row:
        return
    user, owns, database = row
    what = "owns objects" if owns else "has rights"
    where = f"in the database {database}" if database else "outside of databases"
    raise CollectionError(
        f"The database user {user} {what} {where}, which stays.",
        f"Drop or reassign them (DROP OWNED BY or REASSIGN OWNED BY in {database or 'the database postgres'}), and run "
        "again.",
        "depends",
    )
