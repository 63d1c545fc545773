# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Backstage's `backend.database` should be, and the change of a file that makes it so.

Private to this collection: its interface may change in any release.

The keys are those of `config.d.ts` in `packages/backend-defaults` of backstage/backstage (1.55); what they do was read
in `src/entrypoints/database/connectors` there.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Union
from urllib.parse import unquote, urlsplit

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import NAME
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE

with contextlib.suppress(ImportError):  # no PyYAML: wishes can still be checked, and the caller says what is missing
    from ansible_collections.devportal.backstage.plugins.module_utils._backstage import config_loader
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError

PATH = ("backend", "database")
KEYS = ("host", "port", "user", "password")
CREDENTIALS = ("env", "literal", "file")
BEFORE: dict[str, Any] = {"client": "better-sqlite3", "connection": ":memory:"}
VARIABLES = {key: f"POSTGRES_{key.upper()}" for key in KEYS}

SET_KEYS = ("backend.database.client", *(f"backend.database.connection.{key}" for key in KEYS))

_NOTHING: Any = object()
_SQLITE_CLIENTS = ("better-sqlite3", "sqlite3")
_REFERENCES = ("$env", "$file", "$include")
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")
_CONFLICT = re.compile(rb"^(<<<<<<< .*|=======|>>>>>>> .*)\r?$", re.MULTILINE)

# Knex reads these beside `connection` although the schema does not name them: Backstage hands it the whole object.
_KNEX_KEYS = (
    "acquireConnectionTimeout",
    "asyncStackTraces",
    "compileSqlOnError",
    "debug",
    "defaultDateTimePrecision",
    "jsonbSupport",
    "migrations",
    "pool",
    "returning",
    "searchPath",
    "seeds",
    "useNullAsDefault",
    "version",
)
# Connection settings of node-postgres and of the TLS it uses; the schema allows any other too.
_CONNECTION_KEYS = (
    "application_name",
    "binary",
    "client_encoding",
    "connectionTimeoutMillis",
    "database",
    "enableChannelBinding",
    "fallback_application_name",
    "idle_in_transaction_session_timeout",
    "keepAlive",
    "keepAliveInitialDelayMillis",
    "lock_timeout",
    "options",
    "query_timeout",
    "replication",
    "ssl",
    "sslnegotiation",
    "statement_timeout",
    "stream",
    "type",
    "types",
)
# Connection types whose password Backstage gets from a cloud, with the keys that only they have.
MANAGED_TYPES = {
    "azure": ("tokenCredential",),
    "cloudsql": ("instance", "ipAddressType"),
    "rds": ("region",),
}
Data = Union[None, bool, int, float, str, "list[Any]", "dict[str, Any]"]
_Rule = Callable[[Any, str], None]


class AppConfigError(CollectionError):
    """A wish or a file that Backstage could not use; the text says which, and what to do."""


@dataclass(frozen=True)
class Patched:
    """A file's new content.

    Attributes:
        data: all of it; the old bytes where nothing had to change.
        removed: the keys that had to go, with dots.
        warnings: sentences for the user; without any value of the file.
    """

    data: bytes
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Standing:
    """Which source takes precedence where Backstage merges several files.

    Attributes:
        effective_source: for each of SET_KEYS the file, or the name of the APP_CONFIG_ variable.
        warnings: sentences about what hides the file that is written to.
    """

    effective_source: dict[str, str]
    warnings: list[str]


