# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From Backstage's configuration to the connections that each plugin opens.

Private to this collection: its interface may change in any release.

Follows `packages/backend-defaults/src/entrypoints/database` of backstage/backstage (1.55), and the npm packages
pg-connection-string (`index.js`) and pg (`lib/connection-parameters.js`) that it hands the connection to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_loader import Config
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import (
    MISSING,
    ConfigReader,
    js_string,
    kind,
    merged,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import MANAGED_TYPES
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_url import parse_url
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.knex_pool import (
    DEFAULT_MAXIMUM,
    most_connections,
    pool_fault,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import (
    DEFAULT_PORT,
    MAX_PORT,
    NAME_BYTES,
    PORT_RANGE,
    is_long,
)

KEY = "backend.database"
ADMIN_DATABASE = "postgres"  # where Backstage looks for the plugins' databases, and creates them
CLIENTS = ("pg", "better-sqlite3", "sqlite3", "mysql", "mysql2")


class TargetError(CollectionError):
    """Backstage would not start, or nobody can tell.

    Attributes:
        reason: the name of the check that fails.
        known: whether Backstage is known to fail.
    """

    def __init__(self, reason: str, message: str, remedy: str, known: bool = True) -> None:
        super().__init__(message, remedy, reason)
        self.known = known


@dataclass(frozen=True)
class Tls:
    """How the pg package uses TLS.

    Attributes:
        verify: whether the certificate has to be trusted.
        ca: the authorities to trust, as PEM text; None: those of Node.
        more_authorities: a file with more of them (NODE_EXTRA_CA_CERTS).
        client_certificate: what the client shows, as the PEM texts of a certificate and its key; None for nothing.
        unreadable: whether the client's certificate is given in a form that is not looked into here.
    """

    verify: bool
    ca: str | None = None
    more_authorities: str | None = None
    client_certificate: tuple[str, str] | None = field(default=None, repr=False)
    unreadable: bool = False


@dataclass(frozen=True)
class Login:
    """One connection as the pg package would open it.

    Attributes:
        password: None where there is none; `text_password` is false when it is not a text, which SCRAM refuses.
        tls: None for none at all.
    """

    host: str
    port: int
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    text_password: bool = True
    tls: Tls | None = None

    def same_server(self, other: Login) -> bool:
        """Whether the other connection goes to the same place."""
        return (self.host, self.port) == (other.host, other.port)

    @property
    def url(self) -> str:
        """The connection in the form of a URL, with the password masked."""
        secret = ":********" if self.password is not None else ""
        host = quote(self.host, safe="") if self.host.startswith("/") else self.host
        return f"postgresql://{quote(self.user)}{secret}@{host}:{self.port}/{quote(self.database)}"


@dataclass(frozen=True)
class Plugin:
    """What one plugin asks of the database.

    Attributes:
        client: the knex client.
        database: the database's name; None in schema mode when none is configured.
        schema: in schema mode, the schema's name.
        ensure_database, ensure_schema: whether Backstage makes them when they are missing.
        connection: what is merged over the base connection for the plugin's own client.
        pool: the most connections it opens.
        migrates: whether it changes its tables at the start.
    """

    id: str
    client: str
    database: str | None = None
    schema: str | None = None
    ensure_database: bool = False
    ensure_schema: bool = False
    connection: dict[str, Any] = field(default_factory=dict, repr=False)
    pool: int = DEFAULT_MAXIMUM
    migrates: bool = True


class Target:
    """`backend.database` of a configuration, seen with the environment of the backend.

    Attributes:
        mode: database or schema.
        prefix: what the names of the plugins' databases begin with; in schema mode, of their schemas.
        role: the role that every connection takes on (SET ROLE), or None.
    """

    def __init__(self, config: Config, environment: Mapping[str, str]) -> None:
        self._config = config
        self._environment = environment
        self._reader = _database(config)
        self.mode = self._reader.optional_string("pluginDivisionMode") or "database"
        self.role = self._reader.optional_string("role")
        prefix = self._reader.optional_string("prefix") or "backstage_plugin_"
        schema_prefix = self._reader.optional_string("schemaPrefix") or ""
        if schema_prefix and not re.match(r"[a-zA-Z_][a-zA-Z0-9_]*\Z", schema_prefix, re.ASCII):
            raise TargetError(
                "configuration",
                f"{KEY}.schemaPrefix is {schema_prefix!r}, which Backstage rejects.",
                "Begin it with a letter or an underscore, and use only letters, digits and underscores.",
            )
        self.prefix = schema_prefix if self.mode == "schema" else prefix

    def plugin_ids(self, more: list[str]) -> list[str]:
        """The plugins that count: the catalog, those named in the configuration, and more."""
        named = self._reader.optional("plugin")
        return list(dict.fromkeys(["catalog", *(named if isinstance(named, dict) else {}), *more]))

    def client(self, plugin_id: str) -> str:
        """The knex client of a plugin. Raises: TargetError, ConfigLoaderError."""
        client = self._reader.optional_string(f"plugin.{plugin_id}.client") or self._base_client()
        if client not in CLIENTS:
            raise TargetError(
                "client",
                f"{KEY}.client is {client!r}, which a backend does not know.",
                "Use pg for PostgreSQL.",
            )
        return client

    def _base_client(self) -> str:
        if self._reader.optional_string("client") is None:
            raise self._missing("client", "Set it to pg.")
        return self._reader.string("client")

    def plugin(self, plugin_id: str) -> Plugin:
        """What a plugin asks of the database (computePgPluginConfig). Raises: TargetError, ConfigLoaderError."""
        reader, own = self._reader, f"plugin.{plugin_id}"
        client = self.client(plugin_id)
        if client != "pg":
            return Plugin(plugin_id, client)
        base = dict(self._base())
        if self.mode != "schema":
            base.pop("database", None)
        given = reader.optional(f"{own}.connection")
        mine = self._normal(given, f"{KEY}.{own}.connection") if given else {}
        connection = {**({} if client != self._base_client() else base), **mine}
        database = connection.get("database")
        schema = None
        if self.mode == "schema":
            schema = f"{self.prefix}{plugin_id}"
            if is_long(schema):
                problem = f"The schema's name {schema} has more than {NAME_BYTES} bytes."
                raise TargetError("configuration", problem, "Shorten it.")
        elif database is None:
            database = f"{reader.optional_string('prefix') or 'backstage_plugin_'}{plugin_id}"
        ensure = _first(reader.optional_boolean(f"{own}.ensureExists"), reader.optional_boolean("ensureExists"), True)
        # The key of the plugin's own switch is misspelt in Backstage; this is how it is read there.
        ensure_schema = _first(
            reader.optional_boolean(f"{own}.getEnsureSchemaExistsConfig"),
            reader.optional_boolean("ensureSchemaExists"),
            False,
        )
        skip = _first(
            reader.optional_boolean(f"{own}.skipMigrations"), reader.optional_boolean("skipMigrations"), False
        )
        return Plugin(
            plugin_id,
            client,
            database=str(database) if database else None,
            schema=schema,
            ensure_database=bool(database) and ensure,
            ensure_schema=schema is not None and (ensure or ensure_schema),
            connection=connection,
            pool=self._pool(own),
            migrates=not skip,
        )

    def _pool(self, own: str) -> int:
        """The most connections of a plugin. Raises: TargetError."""
        pool: dict[str, Any] = {}
        places = {}
        for key in ("knexConfig", f"{own}.knexConfig"):
            part = self._reader.optional_config(key)
            given = (part.get() if part else {}).get("pool")
            for name, value in given.items() if isinstance(given, dict) else ():
                if value is not None:  # Backstage drops empty values
                    pool[name], places[name] = value, key
        fault = pool_fault(pool)
        if fault:
            key = f"{KEY}.{places.get(fault[0], 'knexConfig')}.pool.{fault[0]}"
            raise TargetError(
                "configuration",
                f"{key}{self._place(key)} {fault[1]}, with which no plugin connects.",
                "Write a number there; a variable (${...}) always gives a text.",
            )
        return most_connections(pool)

    def admin_login(self) -> Login:
        """The connection by which databases are made. Raises: TargetError."""
        return self._login({**self._base(), "database": ADMIN_DATABASE})

    def schema_login(self) -> Login:
        """The connection by which schemas are made. Raises: TargetError."""
        return self._login(self._base())

    def plugin_login(self, plugin: Plugin) -> Login:
        """The plugin's own connection. Raises: TargetError."""
        connection = merged({**plugin.connection, **({"database": plugin.database} if plugin.database else {})})
        return self._login(merged(connection, self._base()), plugin.id)

    def _base(self) -> dict[str, Any]:
        value = self._reader.optional("connection")
        if value is MISSING:
            raise self._missing("connection", "Set host, port, user and password there.")
        connection = self._normal(value, f"{KEY}.connection")
        kind_of = connection.get("type")
        if kind_of in MANAGED_TYPES:
            raise TargetError(
                "connection",
                f"{KEY}.connection.type is {kind_of}: Backstage gets its password from that cloud at the start.",
                "Nothing to do; look at the log of Backstage.",
                known=False,
            )
        if kind_of not in (None, "", "default"):
            raise TargetError(
                "connection",
                f"{KEY}.connection.type is {js_string(kind_of)!r}, which Backstage rejects.",
                "Remove it, or use default, azure, cloudsql or rds.",
            )
        return connection

    def _normal(self, value: Any, key: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if not isinstance(value, str):
            raise TargetError("connection", f"{key} is {kind(value)}.", "Use a mapping with host, port and so on.")
        try:
            return parse_url(value, self._config.ids)
        except ValueError as error:
            raise TargetError(
                "connection",
                f"{key}{self._place(key)} is not a URL that Backstage can read: {error}.",
                "Write postgresql://USER:PASSWORD@HOST:PORT, with special characters percent-encoded.",
            ) from None

    def _key(self, plugin: str, name: str) -> str:
        """Where a setting of a plugin's connection stands: in its own, or in the shared one."""
        for way in ([f"plugin.{plugin}.connection"] if plugin else []) + ["connection"]:
            given = self._reader.optional(way)
            if isinstance(given, str):
                return way
            if isinstance(given, dict) and name in given:
                return f"{way}.{name}"
        return f"connection.{name}"

    def _login(self, connection: dict[str, Any], plugin: str = "") -> Login:
        """What the pg package makes of a connection (ConnectionParameters)."""
        if isinstance(connection.get("connectionString"), str):
            connection = {**connection, **self._normal(connection["connectionString"], f"{KEY}.connection")}
        environment = self._environment
        user = connection.get("user") or environment.get("PGUSER") or environment.get("USER")
        host = connection.get("host") or environment.get("PGHOST") or "localhost"
        password = connection.get("password") or environment.get("PGPASSWORD") or None
        database = connection.get("database") or environment.get("PGDATABASE") or user
        key = self._key(plugin, "user")
        if not user and isinstance(self._reader.optional(key), str):
            raise TargetError(
                "connection",
                f"{KEY}.{key}{self._place(f'{KEY}.{key}')} is a text that names no user; "
                "where it is not a URL at all, Backstage looks for a host named base.",
                "Write postgresql://USER:PASSWORD@HOST:PORT, or a mapping with host, port, user and password.",
            )
        if not user:
            raise self._missing(key, "Set it.", "Backstage has no user to log in as")
        for name, value in (("user", user), ("host", host)):
            if not isinstance(value, str):
                key = f"{KEY}.{self._key(plugin, name)}"
                raise TargetError(
                    "connection",
                    f"{key}{self._place(key)} is {kind(value)}, not a text.",
                    "Put it in quotes.",
                )
        return Login(
            host=host,
            port=self._port(connection.get("port") or environment.get("PGPORT") or DEFAULT_PORT, plugin),
            user=user,
            database=js_string(database),
            password=None if password is None else js_string(password),
            text_password=password is None or isinstance(password, str),
            tls=self._tls(connection, f"{KEY}.{self._key(plugin, 'ssl')}"),
        )

    def _port(self, value: Any, plugin: str) -> int:
        digits = re.match(r"\s*([+-]?\d+)", js_string(value), re.ASCII)
        if not digits or not 0 <= int(digits[1]) <= MAX_PORT:
            key = f"{KEY}.{self._key(plugin, 'port')}"
            raise TargetError(
                "connection",
                f"{key}{self._place(key)} is {js_string(value)!r}, which is not a port number.",
                f"Give a number from {PORT_RANGE}.",
            )
        return int(digits[1])

    def _tls(self, connection: dict[str, Any], key: str) -> Tls | None:
        ssl = connection.get("ssl")
        if ssl is None:
            mode = self._environment.get("PGSSLMODE")
            ssl = mode if mode == "no-verify" else mode in ("prefer", "require", "verify-ca", "verify-full")
        if not ssl and not isinstance(ssl, dict):
            return None
        if isinstance(ssl, str) and ssl in ("true", "no-verify"):
            ssl = {"rejectUnauthorized": ssl == "true"}
        elif ssl is True:
            ssl = {}
        if not isinstance(ssl, dict):
            raise TargetError(
                "tls",
                f"{key}{self._place(key)} is {kind(ssl)} other than true, "
                "at which the TLS of Backstage fails; the text 'false' turns TLS on, too.",
                "Give true, false without quotes, or a mapping; leave the key out for no TLS.",
            )
        ca = ssl.get("ca")
        texts = ca if isinstance(ca, list) else [ca or ""]
        if not all(isinstance(text, str) for text in texts):
            raise TargetError(
                "tls",
                f"{key}.ca{self._place(f'{key}.ca')} is not a string, which the TLS of Backstage rejects.",
                "Give the certificate itself, or {$file: ca.pem}.",
            )
        # Only what is in a list is trusted, even if that is nothing; an empty text is as if not given.
        authorities = "\n".join(texts) or (" " if isinstance(ca, list) else None)
        return Tls(
            verify=ssl.get("rejectUnauthorized") is not False,
            ca=authorities,
            more_authorities=None if authorities else self._environment.get("NODE_EXTRA_CA_CERTS"),
            client_certificate=_client_certificate(ssl),
            unreadable="pfx" in ssl or "passphrase" in ssl or isinstance(ssl.get("cert"), list),
        )

    def explain(self, key: str) -> str:
        """Say why a key of backend.database has no value, as the end of a sentence."""
        dropped = self._config.dropped(f"{KEY}.{key}") or self._config.dropped(f"{KEY}.{key.split('.', maxsplit=1)[0]}")
        if dropped is None:
            return "is not set"
        return f"is left out, because the variable {dropped.variable} ({dropped.place}) is not set"

    def remedy(self, key: str) -> str:
        """What to do about a key of backend.database that has no value, a sentence."""
        dropped = self._config.dropped(f"{KEY}.{key}")
        if dropped is None:
            return "Set it."
        return (
            f"Set {dropped.variable} in the environment of Backstage, in its env file for instance; "
            f"where the text ${{{dropped.variable}}} itself is meant, write $${{{dropped.variable}}}."
        )

    def place(self, key: str) -> str:
        """Where a key of backend.database comes from, in brackets after a space; empty where that is not known."""
        return self._place(f"{KEY}.{key}")

    def password_place(self, login: Login) -> str:
        """As `place`, for the password of a login; empty where it is not the one that all plugins share."""
        shared = self._base().get("password")
        return self.place("connection.password") if js_string(shared) == login.password else ""

    def _missing(self, key: str, remedy: str, what: str = "") -> TargetError:
        dropped = self._config.dropped(f"{KEY}.{key}")
        text = f"{KEY}.{key} {self.explain(key)}"
        if dropped:
            remedy = self.remedy(key)
        return TargetError("configuration", f"{what}: {text}." if what else f"{text}.", remedy)

    def _place(self, key: str) -> str:
        origin = self._config.origin(key)
        return f" ({origin})" if origin else ""

    def origins(self) -> dict[str, str]:
        """Where each key of the connection comes from."""
        keys = ("client", "connection", *(f"connection.{key}" for key in ("host", "port", "user", "password", "ssl")))
        found = {key: self._config.origin(f"{KEY}.{key}") for key in keys}
        return {key: str(origin) for key, origin in found.items() if origin}


def _client_certificate(ssl: Mapping[str, Any]) -> tuple[str, str] | None:
    """The certificate and the key that Node.js shows; it does nothing with one of the two alone."""
    certificate, key = ssl.get("cert"), ssl.get("key")
    return (certificate, key) if isinstance(certificate, str) and isinstance(key, str) and certificate and key else None


def _database(config: Config) -> ConfigReader:
    return config.root.config(KEY)


def _first(*values: bool | None) -> bool:
    return next(value for value in values if value is not None)
