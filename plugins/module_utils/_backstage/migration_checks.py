# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether knex will let a plugin of Backstage migrate its tables, which each start does.

Private to this collection: its interface may change in any release.

Follows lib/migrations/migrate/Migrator.js of knex 3.3: `latest` takes a lock row even where nothing is to be migrated,
and rejects a table that names a migration whose file is not there. Nothing is ever unlocked here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Report
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_session import Session
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.npm_packages import NpmPackages
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import as_identifier

_TABLES = (
    "SELECT c.relname, pg_catalog.has_table_privilege(c.oid, 'SELECT') FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"
    " AND c.relname ~ 'knex_migrations(_lock)?$' AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid"
    " = c.oid AND (a.attname, c.relname ~ '_lock$') IN (('is_locked', true), ('migration_time', false))"
    " AND (a.attname = 'migration_time' OR a.atttypid = 'pg_catalog.int4'::pg_catalog.regtype)) ORDER BY 1"
)
_SESSIONS = (
    "SELECT pid, usename, coalesce(host(client_addr), 'this host'), to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'),"
    " state = 'active' FROM pg_catalog.pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'"
    " ORDER BY state = 'active' DESC NULLS LAST, backend_start LIMIT 3"
)
_LOCK = "_lock"
# A start waits for these migrations. Those of the scheduler run later, and without them its tasks do not run.
_AT_START = ("knex_migrations", "backstage_backend_public_keys__knex_migrations")
_SHOWN = 3  # names of missing files in a message


@dataclass(frozen=True)
class MigrationChecks:
    """The checks of one plugin's migrations.

    Attributes:
        report: takes the answers.
        session: in the plugin's database.
        plugin: its id.
        packages: those of the app.
    """

    report: Report
    session: Session
    plugin: str
    packages: NpmPackages

    def run(self, schema: str) -> None:
        """Look for a lock that is set, and for migrations that the installed package does not have.

        Args:
            schema: where the plugin's tables are.
        """
        for name, readable in self.session.rows(_TABLES, schema):
            if readable and name.endswith(_LOCK):
                self._require_no_lock(name[: -len(_LOCK)], schema)
            elif readable:
                self._require_files(name, schema)

    def _require_no_lock(self, name: str, schema: str) -> None:
        session = self.session
        migrations, lock = (f"{as_identifier(schema)}.{as_identifier(one)}" for one in (name, name + _LOCK))
        # A start creates the row where there is none, and has to find one row that is free, no more.
        rows, free = session.rows(f"SELECT count(*), count(*) FILTER (WHERE is_locked = 0) FROM {lock}")[0]
        if not rows or free == 1:
            return
        database = session.one("SELECT current_database()")
        effect = "Backstage does not start" if name in _AT_START else "what needs these tables does not work"
        if free:
            self._report(
                name,
                f"The table {name}{_LOCK} of {self.plugin} in {database} has {rows} rows instead of one, so that "
                f"{effect}: two that were started at the same time have created it.",
                f"Only while no Backstage runs or starts on any host: in {database}, "
                f"DELETE FROM {lock} WHERE ctid <> (SELECT min(ctid) FROM {lock}).",
            )
            return
        held = f"The migration lock {name}{_LOCK} of {self.plugin} is set in {database}, so that {effect}"
        if session.one("SELECT to_regclass(%s) IS NOT NULL", migrations):
            last = session.one(f"SELECT to_char(max(migration_time), 'YYYY-MM-DD HH24:MI:SS TZ') FROM {migrations}")
            held += f"; the last migration that ended did so at {last}" if last else ""
        others = session.rows(_SESSIONS)
        if others:
            who = "; ".join(
                f"{user} from {address} since {start}{', active' if active else ''} (pid {pid})"
                for pid, user, address, start, active in others
            )
            message = f"{held}. Connected to {database}: {who}."
            remedy = "Wait while a Backstage there migrates. If none does, stop every Backstage, and run this again."
        else:
            message = f"{held}. Nobody is connected to {database}: the start that set it was killed."
            remedy = (
                f"Only while no Backstage runs or starts on any host: in {database}, UPDATE {lock} SET is_locked = 0. "
                "A migration that was killed may be half done: back up the database first."
            )
        self._report(name, message, remedy)

    def _require_files(self, name: str, schema: str) -> None:
        files = self.packages.migrations(name, self.plugin)
        if files is None:
            return
        table = f"{as_identifier(schema)}.{as_identifier(name)}"
        run = [row[0] for row in self.session.rows(f"SELECT name FROM {table} ORDER BY migration_time DESC, id DESC")]
        missing = [one for one in run if one not in files]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            self._report(
                name,
                f"The tables of {self.plugin} are newer than its installed package, which lacks the migration "
                f"{', '.join(missing[:_SHOWN])}{more}: Backstage does not start after a downgrade.",
                "Install the newer version again, or restore a backup of the database from before the upgrade.",
            )

    def _report(self, name: str, message: str, remedy: str) -> None:
        tell = self.report.failed if name in _AT_START else self.report.warned
        tell(f"migrations_{self.plugin}", message, remedy)
