# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of an edited text, for which only the entries of the document that were touched are parsed again.

Private to this collection: its interface may change in any release.

An entry of a block mapping at the start of the document begins at column 0. There the parser has closed all that came
before, whatever it was, and nothing that follows can reach back. So the events of a text that is put together from
whole entries are those of the entries, as long as each begins with its key: anchors, tags, tabs, several documents and
all else that could carry over are left to a parse of the whole.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import MAPPING, Rules, Stream
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.splices import Splice

_CARRIES_OVER = re.compile("[\t\x85\u2028\u2029\ufeff]")
_BEGINS_WITH_KEY = re.compile(r"(?!(?:---|\.\.\.)(?:\s|\Z))(?:[^\s#%-]|-\S)")


class _Segment(NamedTuple):
    """Entries [first, last) of the root mapping, and by how many characters their text grows."""

    first: int
    last: int
    growth: int


def edited(old: Stream, body: str, splices: Sequence[Splice], rules: Rules) -> Stream:
    """The events of `body`, which is the old text with the splices carried out; good for comparing only.

    Raises:
        YamlPatchError: it is not YAML.
    """
    parts = _parts(old, body, splices, rules)
    if parts is None:
        return Stream(body, for_edits=False, rules=rules)
    return _joined(body, rules, old, parts)


def _parts(old: Stream, body: str, splices: Sequence[Splice], rules: Rules) -> list[tuple[int, int, Stream]] | None:
    """Ranges of old nodes, each with the events that replace them; None where the whole has to be parsed."""
    is_plain = old.documents == [0] and old.values[0] is MAPPING and old.styles[0] == "-"
    if not is_plain or old.aliases or old.anchors or old.is_unusual or _CARRIES_OVER.search(old.text):
        return None
    keys = [key for key, _value in old.entries(0)]
    starts = [old.starts[key] for key in keys]
    segments = _segments(starts, splices)
    if segments is None:
        return None
    parts = []
    at = at_body = 0
    for segment in segments:
        start, end = starts[segment.first], starts[segment.last] if segment.last < len(starts) else len(old.text)
        if old.text[start - 1 : start] not in ("", "\n") or old.text[end - 1 : end] != "\n":
            return None
        begin = at_body + start - at
        if body[at_body:begin] != old.text[at:start]:
            return None
        at, at_body = end, begin + end - start + segment.growth
        part = _parsed(body[begin:at_body], rules, is_last=segment.last == len(keys))
        if part is None:
            return None
        parts.append((keys[segment.first], keys[segment.last] if segment.last < len(keys) else old.after[0] - 1, part))
    return parts if body[at_body:] == old.text[at:] else None


def _segments(starts: list[int], splices: Sequence[Splice]) -> list[_Segment] | None:
    """The entries that the splices touch; what is inserted in front of an entry belongs to the one above."""
    segments: list[_Segment] = []
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end)):
        first = bisect.bisect_left(starts, splice.start) - 1
        last = bisect.bisect_left(starts, splice.end)
        growth = len(splice.text) - (splice.end - splice.start)
        if first < 0:
            return None
        if segments and first < segments[-1].last:
            before = segments.pop()
            first, last, growth = before.first, max(before.last, last), before.growth + growth
        segments.append(_Segment(first, last, growth))
    return segments


def _parsed(text: str, rules: Rules, is_last: bool) -> Stream | None:
    """The events of whole entries; None where they are not certain to be the same within the document."""
    if not _BEGINS_WITH_KEY.match(text) or _CARRIES_OVER.search(text):
        return None
    try:
        part = Stream(text, for_edits=False, rules=rules)
    except YamlPatchError:
        return None  # a parse of the whole finds the reason
    is_plain = part.documents == [0] and part.values[0] is MAPPING and part.styles[0] == "-"
    if not is_plain or part.aliases or part.anchors or part.is_unusual:
        return None
    return part if is_last or part.document_ends == [len(text)] else None


def _joined(text: str, rules: Rules, old: Stream, parts: Sequence[tuple[int, int, Stream]]) -> Stream:
    """A stream for comparing: that of an old text with other entries for ranges of nodes of its root mapping."""
    new = Stream("", rules=rules)
    new.text = text
    new.documents, new.document_ends = [0], [len(text)]
    bounds, shifts = [0], [0]
    at = 0
    for start, end, part in parts:
        offset = len(new.values) + start - at - 1  # of a node within the part; its own root is not taken
        new.values += old.values[at:start]
        new.values += part.values[1:-1]
        new.styles += old.styles[at:start]
        new.styles += part.styles[1:-1]
        new.after.update((node + offset, after + offset) for node, after in part.after.items() if node)
        bounds += [start, end]
        shifts += [0, len(new.values) - end]
        at = end
    new.values += old.values[at:]
    new.styles += old.styles[at:]
    inside = bisect.bisect_right
    for node, after in old.after.items():
        number = inside(bounds, node) - 1
        if not number % 2:  # it is not in one of the ranges
            new.after[node + shifts[number]] = after + shifts[number]
    new.after[0] = len(new.values)
    return new