def check_password(password: str | None, credentials: str) -> None:
    """Refuse a password that Backstage could not use as it stands.

    Args:
        password: in clear.
        credentials: env, literal or file; how Backstage gets it.

    Raises:
        AppConfigError: it is missing, empty or not text, or what reads it would trim it.
    """
    if password is None:
        raise AppConfigError("password is missing: give the database user's password, for instance from a vault.")
    if not password:
        raise AppConfigError("password is empty: PostgreSQL lets nobody in with an empty password.")
    if "\0" in password:
        raise AppConfigError("password has a NUL in it: neither PostgreSQL nor an environment variable can hold one.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise AppConfigError("password is not valid UTF-8 text: choose another.") from None
    if _VERIFIER.fullmatch(password):
        raise AppConfigError("password is a SCRAM verifier: Backstage logs in with the clear text, so give that.")
    if credentials == "env" and password.strip(JS_SPACE) != password:
        raise AppConfigError(
            "password begins or ends with white space, which Backstage trims from a variable: "
            "choose another, or use `credentials: literal`."
        )
    if credentials == "file" and password.rstrip(JS_SPACE) != password:
        raise AppConfigError(
            "password ends with white space, which Backstage trims from a file: "
            "choose another, or use `credentials: literal`."
        )


def check_connection(host: str | None, port: str | int | None, user: str | None) -> None:
    """Refuse a host, port or user that no connection can have; None is not looked at.

    Raises:
        AppConfigError: says which, and why.
    """
    if host is not None:
        if not host.strip():
            raise AppConfigError("host is empty: give the name or the address of the database server.")
        if "://" in host:
            raise AppConfigError("host is a URL: give the name or the address alone, and port and user beside it.")
        if re.fullmatch(r"[^:\s]+:\d+", host):
            raise AppConfigError(f"host {host!r} has a port in it: give that as port.")
        if re.search(r"[\s\0]", host):
            raise AppConfigError(f"host {host!r} has white space in it: give a name or an address.")
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", str(port), re.ASCII) and 0 < int(port) < 65536):
        raise AppConfigError(f"port is {port!r}: a TCP port is a number from 1 to 65535.")
    if user is not None:
        if not user.strip():
            raise AppConfigError("user is empty: name the PostgreSQL role that Backstage logs in as.")
        if user.strip(JS_SPACE) != user or "\0" in user:
            raise AppConfigError(f"user {user!r} begins or ends with white space, or has a NUL in it.")
        if len(user.encode("utf-8", "replace")) > 63:
            raise AppConfigError("user has more than 63 bytes: PostgreSQL cuts names there.")


def check_variables(variables: Mapping[str, str]) -> None:
    """Refuse names that are not environment variables, or one name for two values.

    Raises:
        AppConfigError: says which.
    """
    for key, name in variables.items():
        if not NAME.match(name):
            raise AppConfigError(
                f"{key}_variable is {name!r}: a variable's name has letters, digits and _, and no digit first."
            )
    for name in variables.values():
        users = [f"{key}_variable" for key in variables if variables[key] == name]
        if len(users) > 1:
            raise AppConfigError(f"{' and '.join(users)} are both {name}: give each value a variable of its own.")


def escape(text: str) -> str:
    """Write `text` so that Backstage's substitution gives it back: `${X}` becomes `$${X}`.

    Only what the substitution would touch is changed (`sources/transform/substitution.ts` in `packages/config-loader`):
    a `${` that no `}` closes stays, and `$${X}` becomes `$$${X}`, which is read as `$${X}`.
    """
    return _PLACEHOLDER.sub(lambda match: "$" + match.group(), text)


def by_variable(variables: Mapping[str, str]) -> dict[str, Data]:
    """The four connection settings as placeholders, plain as in Backstage's own template."""
    return {key: f"${{{variables[key]}}}" for key in KEYS}


def by_literal(host: str, port: int, user: str, password: str) -> dict[str, Data]:
    """The four connection settings themselves; strings escaped, the port a number."""
    return {"host": escape(host), "port": port, "user": escape(user), "password": escape(password)}


def by_file(host: str, port: int, user: str, password_file: str) -> dict[str, Data]:
    """The connection with the password in a file; `password_file` as Backstage resolves it, from app-config's place."""
    return {"host": escape(host), "port": port, "user": escape(user), "password": {"$file": escape(password_file)}}


def check_database(database: Mapping[str, Any]) -> None:
    """Check further keys of `backend.database` against Backstage's schema. None stands for: take the key away.

    Raises:
        AppConfigError: an unknown key, with the nearest known one, or a value of the wrong kind.
    """
    for key in ("client", *KEYS):
        if key in database:
            where = "is always pg here" if key == "client" else f"is the option {key}"
            raise AppConfigError(f"database.{key}: {key} {where}; take it out of database.")
    connection = database.get("connection", {})
    if not isinstance(connection, Mapping) or _is_reference(connection):
        raise AppConfigError(
            "database.connection is not a dictionary of further keys: give these themselves, such as ssl, "
            "or leave it out."
        )
    for key in KEYS:
        if key in connection:
            raise AppConfigError(f"database.connection.{key} is the option {key}; take it out of database.")
    if "connectionString" in connection:
        raise AppConfigError("database.connection.connectionString would win over host and the others; leave it out.")
    if connection.get("type") not in (None, "default"):
        raise AppConfigError(
            "database.connection.type: with this type the cloud provider gives the password, not this module; "
            "write such a connection by hand."
        )
    _keys(_DATABASE)(database, "database")


def _free(value: Any) -> bool:
    """Whether Backstage alone can tell what the value will be: a reference or a placeholder."""
    return _is_reference(value) or (isinstance(value, str) and bool(_PLACEHOLDER.search(value)))


def _is(kind: type, words: str) -> _Rule:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, kind):
            raise AppConfigError(f"{where} is not {words}.")

    return check


