# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.npm_packages import NpmPackages


def package(app, name, about=None, where="node_modules", migrations=()):
    folder = app / where / name
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, **({"backstage": about} if about else {})}))
    for file in migrations:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_the_plugins_and_their_migrations(tmp_path):
    role = {"role": "backend-plugin"}
    package(
        tmp_path,
        "@backstage/plugin-catalog-backend",
        {**role, "pluginId": "catalog"},
        migrations=["migrations/1_init.js", "migrations/2_more.js", "migrations/README.md"],
    )
    package(tmp_path, "@backstage/plugin-user-settings-backend")  # an older package does not say its id
    package(tmp_path, "@internal/plugin-x-backend", {**role, "pluginId": "x"}, "packages/backend/node_modules")
    package(tmp_path, "@backstage/plugin-catalog-backend-module-y", {"role": "backend-plugin-module", "pluginId": "y"})
    package(tmp_path, "@backstage/plugin-catalog-node", {"role": "node-library", "pluginId": "z"})
    package(tmp_path, "@backstage/backend-defaults", migrations=["migrations/scheduler/3_init.js"])
    found = NpmPackages(str(tmp_path))
    assert found.found
    assert found.plugins == {"catalog", "user-settings", "x"}
    assert found.migrations("knex_migrations", "catalog") == {"1_init.js", "2_more.js"}
    assert found.migrations("knex_migrations", "x") is None
    assert found.migrations("backstage_backend_tasks__knex_migrations", "catalog") == {"3_init.js"}
    assert found.migrations("backstage_backend_public_keys__knex_migrations", "auth") is None
    assert found.migrations("other__knex_migrations", "catalog") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"backstage": 5}', '{"backstage": {"pluginId": 5}}', "\0", None])
def test_a_package_that_cannot_be_read(tmp_path, text):
    folder = package(tmp_path, "@backstage/plugin-catalog-backend")
    if text is None:
        (folder / "package.json").unlink()
        (folder / "package.json").mkdir()
    else:
        (folder / "package.json").write_text(text)
    assert NpmPackages(str(tmp_path)).plugins in ({"catalog"}, set())


@pytest.mark.parametrize("way", ["beside knex", "at the root", "below knex", "by a link of pnpm"])
def test_the_driver_is_found_where_node_finds_it(tmp_path, way):
    backend = "packages/backend/node_modules"
    if way == "by a link of pnpm":
        package(tmp_path, "knex", where="node_modules/.pnpm/knex@3/node_modules")
        package(tmp_path, "pg", where="node_modules/.pnpm/knex@3/node_modules")
        (tmp_path / backend).mkdir(parents=True)
        os.symlink("../../../node_modules/.pnpm/knex@3/node_modules/knex", tmp_path / backend / "knex")
    else:
        knex = package(tmp_path, "knex", where=backend)
        assert NpmPackages(str(tmp_path)).has_client("pg") is False
        folder = {"beside knex": backend, "at the root": "node_modules", "below knex": "node_modules"}[way]
        package(knex if way == "below knex" else tmp_path, "pg", where=folder)
    assert NpmPackages(str(tmp_path)).has_client("pg") is True


def test_nothing_is_told_without_node_modules(tmp_path):
    for directory in (None, str(tmp_path), str(tmp_path / "missing")):
        found = NpmPackages(directory)
        assert not found.found
        assert found.has_client("pg") is None
        assert found.migrations("knex_migrations", "catalog") is None
