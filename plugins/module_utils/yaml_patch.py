# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set or delete a path in YAML text; every other byte is kept.

Private to this collection: its interface may change in any release.

The promise: every byte outside the replaced ranges is kept, and the result, parsed, equals the input, parsed, with the
edit applied. The result is parsed again to prove it. Where the promise cannot be kept, YamlPatchError says why and
where, and there is no result.

Values are those that Backstage reads: the npm package yaml 2.9, YAML 1.2 core schema. `yes` is a string, `0o17` is 15,
`<<` is a key like any other. Text that YAML 1.1 (PyYAML) and YAML 1.2 read differently is refused (a lone carriage
return, `%YAML 1.1`), or read as 1.2 does (U+0085, U+2028 and U+2029 are no line breaks). What is written reads the same
in both.

Which comments go and which stay:
  - A comment on the line of a key (or of a `-`) stays when the value is replaced, and goes when the key is deleted.
  - A comment inside a block value goes when that value is replaced as a whole, and so do the comment lines below the
    value that are indented deeper than its key. Where a dict is set on a mapping and they have a key in common, only
    the keys that differ are touched; then the comments between the keys stay.
  - A comment line above a key stays, whatever happens to the key.
  - A new key comes after the last key of its mapping, and after the comment lines that are deeper than its column; so
    before those that belong to what follows.

Setting a new key in a mapping and deleting that same key again gives back the text that was there. Where parents were
made as well, deleting the first of them does. Deleting the last key of a mapping leaves `{}`.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Union

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Key = Union[str, int]
Path = tuple[Key, ...]

MAX_DEPTH = 100  # levels of nesting, in the text and in values: far above any configuration, below Python's own limit
_MAX_INTEGER = 2**53 - 1  # beyond it JavaScript rounds
_LOOKALIKE_BREAKS = "\x85\u2028\u2029"


class YamlPatchError(ValueError):
    """The text cannot be read or edited as asked.

    Attributes:
        message: one sentence: what was found, what to do.
        line, column: where, from 1; None where the fault has no place in the text.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(message if line is None else f"line {line}, column {column}: {message}")


class Node(NamedTuple):
    """What stands at a path.

    Attributes:
        kind: mapping, sequence, scalar or alias.
        value: the plain Python value; for an alias, that of what it names.
        line, column: of its first character, from 1.
        style: block or flow for collections; plain, single, double, literal or folded for scalars; None for an alias.
        anchor: the name behind `&`, or behind `*` for an alias; else None.
    """

    kind: str
    value: Any
    line: int
    column: int
    style: str | None
    anchor: str | None


# -- scan: the event stream, in columns ------------------------------------------------------------------------------


class _Mark:
    """What stands in the column of values for an event that is no scalar."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


_MAPPING, _SEQUENCE, _ALIAS, _END = _Mark("mapping"), _Mark("sequence"), _Mark("alias"), _Mark("end")


class _Style(NamedTuple):
    """A style that comes with an anchor or a tag, or is an alias."""

    style: str
    anchor: str | None
    tag: str | None


