# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failure drills: backstage_database_info and a real Backstage backend get the same files, and must agree.

DEVPORTAL_BACKEND names a folder whose node_modules has @backstage/backend-defaults and
@backstage/plugin-catalog-backend. DEVPORTAL_DRILLS may name a file for the table of what both said.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field

import psycopg2
import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    config_loader,
    listen_address,
    tcp_ports,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram
from servers import Server, free_port, self_signed

BACKEND = os.environ.get("DEVPORTAL_BACKEND", "")
pytestmark = pytest.mark.skipif(
    not os.path.isdir(f"{BACKEND}/node_modules/@backstage/plugin-catalog-backend"),
    reason="DEVPORTAL_BACKEND names no folder with a Backstage backend; the failure drills did not run",
)

SECRET = "s3cret word"
CATALOG = "backstage_plugin_catalog"
ENV = {key: f"${{POSTGRES_{key.upper()}}}" for key in ("host", "port", "user", "password")}
CREATEDB = f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{SECRET}'"
PLAIN = f"CREATE ROLE backstage LOGIN PASSWORD '{SECRET}'"


@dataclass
class Drill:
    """One set-up of server, files and environment.

    Attributes:
        starts: what Backstage does with it.
        connection: of backend.database; PORT and SOCKETS in any text stand for the server's.
        database: further keys of backend.database.
        env: changes to the environment; None takes a variable away.
        sql: run by the superuser beforehand; a `@name` before it names the database.
        files: more files of the app.
        server: plain, tls (by a certificate of localhost) or standby.
        plugins: further plugins of the backend.
        free: how many connections others leave free.
        without: npm packages that the app lacks.
    """

    starts: bool
    connection: object = field(default_factory=lambda: dict(ENV))
    database: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    sql: tuple = (CREATEDB,)
    files: dict = field(default_factory=dict)
    server: str = "plain"
    plugins: tuple = ()
    free: int | None = None
    without: tuple = ()

    @property
    def tls(self):
        return self.server == "tls"


def literal(**keys):
    return {"host": "127.0.0.1", "port": "PORT", "user": "backstage", "password": SECRET, **keys}


