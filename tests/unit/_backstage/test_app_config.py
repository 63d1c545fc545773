# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import app_config
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.app_config import AppConfigError, Patched
from hypothesis import given
from hypothesis import strategies as st

ENV = app_config.by_variable(app_config.VARIABLES)
LITERAL = app_config.by_literal("db.example.com", 5433, "backstage", "geheim")

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
    patched = app_config.present(text.encode(), wanted, database)
    again = app_config.present(patched.data, wanted, database)
    assert again.data == patched.data
    assert again.removed == []
    return patched.data.decode(), patched.removed, patched.warnings


def block(*lines):
    return "\n".join(["backend:", "  database:", *(f"    {line}" for line in lines), "x: 1", ""])


def test_the_guide_and_back():
    assert app_config.present(BEFORE, ENV) == Patched(AFTER)
    assert app_config.present(AFTER, ENV) == Patched(AFTER)
    assert app_config.absent(AFTER) == Patched(BEFORE)
    assert app_config.absent(BEFORE) == Patched(BEFORE)


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
    database = app_config.Document(result).tree["backend"]["database"]
    assert database == {"client": "pg", "connection": ENV}
    assert list(database["connection"]) == ["host", "port", "user", "password"]
    assert removed == warnings == []


def test_bytes_that_are_not_the_databases_are_kept():
    data = b"\xef\xbb\xbf" + BEFORE.replace(b"\n", b"\r\n")[:-2]
    assert app_config.present(data, ENV).data == b"\xef\xbb\xbf" + AFTER.replace(b"\n", b"\r\n")[:-2]


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
    assert warnings == []


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
        (["<<: {a: 1}"], r"database\.<< is no merge to Backstage"),
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
    assert app_config.Document(result).tree["backend"]["database"]["connection"].get("database") == kept
    assert "h:1" not in result
    assert "Secret" not in f"{result}{warnings}"
    assert removed == []
    assert len(warnings) == (warning is not None)
    assert not warnings or warning in warnings[0]


def test_a_port_in_quotes_is_as_good():
    text = block("client: pg", "connection:", "  host: h", "  port: '5433'", "  user: u", "  password: p")
    wanted = app_config.by_literal("h", 5433, "u", "p")
    assert after(text, wanted)[0] == text
    assert "port: 5434" in after(text, {**wanted, "port": 5434})[0]


def test_a_number_is_no_password():
    text = block("client: pg", "connection:", "  host: h", "  port: 5433", "  user: u", "  password: 12345")
    result, _unused, _unused = after(text, app_config.by_literal("h", 5433, "u", "12345"))
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
    database = app_config.Document(result).tree["backend"]["database"]
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
    assert app_config.Document(result).tree["backend"]["database"]["connection"]["ssl"] == {"ca": {"$file": "ca.pem"}}
    text = block("client: pg", "knexConfig: {$include: knex.yaml}", f"connection: {{{LINE}}}")
    result, _unused, _unused = after(text, knexConfig={"debug": True})
    assert app_config.Document(result).tree["backend"]["database"]["knexConfig"] == {"debug": True}


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
    with pytest.raises(AppConfigError, match=message) as caught:
        app_config.present(text.encode(), ENV)
    assert "\n" not in str(caught.value)


def test_not_utf8():
    with pytest.raises(AppConfigError, match="UTF-8"):
        app_config.present(b"a: \xff\n", ENV)


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
    assert app_config.absent(text.encode()) == Patched(text.encode())


def test_absent_of_what_stands_elsewhere():
    with pytest.raises(AppConfigError, match=r"line 4: backend\.database\.connection comes from another file"):
        app_config.absent(block("client: pg", "connection: {$include: b.yaml}").encode())


def test_absent_from_half_done():
    text = block("client: better-sqlite3", "connection: {host: x}", "user: u", "pluginDivisionMode: schema", "role: r")
    patched = app_config.absent(text.encode())
    assert app_config.Document(patched.data).tree["backend"]["database"] == {**app_config.BEFORE, "role": "r"}
    assert patched.removed == ["backend.database.user", "backend.database.pluginDivisionMode"]


SPACES = "\t\n\v\f\r \xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\ufeff"


@pytest.mark.parametrize("space", SPACES)
def test_passwords_that_would_be_trimmed(space):
    for password in (space + "x", "x" + space):
        with pytest.raises(AppConfigError, match="trims from a variable"):
            app_config.check_password(password, "env")
        app_config.check_password(password, "literal")
    app_config.check_password(space + "x", "file")
    with pytest.raises(AppConfigError, match="trims from a file"):
        app_config.check_password("x" + space, "file")


