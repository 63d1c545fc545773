# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several app-config files, or which variable, takes effect for the keys that this collection sets.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import plugin_connections
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_loader import load
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import MISSING
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import KEYS
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_block import (
    PATH,
    merged,
    parse,
    sqlite_data,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import MANAGED_TYPES
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML

SET_KEYS = ("backend.database.client", *(f"backend.database.connection.{key}" for key in KEYS))
_DEFAULT_NAMES = ("app-config.yaml", "app-config.local.yaml")


@dataclass(frozen=True)
class EffectiveSources:
    """Which source takes precedence where Backstage merges several files.

    Attributes:
        effective_source: for each of SET_KEYS the file, or the name of the APP_CONFIG_ variable.
        warnings: sentences about what hides the file that is written to.
        sqlite: sentences about files of SQLite that the earlier files name, which this one overrides.
    """

    effective_source: dict[str, str]
    warnings: list[str]
    sqlite: list[str]


def choose_file(path: str | None, listed: Sequence[str] | None, literal: bool) -> tuple[list[str], str]:
    """Return the files that Backstage loads, and the one to change.

    Args:
        path: the file to change, if it is given.
        listed: the files that Backstage is started with, in load order, if they are given.
        literal: as for `choose`.

    Raises:
        CollectionError: neither is given, or `path` is not among `listed`, or one of them cannot be read.
    """
    if not path and not listed:
        raise CollectionError("path and config_files are both empty.", "Set one of them to the app-config file.")
    path = os.path.abspath(path) if path else None
    if listed:
        base = os.path.dirname(path) if path else os.getcwd()
        files = [os.path.normpath(os.path.join(base, name)) for name in listed]
        if path and path not in files:
            raise CollectionError(
                f"{path}: is not among config_files, so Backstage would not read it.", "Add it there, or correct path."
            )
        return files, path or (choose(files, literal) if HAS_YAML else files[0])
    only = path or ""
    if os.path.basename(only) in _DEFAULT_NAMES:
        beside = [os.path.join(os.path.dirname(only), name) for name in _DEFAULT_NAMES]
        return [name for name in beside if name == only or owned.exists(name)], only
    return [only], only


def choose(files: Sequence[str], literal: bool) -> str:
    """The one of the files to write to, so that no later one hides it.

    Args:
        files: those that Backstage loads, in load order; not empty.
        literal: whether a secret will stand in it; then a file that create-app's .gitignore covers is taken, if any.

    Raises:
        CollectionError: one of them cannot be read.
    """
    private = [path for path in files if path.endswith(".local.yaml")]
    if literal and private:
        return private[-1]
    for path in reversed(files):
        with contextlib.suppress(FileNotFoundError):
            tree = _tree(path)
            if any(_at(tree, (*PATH, key)) is not MISSING for key in ("client", "connection")):
                return path
    return files[0]


def effective_sources(path: str, files: Sequence[str], variables: Mapping[str, str]) -> EffectiveSources:
    """Tell which file or variable takes precedence for each key that this collection sets, once `path` sets them all.

    Args:
        path: one of the files.
        files: those that Backstage loads, in load order; they are read from the disk.
        variables: what its environment sets.

    Raises:
        ConfigLoaderError: Backstage would not start with these files.
    """
    config = load(os.path.dirname(path), variables, files)
    place = files.index(path)
    effective_source = {}
    hiding: dict[str, tuple[str, list[str]]] = {}  # by file or variable, each with the first place in it
    for name in SET_KEYS:
        effective_source[name] = path
        for index in range(place + 1, len(config.layers)):
            layer = config.layers[index]
            by, note = _setter(layer, tuple(name.split(".")))
            if by is None:
                continue
            effective_source[name] = files[index] if index < len(files) else by
            hiding.setdefault(effective_source[name], (by, []))[1].append(f"{name}{note}")
    told = [f"{', '.join(names)}: {by} overrides what is written to {path}." for by, names in hiding.values()]
    for index in range(place):
        kind = _at(config.layers[index].data, (*PATH, "connection", "type"))
        if kind in MANAGED_TYPES:
            told.append(f"{files[index]} sets backend.database.connection.type to {kind}, which stays in effect.")
    for index, layer in enumerate(config.layers):
        if index != place:
            name = files[index] if index < len(files) else "APP_CONFIG_ variables"
            told.extend(f"{name}: {text}" for text in plugin_connections.overriding(_at(layer.data, (*PATH, "plugin"))))
    before: dict[str, Any] = {}
    for layer in config.layers[:place]:
        block = _at(layer.data, PATH)
        before = merged(before, block) if isinstance(block, dict) else before
    return EffectiveSources(effective_source, told, list(sqlite_data(before)))


def _setter(layer: Any, path: tuple[str, ...]) -> tuple[str | None, str]:
    """What in a layer sets a path, or hides it by setting a part of it; with a note on the condition."""
    data = layer.data
    for length in range(1, len(path) + 1):
        data = data.get(path[length - 1], MISSING) if isinstance(data, dict) else MISSING
        if data is MISSING:
            break
        if not isinstance(data, dict) or length == len(path):
            origin = layer.origins.get(path[:length])
            return (origin.place if origin else layer.context), ""
    for dropped in layer.dropped:
        if dropped.key in (".".join(path), ".".join(path[:-1])):
            return dropped.place, f" (where {dropped.variable} is set)"
    return None, ""


def _tree(path: str) -> Any:
    try:
        return parse(owned.read(path).data).tree
    except CollectionError as error:
        raise CollectionError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read: {error.strerror}.") from error


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key, MISSING) if isinstance(tree, dict) else MISSING
    return tree
