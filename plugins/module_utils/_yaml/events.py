# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML text as a stream of events with their places.

Private to this collection: its interface may change in any release.

Reads with PyYAML, libyaml where it is there, and means what Backstage reads: the npm package yaml 2.9, YAML 1.2 core
schema. `yes` is a string, `0o17` is 15, `<<` is a key like any other. Where YAML 1.1 and 1.2 differ, either the text is
refused (a lone carriage return, `%YAML 1.1`) or read as 1.2 does (U+0085, U+2028 and U+2029 are no line breaks).
PyYAML refuses some text that is valid: control characters; without libyaml also a tab behind a colon, and a question
mark in a plain scalar in brackets.
"""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml import dialect
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import (
    TEMPLATE_MESSAGE,
    YamlPatchError,
    is_template,
    place,
    syntax_error,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import (
    CORE,
    FOREIGN_TAGS,
    NUMERIC,
    WORDS,
    javascript_key,
    resolve,
    resolve_11,
)

with contextlib.suppress(ImportError):  # the modules report it: pyyaml.HAS_YAML
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

    Parser = yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader

MAX_DEPTH = 100  # levels of nesting, in the text and in values: far above any configuration, below Python's own limit
_LOOKALIKE_BREAKS = "\x85\u2028\u2029"


class Mark:
    """What stands in the column of values for an event that is no scalar."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


MAPPING, SEQUENCE, ALIAS, END = Mark("mapping"), Mark("sequence"), Mark("alias"), Mark("end")


class Rules(NamedTuple):
    """How a text is to be read.

    Attributes:
        version: 1.2, as the npm package yaml reads; or 1.1, as PyYAML does.
        several: there may be more than one document.
        unique: a duplicate key is refused wherever it stands; else only where an edit leads to it.
    """

    version: str = "1.2"
    several: bool = False
    unique: bool = True


STRICT = Rules()


class Style(NamedTuple):
    """A style that comes with an anchor or a tag, or is an alias."""

    style: str
    anchor: str | None
    tag: str | None