@pytest.mark.parametrize("credentials", app_config.CREDENTIALS)
def test_passwords(credentials):
    for password in ("12345", "true", "a\u200bb\x85", "\x85x", "\x1cx", "密碼😀", "a${X}b", "x" * 4096, "a\nb"):
        app_config.check_password(password, credentials)
    verifier = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
    wrong = {None: "missing", "": "empty", "a\0b": "NUL", "a\ud800": "UTF-8", verifier: "verifier"}
    for password, text in wrong.items():
        with pytest.raises(AppConfigError, match=text):
            app_config.check_password(password, credentials)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("", 1, "u"), "host is empty"),
        (("  ", 1, "u"), "host is empty"),
        (("postgres://h/d", 1, "u"), "host is a URL"),
        (("db:5432", 1, "u"), "has a port in it"),
        (("a b", 1, "u"), "white space"),
        (("h", "abc", "u"), "port is 'abc': a TCP port is a number from 1 to 65535"),
        (("h", 0, "u"), "port is 0"),
        (("h", 65536, "u"), "port is 65536"),
        (("h", "-1", "u"), "port is '-1'"),
        (("h", "\uff15\uff14", "u"), "port is"),
        (("h", 1, ""), "user is empty"),
        (("h", 1, " u"), "white space"),
        (("h", 1, "u" * 64), "63 bytes"),
    ],
)
def test_connections_that_cannot_be(given, text):
    with pytest.raises(AppConfigError, match=text):
        app_config.check_connection(*given)


@pytest.mark.parametrize("host", ["db", "db.example.com", "10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql", None])
def test_connections(host):
    app_config.check_connection(host, "65535", "my user")


def test_variables():
    app_config.check_variables(app_config.VARIABLES)
    for name in ("1A", "A-B", "", "A}", "É"):
        with pytest.raises(AppConfigError, match="user_variable is"):
            app_config.check_variables({**app_config.VARIABLES, "user": name})
    with pytest.raises(AppConfigError, match="user_variable and password_variable are both P"):
        app_config.check_variables({**app_config.VARIABLES, "user": "P", "password": "P"})


@pytest.mark.parametrize(
    ("database", "text"),
    [
        ({"client": "pg"}, "client is always pg"),
        ({"host": "x"}, r"database\.host: host is the option host"),
        ({"connection": {"password": "x"}}, "is the option password"),
        ({"connection": {"connectionString": "x"}}, "would win over host"),
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
        ({"plugin": {"catalog": {"prefix": "x"}}}, r"database\.plugin\.catalog\.prefix is not a key"),
        ({"plugin": {"catalog": {"client": "mysql"}}}, "it must be better-sqlite3 or sqlite3 or pg"),
        ({"plugin": {"catalog": 1}}, r"database\.plugin\.catalog is not a dictionary"),
        ({"plugin": {"catalog": {"connection": {"sll": True}}}}, r"did you mean ssl\?"),
    ],
)
def test_keys_that_backstage_does_not_know(database, text):
    with pytest.raises(AppConfigError, match=text):
        app_config.check_database(database)


def test_keys_that_backstage_knows():
    app_config.check_database(
        {
            "connection": {"ssl": {"ca": {"$file": "x"}, "anything": 1}, "database": "d", "foo": 1, "type": None},
            "ensureExists": "${ENSURE}",
            "ensureSchemaExists": {"$env": "X"},
            "knexConfig": {"pool": {"max": 3}},
            "plugin": {"catalog": {"client": "pg", "connection": "${X}", "role": "r"}, "auth": None},
            "pluginDivisionMode": "schema",
            "prefix": "x_",
            "role": None,
            "schemaPrefix": "s_",
            "skipMigrations": False,
        }
    )


def substituted(text):
    """Backstage's substitution where no variable is set; packages/config-loader, sources/transform/substitution.ts."""
    parts = re.split(r"(\$?\$\{[^{}]*\})", text)
    for index in range(1, len(parts), 2):
        assert parts[index].startswith("$$"), "a placeholder was left"
        parts[index] = parts[index][1:]
    return "".join(parts)


