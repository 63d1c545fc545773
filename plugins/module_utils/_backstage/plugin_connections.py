# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of single plugins, `backend.database.plugin.<id>`, which take precedence over the shared one.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import KEYS
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import comes_from_elsewhere

_SQLITE_ONLY = ("filename", "directory", "flags")


def overriding(plugins: Any) -> Iterator[str]:
    """Return a warning for each plugin that connects to a server or as a user of its own.

    Args:
        plugins: the value of `backend.database.plugin`.
    """
    for plugin, settings in _sections(plugins):
        connection = settings.get("connection")
        if settings.get("client") not in (None, "pg") or not _is_postgresql(connection):
            continue
        where = f"backend.database.plugin.{plugin}.connection"
        if isinstance(connection, dict) and not comes_from_elsewhere(connection):
            own = [key for key in ("connectionString", *KEYS) if key in connection]
            if own:
                yield (
                    f"{where} overrides backend.database.connection for this plugin with its own {', '.join(own)}. "
                    "Change or remove them there."
                )
        else:
            yield (f"{where} overrides backend.database.connection for this plugin. Change or remove it there.")


def without_postgresql(plugins: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Remove what connects single plugins to PostgreSQL.

    Args:
        plugins: the value of `backend.database.plugin`.

    Returns:
        What is left, and the paths of what was removed.
    """
    result: dict[str, Any] = dict(plugins)
    removed: list[tuple[str, ...]] = []
    for plugin, settings in _sections(plugins):
        left = dict(settings)
        if left.get("client") == "pg":
            del left["client"]
            removed.append((plugin, "client"))
        if left.get("client") is None and _is_postgresql(left.get("connection")):
            del left["connection"]
            removed.append((plugin, "connection"))
        if left != settings:
            result[plugin] = left
        if left != settings and not left:
            del result[plugin]
    return result, removed


def _sections(plugins: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(plugins, dict):
        for plugin, settings in plugins.items():
            if isinstance(settings, dict):
                yield plugin, settings


def _is_postgresql(connection: Any) -> bool:
    """Whether a connection is one to PostgreSQL; what only Backstage can tell counts."""
    if isinstance(connection, str):
        return "://" in connection or comes_from_elsewhere(connection)
    return isinstance(connection, dict) and bool(connection) and not any(key in connection for key in _SQLITE_ONLY)
