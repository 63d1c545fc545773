# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read app-config files as Backstage 1.55 does, and tell where each value comes from.

Private to this collection: its interface may change in any release.

The rules are those of `packages/config-loader/src/sources` of backstage/backstage (config-loader 1.11.3). Remote files
(`--config https://...`) are not read.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Union

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import node_yaml
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import (
    KEY_PART,
    MISSING,
    ConfigLoaderError,
    ConfigReader,
    js_trim,
    kind,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import ROOT, Ids
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_names import REFERENCES

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.source import Source

Path = tuple[Union[str, int], ...]

_SUBSTITUTION = re.compile(r"(\$?\$\{[^{}]*\})")
_ENV_PREFIX = "APP_CONFIG_"
# Where values come from is kept for this part of the configuration only.
_KEPT = ("backend", "database")
_MAX_VALUES = 1_000_000  # of one file, with what it includes; a few lines of aliases or of includes make 10^8

# What to do about a file that another one names.
_NAMED = "Create the file, or correct the path, which starts at the file that names it."


@dataclass(frozen=True)
class Origin:
    """Where a value was written.

    Attributes:
        place: `FILE:LINE`, or the name of an APP_CONFIG_ variable.
        variables: the environment variables that went into it.
    """

    place: str
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place} ({', '.join(self.variables)})" if self.variables else self.place


@dataclass(frozen=True)
class Dropped:
    """A key that Backstage leaves out, because `variable` is not set."""

    key: str
    place: str
    variable: str


@dataclass
class Config:
    """What Backstage reads.

    Attributes:
        root: the merged configuration.
        files: the app-config files, in load order.
        ids: with which a path is opened that a value names.
        problems: why Backstage would not start, as far as it does not concern backend.database; sentences.
    """

    root: ConfigReader
    files: list[str]
    layers: list[_Layer]
    ids: Ids = ROOT

    @property
    def problems(self) -> list[str]:
        return [problem for layer in self.layers for problem in layer.problems]

    def origin(self, key: str) -> Origin | None:
        """Where the value of a dotted key below backend.database comes from; None where there is none."""
        path = tuple(key.split("."))
        for layer in reversed(self.layers):
            if path in layer.origins:
                return layer.origins[path]
        return None

    def dropped(self, key: str) -> Dropped | None:
        """Why a dotted key below backend.database is left out; the last file that drops it counts."""
        for layer in reversed(self.layers):
            for dropped in layer.dropped:
                if dropped.key == key:
                    return dropped
        return None


@dataclass
class _Layer:
    context: str
    data: Any = MISSING
    origins: dict[Path, Origin] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ids: Ids = ROOT


def default_files(directory: str, environment: Mapping[str, str], reader: Ids | None = None) -> list[str]:
    """Return the files that a backend without --config reads, in load order; app-config.yaml even if it is missing."""
    names = [name for name in map(js_trim, environment.get("BACKSTAGE_ENV", "").split(",")) if name]
    wanted = [f"app-config.{name}.yaml" for name in names] + ["app-config.local.yaml"]
    wanted += [f"app-config.{name}.local.yaml" for name in names]
    there = [path for path in (os.path.join(directory, name) for name in wanted) if owned.exists(path, reader)]
    return [os.path.join(directory, "app-config.yaml"), *there]


def load(
    directory: str,
    environment: Mapping[str, str],
    config_files: Sequence[str] = (),
    reader: Ids | None = None,
    author: Ids = ROOT,
) -> Config:
    """Read the configuration of a backend, within the bounds of `owned`.

    Args:
        directory: the root of the app; relative paths start here.
        environment: the backend's environment variables.
        config_files: its --config options in their order; empty means the default files.
        reader: with whose ids all files are opened: the user's that Backstage runs as. None: each with those of the
            owner of its directory, and what a file names with those of whoever may have written that.
        author: who may have written the values of the environment variables.

    Raises:
        ConfigLoaderError: Backstage would end with an error that makes backend.database unknown, too.
    """
    try:
        with owned.time_limit(f"The app-config files of {directory}"):
            return _load(directory, config_files, _Environment(environment, author), reader)
    except ConfigLoaderError:
        raise
    except CollectionError as error:
        raise ConfigLoaderError(str(error)) from error
    except RecursionError:
        raise ConfigLoaderError(
            f"The app-config files of {directory} are nested too deeply; look for a file that includes itself."
        ) from None


def _load(directory: str, config_files: Sequence[str], environment: _Environment, reader: Ids | None) -> Config:
    files = [os.path.join(directory, name) for name in config_files]
    files = files or default_files(directory, environment.variables, reader)
    layers = [_read_file(path, environment, reader) for path in files]
    layers.append(_read_variables(environment.variables))
    values: ConfigReader | None = None
    for layer in layers:
        if layer.data is not MISSING:
            values = ConfigReader(layer.data, layer.context, values)
    authors = [*(layer.ids for layer in layers), environment.author]
    ids = reader or next((ids for ids in authors if ids.uid), ROOT)
    return Config(values or ConfigReader(MISSING, "no file"), files, layers, ids)


