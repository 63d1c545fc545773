# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import config_loader, database_target

URLS = {
    "postgresql://u:p@h:5433/d": {"user": "u", "password": "p", "host": "h", "port": "5433", "database": "d"},
    "postgres://u:p%40ss%3Aw%2Ford%231@h": {"user": "u", "password": "p@ss:w/ord#1", "host": "h"},
    "postgresql://u:p w@h/d": {"user": "u", "password": "p w", "host": "h", "database": "d"},
    "postgresql://u:50%@h/d": {"user": "u", "password": "50%", "host": "h", "database": "d"},
    "postgresql://u@h/d?sslmode=require": {"user": "u", "host": "h", "database": "d", "ssl": {}, "sslmode": "require"},
    "postgresql://u@h/?ssl=true": {"user": "u", "host": "h", "ssl": True},
    "postgresql://u@h/?ssl=0": {"user": "u", "host": "h", "ssl": False},
    "postgresql://u@h/?sslmode=disable": {"user": "u", "host": "h", "ssl": False, "sslmode": "disable"},
    "postgresql://u@h/?host=/run/x&port=6": {"user": "u", "host": "/run/x", "port": "6"},
    "postgresql://u@%2Frun%2Fx/d": {"user": "u", "host": "/run/x", "database": "d"},
    "postgresql://u@/d?host=/run/x": {"user": "u", "host": "/run/x", "database": "d"},
    "postgresql://[::1]:5/d": {"host": "::1", "port": "5", "database": "d"},
    "postgresql:///d": {"database": "d"},
    "/run/x d": {"host": "/run/x", "database": "d"},
    ":memory:": {"host": "base", "database": ":memory:"},
    "h": {"host": "base", "database": "h"},
    "postgresql://u:p@ss:w/ord#1@h/x": None,
    "postgresql://u:p@h:port/d": None,
    "postgresql://u:p@h:70000/d": None,
    "postgresql://u:%ff@h/d": None,
    "postgresql://u:p@h<x/d": None,
}

_JUDGE = """
const { parse } = require(process.argv[1] + '/node_modules/pg-connection-string');
process.removeAllListeners('warning');
console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(text => {
  try { return { ...parse(text) }; } catch (error) { return null; }
})));
"""


def ours(text):
    try:
        return {key: value for key, value in database_target.parse_url(text).items() if value not in ("", None)}
    except ValueError as error:
        return None if text not in str(error) else str(error)


def judged(texts):
    backend = os.environ.get("DEVPORTAL_BACKEND", "")
    if not os.path.isdir(f"{backend}/node_modules/pg-connection-string"):
        pytest.skip("DEVPORTAL_BACKEND names no folder with pg-connection-string")
    done = subprocess.run(
        ["node", "--no-warnings", "-e", _JUDGE, backend],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        answer and {key: value for key, value in answer.items() if value not in ("", None)}
        for answer in json.loads(done.stdout)
    ]


@pytest.mark.parametrize("text", URLS)
def test_connection_strings(text):
    assert ours(text) == URLS[text]


def test_node_reads_the_connection_strings_so():
    assert dict(zip(URLS, judged(list(URLS)))) == URLS


def test_node_reads_random_connection_strings_as_we_do():
    dice = random.Random(5)
    pieces = ["u", "p", "h", ":", "@", "/", "?", "#", "%", "%40", "%2f", " ", "5", "&", "=", "host", "ß", "[", "\\\\"]
    texts = ["postgresql://" + "".join(dice.choices(pieces, k=dice.randrange(1, 9))) for _unused in range(3000)]
    differing = [
        (text, mine, theirs) for text, mine, theirs in zip(texts, map(ours, texts), judged(texts)) if mine != theirs
    ]
    assert differing == []


def target(tmp_path, database, **environment):
    (tmp_path / "app-config.yaml").write_text(json.dumps({"backend": {"database": database}}))
    return database_target.Target(config_loader.load(str(tmp_path), environment), environment)


def test_a_plugin_has_a_database_of_its_own(tmp_path):
    wanted = target(tmp_path, {"client": "pg", "connection": {"user": "u", "database": "ignored"}})
    plugin = wanted.plugin("search")
    assert (plugin.database, plugin.schema, plugin.ensure_database) == ("backstage_plugin_search", None, True)
    assert wanted.plugin_login(plugin).database == "backstage_plugin_search"
    assert wanted.admin_login().database == "postgres"


