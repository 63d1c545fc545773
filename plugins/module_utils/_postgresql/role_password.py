# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a PostgreSQL role to a wanted password, expiry and flags, without the password ever reaching the server.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram

# The flags of CREATE ROLE (PostgreSQL manual): the column of pg_roles, and what it holds with the flag.
FLAGS = {
    prefix + name: (column, not prefix)
    for name, column in (
        ("SUPERUSER", "rolsuper"),
        ("INHERIT", "rolinherit"),
        ("CREATEROLE", "rolcreaterole"),
        ("CREATEDB", "rolcreatedb"),
        ("LOGIN", "rolcanlogin"),
        ("REPLICATION", "rolreplication"),
        ("BYPASSRLS", "rolbypassrls"),
    )
    for prefix in ("", "NO")
}

# Those that say how a role comes in, which with an owner is the member's matter.
_LOGIN_FLAGS = ("LOGIN", "NOLOGIN", "INHERIT", "NOINHERIT")

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
    # Not of that kind: a run shall not wait for ever behind a session that holds the role.
    ("lock_timeout", "30s"),
)


class Wanted(NamedTuple):
    """The state that a role shall be in.

    Attributes:
        name: the role.
        password: in clear, or a verifier ready for use; None: the role shall have none.
        iterations: of PBKDF2; None: as stored, but not less than the server's own setting.
        valid_until: a time in any form that the server reads, `infinity` for no end; None: as it is.
        flags: names of `FLAGS`; what is not named stays as it is.
        create: make the role, and its owner, when it is missing.
        owner: a role that this one shall be a member of, so that it can become it (SET ROLE). It gets the flags, but
            for those in `_LOGIN_FLAGS`. Without a password: only the owner or a member of it is touched.
    """

    name: str
    password: str | None
    iterations: int | None = None
    valid_until: str | None = None
    flags: tuple[str, ...] = ()
    create: bool = False
    owner: str | None = None

    @property
    def own_flags(self) -> list[str]:
        return [flag for flag in self.flags if not self.owner or flag in _LOGIN_FLAGS]

    def __repr__(self) -> str:
        return f"Wanted({self.name!r})"


class Outcome(NamedTuple):
    """What was done or, in check mode, what would be done.

    Attributes:
        stored: how the password is kept afterwards: `scram-sha-256`, `md5`, `none`; `unknown` where it cannot be read.
        iterations: of the verifier that is kept afterwards, where that is known.
        because: why something changes, a phrase each; empty when nothing does.
        before, after: the same for a diff, without secrets.
        warnings: sentences.
    """

    stored: str
    iterations: int | None
    because: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    warnings: tuple[str, ...]


class _Role(NamedTuple):
    superuser_session: bool
    sampled: bool  # transactions are picked for the log, and this session may turn that off
    readable: bool
    server_iterations: int
    exists: bool
    flags: frozenset[str]
    valid_until: str | None
    valid_as_wanted: bool
    expired: bool


class _Plan(NamedTuple):
    password: bool  # whether a new one is set, or the old one removed
    iterations: int
    flags: list[str]
    owner: list[str]  # statements that make the owner, and the role its member


def check(wanted: Wanted) -> None:
    """Refuse what cannot be, before a server is asked.

    Raises:
        scram.ScramError: the password, verifier or iteration count cannot be.
        postgresql.PostgresqlError: the name or the flags cannot be.
    """
    postgresql.quoted_identifier(wanted.name)
    if wanted.owner is not None:
        postgresql.quoted_identifier(wanted.owner)
        if wanted.owner == wanted.name and wanted.password is not None:
            raise postgresql.PostgresqlError(
                f"owner and name are both {wanted.name!r}; the owner is a role that nobody logs in as.", "option"
            )
    for flag in wanted.flags:
        if flag not in FLAGS:
            raise postgresql.PostgresqlError(
                f"role_attr_flags: {flag!r} is no flag of a role; take {', '.join(FLAGS)}.", "option"
            )
        if f"NO{flag}" in wanted.flags:
            raise postgresql.PostgresqlError(f"role_attr_flags has both {flag} and NO{flag}; take one.", "option")
    if wanted.valid_until is not None and (not wanted.valid_until or "\0" in wanted.valid_until):
        raise postgresql.PostgresqlError("valid_until is empty or holds a NUL; give a time, or infinity.", "option")
    if wanted.iterations is not None and not 1 <= wanted.iterations <= scram.MAX_ITERATIONS:
        raise scram.ScramError(f"iterations is {wanted.iterations}; give a number from 1 to {scram.MAX_ITERATIONS}.")
    if wanted.password is None:
        return
    scram.check_password(wanted.password)
    if scram.is_md5(wanted.password):
        raise scram.ScramError(
            "The password is an md5 hash, which PostgreSQL gives up; give the password itself or a SCRAM-SHA-256 "
            "verifier."
        )
    if is_verifier(wanted.password):
        ready = scram.parse(wanted.password)
        if wanted.iterations not in (None, ready.iterations):
            raise scram.ScramError(
                f"The verifier has {ready.iterations} iterations and iterations is {wanted.iterations}; leave "
                "iterations out, since a verifier cannot be recomputed."
            )


