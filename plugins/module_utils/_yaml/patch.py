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
  - A comment line above a key stays, whatever happens to the key. Blank lines stay too, unless the key goes and the
    value above is a block scalar that would keep them as text (`|+`).
  - A new key comes after the last key of its mapping, and after the comment lines that are deeper than its column; so
    before those that belong to what follows.

Setting a new key in a mapping and deleting that same key again gives back the text that was there. Where parents were
made as well, deleting the first of them does. Deleting the last key of a mapping leaves `{}`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import (
    ALIAS,
    END,
    MAPPING,
    Stream,
    YamlPatchError,
    place,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Entry, Key, Layout, Path
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import equal
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.writer import Writer, checked

__all__ = ["Document", "Node", "YamlPatchError"]


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


class _Editor(Layout):
    """Plans edits on one parsed text; changes nothing itself."""

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
        self._guard(way, entry.first, stream.next(node))
        if len(entries) == 1:
            empty: Any = {} if entry.key is not None else []
            return self._clear(way, entry), _Region(collection, stream.next(collection), [empty])
        index = entries.index(entry)
        return self._remove(collection, entries, index, index + 1), _Region(entry.first, stream.next(node), [])

    def _child(self, collection: int, step: Key) -> Entry:
        entry = self.entry(collection, step)
        if entry is None:
            raise AssertionError(f"{step!r} was found before")
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
            if stream.values[node] is not ALIAS and stream.anchor(node) in used:
                raise stream.error(f"*{stream.anchor(node)} needs the anchor that would go; edit by hand", node)

    def _fill(self, nodes: int, value: Any) -> tuple[list[_Splice], _Region]:
        """Write the first value into a document that has none."""
        stream = self.stream
        if nodes and not self.is_empty_node(0):
            raise stream.error("the document is a scalar, not a mapping", 0)
        at = stream.document_end
        _inline, lines = Writer().value(value, -2)
        if at and self.text[at - 1] != "\n":
            raise stream.error("cannot write behind this", 0)
        return [_Splice(at, at, self.lines(lines, at))], _Region(0, nodes, [value])

    def _update(self, collection: int, entry: Entry, value: Any, way: list[int]) -> list[_Splice]:
        """Make an entry's value equal to `value`, touching what differs."""
        stream, node = self.stream, entry.value
        if self._is_equal(node, value):
            return []
        if isinstance(value, dict) and stream.values[node] is MAPPING and not stream.tag(node):
            splices = self._merge(node, value, [*way, node])
            if splices is not None:
                return splices
        return self._replace(collection, entry, value, way)

    def _is_equal(self, node: int, value: Any) -> bool:
        stream = self.stream
        if stream.values[node] is MAPPING and isinstance(value, dict) and not stream.tag(node):
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
        if not kept or (self.is_flow(mapping) and (self.is_pair(mapping) or (removed and added))):
            return None
        splices = []
        for index in kept:
            splices += self._update(mapping, entries[index], value[str(keys[index])], way)
        start = 0
        for stop in [*kept, len(entries)]:
            if start < stop:
                self._guard(way, entries[start].first, stream.next(entries[stop - 1].value))
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
        if self.is_pair(collection):
            raise stream.error("a single pair in brackets takes no second key; write braces around it", collection)
        end = stream.next(collection) - 1
        wanted = [step, value] if isinstance(step, str) else [value]
        return self._append(collection, entries[-1], whole), _Region(end, end, wanted)

    def _append(self, collection: int, last: Entry, added: Any) -> list[_Splice]:
        """Splices that write entries behind `last`."""
        if self.is_flow(collection):
            return self._append_flow(last, self.writer(collection).inline(added)[1:-1])
        column = self.block_column(collection)
        at = self.extent(last, column)
        writer = self.writer(collection, behind=at)
        lines = writer.entries(added, column) if isinstance(added, dict) else writer.items(added, column)
        return [_Splice(at, at, self.lines(lines, at))]

    def _append_flow(self, last: Entry, added: str) -> list[_Splice]:
        start = self.flow_start(last)
        end = self.end(last)
        comma = self.behind_comma(end)
        behind = comma or end
        if self.begins_line(start) and self.ends_line(behind):
            at = self.line_end(behind)
            line = _Splice(at, at, self.lines([" " * self.column(start) + added + ("," if comma else "")], at))
            return [line] if comma else [_Splice(end, end, self._comma(last)), line]
        if comma:
            return [_Splice(behind, behind, f" {added},")]
        return [_Splice(end, end, f"{self._comma(last)} {added}")]

    def _comma(self, entry: Entry) -> str:
        return " ," if self._ends_open(entry) else ","

    def _ends_open(self, entry: Entry) -> bool:
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

    def _replace(self, collection: int, entry: Entry, value: Any, way: list[int]) -> list[_Splice]:
        """Write another value for an entry."""
        stream, node = self.stream, entry.value
        self._guard([node for node in way if node != entry.value], node, stream.next(node))
        if self.is_flow(collection):
            return self._replace_flow(entry, self.writer(collection, node).inline(value, flow=True))
        column = self.block_column(collection)
        indicator = self.indicator(entry, column)
        start, line_end = stream.starts[node], self.line_end(indicator)
        is_block = self.is_collection(node) and not self.is_flow(node)
        behind = self.extent(entry, column) if is_block or start >= line_end else self.line_end(self.end(entry))
        writer = self.writer(collection, node, behind)
        if not isinstance(value, str):
            writer = writer._replace(always=False)  # the quotes of one old string are no habit for those of a new block
        inline, below = writer.value(value, column, compact=entry.key is None)
        head = f" {inline}" if inline else ""
        if self.is_empty_node(node):
            at = line_end if inline else self.extent(entry, column)
            return [_Splice(indicator, indicator, head), _Splice(at, at, self.lines(below, at))]
        if start >= line_end:
            return [_Splice(indicator, indicator, head), _Splice(line_end, behind, self.lines(below, line_end))]
        if is_block:
            return [_Splice(indicator, behind, self.lines([head, *below], line_end))]
        if self.is_block_scalar(node):
            header = _Splice(indicator, self.behind_header(node), head)
            return [header, _Splice(line_end, behind, self.lines(below, line_end))]
        end = self.end(entry)
        if not below:
            return [_Splice(start, end, inline)]
        return [_Splice(indicator, end, head), _Splice(behind, behind, self.lines(below, behind))]

    def _replace_flow(self, entry: Entry, inline: str) -> list[_Splice]:
        node = entry.value
        if not self.is_empty_node(node):
            return [_Splice(self.stream.starts[node], self.end(entry), inline)]
        if entry.key is None:
            raise self.stream.error("an item without text cannot be replaced", node)
        colon = self.colon(entry)
        at = colon or self.end(entry)
        return [_Splice(at, at, f" {inline}" if colon else f": {inline}")]

    def _clear(self, way: list[int], entry: Entry) -> list[_Splice]:
        """Take the only entry of a collection away, so that it is empty."""
        stream, collection = self.stream, way[-1]
        if self.is_pair(collection):
            raise stream.error("the pair in brackets cannot be emptied; delete the item", collection)
        if self.is_flow(collection):
            end = self.end(entry)
            return [_Splice(self.flow_start(entry), self.behind_comma(end) or end, "")]
        brackets = "{}" if entry.key is not None else "[]"
        column = self.block_column(collection)
        start, end = self.start(entry, column), self.extent(entry, column)
        removed = _Splice(self.line_start(start), end, "")
        properties = self.behind_properties(collection)
        if properties and self.begins_line(start):
            return [_Splice(properties, properties, f" {brackets}"), removed]
        if len(way) > 1 and self.begins_line(start):
            parent = way[-2]
            outer = next(other for other in self.entries(parent) if other.value == collection)
            at = self.indicator(outer, self.block_column(parent))
            return [_Splice(at, at, f" {brackets}"), removed]
        return [_Splice(start, self.without_break(end), brackets)]

    def _remove(self, collection: int, entries: list[Entry], start: int, stop: int) -> list[_Splice]:
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
                if blanks_go:
                    end = self.behind_blank_lines(end)
                splices.append(_Splice(self.line_start(self.start(entry, column)), end, ""))
            return splices
        following = self.start(entries[stop], column)
        if self.line_start(following) == end:
            return [_Splice(begin, following, "")]
        begin -= len(self.text[:begin]) - len(self.text[:begin].rstrip(" \t"))
        return [_Splice(begin, self.without_break(end), "")]

    def _remove_flow(self, entries: list[Entry], start: int, stop: int) -> list[_Splice]:
        begin, end = self.flow_start(entries[start]), self.end(entries[stop - 1])
        comma = self.behind_comma(end)
        behind = comma or end
        whole_lines = self.begins_line(begin) and self.ends_line(behind)
        own = _Splice(self.line_start(begin), self.line_end(behind), "") if whole_lines else None
        if stop < len(entries):
            return [own or _Splice(begin, self.flow_start(entries[stop]), "")]
        before = self.end(entries[start - 1])
        between = self.text[before:begin]
        if not own or "\n" not in between:
            if comma:
                before += between.index(",") + 1
            gap = " " if not comma and self._ends_open(entries[start - 1]) and self.text[behind] in "]}" else ""
            return [_Splice(before, behind, gap)]
        if comma:
            return [own]
        comma = self.behind_comma(before)
        if comma is None:
            raise AssertionError("a comma stands before the last entry but the first")
        return [_Splice(before if self.text[before:comma] == " ," else comma - 1, comma, ""), own]


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
            raise YamlPatchError("two edits overlap here; make them one after the other", *place(text, splice.start))
        parts += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*parts, text[at:]])


