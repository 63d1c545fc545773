# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scalars of YAML mean: in 1.2, the core schema as the npm package yaml 2.9 reads it; in 1.1, as PyYAML does.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from typing import Any

with contextlib.suppress(ImportError):  # the modules report it: pyyaml.HAS_YAML
    import yaml

MAX_INTEGER = 2**53 - 1  # beyond it JavaScript rounds
NUMERIC = frozenset("-+.0123456789")
CORE = "tag:yaml.org,2002:"
FOREIGN_TAGS = {CORE + name for name in ("binary", "timestamp", "set", "omap", "pairs", "merge")}

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def resolve(text: str, tag: str | None = None) -> Any:
    """What a plain scalar means; with a tag, its meaning if that is of the tag's type, else the text."""
    if text in WORDS:
        value = WORDS[text]
    elif text[:1] not in NUMERIC:
        return text
    elif _INTEGER.fullmatch(text):
        value = _number(text, 10)
    elif _OCTAL.fullmatch(text):
        value = _number(text[2:], 8)
    elif _HEXADECIMAL.fullmatch(text):
        value = _number(text[2:], 16)
    elif _FLOAT.fullmatch(text):
        value = float(text)
    else:
        return text
    if tag is None or tag == CORE + _TYPES[type(value)]:
        return value
    return text


_TYPES = {type(None): "null", bool: "bool", int: "int", float: "float"}


def _number(digits: str, base: int) -> int | float:
    if len(digits) > 400:
        return math.inf
    value = int(digits, base)
    return value if abs(value) <= MAX_INTEGER + 1 else float(value)


class Timestamp:
    """A date of YAML 1.1; equal to one that is written the same, and to no string."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


@functools.lru_cache(maxsize=4096)
def resolve_11(text: str, tag: str | None = None) -> Any:
    """What a plain scalar means in YAML 1.1: `yes` is true, 0777 octal, 1:30 sexagesimal, 2024-01-01 a date."""
    reader: Any = yaml.SafeLoader("")
    found = reader.resolve(yaml.ScalarNode, text, (True, False))
    if tag is not None and tag != found:
        return text
    if found == CORE + "timestamp":
        return Timestamp(text)
    if found[len(CORE) :] not in ("bool", "int", "float", "null"):
        return text  # a string, and the keys << and =
    try:
        value = reader.construct_object(yaml.ScalarNode(found, text))
    except ValueError:  # 0b_ looks like a number
        return text
    return value


def javascript_key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
    return str(value)


def equal(one: Any, other: Any) -> bool:
    """Whether two plain values are the same to Backstage: 1 is 1.0, but not true; the order of keys is no matter."""
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(key in other and equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, Timestamp) or isinstance(other, Timestamp):
        return bool(one == other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return one is None and other is None
