# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import connection_settings, database_block
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_block import Patched
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from hypothesis import given
from hypothesis import strategies as st

ENV = connection_settings.by_variable(connection_settings.VARIABLES)

LITERAL = connection_settings.by_literal("db.example.com", 5433, "backstage", "geheim")

# The guide's own example, https://backstage.io/docs/getting-started/config/database, in a file of create-app.
BEFORE = b"""\
backend:
  # This is for local development only, it is not recommended to use this in production
  database:
    client: better-sqlite3
    connection: ':memory:'
  # workingDirectory: /tmp

integrations: {}
"""

AFTER = b"""\
backend:
  # This is for local development only, it is not recommended to use this in production
  database:
    client: pg
    connection:
      host: ${POSTGRES_HOST}
      port: ${POSTGRES_PORT}
      user: ${POSTGRES_USER}
      password: ${POSTGRES_PASSWORD}
  # workingDirectory: /tmp

integrations: {}
"""

BLOCK = AFTER.split(b"\n", 2)[2].split(b"  # working")[0]


def after(text, wanted=ENV, /, **database):
    """The patched text; a second patch must find nothing to do."""
    patched = database_block.present(text.encode(), wanted, database)
    again = database_block.present(patched.data, wanted, database)
    assert again.data == patched.data
    assert again.removed == []
    return patched.data.decode(), patched.removed, patched.warnings


def block(*lines):
    return "\n".join(["backend:", "  database:", *(f"    {line}" for line in lines), "x: 1", ""])


def test_the_guide_and_back():
    assert database_block.present(BEFORE, ENV) == Patched(AFTER)
    assert database_block.present(AFTER, ENV) == Patched(AFTER)
    assert database_block.absent(AFTER) == Patched(BEFORE)
    assert database_block.absent(BEFORE) == Patched(BEFORE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "app: 1\n",
        "backend:\n",
        "backend: {}\n",
        "backend:\n  database:\n",
        "backend:\n  database: null\n",
        "backend:\n  database: {}\n",
        "---\nbackend:\n  listen: 1\n",
        "backend:\n  database:\n    connection:\n",
        "backend:\n  database:\n    client: ${DATABASE_CLIENT}\n",
        "backend: {database: {client: better-sqlite3, connection: ':memory:'}}\n",
    ],
)
def test_from_any_start(text):
    result, removed, warnings = after(text)
    database = database_block.Document(result).tree["backend"]["database"]
    assert database == {"client": "pg", "connection": ENV}
    assert list(database["connection"]) == ["host", "port", "user", "password"]
    assert removed == warnings == []


def test_bytes_that_are_not_the_databases_are_kept():
    data = b"\xef\xbb\xbf" + BEFORE.replace(b"\n", b"\r\n")[:-2]
    assert database_block.present(data, ENV).data == b"\xef\xbb\xbf" + AFTER.replace(b"\n", b"\r\n")[:-2]


def test_further_keys_and_comments_stay():
    text = block(
        "client: pg",
        "# why",
        "connection:",
        "  database: mine # kept",
        "  host: old # where",
        "  ssl: {rejectUnauthorized: false}",
        "  port: 1",
        "  user: u",
        "  password: p",
        "prefix: my_",
        "knexConfig: {pool: {max: 3}}",
        "pool: {min: 2}",
        "plugin: {catalog: {connection: {database: c}}}",
    )
    result, removed, warnings = after(text)
    expected = text.replace("host: old", "host: ${POSTGRES_HOST}").replace("port: 1", "port: ${POSTGRES_PORT}")
    expected = expected.replace("user: u", "user: ${POSTGRES_USER}").replace(
        " password: p", " password: ${POSTGRES_PASSWORD}"
    )
    assert result == expected
    assert removed == warnings == []


@pytest.mark.parametrize(
    ("lines", "removed"),
    [
        (["connection:", "  filename: ':memory:'"], ["connection.filename"]),
        (["connection:", "  directory: /data"], ["connection.directory"]),
        (["connection: {flags: [A], options: {readonly: true}}"], ["connection.flags", "connection.options"]),
        (["connection: {connectionString: 'postgres://x/y'}"], ["connection.connectionString"]),
        (
            ["connection: ':memory:'", "host: h", "port: 1", "user: u", "password: p"],
            ["host", "port", "user", "password"],
        ),
    ],
)
def test_what_goes(lines, removed):
    result, gone, warnings = after(block("client: better-sqlite3", *lines))
    assert result == block("client: pg", "connection:", *(f"  {key}: {value}" for key, value in ENV.items()))
    assert gone == [f"backend.database.{name}" for name in removed]
    assert all("SQLite files of /data is not moved" in text for text in warnings)
    assert len(warnings) == (removed == ["connection.directory"])


