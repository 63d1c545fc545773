# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where PyYAML and the npm package yaml 2.9 differ about what YAML is: the text is read as npm yaml reads it.

Private to this collection: its interface may change in any release.

What libyaml takes and npm yaml refuses is refused: quoted strings and flow collections whose lines are not indented
deeper than their key, a `#` without a blank before it, and more. What npm yaml takes and PyYAML refuses, tabs above
all, is hidden from PyYAML: a space stands in for a tab, so that every place in the text stays what it is.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import Stream

_KEY_SIGN = re.compile(r"\?(?!\s)")
_VALUE_SIGN = re.compile(r":(?!\s)(?<![\"'\]}]:)")  # `{"a":1}` is for both the same
_ESCAPED_BREAK_AND_BLANK = re.compile(r"\\\r?\n[ \t]*\r?\n")
_GLUED_COMMENT = re.compile(r"#(?<=[\"'\]}\[{,|>+0-9-]#)")  # the sign first, for then it is searched for fast
_HEADER_ALONE = re.compile(r"[|>](?=[-+0-9]*[ \t]*(?:#.*)?\r?$)", re.MULTILINE)
_BREAK = re.compile(r"\n( *)")
_BYTE_ORDER_MARK = re.compile("^\ufeff", re.MULTILINE)
_HEADER_AND_TAB = re.compile(r"([|>][-+0-9]*[ \t]*(?:#[^\n]*)?\r?\n(?: *\r?\n)*)( +)\t")
_BLANKS_WITH_TAB = re.compile(r"[ \t]*\t[ \t]*")
_BEGINS_ENTRY = re.compile(r"[-?](?:\s|\Z)")


def check(stream: Stream) -> None:
    """Refuse what libyaml takes, but npm yaml refuses or reads otherwise."""
    text = stream.text
    for node in stream.documents:
        if stream.style(node) in ("|", ">"):
            raise stream.error("the document is a block scalar, not a mapping", node)
    for found in chain(_KEY_SIGN.finditer(text), _VALUE_SIGN.finditer(text)):
        node = bisect.bisect_left(stream.starts, found.end())
        if node < len(stream.starts) and stream.starts[node] == found.end():
            message = f"no space behind this `{found.group()}`; put one there, or quote the text"
            raise stream.error_at(message, found.start())
    for found in _ESCAPED_BREAK_AND_BLANK.finditer(text):
        node = bisect.bisect_right(stream.starts, found.start()) - 1
        if stream.style(node) == '"' and found.start() < stream.ends[node]:
            raise stream.error_at("a blank line behind an escaped line break; remove one of them", found.start())
    for found in _GLUED_COMMENT.finditer(text):
        if _is_comment(stream, found.start()):
            raise stream.error_at("no space before this `#`; put one there, or quote the text", found.start())
    if "\ufeff" in text:
        mark = _BYTE_ORDER_MARK.search(text)
        if mark:
            raise stream.error_at("a byte order mark (U+FEFF) stands inside the file; remove it", mark.start())
    for found in _HEADER_ALONE.finditer(text):
        _check_header(stream, found.start())
    _check_indents(stream)
    if "\t" in text:
        _check_tabs(stream)


def _check_header(stream: Stream, index: int) -> None:
    """Refuse a block scalar whose header stands below its key and no deeper."""
    indent = stream.text[stream.text.rfind("\n", 0, index) + 1 : index]
    if indent.strip(" "):
        return
    node = bisect.bisect_left(stream.starts, index)
    if stream.starts[node : node + 1] == [index] and stream.style(node) in ("|", ">"):
        parent = _parent(stream, node)
        if parent is not None and len(indent) <= _column(stream, parent):
            raise stream.error("a block scalar that is not indented deeper than its key; indent it", node)


def _is_comment(stream: Stream, index: int) -> bool:
    """Whether a `#` that no blank stands before begins a comment."""
    node = bisect.bisect_right(stream.starts, index) - 1
    if node >= 0 and isinstance(stream.values[node], str) and index < stream.ends[node]:
        is_block = stream.style(node) in ("|", ">")
        return is_block and "\n" not in stream.text[stream.starts[node] : index]  # in the header
    before = bisect.bisect_right(stream.ends, index) - 1
    start = stream.ends[before] if before >= 0 else 0
    line = stream.text.rfind("\n", 0, index) + 1
    return "#" not in stream.text[max(start, line) : index]


def _check_indents(stream: Stream) -> None:
    """Refuse a line of a quoted string or flow collection that is not deeper than the key or dash it belongs to."""
    text = stream.text
    if not _spans(stream):
        return
    for node, least in _with_indents(stream):
        start, end = stream.starts[node], _end(stream, node)
        if not _goes_on(stream, node):
            continue
        for found in _BREAK.finditer(text, start, end):
            at = found.end()
            if at >= end and isinstance(stream.values[node], str):
                break
            if len(found.group(1)) >= least or _may_stand_there(stream, node, at, len(found.group(1)) == least - 1):
                continue
            what = "quoted string" if isinstance(stream.values[node], str) else "flow collection"
            raise stream.error_at(
                f"this line of a {what} is not indented deeper than what it belongs to; indent it by {least} or more",
                at,
            )


def _may_stand_there(stream: Stream, node: int, at: int, nearly: bool) -> bool:
    """Whether a line may be indented less: a blank one, a comment or the last bracket of a flow collection."""
    text = stream.text
    if text[at] == "\n" or text[at : at + 2] == "\r\n":
        return True
    if isinstance(stream.values[node], str):
        return False
    if _inside_quotes(stream, node, at):
        return True  # looked at with the string itself
    behind = re.compile(r"[ \t]*").match(text, at)
    first = behind.end() if behind else at
    if text[first] in "\n#" or text[first : first + 2] == "\r\n":
        return True
    return nearly and first == _end(stream, node) - 1