def is_verifier(password: str) -> bool:
    """Whether this is meant as a verifier: the server would take it for one, or it is a broken one."""
    return password.startswith(scram.PREFIX)


def node_pg_warnings(wanted: Wanted, iterations: int | None) -> list[str]:
    """What keeps the npm package pg, and so Backstage, from logging in where libpq can (see `scram`); sentences."""
    warnings = []
    if iterations and iterations > scram.NODE_PG_MAX_ITERATIONS:
        warnings.append(
            f"The verifier has {iterations} iterations, and the npm package pg, which Backstage uses, refuses more "
            f"than {scram.NODE_PG_MAX_ITERATIONS}: set iterations."
        )
    if wanted.password and not scram.same_in_node_pg(wanted.password):
        warnings.append(
            "The password mixes characters that SASLprep forbids (such as emoji) with some that it changes: the npm "
            "package pg, which Backstage uses, cannot log in with it. Choose another for Backstage's own role."
        )
    return warnings


def connect(params: Mapping[str, Any], wanted: Wanted) -> tuple[Any, Mapping[str, Any]]:
    """Connect as `postgresql.connect` does; returns the connection, and the options that it was made with.

    A role that changes its own password over TCP is let in by the new one, once it is set, and until then by the old.

    Raises:
        postgresql.PostgresqlError: no connection.
    """
    host, password = params.get("login_host") or "", params.get("login_password")
    own = params.get("login_user") == wanted.name and host and not host.startswith("/")
    if own and wanted.password and not is_verifier(wanted.password) and password != wanted.password:
        new = {**params, "login_password": wanted.password}
        try:
            return postgresql.connect(new), new
        except postgresql.PostgresqlError as error:
            if error.reason != "password":
                raise
    return postgresql.connect(params, params.get("os_user")), params


def ensure(connection: Any, wanted: Wanted, login: Mapping[str, Any], dry: bool = False) -> Outcome:
    """Bring the role to the wanted state in one transaction.

    Args:
        connection: of `postgresql.connect`, in no transaction; it is in none afterwards.
        wanted: has passed `check`.
        login: the options the connection was made with: where pg_authid is closed, the server is asked by a login.
        dry: change nothing, in a transaction that could not.

    Raises:
        postgresql.PostgresqlError: an unknown role, or the server refuses; nothing was changed.
    """
    import psycopg2

    connection.autocommit = True  # BEGIN and COMMIT are said here
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN READ ONLY" if dry else "BEGIN")
            try:
                return _ensure(cursor, wanted, login, dry)
            finally:
                if not connection.closed and connection.info.transaction_status:
                    cursor.execute("ROLLBACK")
    except psycopg2.Error as error:
        raise postgresql.statement_error(error) from None


