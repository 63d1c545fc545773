# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a database user's password, expiry and flags with what is wanted, and have `role_changes` set them.

The password itself never reaches the server.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram, session
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier

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

# Those that say how a user logs in, which with an owner is the member's matter.
LOGIN_FLAGS = ("LOGIN", "NOLOGIN", "INHERIT", "NOINHERIT")
# How often a transaction is tried that loses against another session doing the same.
_TRIES = 5


class Wanted(NamedTuple):
    """The state that a database user shall be in.

    Attributes:
        name: the user.
        password: in clear, or a verifier ready for use; None: the user shall have none.
        iterations: of PBKDF2; None: as stored, but not less than the server's own setting, nor more than Backstage's
            driver takes.
        valid_until: a time in any form that the server reads, `infinity` for no end; None: as it is.
        flags: names of `FLAGS`; what is not named stays as it is.
        create: create the user, and its owner, when it is missing.
        owner: a NOLOGIN role that the user shall be a member of, and become in every session (SET ROLE). It gets the
            flags, but for those in `LOGIN_FLAGS`. Without a password: only the owner or a member of it is touched.
        member_of: roles whose rights the user shall have; those that it has beside them stay.
        default_of: the variable that nobody set, where its default is the name of the user; an existing superuser keeps
            its password then, unless the cluster is new.
    """

    name: str
    password: str | None
    iterations: int | None = None
    valid_until: str | None = None
    flags: tuple[str, ...] = ()
    create: bool = False
    owner: str | None = None
    default_of: str | None = None
    member_of: tuple[str, ...] = ()

    @property
    def own_flags(self) -> list[str]:
        return [flag for flag in self.flags if not self.owner or flag in LOGIN_FLAGS]

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


class Role(NamedTuple):
    """What the server says about the session and the user."""

    superuser_session: bool
    sampled: bool  # transactions are picked for the log, and this session may turn that off
    readable: bool
    server_iterations: int
    exists: bool
    flags: frozenset[str]
    valid_until: str | None
    valid_as_wanted: bool
    expired: bool


class Plan(NamedTuple):
    """What has to be changed."""

    password: bool  # whether a new one is set, or the old one removed
    iterations: int
    flags: list[str]
    owner: list[str]  # statements that create the owner, and make the user its member


def check(wanted: Wanted) -> None:
    """Reject what cannot be, before a server is asked. Raises: CollectionError."""
    quoted_identifier(wanted.name)
    if wanted.owner is not None:
        quoted_identifier(wanted.owner, "owner")
        if wanted.owner == wanted.name and wanted.password is not None:
            raise invalid(
                f"owner: {wanted.owner!r} is the name of the user itself.",
                "Use a role that does not log in, or leave owner out.",
            )
    for group in wanted.member_of:
        quoted_identifier(group, "member_of")
    for flag in wanted.flags:
        if flag not in FLAGS:
            raise invalid(f"role_attr_flags: unknown flag {flag!r}.", f"Use {', '.join(FLAGS)}.")
        if f"NO{flag}" in wanted.flags:
            raise invalid(f"role_attr_flags: both {flag} and NO{flag} are given.", "Use one of them.")
    if wanted.valid_until is not None and (not wanted.valid_until or "\0" in wanted.valid_until):
        raise invalid("valid_until: it is empty or holds a NUL.", "Use a time, or infinity.")
    if wanted.iterations is not None and not 1 <= wanted.iterations <= scram.MAX_ITERATIONS:
        raise invalid(
            f"iterations: {wanted.iterations} is out of range.", f"Use a number from 1 to {scram.MAX_ITERATIONS}."
        )
    if wanted.password is None:
        return
    scram.check_password(wanted.password)
    if scram.is_md5(wanted.password):
        raise invalid(
            "password: it is an md5 hash, which PostgreSQL gives up.",
            "Use the password itself or a SCRAM-SHA-256 verifier.",
        )
    if is_verifier(wanted.password):
        ready = scram.parse(wanted.password)
        if wanted.iterations not in (None, ready.iterations):
            raise invalid(
                f"iterations: {wanted.iterations} differs from the verifier's {ready.iterations}.",
                "Leave iterations out, since a verifier cannot be computed anew.",
            )


def invalid(message: str, remedy: str) -> CollectionError:
    return CollectionError(message, remedy, "option")


def is_verifier(password: str) -> bool:
    """Whether this is meant as a verifier: the server would take it for one, or it is a broken one."""
    return password.startswith(scram.PREFIX)


