# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The npm packages of a Backstage app, as far as the start of its backend depends on them.

Private to this collection: its interface may change in any release.

Everything is read when an object is created, with the ids of the app's owner, and within bounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, owned

_MAX_SIZE = 1_000_000  # bytes of a package.json
_MAX_PACKAGES = 10_000
# The tables in which knex keeps what it has run, and whose migrations they are: the plugin's own, or of the package
# backend-defaults (entrypoints scheduler and auth).
MIGRATION_TABLES = {
    "knex_migrations": "",
    "backstage_backend_tasks__knex_migrations": "scheduler",
    "backstage_backend_public_keys__knex_migrations": "auth",
}
_LOADED = (".js", ".cjs", ".mjs", ".ts", ".co", ".coffee", ".eg", ".iced", ".litcoffee", ".ls")  # by knex


class NpmPackages:
    """The packages below `node_modules` of an app's root and of its backend.

    Attributes:
        found: whether there is any such folder; without one, nothing can be told.
        plugins: ids of the backend plugins whose packages are installed.
    """

    def __init__(self, directory: str | None, reader: accounts.Ids | None = None) -> None:
        self._places: list[str] = []
        self._migrations: dict[tuple[str, str], frozenset[str]] = {}
        self._clients: dict[str, bool | None] = {}
        self.plugins: set[str] = set()
        if directory:
            with contextlib.suppress(OSError, CollectionError):
                ids = reader or owned.owner(directory)
                with owned.time_limit(f"The npm packages of {directory}"), accounts.acting_as(ids):
                    self._look(directory)
        self.found = bool(self._places)

    def _look(self, directory: str) -> None:
        ways = ((), ("packages", "backend"))
        places = [os.path.join(directory, *way, "node_modules") for way in ways]
        self._places = [place for place in places if os.path.isdir(place)]
        self._clients = {name: self._resolves(name) for name in ("pg", "better-sqlite3", "sqlite3")}
        for path in self._packages():
            self._read(path)

    def has_client(self, name: str) -> bool | None:
        """Whether knex finds the package of a database client; None where that cannot be told."""
        return self._clients.get(name)

    def migrations(self, table: str, plugin: str) -> frozenset[str] | None:
        """The names of the migration files behind one of MIGRATION_TABLES; None where they cannot be told."""
        part = MIGRATION_TABLES.get(table)
        if part is None:
            return None
        return self._migrations.get(("", plugin) if part == "" else (part, ""))

    def _resolves(self, name: str) -> bool | None:
        """Look where `require` of knex looks: in node_modules beside it and above."""
        for place in self._places:
            knex = os.path.realpath(os.path.join(place, "knex"))
            if not os.path.isdir(knex):
                continue
            above = [knex]
            while os.path.dirname(above[-1]) != above[-1]:
                above.append(os.path.dirname(above[-1]))
            return any(os.path.isdir(os.path.join(folder, "node_modules", name)) for folder in above)
        return None

    def _packages(self) -> Iterator[str]:
        count = 0
        for place in self._places:
            for name in _names(place):
                inside = os.path.join(place, name)
                for path in [os.path.join(inside, one) for one in _names(inside)] if name.startswith("@") else [inside]:
                    count += 1
                    if count > _MAX_PACKAGES:
                        return
                    yield path

    def _read(self, path: str) -> None:
        name = os.path.basename(path)
        if name == "backend-defaults":
            for part in filter(None, MIGRATION_TABLES.values()):
                self._keep((part, ""), os.path.join(path, "migrations", part))
            return
        if not name.endswith("-backend"):
            return
        about = _about(os.path.join(path, "package.json"))
        guessed = re.fullmatch(r"(?:.*-)?plugin-(.+)-backend", name)
        plugin = about.get("pluginId") or (guessed[1] if guessed else "")
        if about.get("role", "backend-plugin") == "backend-plugin" and isinstance(plugin, str) and plugin:
            self.plugins.add(plugin)
            self._keep(("", plugin), os.path.join(path, "migrations"))

    def _keep(self, key: tuple[str, str], folder: str) -> None:
        if key not in self._migrations and os.path.isdir(folder):
            self._migrations[key] = frozenset(name for name in _names(folder) if name.endswith(_LOADED))


def _about(path: str) -> dict[str, object]:
    """The part `backstage` of a package.json; empty where it cannot be read."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as stream:
        found = json.loads(stream.read(_MAX_SIZE))
        part = found.get("backstage") if isinstance(found, dict) else None
        return part if isinstance(part, dict) else {}
    return {}


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