def test_options_of_postgresql_stay():
    result, removed, _unused = after(block("client: pg", "connection: {host: h, options: '-c x=1'}"))
    assert "options: '-c x=1'" in result
    assert removed == []


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (
            ["clientt: pg"],
            r"database\.clientt is not a key that Backstage knows \(did you mean client\?\); it was left",
        ),
        (["zzz: 1"], r"database\.zzz is not a key that Backstage knows; it was left as it is"),
        (["<<: {a: 1}"], r"database\.<< is not a merge to Backstage"),
        (["pluginDivisionMode: schema"], r"connection\.database is not set"),
    ],
)
def test_what_stays_with_a_warning(lines, text):
    result, removed, [warning] = after(block("client: pg", f"connection: {{{LINE}}}", *lines))
    assert lines[0] in result
    assert removed == []
    assert re.search(text, warning)


LINE = "host: a, port: b, user: c, password: d"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("rds", ["type", "region"]),
        ("azure", ["type", "tokenCredential"]),
        ("cloudsql", ["type", "instance", "ipAddressType"]),
    ],
)
def test_a_cloud_providers_login_goes_with_a_warning(kind, keys):
    more = ", ".join(f"{key}: {kind}" for key in keys)
    _unused, removed, [warning] = after(block("client: pg", f"connection: {{{LINE}, {more}}}"))
    assert removed == [f"backend.database.connection.{key}" for key in keys]
    assert f"had the type {kind}" in warning
    assert after(block("client: pg", f"connection: {{{LINE}, type: default}}"))[1] == []


@pytest.mark.parametrize(
    ("string", "more", "kept", "warning"),
    [
        ("postgres://u:p@h:1/mydb", [], None, None),
        ("postgres://u:p@h:1/my%20db", ["pluginDivisionMode: schema"], "my db", None),
        ("postgres://u:p@h:1/mydb?sslmode=require&application_name=x", [], None, "with sslmode, application_name;"),
        ("${DATABASE_URL}", [], None, "came whole from elsewhere"),
        ("{$env: DATABASE_URL}", [], None, "came whole from elsewhere"),
        ("./some/file.sqlite", [], None, None),
        ("http://[broken", [], None, None),
        *(
            (f"postgres://u:{password}@db:5432/mydb", ["pluginDivisionMode: schema"], None, "database is not set")
            for password in ("Top?Secret&x#y", "Top?Secret", "pa/Secret", "pa@b/Secret", "Top#Secret")
        ),
    ],
)
def test_a_connection_string_goes(string, more, kept, warning):
    text = string if string.startswith("{") else f"'{string}'"
    result, removed, warnings = after(block("client: pg", f"connection: {text}", *more))
    assert database_block.Document(result).tree["backend"]["database"]["connection"].get("database") == kept
    assert "h:1" not in result
    assert "Secret" not in f"{result}{warnings}"
    assert removed == []
    assert len(warnings) == (warning is not None)
    assert not warnings or warning in warnings[0]


def test_a_port_in_quotes_is_as_good():
    text = block("client: pg", "connection:", "  host: h", "  port: '5433'", "  user: u", "  password: p")
    wanted = connection_settings.by_literal("h", 5433, "u", "p")
    assert after(text, wanted)[0] == text
    assert "port: 5434" in after(text, {**wanted, "port": 5434})[0]


def test_a_number_is_no_password():
    text = block("client: pg", "connection:", "  host: h", "  port: 5433", "  user: u", "  password: 12345")
    result, _unused, _unused = after(text, connection_settings.by_literal("h", 5433, "u", "12345"))
    assert result == text.replace("12345", "'12345'")


def test_further_keys_are_merged_and_taken_away():
    text = block(
        "client: pg", f"connection: {{{LINE}, ssl: true}}", "prefix: a_", "knexConfig:", "  pool:", "    min: 1"
    )
    result, _unused, warnings = after(
        text,
        prefix=None,
        role=None,
        knexConfig={"pool": {"max": 9, "min": None}, "debug": True},
        connection={"ssl": {"ca": {"$file": "ca.pem"}}, "database": "d"},
        pluginDivisionMode="schema",
    )
    database = database_block.Document(result).tree["backend"]["database"]
    assert database == {
        "client": "pg",
        "connection": {**ENV, "ssl": {"ca": {"$file": "ca.pem"}}, "database": "d"},
        "knexConfig": {"pool": {"max": 9}, "debug": True},
        "pluginDivisionMode": "schema",
    }
    assert warnings == []