class Stream:
    """The events of a text as columns: plain lists, so that a large file costs no objects per node.

    A node is the index of its event. `values` holds a scalar's text or a mark, `styles` a style character ("" plain,
    ' " | > scalars, "[" flow collections, "-" block collections) or a Style, `starts` and `ends` the event's range in
    characters, `after` (collections only) the index behind the collection's last event. `documents` are the nodes that
    the documents consist of, `document_ends` the places in the text where another line of each could be written.
    """

    values: list[Any]
    styles: list[Any]
    starts: list[int]
    ends: list[int]
    after: dict[int, int]
    aliases: list[int]
    anchors: dict[str, int]
    documents: list[int]
    document_ends: list[int]
    suspects: set[int]  # mappings that may have a duplicate key

    def __init__(self, text: str, for_edits: bool = True, rules: Rules = STRICT) -> None:
        """Read a text.

        Args:
            for_edits: note places, refuse duplicate keys; without it the stream is good for comparing only.

        Raises:
            YamlPatchError: no YAML, several documents, or a form that YAML 1.1 and 1.2 read differently.
        """
        self.text = text
        self._rules = rules
        self._resolve = resolve if rules.version == "1.2" else resolve_11
        back: dict[int, int | str]
        source, back = _hide_lookalikes(text) if rules.version == "1.2" else (_without_lookalikes(text), {})
        try:
            try:
                self._read(source, for_edits)
            except yaml.YAMLError:
                if "\t" not in text or rules.version != "1.2":
                    raise
                back.update(self._read_tabs(source))
        except YamlPatchError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise syntax_error(text, error) from None
        if back:
            self.values = [value.translate(back) if isinstance(value, str) else value for value in self.values]
        if self.starts and rules.version == "1.2":
            dialect.check(self)

    def _read_tabs(self, source: str) -> dict[int, int | str]:
        """Read a text with tabs where npm yaml allows them and PyYAML does not; and what stands for those in literals.

        All are hidden behind spaces first; then those that are part of a scalar come back.
        """
        sign = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in source)
        hidden = dialect.without_tabs(source, sign)
        for _unused in range(4):
            self._read(hidden, True)
            shown = dialect.with_tabs_of_scalars(self, hidden, source, sign)
            if shown == hidden:
                break
            hidden = shown
        else:
            self._read(source, True)  # raises the error that it is
        return {ord(sign): "\t"}

    def _clear(self) -> None:
        self.values = []
        self.styles = []
        self.starts = []
        self.ends = []
        self.after = {}
        self.aliases = []
        self.anchors = {}
        self.documents = []
        self.document_ends = []
        self.suspects = set()
        self.is_unusual = False  # there are tags, aliases or keys that are collections: `plain` may refuse it

    def _read(self, source: str, for_edits: bool) -> None:
        self._clear()
        # These loops run for every event of the file and decide how fast an edit is: hence columns, chunks (which
        # leave the garbage collector nothing to do) and bound methods.
        get_event = Parser(source).get_event
        get_event()
        values, styles, after = self.values, self.styles, self.after
        add_value, add_style = values.append, styles.append
        open_nodes: list[int] = []
        innermost = False  # no collection ended since the latest began
        suspects: list[int] = []
        all_keys: set[Any] = set()
        events = iter(get_event, None)
        while chunk := list(islice(events, _CHUNK)):
            of_nodes = True
            for event in chunk:
                kind = event.__class__
                if kind is ScalarEvent:
                    add_value(event.value)
                    if event.anchor or event.tag:
                        add_style(self._with_properties(event, event.style))
                    else:
                        add_style(event.style or "")
                elif kind is MappingStartEvent or kind is SequenceStartEvent:
                    open_nodes.append(len(values))
                    innermost = True
                    add_value(MAPPING if kind is MappingStartEvent else SEQUENCE)
                    style = "[" if event.flow_style else "-"
                    add_style(self._with_properties(event, style) if event.anchor or event.tag else style)
                    if len(open_nodes) > MAX_DEPTH:
                        raise self.error_at(f"nested more than {MAX_DEPTH} levels deep", event.start_mark.index)
                elif kind is MappingEndEvent or kind is SequenceEndEvent:
                    node = open_nodes.pop()
                    if for_edits and kind is MappingEndEvent:
                        keys = values[node + 1 :: 2] if innermost else self._texts_of_keys(node)
                        unique = set(keys)
                        all_keys |= unique
                        if len(unique) < len(keys):
                            suspects.append(node)
                    innermost = False
                    add_value(END)
                    add_style("")
                    after[node] = len(values)
                elif kind is AliasEvent:
                    self._check_alias(event)
                    add_value(ALIAS)
                    add_style(Style("*", event.anchor, None))
                else:
                    of_nodes = False
                    self._boundary(event)
            if for_edits:
                nodes: list[Any] = chunk if of_nodes else [event for event in chunk if event.__class__ in _OF_NODES]
                self.starts.extend(map(_START, nodes))
                self.ends.extend(map(_END, nodes))
        self._settle(suspects, all_keys)

    def _settle(self, suspects: list[int], all_keys: set[Any]) -> None:
        """Refuse duplicate keys, or remember where to look for them."""
        if MAPPING in all_keys and self.starts:
            self._refuse_templates()
        self.is_unusual |= MAPPING in all_keys or SEQUENCE in all_keys or bool(self.aliases)
        if any(isinstance(key, Mark) or key in WORDS or key[:1] in NUMERIC for key in all_keys):
            suspects = list(self.after)  # 0x10 and 16 are the same key, null and ~ too
        if not self._rules.unique:
            self.suspects = set(suspects)
            return
        for node in suspects:
            self.check_keys(node)

    def _refuse_templates(self) -> None:
        """`a: {{ x }}` is a mapping that has a mapping as its key, and nobody means that."""
        for mapping in self.after:
            if self.values[mapping] is MAPPING and self.values[mapping + 1] is MAPPING:
                key = mapping + 1
                if self.text[self.starts[mapping] : self.starts[key] + 1] == "{{":
                    raise self.key_error(key)

    def _texts_of_keys(self, mapping: int) -> list[Any]:
        """The keys of the mapping that ends here, as they are written."""
        values, after = self.values, self.after
        keys = []
        node, end = mapping + 1, len(values)
        while node < end:
            keys.append(values[node])
            node = after.get(node, node + 1)
            node = after.get(node, node + 1)
        return keys

    def _with_properties(self, event: Any, style: str) -> Style:
        if event.anchor:
            self.anchors[event.anchor] = len(self.styles)
            self._check_name("&" + event.anchor, event.start_mark.index)
        self.is_unusual |= bool(event.tag)
        if event.tag and self._rules.version == "1.2":
            name = event.tag[1:] if event.tag[0] == "!" else event.tag.removeprefix(CORE)
            if not _NOT_IN_TAGS.isdisjoint(name if name != event.tag else name.rpartition(":")[2]):
                raise self.error_at("a tag with a bracket, comma or exclamation mark inside", event.start_mark.index)
        return Style(style or "", event.anchor, event.tag)

    def _check_alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self.error_at(f"alias *{event.anchor} names no anchor before it", event.start_mark.index)
        self._check_name("*" + event.anchor, event.start_mark.index)
        self.aliases.append(len(self.values))

    def _check_name(self, name: str, index: int) -> None:
        """Refuse `&a?b`: libyaml ends the name at the question mark or colon, YAML 1.2 at a blank."""
        behind = self.text.index(name, index) + len(name)
        if self.text[behind : behind + 1] not in _BEHIND_NAMES:
            raise self.error_at(f"{name} is followed by {self.text[behind]!r}; put a space behind the name", behind)

    def _boundary(self, event: Any) -> None:
        """Note where a document begins and ends."""
        begins = event.start_mark.index
        if event.__class__ is DocumentEndEvent:
            self.document_ends.append(begins if event.explicit else len(self.text))
        elif event.__class__ is DocumentStartEvent:
            if self.documents:
                if not self._rules.several:
                    raise self.error_at("a second document begins here; only one is read", begins)
                self.document_ends[-1] = min(self.document_ends[-1], begins)
            version = (1, 1) if self._rules.version == "1.1" else (1, 2)
            if event.version and event.version != version:
                raise self.error_at("%YAML {}.{} changes how values are read; remove it".format(*event.version), begins)
            self.documents.append(len(self.values))
            self.anchors.clear()

    def check_keys(self, collection: int) -> None:
        """Refuse duplicates in a mapping, as Backstage does ("Map keys must be unique")."""
        if self.values[collection] is not MAPPING:
            return
        seen = set()
        for node, _value in self.entries(collection):
            key = self.key(node)
            if key is not None and key in seen:
                raise self.error(f'the key "{key}" is there twice in this mapping; remove one', node)
            seen.add(key)

    def entries(self, collection: int) -> Iterator[tuple[int, int]]:
        """Key and value of each entry; for a sequence the item twice."""
        values, after = self.values, self.after
        node = collection + 1
        if values[collection] is MAPPING:
            while values[node] is not END:
                value = after.get(node, node + 1)
                yield node, value
                node = after.get(value, value + 1)
        else:
            while values[node] is not END:
                yield node, node
                node = after.get(node, node + 1)

    def next(self, node: int) -> int:
        return self.after.get(node, node + 1)

    def ends_collection(self, node: int) -> bool:
        return self.values[node] is END

    def style(self, node: int) -> str:
        style = self.styles[node]
        return style.style if isinstance(style, Style) else style

    def anchor(self, node: int) -> str | None:
        style = self.styles[node]
        return style.anchor if isinstance(style, Style) else None

    def tag(self, node: int) -> str | None:
        style = self.styles[node]
        return style.tag if isinstance(style, Style) else None

    def check_tag(self, node: int) -> None:
        """Refuse to look into what is no mapping, sequence or plain value to Backstage."""
        tag = self.tag(node)
        if tag in FOREIGN_TAGS:
            raise self.error(f"the tag {tag} has no place in a configuration; remove it", node)

    def target(self, alias: int) -> int:
        """The node that an alias stands for: the last one of that name before it."""
        name = self.anchor(alias)
        for node in range(alias - 1, -1, -1):
            if self.values[node] is not ALIAS and self.anchor(node) == name:
                return node
        raise self.error(f"alias *{name} names no anchor before it", alias)

    def key(self, node: int) -> str | None:
        """A key as a JavaScript object has it; None for a key that is a collection."""
        value, style = self.values[node], self.styles[node]
        if value.__class__ is str and style.__class__ is str:
            text: str = value
            if style or (text not in WORDS and text[:1] not in NUMERIC):
                return text
        if value is ALIAS:
            node = self.target(node)
        if isinstance(self.values[node], Mark):
            return None
        if self._rules.version == "1.1":
            return str(self.values[node])  # `on` is true there, and still the key that people look for
        return javascript_key(self._scalar(node))

    def plain(self, node: int) -> Any:
        """The node as a plain Python value; what an alias repeats is the same object."""
        return self._plain(node, {})

    def _plain(self, node: int, done: dict[int, Any]) -> Any:
        if node in done:
            return done[node]
        mark = self.values[node]
        if mark is ALIAS:
            target = self.target(node)
            if target < node < self.next(target):
                raise self.error(f"alias *{self.anchor(node)} stands inside what it names", node)
            return self._plain(target, done)
        if mark is MAPPING or mark is SEQUENCE:
            self.check_tag(node)
            result: Any = self._plain_mapping(node, done) if mark is MAPPING else []
            if mark is SEQUENCE:
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
                raise self.key_error(key_node)
            result[key] = self._plain(value, done)
        return result

    def _scalar(self, node: int) -> Any:
        self.check_tag(node)
        tag, value = self.tag(node), self.values[node]
        if tag is None:
            return value if self.style(node) else self._resolve(value)
        return self._resolve(value, tag)

    def key_error(self, key: int) -> YamlPatchError:
        """What is wrong with a key that is a collection."""
        if self.starts and is_template(self.text, self.starts[key]):
            return self.error(TEMPLATE_MESSAGE, key)
        return self.error("a key that is itself a collection; change it to a string", key)

    def error(self, message: str, node: int | None = None) -> YamlPatchError:
        at = self.starts[node] if node is not None and node < len(self.starts) else None
        return self.error_at(message, at)

    def error_at(self, message: str, index: int | None) -> YamlPatchError:
        return YamlPatchError(message) if index is None else YamlPatchError(message, *place(self.text, index))


