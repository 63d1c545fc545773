# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    connection_settings,
    database_block,
    effective_source,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

ENV = connection_settings.by_variable(connection_settings.VARIABLES)
BEFORE = b"""\
backend:
  # This is for local development only, it is not recommended to use this in production
  database:
    client: better-sqlite3
    connection: ':memory:'
"""
AFTER = database_block.present(BEFORE, ENV).data


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
        assert effective_source.choose(names, literal) == names[chosen]

    def test_choose_a_broken_file(self, files):
        [name] = files(base="a: [\n")
        with pytest.raises(CollectionError, match=f"{name}: line"):
            effective_source.choose([name], False)

    def test_nothing_hides(self, files):
        names = files(base=AFTER.decode(), production="app: 1\n", other="backend: {database: {prefix: x}}\n")
        standing = effective_source.effective_sources(names[0], names, {"APP_CONFIG_app_title": "x"})
        assert standing.warnings == []
        assert standing.effective_source == dict.fromkeys(effective_source.SET_KEYS, names[0])

    @pytest.mark.parametrize(
        ("later", "hidden"),
        [
            ("backend: {database: {connection: {host: h}}}\n", ["connection.host"]),
            ("backend: {database: {client: sqlite3}}\n", ["client"]),
            ("backend: {database: {connection: 'x'}}\n", [f"connection.{key}" for key in connection_settings.KEYS]),
            ("backend: {database: {connection: null}}\n", [f"connection.{key}" for key in connection_settings.KEYS]),
            ("backend: {database: null}\n", ["client", *(f"connection.{key}" for key in connection_settings.KEYS)]),
        ],
    )
    def test_a_later_file_hides(self, files, later, hidden):
        names = files(base=AFTER.decode(), later=later)
        standing = effective_source.effective_sources(names[0], names, {})
        hidden = [f"backend.database.{name}" for name in hidden]
        assert [name for name, by in standing.effective_source.items() if by == names[1]] == hidden
        [warning] = standing.warnings
        assert warning == f"{', '.join(hidden)}: {names[1]}:1 overrides what is written to {names[0]}."
        assert effective_source.effective_sources(names[1], names, {}).warnings == []

    def test_a_later_file_with_a_variable_hides_perhaps(self, files):
        names = files(base=AFTER.decode(), later="backend: {database: {connection: {host: '${H}'}}}\n")
        [warning] = effective_source.effective_sources(names[0], names, {}).warnings
        assert "connection.host (where H is set): " in warning

    def test_a_later_file_hides_everything(self, files):
        names = files(base=AFTER.decode(), later=AFTER.decode())
        [warning] = effective_source.effective_sources(names[0], names, {"POSTGRES_HOST": "h"}).warnings
        keys = ["client", "connection.host"]
        keys += [f"connection.{key} (where POSTGRES_{key.upper()} is set)" for key in connection_settings.KEYS[1:]]
        keys = [f"backend.database.{key}" for key in keys]
        assert warning == f"{', '.join(keys)}: {names[1]}:4 overrides what is written to {names[0]}."

    def test_a_variable_hides(self, files):
        names = files(base=AFTER.decode())
        variable = "APP_CONFIG_backend_database_connection_password"
        standing = effective_source.effective_sources(names[0], names, {variable: "x"})
        assert standing.effective_source["backend.database.connection.password"] == variable
        assert standing.warnings == [
            f"backend.database.connection.password: {variable} overrides what is written to {names[0]}."
        ]

    def test_an_earlier_file_with_a_cloud_providers_login(self, files):
        names = files(base="backend: {database: {connection: {type: rds}}}\n", later=AFTER.decode())
        [warning] = effective_source.effective_sources(names[1], names, {}).warnings
        assert "connection.type to rds, which stays in effect" in warning

    def test_another_file_with_a_connection_of_a_plugin(self, files):
        plugin = "backend: {database: {plugin: {auth: {connection: {host: other, password: geheim}}}}}\n"
        for place, texts in enumerate(
            ({"base": AFTER.decode(), "later": plugin}, {"base": plugin, "later": AFTER.decode()})
        ):
            names = files(**texts)
            [warning] = effective_source.effective_sources(names[place], names, {}).warnings
            assert warning.startswith(f"{names[1 - place]}: backend.database.plugin.auth.connection overrides ")
            assert "geheim" not in warning

    def test_sqlite_files_that_an_earlier_file_names(self, files):
        sqlite = "backend: {database: {client: better-sqlite3, connection: {directory: /data}}}\n"
        names = files(base=sqlite, later=AFTER.decode())
        [text] = effective_source.effective_sources(names[1], names, {}).sqlite
        assert text.startswith("The data in the SQLite files of /data is not moved: ")
        memory = sqlite.replace("{directory: /data}", "':memory:'")
        for base in (memory, AFTER.decode(), "backend: {database: 1}\n"):
            names = files(base=base, later=AFTER.decode())
            assert effective_source.effective_sources(names[1], names, {}).sqlite == []