def test_a_reference_is_replaced_as_a_whole():
    text = block("client: pg", f"connection: {{{LINE}, ssl: {{ca: {{$env: CA}}}}}}")
    result, _unused, _unused = after(text, connection={"ssl": {"ca": {"$file": "ca.pem"}}})
    assert database_block.Document(result).tree["backend"]["database"]["connection"]["ssl"] == {
        "ca": {"$file": "ca.pem"}
    }
    text = block("client: pg", "knexConfig: {$include: knex.yaml}", f"connection: {{{LINE}}}")
    result, _unused, _unused = after(text, knexConfig={"debug": True})
    assert database_block.Document(result).tree["backend"]["database"]["knexConfig"] == {"debug": True}


def test_nothing_is_made_to_take_keys_from():
    text = block("client: pg", f"connection: {{{LINE}, ssl: true}}", "knexConfig: {$include: knex.yaml}")
    text = after(text)[0]
    for more in (
        {"plugin": {"catalog": {"connection": None}}},
        {"knexConfig": {"pool": None}},
        {"connection": {"ssl": {"ca": None}}},
    ):
        assert after(text, **more)[0] == text
    assert "plugin:\n      catalog: {}\n" in after(text, plugin={"catalog": {}})[0]


def test_one_is_not_true():
    text = block("client: pg", f"connection: {{{LINE}}}", "ensureExists: 1")
    assert "ensureExists: true" in after(after(text)[0], ensureExists=True)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "the file is a sequence, not a mapping"),
        ("text\n", "the file is a scalar, not a mapping"),
        ("backend: [1]\n", "line 1: backend is a sequence, where Backstage wants a mapping"),
        ("backend: x\n", "line 1: backend is a scalar"),
        ("a: 1\nbackend:\n  database: 1\n", "line 3: backend.database is a scalar"),
        ("backend:\n  database: [1]\n", "line 2: backend.database is a sequence"),
        ("a: &a {}\nbackend: *a\n", "line 2: backend is an alias"),
        ("a: &a {}\nbackend:\n  database: *a\n", "line 3: backend.database is an alias"),
        ("a: &a {}\nbackend:\n  database:\n    connection: *a\n", "line 4: backend.database.connection is an alias"),
        ("# x\n$include: b.yaml\n", r"line 2: the file comes from another file or variable \(\$include\)"),
        ("backend:\n  $include: b.yaml\n", r"line 2: backend comes from another file or variable \(\$include\)"),
        ("backend:\n  database: {$file: b.yaml}\n", r"line 2: backend.database comes from .* \(\$file\)"),
        (
            "backend:\n  database:\n    connection: {$include: b.yaml}\n",
            r"line 3: .*connection comes from another file",
        ),
        ("backend:\n  a: 1\n  a: 2\n", "line 3"),
        ("a: 1\n---\nb: 1\n", "document"),
        ("a: [1\n", "line"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", r"git's conflict markers stand .* \(lines 2, 4, 6\)"),
        ("backend:\n  database: &a\n    client: x\ny: *a\n", "nothing was changed"),
    ],
)
def test_refused_files(text, message):
    with pytest.raises(CollectionError, match=message) as caught:
        database_block.present(text.encode(), ENV)
    assert "\n" not in str(caught.value)


def test_not_utf8():
    with pytest.raises(CollectionError, match="UTF-8"):
        database_block.present(b"a: \xff\n", ENV)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app: 1\n",
        "backend: {database: {client: embedded-postgres, connection: {}}}\n",
        "backend: {database: {client: sqlite3, connection: {directory: x}}}\n",
        "backend: {database: {client: mysql2, connection: {host: h, user: u}, pluginDivisionMode: schema}}\n",
        "backend: {database: {client: '${CLIENT}', connection: {$include: b.yaml}}}\n",
    ],
)
def test_absent_leaves_what_is_not_ours(text):
    assert database_block.absent(text.encode()) == Patched(text.encode())


def test_absent_of_what_stands_elsewhere():
    with pytest.raises(CollectionError, match=r"line 4: backend\.database\.connection comes from another file"):
        database_block.absent(block("client: pg", "connection: {$include: b.yaml}").encode())


