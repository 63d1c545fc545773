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
  - A list that is set on a list keeps the items that are equal, with their comments; the others are changed in place
    where they have the same `name`, `id` or `key`, or the same position, and taken away or added otherwise.
  - A new key comes after the last key of its mapping, and after the comment lines that are deeper than its column; so
    before those that belong to what follows.

Setting a new key in a mapping and deleting that same key again gives back the text that was there. Where parents were
made as well, deleting the first of them does. Deleting the last key of a mapping leaves `{}`.
"""

from __future__ import annotations

import bisect
import re
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._yaml import reread
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.draft import MISSING, Drafting
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.editor import Editor, Region
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import END, STRICT, Rules, Stream
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError, place
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Path
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import equal
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.source import Source, check_mark
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.splices import spliced
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.writer import checked

__all__ = ["MISSING", "Document", "Node", "Rules", "YamlPatchError"]

# Lines of comments and blank lines, with the bracket below them or without: found once, however many they are.
_COMMENTS = re.compile(r"^(?:[ \t]*(?:#.*)?\r?\n)+[ \t]*([}\]])?", re.MULTILINE)
_AT_MARGIN = re.compile("^#", re.MULTILINE)
# An edit that is pending: the method of Drafting, the number of the document, the arguments.
_Operation = tuple[str, int, tuple[Any, ...]]


class Node:
    """What stands at a path.

    Attributes:
        kind: mapping, sequence, scalar or alias.
        line, column: of its first character, from 1.
        style: block or flow for collections; plain, single, double, literal or folded for scalars; None for an alias.
        anchor: the name behind `&`, or behind `*` for an alias; else None.
    """

    def __init__(self, editor: Editor, node: int) -> None:
        stream = editor.stream
        self._stream, self._node = stream, node
        self.kind = editor.kind(node)
        self.line, self.column = place(stream.text, stream.starts[node])
        self.style = _STYLE_NAMES.get(stream.style(node))
        self.anchor = stream.anchor(node)

    @property
    def value(self) -> Any:
        """The plain Python value; for an alias, that of what it names."""
        return self._stream.plain(self._node)

    @property
    def keys(self) -> list[str | None]:
        """The keys of a mapping, without a look at its values; None for one that is a collection."""
        if self.kind != "mapping":
            return []
        return [self._stream.key(key) for key, _value in self._stream.entries(self._node)]


# -- verify -----------------------------------------------------------------------------------------------------------


def _verify(old: Stream, new: Stream, regions: list[Region]) -> None:
    """Compare the parsed result with the wanted one, event by event."""
    at_old = at_new = 0
    touched: list[int] = []
    roots, shift = iter(old.documents), 0
    root = next(roots, None)
    expected: list[int] = []
    for region in [*regions, None]:
        while root is not None and (region is None or root <= region.start):
            expected.append(root + shift)
            root = next(roots, None)
        if region is None:
            break
        if region.start < at_old:
            raise _unproven(old, region.start)
        at_new = _same(old, new, at_old, region.start, at_new)
        touched.append(at_new)
        for number, wanted in enumerate(region.wanted):
            if at_new >= len(new.values) or new.values[at_new] is END:
                raise _unproven(old, region.start)
            is_key = region.keys and number % 2 == 0
            if not equal(new.key(at_new) if is_key else new.plain(at_new), wanted):
                raise _unproven(old, region.start)
            at_new = new.next(at_new)
            touched.append(at_new)
        at_old, shift = region.end, at_new - region.end
    if (old.documents and new.documents != expected) or (not old.documents and len(new.documents) != 1):
        raise _unproven(old, 0)
    if _same(old, new, at_old, len(old.values), at_new) != len(new.values):
        raise _unproven(old, at_old)
    first, last = touched[0], touched[-1]
    for node, behind in new.after.items():
        if node <= last and behind >= first:
            at = bisect.bisect_left(touched, node)
            if at < len(touched) and touched[at] <= behind:
                new.check_keys(node)


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
    """A YAML text that is read once and edited any number of times.

    Edits are collected, carried out together and proven once, when the text is asked for. All are made or none.

    Args:
        text: bytes are UTF-8, with or without a byte order mark.
        rules: how it is read, and whether there may be several documents.
        through_aliases: a path may lead through an alias, and what aliases repeat may change.
        keep_tags: where a value with a tag of its own (`!Ref`) is replaced, the new one gets that tag.

    Raises:
        YamlPatchError: not UTF-8, not YAML, duplicate keys, several documents, or read differently by YAML 1.1 and 1.2.
    """

    def __init__(
        self,
        text: str | bytes,
        rules: Rules = STRICT,
        through_aliases: bool = False,
        keep_tags: bool = False,
    ) -> None:
        self._rules, self._through_aliases, self._keep_tags = rules, through_aliases, keep_tags
        source = Source(text, rules)
        self._original, self._bom, self._body = source.text, source.bom, source.body
        self._eol, self._unterminated = source.eol, source.unterminated
        self._ends_in_new_block = False
        self._pending: list[_Operation] = []
        self._read(source.stream)

    def _read(self, stream: Stream | None) -> None:
        self._editor = Editor(stream, self._eol) if stream else None
        if self._editor:
            self._editor.through_aliases, self._editor.keep_tags = self._through_aliases, self._keep_tags
        self._drafts: dict[int, Drafting] = {}

    @property
    def _current(self) -> Editor:
        """The text as it is, without what is pending."""
        if self._editor is None:
            self._read(Stream(self._body, rules=self._rules))
        if self._editor is None:
            raise AssertionError("_read sets the editor")
        return self._editor

    def _flush(self) -> None:
        """Carry out what is pending, and prove it."""
        if not self._pending:
            return
        before, pending = self._body, self._pending
        self._pending = []
        try:
            try:
                self._carry_out(pending)
            except YamlPatchError:
                if len(pending) == 1 and not _has_lists(pending):
                    raise
                self._one_by_one(pending, before)
        except YamlPatchError:
            self._body = before
            self._read(None)
            raise

    def _one_by_one(self, pending: list[_Operation], before: str) -> None:
        """Carry the edits out each on its own: what one removes may be in the way of another."""
        self._body = before
        self._read(None)
        for operation in pending:
            try:
                self._carry_out([operation])
            except YamlPatchError:
                if not _has_lists([operation]):
                    raise
                self._read(None)
                self._carry_out([operation], lists_in_place=False)

    def _carry_out(self, operations: list[_Operation], lists_in_place: bool = True) -> None:
        editor = self._current
        self._drafts = {}
        for name, document, arguments in operations:
            getattr(self._draft(document), name)(*arguments)
        editor.lists_in_place = lists_in_place
        drafts, self._drafts = self._drafts, {}
        editor.plan([drafts[number] for number in sorted(drafts)])
        if not editor.splices:
            return
        stream = editor.stream
        body = spliced(self._body, editor.splices)
        try:
            result = reread.edited(stream, body, editor.splices, self._rules)
        except YamlPatchError as error:
            raise _unproven(stream, editor.regions[0].start) from error
        _verify(stream, result, editor.regions)
        if self._rules.version == "1.2" and _has_comment_above_bracket(body):
            try:
                Stream(body, rules=self._rules)  # npm yaml may not read what was the comment of a deleted entry
            except YamlPatchError as error:
                raise _unproven(stream, editor.regions[0].start) from error
        self._ends_in_new_block = self._ends_in_another_block(stream, result)
        self._body = body
        self._read(None)

    def _ends_in_another_block(self, old: Stream, new: Stream) -> bool:
        """Whether the text ends in a block scalar now, and not in the one that it ended in before."""
        before, after = _last_scalar(old), _last_scalar(new)
        if before == after:
            return False
        if self._rules.version == "1.1" and self._unterminated and before[0] in ("|", ">") and before[1].endswith("\n"):
            raise YamlPatchError(
                "the file ends in a block scalar without a line break, which its value lacks in YAML 1.1; add one first"
            )
        return after[0] in ("|", ">")

    def _queue(self, name: str, document: int, *arguments: Any) -> Any:
        done = getattr(self._draft(document), name)(*arguments)
        if done is not False:
            self._pending.append((name, document, arguments))
        return done

    def _draft(self, document: int) -> Drafting:
        if document not in self._drafts:
            self._drafts[document] = Drafting(self._current, document, self._through_aliases)
        return self._drafts[document]

    def __len__(self) -> int:
        """The number of documents."""
        return len(self._current.stream.documents)

    @property
    def tree(self) -> Any:
        """The first document as plain Python values, None where it is empty.

        Raises:
            YamlPatchError: it holds what no configuration holds: keys that are collections, `!!binary` and the like.
        """
        self._flush()
        stream = self._current.stream
        return stream.plain(0) if stream.values else None

    @property
    def trees(self) -> list[Any]:
        """All documents as plain Python values."""
        self._flush()
        stream = self._current.stream
        return [stream.plain(node) for node in stream.documents]

    def check(self) -> None:
        """Look for what no configuration holds, without building the tree.

        Raises:
            YamlPatchError: as for `tree`.
        """
        self._flush()
        if self._current.stream.is_unusual:
            _unused = self.tree

    def value(self, path: Path, document: int = 0) -> Any:
        """The plain value at a path with all edits so far, MISSING where there is none; nothing is carried out.

        Raises:
            YamlPatchError: as for `find`.
        """
        return self._draft(document).get(_checked_path(path, root=True))

    def kind(self, path: Path, document: int = 0) -> str | None:
        """Whether a mapping, a sequence or a scalar stands at a path, with all edits so far; None for null and nothing.

        Raises:
            YamlPatchError: as for `find`.
        """
        return self._draft(document).kind(_checked_path(path, root=True))

    def find(self, path: Path, document: int = 0) -> Node | None:
        """Look a path up.

        Args:
            path: keys (str) and indexes of sequences (int, from 0); () is the document.

        Returns:
            The node, or None where there is none.

        Raises:
            YamlPatchError: the way leads through an alias, or a scalar or the wrong kind of collection.
        """
        self._flush()
        editor, path = self._current, _checked_path(path, root=True)
        stream = editor.stream
        if not stream.values:
            return None
        node, _depth, _way = editor.find(path, document)
        if node is None:
            return None
        return Node(editor, node)

    def set(self, path: Path, value: Any, document: int = 0) -> None:
        """Make what stands at a path equal to a value; parents that are missing are made.

        A path may lead to the item behind the last one of a sequence, which is added. A dict that is set on a mapping
        touches the keys that differ and removes those that are not in it; a list that is set on a sequence touches
        the items that differ.

        Args:
            path: as for `find`, not empty.
            value: dict (keys are str), list, str, int, float, bool or None.
            document: its number, from 0.

        Raises:
            YamlPatchError: the value cannot be written, or the way leads through an alias, a scalar or the wrong kind
                of collection. Nothing is changed then.
        """
        self._queue("set", document, _checked_path(path), checked(value))

    def insert(self, path: Path, index: int | None, value: Any, document: int = 0) -> None:
        """Insert an item into the sequence at a path, which is made where it is missing.

        Args:
            path: as for `find`.
            index: of the item that it comes before; None for the end.
            value: as for `set`.

        Raises:
            YamlPatchError: as for `set`.
        """
        self._queue("insert", document, _checked_path(path, root=True), index, checked(value))

    def delete(self, path: Path, document: int = 0) -> bool:
        """Take away what stands at a path.

        Args:
            path: as for `find`, not empty.

        Returns:
            Whether there was anything.

        Raises:
            YamlPatchError: as for `set`.
        """
        return bool(self._queue("delete", document, _checked_path(path)))

    @property
    def text(self) -> str:
        """The result; the very input where nothing changed.

        Raises:
            YamlPatchError: the result would not read as wanted, or an alias repeats what would change.
        """
        self._flush()
        body = self._body
        if self._unterminated:
            bare = body[: -2 if body.endswith("\r\n") else -1]
            # Behind a blank line the break may count, in a block scalar that keeps them; to YAML 1.1 it does in any.
            needed = bare.endswith("\n") or (self._rules.version == "1.1" and self._ends_in_new_block)
            body = body if needed else bare
        if self._bom:
            check_mark(self._bom + body, self._rules)
        return self._bom + body

    @property
    def data(self) -> bytes:
        """The result in UTF-8."""
        return self.text.encode()

    @property
    def changed(self) -> bool:
        """Whether the result differs from the input."""
        return self.text != self._original


def _has_comment_above_bracket(text: str) -> bool:
    """Whether a comment that begins its line stands above a closing bracket."""
    return any(found[1] and _AT_MARGIN.search(found[0]) for found in _COMMENTS.finditer(text))


def _last_scalar(stream: Stream) -> tuple[str, Any]:
    """Style and text of the last scalar of a text."""
    node = next((node for node in reversed(range(len(stream.values))) if isinstance(stream.values[node], str)), None)
    return ("", None) if node is None else (stream.style(node), stream.values[node])


def _has_lists(operations: list[_Operation]) -> bool:
    """Whether any of them sets a list, somewhere in its value."""

    def holds(value: Any) -> bool:
        return isinstance(value, list) or (isinstance(value, dict) and any(map(holds, value.values())))

    return any(holds(arguments[-1]) for _name, _document, arguments in operations)


_STYLE_NAMES = {
    "": "plain",
    "'": "single",
    '"': "double",
    "|": "literal",
    ">": "folded",
    "-": "block",
    "[": "flow",
}


def _checked_path(path: Path, root: bool = False) -> Path:
    steps = tuple(path)
    if not steps and not root:
        raise YamlPatchError("the path is empty; name a key")
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, (str, int)) or (isinstance(step, int) and step < 0):
            raise YamlPatchError(f"{step!r} in the path is neither a key nor an index from 0")
    return steps