class _Stream:
    """The events of one document as columns: plain lists, so that a large file costs no objects per node.

    A node is the index of its event. `values` holds a scalar's text or a mark, `styles` a style character ("" plain,
    ' " | > scalars, { [ flow collections, "-" block collections) or a _Style, `starts` and `ends` the event's range in
    characters, `after` (collections only) the index behind the collection's last event.
    """

    def __init__(self, text: str, positions: bool = True) -> None:
        self.text = text
        self.values: list[Any] = []
        self.styles: list[Any] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.after: dict[int, int] = {}
        self.aliases: list[int] = []
        self.anchors: dict[str, int] = {}
        self.document_end: int | None = None
        self.explicit_start: int | None = None
        source, back = _hide_lookalikes(text)
        parser = _Parser(source)
        try:
            self._read(parser, positions)
        except YamlPatchError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise _syntax_error(text, error) from None
        finally:
            parser.dispose()
        if back:
            self.values = [value.translate(back) if isinstance(value, str) else value for value in self.values]

    def _read(self, parser: Any, positions: bool) -> None:
        # This loop runs for every event of the file and decides how fast the module is.
        values, styles, starts, ends = self.values, self.styles, self.starts, self.ends
        add_value, add_style, add_start, add_end = values.append, styles.append, starts.append, ends.append
        open_nodes: list[tuple[int, list[Any]]] = []
        children: list[Any] = []
        add_child = children.append
        for event in iter(parser.get_event, None):
            kind = event.__class__
            if kind is ScalarEvent:
                value = event.value
                add_value(value)
                add_child(value)
                if event.anchor or event.tag or event.implicit == _NON_SPECIFIC:
                    add_style(self._with_properties(event, event.style or ""))
                else:
                    add_style(event.style or "")
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                node = len(values)
                add_child(node)
                open_nodes.append((node, children))
                if len(open_nodes) > MAX_DEPTH:
                    raise self._error(f"nested more than {MAX_DEPTH} levels deep", event.start_mark.index)
                children = []
                add_child = children.append
                mapping = kind is MappingStartEvent
                add_value(_MAPPING if mapping else _SEQUENCE)
                style = ("{" if mapping else "[") if event.flow_style else "-"
                add_style(self._with_properties(event, style) if event.anchor or event.tag else style)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                node, parent = open_nodes.pop()
                add_value(_END)
                add_style("")
                self.after[node] = len(values)
                if kind is MappingEndEvent:
                    self._check_keys(node, children[::2])
                children = parent
                add_child = children.append
            elif kind is AliasEvent:
                self._check_alias(event)
                add_child(len(values))
                add_value(_ALIAS)
                add_style(_Style("*", event.anchor, None))
            else:
                self._check_document(event)
                continue
            if positions:
                add_start(event.start_mark.index)
                add_end(event.end_mark.index)

    def _with_properties(self, event: Any, style: str) -> _Style:
        if event.anchor:
            self.anchors[event.anchor] = len(self.styles)
        tag = event.tag or ("!" if event.__class__ is ScalarEvent and event.implicit == _NON_SPECIFIC else None)
        return _Style(style, event.anchor, tag)

    def _check_alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self._error(f"alias *{event.anchor} names no anchor before it", event.start_mark.index)
        self.aliases.append(len(self.values))

    def _check_document(self, event: Any) -> None:
        if event.__class__ is DocumentStartEvent:
            if self.document_end is not None:
                raise self._error("a second document begins here; only one is read", event.start_mark.index)
            if event.version and event.version != (1, 2):
                major, minor = event.version
                raise self._error(f"%YAML {major}.{minor} changes how values are read; remove it", 0)
            self.explicit_start = event.end_mark.index if event.explicit else None
        elif event.__class__ is DocumentEndEvent:
            self.document_end = event.start_mark.index if event.explicit else len(self.text)

    def _check_keys(self, mapping: int, keys: list[Any]) -> None:
        """Refuse duplicates, as Backstage does ("Map keys must be unique")."""
        if len(set(keys)) == len(keys) and not [key for key in keys if key.__class__ is int or key[:1] in _NO_STRING]:
            return
        seen = set()
        for node, _value in self.entries(mapping):
            key = self.key(node)
            if key is not None and key in seen:
                raise self.error(f'the key "{key}" is there twice in this mapping; remove one', node)
            seen.add(key)

    def entries(self, collection: int) -> Iterator[tuple[int, int]]:
        """Key and value of each entry; for a sequence the item twice."""
        values, after = self.values, self.after
        node = collection + 1
        if values[collection] is _MAPPING:
            while values[node] is not _END:
                value = after.get(node, node + 1)
                yield node, value
                node = after.get(value, value + 1)
        else:
            while values[node] is not _END:
                yield node, node
                node = after.get(node, node + 1)

    def next(self, node: int) -> int:
        return self.after.get(node, node + 1)

    def style(self, node: int) -> str:
        style = self.styles[node]
        return style.style if isinstance(style, _Style) else style

    def anchor(self, node: int) -> str | None:
        style = self.styles[node]
        return style.anchor if isinstance(style, _Style) else None

    def tag(self, node: int) -> str | None:
        style = self.styles[node]
        return style.tag if isinstance(style, _Style) else None

    def target(self, alias: int) -> int:
        """The node that an alias stands for: the last one of that name before it."""
        name = self.anchor(alias)
        for node in range(alias - 1, -1, -1):
            if self.values[node] is not _ALIAS and self.anchor(node) == name:
                return node
        raise self.error(f"alias *{name} names no anchor before it", alias)

    def key(self, node: int) -> str | None:
        """A key as a JavaScript object has it; None for a key that is a collection."""
        if self.values[node] is _ALIAS:
            node = self.target(node)
        if isinstance(self.values[node], _Mark):
            return None
        return _javascript_key(self._scalar(node))

    def plain(self, node: int) -> Any:
        """The node as a plain Python value; what an alias repeats is the same object."""
        return self._plain(node, {})

    def _plain(self, node: int, done: dict[int, Any]) -> Any:
        if node in done:
            return done[node]
        mark = self.values[node]
        if mark is _ALIAS:
            target = self.target(node)
            if target < node < self.next(target):
                raise self.error(f"alias *{self.anchor(node)} stands inside what it names", node)
            return self._plain(target, done)
        if mark is _MAPPING or mark is _SEQUENCE:
            tag = self.tag(node)
            if tag in _FOREIGN_TAGS:
                raise self.error(f"{tag} is no part of a configuration; remove the tag", node)
            result: Any = self._plain_mapping(node, done) if mark is _MAPPING else []
            if mark is _SEQUENCE:
                result.extend(self._plain(item, done) for item, _item in self.entries(node))
        else:
            result = self._scalar(node)
        if self.anchor(node):
            done[node] = result
        return result

    def _plain_mapping(self, node: int, done: dict[int, Any]) -> dict[str, Any]:
        result = {}
        for key_node, value in self.entries(node):
            key = self.key(key_node)
            if key is None:
                raise self.error("a key that is itself a collection; make it a string", key_node)
            result[key] = self._plain(value, done)
        return result

    def _scalar(self, node: int) -> Any:
        tag = self.tag(node)
        if tag in _FOREIGN_TAGS:
            raise self.error(f"{tag} is no part of a configuration; remove the tag", node)
        value = self.values[node]
        if tag is None:
            return value if self.style(node) else _resolve(value)
        return _resolve(value, tag)

    def error(self, message: str, node: int | None = None) -> YamlPatchError:
        at = self.starts[node] if node is not None and node < len(self.starts) else None
        return self._error(message, at)

    def _error(self, message: str, index: int | None) -> YamlPatchError:
        return YamlPatchError(message) if index is None else YamlPatchError(message, *_place(self.text, index))


_Parser = yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_NON_SPECIFIC = (False, False)
_NO_STRING = frozenset("-+.0123456789~nNtTfF") | {""}
_CORE = "tag:yaml.org,2002:"
_FOREIGN_TAGS = {_CORE + name for name in ("binary", "timestamp", "set", "omap", "pairs", "merge")}


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _hide_lookalikes(text: str) -> tuple[str, dict[int, int]]:
    """Put private characters in place of those that only YAML 1.1 takes for line breaks; and the way back."""
    if text.isascii():
        return text, {}
    present = [char for char in _LOOKALIKE_BREAKS if char in text]
    free = (code for code in range(0xE000, 0xF900) if chr(code) not in text)
    forth = {ord(char): next(free, 0xFFFD) for char in present}
    return text.translate(forth) if forth else text, {code: char for char, code in forth.items()}


_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _syntax_error(text: str, error: Exception) -> YamlPatchError:
    if isinstance(error, yaml.reader.ReaderError):
        found = _UNREADABLE.search(text)
        if found:
            return YamlPatchError(
                f"the character U+{ord(found.group()):04X} may not stand in YAML; write an escape in double quotes",
                *_place(text, found.start()),
            )
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    message = f"{problem} ({context})" if context else problem
    return YamlPatchError(message) if mark is None else YamlPatchError(message, mark.line + 1, mark.column + 1)


# -- values: YAML 1.2 core schema, as npm yaml 2.9 has it ------------------------------------------------------------

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def _resolve(text: str, tag: str | None = None) -> Any:
    """What a plain scalar means; with a tag, its meaning if that is of the tag's type, else the text."""
    if text[:1] not in _NO_STRING:
        return text
    if text in _WORDS:
        value = _WORDS[text]
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
    if tag is None or tag == _CORE + _TYPES[type(value)]:
        return value
    return text