def test_absent_from_half_done():
    text = block("client: better-sqlite3", "connection: {host: x}", "user: u", "pluginDivisionMode: schema", "role: r")
    patched = database_block.absent(text.encode())
    assert database_block.Document(patched.data).tree["backend"]["database"] == {**database_block.BEFORE, "role": "r"}
    assert patched.removed == ["backend.database.user", "backend.database.pluginDivisionMode"]


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_literal_is_read_back(password):
    wanted = connection_settings.by_literal("h", 1, "u", password)
    data = database_block.present(BEFORE, wanted).data
    found = database_block.Document(data).tree["backend"]["database"]["connection"]["password"]
    assert isinstance(found, str)
    assert found == connection_settings.escape(password)
    assert database_block.present(data, wanted).data == data


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "x: !!binary aGk=\n", "x: &a [*a]\n"])
def test_what_no_configuration_has_is_refused(text):
    for change in (lambda data: database_block.present(data, {"host": "db"}, {}), database_block.absent):
        with pytest.raises(CollectionError, match="line 1"):
            change(text.encode())


def test_no_part_of_a_password_is_in_a_warning():
    data = b"backend:\n  database:\n    client: pg\n    connection: postgresql://me:pa?ss&wo@rd/db\n"
    assert not database_block.present(data, {"host": "db"}, {}).warnings


@pytest.mark.parametrize(
    ("connection", "database", "kept", "named"),
    [
        ({"connectionString": "pg://u:S3cret@h:5432/mydb?sslmode=require"}, {}, "mydb", "sslmode"),
        ({"connectionString": "pg://u:S3cret@h/my%2Ddb", "host": "x"}, {}, "my-db", None),
        ({"database": "other", "connectionString": "pg://h/mydb"}, {}, "mydb", None),
        ({"connectionString": "pg://h/mydb?a=1&sslmode=no"}, {"pluginDivisionMode": "database"}, None, "a, sslmode"),
        ({"connectionString": "pg://h/mydb"}, {"pluginDivisionMode": "schema"}, "mydb", None),
        ({"database": "mine", "connectionString": "${URL}"}, {}, "mine", "came whole from elsewhere"),
        ({"database": "mine", "connectionString": {"$env": "URL"}}, {}, "mine", "came whole from elsewhere"),
    ],
)
def test_a_connection_string_in_an_object_is_treated_as_a_plain_one(connection, database, kept, named):
    mode = [] if database else ["pluginDivisionMode: schema"]
    result, removed, warnings = after(block("client: pg", *mode, f"connection: {json.dumps(connection)}"), **database)
    connection = database_block.Document(result).tree["backend"]["database"]["connection"]
    assert connection.get("database") == kept
    assert "connectionString" not in connection
    assert removed == ["backend.database.connection.connectionString"]
    assert [named in text for text in warnings] == ([True] if named else [])
    assert "S3cret" not in f"{result}{warnings}"


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        ("'postgresql://u:oldpw@oldhost:5432/test1'", "overrides backend.database.connection for this plugin."),
        ("{host: otherhost, password: oldpw}", "with its own host, password."),
        ("{user: me}", "with its own user."),
        ("{port: 1, database: x}", "with its own port."),
        ("{connectionString: 'pg://u:oldpw@h/d'}", "with its own connectionString."),
        ("'${AUTH_URL}'", "overrides"),
        ("{$env: AUTH_URL}", "overrides"),
        ("{database: mine, ssl: true}", None),
        ("{directory: /data}", None),
        ("''", None),
        ("null", None),
        # Backstage takes the name of a file for a connection string, and does not start.
        ("':memory:'", "overrides backend.database.connection for this plugin."),
        ("./db/auth.sqlite", "overrides backend.database.connection for this plugin."),
        ("'socket:/run/postgresql?db=x'", "overrides backend.database.connection for this plugin."),
    ],
)
def test_a_connection_of_a_plugin_overrides(connection, named):
    shared = ("client: pg", f"connection: {{{LINE}}}")
    _unused, removed, warnings = after(block(*shared, f"plugin: {{auth: {{connection: {connection}}}}}"))
    assert removed == []
    assert [text for text in warnings if "oldpw" in text] == []
    if named is None:
        assert warnings == []
    else:
        [warning] = warnings
        assert warning.startswith("backend.database.plugin.auth.connection overrides")
        assert named in warning
    other = f"plugin: {{auth: {{client: sqlite3, connection: {connection}}}}}"
    [warning] = after(block(*shared, other))[2]
    assert warning.startswith("backend.database.plugin.auth.client overrides backend.database.client for this plugin")