def _one_of(*names: str) -> _Rule:
    def check(value: Any, where: str) -> None:
        if value not in names:
            raise AppConfigError(f"{where} is {value!r}: it must be {' or '.join(names)}.")

    return check


def _keys(rules: Mapping[str, _Rule]) -> _Rule:
    def check(value: Any, where: str) -> None:
        _DICTIONARY(value, where)
        for key, item in value.items():
            if key not in rules:
                near = difflib.get_close_matches(str(key), rules, 1)
                hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(rules)}."
                raise AppConfigError(f"{where}.{key} is not a key that Backstage knows; {hint}")
            if item is not None and not _free(item):
                rules[key](item, f"{where}.{key}")

    return check


def _each(rule: _Rule) -> _Rule:
    def check(value: Any, where: str) -> None:
        _DICTIONARY(value, where)
        for key, item in value.items():
            if item is not None and not _free(item):
                rule(item, f"{where}.{key}")

    return check


def _connection(value: Any, where: str) -> None:
    if isinstance(value, str):
        return
    _DICTIONARY(value, where)
    for key in value:
        # The schema lets any key pass, and node-postgres ignores what it does not know: only a slip can be told.
        near = difflib.get_close_matches(str(key), _CONNECTION_KEYS, 1, 0.66)
        if near and key not in _CONNECTION_KEYS:
            raise AppConfigError(f"{where}.{key} is not a key that PostgreSQL's client knows; did you mean {near[0]}?")


_DICTIONARY = _is(Mapping, "a dictionary")
_BOOLEAN = _is(bool, "true or false")
_STRING = _is(str, "a string")

_DATABASE: dict[str, _Rule] = {
    "connection": _connection,
    "ensureExists": _BOOLEAN,
    "ensureSchemaExists": _BOOLEAN,
    "knexConfig": _DICTIONARY,
    "plugin": _each(
        _keys(
            {
                "client": _one_of("better-sqlite3", "sqlite3", "pg"),
                "connection": _connection,
                "ensureExists": _BOOLEAN,
                "ensureSchemaExists": _BOOLEAN,
                "knexConfig": _DICTIONARY,
                "role": _STRING,
                "skipMigrations": _BOOLEAN,
            }
        )
    ),
    "pluginDivisionMode": _one_of("database", "schema"),
    "prefix": _STRING,
    "role": _STRING,
    "schemaPrefix": _STRING,
    "skipMigrations": _BOOLEAN,
}


