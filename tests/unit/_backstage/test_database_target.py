# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    config_loader,
    config_reader,
    database_target,
)


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
    with pytest.raises((database_target.TargetError, config_reader.ConfigLoaderError)) as caught:
        wanted.plugin_login(wanted.plugin("catalog"))
    text = str(caught.value).replace(str(tmp_path / "app-config.yaml"), "APP")
    assert words in text
    assert "secret" not in text


def test_a_password_is_not_in_a_representation(tmp_path):
    wanted = target(tmp_path, {"client": "pg", "connection": {"user": "u", "password": "hush"}})
    plugin = wanted.plugin("catalog")
    assert "hush" not in repr((plugin, wanted.plugin_login(plugin)))
    assert wanted.plugin_login(plugin).url == "postgresql://u:********@localhost:5432/backstage_plugin_catalog"