def node_pg_warnings(wanted: Wanted, iterations: int | None) -> list[str]:
    """What keeps the npm package pg, and so Backstage, from logging in where libpq can (see `scram`); sentences."""
    warnings = []
    if iterations and iterations > scram.NODE_PG_MAX_ITERATIONS:
        warnings.append(
            f"The verifier has {iterations} iterations, and the npm package pg, which Backstage uses, rejects more "
            f"than {scram.NODE_PG_MAX_ITERATIONS}. Set iterations to fewer."
        )
    if wanted.password and not _same_in_node_pg(wanted.password):
        warnings.append(
            "The password mixes characters that SASLprep forbids (such as emoji) with some that it changes: the npm "
            "package pg, which Backstage uses, cannot log in with it. Choose another for Backstage's database user."
        )
    return warnings


def _same_in_node_pg(password: str) -> bool:
    if password.isascii():
        return True
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import saslprep

    return saslprep.same_in_node_pg(password)


def connect(params: Mapping[str, Any], wanted: Wanted) -> tuple[Any, Mapping[str, Any]]:
    """Connect as `postgresql.connect` does; returns the connection, and the options that it was made with.

    A user that changes its own password over TCP logs in with the new one, once it is set, and until then with the old.

    Raises:
        CollectionError: no connection.
    """
    host, password = params.get("login_host") or "", params.get("login_password")
    own = params.get("login_user") == wanted.name and host and not host.startswith("/")
    if own and wanted.password and not is_verifier(wanted.password) and password != wanted.password:
        new = {**params, "login_password": wanted.password}
        try:
            return postgresql.connect(new), new
        except CollectionError as error:
            if error.reason != "password":
                raise
    return postgresql.connect(params, params.get("os_user")), params