_TYPES = {type(None): "null", bool: "bool", int: "int", float: "float"}


def _number(digits: str, base: int) -> int | float:
    if len(digits) > 400:
        return math.inf
    value = int(digits, base)
    return value if abs(value) <= _MAX_INTEGER + 1 else float(value)


def _javascript_key(value: Any) -> str:
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
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return one is None and other is None


def _checked(value: Any, depth: int = 1) -> Any:
    """A copy of a value that can be written."""
    if depth > MAX_DEPTH:
        raise YamlPatchError(f"the value is nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise YamlPatchError(f"the integer {value} is rounded by JavaScript; give it as a string")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_checked(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise YamlPatchError("a key of the value is not a string; give keys as strings")
        return {_checked_text(key): _checked(item, depth + 1) for key, item in value.items()}
    raise YamlPatchError(f"a value of type {type(value).__name__} cannot be written as YAML")


def _checked_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise YamlPatchError("a string of the value holds half of a surrogate pair, which is no character") from None
    return str(text)


# -- render: values as text that YAML 1.1 and 1.2 read alike ----------------------------------------------------------

_PLAIN = re.compile(r"[\w/$.](?:[^:#]|:(?! |$)|(?<! )#)*(?<! )")
_NOT_PLAIN_11_OR_12 = re.compile(
    r"(?:y|n|yes|no|on|off|true|false|null|none|nan|inf|\.nan|\.inf|\.\.\..*"
    r"|\.?[0-9][0-9_.,:]*(?:e[-+]?[0-9.]*)?"
    r"|0[xob]?[0-9a-f_]+"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)",
    re.IGNORECASE,
)
_FLOW_INDICATORS = re.compile(r"[\[\]{},]")
_QUOTABLE = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LITERAL = re.compile(r"(?![\s])(?:[^\n]*[^\s]\n|\n)*[^\n]*[^\s]\n?")


class _Writer(NamedTuple):
    """How new text is to look: the habits of the file at that place.

    Attributes:
        quote: ' or ", for strings that cannot be plain.
        always: quote every string.
        mapping_step, sequence_step: columns that a nested mapping or sequence is indented by.
        literal: text of several lines may be written as a literal (`|`).
    """

    quote: str = "'"
    always: bool = False
    mapping_step: int = 2
    sequence_step: int = 2
    literal: bool = True

    def value(self, value: Any, column: int, compact: bool = False) -> tuple[str, list[str]]:
        """The text behind the indicator of an entry at `column`, and the lines below it.

        Args:
            compact: the entry is an item of a sequence; a collection begins on its line.
        """
        if isinstance(value, dict) and value:
            return self._nested(self.entries(value, column + (2 if compact else self.mapping_step)), compact)
        if isinstance(value, list) and value:
            return self._nested(self.items(value, column + (2 if compact else self.sequence_step)), compact)
        if self.literal and isinstance(value, str) and "\n" in value and _is_literal(value):
            indent = " " * (column + self.mapping_step)
            lines = value[:-1] if value.endswith("\n") else value
            return "|" if value.endswith("\n") else "|-", [indent + line if line else "" for line in lines.split("\n")]
        return self.inline(value), []

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


# -- edit: from paths to splices --------------------------------------------------------------------------------------


class _Splice(NamedTuple):
    start: int
    end: int
    text: str


class _Region(NamedTuple):
    """What an edit does to the event stream: nodes [start, end) become `wanted`, a list of keys and plain values."""

    start: int
    end: int
    wanted: list[Any]


class _Entry(NamedTuple):
    """One entry of a collection; the key is None in a sequence, `value` the node."""

    key: int | None
    value: int


_SPACE_AND_COMMENTS = r"(?:[ \t\r\n]|(?<=[ \t\n])#[^\n]*)*"
_TO_COLON = re.compile(_SPACE_AND_COMMENTS + ":")
_TO_COMMA = re.compile(_SPACE_AND_COMMENTS + ",")
_BLANKS = re.compile(r"[ \t]*")
_COMMENT_OR_BLANK = re.compile(r"([ \t]*)(#?)[^\n]*\n")
_REST_IS_COMMENT = re.compile(r"[ \t]*(?:(?<=[ \t])#[^\n]*)?(?=\r?\n)")
_INDICATORS = re.compile(r"[ \t?:-]*")
_PROPERTIES = re.compile(r"[&!]\S*(?:[ \t]+[&!]\S*)?")
_JOINS_LITERAL = re.compile(r"(?:\r?\n)*[ \t]+(?:#|\r?\n)")  # an indented comment or blank line would be its text
_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)*")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")


