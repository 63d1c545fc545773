# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a draft to the splices of the text that carry it out.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import difflib
import math
from typing import Any, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.draft import (
    GONE,
    Draft,
    Drafting,
    Kept,
    ListDraft,
    MapDraft,
    Value,
    origin,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import ALIAS, MAPPING, SEQUENCE
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Entry
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import CORE, equal
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.splices import NotAtOnce, Splice, Splices
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.writer import Bare, Writer

_IDENTITIES = ("name", "id", "key")  # what tells one item of a list from another, where a list is set as a whole


class Region(NamedTuple):
    """What an edit does to the event stream: nodes [start, end) become `wanted`.

    Attributes:
        keys: `wanted` has keys and values in turn.
    """

    start: int
    end: int
    wanted: list[Any]
    keys: bool = False


class Editor(Splices):
    """Plans edits on one parsed text; changes nothing itself.

    Attributes:
        splices, regions: what was planned.
        keep_tags: a value that replaces one with a tag of its own (`!Ref`) gets that tag.
        lists_in_place: a list that is set on another is compared with it item by item, else written anew.
    """

    splices: list[Splice]
    regions: list[Region]
    keep_tags = False
    lists_in_place = True

    def plan(self, drafts: list[Drafting]) -> None:
        """Plan the edits of some documents."""
        self.splices, self.regions = [], []
        for drafting in drafts:
            for node, draft in drafting.elsewhere.items():
                self._edit_target(node, draft)
            self._edit_root(drafting.document, drafting.root)
        self.regions.sort(key=lambda region: (region.start, region.end))

    def _edit_root(self, document: int, draft: Draft) -> None:
        if isinstance(draft, Kept) or (isinstance(draft, Value) and draft.value is None):
            return
        if not self.stream.documents:
            self._write_first(None, 0, draft)
            return
        root = self.stream.documents[document]
        if isinstance(draft, Value) and self.is_null(root):
            self._write_first(root, self.stream.document_ends[document], draft)
        elif isinstance(draft, Value):
            if not self._is_equal(root, draft.value) and not self._update_inside([], root, draft.value):
                raise self.stream.error("this is the whole document; write the file anew, or name a key", root)
        elif not self._change([], root, draft):
            raise NotAtOnce("these edits of the document cannot be combined")

    def _write_first(self, root: int | None, at: int, draft: Draft) -> None:
        splices, region = self._fill(root, at, self._new_value(draft))
        self.splices += splices
        self.regions.append(region)

    def _edit_target(self, node: int, draft: Draft) -> None:
        """Edit what an alias names."""
        way = self._way_to(node)
        entry = next((entry for entry in self.entries(way[-1]) if entry.value == node), None) if way else None
        if entry is None:
            raise self.stream.error("this anchor is in a place that cannot be edited; edit by hand", node)
        self._edit(way, entry, draft)

    def _way_to(self, node: int) -> list[int]:
        """The collections that hold a node."""
        return [outer for outer in range(node) if self.stream.next(outer) > node]

    def _edit(self, way: list[int], entry: Entry, draft: Draft) -> None:
        """Plan what becomes of an entry of the collection way[-1]."""
        if isinstance(draft, Kept):
            return
        if isinstance(draft, Value):
            self._update(way, entry, draft.value)
        elif not self._change(way, entry.value, draft):
            raise NotAtOnce("these edits of one collection cannot be combined")

    def _change(self, way: list[int], node: int, draft: MapDraft | ListDraft) -> bool:
        """Plan the changes inside a collection; whether they can be made in place."""
        if isinstance(draft, MapDraft):
            return self._change_mapping([*way, node], draft.changes)
        return self._change_sequence([*way, node], draft.items)

    def _fill(self, root: int | None, at: int, value: Any) -> tuple[list[Splice], Region]:
        """Write the first value into a document that has none."""
        stream = self.stream
        if root is None:
            at = len(self.text)
        elif not self.is_empty_node(root):
            raise stream.error("the document is a scalar, not a mapping", root)
        _inline, lines = Writer().value(value, -2)
        if at and self.text[at - 1] != "\n":
            raise stream.error("cannot write behind this", root)
        region = Region(0, 0, [value]) if root is None else Region(root, root + 1, [value])
        return [Splice(at, at, self.lines(lines, at))], region

    def _update(self, way: list[int], entry: Entry, value: Any) -> None:
        """Make an entry's value equal to `value`, touching what differs."""
        stream, node = self.stream, entry.value
        if self._is_equal(node, value):
            return
        properties, tagged = self._kept_properties(node, value)
        if tagged and not isinstance(value, (dict, list, str)):
            value = Bare(Writer().inline(value))  # to its readers `!Ref 5` is a string
            if self._is_equal(node, value):
                return
        if (stream.tag(node) and not tagged) or not self._update_inside(way, node, value):
            self.splices += self._replace(way[-1], entry, value, way, properties)
            self.regions.append(Region(node, stream.next(node), [value]))

    def _kept_properties(self, node: int, value: Any) -> tuple[str, bool]:
        """The text of the anchor and tag that stay when a value is replaced, and whether a tag is among them."""
        stream = self.stream
        kinds: dict[Any, Any] = {MAPPING: dict, SEQUENCE: list}
        fits = isinstance(value, (dict, list)) and isinstance(value, kinds.get(stream.values[node], ()))
        fits = fits or (isinstance(stream.values[node], str) and not isinstance(value, (dict, list)))
        tag = stream.tag(node) or ""
        keeps_tag = self.keep_tags and fits and tag not in ("", "!") and not tag.startswith(CORE)
        keeps_anchor = self.through_aliases and stream.values[node] is not ALIAS
        parts = [
            part
            for part in self.properties(node)
            if (part[0] == "!" and keeps_tag) or (part[0] == "&" and keeps_anchor)
        ]
        return " ".join(parts), keeps_tag

    def _update_inside(self, way: list[int], node: int, value: Any) -> bool:
        """Turn one collection into another of its kind, in place; False where it has to be written anew."""
        stream = self.stream
        if isinstance(value, dict) and stream.values[node] is MAPPING:
            old = {stream.key(key): child for key, child in stream.entries(node)}
            if not old.keys() & value.keys() or self.is_pair(node):
                return False
            changes: dict[str, Any] = {str(key): GONE for key in old if key not in value}
            for key, item in value.items():
                if key not in old or not self._is_equal(old[key], item):
                    changes[key] = Value(item)
            return self._change_mapping([*way, node], changes)
        if isinstance(value, list) and stream.values[node] is SEQUENCE and self.lists_in_place:
            return self._change_sequence([*way, node], self._aligned(node, value))
        return False

    def _is_equal(self, node: int, value: Any) -> bool:
        stream = self.stream
        if stream.values[node] is MAPPING and isinstance(value, dict) and not stream.tag(node):
            entries = {stream.key(key): child for key, child in stream.entries(node)}
            return entries.keys() == value.keys() and all(self._is_equal(entries[key], value[key]) for key in value)
        try:
            return equal(stream.plain(node), value)
        except YamlPatchError:
            return False

    def _change_mapping(self, way: list[int], changes: dict[str, Any]) -> bool:
        """Plan changes of the mapping way[-1] by key; False where it has to be written anew."""
        stream, mapping = self.stream, way[-1]
        there = [self.entry(mapping, key) for key in changes]
        if all(entry and change is not GONE for entry, change in zip(there, changes.values())):
            for entry, change in zip(there, changes.values()):
                if entry:
                    self._edit(way, entry, change)
            return True
        entries = self.entries(mapping)
        keys = [stream.key(entry.key) if entry.key is not None else None for entry in entries]
        gone = [index for index, key in enumerate(keys) if changes.get(key or "") is GONE and key is not None]
        added = {key: item.value for key, item in changes.items() if isinstance(item, Value) and key not in set(keys)}
        if not (gone or added):
            pass
        elif not entries:
            return self._open_with(way, added)
        elif len(gone) == len(entries):
            if added or len(entries) > 1:
                return False
            return self._clear_with(way, entries[0], {})
        elif self.is_flow(mapping) and (gone and added):
            return False
        elif added and self.is_pair(mapping):
            raise stream.error("a single pair in brackets takes no second key; write braces around it", mapping)
        for entry, key in zip(entries, keys):
            change = changes.get(key) if key is not None else None
            if change is not None and change is not GONE:
                self._edit(way, entry, change)
        self._remove_all(way, entries, gone)
        if added:
            last = next(index for index in reversed(range(len(entries))) if index not in gone)
            self._guard(way, 0, 0)
            self.splices += self._append(mapping, entries[last], added)
            end = stream.next(mapping) - 1
            self.regions.append(Region(end, end, [part for pair in added.items() for part in pair], keys=True))
        return True

    def _open_with(self, way: list[int], added: Any) -> bool:
        self._guard(way[:-1], 0, 0)
        self._guard(way, 0, 0)
        self.splices += self._open(way, added)
        self.regions.append(Region(way[-1], self.stream.next(way[-1]), [added]))
        return True

    def _clear_with(self, way: list[int], entry: Entry, empty: Any) -> bool:
        self._guard(way, entry.first, self.stream.next(entry.value))
        self.splices += self._clear(way, entry)
        self.regions.append(Region(way[-1], self.stream.next(way[-1]), [empty]))
        return True

    def _remove_all(self, way: list[int], entries: list[Entry], gone: list[int]) -> None:
        stream = self.stream
        for start, stop in _runs(gone):
            first, end = entries[start].first, stream.next(entries[stop - 1].value)
            self._guard(way, first, end)
            self.splices += self._remove(way[-1], entries, start, stop)
            self.regions.append(Region(first, end, []))

    # sequences

    def _change_sequence(self, way: list[int], items: list[Draft]) -> bool:
        """Plan the sequence way[-1] with these items, those of the text in their old order; False as above."""
        sequence = way[-1]
        entries = self.entries(sequence)
        places = {entry.value: index for index, entry in enumerate(entries)}
        nodes = [origin(item) for item in items]
        origins = [None if node is None else places[node] for node in nodes]
        kept = [index for index in origins if index is not None]
        if not entries:
            return self._open_with(way, [self._new_value(item) for item in items]) if items else True
        if kept != sorted(set(kept)):
            return False
        gone = [index for index in range(len(entries)) if index not in set(kept)]
        new = [item for item, index in zip(items, origins) if index is None]
        if not kept:
            return not items and len(entries) == 1 and self._clear_with(way, entries[0], [])
        if self.is_flow(sequence) and gone and new:
            return False
        for item, index in zip(items, origins):
            if index is not None:
                self._edit(way, entries[index], item)
        self._remove_all(way, entries, gone)
        return self._insert_all(way, entries, items, origins)

    @staticmethod
    def _new_value(item: Draft) -> Any:
        if not isinstance(item, Value):
            raise AssertionError("a new item has a value")
        return item.value

    def _insert_all(self, way: list[int], entries: list[Entry], items: list[Draft], origins: list[int | None]) -> bool:
        """Plan the new items, each run of them in front of the old item that follows, or at the end."""
        stream, sequence = self.stream, way[-1]
        run: list[Any] = []
        # Whatever is left in the end comes behind the last one.
        for item, index in [*zip(items, origins), (Value(None), len(entries))]:
            if index is None:
                run.append(self._new_value(item))
                continue
            if run:
                self._guard(way, 0, 0)
                if index == len(entries):
                    last = max(place for place in origins if place is not None)
                    self.splices += self._append(sequence, entries[last], run)
                    at = stream.next(sequence) - 1
                else:
                    self.splices += self._put_before(sequence, entries, index, run)
                    at = entries[index].value
                self.regions.append(Region(at, at, run))
            run = []
        return True

    def _aligned(self, sequence: int, values: list[Any]) -> list[Any]:
        """New items and the old ones that they are, or take the place of."""
        old = [entry.value for entry in self.entries(sequence)]
        plain = [self._plain_or_none(node) for node in old]
        matcher = difflib.SequenceMatcher(None, list(map(_hashed, plain)), list(map(_hashed, values)), autojunk=False)
        items: list[Any] = []
        for kind, start, stop, new_start, new_stop in matcher.get_opcodes():
            if kind == "equal":
                items += map(Kept, old[start:stop])
                continue
            pairs = _paired(plain[start:stop], values[new_start:new_stop])
            items += [
                Value(value) if index is None else Value(value, old[start + index])
                for value, index in zip(values[new_start:new_stop], pairs)
            ]
        return items

    def _plain_or_none(self, node: int) -> Any:
        try:
            return self.stream.plain(node)
        except YamlPatchError:
            return None


def _runs(indexes: list[int]) -> list[tuple[int, int]]:
    """Half-open ranges of neighbours."""
    runs: list[tuple[int, int]] = []
    for index in indexes:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _hashed(value: Any) -> Any:
    """Something that is equal and hashes alike where two values are equal."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, _hashed(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", *map(_hashed, value))
    return (
        isinstance(value, bool),
        isinstance(value, str),
        "nan" if isinstance(value, float) and math.isnan(value) else value,
    )


def _paired(old: list[Any], new: list[Any]) -> list[int | None]:
    """For each new item the old one whose place it takes: by its name, else by its position; in order."""
    found: list[int | None] = []
    least = 0
    for position, value in enumerate(new):
        index = next((at for at in range(least, len(old)) if _same_item(old[at], value)), None)
        if index is None and least <= position < len(old) and not _is_named(value, old[position]):
            later = (_same_item(old[position], other) for other in new[position + 1 :])
            index = None if any(later) else position
        found.append(index)
        if index is not None:
            least = index + 1
    return found


def _same_item(old: Any, new: Any) -> bool:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return False
    identity = next((key for key in _IDENTITIES if key in new), None)
    return identity is not None and identity in old and equal(old[identity], new[identity])


def _is_named(new: Any, old: Any) -> bool:
    """Whether two items have names of their own, so that the one is not the other."""
    return isinstance(new, dict) and isinstance(old, dict) and any(key in new and key in old for key in _IDENTITIES)