def ensure(connection: Any, wanted: Wanted, login: Mapping[str, Any], dry: bool = False) -> Outcome:
    """Bring the user to the wanted state in one transaction, again where another session does so at the same moment.

    Args:
        connection: of `postgresql.connect`, in no transaction; it is in none afterwards.
        wanted: has passed `check`.
        login: the options the connection was made with: where pg_authid is closed, the server is asked by a login.
        dry: change nothing, in a transaction that could not.

    Raises:
        CollectionError: an unknown user, or the server rejects the change; nothing was changed.
    """
    import psycopg2

    connection.autocommit = True  # BEGIN and COMMIT are said here
    begin, rejected = session.BEGIN_READ_ONLY if dry else session.BEGIN, None
    for attempt in range(1, _TRIES + 1):
        try:
            with connection.cursor() as cursor:
                cursor.execute(begin)
                try:
                    return _ensure(cursor, wanted, login, dry)
                finally:
                    if not connection.closed and connection.info.transaction_status:
                        cursor.execute("ROLLBACK")
        except psycopg2.Error as error:
            from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_changes

            if begin == session.BEGIN and role_changes.is_read_only(error):
                begin, rejected = session.BEGIN_READ_WRITE, error
                continue
            if attempt == _TRIES or connection.closed or not role_changes.is_collision(error):
                # What a standby answers to READ WRITE is no help.
                standby = rejected if error.pgcode == "0A000" else None
                raise postgresql.statement_error(standby or error) from None
            time.sleep(0.05 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _ensure(cursor: Any, wanted: Wanted, login: Mapping[str, Any], dry: bool) -> Outcome:
    role = _role(cursor, wanted)
    if not role.exists and wanted.owner and wanted.password is None:
        return Outcome("none", None, (), {}, {}, ())  # no member of the owner, so not ours to ask for
    if not role.exists and not wanted.create:
        raise _changes().unknown(cursor, wanted.name)
    stored, kind, kept = _stored(cursor, wanted, role)
    warnings = _warnings(wanted, role)
    if wanted.owner and wanted.password is None and not _owner().belongs(cursor, wanted):
        warnings.append(
            f"{wanted.name} is neither {wanted.owner} nor an ordinary member of it, and may serve others: it keeps "
            "its password."
        )
        return Outcome(kind, kept, (), {}, {}, tuple(warnings))
    sane = kept if kept and kept <= scram.COMPUTED_ITERATIONS else 0
    iterations = wanted.iterations or min(max(role.server_iterations, sane), scram.NODE_PG_MAX_ITERATIONS)
    if kind == "unknown" and stored is None:
        reasons = _changes().login_reasons(cursor.connection, wanted, login, warnings)
    else:
        reasons = _password_reasons(wanted, stored, kind, kept, iterations)
    owned = wanted.owner and wanted.password is not None
    owner_reasons, statements = _owner().amiss(cursor, wanted) if owned else ([], [])
    if wanted.member_of:
        group_reasons, grants = _owner().groups(cursor, wanted)
        owner_reasons, statements = owner_reasons + group_reasons, statements + grants
    plan = Plan(bool(reasons), iterations, [flag for flag in wanted.own_flags if flag not in role.flags], statements)
    if role.exists:
        reasons += [f"the user is not {flag}" for flag in plan.flags]
    else:
        reasons = ["the user is missing"]
        if "NOLOGIN" not in plan.flags and "LOGIN" not in plan.flags:
            plan.flags.insert(0, "LOGIN")
    reasons += owner_reasons
    if not role.valid_as_wanted:
        reasons.append("valid_until differs")
    if plan.password and "SUPERUSER" in role.flags:
        warnings += _changes().superuser_warnings(cursor, wanted, kind)
    after_kind, after_count = (_stored_afterwards(wanted, iterations)) if plan.password else (kind, kept)
    before, after = _diff(wanted, role, plan, (kind, kept), (after_kind, after_count))
    if reasons and not dry:
        _changes().write(cursor, wanted, role, plan)
    return Outcome(after_kind, after_count, tuple(reasons), before, after, tuple(warnings))


def _changes() -> Any:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_changes

    return role_changes


def _owner() -> Any:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_owner

    return role_owner


def _stored(cursor: Any, wanted: Wanted, role: Role) -> tuple[str | None, str, int | None]:
    """The password as it is stored, in which way, and with how many iterations."""
    if not role.exists:
        return None, "none", None
    if not role.readable:
        return None, "unknown", None
    cursor.execute("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s", (wanted.name,))
    stored = cursor.fetchone()[0]
    kind = scram.kind(stored)
    return stored, kind, scram.parse(stored).iterations if kind == "scram-sha-256" else None


def _stored_afterwards(wanted: Wanted, iterations: int) -> tuple[str, int | None]:
    if wanted.password is None:
        return "none", None
    ready = is_verifier(wanted.password)
    return "scram-sha-256", scram.parse(wanted.password).iterations if ready else iterations


def _warnings(wanted: Wanted, role: Role) -> list[str]:
    warnings = []
    if role.expired and role.valid_as_wanted and wanted.password is not None:
        warnings.append(f"The password of {wanted.name} expired at {role.valid_until}: nobody can log in with it.")
    if wanted.create and "SUPERUSER" in role.flags and not {"SUPERUSER", "NOSUPERUSER"} & set(wanted.flags):
        warnings.append(
            f"{wanted.name} is an existing superuser, and so is everything that logs in with its password. Use a "
            "database user of its own, or add NOSUPERUSER to its flags."
        )
    return warnings


def _diff(
    wanted: Wanted, role: Role, plan: Plan, before: tuple[str, int | None], after: tuple[str, int | None]
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
        old["password"], new["password"] = "different", "as specified"
    return (old if role.exists else {}), new


def _role(cursor: Any, wanted: Wanted) -> Role:
    columns = [column for flag, (column, value) in FLAGS.items() if value]
    cursor.execute(
        "SELECT pg_catalog.current_setting('is_superuser') = 'on', "
        "pg_catalog.current_setting('is_superuser') = 'on' "
        "AND pg_catalog.current_setting('log_transaction_sample_rate') <> '0', "
        "pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'), "
        "pg_catalog.current_setting('scram_iterations', true), r.rolvaliduntil::pg_catalog.text, "
        "coalesce(r.rolvaliduntil, 'infinity') IS NOT DISTINCT FROM "
        "coalesce(%s::pg_catalog.timestamptz, r.rolvaliduntil, 'infinity'), r.rolvaliduntil < pg_catalog.now(), "
        f"r.rolname IS NOT NULL, {', '.join(columns)} "
        "FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_roles r ON r.rolname = %s",
        (wanted.valid_until, wanted.name),
    )
    superuser, sampled, readable, iterations, valid_until, as_wanted, expired, exists, *values = cursor.fetchone()
    has = dict(zip(columns, values))
    return Role(
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
        return [] if stored is None else ["the user has a password"]
    if stored is None:
        return ["the user has no password"]
    if is_verifier(wanted.password):
        return [] if stored == wanted.password else ["the verifier differs"]
    reasons = []
    if not scram.matches(stored, wanted.password, wanted.name):
        reasons.append("the password differs")
    if kind != "scram-sha-256":
        reasons.append(f"the password is stored as {kind}")
    elif kept != iterations:
        reasons.append(f"the iterations are {kept} instead of {iterations}")
    return reasons