class _Editor:
    """Plans edits on one parsed text; changes nothing itself."""

    def __init__(self, stream: _Stream, eol: str) -> None:
        self.stream, self.text, self.eol = stream, stream.text, eol

    # locate

    def find(self, path: Path) -> tuple[int | None, int, list[int]]:
        """Walk a path.

        Returns:
            The node or None; how many steps of the path are there; the collections on the way.
        """
        stream = self.stream
        node = 0
        way: list[int] = []
        for depth, step in enumerate(path):
            mark = stream.values[node]
            if mark is _ALIAS:
                raise stream.error(f"{_name(path[:depth])} is an alias; edit what *{stream.anchor(node)} names", node)
            if self.is_null(node):
                return None, depth, way
            if mark is not (_MAPPING if isinstance(step, str) else _SEQUENCE):
                wanted = "mapping" if isinstance(step, str) else "sequence"
                raise stream.error(f"{_name(path[:depth])} is {self.kind(node)}, not a {wanted}", node)
            way.append(node)
            entry = self.entry(node, step)
            if entry is None:
                return None, depth, way
            node = entry.value
        return node, len(path), way

    def reach(self, path: Path) -> Path:
        """The part of a path that is there, and one step more."""
        return path[: self.find(path)[1] + 1] if self.stream.values else ()

    def entry(self, collection: int, step: Key) -> _Entry | None:
        stream = self.stream
        if isinstance(step, str):
            for key, value in stream.entries(collection):
                if stream.key(key) == step:
                    return _Entry(key, value)
            return None
        for index, (item, _item) in enumerate(stream.entries(collection)):
            if index == step:
                return _Entry(None, item)
        return None

    def entries(self, collection: int) -> list[_Entry]:
        mapping = self.stream.values[collection] is _MAPPING
        return [_Entry(key if mapping else None, value) for key, value in self.stream.entries(collection)]

    def is_null(self, node: int) -> bool:
        stream = self.stream
        return isinstance(stream.values[node], str) and stream.plain(node) is None

    def kind(self, node: int) -> str:
        mark = self.stream.values[node]
        return mark.name if isinstance(mark, _Mark) else "scalar"

    # positions

    def column(self, index: int) -> int:
        return index - self.line_start(index)

    def line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def line_end(self, index: int) -> int:
        """The index behind the line break."""
        return self.text.index("\n", index) + 1

    def is_flow(self, collection: int) -> bool:
        return self.stream.style(collection) != "-"

    def is_empty_node(self, node: int) -> bool:
        stream = self.stream
        return stream.starts[node] == stream.ends[node] and isinstance(stream.values[node], str)

    def content_start(self, collection: int) -> int:
        """Where the first entry of a block collection begins."""
        at = self.stream.ends[collection]
        if self.stream.values[collection] is _SEQUENCE and self.text[at] != "-":
            return at - 1  # a sequence at its key's column: the event covers the dash
        return at

    def block_column(self, collection: int) -> int:
        return self.column(self.content_start(collection))

    def end(self, entry: _Entry) -> int:
        """Where the text of an entry ends, comments and line break left out."""
        stream, node = self.stream, entry.value
        if self.is_empty_node(node):
            if entry.key is None:
                return stream.starts[node]
            return self.colon(entry) or self.end(_Entry(None, entry.key))
        if isinstance(stream.values[node], _Mark) and stream.values[node] is not _ALIAS:
            if self.is_flow(node):
                return stream.ends[stream.next(node) - 1]
            return self.end(self.entries(node)[-1])
        end = stream.ends[node]
        if stream.style(node) in ("|", ">"):
            keeps = self.keeps(node)
            while self.text[end - 1] == "\n":
                end -= 2 if self.text[end - 2] == "\r" else 1
                if keeps:
                    break
        return end

    def keeps(self, node: int) -> bool:
        """Whether the line breaks below a node are part of its text (`|+`)."""
        if self.stream.style(node) not in ("|", ">"):
            return False
        header = _BLOCK_HEADER.search(self.text, self.stream.starts[node])
        return header is not None and "+" in header.group()

    def is_kept_text(self, index: int) -> bool:
        """Whether blank lines at `index` would belong to the value above."""
        node = bisect.bisect_left(self.stream.ends, index)
        return node < len(self.stream.ends) and self.stream.ends[node] == index and self.keeps(node)

    def colon(self, entry: _Entry) -> int | None:
        """The index behind the colon of an entry of a mapping, None where it has none."""
        assert entry.key is not None
        found = _TO_COLON.match(self.text, self.end(_Entry(None, entry.key)))
        return found.end() if found else None

    def indicator(self, entry: _Entry, column: int) -> int:
        """The index behind the colon or dash of an entry in block style."""
        if entry.key is None:
            return self.lead(self.stream.starts[entry.value], column, "-") + 1
        colon = self.colon(entry)
        if colon is None:
            raise self.stream.error("this key has no colon; write one behind it", entry.key)
        return colon

    def start(self, entry: _Entry, column: int) -> int:
        """Where an entry in block style begins: its key, its `?` or its dash."""
        if entry.key is None:
            return self.lead(self.stream.starts[entry.value], column, "-")
        start = self.stream.starts[entry.key]
        return start if self.column(start) == column else self.lead(start, column, "?")

    def lead(self, index: int, column: int, sign: str) -> int:
        """The last `sign` at `column` before `index`."""
        line = self.line_start(index)
        while True:
            at = line + column
            if at < index and self.text[at] == sign and _INDICATORS.fullmatch(self.text, line, at):
                return at
            if not line:
                raise YamlPatchError(f"no {sign!r} found before this value", *_place(self.text, index))
            line = self.line_start(line - 1)

    def extent(self, entry: _Entry, column: int) -> int:
        """The end of an entry's lines, with the comment lines below it that are deeper than `column`."""
        return self.below(self.line_end(self.end(entry)), column)

    def below(self, end: int, column: int) -> int:
        """The end of the comment lines from `end` on that are deeper than `column`."""
        at = end
        while found := _COMMENT_OR_BLANK.match(self.text, at):
            indent, comment = found.groups()
            if comment:
                if len(indent) <= column:
                    break
                end = found.end()
            elif self.text[found.end(1) : found.end()].strip("\r\n"):
                break
            at = found.end()
        return end

    def begins_line(self, index: int) -> bool:
        return not self.text[self.line_start(index) : index].strip(" \t")

    def without_break(self, index: int) -> int:
        """`index` is behind a line break; step back over it."""
        return index - (2 if self.text[index - 2 : index] == "\r\n" else 1)

    def lines(self, lines: list[str], at: int) -> str:
        """Lines with the line break in use above `at`."""
        eol = self.eol
        if at and self.text[at - 1] == "\n":
            eol = self.text[self.without_break(at) : at]
        return "".join(line + eol for line in lines)

    # habits

    def writer(self, collection: int | None, old: int | None = None, behind: int | None = None) -> _Writer:
        """The habits of the file for a value in `collection`, in place of `old`, with text from `behind` on below it."""
        stream = self.stream
        quote, always = "", False
        if old is not None and stream.style(old) in ("'", '"'):
            quote, always = stream.style(old), True
        elif collection is not None:
            styles = [stream.style(e.value) for e in self.entries(collection) if self._is_string(e.value)]
            quotes = [style for style in styles if style in ("'", '"')]
            if quotes:
                quote, always = quotes[-1], old is None and len(quotes) == len(styles) > 1
        if not quote:
            quote = next((style for style in stream.styles if style in ("'", '"')), "'")
        mapping_step = self._step(collection, old, _MAPPING) or 2
        sequence_step = self._step(collection, old, _SEQUENCE)
        if sequence_step is None:
            sequence_step = mapping_step
        literal = behind is None or not _JOINS_LITERAL.match(self.text, behind)
        return _Writer(quote, always, mapping_step, sequence_step, literal)

    def _is_string(self, node: int) -> bool:
        return isinstance(self.stream.values[node], str) and isinstance(self.stream.plain(node), str)

    def _step(self, collection: int | None, old: int | None, mark: _Mark) -> int | None:
        """How far the file indents collections of this kind below a key: here, or else at the first one."""
        stream = self.stream
        if collection is not None and not self.is_flow(collection) and stream.values[collection] is _MAPPING:
            column = self.block_column(collection)
            nodes = [entry.value for entry in self.entries(collection)]
            for node in [old, *nodes] if old is not None else nodes:
                if stream.values[node] is mark and not self.is_flow(node):
                    return self.block_column(node) - column
        for node, value in enumerate(stream.values):
            if value is _MAPPING and not self.is_flow(node):
                for entry in self.entries(node):
                    if stream.values[entry.value] is mark and not self.is_flow(entry.value):
                        return self.block_column(entry.value) - self.block_column(node)
        return None

    # plans

    def set(self, path: Path, value: Any) -> tuple[list[_Splice], _Region | None]:
        if not self.stream.values:
            return self._fill(0, _nest(path, value))
        node, depth, way = self.find(path)
        rest = path[depth:]
        if node is not None:
            splices = self._update(way[-1], self._child(way[-1], path[-1]), value, way)
            return splices, _Region(node, self.stream.next(node), [value]) if splices else None
        if len(way) > depth:  # the collection is there, the entry is not
            return self._add(way, rest, value)
        value = _nest(rest, value)
        if depth == 0:
            return self._fill(1, value)
        entry = self._child(way[-1], path[depth - 1])
        splices = self._replace(way[-1], entry, value, way)
        return splices, _Region(entry.value, self.stream.next(entry.value), [value])

    def delete(self, path: Path) -> tuple[list[_Splice], _Region | None]:
        if not self.stream.values:
            return [], None
        node, _depth, way = self.find(path)
        if node is None:
            return [], None
        stream, collection = self.stream, way[-1]
        entries = self.entries(collection)
        entry = self._child(collection, path[-1])
        self._guard(way, node if entry.key is None else entry.key, stream.next(node))
        if len(entries) == 1:
            empty: Any = {} if entry.key is not None else []
            return self._clear(way, entry), _Region(collection, stream.next(collection), [empty])
        index = entries.index(entry)
        first = entry.value if entry.key is None else entry.key
        return self._remove(collection, entries, index, index + 1), _Region(first, stream.next(node), [])

    def _child(self, collection: int, step: Key) -> _Entry:
        entry = self.entry(collection, step)
        assert entry is not None
        return entry

    def _guard(self, way: list[int], start: int, end: int) -> None:
        """Refuse to change what an alias repeats, or to take away the anchor that one needs."""
        stream = self.stream
        used = {stream.anchor(alias): alias for alias in stream.aliases}
        if not used:
            return
        for node in way:
            if stream.anchor(node) in used:
                raise stream.error(f"*{stream.anchor(node)} repeats what would be changed; edit by hand", node)
        used = {stream.anchor(alias): alias for alias in stream.aliases if not start <= alias < end}
        for node in range(start, end):
            if stream.values[node] is not _ALIAS and stream.anchor(node) in used:
                raise stream.error(f"*{stream.anchor(node)} needs the anchor that would go; edit by hand", node)

    def _fill(self, nodes: int, value: Any) -> tuple[list[_Splice], _Region]:
        """Write the first value into a document that has none."""
        stream = self.stream
        if nodes and not self.is_empty_node(0):
            raise stream.error("the document is a scalar, not a mapping", 0)
        at = len(self.text) if stream.document_end is None else stream.document_end
        _inline, lines = _Writer().value(value, -2)
        if at and self.text[at - 1] != "\n":
            raise stream.error("cannot write behind this", 0)
        return [_Splice(at, at, self.lines(lines, at))], _Region(0, nodes, [value])

    def _update(self, collection: int, entry: _Entry, value: Any, way: list[int]) -> list[_Splice]:
        """Make an entry's value equal to `value`, touching what differs."""
        stream, node = self.stream, entry.value
        if self._is_equal(node, value):
            return []
        if isinstance(value, dict) and stream.values[node] is _MAPPING and not stream.tag(node):
            splices = self._merge(node, value, [*way, node])
            if splices is not None:
                return splices
        return self._replace(collection, entry, value, way)

    def _is_equal(self, node: int, value: Any) -> bool:
        stream = self.stream
        if stream.values[node] is _MAPPING and isinstance(value, dict) and not stream.tag(node):
            entries = {stream.key(key): child for key, child in stream.entries(node)}
            return entries.keys() == value.keys() and all(self._is_equal(entries[key], value[key]) for key in value)
        try:
            return equal(stream.plain(node), value)
        except YamlPatchError:
            return False

    def _merge(self, mapping: int, value: dict[str, Any], way: list[int]) -> list[_Splice] | None:
        """Splices that turn one mapping into another; None where it has to be written anew."""
        stream = self.stream
        entries = self.entries(mapping)
        keys = [stream.key(entry.key) if entry.key is not None else None for entry in entries]
        kept = [index for index, key in enumerate(keys) if key in value]
        added = {key: item for key, item in value.items() if key not in keys}
        removed = len(kept) < len(entries)
        if not kept or (self.is_flow(mapping) and (self._is_pair(mapping) or (removed and added))):
            return None
        splices = []
        for index in kept:
            splices += self._update(mapping, entries[index], value[str(keys[index])], way)
        start = 0
        for stop in [*kept, len(entries)]:
            if start < stop:
                first = entries[start].key
                assert first is not None
                self._guard(way, first, stream.next(entries[stop - 1].value))
                splices += self._remove(mapping, entries, start, stop)
            start = stop + 1
        if added:
            self._guard(way, 0, 0)
            splices += self._append(mapping, entries[kept[-1]], added)
        return splices

    def _add(self, way: list[int], rest: Path, value: Any) -> tuple[list[_Splice], _Region]:
        """Add an entry to a collection."""
        stream, collection, step = self.stream, way[-1], rest[0]
        entries = self.entries(collection)
        if isinstance(step, int) and step != len(entries):
            raise stream.error(f"the sequence has {len(entries)} items; item {step} cannot be set", collection)
        value = _nest(rest[1:], value)
        whole: Any = {step: value} if isinstance(step, str) else [value]
        self._guard(way, 0, 0)
        if not entries:
            region = _Region(collection, stream.next(collection), [whole])
            return self._open(way, whole), region
        if self._is_pair(collection):
            raise stream.error("a single pair in brackets takes no second key; write braces around it", collection)
        end = stream.next(collection) - 1
        wanted = [step, value] if isinstance(step, str) else [value]
        return self._append(collection, entries[-1], whole), _Region(end, end, wanted)

    def _is_pair(self, collection: int) -> bool:
        """Whether it is the `a: 1` of `[a: 1]`."""
        stream = self.stream
        is_mapping = stream.values[collection] is _MAPPING
        return is_mapping and self.is_flow(collection) and self.text[stream.ends[collection] - 1] != "{"

    def _append(self, collection: int, last: _Entry, added: Any) -> list[_Splice]:
        """Splices that write entries behind `last`."""
        if self.is_flow(collection):
            return self._append_flow(last, self.writer(collection).inline(added)[1:-1])
        column = self.block_column(collection)
        writer = self.writer(collection, behind=self.extent(last, column))
        lines = writer.entries(added, column) if isinstance(added, dict) else writer.items(added, column)
        at = self.extent(last, column)
        return [_Splice(at, at, self.lines(lines, at))]

    def _append_flow(self, last: _Entry, added: str) -> list[_Splice]:
        start = self._flow_start(last)
        end = self.end(last)
        comma = _TO_COMMA.match(self.text, end)
        behind = comma.end() if comma else end
        if self.begins_line(start) and _REST_IS_COMMENT.match(self.text, behind):
            at = self.line_end(behind)
            line = _Splice(at, at, self.lines([" " * self.column(start) + added + ("," if comma else "")], at))
            return [line] if comma else [_Splice(end, end, self._comma(last)), line]
        if comma:
            return [_Splice(behind, behind, f" {added},")]
        return [_Splice(end, end, f"{self._comma(last)} {added}")]

    def _comma(self, entry: _Entry) -> str:
        return " ," if self._ends_open(entry) else ","

    def _ends_open(self, entry: _Entry) -> bool:
        """Whether a comma or bracket behind an entry needs a space: libyaml refuses `{a:}` and `{a: !!null}`."""
        end = self.end(entry)
        if self.text[end - 1] == ":":
            return self.text[end - 2] not in "'\""
        return self.stream.values[entry.value] == "" and self.stream.tag(entry.value) is not None

    def _open(self, way: list[int], whole: Any) -> list[_Splice]:
        """Write the first entry of an empty flow collection.

        In block style if deleting the entry can give back the text, in the brackets otherwise.
        """
        stream, collection = self.stream, way[-1]
        start, end = stream.starts[collection], stream.ends[stream.next(collection) - 1]
        line_end = self.line_end(end)
        writer = self.writer(None)
        if self.text[start:end] in ("{}", "[]"):
            alone = not self.text[end:line_end].strip("\r\n")
            if len(way) == 1:
                if self.column(start) == 0 and alone and self.below(line_end, 0) == line_end:
                    lines = writer.entries(whole, 0) if isinstance(whole, dict) else writer.items(whole, 0)
                    return [_Splice(start, line_end, self.lines(lines, line_end))]
            elif not self.is_flow(way[-2]):
                entry = next(entry for entry in self.entries(way[-2]) if entry.value == collection)
                column = self.block_column(way[-2])
                spaced = self.text[self.indicator(entry, column) : start] == " "
                if spaced and (alone or entry.key is not None) and self.below(line_end, column) == line_end:
                    return self._replace(way[-2], entry, whole, way)
        inside = stream.ends[collection]
        return [_Splice(inside, inside, writer.inline(whole)[1:-1])]

    def _replace(self, collection: int, entry: _Entry, value: Any, way: list[int]) -> list[_Splice]:
        """Write another value for an entry."""
        stream, node = self.stream, entry.value
        self._guard([node for node in way if node != entry.value], node, stream.next(node))
        if self.is_flow(collection):
            return self._replace_flow(entry, self.writer(collection, node).inline(value, flow=True))
        column = self.block_column(collection)
        indicator = self.indicator(entry, column)
        line_end = self.line_end(indicator)
        start = stream.starts[node]
        block = isinstance(stream.values[node], _Mark) and stream.values[node] is not _ALIAS and not self.is_flow(node)
        behind = self.extent(entry, column) if block or start >= line_end else self.line_end(self.end(entry))
        inline, below = self.writer(collection, node, behind).value(value, column, compact=entry.key is None)
        gap = " " if inline else ""
        if self.is_empty_node(node):
            at = line_end if inline else self.extent(entry, column)
            head = _Splice(indicator, indicator, gap + inline)
            return [head, _Splice(at, at, self.lines(below, at))]
        if start >= line_end:
            end = self.extent(entry, column)
            return [_Splice(indicator, indicator, gap + inline), _Splice(line_end, end, self.lines(below, line_end))]
        if block:
            end = self.without_break(self.extent(entry, column))
            text = self.lines([gap + inline, *below], line_end)
            return [_Splice(indicator, end, text[: self.without_break_of(text)])]
        end = self.end(entry)
        if stream.style(node) in ("|", ">"):
            header = _BLOCK_HEADER.search(self.text, start, line_end)
            assert header is not None
            last = self.line_end(end)
            return [
                _Splice(indicator, header.end(), gap + inline),
                _Splice(line_end, last, self.lines(below, line_end)),
            ]
        if not below:
            return [_Splice(start, end, inline)]
        at = self.line_end(end)
        return [_Splice(indicator, end, gap + inline), _Splice(at, at, self.lines(below, at))]

    @staticmethod
    def without_break_of(text: str) -> int:
        return len(text) - (2 if text.endswith("\r\n") else 1)

    def _replace_flow(self, entry: _Entry, inline: str) -> list[_Splice]:
        node = entry.value
        if not self.is_empty_node(node):
            return [_Splice(self.stream.starts[node], self.end(entry), inline)]
        if entry.key is None:
            raise self.stream.error("an item without text cannot be replaced", node)
        colon = self.colon(entry)
        at = colon or self.end(entry)
        return [_Splice(at, at, f" {inline}" if colon else f": {inline}")]

    def _clear(self, way: list[int], entry: _Entry) -> list[_Splice]:
        """Take the only entry of a collection away, so that it is empty."""
        stream, collection = self.stream, way[-1]
        if self._is_pair(collection):
            raise stream.error("the pair in brackets cannot be emptied; delete the item", collection)
        if self.is_flow(collection):
            end = self.end(entry)
            comma = _TO_COMMA.match(self.text, end)
            return [_Splice(self._flow_start(entry), comma.end() if comma else end, "")]
        brackets = "{}" if entry.key is not None else "[]"
        column = self.block_column(collection)
        start, end = self.start(entry, column), self.extent(entry, column)
        removed = _Splice(self.line_start(start), end, "")
        if stream.starts[collection] < self.content_start(collection):
            properties = _PROPERTIES.match(self.text, stream.starts[collection])
            if properties and self.begins_line(start):
                return [_Splice(properties.end(), properties.end(), f" {brackets}"), removed]
        if len(way) > 1 and self.begins_line(start):
            parent = way[-2]
            outer = next(other for other in self.entries(parent) if other.value == collection)
            at = self.indicator(outer, self.block_column(parent))
            return [_Splice(at, at, f" {brackets}"), removed]
        return [_Splice(start, self.without_break(end), brackets)]

    def _flow_start(self, entry: _Entry) -> int:
        start = self.stream.starts[entry.value if entry.key is None else entry.key]
        before = self.text[:start].rstrip(" \t\r\n")
        return len(before) - 1 if before.endswith("?") and before[-2:-1] in "{[, \t\n" else start

    def _remove(self, collection: int, entries: list[_Entry], start: int, stop: int) -> list[_Splice]:
        """Take entries [start, stop) away; others stay."""
        if self.is_flow(collection):
            return self._remove_flow(entries, start, stop)
        column = self.block_column(collection)
        begin = self.start(entries[start], column)
        end = self.extent(entries[stop - 1], column)
        if self.begins_line(begin):
            # Not one range: the comments above each of them stay.
            blanks_go = self.is_kept_text(self.line_start(begin))
            splices = []
            for entry in entries[start:stop]:
                end = self.extent(entry, column)
                if blanks_go and (blanks := _BLANK_LINES.match(self.text, end)):
                    end = blanks.end()
                splices.append(_Splice(self.line_start(self.start(entry, column)), end, ""))
            return splices
        following = self.start(entries[stop], column)
        if self.line_start(following) == end:
            return [_Splice(begin, following, "")]
        begin -= len(self.text[:begin]) - len(self.text[:begin].rstrip(" \t"))
        return [_Splice(begin, self.without_break(end), "")]

    def _remove_flow(self, entries: list[_Entry], start: int, stop: int) -> list[_Splice]:
        begin, end = self._flow_start(entries[start]), self.end(entries[stop - 1])
        comma = _TO_COMMA.match(self.text, end)
        behind = comma.end() if comma else end
        whole_lines = self.begins_line(begin) and _REST_IS_COMMENT.match(self.text, behind)
        own = _Splice(self.line_start(begin), self.line_end(behind), "") if whole_lines else None
        if stop < len(entries):
            return [own or _Splice(begin, self._flow_start(entries[stop]), "")]
        before = self.end(entries[start - 1])
        between = self.text[before:begin]
        if not own or "\n" not in between:
            if comma:
                before += between.index(",") + 1
            gap = " " if not comma and self._ends_open(entries[start - 1]) and self.text[behind] in "]}" else ""
            return [_Splice(before, behind, gap)]
        if comma:
            return [own]
        found = _TO_COMMA.match(self.text, before)
        assert found is not None
        start_of_comma = before if found.group() == " ," else found.end() - 1
        return [_Splice(start_of_comma, found.end(), ""), own]