@given(st.text(st.sampled_from("${}X:-a'"), max_size=12) | st.text())
def test_escape(text):
    assert substituted(app_config.escape(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [("a${X}b", "a$${X}b"), ("$${X}", "$$${X}"), ("${", "${"), ("${a{b}", "${a{b}"), ("$X", "$X"), ("${}", "$${}")],
)
def test_escape_only_what_has_to_be(text, written):
    assert app_config.escape(text) == written


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_literal_is_read_back(password):
    wanted = app_config.by_literal("h", 1, "u", password)
    data = app_config.present(BEFORE, wanted).data
    found = app_config.Document(data).tree["backend"]["database"]["connection"]["password"]
    assert isinstance(found, str)
    assert substituted(found) == password
    assert app_config.present(data, wanted).data == data


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path):
        def make(**texts):
            names = [str(tmp_path / f"{name.replace('_', '.')}.yaml") for name in texts]
            for name, text in zip(names, texts.values()):
                if text is not None:
                    (tmp_path / name).write_text(text)
            return names

        return make

    @pytest.mark.parametrize(
        ("texts", "literal", "chosen"),
        [
            ({"base": BEFORE.decode(), "production": "app: 1\n"}, False, 0),
            ({"base": BEFORE.decode(), "production": "backend: {database: {connection: {host: h}}}\n"}, False, 1),
            ({"base": "a: 1\n", "production": "backend: {database: {prefix: x}}\n"}, False, 0),
            ({"base": BEFORE.decode(), "base_local": "app: 1\n", "z": "a: 1\n"}, True, 1),
            ({"base": BEFORE.decode(), "base_local": None}, True, 1),
            ({"base": BEFORE.decode(), "base_local": None}, False, 0),
            ({"base": BEFORE.decode(), "production": "app: 1\n"}, True, 0),
        ],
    )
    def test_choose(self, files, texts, literal, chosen):
        names = files(**texts)
        assert app_config.choose(names, literal) == names[chosen]

    def test_choose_a_broken_file(self, files):
        [name] = files(base="a: [\n")
        with pytest.raises(AppConfigError, match=f"{name}: line"):
            app_config.choose([name], False)

    def test_nothing_hides(self, files):
        names = files(base=AFTER.decode(), production="app: 1\n", other="backend: {database: {prefix: x}}\n")
        standing = app_config.standing(names[0], names, {"APP_CONFIG_app_title": "x"})
        assert standing.warnings == []
        assert standing.effective_source == dict.fromkeys(app_config.SET_KEYS, names[0])

    @pytest.mark.parametrize(
        ("later", "hidden"),
        [
            ("backend: {database: {connection: {host: h}}}\n", ["connection.host"]),
            ("backend: {database: {client: sqlite3}}\n", ["client"]),
            ("backend: {database: {connection: 'x'}}\n", [f"connection.{key}" for key in app_config.KEYS]),
            ("backend: {database: {connection: null}}\n", [f"connection.{key}" for key in app_config.KEYS]),
            ("backend: {database: null}\n", ["client", *(f"connection.{key}" for key in app_config.KEYS)]),
        ],
    )
    def test_a_later_file_hides(self, files, later, hidden):
        names = files(base=AFTER.decode(), later=later)
        standing = app_config.standing(names[0], names, {})
        hidden = [f"backend.database.{name}" for name in hidden]
        assert [name for name, by in standing.effective_source.items() if by == names[1]] == hidden
        [warning] = standing.warnings
        assert warning == f"{', '.join(hidden)}: {names[1]}:1 hides what is written to {names[0]}."
        assert app_config.standing(names[1], names, {}).warnings == []

    def test_a_later_file_with_a_variable_hides_perhaps(self, files):
        names = files(base=AFTER.decode(), later="backend: {database: {connection: {host: '${H}'}}}\n")
        [warning] = app_config.standing(names[0], names, {}).warnings
        assert "connection.host (where H is set): " in warning

    def test_a_later_file_hides_everything(self, files):
        names = files(base=AFTER.decode(), later=AFTER.decode())
        [warning] = app_config.standing(names[0], names, {"POSTGRES_HOST": "h"}).warnings
        keys = ["client", "connection.host"]
        keys += [f"connection.{key} (where POSTGRES_{key.upper()} is set)" for key in app_config.KEYS[1:]]
        keys = [f"backend.database.{key}" for key in keys]
        assert warning == f"{', '.join(keys)}: {names[1]}:4 hides what is written to {names[0]}."

    def test_a_variable_hides(self, files):
        names = files(base=AFTER.decode())
        variable = "APP_CONFIG_backend_database_connection_password"
        standing = app_config.standing(names[0], names, {variable: "x"})
        assert standing.effective_source["backend.database.connection.password"] == variable
        assert standing.warnings == [
            f"backend.database.connection.password: {variable} hides what is written to {names[0]}."
        ]

    def test_an_earlier_file_with_a_cloud_providers_login(self, files):
        names = files(base="backend: {database: {connection: {type: rds}}}\n", later=AFTER.decode())
        [warning] = app_config.standing(names[1], names, {}).warnings
        assert "connection.type to rds, which stays in effect" in warning


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "x: !!binary aGk=\n", "x: &a [*a]\n"])
def test_what_no_configuration_has_is_refused(text):
    for change in (lambda data: app_config.present(data, {"host": "db"}, {}), app_config.absent):
        with pytest.raises(AppConfigError, match="line 1"):
            change(text.encode())


def test_no_part_of_a_password_is_in_a_warning():
    data = b"backend:\n  database:\n    client: pg\n    connection: postgresql://me:pa?ss&wo@rd/db\n"
    assert not app_config.present(data, {"host": "db"}, {}).warnings