@dataclass(frozen=True)
class _Environment:
    variables: Mapping[str, str]
    author: Ids

    def get(self, name: str) -> str | None:
        value = self.variables.get(name)
        return None if value is None else js_trim(value)


class _Base(NamedTuple):
    """Where relative paths start, and with which ids the files are opened."""

    directory: str
    ids: Ids
    fixed: bool


def _read_file(path: str, environment: _Environment, reader: Ids | None) -> _Layer:
    remedy = "Backstage does not start without it. Create the file, or correct the list of config files."
    file = _file(path, remedy, reader)
    layer = _Layer(os.path.basename(path), ids=file.ids)
    tree, source = _parsed(path, file)
    if tree is None:
        return layer

    def where(at: Path) -> str:
        return _place_in(source, path, at)

    base = _Base(os.path.dirname(path), file.ids, reader is not None)
    layer.data = _Transformation(layer, environment, os.path.dirname(file.path)).transform(tree, (), base, where)
    if not isinstance(layer.data, dict):
        raise ConfigLoaderError(f"{path}: is {kind(tree)} as a whole; an app-config file is a mapping.")
    return layer


def _place_in(source: Source | None, path: str, at: Path) -> str:
    line = source.line(at) if source else None
    return f"{path}:{line}" if line else path


def _parsed(path: str, file: owned.File, quoted: bool = True) -> tuple[Any, Source | None]:
    """The tree that a file holds, and its source; without one where only Backstage's own reader can read it."""
    try:
        source = Source(file.data)
        return source.tree, source
    except YamlPatchError as error:
        remedy = "Correct the file there."
        try:
            return node_yaml.read(file), None
        except node_yaml.UnknownError:
            remedy += (
                " Backstage's own reader may accept it, but cannot be queried: node or the app's packages are missing."
            )
        except node_yaml.RefusedError:
            pass
        reason = str(error) if quoted else f"line {error.line or 1}: not the YAML that Backstage reads"
        raise ConfigLoaderError(f"{path}: {reason}. {remedy}") from error


