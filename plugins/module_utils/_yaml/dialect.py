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
_BLANKS_AND_COMMENT = re.compile(r"(?:\n *\r?)*\n( *)(?=#)")
_SIGNS = frozenset("#&!")
_COMMENT_LINES = re.compile(r"\n(?:[ \t]*(?:#[^\n]*)?\r?\n)+")
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#.*")
_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]*)+")
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
    for found in _COMMENT_LINES.finditer(text):
        if "#" in found.group() and _may_await_value(text, found.start()):
            _check_comments_before(stream, found.start(), found.end())
    _check_indents(stream)
    if "\t" in text:
        _check_tabs(stream)


def _check_header(stream: Stream, index: int) -> None:
    """Refuse a block scalar whose header stands no deeper than its key, or that begins with blanks and a comment."""
    text = stream.text
    node = bisect.bisect_right(stream.starts, index) - 1
    if node < 0 or stream.style(node) not in ("|", ">"):
        return
    indent = text[text.rfind("\n", 0, index) + 1 : index]
    if stream.starts[node] == index and not indent.strip(" "):
        parent = _parent(stream, node)
        if parent is not None and len(indent) <= _column(stream, parent):
            raise stream.error("a block scalar that is not indented deeper than its key; indent it", node)
    value = stream.values[node]
    if " " in value and not value.strip(" \n"):  # to npm yaml it is empty
        raise stream.error("a block scalar that holds only blanks; write it in quotes", node)
    # libyaml ends the scalar where a line is indented less than the blank lines above it, npm yaml refuses that.
    found = _BLANKS_AND_COMMENT.match(text, text.index("\n", index)) if not value.strip("\n") else None
    if found:
        parent = _parent(stream, node)
        if len(found.group(1)) > (-1 if parent is None else _column(stream, parent)):
            raise stream.error_at(
                "a comment below blank lines that are indented deeper; remove the blanks", found.end()
            )


def _may_await_value(text: str, index: int) -> bool:
    """Whether a line that ends at a place may end in an indicator, anchor or tag; fast."""
    line = text[text.rfind("\n", 0, index) + 1 : index].rstrip()
    return line[-1:] in (":", "-", "?") or not _SIGNS.isdisjoint(line)


def _check_comments_before(stream: Stream, start: int, end: int) -> None:
    """Refuse comments between a key and its value if npm yaml takes what is below the value for a part of it.

    A line that begins with two characters that are not blank, `#a` for instance, sets its own indentation for the value
    that follows, even where it is a comment.
    """
    text = stream.text
    node = bisect.bisect_left(stream.starts, end)
    if _has_properties_alone(stream, node - 1, start):
        node -= 1
    elif node >= len(stream.starts) or not isinstance(stream.values[node], str) or not _is_awaited(stream, node, start):
        return
    style = stream.style(node)
    if style not in ("", "|", ">") or (style and stream.values[node].strip("\n")):
        return
    if _parent(stream, node) is None:
        return  # the whole document, which needs no indentation
    column = min(_own_indents(text, start + 1, end), default=-1)
    below = _content_below(text, stream.starts[node] if style else stream.ends[node], comments=bool(style))
    if 0 <= column <= below:
        raise stream.error(
            "comments between a key and its value, with which the next line belongs to it; put them above the key",
            node,
        )


def _has_properties_alone(stream: Stream, node: int, index: int) -> bool:
    """Whether a node begins before a place, with no more than its anchor and tag."""
    if node < 0 or not isinstance(stream.values[node], str) or not stream.starts[node] < index < stream.ends[node]:
        return False
    first = stream.text[stream.starts[node] : index].partition("\n")[0]
    return _PROPERTIES.fullmatch(_COMMENT.sub("", first).rstrip()) is not None


def _is_awaited(stream: Stream, node: int, index: int) -> bool:
    """Whether an indicator is the last thing before a place, so that the node behind it is its value."""
    before = node - 1
    if before < 0:
        return False
    start = stream.starts[before] if stream.style(before) == "-" else stream.ends[before]
    line = _COMMENT.sub("", stream.text[start:index].rpartition("\n")[2]).rstrip()
    return line[-1:] in (":", "-", "?") and line != ""


def _own_indents(text: str, start: int, end: int) -> Iterator[int]:
    """The indentations that npm yaml notes for lines before a value."""
    at = start
    while at < end:
        indent = len(text[at:end]) - len(text[at:end].lstrip(" "))
        if text[at + indent + 1 : at + indent + 2].strip():
            yield indent
        at = text.index("\n", at) + 1


def _content_below(text: str, index: int, comments: bool) -> int:
    """The indentation of the next line, -1 if there is none or it is a marker or, unless these count, a comment."""
    at = text.find("\n", index) + 1
    while at and at < len(text):
        end = text.index("\n", at)
        line = text[at:end]
        if line.strip():
            is_comment = line.lstrip(" \t").startswith("#") and not comments
            return -1 if is_comment or line.startswith(("---", "...")) else len(line) - len(line.lstrip(" "))
        at = end + 1
    return -1


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
            if text[at] == "#" and not found.group(1):
                _check_comment_in_flow(stream, at)
            if len(found.group(1)) >= least or _may_stand_there(stream, node, at, len(found.group(1)) == least - 1):
                continue
            what = "quoted string" if isinstance(stream.values[node], str) else "flow collection"
            raise stream.error_at(
                f"this line of a {what} is not indented deeper than what it belongs to; indent it by {least} or more",
                at,
            )