def with_password(password):
    quoted = password.replace("'", "''")
    return Drill(
        True,
        sql=(f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{quoted}'",),
        env={"POSTGRES_PASSWORD": password},
    )


def literal_password(starts, written, password):
    sql = (f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{password}'",)
    return Drill(starts, literal(password=written), sql=sql)


def pool(starts, settings):
    return Drill(starts, database={"knexConfig": {"pool": settings}}, env={"POOL": "5"})


def schema_mode(starts, *sql, connection=None, **more):
    database = {"pluginDivisionMode": "schema", **more}
    return Drill(starts, {**ENV, "database": "backstage"} if connection is None else connection, database, sql=sql)


FIVE = ("auth", "scaffolder", "search", "user-settings")  # and the catalog
OWNED = f"CREATE DATABASE {CATALOG} OWNER backstage"
AS_CATALOG = f"@{CATALOG} SET ROLE backstage; "


def locked(prefix, is_locked=1):
    """What a start leaves behind that was killed while it migrated: the tables of knex, one with a lock."""
    table = f"{prefix}knex_migrations"
    return (
        AS_CATALOG + f"CREATE TABLE {table} (id serial PRIMARY KEY, name text, batch int, migration_time timestamptz)",
        AS_CATALOG + f"CREATE TABLE {table}_lock (index serial PRIMARY KEY, is_locked int)",
        AS_CATALOG + f"INSERT INTO {table}_lock (is_locked) VALUES ({is_locked})",
    )


LOCKED = locked("")
NO_CONNECT = "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC"
DRILLS = {
    "wrong password": Drill(False, env={"POSTGRES_PASSWORD": "wrong one"}),
    "user with CREATEDB": Drill(True),
    "no CREATEDB, database missing": Drill(False, sql=(PLAIN,)),
    "no CREATEDB, database owned": Drill(True, sql=(PLAIN, f"CREATE DATABASE {CATALOG} OWNER backstage")),
    "database owned by another": Drill(False, sql=(PLAIN, f"CREATE DATABASE {CATALOG}")),
    "no CONNECT on the plugin's database": Drill(
        False, sql=(PLAIN, f"CREATE DATABASE {CATALOG}", f"REVOKE CONNECT ON DATABASE {CATALOG} FROM PUBLIC")
    ),
    "no CONNECT on postgres": Drill(False, sql=(CREATEDB, NO_CONNECT)),
    "no such role": Drill(False, sql=()),
    "role without LOGIN": Drill(False, sql=(f"CREATE ROLE backstage NOLOGIN PASSWORD '{SECRET}'",)),
    "role past its VALID UNTIL": Drill(False, sql=(CREATEDB, "ALTER ROLE backstage VALID UNTIL '2001-01-01'")),
    "no connection left for the role": Drill(False, sql=(CREATEDB, "ALTER ROLE backstage CONNECTION LIMIT 0")),
    "all variables unset": Drill(False, env=dict.fromkeys(f"POSTGRES_{key.upper()}" for key in ENV)),
    "password unset": Drill(False, env={"POSTGRES_PASSWORD": None}),
    "password empty": Drill(False, env={"POSTGRES_PASSWORD": ""}),
    "password unset, PGPASSWORD set": Drill(True, env={"POSTGRES_PASSWORD": None, "PGPASSWORD": SECRET}),
    "no keys, PGHOST and the others set": Drill(
        True, {}, env={"PGHOST": "127.0.0.1", "PGPORT": "PORT", "PGUSER": "backstage", "PGPASSWORD": SECRET}
    ),
    "no user, USER set": Drill(True, env={"POSTGRES_USER": None, "USER": "backstage"}),
    "port closed": Drill(False, env={"POSTGRES_PORT": "1"}),
    "host unknown": Drill(False, env={"POSTGRES_HOST": "no-such-host.invalid"}),
    "port abc": Drill(False, env={"POSTGRES_PORT": "abc"}),
    "port 70000": Drill(False, env={"POSTGRES_PORT": "70000"}),
    "port in quotes": Drill(True, literal(port="PORT")),
    "port with text behind": Drill(True, env={"POSTGRES_PORT": "PORT/tcp"}),
    "host is the socket's directory, user postgres": Drill(
        False, {"host": "SOCKETS", "port": "PORT", "user": "postgres", "password": SECRET}
    ),
    "host is the socket's directory, password asked": Drill(True, literal(host="SOCKETS")),
    "user is a bare number": Drill(False, literal(user=12345)),
    "ssl true, server without TLS": Drill(False, {**ENV, "ssl": True}),
    "ssl false": Drill(True, {**ENV, "ssl": False}),
    "ssl the text 'false'": Drill(False, {**ENV, "ssl": "false"}),
    "PGSSLMODE=require, server without TLS": Drill(False, env={"PGSSLMODE": "require"}),
    "PGSSLMODE=require, ssl false": Drill(True, {**ENV, "ssl": False}, env={"PGSSLMODE": "require"}),
    "no ssl, server with TLS": Drill(True, server="tls"),
    "ssl true, certificate of nobody known": Drill(False, {**ENV, "ssl": True}, server="tls"),
    "ssl rejectUnauthorized false": Drill(True, {**ENV, "ssl": {"rejectUnauthorized": False}}, server="tls"),
    "ssl ca by $file, host by name": Drill(
        True, {**ENV, "ssl": {"ca": {"$file": "ca.pem"}}}, env={"POSTGRES_HOST": "localhost"}, server="tls"
    ),
    "ssl ca by $file, host by address": Drill(False, {**ENV, "ssl": {"ca": {"$file": "ca.pem"}}}, server="tls"),
    "ssl ca that is none": Drill(False, {**ENV, "ssl": {"ca": "text"}}, server="tls"),
    "ssl ca that is none, rejectUnauthorized false": Drill(
        True, {**ENV, "ssl": {"ca": "text", "rejectUnauthorized": False}}, server="tls"
    ),
    "ssl ca with a comment beyond ASCII": Drill(
        True,
        {**ENV, "ssl": {"ca": [{"$file": "comment.pem"}, {"$file": "ca.pem"}]}},
        env={"POSTGRES_HOST": "localhost"},
        files={"comment.pem": "# für alle\n"},
        server="tls",
    ),
    "ssl ca empty, NODE_EXTRA_CA_CERTS": Drill(
        True,
        {**ENV, "ssl": {"ca": ""}},
        env={"NODE_EXTRA_CA_CERTS": "CA", "POSTGRES_HOST": "localhost"},
        server="tls",
    ),
    "NODE_EXTRA_CA_CERTS": Drill(
        True, {**ENV, "ssl": True}, env={"NODE_EXTRA_CA_CERTS": "CA", "POSTGRES_HOST": "localhost"}, server="tls"
    ),
    "connection string with sslmode=no-verify": Drill(
        True, "postgresql://backstage:s3cret%20word@127.0.0.1:PORT/?sslmode=no-verify", server="tls"
    ),
    "client pg, connection ':memory:'": Drill(False, ":memory:"),
    "client pg, no connection": Drill(False, None),
    "no client": Drill(False, database={"client": None}),
    "client postgres": Drill(False, database={"client": "postgres"}),
    "client better-sqlite3, not installed": Drill(False, ":memory:", {"client": "better-sqlite3"}),
    "connection type unknown": Drill(False, {**ENV, "type": "other"}),
    "database a text": Drill(False, files={"app-config.local.yaml": "backend: {database: text}\n"}),
    "schema mode, owner of the database": schema_mode(True, PLAIN, "CREATE DATABASE backstage OWNER backstage"),
    "schema mode, CREATE granted": schema_mode(
        True, PLAIN, "CREATE DATABASE backstage", "GRANT CREATE ON DATABASE backstage TO backstage"
    ),
    "schema mode, neither": schema_mode(False, PLAIN, "CREATE DATABASE backstage"),
    "schema mode, no connection.database": schema_mode(False, PLAIN, connection=ENV),
    "schema mode, database missing, CREATEDB": schema_mode(True, CREATEDB),
    "schema mode, database missing": schema_mode(False, PLAIN),
    "schema mode, no CONNECT on postgres": schema_mode(
        False, PLAIN, "CREATE DATABASE backstage OWNER backstage", NO_CONNECT
    ),
    "schema mode, no CONNECT on postgres, ensureExists false, schema there": schema_mode(
        True,
        PLAIN,
        "CREATE DATABASE backstage",
        NO_CONNECT,
        "@backstage CREATE SCHEMA catalog AUTHORIZATION backstage",
        ensureExists=False,
    ),
    "schema mode, ensureExists false, schema missing": schema_mode(
        False, PLAIN, "CREATE DATABASE backstage OWNER backstage", ensureExists=False
    ),
    "schema mode, no CONNECT on postgres, ensureSchemaExists": schema_mode(
        True,
        PLAIN,
        "CREATE DATABASE backstage OWNER backstage",
        NO_CONNECT,
        ensureExists=False,
        ensureSchemaExists=True,
    ),
    "schema mode, schema of another": schema_mode(
        False,
        PLAIN,
        "CREATE DATABASE backstage",
        "GRANT CREATE ON DATABASE backstage TO backstage",
        "@backstage CREATE SCHEMA catalog",
    ),
    "schemaPrefix not valid": schema_mode(
        False, PLAIN, "CREATE DATABASE backstage OWNER backstage", schemaPrefix="1-a"
    ),
    "schemaPrefix": schema_mode(True, PLAIN, "CREATE DATABASE backstage OWNER backstage", schemaPrefix="bs_"),
    "database mode, connection.database ignored": Drill(True, {**ENV, "database": "nowhere"}),
    "ensureExists false, database missing": Drill(False, database={"ensureExists": False}),
    "ensureExists false, no CONNECT on postgres": Drill(
        True,
        database={"ensureExists": False},
        sql=(PLAIN, f"CREATE DATABASE {CATALOG} OWNER backstage", NO_CONNECT),
    ),
    "prefix": Drill(True, database={"prefix": "my-app_"}),
    "plugin.catalog.connection.database": Drill(
        True, database={"plugin": {"catalog": {"connection": {"database": "my_catalog"}}}}
    ),
    "plugin.catalog with a wrong password": Drill(
        False, database={"plugin": {"catalog": {"connection": {"password": "wrong one"}}}}
    ),
    "plugin.catalog with a user of its own, database missing": Drill(
        False,
        database={"plugin": {"catalog": {"connection": {"user": "other"}}}},
        sql=(CREATEDB, f"CREATE ROLE other LOGIN PASSWORD '{SECRET}'"),
    ),
    "plugin.catalog with a user of its own, database owned": Drill(
        True,
        database={"plugin": {"catalog": {"connection": {"user": "other"}}}},
        sql=(CREATEDB, f"CREATE ROLE other LOGIN PASSWORD '{SECRET}'", f"CREATE DATABASE {CATALOG} OWNER other"),
    ),
    "plugin.catalog.connection of SQLite in memory": Drill(
        False, database={"plugin": {"catalog": {"connection": ":memory:"}}}
    ),
    "plugin.catalog.connection a file of SQLite": Drill(
        False, database={"plugin": {"catalog": {"connection": "./db/catalog.sqlite"}}}
    ),
    "plugin.catalog.connection a directory of SQLite": Drill(
        True, database={"plugin": {"catalog": {"connection": {"directory": "./db"}}}}
    ),
    "plugin.catalog.connection a socket": Drill(
        False, database={"plugin": {"catalog": {"connection": "socket:SOCKETS?db=x"}}}
    ),
    "plugin.catalog.connection null": Drill(True, database={"plugin": {"catalog": {"connection": None}}}),
    "plugin is a list": Drill(False, database={"plugin": ["catalog"]}),
    "plugin with a dot in its name": Drill(True, database={"plugin": {"a.b": {"connection": {"host": "h"}}}}),
    "migration lock of another type": Drill(
        True, sql=(CREATEDB, OWNED, AS_CATALOG + "CREATE TABLE my_knex_migrations_lock (is_locked text)")
    ),
    "a database of a plugin that has another name than npm allows": Drill(
        True,
        sql=(
            CREATEDB,
            'CREATE DATABASE "backstage_plugin_a..b" OWNER backstage',
            'CREATE DATABASE "backstage_plugin_catalog.2026-11-20"',
            'REVOKE CONNECT ON DATABASE "backstage_plugin_catalog.2026-11-20" FROM PUBLIC',
        ),
    ),
    "plugin.catalog.client postgres": Drill(False, database={"plugin": {"catalog": {"client": "postgres"}}}),
    "role that owns": Drill(
        True,
        database={"role": "owners"},
        sql=(PLAIN, "CREATE ROLE owners CREATEDB", "GRANT owners TO backstage"),
    ),
    "role without rights": Drill(
        False, database={"role": "owners"}, sql=(CREATEDB, "CREATE ROLE owners", "GRANT owners TO backstage")
    ),
    "role that is not granted": Drill(True, database={"role": "owners"}, sql=(CREATEDB, "CREATE ROLE owners")),
    "role that is not there": Drill(True, database={"role": "owners"}),
    "connection string": Drill(True, "postgresql://backstage:s3cret%20word@127.0.0.1:PORT/ignored"),
    "connection string, special characters raw": Drill(
        False,
        "postgresql://backstage:p@ss:w/ord#1@127.0.0.1:PORT/x",
        sql=("CREATE ROLE backstage LOGIN CREATEDB PASSWORD 'p@ss:w/ord#1'",),
    ),
    "connection string, special characters encoded": Drill(
        True,
        "postgresql://backstage:p%40ss%3Aw%2Ford%231@127.0.0.1:PORT/x",
        sql=("CREATE ROLE backstage LOGIN CREATEDB PASSWORD 'p@ss:w/ord#1'",),
    ),
    "connection string over an object": Drill(
        True,
        files={
            "app-config.local.yaml": "backend: {database: {connection: "
            "'postgresql://backstage:s3cret%20word@127.0.0.1:PORT/'}}\n"
        },
    ),
    "password by $file, with a line end": Drill(
        True, literal(password={"$file": "secret"}), files={"secret": f"{SECRET}\n"}
    ),
    "password by $file, missing": Drill(False, literal(password={"$file": "secret"})),
    "password by $env": Drill(True, literal(password={"$env": "POSTGRES_PASSWORD"})),
    "password with a default": Drill(
        True, literal(password="${NOT_SET:-s3cret word}"), env={"POSTGRES_PASSWORD": None}
    ),
    "password null in the local file": Drill(
        False, files={"app-config.local.yaml": "backend: {database: {connection: {password: null}}}\n"}
    ),
    "password by APP_CONFIG_, digits": Drill(
        False,
        env={"APP_CONFIG_backend_database_connection_password": "12345"},
        sql=("CREATE ROLE backstage LOGIN CREATEDB PASSWORD '12345'",),
    ),
    "password by APP_CONFIG_, digits in quotes": Drill(
        True,
        env={"APP_CONFIG_backend_database_connection_password": '"12345"'},
        sql=("CREATE ROLE backstage LOGIN CREATEDB PASSWORD '12345'",),
    ),
    "literal 12345": literal_password(False, 12345, "12345"),
    "literal true": literal_password(False, True, "true"),
    "literal '12345'": literal_password(True, "12345", "12345"),
    "literal a${HOME}b": literal_password(False, "a${HOME}b", "a${HOME}b"),
    "literal a$${HOME}b": literal_password(True, "a$${HOME}b", "a${HOME}b"),
    "literal ' lead'": literal_password(True, " lead", " lead"),
    "password by variable: leading space": Drill(
        False,
        env={"POSTGRES_PASSWORD": " lead"},
        sql=("CREATE ROLE backstage LOGIN CREATEDB PASSWORD ' lead'",),
    ),
    **{
        f"password by variable: {password}": with_password(password)
        for password in (
            "p@ss:w/ord#1%?&",
            'it\'s "q"',
            "a${HOME}b",
            "dollar$1$$x",
            "back\\slash",
            "ünïcödé",
            "12345",
            "true",
        )
    },
    "migration lock set": Drill(False, sql=(PLAIN, OWNED, *LOCKED)),
    "migration lock of the scheduler set": Drill(True, sql=(PLAIN, OWNED, *locked("backstage_backend_tasks__"))),
    "migration lock of the keys set": Drill(False, sql=(PLAIN, OWNED, *locked("backstage_backend_public_keys__"))),
    "migration lock with two rows": Drill(
        False,
        sql=(CREATEDB, OWNED, *locked("", 0), AS_CATALOG + "INSERT INTO knex_migrations_lock (is_locked) VALUES (0)"),
    ),
    "migration lock with two rows, one of them set": Drill(
        True,
        sql=(CREATEDB, OWNED, *locked("", 0), AS_CATALOG + "INSERT INTO knex_migrations_lock (is_locked) VALUES (1)"),
    ),
    "migration lock null": Drill(
        False, sql=(CREATEDB, OWNED, *locked("", 0), AS_CATALOG + "UPDATE knex_migrations_lock SET is_locked = NULL")
    ),
    "migration lock without a row": Drill(
        True, sql=(CREATEDB, OWNED, *locked("", 0), AS_CATALOG + "DELETE FROM knex_migrations_lock")
    ),
    "migration lock not set": Drill(True, sql=(PLAIN, OWNED, *locked("", 0))),
    "schema mode, migration lock set": schema_mode(
        False,
        PLAIN,
        "CREATE DATABASE backstage OWNER backstage",
        "@backstage CREATE SCHEMA catalog AUTHORIZATION backstage",
        *(line.replace("@backstage_plugin_catalog", "@backstage").replace("knex", "catalog.knex") for line in LOCKED),
    ),
    "tables newer than the package": Drill(
        False, sql=(PLAIN, OWNED, *locked("", 0), AS_CATALOG + "INSERT INTO knex_migrations VALUES (1, '2099_x.js')")
    ),
    "npm package pg missing": Drill(False, without=("pg",)),
    "standby": Drill(False, server="standby"),
    "default_transaction_read_only": Drill(
        False, sql=(CREATEDB, "ALTER ROLE backstage SET default_transaction_read_only = on")
    ),
    "default_transaction_read_only of the plugin's database": Drill(
        False, sql=(PLAIN, OWNED, f"ALTER DATABASE {CATALOG} SET default_transaction_read_only = on")
    ),
    "default_transaction_read_only of postgres": Drill(
        True, sql=(PLAIN, OWNED, "ALTER DATABASE postgres SET default_transaction_read_only = on")
    ),
    "more iterations than the npm package pg takes": Drill(
        False, sql=(f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{scram.make(SECRET, 100_001)}'",)
    ),
    "as many iterations as it takes": Drill(
        True, sql=(f"CREATE ROLE backstage LOGIN CREATEDB PASSWORD '{scram.make(SECRET, 100_000)}'",)
    ),
    "pool.max from a variable": pool(False, {"max": "${POOL}"}),
    "pool.max 1, less than the default of min": pool(False, {"max": 1}),
    "pool.max and min 1": pool(True, {"min": 1, "max": 1}),
    "pool.max 2.5": pool(False, {"max": 2.5}),
    "pool.max null": pool(True, {"max": None}),
    "pool.idleTimeoutMillis from a variable": pool(False, {"idleTimeoutMillis": "${POOL}"}),
    "pool.acquireTimeoutMillis from a variable": pool(True, {"acquireTimeoutMillis": "${POOL}000"}),
    "pool of a plugin": Drill(
        False,
        database={"plugin": {"catalog": {"knexConfig": {"pool": {"min": "0"}}}}, "knexConfig": {"pool": {"max": 5}}},
    ),
    "five plugins": Drill(True, plugins=FIVE),
    "five plugins, three connections free": Drill(False, plugins=FIVE, free=3),
    "broken YAML": Drill(False, files={"app-config.local.yaml": "backend: {database\n"}),
    "duplicate keys": Drill(False, files={"app-config.local.yaml": "a: 1\na: 2\n"}),
    "merge key, which is none here": Drill(
        True, files={"app-config.local.yaml": "x: &x {user: backstage}\nbackend: {database: {connection: {<<: *x}}}\n"}
    ),
}
# One of each kind for every run; DRILLS=all (make drills) runs all, which takes some ten minutes.
ORDINARY = (
    "wrong password",
    "user with CREATEDB",
    "no CREATEDB, database missing",
    "no CREATEDB, database owned",
    "database owned by another",
    "all variables unset",
    "password unset",
    "password unset, PGPASSWORD set",
    "port closed",
    "host unknown",
    "port abc",
    "host is the socket's directory, user postgres",
    "ssl true, server without TLS",
    "client pg, connection ':memory:'",
    "client pg, no connection",
    "client postgres",
    "client better-sqlite3, not installed",
    "schema mode, owner of the database",
    "schema mode, neither",
    "schema mode, no connection.database",
    "schema mode, no CONNECT on postgres",
    "database mode, connection.database ignored",
    "literal 12345",
    "literal a${HOME}b",
    "migration lock set",
    "tables newer than the package",
    "npm package pg missing",
    "standby",
    "five plugins, three connections free",
    "more iterations than the npm package pg takes",
    "pool.max from a variable",
    "default_transaction_read_only of the plugin's database",
)


@pytest.fixture(scope="module")
def servers():
    """A server without TLS, one with it, and one that recovers for ever, each by its name."""
    plain, tls, standby = Server(), Server(), Server()
    try:
        key, certificate = self_signed(pathlib.Path(tls.directory), "DNS:localhost")
        tls.write("server.key", key.read_text())
        tls.configure({"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "listen_addresses": "localhost"})
        tls.restart()
        standby.query(CREATEDB)
        standby.query("CHECKPOINT")
        standby.stop()
        standby.write("data/standby.signal", "")
        standby.start()
        yield {"plain": plain, "tls": tls, "standby": standby}
    finally:
        for server in (plain, tls, standby):
            server.close()


@pytest.fixture(scope="module")
def table(request):
    rows = []
    yield rows
    lines = ["| case | backstage_database_info | Backstage itself | both say |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    path = os.environ.get("DEVPORTAL_DRILLS")
    if path:
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n")


def emptied(server):
    """Take away all that the drill before has made."""
    if server.query("SELECT pg_is_in_recovery()") == [(True,)]:
        return
    server.query("ALTER DATABASE postgres RESET ALL", options="-c default_transaction_read_only=off")
    # A backend that was killed may have sessions yet, and one of them may be creating a database.
    sessions = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    end = time.monotonic() + 30
    while server.query(f"SELECT pg_terminate_backend(pid) {sessions}"):
        assert time.monotonic() < end, server.query(f"SELECT * {sessions}")
        time.sleep(0.1)
    for (name,) in server.query("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"):
        server.query(f'DROP DATABASE "{name}" WITH (FORCE)')
    server.query("GRANT CONNECT ON DATABASE postgres TO PUBLIC")
    for (name,) in server.query("SELECT rolname FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'"):
        server.query(f'DROP OWNED BY "{name}"')
        server.query(f'DROP ROLE "{name}"')


def laid_out(folder, server, drill, port):
    """Write the app's files; returns the environment of the backend."""

    def filled(text):
        text = re.sub(r"\bPORT\b", str(server.port), text)
        return text.replace("SOCKETS", server.socket_directory).replace('"CA"', json.dumps(str(folder / "ca.pem")))

    database = {"client": "pg", "connection": drill.connection, **drill.database}
    backend = {
        "baseUrl": f"http://localhost:{port}",
        "listen": f"127.0.0.1:{port}",
        "database": {key: value for key, value in database.items() if value is not None},
    }
    config = {"app": {"baseUrl": "http://localhost:3000"}, "backend": backend}
    (folder / "package.json").write_text('{"name": "drill", "private": true}')
    (folder / "app-config.yaml").write_text(filled(json.dumps(config, indent=1, ensure_ascii=False)))
    packages = folder / "node_modules"
    if not drill.without:
        packages.symlink_to(f"{BACKEND}/node_modules")
    else:
        packages.mkdir()
        # Links to the packages that it has, for a node that does not follow them; knex looks beside itself.
        for name in set(os.listdir(f"{BACKEND}/node_modules")) - {*drill.without, "knex"}:
            (packages / name).symlink_to(f"{BACKEND}/node_modules/{name}")
        shutil.copytree(f"{BACKEND}/node_modules/knex", packages / "knex")
    place = json.dumps(str(packages if drill.without else f"{BACKEND}/node_modules"))
    added = "".join(
        f"backend.add(load('plugin-{plugin}-backend'));\n" for plugin in sorted(("catalog", *drill.plugins))
    )
    (folder / "index.js").write_text(
        f"const load = name => require({place} + '/@backstage/' + name);\n"
        f"const backend = load('backend-defaults').createBackend();\n{added}"
        "backend.start().catch(error => { console.error(error); process.exit(1); });\n"
    )
    if drill.tls:
        with open(f"{server.directory}/server.crt", encoding="ascii") as stream:
            (folder / "ca.pem").write_text(stream.read())
    for name, text in drill.files.items():
        (folder / name).write_text(filled(text))
    given = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": "backstage", "PASSWORD": SECRET}
    environment = {f"POSTGRES_{name}": value for name, value in given.items()}
    environment.update(json.loads(filled(json.dumps(drill.env))))
    return {name: value for name, value in environment.items() if value is not None}


@contextlib.contextmanager
def crowded(server, free):
    """Others hold the server's connections, but for so many and those of superusers."""
    login = {"host": server.host, "port": server.port, "dbname": "postgres", "user": "others", "password": SECRET}
    with contextlib.ExitStack() as stack:
        if free is not None:
            server.query(f"CREATE ROLE others LOGIN PASSWORD '{SECRET}'")
            limits = ("max_connections", "superuser_reserved_connections")
            total, reserved = (int(server.query(f"SHOW {name}")[0][0]) for name in limits)
            for _number in range(total - reserved - free):
                stack.enter_context(contextlib.closing(psycopg2.connect(**login)))
        yield


@contextlib.contextmanager
def backend(folder, environment, links=False):
    """The process of a backend, which writes to the file log; ended afterwards."""
    options = ["--preserve-symlinks", "--preserve-symlinks-main"] if links else []
    with (folder / "log").open("w") as sink:
        process = subprocess.Popen(
            ["node", *options, "index.js"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def started(folder, environment, port, links=False):
    """Whether the backend gets ready, and what it says otherwise."""
    log = folder / "log"
    with backend(folder, environment, links) as process:
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            # An error in an event handler of pg leaves the backend waiting for ever, as a taken port does.
            if re.search("Uncaught exception|Unhandled rejection.*listen E", log.read_text()):
                break
            if ready(port):
                return True, "ready"
            time.sleep(0.2)
        return False, complaint(log.read_text())


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/.backstage/health/v1/readiness", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def complaint(text):
    """What the backend's log gives as the reason of its end."""
    text = re.sub(r"\x1b\[\d+m", "", text)
    for pattern in (
        r"startup failed; caused by (.*)",
        r"Uncaught exception (.*)",
        r"Unhandled rejection.*?(listen E.*)",
        r"^\w*Error(?:: | \[)(.*)",
    ):
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            break
    line = found[1] if found else "".join(text.strip().splitlines()[-1:])
    line = re.sub(r"^(Error: Failed to instantiate service .*? threw an error, )*", "", line)
    return re.sub(r"(/[\w.@-]+){3,}", lambda match: "…/" + match[0].rsplit("/", 1)[1], line)[:300]


@pytest.mark.parametrize("name", DRILLS if os.environ.get("DRILLS") == "all" else ORDINARY)
def test_both_say_the_same(name, servers, table, run_module, tmp_path):
    drill = DRILLS[name]
    if drill.plugins and not os.path.isdir(f"{BACKEND}/node_modules/@backstage/plugin-auth-backend"):
        pytest.skip("DEVPORTAL_BACKEND names a backend with the catalog only")
    server = servers[drill.server]
    emptied(server)
    for statement in () if drill.server == "standby" else drill.sql:
        where, _space, rest = statement.partition(" ")
        if where.startswith("@"):
            server.query(rest, dbname=where[1:])
        else:
            server.query(statement)
    port = free_port()
    environment = laid_out(tmp_path, server, drill, port)
    env = tmp_path / "env"
    env.write_bytes(env_file.set_variables(b"", environment, "systemd"))
    asked = {"directory": str(tmp_path), "env_file": str(env), "env_format": "systemd", "fail_on_problem": True}
    with crowded(server, drill.free):
        info = run_module("backstage_database_info", plugins=list(drill.plugins), **asked)
        starts, said = started(tmp_path, environment, port, bool(drill.without))

    def shown(text):
        text = text.replace(str(tmp_path), "APP").replace(server.directory, "SOCKETS")
        return re.sub(rf"\b{server.port}\b", "PORT", text)

    verdict = "would start" if starts else "would not start"
    agreed = info["would_start"] is starts
    table.append([name, shown(info["msg"]), shown(said), verdict if agreed else "**not the same**"])
    assert starts is drill.starts, said
    assert info["would_start"] is starts, (info["table"], said)
    assert info["failed"] is not starts
    for secret in {SECRET, environment.get("POSTGRES_PASSWORD", SECRET)} - {"12345", "true", ""}:
        assert secret not in json.dumps(info, ensure_ascii=False)


NOTHING = "nothing"
# What stands in backend.listen, where PORT is a free one; None is where Backstage rejects it.
LISTEN = {
    "a string with a host": ("127.0.0.1:PORT", ("127.0.0.1", "PORT")),
    "a string without a host": (":PORT", ("::", "PORT")),
    "a port alone": ("PORT", ("::", "PORT")),
    "a mapping": ({"host": "127.0.0.2", "port": "PORT"}, ("127.0.0.2", "PORT")),
    "a mapping with an IPv6 address": ({"host": "::1", "port": "PORT"}, ("::1", "PORT")),
    "a mapping with a port alone": ({"port": "PORT"}, ("::", "PORT")),
    "nothing, and a port in baseUrl": (NOTHING, ("::", 7007)),
    "a string with an empty port": ("127.0.0.1:", None),
    "a string with an IPv6 address": ("::1:PORT", None),
    "a string with an IPv6 address in brackets": ("[::1]:PORT", None),
    "a number": (7008, None),
    "a mapping with a port beyond TCP": ({"port": 70000}, None),
    "a mapping over a string": ({"port": "PORT"}, None),
}


@pytest.mark.parametrize("name", LISTEN if os.environ.get("DRILLS") == "all" else ["a string without a host"])
def test_both_listen_at_the_same_place(name, servers, tmp_path):
    written, wanted = LISTEN[name]
    server = servers["plain"]
    emptied(server)
    server.query(CREATEDB)
    port = free_port()
    written = json.loads(json.dumps(written).replace("PORT", str(port)))
    over = f"backend: {{listen: {json.dumps(written)}}}\n"
    files = {"app-config.local.yaml": over} if "over" in name else {}
    environment = laid_out(tmp_path, server, Drill(True, files=files), port)
    if not files:
        config = json.loads((tmp_path / "app-config.yaml").read_text())
        config["backend"]["listen"] = written
        if written == NOTHING:
            del config["backend"]["listen"]
        (tmp_path / "app-config.yaml").write_text(json.dumps(config))
    root = config_loader.load(str(tmp_path), environment).root
    expected = [(wanted[0], port if wanted[1] == "PORT" else wanted[1])] if wanted else []
    if expected == [("::", 7007)] and tcp_ports.holder(7007, "", ()):
        pytest.skip("another process has Backstage's default port")
    if wanted is None:
        with pytest.raises(CollectionError):
            listen_address.listen_address(root)
    else:
        told = listen_address.listen_address(root)
        assert [(told.host or "::", told.port)] == expected
    with backend(tmp_path, environment) as process:
        end = time.monotonic() + 60
        found = []
        while not found and process.poll() is None and time.monotonic() < end:
            found = tcp_ports.listeners_of([process.pid], tcp_ports.listeners())
            if wanted is None and re.search("startup failed|Unhandled rejection", (tmp_path / "log").read_text()):
                break
            time.sleep(0.2)
        said = complaint((tmp_path / "log").read_text())
        assert [(each.address, each.port) for each in found] == expected, said
    assert wanted or re.search("listen|port", said, re.IGNORECASE), said


@contextlib.contextmanager
def another_program(folder, server, port):
    """A program of any kind on the port; its process id."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        yield os.getpid()


@contextlib.contextmanager
def old_backstage(folder, server, port):
    """A Backstage that somebody started by hand and forgot: it is ready, on the port that the new one will want."""
    folder.mkdir()
    environment = laid_out(folder, server, Drill(True), port)
    with backend(folder, environment) as process:
        end = time.monotonic() + 60
        while not ready(port):
            alive = process.poll() is None and time.monotonic() < end
            assert alive, (folder / "log").read_text()
            time.sleep(0.2)
        yield process.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="the module asks for a path of root's")
@pytest.mark.parametrize(
    "occupied", [another_program, old_backstage] if os.environ.get("DRILLS") == "all" else [another_program]
)
def test_both_say_that_the_port_is_taken(occupied, servers, tmp_path, run_module):
    server = servers["plain"]
    emptied(server)
    server.query(CREATEDB)
    port = free_port()
    environment = laid_out(tmp_path, server, Drill(True), port)
    asked = {"user": "root", "directory": str(tmp_path), "command": "/bin/true"}
    asked |= {"env_file": "/etc/backstage/drill.env", "environment": environment}
    with occupied(tmp_path / "other", server, port) as holder:
        refused = run_module("backstage_service", check=True, **asked)
        with backend(tmp_path, environment) as process:
            end = time.monotonic() + 60
            while "listen E" not in (log := (tmp_path / "log").read_text()):
                alive = process.poll() is None and time.monotonic() < end
                assert alive, log
                time.sleep(0.2)
    assert refused["failed"]
    assert f"port {port} is already used by process {holder} (" in refused["msg"]
    assert f"listen EADDRINUSE: address already in use 127.0.0.1:{port}" in complaint(log)
    assert not run_module("backstage_service", check=True, **asked)["failed"]
