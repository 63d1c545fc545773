# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change `backend.database` in the text of an app-config file.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import plugin_connections
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    KEYS,
    Data,
    escape,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import (
    DATABASE_KEYS,
    KNEX_KEYS,
    MANAGED_TYPES,
    comes_from_elsewhere,
    is_reference,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_names import REFERENCES

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import dotted
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError

PATH = ("backend", "database")
BEFORE: dict[str, Any] = {"client": "better-sqlite3", "connection": ":memory:"}

_SQLITE_CLIENTS = ("better-sqlite3", "sqlite3")
_CONFLICT = re.compile(rb"^(<<<<<<< .*|=======|>>>>>>> .*)\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Patched:
    """A file's new content.

    Attributes:
        data: all of it; the old bytes where nothing had to change.
        removed: the keys that had to go, with dots.
        warnings: sentences for the user; without any value of the file.
        was_postgresql: whether the file's client was PostgreSQL already.
    """

    data: bytes
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    was_postgresql: bool = field(default=False, compare=False)


def present(
    data: bytes,
    connection: Mapping[str, Data],
    database: Mapping[str, Any] | None = None,
    retired: Collection[str] = (),
) -> Patched:
    """Give an app-config file the guide's "after": `client: pg` and the four connection settings.

    What stood there is treated by kind:

    * further keys of the schema, and what knex reads beside `connection` (`pool`): stay;
    * further keys under `connection` (`ssl`, `database`): stay;
    * what only SQLite reads (`filename`, `directory`, `flags`, a dictionary `options`): goes;
    * `host`, `port`, `user`, `password` one level too high: go;
    * `type` azure, cloudsql or rds with its own keys, with which Backstage would not use the password: goes, warned of;
    * a connection string, whole or as `connectionString`: goes; its database is kept in schema mode, its other
      settings are warned of;
    * keys that nothing reads (`clientt`): stay, warned of;
    * `plugin.<id>.connection` with a server or login of its own: stays, warned of.

    Data in SQLite files is not moved; a warning says where it stays.

    Args:
        data: the file's content; empty for a new one.
        connection: from `by_variable`, `by_literal` or `by_file`.
        database: further keys, merged in depth as Backstage merges files; None as a value takes the key away.
        retired: files of a client certificate and its key; `ssl.cert` and `ssl.key` that name them go.

    Raises:
        CollectionError: the file is not one that this can be done to; says where and why.
    """
    document = parse(data)
    old = _block(document)
    patched = Patched(data, was_postgresql=old.get("client") == "pg")
    new = dict(old)
    for key in (*KEYS, "connectionString"):
        _remove(new, key, "backend.database", patched.removed)
    new = _ordered(new, {"client": None, "connection": None})
    new["client"] = "pg"
    mode = (database or {}).get("pluginDivisionMode") or old.get("pluginDivisionMode")
    new["connection"] = _connection_after(document, old, connection, mode == "schema", patched)
    if database:
        new = merged(new, database)
    new["connection"] = _without_files(new["connection"], retired, patched.removed)
    patched.warnings.extend(_left_over(new))
    patched.warnings.extend(plugin_connections.overriding(new.get("plugin")))
    patched.warnings.extend(sqlite_data(old))
    return _patch(document, old, new, patched)


def absent(data: bytes) -> Patched:
    """Put the guide's "before" back: SQLite in memory.

    `connection` goes as a whole, and so do `pluginDivisionMode`, which SQLite refuses, and what connects a single
    plugin to PostgreSQL. Other keys stay. A file without `backend.database`, and one whose client is not PostgreSQL
    anyway, are left as they are.

    Raises:
        CollectionError: the file is not one that this can be done to; says where and why.
    """
    document = parse(data)
    old = _block(document)
    patched = Patched(data)
    client, connection = old.get("client"), old.get("connection")
    half_done = client in _SQLITE_CLIENTS and isinstance(connection, dict) and any(key in connection for key in KEYS)
    if not old or not (client in ("pg", None) or half_done):
        return patched
    _check_own(document, connection)
    new = dict(old)
    for key in (*KEYS, "pluginDivisionMode"):
        _remove(new, key, "backend.database", patched.removed)
    if isinstance(connection, dict):
        # The four that `present` sets go without saying.
        patched.removed.extend(dotted((*PATH, "connection", key)) for key in connection if key not in KEYS)
    elif connection is not None and connection != BEFORE["connection"]:
        patched.removed.append("backend.database.connection")
    if isinstance(new.get("plugin"), dict):
        patched.warnings.extend(plugin_connections.left_elsewhere(new["plugin"]))
        plugins, removed = plugin_connections.without_postgresql(new["plugin"])
        patched.removed.extend(dotted((*PATH, "plugin", *path)) for path in removed)
        new["plugin"] = plugins
        if not plugins:
            del new["plugin"]
    result = _patch(document, old, {**_ordered(new, BEFORE), **BEFORE}, patched)
    comments = _comment_lines(data) - _comment_lines(result.data)
    if comments > 0:
        lines = "1 comment line" if comments == 1 else f"{comments} comment lines"
        result.warnings.append(f"Removed {lines} inside the keys that were removed.")
    return result


def _comment_lines(data: bytes) -> int:
    return sum(line.lstrip().startswith(b"#") for line in data.splitlines())


def sqlite_data(old: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each connection to files of SQLite that PostgreSQL replaces.

    Args:
        old: `backend.database` before.
    """
    if old.get("client") not in (None, *_SQLITE_CLIENTS):
        return
    connections = [("backend.database.connection", old.get("connection"))]
    connections += plugin_connections.own_connections(old.get("plugin"))
    for where, connection in connections:
        place = _sqlite_place(where, connection, old.get("client") is not None)
        if place and place != BEFORE["connection"] and "://" not in place and not place.startswith("socket:"):
            shown = place if place.isprintable() else ascii(place)
            yield (
                f"The data in the SQLite files of {shown} is not moved: stars, user settings, registered locations and "
                "scaffolder tasks stay there. Keep the files, and register locations again."
            )


def _sqlite_place(where: str, connection: Any, is_sqlite: bool) -> str:
    """The file or directory of a connection; its key where another file or a variable has it; empty for none."""
    if isinstance(connection, dict) and not is_reference(connection):
        for key in ("directory", "filename"):
            if key in connection:
                return f"{where}.{key}" if is_reference(connection[key]) else str(connection[key] or "")
    return connection if isinstance(connection, str) and is_sqlite else ""


def parse(data: bytes) -> Document:
    """Read an app-config file. Raises: CollectionError."""
    # The pattern takes its time, the look for its first sign does not.
    conflicts = [match.start() for match in _CONFLICT.finditer(data)] if b"<<<<<<< " in data else []
    conflicts = [data.count(b"\n", 0, start) + 1 for start in conflicts]
    if len(conflicts) >= 3:
        raise CollectionError(
            f"line {conflicts[0]}: git's conflict markers stand in the file (lines "
            f"{', '.join(map(str, conflicts))}); resolve the merge first."
        )
    try:
        document = Document(data)
        document.check()  # what no configuration holds, anywhere in the file, is said here
    except YamlPatchError as error:
        raise CollectionError(f"{error}; correct the file first.") from error
    return document


def _block(document: Document) -> dict[str, Any]:
    """The present `backend.database`; empty where there is none."""
    root = document.find(())
    if root is not None and root.kind != "mapping" and root.value is not None:
        raise CollectionError(f"the file is a {root.kind}, not a mapping; is it an app-config file?")
    for length in range(len(PATH) + 1):
        node = document.find(PATH[:length])
        if node is None or (node.kind == "scalar" and node.value is None):
            return {}
        where = dotted(PATH[:length]) if length else "the file"
        if node.kind == "alias":
            raise CollectionError(
                f"line {node.line}: {where} is an alias (*): what stands there is used elsewhere too; "
                "write it out first."
            )
        if node.kind != "mapping":
            raise CollectionError(f"line {node.line}: {where} is a {node.kind}, where Backstage wants a mapping.")
        if any(key in REFERENCES for key in node.keys):
            raise CollectionError(
                f"line {node.line}: {where} comes from another file or variable ({node.keys[0]}); "
                "change it there, or write it out first."
            )
    block: dict[str, Any] = node.value if node else {}
    return block


def _check_own(document: Document, connection: Any) -> None:
    """Refuse a connection whose keys stand elsewhere."""
    where = "backend.database.connection"
    node = document.find((*PATH, "connection"))
    if node is not None and node.kind == "alias":
        raise CollectionError(f"line {node.line}: {where} is an alias (*): write it out first.")
    if isinstance(connection, dict) and "$include" in connection:
        raise CollectionError(
            f"line {node.line if node else 0}: {where} comes from another file ($include); "
            "change it there, or write it out first."
        )


def _connection_after(
    document: Document, old: dict[str, Any], wanted: Mapping[str, Data], schema_mode: bool, patched: Patched
) -> dict[str, Any]:
    where = "backend.database.connection"
    before = old.get("connection")
    _check_own(document, before)
    if not isinstance(before, dict) or is_reference(before):
        return {**wanted, **_from_string(before, where, schema_mode, patched.warnings)}
    after = dict(before)
    if "connectionString" in after:
        # Its settings take precedence over those beside it.
        after.update(
            _from_string(after["connectionString"], f"{where}.connectionString", schema_mode, patched.warnings)
        )
    for key in ("filename", "directory", "flags", "connectionString"):
        _remove(after, key, where, patched.removed)
    if isinstance(after.get("options"), dict):
        _remove(after, "options", where, patched.removed)
    managed = MANAGED_TYPES.get(str(after.get("type")))
    if managed:
        patched.warnings.append(
            f"{where} had the type {after['type']}, with which Backstage takes the password from the cloud provider; "
            "type was removed, so that Backstage logs in with this password."
        )
        for key in ("type", *managed):
            _remove(after, key, where, patched.removed)
    after = _ordered(after, wanted)
    for key, value in wanted.items():
        # A port in quotes is the same to Backstage.
        if not (key == "port" and str(after[key]) == str(value)):
            after[key] = value
    return after


def _from_string(before: Any, where: str, schema_mode: bool, warnings: list[str]) -> dict[str, Any]:
    """What is kept of a connection that is no mapping."""
    if comes_from_elsewhere(before):
        warnings.append(
            f"{where} came whole from elsewhere; settings beside host, port, user and password that it had there, "
            "such as TLS, have to be given in database.connection."
        )
    elif isinstance(before, str) and "://" in before:
        try:
            url = urlsplit(before)
        except ValueError:
            return {}
        # Then a password that was not URL-encoded has a part there.
        if "@" in url.path + url.query + url.fragment:
            return {}
        names = [part.split("=")[0] for part in url.query.split("&") if part]
        if names:
            warnings.append(
                f"{where} was a connection string with {', '.join(names)}; give these in database.connection."
            )
        if schema_mode and url.path.strip("/"):
            return {"database": escape(unquote(url.path.strip("/")))}
    return {}


def _left_over(new: Mapping[str, Any]) -> Iterable[str]:
    known = {"client", *DATABASE_KEYS}
    for key in new:
        if key in known or key in KNEX_KEYS:
            continue
        if key == "<<":
            yield "backend.database.<< is not a merge to Backstage, which reads it as a key. Write its content out."
            continue
        near = difflib.get_close_matches(str(key), known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        yield f"backend.database.{key} is not a key that Backstage knows{hint}; it was left as it is."
    connection = new["connection"]
    if new.get("pluginDivisionMode") == "schema" and connection.get("database") in (None, ""):
        yield (
            "backend.database.pluginDivisionMode is schema, and connection.database is not set: Backstage would use "
            "the database that is named like the user."
        )


def _patch(document: Document, old: dict[str, Any], new: dict[str, Any], patched: Patched) -> Patched:
    if _same(old, new):
        return patched
    path, value = list(PATH), new
    while len(path) > 1 and (parent := document.find(tuple(path[:-1]))) is not None and parent.kind != "mapping":
        value = {path.pop(): value}
    try:
        document.set(tuple(path), value)
        return replace(patched, data=document.data)
    except YamlPatchError as error:
        raise CollectionError(f"{error}; nothing was changed.") from error


def _same(old: Any, new: Any) -> bool:
    """Equality that tells `1` from `true` and does not look at the order of keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and bool(old == new)


def _without_files(connection: Any, files: Collection[str], removed: list[str]) -> Any:
    """A connection without the client certificate and the key that it takes from these files."""
    ssl = connection.get("ssl") if isinstance(connection, dict) else None
    if not isinstance(ssl, dict):
        return connection
    gone = [key for key in ("cert", "key") if ssl.get(key) in [{"$file": escape(file)} for file in files]]
    removed.extend(f"backend.database.connection.ssl.{key}" for key in gone)
    return {**connection, "ssl": {key: value for key, value in ssl.items() if key not in gone}}


def _remove(mapping: dict[str, Any], key: str, where: str, removed: list[str]) -> None:
    if key in mapping:
        del mapping[key]
        removed.append(f"{where}.{key}")


def _ordered(mapping: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`mapping` with the missing keys of `wanted` put in, each after the one before it in `wanted`, else in front."""
    items = list(mapping.items())
    place = 0
    for key, value in wanted.items():
        names = [name for name, _unused in items]
        if key in names:
            place = names.index(key) + 1
        else:
            items.insert(place, (key, value))
            place += 1
    return dict(items)


def merged(old: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Lay further keys over those there are; None removes a key, and what refers elsewhere is replaced as a whole."""
    result = dict(old)
    for key, value in more.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and not is_reference(value):
            there = below if isinstance(below, dict) and not is_reference(below) else None
            below = merged(there or {}, value)
            if below or there is not None or not value:  # no empty one is made only to take keys from it
                result[key] = below
        else:
            result[key] = value
    return result