def _name(path: Path) -> str:
    return ".".join(map(str, path)) or "the document"


def _nest(path: Path, value: Any) -> Any:
    """The value below the keys that are still to be made."""
    for step in reversed(path):
        if isinstance(step, str):
            value = {step: value}
        elif step == 0:
            value = [value]
        else:
            raise YamlPatchError(f"there is no sequence yet, so its item {step} cannot be set")
    return value


def _spliced(text: str, splices: list[_Splice]) -> str:
    parts, at = [], 0
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end)):
        if splice.start < at:
            raise YamlPatchError("two edits overlap here; make them one after the other", *_place(text, splice.start))
        parts += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*parts, text[at:]])


# -- verify -----------------------------------------------------------------------------------------------------------


def _verify(old: _Stream, new: _Stream, regions: list[_Region]) -> None:
    """Compare the parsed result with the wanted one, event by event."""
    at_old = at_new = 0
    for region in sorted(regions, key=lambda region: region.start):
        at_new = _same(old, new, at_old, region.start, at_new)
        for number, wanted in enumerate(region.wanted):
            if at_new >= len(new.values) or new.values[at_new] is _END:
                raise _unproven(old, region.start)
            key = len(region.wanted) == 2 and number == 0
            if not equal(new.key(at_new) if key else new.plain(at_new), wanted):
                raise _unproven(old, region.start)
            at_new = new.next(at_new)
        at_old = region.end
    if _same(old, new, at_old, len(old.values), at_new) != len(new.values):
        raise _unproven(old, at_old)


