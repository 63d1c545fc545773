# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a database what a Backstage backend will ask of it at its start, without changing anything.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_loader import ConfigLoaderError
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import (
    Login,
    Plugin,
    Target,
    TargetError,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import PostgresqlError, statement_error

# Backstage 1.55 supports the last five majors (docs/overview/versioning-policy.md of backstage/backstage).
SUPPORTED_MAJORS = (14, 15, 16, 17, 18)

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL manual, 55.7 Message Formats
_TLS_TIMEOUT = 15.0  # seconds

Connect = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        ok: None where it could not be asked.
        message: a sentence; fix: what to do, a sentence, empty where nothing is to do.
        stops: whether Backstage does not start because of it.
    """

    name: str
    ok: bool | None
    message: str
    fix: str = ""
    stops: bool = False


@dataclass
class Report:
    """All answers.

    Attributes:
        server_version: as the server says it, or None.
        library: whether psycopg2 was there to ask with.
        databases: what there is of the plugins' databases (in schema mode, schemas): name, owner, size in bytes, rows.
    """

    checks: list[Check] = field(default_factory=list)
    server_version: str | None = None
    library: bool = True
    databases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def would_start(self) -> bool | None:
        """Whether Backstage would start; None where nobody can tell."""
        if any(check.stops and check.ok is False for check in self.checks):
            return False
        return None if any(check.stops for check in self.checks) else True

    @property
    def failure(self) -> Check | None:
        """The first check that stops Backstage."""
        return next((check for check in self.checks if check.stops and check.ok is False), None)

    def passed(self, name: str, message: str) -> None:
        self.checks.append(Check(name, True, message))

    def warned(self, name: str, message: str, fix: str) -> None:
        self.checks.append(Check(name, False, message, fix))

    def failed(self, name: str, message: str, fix: str) -> None:
        self.checks.append(Check(name, False, message, fix, stops=True))

    def unknown(self, name: str, message: str, fix: str = "") -> None:
        self.checks.append(Check(name, None, message, fix, stops=True))

    def as_result(self) -> list[dict[str, Any]]:
        """The checks as plain data."""
        return [asdict(check) for check in self.checks]


class _Stop(Exception):
    """A failed check after which the rest cannot be asked."""


def check_login(login: Login, connect: Connect, options: Mapping[str, Any]) -> Report:
    """Log in and look at the server, for a database whose app is not known.

    Args:
        login: whom to log in as.
        connect: opens a connection; takes the connection options of module_utils/_postgresql/connection.py.
        options: those that go over what follows from `login`.
    """
    walk = _Walk(connect, options=options)
    with contextlib.suppress(_Stop), walk.session(login) as session:
        session.creates()
    return walk.report


def check_target(target: Target, plugins: Sequence[str], connect: Connect, directory: str | None) -> Report:
    """Go the way of a backend that starts with these plugins.

    Args:
        target: what its configuration says.
        plugins: ids of the plugins that use a database.
        connect: opens a connection; takes the connection options of module_utils/_postgresql/connection.py.
        directory: the app's root, to look for its npm packages; None where it is not known.
    """
    report = Report()
    try:
        wanted = [target.plugin(plugin) for plugin in plugins]
        for client in dict.fromkeys(plugin.client for plugin in wanted if plugin.client != "pg"):
            _other_client(report, client, target.mode, directory)
        on_postgresql = [plugin for plugin in wanted if plugin.client == "pg"]
        if on_postgresql:
            _Walk(connect, target, on_postgresql, report).through()
    except ConfigLoaderError as error:
        report.failed("configuration", str(error), "Correct the configuration.")
    except TargetError as error:
        if error.known:
            report.failed(error.name, str(error), error.fix)
        else:
            report.unknown(error.name, str(error), error.fix)
    except _Stop:
        pass
    return report


def _other_client(report: Report, client: str, mode: str, directory: str | None) -> None:
    if client in ("mysql", "mysql2"):
        report.unknown("client", f"The client is {client}, which is not checked here.", "Use pg for PostgreSQL.")
        return
    if mode == "schema":
        report.failed("client", f"The client is {client}, which knows no schemas.", "Remove pluginDivisionMode.")
        return
    places = [os.path.join(directory or "", *way, "node_modules") for way in ((), ("packages", "backend"))]
    there = [place for place in places if directory and os.path.isdir(place)]
    if there and not any(os.path.isdir(os.path.join(place, client)) for place in there):
        report.failed(
            "client",
            f"The client is {client}, and its npm package is not installed in {directory}.",
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
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.report = report or Report()
        self._connect = connect
        self._target = target
        self._plugins = plugins
        self._options = options or {}

    def through(self) -> None:
        """All of them: for the databases, for the schemas, for each plugin."""
        target, plugins = self._app, self._plugins
        logins = {plugin.id: target.plugin_login(plugin) for plugin in plugins}
        self.report.passed("configuration", f"Backstage uses {logins[plugins[0].id].url} ({target.mode} mode).")
        missing: list[str] = []
        ensured = [plugin for plugin in plugins if plugin.ensure_database]
        if ensured:
            with self.session(target.admin_login()) as session:
                session.look_at_databases(target, plugins)
                missing = session.missing_databases(ensured)
                session.creates(missing)
        made = [plugin for plugin in plugins if plugin.ensure_schema]
        if made:
            self._schemas(target.schema_login(), missing)
        for plugin in plugins:
            login = logins[plugin.id]
            if plugin.database in missing and login.same_server(target.admin_login()):
                self._plugin_to_be(plugin, login, target.admin_login())
            else:
                self._plugin(plugin, login)

    @property
    def _app(self) -> Target:
        if self._target is None:
            raise TypeError("this walk has no app")
        return self._target

    def _schemas(self, login: Login, missing: list[str]) -> None:
        if login.database in missing:
            self.report.passed("create_schema", f"The database {login.database} is missing; Backstage makes it.")
            return
        with self.session(login) as session:
            if session.one("SELECT has_database_privilege(current_database(), 'CREATE')"):
                self.report.passed("create_schema", f"{session.role} may make schemas in {login.database}.")
                return
            self.report.failed(
                "create_schema",
                f"{session.role} may not make schemas in {login.database}, which Backstage asks for at every start.",
                f"GRANT CREATE ON DATABASE {_quoted(login.database)} TO {_quoted(session.role)}.",
            )
        raise _Stop

    def _plugin(self, plugin: Plugin, login: Login) -> None:
        name, report, schema = f"plugin_{plugin.id}", self.report, plugin.schema or "public"
        with self.session(login) as session:
            where = f"{login.database}, schema {schema}"
            if plugin.schema:
                session.look_at_schemas(self._app)
            if not session.one("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", schema):
                if plugin.ensure_schema:
                    report.passed(name, f"{where} is missing; Backstage makes it.")
                else:
                    report.failed(
                        name,
                        f"{where} is missing, and Backstage does not make it.",
                        f"Make it with {session.role} as its owner"
                        + (", or set ensureSchemaExists to true." if plugin.schema else "."),
                    )
            elif session.one(
                "SELECT has_schema_privilege(%s, 'CREATE') AND has_schema_privilege(%s, 'USAGE')",
                schema,
                schema,
            ):
                report.passed(name, f"{session.role} may make tables in {where}.")
            elif session.tables_are_usable(schema):
                report.warned(
                    name,
                    f"{session.role} may not make tables in {where}: those of today work, "
                    "but an update of Backstage that brings new ones fails.",
                    _grant(session.role, schema, login.database),
                )
            else:
                report.failed(
                    name,
                    f"{session.role} may not make tables in {where}"
                    + ("." if plugin.schema else "; since PostgreSQL 15 only the database's owner may."),
                    _grant(session.role, schema, login.database),
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
                f"{plugin.database} is missing; {maker.user} makes it, and {login.user} may not make tables there.",
                f"Make the database {plugin.database} with {login.user} as its owner.",
            )
        raise _Stop

    @contextlib.contextmanager
    def session(self, login: Login) -> Iterator[_Session]:
        """Log in as Backstage would; what fails goes into the report, and `_Stop` is raised."""
        report = self.report
        _check_tls(report, login, _TLS_TIMEOUT)
        try:
            connection = self._connect({**login_options(login), **self._options})
        except PostgresqlError as error:
            _login_failed(report, login, self._target, error)
            raise _Stop from error
        try:
            connection.set_session(readonly=True)
            session = _Session(report, login, connection)
            if report.server_version is None:
                report.passed("login", f"{login.user} logs in at {login.host} port {login.port}.")
                session.look_at_server(self._plugins)
            if self._target and self._target.role:
                session.take_on(self._target.role)
            session.count_rows()
            yield session
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "psycopg2":
                raise
            report.unknown("login", str(statement_error(error)), "Run again.")
            raise _Stop from error
        finally:
            connection.close()


def _grant(role: str, schema: str, database: str) -> str:
    if schema == "public":
        return f"Make {role} the owner: ALTER DATABASE {_quoted(database)} OWNER TO {_quoted(role)}."
    return f"In {database}: GRANT USAGE, CREATE ON SCHEMA {_quoted(schema)} TO {_quoted(role)}."


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _Session:
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
                cursor.execute(f"SET ROLE {_quoted(role)}")
            self.role = role
        elif not any(check.name == "role" for check in self._report.checks):
            self._report.warned(
                "role",
                f"{self.role} is not a member of the role {role}, so SET ROLE fails.",
                f"GRANT {_quoted(role)} TO {_quoted(self.role)}.",
            )

    def missing_databases(self, plugins: Sequence[Plugin]) -> list[str]:
        """Those of the plugins' databases that are not there."""
        there = {row[0] for row in self.rows("SELECT datname FROM pg_catalog.pg_database")}
        wanted = [plugin.database for plugin in plugins if plugin.database]
        return [name for name in dict.fromkeys(wanted) if name not in there]

    def creates(self, missing: Sequence[str] = ()) -> None:
        """Whether this role may make databases, and needs to."""
        name, role = "create_database", self.role
        fix = f"Give {role} CREATEDB, or make the databases with {role} as their owner."
        if self.one("SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
            self._report.passed(name, f"{role} may make databases.")
        elif missing:
            are = "is" if len(missing) == 1 else "are"
            self._report.failed(name, f"{role} may not make databases, and {' and '.join(missing)} {are} missing.", fix)
        else:
            self._report.warned(name, f"{role} may not make databases: a new plugin needs one made for it.", fix)

    def shares_public(self) -> bool:
        """Whether this role may make tables in a database that another one makes (all may, before PostgreSQL 15)."""
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

    def look_at_server(self, plugins: Sequence[Plugin]) -> None:
        """Version, encoding and free connections."""
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
        self._look_at_connections(plugins)

    def _look_at_connections(self, plugins: Sequence[Plugin]) -> None:
        limit, used, own_limit = self.rows(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - coalesce(current_setting('reserved_connections', true), '0')::int,"
            " (SELECT count(datid) FROM pg_catalog.pg_stat_activity) - 1,"
            " (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = session_user)"
        )[0]
        free = limit - used
        if own_limit >= 0:
            mine = self.one("SELECT count(*) - 1 FROM pg_catalog.pg_stat_activity WHERE usename = session_user")
            free = min(free, own_limit - mine)
        wanted = sum(plugin.pool for plugin in plugins)
        plural = "plugin" if len(plugins) == 1 else "plugins"
        text = f"{max(free, 0)} of {limit} connections are free"
        if plugins:
            text += f"; {len(plugins)} {plural} may open up to {wanted}"
        if free >= wanted:
            self._report.passed("connections", f"{text}.")
        else:
            self._report.warned(
                "connections", f"{text}.", "Raise max_connections, or lower knexConfig.pool.max of backend.database."
            )

    def look_at_databases(self, target: Target, plugins: Sequence[Plugin]) -> None:
        """The databases that are the plugins' own, or have the prefix."""
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
            {"name": name, "schema": None, "owner": owner, "size": size, "rows": None} for name, owner, size in rows
        ]

    def look_at_schemas(self, target: Target) -> None:
        """The schemas of this database that plugins may have made, and the rows below."""
        if any(entry["schema"] for entry in self._report.databases):
            return
        rows = self.rows(
            "SELECT n.nspname, pg_catalog.pg_get_userbyid(n.nspowner),"
            " coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint,"
            " coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint"
            " FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
            " AND c.relkind IN ('r', 'p') WHERE starts_with(n.nspname, %s) AND n.nspname !~ '^pg_'"
            " AND n.nspname NOT IN ('information_schema', 'public') GROUP BY 1, 2 ORDER BY 1",
            target.prefix,
        )
        self._report.databases += [
            {"name": self._login.database, "schema": name, "owner": owner, "size": size, "rows": count}
            for name, owner, size, count in rows
        ]

    def count_rows(self) -> None:
        """Add the planner's estimate to this database's entry."""
        for entry in self._report.databases:
            if entry["name"] == self._login.database and entry["schema"] is None:
                entry["rows"] = self.one(
                    "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class c"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
                    " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
                )


def login_options(login: Login) -> dict[str, Any]:
    """The connection options of module_utils/_postgresql/connection.py for a login."""
    return {
        "login_host": login.host,
        "login_port": login.port,
        "login_user": login.user,
        "login_db": login.database,
        "login_password": login.password if login.text_password else None,
        "ssl_mode": "require" if login.tls else "disable",
    }


def tls_problem(login: Login) -> Check | None:
    """Why the TLS of Backstage would not trust a server, or whether that cannot be told; None where it would."""
    report = Report()
    with contextlib.suppress(_Stop):
        _check_tls(report, login, _TLS_TIMEOUT)
    return next(iter(report.checks), None)


def _check_tls(report: Report, login: Login, timeout: float) -> None:
    """Shake hands as Node would, whose rules for names and authorities are not libpq's."""
    tls, where = login.tls, f"{login.host} port {login.port}"
    if tls is None or login.host.startswith("/"):
        return
    if tls.client_certificate:
        report.unknown(
            "tls",
            "Backstage shows a client certificate, which is not checked here.",
            "Leave out ssl.cert of backend.database.connection, where the server does not ask for one.",
        )
        raise _Stop
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    try:
        if tls.ca:
            # As in Node: a byte order mark and what is no PEM block are passed over, a broken block ends the reading.
            text = tls.ca.removeprefix("\ufeff").encode("ascii", "replace").decode()
            with contextlib.suppress(ssl.SSLError):
                context.load_verify_locations(cadata=text)
        else:
            context.load_default_certs()
        if tls.more_authorities:
            with contextlib.suppress(OSError):  # Node only warns of a file that it cannot use
                context.load_verify_locations(cafile=tls.more_authorities)
        with socket.create_connection((login.host, login.port), timeout) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                report.failed(
                    "tls",
                    f"The server at {where} speaks no TLS, and Backstage is told to use it.",
                    "Turn on ssl in PostgreSQL, or remove backend.database.connection.ssl (or PGSSLMODE).",
                )
                raise _Stop
            context.wrap_socket(plain, server_hostname=login.host).close()
    except ssl.SSLCertVerificationError as error:
        cause = error.verify_message.rstrip(".")
        if tls.ca and not context.cert_store_stats()["x509"]:
            cause = "the text of ssl.ca holds no certificate"
        report.failed(
            "tls",
            f"Backstage does not trust the TLS certificate of the server at {where} as that of {login.host}: {cause}.",
            "Give the authority as ssl.ca of backend.database.connection, and the host by the certificate's name.",
        )
        raise _Stop from error
    except ssl.SSLError as error:
        report.failed("tls", f"TLS with the server at {where} fails: {error.reason or error}.", "Look at the server.")
        raise _Stop from error
    except OSError:
        # The login says it better.
        return


def _login_failed(report: Report, login: Login, target: Target | None, error: PostgresqlError) -> None:
    reason, text = error.reason, str(error)
    where = f"{login.host} port {login.port}"
    key = "backend.database.connection"
    if reason == "library":
        report.library = False
        report.unknown("login", text)
    elif target is None:
        report.failed("login", text, "")
    elif reason == "password" and not login.text_password:
        report.failed(
            "login",
            f"The server at {where} wants a password, and {key}.password{target.place('connection.password')} "
            "is not a text.",
            "Put the password in quotes; a bare number or true is none to the server.",
        )
    elif reason == "password" and login.password is None:
        report.failed(
            "login",
            f"The server at {where} wants a password of {login.user}, "
            f"and {key}.password {target.explain('connection.password')}.",
            target.remedy("connection.password"),
        )
    elif reason == "password":
        report.failed(
            "login",
            f"The server at {where} refuses the password of {login.user}{target.password_place(login)}.",
            "Correct it there, or set that of the role; mind that Backstage trims what comes from a variable.",
        )
    elif reason == "no_connect":
        report.failed(
            "connect",
            f"{login.user} may not connect to the database {login.database} at {where}.",
            _login_fix(login, reason, text).rstrip(".")
            + (", or set ensureExists to false." if target.mode == "schema" else "."),
        )
    else:
        report.failed("tls" if reason == "tls" else "login", *login_problem(login, error))


def login_problem(login: Login, error: PostgresqlError) -> tuple[str, str]:
    """What is wrong with a login, and what to do in Backstage's configuration or on the server; each a sentence."""
    text = str(error)
    # The remedy behind the semicolon names options of a module that nobody called.
    cause = text.partition("; ")[0].replace(" in login_host", "").rstrip(".")
    return f"{cause}.", _login_fix(login, error.reason, text)


def _login_fix(login: Login, reason: str, text: str) -> str:
    if reason == "no_connect":
        return f"GRANT CONNECT ON DATABASE {_quoted(login.database)} TO {_quoted(login.user)}."
    if reason == "unreachable":
        return "Start the server, or correct host and port of backend.database.connection."
    if reason == "no_login":
        return f"ALTER ROLE {_quoted(login.user)} LOGIN."
    if "peer authentication" in text:
        return "Give the host by name or address, so that Backstage logs in with its password."
    if "no free connection" in text:
        return f"End some connections, or raise max_connections or the CONNECTION LIMIT of {login.user}."
    if "no database" in text:
        return f"Make the database {login.database} with {login.user} as its owner, or correct its name."
    return "Correct the server, or backend.database.connection."
