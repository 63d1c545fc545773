# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what `role_password` found to be missing, and the questions that it asks only when something is unusual.

Kept apart from `role_password`, which loads it when it needs it: a run that has nothing to do shall be quick.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    role_password,
    scram,
    session,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier

# What could write a statement's text down, or show it, and the value that keeps it from doing so.
_QUIET = (
    ("log_statement", "none"),
    ("log_duration", "off"),
    ("log_min_duration_statement", "-1"),
    ("log_min_duration_sample", "-1"),
    ("log_min_error_statement", "panic"),
    ("log_parser_stats", "off"),
    ("log_planner_stats", "off"),
    ("log_executor_stats", "off"),
    ("log_statement_stats", "off"),
    ("debug_print_raw_parse", "off"),
    ("debug_print_parse", "off"),
    ("debug_print_rewritten", "off"),
    ("debug_print_plan", "off"),
    ("track_activities", "off"),
    ("pg_stat_statements.track_utility", "off"),
    ("pg_stat_monitor.pgsm_track_utility", "off"),
    ("auto_explain.log_min_duration", "-1"),
)
# Another session was first with the same change: unique_violation, duplicate_object and _database, deadlock_detected.
_COLLISIONS = ("23505", "42710", "42P04", "40P01")


def is_collision(error: Any) -> bool:
    """Whether a statement failed only because another session did the same at the same moment."""
    return error.pgcode in _COLLISIONS or "concurrently" in str(error)


def is_read_only(error: Any) -> bool:
    """Whether a statement failed because the transaction is read-only: that of a standby, or by a default."""
    return bool(error.pgcode == "25006")


def write(
    cursor: Any, wanted: role_password.Wanted, role: role_password.Role, plan: role_password.Plan, end: str = "COMMIT"
) -> None:
    """Run the statements of a plan in the present transaction, and end it."""
    name = quoted_identifier(wanted.name)
    attributes = " ".join(plan.flags)
    if not role.valid_as_wanted:
        attributes += cursor.mogrify(" VALID UNTIL %s", (wanted.valid_until,)).decode()
    _be_quiet(cursor, role)
    commit, end = end, "ROLLBACK"
    try:
        # First all that holds no secret, so that what the server rejects it rejects here: it logs such a statement.
        if not role.exists:
            cursor.execute(f"CREATE ROLE {name} WITH {attributes}")
        elif attributes:
            cursor.execute(f"ALTER ROLE {name} WITH {attributes}")
        for statement in plan.owner:
            cursor.execute(statement)
        if plan.password and (wanted.password is None or (role.exists and not role.superuser_session)):
            cursor.execute(f"ALTER ROLE {name} PASSWORD NULL")
        if plan.password and wanted.password is not None:
            ready = role_password.is_verifier(wanted.password)
            verifier = wanted.password if ready else str(scram.make(wanted.password, plan.iterations))
            if role.superuser_session or not _set_unseen(cursor, name, verifier):
                cursor.execute(f"ALTER ROLE {name} PASSWORD '{verifier}'")
        end = commit
    finally:
        if not cursor.connection.closed:
            cursor.execute(f"{end}; RESET log_transaction_sample_rate" if role.sampled else end)


def _set_unseen(cursor: Any, name: str, verifier: str) -> bool:
    """Set the verifier although this session may not turn logging off; whether it could.

    What `COPY` is fed is no statement, and log_statement and log_min_duration_statement write down what a client sends,
    not what a function runs. Left are pg_stat_statements.track = all and the debug_print_ settings.
    """
    import psycopg2

    cursor.execute("SAVEPOINT unseen")
    try:
        cursor.execute("CREATE TEMPORARY TABLE devportal_verifier (verifier pg_catalog.text) ON COMMIT DROP")
        cursor.copy_expert("COPY pg_temp.devportal_verifier FROM STDIN", io.StringIO(f"{verifier}\n"))
    except psycopg2.Error:  # no TEMPORARY on this database
        cursor.execute("ROLLBACK TO SAVEPOINT unseen")
        return False
    template = cursor.mogrify("%s", (f"ALTER ROLE {name.replace('%', '%%')} PASSWORD %L",)).decode()
    # Raised anew, an error has no CONTEXT, which would have the statement. OTHERS leaves out a cancelled one.
    body = (
        f"BEGIN EXECUTE pg_catalog.format({template}, (SELECT verifier FROM pg_temp.devportal_verifier)); "
        "EXCEPTION WHEN OTHERS OR QUERY_CANCELED THEN RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM; END"
    )
    cursor.execute("DO " + cursor.mogrify("%s", (body,)).decode())
    return True


