# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of `backend.database`: what Backstage knows, what its libraries read, and what a user may set.

Private to this collection: its interface may change in any release.

The keys are those of `config.d.ts` in `packages/backend-defaults` of backstage/backstage (1.55); what they do was read
in `src/entrypoints/database/connectors` there.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    KEYS,
    PLACEHOLDER,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.knex_pool import pool_fault
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_names import REFERENCES

# Knex reads these beside `connection` although the schema does not name them: Backstage hands it the whole object.
KNEX_KEYS = (
    "acquireConnectionTimeout",
    "asyncStackTraces",
    "compileSqlOnError",
    "debug",
    "defaultDateTimePrecision",
    "jsonbSupport",
    "migrations",
    "pool",
    "returning",
    "searchPath",
    "seeds",
    "useNullAsDefault",
    "version",
)
# Connection settings of node-postgres and of the TLS it uses; the schema allows any other too.
_CONNECTION_KEYS = (
    "application_name",
    "binary",
    "client_encoding",
    "connectionTimeoutMillis",
    "database",
    "enableChannelBinding",
    "fallback_application_name",
    "idle_in_transaction_session_timeout",
    "keepAlive",
    "keepAliveInitialDelayMillis",
    "lock_timeout",
    "options",
    "query_timeout",
    "replication",
    "ssl",
    "sslnegotiation",
    "statement_timeout",
    "stream",
    "type",
    "types",
)
# Connection types whose password Backstage gets from a cloud, with the keys that only they have.
MANAGED_TYPES = {
    "azure": ("tokenCredential",),
    "cloudsql": ("instance", "ipAddressType"),
    "rds": ("region",),
}

_Rule = Callable[[Any, str], None]


def check_database(database: Mapping[str, Any]) -> None:
    """Check further keys of `backend.database` against Backstage's schema. None stands for: take the key away.

    Raises:
        CollectionError: an unknown key, with the nearest known one, or a value of the wrong kind.
    """
    for key in ("client", *KEYS):
        if key in database:
            where = "is always pg here" if key == "client" else f"is the option {key}"
            raise CollectionError(f"database.{key}: {key} {where}; take it out of database.")
    connection = database.get("connection", {})
    if not isinstance(connection, Mapping) or is_reference(connection):
        raise CollectionError(
            "database.connection is not a dictionary of further keys: give these themselves, such as ssl, "
            "or leave it out."
        )
    for key in KEYS:
        if key in connection:
            raise CollectionError(f"database.connection.{key} is the option {key}; take it out of database.")
    if "connectionString" in connection:
        raise CollectionError("database.connection.connectionString would override host and the others. Leave it out.")
    if connection.get("type") not in (None, "default"):
        raise CollectionError(
            "database.connection.type: with this type the cloud provider gives the password, not this module; "
            "write such a connection by hand."
        )
    _keys(DATABASE_KEYS)(database, "database")


def is_reference(value: Any) -> bool:
    """Whether a value stands elsewhere: in a variable, a file, or a part of one."""
    return isinstance(value, Mapping) and any(key in value for key in REFERENCES)


def comes_from_elsewhere(value: Any) -> bool:
    """Whether Backstage alone can tell what the value will be: a reference or a placeholder."""
    return is_reference(value) or (isinstance(value, str) and bool(PLACEHOLDER.search(value)))


def _is(kind: type, words: str) -> _Rule:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, kind):
            raise CollectionError(f"{where} is not {words}.")

    return check


def _one_of(*names: str) -> _Rule:
    def check(value: Any, where: str) -> None:
        if value not in names:
            raise CollectionError(f"{where} is {value!r}: it must be {' or '.join(names)}.")

    return check


def _keys(rules: Mapping[str, _Rule]) -> _Rule:
    def check(value: Any, where: str) -> None:
        _DICTIONARY(value, where)
        for key, item in value.items():
            if key not in rules:
                near = difflib.get_close_matches(str(key), rules, 1)
                hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(rules)}."
                raise CollectionError(f"{where}.{key} is not a key that Backstage knows; {hint}")
            if item is not None and not comes_from_elsewhere(item):
                rules[key](item, f"{where}.{key}")

    return check


def _each(rule: _Rule) -> _Rule:
    def check(value: Any, where: str) -> None:
        _DICTIONARY(value, where)
        for key, item in value.items():
            if item is not None and not comes_from_elsewhere(item):
                rule(item, f"{where}.{key}")

    return check


def _connection(value: Any, where: str) -> None:
    if isinstance(value, str):
        return
    _DICTIONARY(value, where)
    for key in value:
        # The schema lets any key pass, and node-postgres ignores what it does not know: only a slip can be told.
        near = difflib.get_close_matches(str(key), _CONNECTION_KEYS, 1, 0.66)
        if near and key not in _CONNECTION_KEYS:
            raise CollectionError(f"{where}.{key} is not a key that PostgreSQL's client knows; did you mean {near[0]}?")


def _knex_config(value: Any, where: str) -> None:
    _DICTIONARY(value, where)
    pool = value.get("pool")
    if not isinstance(pool, Mapping) or is_reference(pool):
        return
    given = {key: item for key, item in pool.items() if item is not None and not is_reference(item)}
    # What is not given here may be in the file.
    fault = pool_fault({"min": 0, "max": sys.maxsize, **given})
    if fault:
        raise CollectionError(
            f"{where}.pool.{fault[0]} {fault[1]}, with which no plugin connects.",
            "Write a number; a variable (${...}) always gives a text.",
        )


_DICTIONARY = _is(Mapping, "a dictionary")
_BOOLEAN = _is(bool, "true or false")
_STRING = _is(str, "a string")

DATABASE_KEYS: dict[str, _Rule] = {
    "connection": _connection,
    "ensureExists": _BOOLEAN,
    "ensureSchemaExists": _BOOLEAN,
    "knexConfig": _knex_config,
    "plugin": _each(
        _keys(
            {
                "client": _one_of("better-sqlite3", "sqlite3", "pg"),
                "connection": _connection,
                "ensureExists": _BOOLEAN,
                "ensureSchemaExists": _BOOLEAN,
                "knexConfig": _knex_config,
                "role": _STRING,
                "skipMigrations": _BOOLEAN,
            }
        )
    ),
    "pluginDivisionMode": _one_of("database", "schema"),
    "prefix": _STRING,
    "role": _STRING,
    "schemaPrefix": _STRING,
    "skipMigrations": _BOOLEAN,
}