_CHUNK = 64
_START, _END = operator.attrgetter("start_mark.index"), operator.attrgetter("end_mark.index")
with contextlib.suppress(NameError):
    _OF_NODES = (
        ScalarEvent,
        MappingStartEvent,
        SequenceStartEvent,
        MappingEndEvent,
        SequenceEndEvent,
        AliasEvent,
    )
_NOT_IN_TAGS = frozenset("![]{},")
_BEHIND_NAMES = ("", " ", "\t", "\n", "\r", ",", "]", "}")


def _hide_lookalikes(text: str) -> tuple[str, dict[int, int | str]]:
    """Put private characters in place of those that only YAML 1.1 takes for line breaks; and the way back."""
    if text.isascii():
        return text, {}
    present = [char for char in _LOOKALIKE_BREAKS if char in text]
    free = (code for code in range(0xE000, 0xF900) if chr(code) not in text)
    forth = {ord(char): next(free, 0xFFFD) for char in present}
    return text.translate(forth) if forth else text, {code: char for char, code in forth.items()}


def _without_lookalikes(text: str) -> str:
    """Refuse the characters that YAML 1.1 takes for line breaks, and no editor does."""
    found = re.search(f"[{_LOOKALIKE_BREAKS}]", text)
    if found:
        raise YamlPatchError(
            f"the character U+{ord(found.group()):04X} is a line break in YAML 1.1; write an escape in double quotes",
            *place(text, found.start()),
        )
    return text