def _ensure(cursor: Any, wanted: Wanted, login: Mapping[str, Any], dry: bool) -> Outcome:
    role = _role(cursor, wanted)
    if not role.exists and wanted.owner and wanted.password is None:
        return Outcome("none", None, (), {}, {}, ())  # no member of the owner, so not ours to ask for
    if not role.exists and not wanted.create:
        raise postgresql.PostgresqlError(_unknown(cursor, wanted.name), "statement")
    stored, kind, kept = None, "none", None
    if role.exists and role.readable:
        cursor.execute("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s", (wanted.name,))
        stored = cursor.fetchone()[0]
        kind = scram.kind(stored)
        kept = scram.parse(stored).iterations if kind == "scram-sha-256" else None
    elif role.exists:
        kind = "unknown"

    warnings: list[str] = []
    if wanted.owner and wanted.password is None and not _belongs(cursor, wanted):
        warnings.append(
            f"{wanted.name} is not {wanted.owner} nor an ordinary member of it, and may serve others too: it keeps "
            "its password."
        )
        return Outcome(kind, kept, (), {}, {}, tuple(warnings))
    iterations = wanted.iterations or max(role.server_iterations, kept or 0)
    if kind == "unknown" and stored is None:
        reasons = _asked_reasons(cursor.connection, wanted, login, warnings)
    else:
        reasons = _password_reasons(wanted, stored, kind, kept, iterations)
    owner_reasons, statements = _ownership(cursor, wanted) if wanted.password is not None else ([], [])
    plan = _Plan(bool(reasons), iterations, [flag for flag in wanted.own_flags if flag not in role.flags], statements)
    if role.exists:
        reasons += [f"the role is not {flag}" for flag in plan.flags]
    else:
        reasons = ["the role is missing"]
        if "NOLOGIN" not in plan.flags and "LOGIN" not in plan.flags:
            plan.flags.insert(0, "LOGIN")
    reasons += owner_reasons
    if not role.valid_as_wanted:
        reasons.append("valid_until is another")
    if role.expired and role.valid_as_wanted and wanted.password is not None:
        warnings.append(f"The password of {wanted.name} expired at {role.valid_until}: nobody can log in with it.")

    if plan.password:
        after_kind, after_count = "none", None
        if wanted.password is not None:
            ready = is_verifier(wanted.password)
            after_kind = "scram-sha-256"
            after_count = scram.parse(wanted.password).iterations if ready else iterations
    else:
        after_kind, after_count = kind, kept
    before, after = _diff(wanted, role, plan, (kind, kept), (after_kind, after_count))
    if reasons and not dry:
        _write(cursor, wanted, role, plan)
    return Outcome(after_kind, after_count, tuple(reasons), before, after, tuple(warnings))


