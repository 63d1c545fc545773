# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the text where entries of a collection are written, replaced or removed.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import bisect
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import ALIAS
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import SharedError, YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Entry, Layout


class Splice(NamedTuple):
    start: int
    end: int
    text: str


class NotAtOnce(YamlPatchError):
    """These edits cannot be made in one go; one after the other they may."""


class Splices(Layout):
    """Finds the splices that carry out one edit of one collection; changes nothing itself.

    Attributes:
        through_aliases: what aliases repeat may change.
    """

    through_aliases = False

    def _guard(self, way: list[int], start: int, end: int) -> None:
        """Refuse to change what an alias repeats, or to take away the anchor that one needs."""
        stream = self.stream
        if not stream.aliases:
            return
        # A name means something else in another document.
        number = bisect.bisect_right(stream.documents, way[0] if way else start) - 1
        root = stream.documents[number]
        aliases = [alias for alias in stream.aliases if root <= alias < stream.next(root)]
        used = {stream.anchor(alias): alias for alias in aliases}
        for node in way if not self.through_aliases else ():
            if stream.anchor(node) in used:
                found = stream.error(f"*{stream.anchor(node)} repeats what would be changed; edit by hand", node)
                raise SharedError(found.message, found.line, found.column)
        used = {stream.anchor(alias): alias for alias in aliases if not start <= alias < end}
        for node in range(start, end):
            if stream.values[node] is not ALIAS and stream.anchor(node) in used:
                raise stream.error(f"*{stream.anchor(node)} needs the anchor that would go; edit by hand", node)

    def _put_before(self, sequence: int, entries: list[Entry], index: int, run: list[Any]) -> list[Splice]:
        """Splices that write items in front of one, and above the comment lines that stand directly above it."""
        entry = entries[index]
        if self.is_flow(sequence):
            start = self.flow_start(entry)
            added = self.writer(sequence).inline(run)[1:-1]
            if self.begins_line(start):
                at = self.line_start(start)
                return [Splice(at, at, self.lines([self.text[at:start] + added + ","], at))]
            return [Splice(start, start, f"{added}, ")]
        column = self.block_column(sequence)
        start = self.start(entry, column)
        if self.begins_line(start):
            # What looks like a comment may be the end of a block scalar.
            least = self.line_end(self.end(entries[index - 1])) if index else 0
            at = max(least, self.above_comments(self.line_start(start)))
            return [Splice(at, at, self.lines(self.writer(sequence, behind=at).items(run, column), at))]
        lines = self.writer(sequence).items(run, column)
        eol = self.lines([""], self.line_end(start))
        return [Splice(start, start, eol.join([lines[0].lstrip(" "), *lines[1:], " " * column]))]

    def _append(self, collection: int, last: Entry, added: Any) -> list[Splice]:
        """Splices that write entries behind `last`."""
        if self.is_flow(collection):
            return self._append_flow(last, self.writer(collection).inline(added)[1:-1])
        column = self.block_column(collection)
        at = self.extent(last, column)
        writer = self.writer(collection, behind=at)
        lines = writer.entries(added, column) if isinstance(added, dict) else writer.items(added, column)
        return [Splice(at, at, self.lines(lines, at))]

    def _append_flow(self, last: Entry, added: str) -> list[Splice]:
        start = self.flow_start(last)
        end = self.end(last)
        comma = self.behind_comma(end)
        behind = comma or end
        if self.begins_line(start) and self.ends_line(behind):
            at = self.line_end(behind)
            line = Splice(at, at, self.lines([" " * self.column(start) + added + ("," if comma else "")], at))
            return [line] if comma else [Splice(end, end, self._comma(last)), line]
        if comma:
            return [Splice(behind, behind, f" {added},")]
        return [Splice(end, end, f"{self._comma(last)} {added}")]

    def _comma(self, entry: Entry) -> str:
        return " ," if self._ends_open(entry) else ","

    def _ends_open(self, entry: Entry) -> bool:
        """Whether a comma or bracket behind an entry needs a space: libyaml refuses `{a:}` and `{a: !!null}`."""
        end = self.end(entry)
        if self.text[end - 1] == ":":
            return self.text[end - 2] not in "'\""
        return self.stream.values[entry.value] == "" and self.stream.tag(entry.value) is not None

    def _open(self, way: list[int], whole: Any) -> list[Splice]:
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
                    return [Splice(start, line_end, self.lines(lines, line_end))]
            elif not self.is_flow(way[-2]):
                entry = next(entry for entry in self.entries(way[-2]) if entry.value == collection)
                column = self.block_column(way[-2])
                spaced = self.text[self.indicator(entry, column) : start] == " "
                if spaced and (alone or entry.key is not None) and self.below(line_end, column) == line_end:
                    return self._replace(way[-2], entry, whole, way)
        inside = stream.ends[collection]
        return [Splice(inside, inside, writer.inline(whole)[1:-1])]

    def _replace(self, collection: int, entry: Entry, value: Any, way: list[int], properties: str = "") -> list[Splice]:
        """Write another value for an entry.

        Args:
            properties: the anchor and tag that are written before it.
        """
        stream, node = self.stream, entry.value
        first = node + 1 if "&" in properties else node
        self._guard([node for node in way if node != entry.value], first, stream.next(node))
        if self.is_flow(collection):
            inline = self.writer(collection, node).inline(value, flow=True)
            return self._replace_flow(entry, f"{properties} {inline}".strip())
        column = self.block_column(collection)
        indicator = self.indicator(entry, column)
        start, line_end = stream.starts[node], self.line_end(indicator)
        is_block = self.is_collection(node) and not self.is_flow(node)
        behind = self.extent(entry, column) if is_block or start >= line_end else self.line_end(self.end(entry))
        # The quotes of one old string are no habit for those of a new block.
        writer = self.writer(collection, node, behind, heir=isinstance(value, str))
        inline, below = writer.value(value, column, compact=entry.key is None and not properties)
        inline = f"{properties} {inline}".strip()
        head = f" {inline}" if inline else ""
        if self.is_empty_node(node):
            at = line_end if inline else self.extent(entry, column)
            return [Splice(indicator, indicator, head), Splice(at, at, self.lines(below, at))]
        if start >= line_end:
            return [Splice(indicator, indicator, head), Splice(line_end, behind, self.lines(below, line_end))]
        if is_block:
            return [Splice(indicator, behind, self.lines([head, *below], line_end))]
        if self.is_block_scalar(node):
            header = Splice(indicator, self.behind_header(node), head)
            return [header, Splice(line_end, behind, self.lines(below, line_end))]
        end = self.end(entry)
        if not below:
            return [Splice(start, end, inline)]
        return [Splice(indicator, end, head), Splice(behind, behind, self.lines(below, behind))]

    def _replace_flow(self, entry: Entry, inline: str) -> list[Splice]:
        node = entry.value
        if not self.is_empty_node(node):
            return [Splice(self.stream.starts[node], self.end(entry), inline)]
        if entry.key is None:
            raise self.stream.error("an item without text cannot be replaced", node)
        colon = self.colon(entry)
        if colon is None and self.is_empty_node(entry.key):
            raise self.stream.error("a question mark without a key; write the key out", entry.key)
        at = colon or self.end(entry)
        return [Splice(at, at, f" {inline}" if colon else f": {inline}")]

    def _clear(self, way: list[int], entry: Entry) -> list[Splice]:
        """Take the only entry of a collection away, so that it is empty."""
        stream, collection = self.stream, way[-1]
        if self.is_pair(collection):
            raise stream.error("the pair in brackets cannot be emptied; delete the item", collection)
        if self.is_flow(collection):
            end = self.end(entry)
            return [Splice(self.flow_start(entry), self.behind_comma(end) or end, "")]
        brackets = "{}" if entry.key is not None else "[]"
        column = self.block_column(collection)
        start, end = self.start(entry, column), self.extent(entry, column)
        removed = Splice(self.line_start(start), end, "")
        properties = self.behind_properties(collection)
        if properties and self.begins_line(start):
            return [Splice(properties, properties, f" {brackets}"), removed]
        if len(way) > 1 and self.begins_line(start):
            parent = way[-2]
            outer = next(other for other in self.entries(parent) if other.value == collection)
            at = self.indicator(outer, self.block_column(parent))
            return [Splice(at, at, f" {brackets}"), removed]
        return [Splice(start, self.without_break(end), brackets)]

    def _remove(self, collection: int, entries: list[Entry], start: int, stop: int) -> list[Splice]:
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
                splices.append(Splice(self.line_start(self.start(entry, column)), end, ""))
            return splices
        following = self.start(entries[stop], column)
        if self.line_start(following) == end:
            return [Splice(begin, following, "")]
        begin -= len(self.text[:begin]) - len(self.text[:begin].rstrip(" \t"))
        return [Splice(begin, self.without_break(end), "")]

    def _remove_flow(self, entries: list[Entry], start: int, stop: int) -> list[Splice]:
        begin, end = self.flow_start(entries[start]), self.end(entries[stop - 1])
        comma = self.behind_comma(end)
        behind = comma or end
        whole_lines = self.begins_line(begin) and self.ends_line(behind)
        own = Splice(self.line_start(begin), self.line_end(behind), "") if whole_lines else None
        if stop < len(entries):
            return [own or Splice(begin, self.flow_start(entries[stop]), "")]
        before = self.end(entries[start - 1])
        between = self.text[before:begin]
        if not own or "\n" not in between:
            if comma:
                before += between.index(",") + 1
            gap = " " if not comma and self._ends_open(entries[start - 1]) and self.text[behind] in "]}" else ""
            return [Splice(before, behind, gap)]
        if comma:
            return [own]
        comma = self.behind_comma(before)
        if comma is None:
            raise AssertionError("a comma stands before the last entry but the first")
        return [Splice(before if self.text[before:comma] == " ," else comma - 1, comma, ""), own]


def spliced(text: str, splices: list[Splice]) -> str:
    """The text with the splices carried out."""
    parts, at = [], 0
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end)):
        if splice.start < at:
            raise NotAtOnce("two edits overlap here")
        parts += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*parts, text[at:]])