def _check_comment_in_flow(stream: Stream, at: int) -> None:
    """Refuse a comment at the start of the line below the last entry of a flow mapping."""
    text = stream.text
    node = bisect.bisect_right(stream.starts, at) - 1
    if node in stream.after or (isinstance(stream.values[node], str) and at < stream.ends[node]):
        return  # behind the bracket, or in a quoted string
    behind = _COMMENT.sub("", text[stream.ends[node] : at].rstrip("\r\n"))
    if behind.strip(" \t") or text.count("\n", stream.ends[node], at) > 1:
        return
    if stream.ends_collection(node) and stream.starts[node] == stream.ends[node]:
        node -= 1  # the end of the `a: 1` of `[a: 1]`
    if stream.ends_collection(node):
        node = next(outer for outer, after in stream.after.items() if after == node + 1)
    parent = _parent(stream, node)
    if stream.values[node] == "" or parent is None:
        return
    if any(key != value == node for key, value in stream.entries(parent)):
        raise stream.error_at("a comment directly below an entry in braces; indent it", at)


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
    return next((outer for outer in range(node - 1, -1, -1) if stream.after.get(outer, 0) > node), None)


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
        if _scalar_at(stream, text.index("\t", at)) is not None:
            continue
        if text[behind : behind + 1] in ("", "\n", "\r", "#"):
            _check_blank_line(stream, at, behind)
            continue
        flow = bisect.bisect_right(begins, at) - 1
        if flow >= 0 and at < flows[flow][1]:
            continue
        line = text.rfind("\n", 0, at) + 1
        leads = at == line
        if (leads or _is_indicator(text, line, at)) and not _is_value(stream, behind, text[at:behind], leads):
            raise stream.error_at("a tab stands here for indentation; write spaces", at)


def _check_blank_line(stream: Stream, at: int, behind: int) -> None:
    """Refuse two places where npm yaml takes a tab for something that nothing but a comment or line break follows."""
    text = stream.text
    line = text.rfind("\n", 0, at) + 1
    node = bisect.bisect_right(stream.starts, at) - 1
    if node < 0 or at != line:
        return
    if stream.style(node) in ("|", ">") and not text[stream.ends[node] : at].strip():
        raise stream.error_at("a tab below a block scalar, which is not indented as deep; remove it", at)
    if text[behind : behind + 1] != "#" and _is_above_next_key(stream, node, at, behind):
        raise stream.error_at("a tab in this blank line below a key without a value; remove it", at)


def _is_above_next_key(stream: Stream, node: int, at: int, behind: int) -> bool:
    """Whether npm yaml takes a blank line for the indentation of the key below it: it does, below an empty value.

    Only the first blank line counts, below the key itself or below a comment that is indented deeper.
    """
    text, start = stream.text, stream.ends[node]
    mapping = _parent(stream, node) if stream.values[node] == "" and not stream.style(node) else None
    if mapping is None or stream.style(mapping) != "-" or node + 2 >= stream.next(mapping):
        return False
    if not any(key != value == node for key, value in stream.entries(mapping)):
        return False
    column, blanks = _column(stream, mapping), text[at:behind]
    if len(blanks) - len(blanks.lstrip(" ")) > column:
        return False
    above = text[text.rfind("\n", 0, at - 1) + 1 : at]
    key = stream.starts[node + 1]
    if any(_is_deeper_comment(line, column) for line in text[behind:key].split("\n")):
        return False
    return _is_deeper_comment(above, column) or "\n" not in text[start : at - 1]


def _is_deeper_comment(line: str, column: int) -> bool:
    return len(line) - len(line.lstrip(" ")) > column and line.lstrip(" \t").startswith("#")


def check_last_line(stream: Stream) -> None:
    """Refuse what may not stand in a last line without a line break: a tab below an empty value, some blanks."""
    text = stream.text
    line = text.rfind("\n", 0, len(text.rstrip("\r\n"))) + 1
    blanks = text[line:].rstrip("\r\n")
    if not blanks or blanks.strip():
        return
    node = next(node for node in reversed(range(len(stream.values))) if not stream.ends_collection(node))
    if stream.style(node) in ("|", ">") and "+" in text[stream.starts[node] :].partition("\n")[0].partition("#")[0]:
        raise stream.error_at("blanks in the last line, below a block scalar that keeps blank lines; remove them", line)
    if "\t" not in blanks:
        return
    parent = _parent(stream, node)
    is_empty = stream.values[node] == "" and not stream.style(node)
    if not is_empty or parent is None or stream.style(parent) != "-":
        return
    if len(blanks) - len(blanks.lstrip(" ")) <= _column(stream, parent):
        raise stream.error_at("a tab in the last line, below a key without a value; remove it", line)


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
