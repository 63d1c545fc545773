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
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import (
    comes_from_elsewhere,
    is_reference,
)

_SQLITE_ONLY = ("filename", "directory", "flags")


def overriding(plugins: Any) -> Iterator[str]:
    """Return a warning for each plugin that connects to a server or as a user of its own.

    Args:
        plugins: the value of `backend.database.plugin`.
    """
    for key in _references(plugins):
        yield (
            f"{key} comes from another file or variable. A client or connection of a plugin there overrides "
            "backend.database."
        )
    for plugin, settings in _sections(plugins):
        connection = settings.get("connection")
        where = f"backend.database.plugin.{plugin}.connection"
        if settings.get("client") not in (None, "pg"):
            yield (
                f"backend.database.plugin.{plugin}.client overrides backend.database.client for this plugin, whose "
                "data does not go to PostgreSQL. Remove its client and connection to change that."
            )
            continue
        # To a plugin whose client is pg every string is a connection string, that of a file too.
        if not (_is_postgresql(connection) or (isinstance(connection, str) and connection)):
            continue
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


def left_elsewhere(plugins: Any) -> Iterator[str]:
    """Return a warning for what `without_postgresql` cannot see, since another file or a variable has it."""
    for key in _references(plugins):
        yield f"{key} comes from another file or variable. Remove connections to PostgreSQL there."


def own_connections(plugins: Any) -> Iterator[tuple[str, Any]]:
    """The connections of plugins without a client of their own, each with its key."""
    for plugin, settings in _sections(plugins):
        if settings.get("client") is None:
            yield f"backend.database.plugin.{plugin}.connection", settings.get("connection")


def _references(plugins: Any) -> Iterator[str]:
    if is_reference(plugins):
        yield "backend.database.plugin"
    elif isinstance(plugins, dict):
        for plugin, settings in plugins.items():
            if is_reference(settings):
                yield f"backend.database.plugin.{plugin}"


def _sections(plugins: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(plugins, dict) and not is_reference(plugins):
        for plugin, settings in plugins.items():
            if isinstance(settings, dict) and not is_reference(settings):
                yield plugin, settings


def _is_postgresql(connection: Any) -> bool:
    """Whether a connection is one to PostgreSQL; what only Backstage can tell counts."""
    if isinstance(connection, str):
        return "://" in connection or connection.startswith("socket:") or comes_from_elsewhere(connection)
    return isinstance(connection, dict) and bool(connection) and not any(key in connection for key in _SQLITE_ONLY)
