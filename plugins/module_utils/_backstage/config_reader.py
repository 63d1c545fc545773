# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look values up in configuration that several files give, as Backstage's `Config` does.

Private to this collection: its interface may change in any release.

The rules are those of `packages/config/src/reader.ts` of backstage/backstage, as of Backstage 1.55.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE

KEY_PART = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_:][A-Za-z0-9]+)*\Z", re.ASCII)

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()


class ConfigLoaderError(CollectionError):
    """Backstage would not start with this configuration; the text says why, where, and what to do."""


class ConfigReader:
    """The `Config` of packages/config: one layer's data over those below it.

    Keys are dotted. None stands for null, which hides what is below; MISSING for undefined.
    """

    def __init__(self, data: Any, context: str, fallback: ConfigReader | None = None, prefix: str = "") -> None:
        self._data = data
        self._context = context
        self._fallback = fallback
        self._prefix = prefix

    def optional(self, key: str = "") -> Any:
        """Return the merged value, or MISSING."""
        value = self._read(key)
        below = self._fallback.optional(key) if self._fallback else MISSING
        return MISSING if value is None else merged(value, below)

    def get(self, key: str = "") -> Any:
        """Return the merged value. Raises: ConfigLoaderError: there is none."""
        return self._required(key, self.optional(key))

    def optional_config(self, key: str) -> ConfigReader | None:
        """Return the part below a key, or None. Raises: ConfigLoaderError: it is not a mapping, in any file."""
        value = self._read(key)
        below = self._fallback.optional_config(key) if self._fallback else None
        if isinstance(value, dict):
            return ConfigReader(value, self._context, below, self._full(key))
        if value is None:
            return None
        if value is not MISSING:
            raise self._mistyped(key, value, "a mapping")
        return below

    def config(self, key: str) -> ConfigReader:
        """Return the part below a key. Raises: ConfigLoaderError: there is none, or it is not a mapping."""
        found: ConfigReader = self._required(key, self.optional_config(key) or MISSING)
        return found

    def optional_string(self, key: str) -> str | None:
        """Return a text, or None. Raises: ConfigLoaderError: it is empty or not a text."""
        value = self._checked(key, lambda found: isinstance(found, str) and found != "", "a text that is not empty")
        return None if value is MISSING else value

    def string(self, key: str) -> str:
        """Return a text. Raises: ConfigLoaderError: there is none, or it is empty or not a text."""
        found: str = self._required(key, self.optional_string(key) or MISSING)
        return found

    def optional_boolean(self, key: str) -> bool | None:
        """Return a boolean, or None. Raises: ConfigLoaderError: it is not one, not even as a text."""
        value = self._checked(key, lambda found: isinstance(found, (bool, int, float, str)), "a boolean")
        if value is MISSING or isinstance(value, bool):
            return None if value is MISSING else value
        text = js_trim(js_string(value)).lower()
        if text in ("y", "yes", "true", "1", "on"):
            return True
        if text in ("n", "no", "false", "0", "off"):
            return False
        raise self._mistyped(key, value, "a boolean")

    def _required(self, key: str, value: Any) -> Any:
        if value is MISSING:
            raise ConfigLoaderError(f"{self._full(key)} is not set; set it, in {self._context} for instance.")
        return value

    def _checked(self, key: str, fits: Callable[[Any], bool], expected: str) -> Any:
        value = self._read(key)
        if value is MISSING:
            return self._fallback._checked(key, fits, expected) if self._fallback else MISSING
        if value is None:
            return MISSING
        if not fits(value):
            raise self._mistyped(key, value, expected)
        return value

    def _mistyped(self, key: str, value: Any, expected: str) -> ConfigLoaderError:
        return ConfigLoaderError(f"{self._full(key)} in {self._context} is {kind(value)}; it has to be {expected}.")

    def _full(self, key: str) -> str:
        return ".".join(filter(None, (self._prefix, key)))

    def _read(self, key: str) -> Any:
        parts = key.split(".") if key else []
        for part in parts:
            if not KEY_PART.match(part):
                raise ConfigLoaderError(f"{self._full(key)}: Backstage takes no key such as {part!r}; rename it.")
        value = self._data
        for index, part in enumerate(parts):
            if isinstance(value, dict):
                value = value.get(part, MISSING)
            elif value is not MISSING and value is not None:
                raise self._mistyped(".".join(parts[:index]), value, "a mapping")
        return value


def merged(into: Any, below: Any = MISSING) -> Any:
    """Lay one value over another: mappings key by key, all else replaced, null gone and hiding (reader.ts, merge)."""
    if into is None:
        return MISSING
    if into is MISSING:
        return MISSING if below is MISSING else merged(below)
    if not isinstance(into, dict):
        return into
    lower = below if isinstance(below, dict) else {}
    result = {}
    for key in [*into, *(key for key in lower if key not in into)]:
        value = merged(into.get(key, MISSING), lower.get(key, MISSING))
        if value is not MISSING:
            result[key] = value
    return result


def kind(value: Any) -> str:
    """Name a value's kind for an error text; never the value itself."""
    if value is None:
        return "null"
    if value == "":
        return "an empty text"
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "something else")


def js_string(value: Any) -> str:
    """String(value) of a JSON scalar in JavaScript."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def js_trim(text: str) -> str:
    """String.prototype.trim (ECMA-262)."""
    return text.strip(JS_SPACE)