def _same(old: _Stream, new: _Stream, start: int, end: int, at: int) -> int:
    stop = at + end - start
    if old.values[start:end] != new.values[at:stop] or old.styles[start:end] != new.styles[at:stop]:
        raise _unproven(old, start)
    return stop


def _unproven(old: _Stream, node: int) -> YamlPatchError:
    message = "the text here is laid out so that the edit would change something else as well; edit by hand"
    return old.error(message, min(node, len(old.values) - 1) if old.values else None)


# -- the interface ----------------------------------------------------------------------------------------------------


class Document:
    """One YAML document that is read once and edited any number of times.

    Args:
        text: the document; bytes are UTF-8, with or without a byte order mark.

    Raises:
        YamlPatchError: not UTF-8, not YAML, duplicate keys, several documents, or read differently by YAML 1.1 and 1.2.
    """

    def __init__(self, text: str | bytes) -> None:
        self._original = _decoded(text)
        self._bom = "\ufeff" if self._original.startswith("\ufeff") else ""
        self._load(self._original[len(self._bom) :])
        self._stream: _Stream | None = _Stream(self._body)
        self._pending: list[tuple[Path, list[_Splice], _Region]] = []

    def _load(self, body: str) -> None:
        if "\r" in body:
            lone = re.search("\r(?!\n)", body)
            if lone:
                raise YamlPatchError(
                    "a carriage return without a line feed, which Backstage takes for no line break; remove it",
                    *_place(body, lone.start()),
                )
        first = body.find("\n")
        self._eol = "\r\n" if first > 0 and body[first - 1] == "\r" else "\n"
        # npm yaml reads a last line without a break as if it had one; libyaml does not (block scalars differ).
        self._unterminated = body != "" and not body.endswith("\n")
        self._body = body + self._eol if self._unterminated else body

    def _editor(self) -> _Editor:
        if self._stream is None:
            self._stream = _Stream(self._body)
        return _Editor(self._stream, self._eol)

    def _flush(self) -> None:
        """Carry out what is queued, and prove it."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        stream = self._editor().stream
        body = _spliced(self._body, [splice for _path, splices, _region in pending for splice in splices])
        try:
            result = _Stream(body, positions=False)
        except YamlPatchError as error:
            raise _unproven(stream, pending[0][2].start) from error
        _verify(stream, result, [region for _path, _splices, region in pending])
        self._body, self._stream = body, None

    def _queue(self, path: Path, plan: str, *value: Any) -> bool:
        if self._pending and self._depends(path):
            self._flush()
        editor = self._editor()
        try:
            splices, region = getattr(editor, plan)(path, *value)
        except YamlPatchError:
            if not self._pending:
                raise
            self._flush()  # what is queued may have removed the obstacle
            return self._queue(path, plan, *value)
        if region is not None:
            self._pending.append((editor.reach(path), splices, region))
        return region is not None

    def _depends(self, path: Path) -> bool:
        """Whether an edit at a path may concern what is queued: one lies in the collection that holds the other."""
        try:
            one = self._editor().reach(path)
        except YamlPatchError:
            return True
        return any(
            one[: len(other) - 1] == other[:-1] or other[: len(one) - 1] == one[:-1]
            for other, _splices, _region in self._pending
        )

    @property
    def tree(self) -> Any:
        """The whole document as plain Python values, None where it is empty.

        Raises:
            YamlPatchError: it holds what no configuration holds: keys that are collections, `!!binary` and the like.
        """
        self._flush()
        stream = self._editor().stream
        return stream.plain(0) if stream.values else None

    def find(self, path: Path) -> Node | None:
        """Look a path up.

        Args:
            path: keys (str) and indexes of sequences (int, from 0); () is the document.

        Returns:
            The node, or None where there is none.

        Raises:
            YamlPatchError: the way leads through an alias, or a scalar or the wrong kind of collection.
        """
        self._flush()
        editor, path = self._editor(), _checked_path(path, root=True)
        stream = editor.stream
        if not stream.values:
            return None
        node, _depth, _way = editor.find(path)
        if node is None:
            return None
        line, column = _place(stream.text, stream.starts[node])
        style = _STYLE_NAMES.get(stream.style(node))
        return Node(editor.kind(node), stream.plain(node), line, column, style, stream.anchor(node))

    def set(self, path: Path, value: Any) -> None:
        """Make what stands at a path equal to a value; parents that are missing are made.

        A path may lead to the item behind the last one of a sequence, which is added. A dict that is set on a mapping
        touches the keys that differ and removes those that are not in it.

        Args:
            path: as for `find`, not empty.
            value: dict (keys are str), list, str, int, float, bool or None.

        Raises:
            YamlPatchError: the value cannot be written, the way leads through an alias, a scalar or the wrong kind of
                collection, or an alias elsewhere repeats what would change. Nothing is changed then.
        """
        self._queue(_checked_path(path), "set", _checked(value))

    def delete(self, path: Path) -> bool:
        """Take away what stands at a path.

        Args:
            path: as for `find`, not empty.

        Returns:
            Whether there was anything.

        Raises:
            YamlPatchError: as for `set`.
        """
        return self._queue(_checked_path(path), "delete")

    @property
    def text(self) -> str:
        """The result; the very input where nothing changed.

        Raises:
            YamlPatchError: the result would not read as wanted.
        """
        self._flush()
        body = self._body
        if self._unterminated:
            bare = body[: -2 if body.endswith("\r\n") else -1]
            # Behind a blank line the break may count, in a block scalar that keeps them.
            body = body if bare.endswith("\n") else bare
        return self._bom + body

    @property
    def data(self) -> bytes:
        """The result in UTF-8."""
        return self.text.encode()

    @property
    def changed(self) -> bool:
        """Whether the result differs from the input."""
        return self.text != self._original


_STYLE_NAMES = {
    "": "plain",
    "'": "single",
    '"': "double",
    "|": "literal",
    ">": "folded",
    "-": "block",
    "{": "flow",
    "[": "flow",
}


def _decoded(text: str | bytes) -> str:
    try:
        if isinstance(text, str):
            text.encode()
            return text
        return text.decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - (error.object.rfind(b"\n", 0, error.start) + 1) + 1
        raise YamlPatchError("this is not UTF-8; save the file as UTF-8", line, column) from None
    except UnicodeEncodeError as error:
        message = "half of a surrogate pair, which is no character"
        raise YamlPatchError(message, *_place(error.object, error.start)) from None


def _checked_path(path: Path, root: bool = False) -> Path:
    steps = tuple(path)
    if not steps and not root:
        raise YamlPatchError("the path is empty; name a key")
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, (str, int)) or (isinstance(step, int) and step < 0):
            raise YamlPatchError(f"{step!r} in the path is neither a key nor an index from 0")
    return steps