@pytest.mark.parametrize(
    ("plugins", "key"),
    [
        ("{$include: plugins.yaml}", "backend.database.plugin"),
        ("{auth: {$include: auth.yaml}}", "backend.database.plugin.auth"),
    ],
)
def test_plugins_that_another_file_has_are_reported(plugins, key):
    text = block("client: pg", f"connection: {{{LINE}}}", f"plugin: {plugins}")
    assert after(text)[2] == [
        f"{key} comes from another file or variable. A client or connection of a plugin there overrides "
        "backend.database."
    ]
    assert database_block.absent(text.encode()).warnings == [
        f"{key} comes from another file or variable. Remove connections to PostgreSQL there."
    ]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["client: better-sqlite3", "connection: {directory: /data/db}"], "/data/db"),
        (["client: better-sqlite3", "connection:", "  filename: ../db.sqlite"], "../db.sqlite"),
        (["client: sqlite3", "connection: ./my.sqlite"], "./my.sqlite"),
        (["client: better-sqlite3", "connection: {directory: '${DATA}'}"], "${DATA}"),
        (["client: better-sqlite3", "connection: {directory: {$env: DATA}}"], "backend.database.connection.directory"),
        (["client: better-sqlite3", 'connection: "a\\e[31m"'], r"'a\x1b[31m'"),
        (["client: better-sqlite3", "connection: ':memory:'", "plugin: {a: {connection: {filename: /a}}}"], "/a"),
        (["client: pg", "connection: {host: h}", "plugin: {a: {connection: {filename: /a}}}"], None),
        (["client: better-sqlite3", "connection: {directory: null}"], None),
        (["client: better-sqlite3", "connection: ':memory:'"], None),
        (["client: better-sqlite3", "connection: {filename: ':memory:'}"], None),
        (["client: pg", "connection: 'pg://h/d'"], None),
        (["client: pg", f"connection: {{{'host: h, port: 1, user: u, password: p'}}}"], None),
    ],
)
def test_data_in_sqlite_stays_behind(lines, place):
    _unused, _unused, warnings = after(block(*lines))
    said = [text for text in warnings if "is not moved" in text]
    assert len(said) == (place is not None)
    assert place is None or f"The data in the SQLite files of {place} is not moved: stars, user settings" in said[0]


def test_absent_names_what_it_removes():
    text = block(
        "client: pg",
        "connection:",
        "  host: ${POSTGRES_HOST}",
        "  database: portal",
        "  # how to set up ssl:",
        "  ssl:",
        "    # the authority",
        "    ca: {$file: ca.pem}",
        "# stays",
        "pool: {max: 3}",
    )
    patched = database_block.absent(text.encode())
    assert patched.removed == ["backend.database.connection.database", "backend.database.connection.ssl"]
    assert patched.warnings == ["Removed 2 comment lines inside the keys that were removed."]
    assert b"# stays" in patched.data
    string = database_block.absent(block("client: pg", "connection: 'pg://u:p@h/d'").encode())
    assert (string.removed, string.warnings) == (["backend.database.connection"], [])


def test_absent_leaves_no_connection_of_a_plugin_to_postgresql():
    text = block(
        "client: pg",
        f"connection: {{{LINE}}}",
        "plugin:",
        "  auth: {connection: 'pg://u:oldpw@h/test1'}",
        "  catalog: {client: pg, connection: {host: h, password: p}, skipMigrations: true}",
        "  search: {client: better-sqlite3, connection: {directory: /d}}",
        "  app: {connection: ':memory:'}",
        "  todo: {connection: '${TODO_URL}'}",
        "  tech: {connection: {database: t}}",
    )
    patched = database_block.absent(text.encode())
    assert database_block.Document(patched.data).tree["backend"]["database"] == {
        **database_block.BEFORE,
        "plugin": {
            "catalog": {"skipMigrations": True},
            "search": {"client": "better-sqlite3", "connection": {"directory": "/d"}},
            "app": {"connection": ":memory:"},
        },
    }
    ways = ["auth.connection", "catalog.client", "catalog.connection", "todo.connection", "tech.connection"]
    assert patched.removed == [f"backend.database.plugin.{way}" for way in ways]
    alone = database_block.absent(
        block("client: pg", "connection: {}", "plugin: {auth: {connection: 'pg://h/d'}}").encode()
    )
    assert "plugin" not in database_block.Document(alone.data).tree["backend"]["database"]
