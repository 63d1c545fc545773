# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Type and characters of a role's variable, by its entry in meta/argument_specs.yml.

Ansible makes strings of dictionaries and numbers; here each has to be what it is said to be. A value is never part of
a sentence, since it may be a secret in the wrong place.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

Option = Mapping[str, Any]

# Names of before, whose nearest name is another variable.
RENAMED = {
    "backstage_app_config_values": "backstage_app_config_credentials",
    "backstage_postgresql_container_port": "backstage_postgresql_port",
    "backstage_postgresql_container_user": "backstage_postgresql_user",
}
_TRUTH = ("yes", "on", "true", "1", "y", "t", "no", "off", "false", "0", "n", "f")
_WORDS = {
    "str": "a string",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
}
_CHARACTERS = (
    (re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]"), "a line break"),
    (re.compile(r"[\x00-\x1f\x7f-\x9f]"), "a control character"),
    (re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"), "a control character for bidirectional text"),
    (re.compile(r"[\ud800-\udfff]"), "half of a surrogate pair"),
)


def kind(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a dictionary" if isinstance(value, Mapping) else "a list"


def character_problem(text: str, lines: bool = False) -> str:
    """Which character of a string no variable can hold; empty where there is none.

    Args:
        text: the string.
        lines: whether it may have several lines.
    """
    for pattern, words in _CHARACTERS:
        for match in pattern.finditer(text):
            if not (lines and match[0] in "\r\n\t"):
                return f"{words} (U+{ord(match[0]):04X})"
    return ""


def type_problems(name: str, value: Any, option: Option) -> Iterable[str]:
    """Sentences about a value that is not of its variable's type, or holds a character that it cannot have.

    Args:
        name: the variable, or the place in it.
        value: as the user gave it.
        option: its entry in argument_specs.
    """
    wanted = str(option.get("type", "str"))
    if not _is_type(value, wanted, bool(option.get("no_log"))):
        remedy = {
            "null": "Set it, or remove the line.",
            "str": "Put it in quotes.",
            "list": "Write [item] for one item.",
        }.get("null" if value is None else wanted, "Correct it.")
        if wanted == "str" and isinstance(value, (Mapping, list, tuple)):
            remedy = "Correct it."
        yield f"{name}: must be {_WORDS.get(wanted, wanted)}, not {kind(value)}. {remedy}"
        return
    if isinstance(value, str):
        found = character_problem(value, lines=name.endswith(("_key", "_ca", "_certificate")))
        if found:
            yield f"{name}: contains {found}. Remove it."
            return
    choices = option.get("choices")
    if choices and str(value) not in [str(choice) for choice in choices]:
        yield f"{name}: not a valid choice. Use one of {', '.join(map(str, choices))}."
    elif wanted == "list" and isinstance(value, (list, tuple)):
        item_option = {"type": option.get("elements", "raw"), "options": option.get("options")}
        for number, item in enumerate(value, 1):
            yield from type_problems(f"{name}, item {number}", item, item_option)
    elif wanted == "dict" and isinstance(value, Mapping):
        yield from _dictionary_problems(name, value, option.get("options"))


def _is_type(value: Any, wanted: str, secret: bool) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted == "raw":
        return value is not None
    if wanted in ("str", "path"):
        # YAML drops what a number cannot hold, such as a leading zero.
        return isinstance(value, str) or (wanted == "str" and not secret and isinstance(value, int) and number)
    if wanted == "int":
        return (number and isinstance(value, int)) or (
            isinstance(value, str) and bool(re.fullmatch(r"\s*-?[0-9]+\s*", value))
        )
    if wanted == "float":
        return number
    if wanted == "bool":
        return isinstance(value, bool) or str(value).lower() in _TRUTH
    return isinstance(value, Mapping) if wanted == "dict" else isinstance(value, (list, tuple))


def _dictionary_problems(name: str, value: Mapping[Any, Any], options: Mapping[str, Option] | None) -> Iterable[str]:
    for key, item in value.items():
        place = f"{name}, key {key}" if isinstance(key, str) and not character_problem(key) else name
        if not isinstance(key, str):
            yield f"{name}: has {kind(key)} as a key. Put it in quotes."
        elif character_problem(key):
            yield f"{name}: a key contains {character_problem(key)}. Remove it."
        elif options is not None and _entry(options, key) is None:
            yield f"{name}: has the unknown key {key}. {nearest(key, options)}"
        elif options is not None:
            yield from type_problems(place, item, _entry(options, key) or {})
        elif isinstance(item, str) and character_problem(item, lines=True):
            yield f"{place}: contains {character_problem(item, lines=True)}. Remove it."
        elif isinstance(item, Mapping):
            yield from _dictionary_problems(place, item, None)
    for key, option in (options or {}).items():
        if option.get("required") and key not in value:
            yield f"{name}: has no key {key}. Add it."


def _entry(options: Mapping[str, Option], key: str) -> Option | None:
    found = (option for name, option in options.items() if key == name or key in (option.get("aliases") or ()))
    return next(found, None)


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name."""
    if name in RENAMED:
        return f"Its name is {RENAMED[name]} now."
    found = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f"Did you mean {found[0]}?" if found else "Remove it, or see the role's README for the names."