def _be_quiet(cursor: Any, role: role_password.Role) -> None:
    """Keep the statements to come out of logs and statistics, as far as this session may (SET LOCAL)."""
    if role.sampled:
        # Whether a transaction is logged whole is settled when it begins. In one message with its COMMIT, so that a
        # pooler keeps to the server's session.
        cursor.execute(f"SET log_transaction_sample_rate = 0; {session.NEXT}")
    allowed = "context IN ('user', 'superuser')"
    if not role.superuser_session:
        allowed = "context = 'user'"
        if cursor.connection.server_version >= 150000:
            allowed += " OR context = 'superuser' AND pg_catalog.has_parameter_privilege(name, 'SET')"
    cursor.execute(
        "SELECT pg_catalog.set_config(name, quiet, true) "
        "FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[])) "
        "AS wanted(name, quiet) "
        f"JOIN pg_catalog.pg_settings USING (name) WHERE {allowed}",
        tuple(map(list, zip(*_QUIET))),
    )


def unknown(cursor: Any, name: str, option: str = "name") -> CollectionError:
    """The error for a user that does not exist, with the nearest name that does."""
    from difflib import get_close_matches

    cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname")
    known = [row[0] for row in cursor.fetchall()]
    folded = {role.lower(): role for role in reversed(known)}
    near = get_close_matches(name.lower(), folded, n=1)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return CollectionError(
        f"The database user {name!r} does not exist on this server.",
        f"Correct {option}, or set create to true.{hint}",
        "statement",
    )


def superuser_warnings(cursor: Any, wanted: role_password.Wanted, kind: str) -> list[str]:
    """Sentences about the change of an existing superuser's password.

    Args:
        cursor: in the transaction that is to change it.
        wanted: the user.
        kind: how the present password is stored, as `scram.kind` names it.

    Raises:
        CollectionError: nobody named this user, and the cluster is in use.
    """
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname <> %(name)s AND rolname !~ '^pg_') "
        "OR EXISTS (SELECT FROM pg_catalog.pg_database WHERE NOT datistemplate AND datname <> 'postgres')",
        {"name": wanted.name},
    )
    if kind == "none" and not cursor.fetchone()[0]:
        return []
    if wanted.default_of:
        raise CollectionError(
            f"{wanted.default_of}: not set, and its default {wanted.name} is the superuser of a cluster that is "
            "already in use, so that its password was not changed.",
            f"Set {wanted.default_of} to a database user of Backstage's own, such as backstage, or to {wanted.name} to "
            "change the superuser's password.",
            "option",
        )
    return [
        f"The password of the existing superuser {wanted.name} changes, and everybody who logs in with it needs the "
        "new one. A database user of Backstage's own is the better choice."
    ]


def login_reasons(
    connection: Any, wanted: role_password.Wanted, login: Mapping[str, Any], warnings: list[str]
) -> list[str]:
    """Why the password has to be set where pg_authid is closed: a login tells whether it is the one."""
    if wanted.password is None:
        warnings.append(
            f"{connection.info.user} is not allowed to read pg_authid, so it is unknown whether {wanted.name} has a "
            "password: it is removed on every run."
        )
        return ["pg_authid cannot be read"]
    if role_password.is_verifier(wanted.password):
        warnings.append(
            f"{connection.info.user} is not allowed to read pg_authid, and a verifier cannot be tried by logging in: "
            "it is set on every run. Set password to the password itself to have it compared."
        )
        return ["pg_authid cannot be read"]
    info = connection.info
    if info.user == wanted.name and info.used_password and login.get("login_password") == wanted.password:
        return []
    answer = _can_log_in(wanted, login)
    if answer:
        return []
    if answer is False:
        return ["a login with the password is rejected"]
    warnings.append(
        f"{connection.info.user} is not allowed to read pg_authid, and a login as {wanted.name} over TCP does not ask "
        "for a password or is not allowed: it is unknown whether the password is the one, so it is set on every run."
    )
    return ["pg_authid cannot be read, and a login is not conclusive"]


def _can_log_in(wanted: role_password.Wanted, login: Mapping[str, Any]) -> bool | None:
    """Whether the password is the user's; None where a login does not tell."""
    host = login.get("login_host") or "localhost"
    trial = {
        **login,
        "login_host": "localhost" if host.startswith("/") else host,
        "login_user": wanted.name,
        "login_password": wanted.password,
    }
    try:
        postgresql.connect(trial).close()
    except CollectionError as error:
        # The server looks at these only after the password.
        if error.reason in ("no_login", "no_connect"):
            return True
        return False if error.reason == "password" else None
    return True