def _inside_quotes(stream: Stream, collection: int, index: int) -> bool:
    node = bisect.bisect_left(stream.starts, index) - 1
    return (
        node > collection
        and isinstance(stream.values[node], str)
        and stream.style(node) in ("'", '"')
        and index < stream.ends[node]
    )


def _end(stream: Stream, node: int) -> int:
    return stream.ends[stream.next(node) - 1]


def _goes_on(stream: Stream, node: int) -> bool:
    return stream.text.find("\n", stream.starts[node], _end(stream, node)) >= 0


def _spans(stream: Stream) -> bool:
    """Whether any quoted string or flow collection goes over several lines."""
    # No node of a large file is looked at twice: this runs for all of them.
    signs, find = ("'", '"', "["), stream.text.find
    some = [
        node for node, style in enumerate(stream.styles) if style and (style in signs or style.__class__ is not str)
    ]
    starts, ends, after = stream.starts, stream.ends, stream.after
    return any(find("\n", starts[node], ends[after[node] - 1 if node in after else node]) >= 0 for node in some)


def _with_indents(stream: Stream) -> Iterator[tuple[int, int]]:
    """Quoted strings and the outermost flow collections, each with the least indent of its lines."""
    columns: list[tuple[int, int, bool]] = []  # of the collections around: the node behind, the least indent, flow
    for node, style in enumerate(stream.styles):
        while columns and columns[-1][0] <= node:
            columns.pop()
        sign = style if isinstance(style, str) else style.style
        least, in_flow = columns[-1][1:] if columns else (0, False)
        if sign in ("'", '"') or (sign == "[" and not in_flow):
            yield node, least
        if sign == "-":
            columns.append((stream.next(node), _column(stream, node) + 1, False))
        elif sign == "[":
            columns.append((stream.next(node), least, True))


def _parent(stream: Stream, node: int) -> int | None:
    """The collection that a node is in; slow."""
    return max((outer for outer in stream.after if outer < node < stream.after[outer]), default=None)


def _column(stream: Stream, collection: int) -> int:
    """The column of the entries of a block collection; an anchor or tag before a key counts as the key."""
    text = stream.text
    at = stream.ends[collection]
    if text[at] != "-" and text[at - 1 : at] == "-":
        at -= 1  # a sequence at its key's column: the event covers the dash
    line = text.rfind("\n", 0, at) + 1
    return at - line


# -- tabs that PyYAML does not take -----------------------------------------------------------------------------------


def without_tabs(source: str, sign: str) -> str:
    """The text with spaces for all tabs, and `sign` for the one that a literal begins with."""
    return _HEADER_AND_TAB.sub(lambda match: f"{match[1]}{match[2]}{sign}", source).replace("\t", " ")


def with_tabs_of_scalars(stream: Stream, hidden: str, source: str, sign: str) -> str:
    """The hidden text with the tabs of the source inside of scalars, `sign` for those that begin a literal's line."""
    chars = list(hidden)
    for found in re.finditer("\t", source):
        at = found.start()
        node = _scalar_at(stream, at)
        if node is None:
            chars[at] = " "
            continue
        line = source.rfind("\n", 0, at) + 1
        leads = (
            stream.style(node) == "|" and not source[line:at].strip(" ") and "\n" in source[stream.starts[node] : at]
        )
        chars[at] = sign if leads else "\t"
    return "".join(chars)


def _scalar_at(stream: Stream, index: int) -> int | None:
    node = bisect.bisect_right(stream.starts, index) - 1
    if node >= 0 and isinstance(stream.values[node], str) and index < stream.ends[node]:
        return node
    return None


def _check_tabs(stream: Stream) -> None:
    """Refuse the tabs that npm yaml takes for indentation."""
    text = stream.text
    outermost = [node for node, _least in _with_indents(stream) if stream.style(node) == "["]
    flows = [(stream.starts[node], _end(stream, node)) for node in outermost]
    begins = [start for start, _end_ in flows]
    for found in _BLANKS_WITH_TAB.finditer(text):
        at, behind = found.span()
        in_scalar = _scalar_at(stream, text.index("\t", at)) is not None
        if in_scalar or text[behind : behind + 1] in ("", "\n", "\r", "#"):
            continue
        flow = bisect.bisect_right(begins, at) - 1
        if flow >= 0 and at < flows[flow][1]:
            continue
        line = text.rfind("\n", 0, at) + 1
        leads = at == line
        if (leads or _is_indicator(text, line, at)) and not _is_value(stream, behind, text[at:behind], leads):
            raise stream.error_at("a tab stands here for indentation; write spaces", at)


def _is_indicator(text: str, line: int, at: int) -> bool:
    """Whether a dash or question mark stands before a place, with nothing else before that on the line."""
    return at > line and re.fullmatch(r"[ ?-]*[?-]", text[line:at]) is not None


def _is_value(stream: Stream, index: int, blanks: str, leads: bool) -> bool:
    """Whether a scalar or flow collection begins here, no entry of a block collection."""
    node = bisect.bisect_left(stream.starts, index)
    if node >= len(stream.starts) or stream.starts[node] != index or _BEGINS_ENTRY.match(stream.text, index):
        return False
    if stream.style(node) == "-":
        return False
    parent = _parent(stream, node)
    if parent is None:
        return not leads
    if any(key == node for key, value in stream.entries(parent) if key != value):
        return False
    return not leads or len(blanks) - len(blanks.lstrip(" ")) > _column(stream, parent)
