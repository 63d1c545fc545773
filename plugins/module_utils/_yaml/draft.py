# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several edits together want of one document, before any of its text is changed.

Private to this collection: its interface may change in any release.

A draft is a tree over the parsed document that holds no more than what the edits touch: `Kept` stands for all that a
node of the text holds. So ten edits of a large file cost one reading, and what is planned from the draft one proof.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import ALIAS, MAPPING, SEQUENCE
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Key, Layout, Path, dotted


class Kept(NamedTuple):
    """A node of the text, as it is."""

    node: int


class Value(NamedTuple):
    """A new plain value; nothing else refers to it.

    Attributes:
        instead_of: the item of a sequence of the text that it takes the place of.
    """

    value: Any
    instead_of: int | None = None


class _Gone:
    """The entry goes."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()


class MapDraft:
    """A mapping of the text and what becomes of some of its keys; keys that it has not are added in their order."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.changes: dict[str, Draft | _Gone] = {}


class ListDraft:
    """A sequence of the text and its items, some of them kept."""

    def __init__(self, node: int, items: list[Draft]) -> None:
        self.node = node
        self.items = items


Draft = Union[Kept, Value, MapDraft, ListDraft]


def origin(draft: Draft) -> int | None:
    """The node of the text that a draft comes from or takes the place of; None for a new value."""
    return draft.instead_of if isinstance(draft, Value) else draft.node


class Drafting:
    """Applies edits to the draft of one document.

    Args:
        layout: of the parsed text.
        document: the number of the document, from 0.
        through_aliases: a path may lead through an alias, to what it names.
    """

    def __init__(self, layout: Layout, document: int = 0, through_aliases: bool = False) -> None:
        self._layout, self._stream = layout, layout.stream
        self._through_aliases = through_aliases
        self.document = document
        self.root: Draft = Kept(layout.stream.documents[document]) if layout.stream.documents else Value(None)
        # What an alias names is edited where the anchor stands: one draft for each such node.
        self.elsewhere: dict[int, Draft] = {}

    def set(self, path: Path, value: Any) -> None:
        self.root = self._at(self.root, path, 0, lambda _old: Value(value), make=True)

    def insert(self, path: Path, index: int | None, value: Any) -> None:
        """Insert an item in front of the one with that index, None for the end; a sequence that is missing is made."""

        def inserted(old: Draft | None) -> Draft:
            opened = self._opened(old, (*path, 0), len(path)) if old is not None else Value(None)
            if isinstance(opened, ListDraft):
                at = len(opened.items) if index is None else index
                if at > len(opened.items):
                    raise self._stream.error(f"{dotted(path)} has {len(opened.items)} items, not {at}", opened.node)
                opened.items.insert(at, Value(value))
                return opened
            items = opened.value if isinstance(opened, Value) else None
            if items is not None and not isinstance(items, list):
                raise YamlPatchError(f"{dotted(path)} is not a sequence")
            items = list(items or [])
            items.insert(len(items) if index is None else index, value)
            return Value(items)

        self.root = self._at(self.root, path, 0, inserted, make=True)

    def delete(self, path: Path) -> bool:
        if self.get(path) is MISSING:
            return False
        step = path[-1]

        def deleted(old: Draft | None) -> Draft:
            opened = self._opened(old, path, len(path) - 1) if old is not None else Value(None)
            if isinstance(opened, MapDraft):
                if self._layout.entry(opened.node, step) is None:
                    del opened.changes[str(step)]
                else:
                    opened.changes[str(step)] = GONE
                return opened
            if isinstance(opened, ListDraft):
                del opened.items[int(step)]
                return opened
            return Value(_without(self.plain(opened), step))

        self.root = self._at(self.root, path[:-1], 0, deleted, make=False)
        return True

    def get(self, path: Path) -> Any:
        """The plain value at a path as the edits leave it, MISSING where there is none.

        Raises:
            YamlPatchError: the way leads through an alias, or a scalar or the wrong kind of collection.
        """
        draft = self.look(path)
        return MISSING if draft is None else self.plain(draft)

    def kind(self, path: Path) -> str | None:
        """Whether a mapping, a sequence or a scalar stands at a path; None for null and nothing."""
        draft = self.look(path)
        if draft is None or isinstance(draft, Value):
            kinds = {dict: "mapping", list: "sequence", type(None): None}
            return None if draft is None else kinds.get(type(draft.value), "scalar")
        node = draft.node
        if self._stream.values[node] is ALIAS:
            node = self._stream.target(node)
        return None if self._layout.is_null(node) else self._layout.kind(node)

    def look(self, path: Path) -> Draft | None:
        """The draft at a path, None where there is none; nothing is opened."""
        draft: Draft | None = self.root
        for depth, step in enumerate(path):
            draft = self._child(draft, step, path, depth)
            if draft is None:
                return None
        return draft

    def _child(self, draft: Draft | None, step: Key, path: Path, depth: int) -> Draft | None:
        if isinstance(draft, Kept):
            node = self._collection(draft.node, path, depth)
            if node is None:
                return None
            if node != draft.node and node in self.elsewhere:
                return self._child(self.elsewhere[node], step, path, depth)
            entry = self._layout.entry(node, step)
            if entry is None and isinstance(step, str) and (odd := self._layout.entry(node, None)):
                # As a JavaScript object has it, `[a]: 1` has the key "[ a ]".
                raise self._stream.key_error(odd.first)
            return None if entry is None else Kept(entry.value)
        if isinstance(draft, MapDraft):
            changed = draft.changes.get(str(step)) if isinstance(step, str) else None
            if isinstance(changed, _Gone):
                return None
            return changed or self._child(Kept(draft.node), step, path, depth)
        if isinstance(draft, ListDraft):
            self._collection(draft.node, path, depth)
            return draft.items[step] if isinstance(step, int) and step < len(draft.items) else None
        found = _step(draft.value if draft else None, step)
        return None if found is MISSING else Value(found)

    def _collection(self, node: int, path: Path, depth: int) -> int | None:
        """The collection that a step leads into, None for null."""
        step, stream = path[depth], self._stream
        if stream.values[node] is ALIAS and self._through_aliases:
            node = stream.target(node)
        mark = stream.values[node]
        if mark is ALIAS:
            raise stream.error(f"{dotted(path[:depth])} is an alias; edit what *{stream.anchor(node)} names", node)
        if self._layout.is_null(node):
            return None
        if mark is not (MAPPING if isinstance(step, str) else SEQUENCE):
            wanted = "mapping" if isinstance(step, str) else "sequence"
            raise stream.error(f"{dotted(path[:depth])} is a {self._layout.kind(node)}, not a {wanted}", node)
        stream.check_tag(node)
        if node in stream.suspects:
            stream.check_keys(node)
        return node

    def _opened(self, draft: Draft, path: Path, depth: int) -> Draft:
        """A draft that the next step of a path can be changed in."""
        if isinstance(draft, Kept):
            node = self._collection(draft.node, path, depth)
            if node is None:
                return Value(None)
            if self._stream.values[node] is MAPPING:
                return MapDraft(node)
            return ListDraft(node, [Kept(entry.value) for entry in self._layout.entries(node)])
        if isinstance(draft, (MapDraft, ListDraft)):
            self._collection(draft.node, path, depth)
        return draft

    def _at(self, draft: Draft, path: Path, depth: int, change: Any, make: bool) -> Draft:
        """The draft with what stands at a path changed; what is missing on the way is made."""
        if depth == len(path):
            return self._followed(draft, change)
        step = path[depth]
        if isinstance(draft, Kept) and self._stream.values[draft.node] is ALIAS and self._through_aliases:
            return self._followed(draft, lambda old: self._at(old, path, depth, change, make), always=True)
        opened = self._opened(draft, path, depth)
        if isinstance(opened, Value):
            return Value(_changed(opened.value, path[depth:], lambda old: self._new(old, change)))
        child = self._child(opened, step, path, depth)
        if isinstance(opened, MapDraft):
            if child is None:
                opened.changes[str(step)] = Value(_changed(None, path[depth + 1 :], lambda old: self._new(old, change)))
            else:
                opened.changes[str(step)] = self._at(child, path, depth + 1, change, make)
        elif isinstance(opened, ListDraft):
            at, count = int(step), len(opened.items)
            if at > count:
                raise self._stream.error(f"the sequence has {count} items; item {at} cannot be set", opened.node)
            if child is None:
                opened.items.append(Value(_changed(None, path[depth + 1 :], lambda old: self._new(old, change))))
            else:
                item = self._at(child, path, depth + 1, change, make)
                opened.items[at] = Value(item.value, origin(child)) if isinstance(item, Value) else item
        return opened

    def _followed(self, draft: Draft, change: Any, always: bool = False) -> Draft:
        """Change a draft; where it is an alias that is followed, change what it names, and keep the alias."""
        if always and isinstance(draft, Kept):
            node = self._stream.target(draft.node)
            self.elsewhere[node] = change(self.elsewhere.get(node, Kept(node)))
            return draft
        changed: Draft = change(draft)
        return changed

    def _new(self, old: Any, change: Any) -> Any:
        changed = change(None if old is MISSING else Value(old))
        return self.plain(changed)

    def plain(self, draft: Draft) -> Any:
        """A draft as a plain value."""
        stream = self._stream
        if isinstance(draft, Kept):
            return stream.plain(draft.node)
        if isinstance(draft, Value):
            return draft.value
        if isinstance(draft, ListDraft):
            return [self.plain(item) for item in draft.items]
        result = {}
        for key, value in stream.entries(draft.node):
            name = stream.key(key)
            change = draft.changes.get(name) if name is not None else None
            if name is None:
                raise stream.key_error(key)
            if not isinstance(change, _Gone):
                result[name] = self.plain(change or Kept(value))
        for name, change in draft.changes.items():
            if name not in result and not isinstance(change, _Gone):
                result[name] = self.plain(change)
        return result


