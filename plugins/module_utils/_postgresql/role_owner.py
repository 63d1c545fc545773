# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NOLOGIN role that owns a database user's objects, and that the user is a member of.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_changes, role_password
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier


def amiss(cursor: Any, wanted: role_password.Wanted) -> tuple[list[str], list[str]]:
    """What is wrong with the owner, a phrase each, and the statements that set it right."""
    name, owner = quoted_identifier(wanted.name), quoted_identifier(wanted.owner or "", "owner")
    flags = [flag for flag in wanted.flags if flag not in role_password.LOGIN_FLAGS]
    cursor.execute(
        f"SELECT {', '.join(role_password.FLAGS[flag][0] for flag in ('SUPERUSER', *flags))} "
        "FROM pg_catalog.pg_roles WHERE rolname = %s",
        (wanted.owner,),
    )
    found = cursor.fetchone()
    if found is None and not wanted.create:
        raise role_changes.unknown(cursor, wanted.owner or "", "owner")
    if found is None:
        reasons = [f"the owner {wanted.owner} is missing"]
        statements = [f"CREATE ROLE {owner} WITH {' '.join(['NOLOGIN', *flags])}"]
    elif found[0]:
        raise role_password.invalid(
            f"owner: {wanted.owner} is a superuser, and so would be every member of it.", "Use a role of its own."
        )
    else:
        missing = [flag for flag, value in zip(flags, found[1:]) if value is not role_password.FLAGS[flag][1]]
        reasons = [f"the owner {wanted.owner} is not {flag}" for flag in missing]
        statements = [f"ALTER ROLE {owner} WITH {' '.join(missing)}"] if missing else []
    member, becomes = membership(cursor, wanted)
    if not member:
        reasons.append(f"the user is not a member of {wanted.owner}")
        statements.append(f"GRANT {owner} TO {name}")
    if not becomes:
        # A plugin that connects by itself, without the setting `role` of app-config, creates as the owner too.
        reasons.append(f"the user's sessions do not start as {wanted.owner}")
        statements.append(f"ALTER ROLE {name} SET role TO {owner}")
    return reasons, statements


def membership(cursor: Any, wanted: role_password.Wanted) -> tuple[bool, bool]:
    """Whether the user may become its owner (SET ROLE, with the option of PostgreSQL 16), and does so at login."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.roleid "
        "WHERE m.member = r.oid AND o.rolname = %(owner)s "
        "AND coalesce((pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'set_option')::pg_catalog.bool, true)), "
        "EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0 "
        "AND pg_catalog.concat('role=', %(owner)s::pg_catalog.text) = ANY (s.setconfig)) "
        "FROM pg_catalog.pg_roles r WHERE r.rolname = %(name)s",
        {"owner": wanted.owner, "name": wanted.name},
    )
    return cursor.fetchone() or (False, False)


def groups(cursor: Any, wanted: role_password.Wanted) -> tuple[list[str], list[str]]:
    """The roles that the user is not a member of, a phrase each, and the statements that grant them."""
    cursor.execute(
        "SELECT o.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.roleid "
        "JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE r.rolname = %s",
        (wanted.name,),
    )
    has = {name for (name,) in cursor.fetchall()}
    missing = [group for group in wanted.member_of if group not in has]
    name = quoted_identifier(wanted.name)
    grants = [f"GRANT {quoted_identifier(group, 'member_of')} TO {name}" for group in missing]
    return [f"the user is not a member of {group}" for group in missing], grants


def belongs(cursor: Any, wanted: role_password.Wanted) -> bool:
    """Whether the user is the owner or a member of it, and no superuser."""
    cursor.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", (wanted.name,))
    return not cursor.fetchone()[0] and (wanted.name == wanted.owner or membership(cursor, wanted)[0])
