# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the entries of a YAML document stand in its text, and the habits of the file around them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import bisect
import json
import re
from typing import NamedTuple, Union

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import (
    ALIAS,
    MAPPING,
    SEQUENCE,
    Mark,
    Stream,
    Style,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError, place
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.writer import Writer

Key = Union[str, int]
Path = tuple[Key, ...]

_SPACE_AND_COMMENTS = r"(?:[ \t\r\n]|(?<=[ \t\n])#[^\n]*)*"
_TO_COLON = re.compile(_SPACE_AND_COMMENTS + ":")
_TO_COMMA = re.compile(_SPACE_AND_COMMENTS + ",")
_COMMENT_OR_BLANK = re.compile(r"([ \t]*)(#?)[^\n]*\n")
_REST_IS_COMMENT = re.compile(r"[ \t]*(?:(?<=[ \t])#[^\n]*)?(?=\r?\n)")
_INDICATORS = re.compile(r"[ \t?:-]*")
_PROPERTIES = re.compile(r"[&!]\S*(?:[ \t]+[&!]\S*)?")
_JOINS_LITERAL = re.compile(r"(?:\r?\n)*[ \t]+(?:#|\r?\n)")  # an indented comment or blank line would be its text
_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)*")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")


class Entry(NamedTuple):
    """One entry of a collection; the key is None in a sequence, `value` the node."""

    key: int | None
    value: int

    @property
    def first(self) -> int:
        """The node that the entry begins with."""
        return self.value if self.key is None else self.key


def dotted(path: Path) -> str:
    return ".".join(map(str, path)) or "the document"