def present(data: bytes, connection: Mapping[str, Data], database: Mapping[str, Any] | None = None) -> Patched:
    """Give an app-config file the guide's "after": `client: pg` and the four connection settings.

    What stood there is treated by kind:

    * further keys of the schema, and what knex reads beside `connection` (`pool`): stay;
    * further keys under `connection` (`ssl`, `database`): stay;
    * what only SQLite reads (`filename`, `directory`, `flags`, a dictionary `options`): goes;
    * `host`, `port`, `user`, `password` one level too high, and a `connectionString` that would win: go;
    * `type` azure, cloudsql or rds with its own keys, with which Backstage would not use the password: goes, warned of;
    * a connection string: goes; its database is kept in schema mode, its other settings are warned of;
    * keys that nothing reads (`clientt`): stay, warned of.

    Args:
        data: the file's content; empty for a new one.
        connection: from `by_variable`, `by_literal` or `by_file`.
        database: further keys, merged in depth as Backstage merges files; None as a value takes the key away.

    Raises:
        AppConfigError: the file is not one that this can be done to; says where and why.
    """
    document = _parse(data)
    old = _block(document)
    patched = Patched(data)
    new = dict(old)
    for key in (*KEYS, "connectionString"):
        _remove(new, key, "backend.database", patched.removed)
    new = _ordered(new, {"client": None, "connection": None})
    new["client"] = "pg"
    new["connection"] = _connection_after(document, old, connection, patched)
    if database:
        new = _merged(new, database)
    patched.warnings.extend(_left_over(new))
    return _patch(document, old, new, patched)


def absent(data: bytes) -> Patched:
    """Put the guide's "before" back: SQLite in memory. Other keys stay, but `pluginDivisionMode`, which SQLite refuses.

    A file without `backend.database`, and one whose client is not PostgreSQL anyway, are left as they are.

    Raises:
        AppConfigError: the file is not one that this can be done to; says where and why.
    """
    document = _parse(data)
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
    return _patch(document, old, {**_ordered(new, BEFORE), **BEFORE}, patched)


def choose(files: Sequence[str], literal: bool) -> str:
    """The one of the files to write to, so that no later one hides it.

    Args:
        files: those that Backstage loads, in load order; not empty.
        literal: whether a secret will stand in it; then a file that create-app's .gitignore covers is taken, if any.

    Raises:
        AppConfigError: one of them cannot be read.
    """
    private = [path for path in files if path.endswith(".local.yaml")]
    if literal and private:
        return private[-1]
    for path in reversed(files):
        with contextlib.suppress(FileNotFoundError):
            tree = _tree(path)
            if any(_at(tree, (*PATH, key)) is not _NOTHING for key in ("client", "connection")):
                return path
    return files[0]


def standing(path: str, files: Sequence[str], variables: Mapping[str, str]) -> Standing:
    """Tell which file or variable takes precedence for each key that this collection sets, once `path` sets them all.

    Args:
        path: one of the files.
        files: those that Backstage loads, in load order; they are read from the disk.
        variables: what its environment sets.

    Raises:
        ConfigLoaderError: Backstage would not start with these files.
    """
    config = config_loader.load(os.path.dirname(path), variables, files)
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
    told = [f"{', '.join(names)}: {by} hides what is written to {path}." for by, names in hiding.values()]
    for index in range(place):
        kind = _at(config.layers[index].data, (*PATH, "connection", "type"))
        if kind in MANAGED_TYPES:
            told.append(f"{files[index]} sets backend.database.connection.type to {kind}, which stays in effect.")
    return Standing(effective_source, told)


def _setter(layer: Any, path: tuple[str, ...]) -> tuple[str | None, str]:
    """What in a layer sets a path, or hides it by setting a part of it; with a note on the condition."""
    data = layer.data
    for length in range(1, len(path) + 1):
        data = data.get(path[length - 1], _NOTHING) if isinstance(data, dict) else _NOTHING
        if data is _NOTHING:
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
        return _parse(owned.read(path).data).tree
    except AppConfigError as error:
        raise AppConfigError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AppConfigError(f"{path}: cannot be read: {error.strerror}.") from error


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key, _NOTHING) if isinstance(tree, dict) else _NOTHING
    return tree