def _diff(
    wanted: Wanted, role: _Role, plan: _Plan, before: tuple[str, int | None], after: tuple[str, int | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    opposite = {flag[2:] if flag[:2] == "NO" else f"NO{flag}" for flag in plan.flags}
    old = {"stored": before[0], "iterations": before[1], "valid_until": role.valid_until, "flags": sorted(role.flags)}
    new = {
        "stored": after[0],
        "iterations": after[1],
        "valid_until": role.valid_until if role.valid_as_wanted else wanted.valid_until,
        "flags": sorted((role.flags - opposite).union(plan.flags)),
    }
    if plan.password and before == after:
        old["password"], new["password"] = "another", "as wanted"
    return (old if role.exists else {}), new


def _ownership(cursor: Any, wanted: Wanted) -> tuple[list[str], list[str]]:
    """What is amiss with the owner, a phrase each, and the statements that set it right."""
    if wanted.owner is None:
        return [], []
    name, owner = (postgresql.quoted_identifier(role) for role in (wanted.name, wanted.owner))
    flags = [flag for flag in wanted.flags if flag not in _LOGIN_FLAGS]
    cursor.execute(
        f"SELECT {', '.join(FLAGS[flag][0] for flag in ('SUPERUSER', *flags))} "
        "FROM pg_catalog.pg_roles WHERE rolname = %s",
        (wanted.owner,),
    )
    found = cursor.fetchone()
    if found is None and not wanted.create:
        raise postgresql.PostgresqlError(_unknown(cursor, wanted.owner, "owner"), "statement")
    if found is None:
        reasons = [f"the owner {wanted.owner} is missing"]
        statements = [f"CREATE ROLE {owner} WITH {' '.join(['NOLOGIN', *flags])}"]
    elif found[0]:
        raise postgresql.PostgresqlError(
            f"owner: {wanted.owner} is a superuser, and so would be whoever may become it; name a role of its own.",
            "option",
        )
    else:
        missing = [flag for flag, value in zip(flags, found[1:]) if value is not FLAGS[flag][1]]
        reasons = [f"the owner {wanted.owner} is not {flag}" for flag in missing]
        statements = [f"ALTER ROLE {owner} WITH {' '.join(missing)}"] if missing else []
    if not _is_member(cursor, wanted):
        reasons.append(f"the role is not a member of {wanted.owner}")
        statements.append(f"GRANT {owner} TO {name}")
    return reasons, statements


def _is_member(cursor: Any, wanted: Wanted) -> bool:
    """Whether the role was granted its owner, with the right to SET ROLE (an option of PostgreSQL 16 and later)."""
    cursor.execute(
        "SELECT true FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.roleid "
        "JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE o.rolname = %s AND r.rolname = %s "
        "AND coalesce((to_jsonb(m)->>'set_option')::boolean, true)",
        (wanted.owner, wanted.name),
    )
    return cursor.fetchone() is not None


def _belongs(cursor: Any, wanted: Wanted) -> bool:
    """Whether the role is the owner or a member of it, and no superuser."""
    cursor.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", (wanted.name,))
    return not cursor.fetchone()[0] and (wanted.name == wanted.owner or _is_member(cursor, wanted))


def _role(cursor: Any, wanted: Wanted) -> _Role:
    columns = [column for flag, (column, value) in FLAGS.items() if value]
    cursor.execute(
        # The search path first: what follows shall mean pg_catalog's functions, whatever the database is set to.
        "SET LOCAL search_path TO pg_catalog; SELECT current_setting('is_superuser') = 'on', "
        "current_setting('is_superuser') = 'on' AND current_setting('log_transaction_sample_rate') <> '0', "
        "has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'), "
        "current_setting('scram_iterations', true), r.rolvaliduntil::text, "
        "coalesce(r.rolvaliduntil, 'infinity') IS NOT DISTINCT FROM "
        "coalesce(%s::timestamptz, r.rolvaliduntil, 'infinity'), r.rolvaliduntil < now(), "
        f"r.rolname IS NOT NULL, {', '.join(columns)} "
        "FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_roles r ON r.rolname = %s",
        (wanted.valid_until, wanted.name),
    )
    superuser, sampled, readable, iterations, valid_until, as_wanted, expired, exists, *values = cursor.fetchone()
    has = dict(zip(columns, values))
    return _Role(
        superuser_session=superuser,
        sampled=sampled,
        readable=readable,
        server_iterations=int(iterations or scram.DEFAULT_ITERATIONS),  # the setting came with PostgreSQL 16
        exists=exists,
        flags=frozenset(flag for flag, (column, value) in FLAGS.items() if exists and has[column] is value),
        valid_until=valid_until,
        valid_as_wanted=as_wanted,
        expired=bool(expired),
    )


def _password_reasons(wanted: Wanted, stored: str | None, kind: str, kept: int | None, iterations: int) -> list[str]:
    if wanted.password is None:
        return [] if stored is None else ["the role has a password"]
    if stored is None:
        return ["the role has no password"]
    if is_verifier(wanted.password):
        return [] if stored == wanted.password else ["the verifier is another"]
    reasons = []
    if not scram.matches(stored, wanted.password, wanted.name):
        reasons.append("the password is another")
    if kind != "scram-sha-256":
        reasons.append(f"the password is stored as {kind}")
    elif kept != iterations:
        reasons.append(f"the iterations are {kept} and not {iterations}")
    return reasons


def _asked_reasons(connection: Any, wanted: Wanted, login: Mapping[str, Any], warnings: list[str]) -> list[str]:
    """The same where pg_authid is closed: a login tells whether the password is the one."""
    if wanted.password is None:
        warnings.append(
            f"{connection.info.user} may not read pg_authid, so whether {wanted.name} has a password is not known: "
            "it is removed on every run."
        )
        return ["pg_authid cannot be read"]
    if is_verifier(wanted.password):
        warnings.append(
            f"{connection.info.user} may not read pg_authid, and a verifier cannot be tried by logging in: it is set "
            "on every run. Give the password itself to have it compared."
        )
        return ["pg_authid cannot be read"]
    info = connection.info
    if info.user == wanted.name and info.used_password and login.get("login_password") == wanted.password:
        return []
    answer = _can_log_in(wanted, login)
    if answer:
        return []
    if answer is False:
        return ["a login with the password is refused"]
    warnings.append(
        f"{connection.info.user} may not read pg_authid, and a login as {wanted.name} over TCP does not ask for a "
        "password or is not let through: whether the password is the one is not known, so it is set on every run."
    )
    return ["pg_authid cannot be read, and a login does not tell"]


def _can_log_in(wanted: Wanted, login: Mapping[str, Any]) -> bool | None:
    """Whether the password is the role's; None where a login does not tell."""
    host = login.get("login_host") or "localhost"
    trial = {
        **login,
        "login_host": "localhost" if host.startswith("/") else host,
        "login_user": wanted.name,
        "login_password": wanted.password,
    }
    try:
        connection = postgresql.connect(trial)
    except postgresql.PostgresqlError as error:
        # The server looks at these only after the password.
        if error.reason in ("no_login", "no_connect"):
            return True
        return False if error.reason == "password" else None
    asked = bool(connection.info.used_password)
    connection.close()
    return True if asked else None


def _write(cursor: Any, wanted: Wanted, role: _Role, plan: _Plan) -> None:
    name = postgresql.quoted_identifier(wanted.name)
    attributes = " ".join(plan.flags)
    if not role.valid_as_wanted:
        attributes += cursor.mogrify(" VALID UNTIL %s", (wanted.valid_until,)).decode()
    _be_quiet(cursor, role)
    end = "ROLLBACK"
    try:
        # First all that holds no secret, so that what the server refuses it refuses here: it logs a refused statement.
        if not role.exists:
            cursor.execute(f"CREATE ROLE {name} WITH {attributes}")
        elif attributes:
            cursor.execute(f"ALTER ROLE {name} WITH {attributes}")
        for statement in plan.owner:
            cursor.execute(statement)
        if plan.password and (wanted.password is None or (role.exists and not role.superuser_session)):
            cursor.execute(f"ALTER ROLE {name} PASSWORD NULL")
        if plan.password and wanted.password is not None:
            ready = is_verifier(wanted.password)
            verifier = wanted.password if ready else str(scram.make(wanted.password, plan.iterations))
            if role.superuser_session or not _set_unseen(cursor, name, verifier):
                cursor.execute(f"ALTER ROLE {name} PASSWORD '{verifier}'")
        end = "COMMIT"
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
        cursor.execute("CREATE TEMPORARY TABLE devportal_verifier (verifier text) ON COMMIT DROP")
        cursor.copy_expert("COPY pg_temp.devportal_verifier FROM STDIN", io.StringIO(f"{verifier}\n"))
    except psycopg2.Error:  # no TEMPORARY on this database
        cursor.execute("ROLLBACK TO SAVEPOINT unseen")
        return False
    template = cursor.mogrify("%s", (f"ALTER ROLE {name.replace('%', '%%')} PASSWORD %L",)).decode()
    # Raised anew, an error has no CONTEXT, which would have the statement. OTHERS leaves out a cancelled one.
    body = (
        f"BEGIN EXECUTE format({template}, (SELECT verifier FROM pg_temp.devportal_verifier)); "
        "EXCEPTION WHEN OTHERS OR QUERY_CANCELED THEN RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM; END"
    )
    cursor.execute("DO " + cursor.mogrify("%s", (body,)).decode())
    return True


def _be_quiet(cursor: Any, role: _Role) -> None:
    """Keep the statements to come out of logs and statistics, as far as this session may (SET LOCAL)."""
    if role.sampled:
        # Whether a transaction is logged whole is settled when it begins. In one message with its COMMIT and BEGIN, so
        # that a pooler keeps to the server's session.
        cursor.execute("SET log_transaction_sample_rate = 0; COMMIT; BEGIN")
    allowed = "context IN ('user', 'superuser')"
    if not role.superuser_session:
        allowed = "context = 'user'"
        if cursor.connection.server_version >= 150000:
            allowed += " OR context = 'superuser' AND has_parameter_privilege(name, 'SET')"
    cursor.execute(
        "SET LOCAL search_path TO pg_catalog; SELECT set_config(name, quiet, true) "
        f"FROM unnest(%s::text[], %s::text[]) AS wanted(name, quiet) JOIN pg_settings USING (name) WHERE {allowed}",
        tuple(map(list, zip(*_QUIET))),
    )


def _unknown(cursor: Any, name: str, option: str = "name") -> str:
    from difflib import get_close_matches

    cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname")
    known = [row[0] for row in cursor.fetchall()]
    folded = {role.lower(): role for role in reversed(known)}
    near = get_close_matches(name.lower(), folded, n=1)
    hint = f" Is {folded[near[0]]!r} meant?" if near else ""
    return f"There is no role {name!r} on this server; correct {option}, or set create: true.{hint}"