def _step(tree: Any, step: Key) -> Any:
    if isinstance(step, str):
        return tree.get(step, MISSING) if isinstance(tree, dict) else MISSING
    return tree[step] if isinstance(tree, list) and step < len(tree) else MISSING


def _without(tree: Any, step: Key) -> Any:
    if isinstance(tree, dict):
        return {key: value for key, value in tree.items() if key != step}
    return [item for index, item in enumerate(tree) if index != step]


def _changed(tree: Any, path: Path, change: Any) -> Any:
    """A plain value with what stands at a path changed; what is missing on the way is made."""
    if not path:
        return change(MISSING if tree is None else tree)
    step, rest = path[0], path[1:]
    below = _step(tree, step)
    value = _changed(None if below is MISSING else below, rest, change)
    if isinstance(step, str) and isinstance(tree, (dict, type(None))):
        return {**(tree or {}), step: value}
    if isinstance(step, int) and isinstance(tree, (list, type(None))):
        items = list(tree or [])
        if step > len(items) and tree is None:
            raise YamlPatchError(f"the sequence does not exist yet, so its item {step} cannot be set")
        if step > len(items):
            raise YamlPatchError(f"the sequence has {len(items)} items; item {step} cannot be set")
        items[step : step + 1] = [value]
        return items
    kind = "mapping" if isinstance(step, str) else "sequence"
    raise YamlPatchError(f"{step!r} cannot be set in a value that an earlier edit wrote; that is no {kind}")