def _parse(data: bytes) -> Document:
    # The pattern takes its time, the look for its first sign does not.
    conflicts = [match.start() for match in _CONFLICT.finditer(data)] if b"<<<<<<< " in data else []
    conflicts = [data.count(b"\n", 0, start) + 1 for start in conflicts]
    if len(conflicts) >= 3:
        raise AppConfigError(
            f"line {conflicts[0]}: git's conflict markers stand in the file (lines "
            f"{', '.join(map(str, conflicts))}); resolve the merge first."
        )
    try:
        document = Document(data)
        document.check()  # what no configuration holds, anywhere in the file, is said here
    except YamlPatchError as error:
        raise AppConfigError(f"{error}; correct the file first.") from error
    return document


def _block(document: Document) -> dict[str, Any]:
    """The present `backend.database`; empty where there is none."""
    root = document.find(())
    if root is not None and root.kind != "mapping" and root.value is not None:
        raise AppConfigError(f"the file is a {root.kind}, not a mapping; is it an app-config file?")
    for length in range(len(PATH) + 1):
        node = document.find(PATH[:length])
        if node is None or (node.kind == "scalar" and node.value is None):
            return {}
        where = ".".join(PATH[:length]) or "the file"
        if node.kind == "alias":
            raise AppConfigError(
                f"line {node.line}: {where} is an alias (*): what stands there is used elsewhere too; "
                "write it out first."
            )
        if node.kind != "mapping":
            raise AppConfigError(f"line {node.line}: {where} is a {node.kind}, where Backstage wants a mapping.")
        if any(key in _REFERENCES for key in node.keys):
            raise AppConfigError(
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
        raise AppConfigError(f"line {node.line}: {where} is an alias (*): write it out first.")
    if isinstance(connection, dict) and "$include" in connection:
        raise AppConfigError(
            f"line {node.line if node else 0}: {where} comes from another file ($include); "
            "change it there, or write it out first."
        )


def _connection_after(
    document: Document, old: dict[str, Any], wanted: Mapping[str, Data], patched: Patched
) -> dict[str, Any]:
    where = "backend.database.connection"
    before = old.get("connection")
    _check_own(document, before)
    if not isinstance(before, dict) or _is_reference(before):
        return {**wanted, **_from_string(before, old, patched.warnings)}
    after = dict(before)
    for key in ("filename", "directory", "flags", "connectionString"):
        _remove(after, key, where, patched.removed)
    if isinstance(after.get("options"), dict):
        _remove(after, "options", where, patched.removed)
    managed = MANAGED_TYPES.get(str(after.get("type")))
    if managed:
        patched.warnings.append(
            f"{where} had the type {after['type']}, with which Backstage takes the password from the cloud provider; "
            "it was taken away, so that Backstage logs in with this password."
        )
        for key in ("type", *managed):
            _remove(after, key, where, patched.removed)
    after = _ordered(after, wanted)
    for key, value in wanted.items():
        # A port in quotes is the same to Backstage.
        if not (key == "port" and str(after[key]) == str(value)):
            after[key] = value
    return after


def _from_string(before: Any, old: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    """What is kept of a connection that is no mapping."""
    where = "backend.database.connection"
    if _free(before):
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
        if old.get("pluginDivisionMode") == "schema" and url.path.strip("/"):
            return {"database": escape(unquote(url.path.strip("/")))}
    return {}


def _left_over(new: Mapping[str, Any]) -> Iterable[str]:
    known = {"client", *_DATABASE}
    for key in new:
        if key in known or key in _KNEX_KEYS:
            continue
        if key == "<<":
            yield "backend.database.<< is no merge to Backstage, which reads it as a key; write its content out."
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
        return Patched(document.data, patched.removed, patched.warnings)
    except YamlPatchError as error:
        raise AppConfigError(f"{error}; nothing was changed.") from error


def _same(old: Any, new: Any) -> bool:
    """Equality that tells `1` from `true` and does not look at the order of keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and bool(old == new)


def _is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in _REFERENCES)


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


def _merged(old: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in more.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and not _is_reference(value):
            there = below if isinstance(below, dict) and not _is_reference(below) else None
            merged = _merged(there or {}, value)
            if merged or there is not None or not value:  # no empty one is made only to take keys from it
                result[key] = merged
        else:
            result[key] = value
    return result