def _file(path: str, remedy: str, ids: Ids | None) -> owned.File:
    try:
        return owned.read(path, ids)
    except FileNotFoundError:
        raise ConfigLoaderError(f"{path}: there is no such file. {remedy}") from None
    except PermissionError as error:
        who = error.ids if isinstance(error, owned.DeniedError) else _user_name()
        raise ConfigLoaderError(
            f"{path}: the OS user {who} may not read it. Give it to that user or to a group of it, and let it into "
            "the directories above."
        ) from None
    except CollectionError as error:
        raise ConfigLoaderError(str(error)) from error
    except OSError as error:
        raise ConfigLoaderError(f"{path}: cannot be read: {error.strerror}. {remedy}") from error


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class _Transformation:
    """Substitutions and includes of one file (config-loader, sources/transform)."""

    def __init__(self, layer: _Layer, environment: _Environment, home: str) -> None:
        self._layer = layer
        self._environment = environment
        self._home = home
        self._values = 0

    def transform(self, value: Any, path: Path, base: _Base, where: Callable[[Path], str]) -> Any:
        """Return the value as Backstage sees it, MISSING where it drops it."""
        self._values += 1
        if self._values > _MAX_VALUES:
            raise ConfigLoaderError(
                f"{self._layer.context}: has more than {_MAX_VALUES:,} values once its aliases and includes are "
                "followed; look for aliases (*) within aliases."
            )
        if isinstance(value, str):
            return self._substituted(value, path, where)
        if isinstance(value, dict):
            included = next((key for key in value if key in REFERENCES), None)
            if included:
                try:
                    return self._included(included, value, path, base, where)
                except ConfigLoaderError as error:
                    if path[: len(_KEPT)] == _KEPT or _KEPT[: len(path)] == path:
                        raise
                    self._layer.problems.append(str(error))
                    return MISSING
        return self._children(value, path, base, where)

    def _children(self, value: Any, path: Path, base: _Base, where: Callable[[Path], str]) -> Any:
        if isinstance(value, list):
            items = [self.transform(item, (*path, at), base, where) for at, item in enumerate(value)]
            return [item for item in items if item is not MISSING]
        if isinstance(value, dict):
            result = {}
            for key, child in value.items():
                transformed = self.transform(child, (*path, key), base, where)
                if transformed is not MISSING:
                    result[key] = transformed
            self._keep(path, where, ())
            return result
        self._keep(path, where, ())
        return value

    def _substituted(self, text: str, path: Path, where: Callable[[Path], str]) -> Any:
        parts: list[str] = _SUBSTITUTION.split(text)
        used = []
        for index in range(1, len(parts), 2):
            part = parts[index]
            if part.startswith("$$"):
                parts[index] = part[1:]
                continue
            name, separator, fallback = part[2:-1].partition(":-")
            name = js_trim(name)
            found = self._environment.get(name)
            value = found or js_trim(fallback) or None if separator else found
            if value is None:
                return self._drop(path, where, name)
            parts[index] = value
            if found:
                used.append(name)
        self._keep(path, where, tuple(used))
        return "".join(parts)

    def _included(
        self, kind_of: str, value: dict[str, Any], path: Path, base: _Base, where: Callable[[Path], str]
    ) -> Any:
        def wrong(text: str) -> ConfigLoaderError:
            return ConfigLoaderError(f"{where(path)}: {_dotted(path)}: {text}")

        if len(value) != 1:
            raise wrong(f"{kind_of} stands beside other keys; it has to stand alone.")
        raw = value[kind_of]
        if not isinstance(raw, str):
            raise wrong(f"{kind_of} is {kind(raw)}; it has to be a text.")
        target = self._substituted(raw, (), where)
        if target is MISSING:
            raise wrong(f"a variable in the value of {kind_of} is not set; set it.")
        if kind_of == "$env":
            found = self._environment.get(target)
            if found is None:
                return self._drop(path, where, target)
            self._keep(path, where, (target,))
            return found
        if target != raw and not base.fixed and self._environment.author.uid:
            base = base._replace(ids=self._environment.author)
        if kind_of == "$file":
            file = _node_path(base.directory, target)
            try:
                content = _file(file, _NAMED, base.ids).data
            except ConfigLoaderError as error:
                raise wrong(f"$file: {error}") from error
            self._keep(path, lambda _at: file, ())
            return content.decode("utf-8", "replace").rstrip(JS_SPACE)
        return self._include(target, path, base, wrong)

    def _include(self, target: str, path: Path, base: _Base, wrong: Callable[[str], ConfigLoaderError]) -> Any:
        name, _hash, rest = target.partition("#")
        file = _node_path(base.directory, name)
        suffix = os.path.splitext(name)[1]
        if suffix not in (".json", ".yaml", ".yml"):
            raise wrong(f"$include takes .json, .yaml and .yml files, not {name}.")
        data: Any
        try:
            found = _file(file, _NAMED, base.ids)
            if suffix == ".json":
                source = None
                data = _json(found.data.decode("utf-8", "replace"))
            else:
                data, source = _parsed(file, found, quoted=found.path.startswith(f"{self._home}/"))
        except ConfigLoaderError as error:
            raise wrong(f"$include: {error}") from error
        except ValueError as error:
            raise wrong(f"$include: {file}: {error}") from error
        parts = tuple(rest.split(".")) if rest else ()
        for index, part in enumerate(parts):
            if not isinstance(data, dict):
                raise wrong(f"$include: {'.'.join(parts[:index]) or 'the whole'} of {file} is not a mapping.")
            data = data.get(part, MISSING)

        def where(at: Path) -> str:
            return _place_in(source, file, (*parts, *at[len(path) :]))

        if data is MISSING:
            return MISSING
        if isinstance(data, str):
            return self._substituted(data, path, where)
        return self._children(data, path, base._replace(directory=os.path.dirname(file), ids=found.ids), where)

    def _keep(self, path: Path, where: Callable[[Path], str], variables: tuple[str, ...]) -> None:
        if path[: len(_KEPT)] == _KEPT:
            self._layer.origins[path] = Origin(where(path), variables)

    def _drop(self, path: Path, where: Callable[[Path], str], name: str) -> Any:
        if path[: len(_KEPT)] == _KEPT:
            self._layer.dropped.append(Dropped(_dotted(path), where(path), name))
        return MISSING


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _node_path(directory: str, name: str) -> str:
    return os.path.normpath(os.path.join(directory, name))


def _json(text: str) -> Any:
    """JSON.parse: Python's reader also takes NaN and Infinity."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _read_variables(environment: Mapping[str, str]) -> _Layer:
    """Read the APP_CONFIG_ variables (config-loader, sources/EnvConfigSource)."""
    layer = _Layer("env")
    for variable, text in environment.items():
        if not text or not variable.startswith(_ENV_PREFIX):
            continue
        parts = tuple(variable[len(_ENV_PREFIX) :].split("_"))
        if not all(KEY_PART.match(part) for part in parts):
            raise ConfigLoaderError(f"{variable}: this is not a configuration key; rename or remove the variable.")
        try:
            value = _json(text)
        except ValueError:
            value = text
        if value is None:
            raise ConfigLoaderError(f"{variable}: the value is null, which Backstage rejects. Remove the variable.")
        if layer.data is MISSING:
            layer.data = {}
        _place(layer, variable, parts, value)
    return layer


def _place(layer: _Layer, variable: str, parts: tuple[str, ...], value: Any) -> None:
    at = layer.data
    for part in parts[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise ConfigLoaderError(f"{variable}: another one sets {part} to a plain value; remove one.")
    if parts[-1] in at:
        raise ConfigLoaderError(f"{variable}: another APP_CONFIG_ variable sets this already; remove one.")
    at[parts[-1]] = value
    if parts[: len(_KEPT)] == _KEPT:
        _keep_all(layer, variable, parts, value)


def _keep_all(layer: _Layer, variable: str, path: Path, value: Any) -> None:
    layer.origins[path] = Origin(variable)
    if isinstance(value, dict):
        for key, child in value.items():
            _keep_all(layer, variable, (*path, key), child)