def test_a_plugin_may_override_the_connection(tmp_path):
    own = {"connection": {"host": "other", "database": "d"}, "ensureExists": False, "knexConfig": {"pool": {"max": 3}}}
    wanted = target(tmp_path, {"client": "pg", "connection": {"user": "u", "host": "h"}, "plugin": {"catalog": own}})
    assert wanted.plugin_ids(["auth"]) == ["catalog", "auth"]
    plugin = wanted.plugin("catalog")
    assert (plugin.database, plugin.ensure_database, plugin.pool) == ("d", False, 3)
    login = wanted.plugin_login(plugin)
    assert (login.host, login.user, login.database) == ("other", "u", "d")
    assert wanted.plugin_login(wanted.plugin("auth")).host == "h"


def test_schema_mode(tmp_path):
    base = {"client": "pg", "connection": {"user": "u", "database": "d"}, "pluginDivisionMode": "schema"}
    wanted = target(tmp_path, {**base, "schemaPrefix": "x_", "ensureExists": False})
    plugin = wanted.plugin("catalog")
    assert (plugin.database, plugin.schema) == ("d", "x_catalog")
    assert (plugin.ensure_database, plugin.ensure_schema) == (False, False)
    assert wanted.schema_login().database == "d"
    assert target(tmp_path, {**base, "ensureSchemaExists": "yes"}).plugin("catalog").ensure_schema


@pytest.mark.parametrize(
    ("connection", "environment", "wanted"),
    [
        ({"user": "u"}, {}, ("localhost", 5432, "u", None)),
        ({}, {"PGUSER": "a", "PGHOST": "b", "PGPORT": "6", "PGPASSWORD": "c"}, ("b", 6, "a", "c")),
        ({"user": "u", "port": "6tcp", "password": ""}, {"PGPASSWORD": "c"}, ("localhost", 6, "u", "c")),
        ({}, {"USER": "me"}, ("localhost", 5432, "me", None)),
        ({"connectionString": "postgresql://x:y@z:1"}, {}, ("z", 1, "x", "y")),
    ],
)
def test_what_is_not_said_comes_from_the_environment(tmp_path, connection, environment, wanted):
    login = target(tmp_path, {"client": "pg", "connection": connection}, **environment).admin_login()
    assert (login.host, login.port, login.user, login.password) == wanted


@pytest.mark.parametrize(
    ("ssl", "environment", "wanted"),
    [
        (None, {}, None),
        (False, {"PGSSLMODE": "require"}, None),
        (None, {"PGSSLMODE": "require"}, True),
        (None, {"PGSSLMODE": "no-verify"}, False),
        (True, {}, True),
        ("true", {}, True),
        ("no-verify", {}, False),
        ({}, {}, True),
        ({"rejectUnauthorized": False}, {}, False),
    ],
)
def test_tls(tmp_path, ssl, environment, wanted):
    connection = {"user": "u"} if ssl is None else {"user": "u", "ssl": ssl}
    tls = target(tmp_path, {"client": "pg", "connection": connection}, **environment).admin_login().tls
    assert (tls and tls.verify) == wanted


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ({"client": "pg"}, "backend.database.connection is not set"),
        ({"connection": {}}, "backend.database.client is not set"),
        ({"client": "postgres", "connection": {}}, "client is 'postgres'"),
        ({"client": "pg", "connection": {"user": 5}}, "connection.user (APP:1) is a number, not a text"),
        ({"client": "pg", "connection": {"user": "u", "port": "abc"}}, "port (APP:1) is 'abc'"),
        ({"client": "pg", "connection": {"user": "${U}"}}, "the variable U (APP:1) is not set"),
        ({"client": "pg", "connection": {"user": "u", "ssl": "false"}}, "the text 'false' turns TLS on"),
        ({"client": "pg", "connection": {"user": "u", "type": "x"}}, "type is 'x'"),
        ({"client": "pg", "connection": 5}, "connection is a number"),
        ({"client": "pg", "connection": "postgresql://u:p@h:secret"}, "its port is not a number"),
    ],
)
def test_what_backstage_could_not_use_is_told(tmp_path, database, words):
    wanted = target(tmp_path, database)
    with pytest.raises((database_target.TargetError, config_loader.ConfigLoaderError)) as caught:
        wanted.plugin_login(wanted.plugin("catalog"))
    text = str(caught.value).replace(str(tmp_path / "app-config.yaml"), "APP")
    assert words in text
    assert "secret" not in text


def test_a_password_is_not_in_a_representation(tmp_path):
    wanted = target(tmp_path, {"client": "pg", "connection": {"user": "u", "password": "hush"}})
    plugin = wanted.plugin("catalog")
    assert "hush" not in repr((plugin, wanted.plugin_login(plugin)))
    assert wanted.plugin_login(plugin).url == "postgresql://u:********@localhost:5432/backstage_plugin_catalog"