class Layout:
    """Finds paths in one parsed text, and places around what is there. All places are character indexes of `text`."""

    def __init__(self, stream: Stream, eol: str) -> None:
        self.stream, self.text, self.eol = stream, stream.text, eol
        self._steps: dict[Mark, int | None] = {}
        self._json: bool | None = None
        self._keys: dict[int, dict[str | None, Entry]] = {}

    # locate

    def find(self, path: Path, document: int = 0) -> tuple[int | None, int, list[int]]:
        """Walk a path.

        Returns:
            The node or None; how many steps of the path are there; the collections on the way.
        """
        stream = self.stream
        node = stream.documents[document]
        way: list[int] = []
        for depth, step in enumerate(path):
            mark = stream.values[node]
            if mark is ALIAS:
                raise stream.error(f"{dotted(path[:depth])} is an alias; edit what *{stream.anchor(node)} names", node)
            if self.is_null(node):
                return None, depth, way
            if mark is not (MAPPING if isinstance(step, str) else SEQUENCE):
                wanted = "mapping" if isinstance(step, str) else "sequence"
                raise stream.error(f"{dotted(path[:depth])} is a {self.kind(node)}, not a {wanted}", node)
            stream.check_tag(node)
            if node in stream.suspects:
                stream.check_keys(node)
            way.append(node)
            entry = self.entry(node, step)
            if entry is None:
                return None, depth, way
            node = entry.value
        return node, len(path), way

    def entry(self, collection: int, step: Key | None) -> Entry | None:
        """The entry of a key or index; with None, the last one whose key is a collection."""
        stream = self.stream
        if not isinstance(step, int):
            if collection not in self._keys:
                pairs = stream.entries(collection)
                self._keys[collection] = {stream.key(key): Entry(key, value) for key, value in pairs}
            return self._keys[collection].get(step)
        for index, (item, _item) in enumerate(stream.entries(collection)):
            if index == step:
                return Entry(None, item)
        return None

    def entries(self, collection: int) -> list[Entry]:
        mapping = self.stream.values[collection] is MAPPING
        return [Entry(key if mapping else None, value) for key, value in self.stream.entries(collection)]

    def is_null(self, node: int) -> bool:
        stream = self.stream
        return isinstance(stream.values[node], str) and stream.plain(node) is None

    def kind(self, node: int) -> str:
        mark = self.stream.values[node]
        return mark.name if isinstance(mark, Mark) else "scalar"

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

    def is_pair(self, collection: int) -> bool:
        """Whether it is the `a: 1` of `[a: 1]`."""
        stream = self.stream
        is_mapping = stream.values[collection] is MAPPING
        return is_mapping and self.is_flow(collection) and self.text[stream.ends[collection] - 1] != "{"

    def is_empty_node(self, node: int) -> bool:
        stream = self.stream
        return stream.starts[node] == stream.ends[node] and isinstance(stream.values[node], str)

    def content_start(self, collection: int) -> int:
        """Where the first entry of a block collection begins."""
        at = self.stream.ends[collection]
        if self.stream.values[collection] is SEQUENCE and self.text[at] != "-":
            return at - 1  # a sequence at its key's column: the event covers the dash
        return at

    def block_column(self, collection: int) -> int:
        return self.column(self.content_start(collection))

    def end(self, entry: Entry) -> int:
        """Where the text of an entry ends, comments and line break left out."""
        stream, node = self.stream, entry.value
        if self.is_empty_node(node):
            if entry.key is None:
                return stream.starts[node]
            return self.colon(entry) or self.end(Entry(None, entry.key))
        if self.is_collection(node):
            if self.is_flow(node):
                return stream.ends[stream.next(node) - 1]
            return self.end(self.entries(node)[-1])
        end = stream.ends[node]
        if self.is_block_scalar(node):
            keeps = self.keeps(node)
            while self.text[end - 1] == "\n":
                end -= 2 if self.text[end - 2] == "\r" else 1
                if keeps:
                    break
        return end

    def keeps(self, node: int) -> bool:
        """Whether the line breaks below a node are part of its text (`|+`)."""
        return self.is_block_scalar(node) and "+" in self.text[self.behind_header(node) - 2 : self.behind_header(node)]

    def is_block_scalar(self, node: int) -> bool:
        return self.stream.style(node) in ("|", ">")

    def is_collection(self, node: int) -> bool:
        return self.stream.values[node] in (MAPPING, SEQUENCE)

    def is_kept_text(self, index: int) -> bool:
        """Whether blank lines at `index` would belong to the value above."""
        node = bisect.bisect_left(self.stream.ends, index)
        return node < len(self.stream.ends) and self.stream.ends[node] == index and self.keeps(node)

    def colon(self, entry: Entry) -> int | None:
        """The index behind the colon of an entry of a mapping, None where it has none."""
        if entry.key is None:
            raise AssertionError("only an entry of a mapping has a colon")
        found = _TO_COLON.match(self.text, self.end(Entry(None, entry.key)))
        return found.end() if found else None

    def indicator(self, entry: Entry, column: int) -> int:
        """The index behind the colon or dash of an entry in block style."""
        if entry.key is None:
            return self.lead(self.stream.starts[entry.value], column, "-") + 1
        colon = self.colon(entry)
        if colon is None:
            raise self.stream.error("this key has no colon; write one behind it", entry.key)
        return colon

    def start(self, entry: Entry, column: int) -> int:
        """Where an entry in block style begins: its key, its `?` or its dash."""
        if entry.key is None:
            return self.lead(self.stream.starts[entry.value], column, "-")
        start = self.stream.starts[entry.key]
        return start if self.column(start) == column else self.lead(start, column, "?")

    def flow_start(self, entry: Entry) -> int:
        """Where an entry in flow style begins: its key or its `?`."""
        start = self.stream.starts[entry.first]
        before = self.text[:start].rstrip(" \t\r\n")
        return len(before) - 1 if before.endswith("?") and before[-2:-1] in "{[, \t\n" else start

    def lead(self, index: int, column: int, sign: str) -> int:
        """The last `sign` at `column` before `index`."""
        line = self.line_start(index)
        while True:
            at = line + column
            if at < index and self.text[at] == sign and _INDICATORS.fullmatch(self.text, line, at):
                return at
            if not line:
                raise YamlPatchError(f"no {sign!r} found before this value", *place(self.text, index))
            line = self.line_start(line - 1)

    def extent(self, entry: Entry, column: int) -> int:
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

    def above_comments(self, line: int) -> int:
        """The start of the comment lines that stand directly above the line that begins at `line`."""
        while line:
            above = self.line_start(line - 1)
            if not self.text[above:line].lstrip(" ").startswith("#"):
                break
            line = above
        return line

    def behind_comma(self, index: int) -> int | None:
        found = _TO_COMMA.match(self.text, index)
        return found.end() if found else None

    def behind_header(self, node: int) -> int:
        """The end of the header of a block scalar."""
        found = _BLOCK_HEADER.search(self.text, self.stream.starts[node])
        if found is None:
            raise AssertionError("a block scalar begins with | or >")
        return found.end()

    def behind_properties(self, collection: int) -> int | None:
        """The end of the anchor and tag of a block collection, None where it has none."""
        start = self.stream.starts[collection]
        found = _PROPERTIES.match(self.text, start) if start < self.content_start(collection) else None
        return found.end() if found else None

    def properties(self, node: int) -> list[str]:
        """The anchor and the tag of a node, as they are written."""
        if not isinstance(self.stream.styles[node], Style) or self.stream.values[node] is ALIAS:
            return []
        found = _PROPERTIES.match(self.text, self.stream.starts[node])
        return found.group().split() if found else []

    def behind_blank_lines(self, index: int) -> int:
        found = _BLANK_LINES.match(self.text, index)
        return found.end() if found else index

    def ends_line(self, index: int) -> bool:
        """Whether nothing but a comment follows on the line."""
        return _REST_IS_COMMENT.match(self.text, index) is not None

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

    def writer(
        self, collection: int | None, old: int | None = None, behind: int | None = None, heir: bool = True
    ) -> Writer:
        """The habits of the file.

        Args:
            collection: where the value goes.
            old: the value that it replaces.
            behind: where the text below it begins.
            heir: the quotes of the old value are those of the new one.
        """
        stream = self.stream
        if self._is_json():
            return Writer('"', always=True, literal=False, as_json=True)
        quote, always = "", False
        if old is not None and heir and stream.style(old) in ("'", '"'):
            quote, always = stream.style(old), True
        elif collection is not None:
            styles = [
                stream.style(e.value) for e in self.entries(collection) if e.value != old and self._is_string(e.value)
            ]
            quotes = [style for style in styles if style in ("'", '"')]
            if quotes:
                quote, always = quotes[-1], old is None and len(quotes) == len(styles) > 1
        if not quote:
            found = (style for node, style in enumerate(stream.styles) if style in ("'", '"') and node != old)
            quote = next(found, "'")
        mapping_step = self._step(collection, old, MAPPING) or 2
        sequence_step = self._step(collection, old, SEQUENCE)
        if sequence_step is None:
            sequence_step = mapping_step
        literal = behind is None or not _JOINS_LITERAL.match(self.text, behind)
        writer = Writer(quote, always, mapping_step, sequence_step, literal)
        if old is None or not heir:
            return writer
        if stream.style(old) == '"':
            return writer._replace(literal=False)  # lines that stand in one string stay there
        return self._with_block(writer, old) if self.is_block_scalar(old) else writer

    def _is_json(self) -> bool:
        """Whether the file is JSON with a string in it: one that is empty says nothing of how it is written."""
        if self._json is None:
            try:
                self._json = self.text.lstrip()[:1] in ("{", "[") and '"' in self.text and bool(json.loads(self.text))
            except (ValueError, RecursionError):
                self._json = False
        return self._json

    def _with_block(self, writer: Writer, old: int) -> Writer:
        """The style, indent and width of a block scalar."""
        lines = self.text[self.line_end(self.behind_header(old)) : self.stream.ends[old]].split("\n")
        indents = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
        if not indents:
            return writer
        indent = min(indents)
        width = max(len(line.rstrip()) for line in lines) - indent
        return writer._replace(block=self.stream.style(old), block_indent=indent, width=max(width, 40))

    def _is_string(self, node: int) -> bool:
        return isinstance(self.stream.values[node], str) and isinstance(self.stream.plain(node), str)

    def _step(self, collection: int | None, old: int | None, mark: Mark) -> int | None:
        """How far the file indents collections of this kind below a key: here, or else at the first one."""
        stream = self.stream
        if collection is not None and not self.is_flow(collection) and stream.values[collection] is MAPPING:
            column = self.block_column(collection)
            nodes = [entry.value for entry in self.entries(collection)]
            for node in [old, *nodes] if old is not None else nodes:
                if stream.values[node] is mark and not self.is_flow(node):
                    return self.block_column(node) - column
        if mark not in self._steps:
            self._steps[mark] = self._first_step(mark)
        return self._steps[mark]

    def _first_step(self, mark: Mark) -> int | None:
        stream = self.stream
        for node, value in enumerate(stream.values):
            if value is MAPPING and not self.is_flow(node):
                for _key, child in stream.entries(node):
                    if stream.values[child] is mark and not self.is_flow(child):
                        return self.block_column(child) - self.block_column(node)
        return None