# -- verify -----------------------------------------------------------------------------------------------------------


def _verify(old: Stream, new: Stream, regions: list[_Region]) -> None:
    """Compare the parsed result with the wanted one, event by event."""
    at_old = at_new = 0
    for region in sorted(regions, key=lambda region: region.start):
        at_new = start = _same(old, new, at_old, region.start, at_new)
        for number, wanted in enumerate(region.wanted):
            if at_new >= len(new.values) or new.values[at_new] is END:
                raise _unproven(old, region.start)
            key = len(region.wanted) == 2 and number == 0
            if not equal(new.key(at_new) if key else new.plain(at_new), wanted):
                raise _unproven(old, region.start)
            at_new = new.next(at_new)
        at_old = region.end
        for node, behind in new.after.items():
            if node <= at_new and behind >= start:
                new.check_keys(node)
    if _same(old, new, at_old, len(old.values), at_new) != len(new.values):
        raise _unproven(old, at_old)


def _same(old: Stream, new: Stream, start: int, end: int, at: int) -> int:
    stop = at + end - start
    if old.values[start:end] != new.values[at:stop] or old.styles[start:end] != new.styles[at:stop]:
        raise _unproven(old, start)
    return stop


def _unproven(old: Stream, node: int) -> YamlPatchError:
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
        self._stream: Stream | None = Stream(self._body)
        self._pending: list[tuple[Path, list[_Splice], _Region]] = []

    def _load(self, body: str) -> None:
        if "\r" in body:
            lone = re.search("\r(?!\n)", body)
            if lone:
                raise YamlPatchError(
                    "a carriage return without a line feed, which Backstage takes for no line break; remove it",
                    *place(body, lone.start()),
                )
        first = body.find("\n")
        self._eol = "\r\n" if first > 0 and body[first - 1] == "\r" else "\n"
        # npm yaml reads a last line without a break as if it had one; libyaml does not (block scalars differ).
        self._unterminated = body != "" and not body.endswith("\n")
        self._body = body + self._eol if self._unterminated else body

    def _editor(self) -> _Editor:
        if self._stream is None:
            self._stream = Stream(self._body)
        return _Editor(self._stream, self._eol)

    def _flush(self) -> None:
        """Carry out what is queued, and prove it."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        stream = self._editor().stream
        body = _spliced(self._body, [splice for _path, splices, _region in pending for splice in splices])
        try:
            result = Stream(body, for_edits=False)
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
        line, column = place(stream.text, stream.starts[node])
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
        self._queue(_checked_path(path), "set", checked(value))

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
        raise YamlPatchError(message, *place(error.object, error.start)) from None


def _checked_path(path: Path, root: bool = False) -> Path:
    steps = tuple(path)
    if not steps and not root:
        raise YamlPatchError("the path is empty; name a key")
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, (str, int)) or (isinstance(step, int) and step < 0):
            raise YamlPatchError(f"{step!r} in the path is neither a key nor an index from 0")
    return steps
