# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import database_schema
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError


@pytest.mark.parametrize(
    ("database", "text"),
    [
        ({"client": "pg"}, "client is always pg"),
        ({"host": "x"}, r"database\.host: host is the option host"),
        ({"connection": {"password": "x"}}, "is the option password"),
        ({"connection": {"connectionString": "x"}}, "would override host"),
        ({"connection": "x"}, "connection is not a dictionary"),
        ({"connection": None}, "connection is not a dictionary"),
        ({"connection": {"$env": "X"}}, "connection is not a dictionary"),
        ({"connection": {"type": "rds"}}, "cloud provider"),
        ({"connection": {"databse": "x"}}, r"connection\.databse is .* did you mean database\?"),
        ({"pluginDivisonMode": "schema"}, r"database\.pluginDivisonMode is .* did you mean pluginDivisionMode\?"),
        ({"pluginDivisionMode": "Schema"}, "it must be database or schema"),
        ({"zzz": 1}, "it knows connection, ensureExists"),
        ({"ensureExists": "yes"}, r"database\.ensureExists is not true or false"),
        ({"prefix": 1}, r"database\.prefix is not a string"),
        ({"knexConfig": []}, "is not a dictionary"),
        ({"knexConfig": {"pool": {"max": "20"}}}, r"database\.knexConfig\.pool\.max is a text, not a whole number"),
        ({"plugin": {"a": {"knexConfig": {"pool": {"min": "${X}"}}}}}, r"plugin\.a\.knexConfig\.pool\.min is a text"),
        ({"plugin": {"catalog": {"prefix": "x"}}}, r"database\.plugin\.catalog\.prefix is not a key"),
        ({"plugin": {"catalog": {"client": "mysql"}}}, "it must be better-sqlite3 or sqlite3 or pg"),
        ({"plugin": {"catalog": 1}}, r"database\.plugin\.catalog is not a dictionary"),
        ({"plugin": {"catalog": {"connection": {"sll": True}}}}, r"did you mean ssl\?"),
    ],
)
def test_keys_that_backstage_does_not_know(database, text):
    with pytest.raises(CollectionError, match=text):
        database_schema.check_database(database)


def test_keys_that_backstage_knows():
    database_schema.check_database(
        {
            "connection": {"ssl": {"ca": {"$file": "x"}, "anything": 1}, "database": "d", "foo": 1, "type": None},
            "ensureExists": "${ENSURE}",
            "ensureSchemaExists": {"$env": "X"},
            "knexConfig": {"pool": {"max": 3}},
            "plugin": {
                "catalog": {"client": "pg", "connection": "${X}", "role": "r"},
                "auth": None,
                "search": {"knexConfig": {"pool": {"min": 20, "max": None, "idleTimeoutMillis": {"$include": "x"}}}},
            },
            "pluginDivisionMode": "schema",
            "prefix": "x_",
            "role": None,
            "schemaPrefix": "s_",
            "skipMigrations": False,
        }
    )
