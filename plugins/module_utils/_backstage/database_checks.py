# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a database that Backstage makes at its start, in its order, without changing anything.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Report, Stop
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import ConfigLoaderError
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_session import Session
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import (
    ADMIN_DATABASE,
    Login,
    Plugin,
    Target,
    TargetError,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.login_check import (
    check_iterations,
    login_failed,
    login_options,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.migration_checks import MigrationChecks
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.npm_packages import NpmPackages
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.tls_check import check_tls
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import statement_error
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import as_identifier
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.session import read_only

Connect = Callable[[dict[str, Any]], Any]


def check_login(login: Login, connect: Connect, options: Mapping[str, Any]) -> Report:
    """Log in and look at the server, for a database whose app is not known.

    Args:
        login: whom to log in as.
        connect: opens a connection; takes the connection options of module_utils/_postgresql/connection.py.
        options: those that go over what follows from `login`.
    """
    walk = _Walk(connect, options=options)
    with contextlib.suppress(Stop), walk.session(login) as session:
        session.creates()
    return walk.report


def check_target(target: Target, plugins: Sequence[str], connect: Connect, packages: NpmPackages) -> Report:
    """Go the way of a backend that starts with these plugins.

    Args:
        target: what its configuration says.
        plugins: ids of the plugins that use a database.
        connect: opens a connection; takes the connection options of module_utils/_postgresql/connection.py.
        packages: the app's npm packages.
    """
    report = Report()
    try:
        wanted = [target.plugin(plugin) for plugin in plugins]
        for client in dict.fromkeys(plugin.client for plugin in wanted if plugin.client != "pg"):
            _other_client(report, client, target.mode, packages)
        on_postgresql = [plugin for plugin in wanted if plugin.client == "pg"]
        if on_postgresql:
            if packages.has_client("pg") is False:
                report.failed(
                    "client",
                    "The npm package pg is not installed in the app, so knex cannot use PostgreSQL.",
                    "Install it in packages/backend: yarn workspace backend add pg",
                )
            _Walk(connect, target, on_postgresql, report, packages=packages).through()
    except ConfigLoaderError as error:
        report.failed("configuration", str(error), "Correct the configuration.")
    except TargetError as error:
        if error.known:
            report.failed(error.reason, error.message, error.remedy)
        else:
            report.unknown(error.reason, error.message, error.remedy)
    except Stop:
        pass
    return report


def _other_client(report: Report, client: str, mode: str, packages: NpmPackages) -> None:
    if client in ("mysql", "mysql2"):
        report.unknown("client", f"The client is {client}, which is not checked here.", "Use pg for PostgreSQL.")
        return
    if mode == "schema":
        report.failed("client", f"The client is {client}, which knows no schemas.", "Remove pluginDivisionMode.")
        return
    if packages.has_client(client) is False:
        report.failed(
            "client",
            f"The client is {client}, and its npm package is not installed in the app.",
            f"Use pg for PostgreSQL, or install the package {client}.",
        )
        return
    report.warned(
        "client",
        f"The client is {client}: the data is not in PostgreSQL, and with ':memory:' it is gone at each restart.",
        "Use pg for PostgreSQL.",
    )


class _Walk:
    """The connections of a backend at its start, one after the other."""

    def __init__(
        self,
        connect: Connect,
        target: Target | None = None,
        plugins: Sequence[Plugin] = (),
        report: Report | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        packages: NpmPackages | None = None,
    ) -> None:
        self.report = report or Report()
        self._connect = connect
        self._target = target
        self._plugins = list(plugins)
        self._options = options or {}
        self._packages = packages or NpmPackages(None)
        self._users: set[str] = set()

    def through(self) -> None:
        """All of them: for the databases, for the schemas, for each plugin."""
        target, plugins = self._app, self._plugins
        first = target.plugin_login(plugins[0])
        self.report.passed("configuration", f"Backstage uses {first.url} ({target.mode} mode).")
        missing: list[str] = []
        ensured = [plugin for plugin in plugins if plugin.ensure_database]
        if ensured:
            with self.session(target.admin_login()) as session:
                missing = session.missing_databases(ensured)
                session.creates(missing)
                if missing:
                    session.look_at_changes()
        made = [plugin for plugin in plugins if plugin.ensure_schema]
        if made:
            self._schemas(target.schema_login(), missing)
        for plugin in plugins:
            login = target.plugin_login(plugin)
            if plugin.database in missing and login.same_server(target.admin_login()):
                self._plugin_to_be(plugin, login, target.admin_login())
            else:
                self._plugin(plugin, login)

    def _add_plugins(self, ids: Sequence[str]) -> None:
        """Count those plugins, too, that have a database from an earlier start, and are still installed."""
        known = {plugin.id for plugin in self._plugins}
        for one in ids:
            if one not in known and (not self._packages.found or one in self._packages.plugins):
                plugin = self._app.plugin(one)
                if plugin.client == "pg":
                    self._plugins.append(plugin)

    @property
    def _app(self) -> Target:
        if self._target is None:
            raise TypeError("this walk has no app")
        return self._target

    def _schemas(self, login: Login, missing: list[str]) -> None:
        if login.database in missing:
            self.report.passed("create_schema", f"The database {login.database} is missing; Backstage creates it.")
            return
        with self.session(login) as session:
            if session.one("SELECT has_database_privilege(current_database(), 'CREATE')"):
                self.report.passed("create_schema", f"{session.role} may create schemas in {login.database}.")
                return
            self.report.failed(
                "create_schema",
                f"{session.role} may not create schemas in {login.database}, which Backstage asks for at every start.",
                f"GRANT CREATE ON DATABASE {as_identifier(login.database)} TO {as_identifier(session.role)}.",
            )
        raise Stop

    def _plugin(self, plugin: Plugin, login: Login) -> None:
        schema = plugin.schema or "public"
        with self.session(login) as session:
            if plugin.schema:
                session.look_at_schemas(self._app)
            if session.one("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", schema):
                self._rights(plugin, session, schema, login.database)
                if plugin.migrates:
                    MigrationChecks(self.report, session, plugin.id, self._packages).run(schema)
            elif plugin.ensure_schema:
                self.report.passed(
                    f"plugin_{plugin.id}", f"{login.database}, schema {schema} is missing; Backstage creates it."
                )
            else:
                self.report.failed(
                    f"plugin_{plugin.id}",
                    f"{login.database}, schema {schema} is missing, and Backstage does not create it.",
                    f"Create it with {session.role} as its owner"
                    + (", or set ensureSchemaExists to true." if plugin.schema else "."),
                )

    def _rights(self, plugin: Plugin, session: Session, schema: str, database: str) -> None:
        name, where = f"plugin_{plugin.id}", f"{database}, schema {schema}"
        allowed = "SELECT has_schema_privilege(%s, 'CREATE') AND has_schema_privilege(%s, 'USAGE')"
        if session.one(allowed, schema, schema):
            self.report.passed(name, f"{session.role} may create tables in {where}.")
        elif session.tables_are_usable(schema):
            self.report.warned(
                name,
                f"{session.role} may not create tables in {where}: those of today work, "
                "but an update of Backstage that brings new ones fails.",
                _grant(session.role, schema, database),
            )
        else:
            self.report.failed(
                name,
                f"{session.role} may not create tables in {where}"
                + ("." if plugin.schema else "; since PostgreSQL 15 only the database's owner may."),
                _grant(session.role, schema, database),
            )

    def _plugin_to_be(self, plugin: Plugin, login: Login, maker: Login) -> None:
        """A plugin whose database `maker` makes first."""
        if (login.user, login.password) == (maker.user, maker.password):
            return
        with self.session(replace(login, database=maker.database)) as session:
            if login.user == maker.user or session.shares_public():
                return
            self.report.failed(
                f"plugin_{plugin.id}",
                f"{plugin.database} is missing; {maker.user} creates it, and {login.user} may not create tables there.",
                f"Create the database {plugin.database} with {login.user} as its owner.",
            )
        raise Stop

    def _log_in(self, options: dict[str, Any]) -> Any:
        """Connect, and report a server that does not ask for the password: the login proves nothing then."""
        try:
            return self._connect(options)
        except CollectionError as error:
            if error.reason != "method_none":
                raise
            connection = self._connect({**options, "require_auth": ""})
            if not any(check.name == "password" for check in self.report.checks):
                self.report.warned("password", error.message.replace("; it did not get it", ""), error.remedy)
            return connection

    @contextlib.contextmanager
    def session(self, login: Login) -> Iterator[Session]:
        """Log in as Backstage would; what fails goes into the report, and `Stop` is raised."""
        report = self.report
        agreed = check_tls(report, login)
        try:
            connection = self._log_in({**login_options(login), **self._options})
        except CollectionError as error:
            login_failed(report, login, self._target, error)
            raise Stop from error
        try:
            read_only(connection)
            if self._target and login.user not in self._users:
                self._users.add(login.user)
                check_iterations(report, login)
            session = Session(report, login, connection)
            if report.server_version is None:
                if agreed:
                    report.passed("tls", agreed)
                report.passed("login", f"{login.user} logs in at {login.host} port {login.port}.")
                session.look_at_server()
                if self._target:
                    self._add_plugins(session.look_at_databases(self._target, self._plugins))
                session.look_at_connections(self._plugins)
            if not self._target or login.database != ADMIN_DATABASE:
                session.look_at_changes()
            if self._target and self._target.role:
                session.take_on(self._target.role)
            session.count_rows()
            yield session
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "psycopg2":
                raise
            report.unknown("login", str(statement_error(error)), "Run again.")
            raise Stop from error
        finally:
            connection.close()


def _grant(role: str, schema: str, database: str) -> str:
    if schema == "public":
        return f"Make {role} the owner: ALTER DATABASE {as_identifier(database)} OWNER TO {as_identifier(role)}."
    return f"In {database}: GRANT USAGE, CREATE ON SCHEMA {as_identifier(schema)} TO {as_identifier(role)}."
