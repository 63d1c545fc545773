# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create the databases that are missing, and change the owner of those that exist where that is wanted.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_changes, session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier

# Those that belong to the cluster: a template is copied into every new database, postgres is where tools log in.
RESERVED = ("postgres", "template0", "template1")
# A copy of the template, with a checkpoint before PostgreSQL 15.
CREATE_SECONDS = 300
_TRIES = 5


class Outcome(NamedTuple):
    """What was done or, in check mode, what would be done.

    Attributes:
        created: names of databases.
        owner_changed: names of databases that existed.
        before, after: the owner of each wanted database, by its name; None where it does not exist.
    """

    created: tuple[str, ...]
    owner_changed: tuple[str, ...]
    before: dict[str, str | None]
    after: dict[str, str | None]


def check(names: Sequence[str], owner: str) -> None:
    """Reject what cannot be, before a server is asked. Raises: CollectionError."""
    quoted_identifier(owner, "owner")
    for name in names:
        quoted_identifier(name, "databases")
        if name in RESERVED:
            raise CollectionError(
                f"databases: {name} is one of the cluster's own databases.", "Use a database of its own.", "option"
            )


def ensure(connection: Any, names: Sequence[str], owner: str, change_owner: bool, dry: bool = False) -> Outcome:
    """Have the databases exist.

    Args:
        connection: of `postgresql.connect`, in no transaction.
        names: have passed `check`.
        owner: of those that are created; in check mode it may be missing yet.
        change_owner: whether those that exist get the owner too.
        dry: change nothing.

    Raises:
        CollectionError: the server rejects it; databases that were created before stay.
    """
    import psycopg2

    wanted, created, changed = list(dict.fromkeys(names)), [], []
    connection.autocommit = True  # a transaction may not hold CREATE DATABASE
    try:
        with connection.cursor() as cursor:
            cursor.execute(session.OUTSIDE)
            before = _owners(cursor, wanted)
            for name in wanted:
                found = before[name]
                if found is None:
                    created.append(name)
                elif change_owner and found != owner:
                    changed.append(name)
            if not dry:
                cursor.execute(f"SET statement_timeout TO '{CREATE_SECONDS}s'")
                for name in (*created, *changed):
                    _give(cursor, name, owner, change_owner)
    except psycopg2.Error as error:
        raise postgresql.statement_error(error) from None
    after = {name: owner if name in (*created, *changed) else before[name] for name in wanted}
    return Outcome(tuple(created), tuple(changed), before, after)


def _give(cursor: Any, name: str, owner: str, change_owner: bool) -> None:
    """Create one database, or change its owner; another run may do the same at the same moment."""
    import psycopg2

    database, role = quoted_identifier(name), quoted_identifier(owner, "owner")
    for attempt in range(1, _TRIES + 1):
        found = _owners(cursor, [name])[name]
        if found == owner or (found is not None and not change_owner):
            return
        try:
            if found is None:
                cursor.execute(f"CREATE DATABASE {database} OWNER {role}")
            else:
                cursor.execute(f"ALTER DATABASE {database} OWNER TO {role}")
            return
        except psycopg2.Error as error:
            if attempt == _TRIES or not role_changes.is_collision(error):
                raise


def _owners(cursor: Any, names: Sequence[str]) -> dict[str, str | None]:
    cursor.execute(
        "SELECT datname, pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database "
        "WHERE datname = ANY (%s::pg_catalog.name[])",
        (list(names),),
    )
    found = dict(cursor.fetchall())
    return {name: found.get(name) for name in names}
