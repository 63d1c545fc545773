# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain values as YAML text that YAML 1.1 and YAML 1.2 read alike.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import MAX_DEPTH
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import MAX_INTEGER

_PLAIN = re.compile(r"[\w/$.](?:[^:#]|:(?! |$)|(?<! )#)*(?<! )")
_NOT_PLAIN_11_OR_12 = re.compile(
    r"(?:y|n|yes|no|on|off|true|false|null|none|nan|inf|\.nan|\.inf|\.\.\..*"
    r"|\.?[0-9][0-9_.,:]*(?:e[-+]?[0-9.]*)?"
    r"|0[xob]?[0-9a-f_]+"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)",
    re.IGNORECASE,
)
_FLOW_INDICATORS = re.compile(r"[\[\]{},?]")  # PyYAML without libyaml takes any question mark for one
_QUOTABLE = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LITERAL = re.compile(r"(?![\s])(?:[^\n]*[^\s]\n|\n)*[^\n]*[^\s]\n?")


class Bare(str):
    """A string that is written without quotes, for its tag makes it one."""


class Writer(NamedTuple):
    """How new text is to look: the habits of the file at that place.

    Attributes:
        quote: ' or ", for strings that cannot be plain.
        always: quote every string.
        mapping_step, sequence_step: columns that a nested mapping or sequence is indented by.
        literal: a string of several lines may be written as a literal (`|`).
        block: | or >, for strings, where the old one was written so; "" elsewhere.
        block_indent: the column of its lines.
        width: characters to fold its lines at.
        as_json: the file is JSON, which is YAML too, and stays it.
    """

    quote: str = "'"
    always: bool = False
    mapping_step: int = 2
    sequence_step: int = 2
    literal: bool = True
    block: str = ""
    block_indent: int = 0
    width: int = 80
    as_json: bool = False

    def value(self, value: Any, column: int, compact: bool = False) -> tuple[str, list[str]]:
        """The text behind the indicator of an entry at `column`, and the lines below it.

        Args:
            compact: the entry is an item of a sequence; a collection begins on its line.
        """
        if isinstance(value, dict) and value:
            return self._nested(self.entries(value, column + (2 if compact else self.mapping_step)), compact)
        if isinstance(value, list) and value:
            return self._nested(self.items(value, column + (2 if compact else self.sequence_step)), compact)
        if isinstance(value, str) and self.literal and (self.block or "\n" in value) and _is_literal(value):
            return self._block(value, column)
        return self.inline(value), []

    def _block(self, text: str, column: int) -> tuple[str, list[str]]:
        """A string as a literal, or folded where the old one was and this one can be."""
        lines = (text[:-1] if text.endswith("\n") else text).split("\n")
        sign = "|"
        if self.block == ">" and not any(line[:1] in (" ", "\t") for line in lines):
            sign, lines = ">", self._folded(lines)
        indent = " " * (self.block_indent if self.block_indent > column else column + self.mapping_step)
        return sign + ("" if text.endswith("\n") else "-"), [indent + line if line else "" for line in lines]

    def _folded(self, lines: list[str]) -> list[str]:
        """Lines of which each is one of the string's or, above a blank one, a part of it."""
        folded: list[str] = []
        for number, line in enumerate(lines):
            if number and line:
                folded.append("")
            folded += self._wrapped(line)
        return folded

    def _wrapped(self, line: str) -> list[str]:
        words = line.split(" ")
        if "" in words:
            return [line]
        parts = [words[0]]
        for word in words[1:]:
            if len(parts[-1]) + 1 + len(word) > self.width and word[:1] not in ("\t",):
                parts.append(word)
            else:
                parts[-1] += f" {word}"
        return parts

    @staticmethod
    def _nested(lines: list[str], compact: bool) -> tuple[str, list[str]]:
        return (lines[0].lstrip(" "), lines[1:]) if compact else ("", lines)

    def entries(self, mapping: dict[str, Any], column: int) -> list[str]:
        lines = []
        for key, value in mapping.items():
            inline, below = self.value(value, column)
            lines += [f"{' ' * column}{self.key(key)}:{' ' * bool(inline)}{inline}", *below]
        return lines

    def items(self, sequence: list[Any], column: int) -> list[str]:
        lines = []
        for value in sequence:
            inline, below = self.value(value, column, compact=True)
            lines += [f"{' ' * column}-{' ' * bool(inline)}{inline}", *below]
        return lines

    def inline(self, value: Any, flow: bool = False) -> str:
        """The value on one line.

        Args:
            flow: it stands inside a flow collection.
        """
        if isinstance(value, dict):
            return "{" + ", ".join(self.pair(key, item) for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self.inline(item, flow=True) for item in value) + "]"
        if isinstance(value, Bare):
            return str(value)
        if isinstance(value, str):
            return self.string(value, flow)
        if value is None:
            return "null"
        if isinstance(value, bool):
            return str(value).lower()
        return _number_text(value)

    def pair(self, key: str, value: Any) -> str:
        return f"{self.key(key, flow=True)}: {self.inline(value, flow=True)}"

    def key(self, key: str, flow: bool = False) -> str:
        text = self._replace(always=False).string(key, flow)
        if len(text) > 1000:
            raise YamlPatchError("a key is longer than the 1024 characters that YAML reads on one line")
        return text

    def string(self, text: str, flow: bool = False) -> str:
        if self.as_json and (_QUOTABLE.fullmatch(text) or (text.isascii() and "\x7f" not in text)):
            return json.dumps(text, ensure_ascii=False)
        if not self.always and _is_plain(text, flow):
            return text
        if not _QUOTABLE.fullmatch(text):
            return _double(text)
        if self.quote == '"' and "\\" not in text and '"' not in text:
            return f'"{text}"'
        if self.quote == '"' and "'" in text:
            return _double(text)
        return "'" + text.replace("'", "''") + "'"


def _is_plain(text: str, flow: bool) -> bool:
    return (
        text.isprintable()
        and bool(_PLAIN.fullmatch(text))
        and not _NOT_PLAIN_11_OR_12.fullmatch(text)
        and not (flow and _FLOW_INDICATORS.search(text))
    )


def _is_literal(text: str) -> bool:
    return bool(_LITERAL.fullmatch(text)) and all(_QUOTABLE.fullmatch(line) for line in text.split("\n"))


def _double(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if _QUOTABLE.fullmatch(char):
        return char
    code = ord(char)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _number_text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    # YAML 1.1 wants a point in the mantissa: 1e+16 is a string there.
    mantissa, _e, exponent = repr(value).partition("e")
    if exponent:
        mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
        return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
    return mantissa


def checked(value: Any, depth: int = 1) -> Any:
    """A copy of a value that can be written."""
    if depth > MAX_DEPTH:
        raise YamlPatchError(f"the value is nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise YamlPatchError(f"the integer {value} is rounded by JavaScript; give it as a string")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [checked(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise YamlPatchError("a key of the value is not a string; give keys as strings")
        return {_checked_text(key): checked(item, depth + 1) for key, item in value.items()}
    raise YamlPatchError(f"a value of type {type(value).__name__} cannot be written as YAML")


def _checked_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise YamlPatchError("a string of the value holds half of a surrogate pair, which is not a character") from None
    return str(text)
