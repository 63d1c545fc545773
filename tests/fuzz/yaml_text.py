# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML text out of random bytes, with what it means: styles, comments, blank lines, line ends and indents included.

The text is not dumped from data: text and meaning are made side by side, so that the meaning is no parser's opinion.
Bytes are the source of chance, so that hypothesis can shrink them and a coverage-guided fuzzer can breed them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Path = tuple  # of keys (str) and indexes (int)

COMMENTS = ("# c", "#", "#- x", "# a: 1", "# é 😀", "# ' \" [", "#\tt")
# Text and meaning, per place; what is allowed in flow collections is allowed everywhere.
PLAIN_FLOW: tuple[tuple[str, Any], ...] = (
    ("x", "x"), ("word", "word"), ("two words", "two words"), ("1", 1), ("-12", -12), ("true", True), ("null", None),
    ("~", None), ("1.5", 1.5), ("0o17", 15), ("0777", 777), ("0x1F", 31), ("yes", "yes"), ("on", "on"), ("1e3", 1000),
    ("2001-01-01", "2001-01-01"), ("12:30:45", "12:30:45"), ("1_000", "1_000"), (".inf", math.inf), ("a#b", "a#b"),
    ("http://h/p?q=1", "http://h/p?q=1"), ("x:y", "x:y"), ("-x", "-x"), ("é", "é"), ("😀 z", "😀 z"), ("<<", "<<"),
    ("a\u2028b", "a\u2028b"), ("it's", "it's"), ('say "a"', 'say "a"'), ("=", "="),
)  # fmt: skip
PLAIN_BLOCK = (*PLAIN_FLOW, ("${X}", "${X}"), ("a, b", "a, b"), ("x]", "x]"), ("--", "--"), ("a {b}", "a {b}"))
QUOTED = (
    ("''", ""), ("'a'", "a"), ("'it''s'", "it's"), ("' a '", " a "), ("'a: b # c'", "a: b # c"), ("'1'", "1"),
    ('""', ""), ('"a"', "a"), ('"\\"q\\" \\\\"', '"q" \\'), ('"\\u263A\\t\\n"', "\u263a\t\n"), ('"😀"', "😀"),
    ('"true"', "true"), ('"#"', "#"), ("'{a}'", "{a}"), ('"\\N\\x85"', "\x85\x85"),
)  # fmt: skip
TAGGED = (
    ("!!str 12", "12"),
    ("!!int '3'", 3),
    ("!!null ", None),
    ("!local x", "x"),
    ("!!float 1.5", 1.5),
    ("! 12", "12"),
)
KEYS = (
    ("a", "a"), ("b", "b"), ("c", "c"), ("key", "key"), ("'q k'", "q k"), ('"d\\tq"', "d\tq"), ("é", "é"), ("😀", "😀"),
    ("1", "1"), ("null", ""), ("true", "true"), ("x y", "x y"), ("<<", "<<"), ("a:b", "a:b"), ("on", "on"),
    ("'#'", "#"), ("0x10", "16"), ("-k", "-k"),
)  # fmt: skip
STRINGS = (
    "x", "", " ", "a b", " lead", "trail ", "12345", "0777", "0o17", "1e3", "true", "yes", "null", "~", "2001-01-01",
    "12:30:45", "${X}", "$${X}", "it's", 'say "a"', "back\\slash", "a # b", "#", "a: b", "a:", "- a", "-", "?", "[a]",
    "{a}", "a, b", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "密码", "😀 z", "👩\u200d💻", "a\nb", "a\nb\n", "\n",
    "a\n\nb\n",
    "\ta", "a\tb", "a\x85b", "a\u2028b", "a\xa0b", "\ufeff", "a\x00b", "\x7f", "<<", "=", "1_000", ".inf", "...", "---",
    "a" * 4096, "'", '"', "'\"\\", " a\n b", "a \nb", "1.0", "0x1F", "null\n", "y", "1:1", "127.0.0.1", "a\r\nb",
)  # fmt: skip


class Choices:
    """Decisions read off bytes; after the last byte every decision is the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def pick(self, count: int) -> int:
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1] % count

    def one(self, things: Sequence[T]) -> T:
        return things[self.pick(len(things))]

    def chance(self, of: int) -> bool:
        """True once in `of` times."""
        return self.pick(of) == of - 1


@dataclass
class Entry:
    """Where an entry of a collection stands: offsets of its first character and behind its last, and its column."""

    start: int
    end: int
    column: int
    flow: bool
    compact: bool  # it begins on the line of the dash that holds its collection


@dataclass
class Sample:
    """A document: its text, what it means, and where each path stands."""

    text: str
    value: Any
    entries: dict[Path, Entry]
    empty: set[Path] = field(default_factory=set)  # collections written as {} or []
    shared: set[Path] = field(default_factory=set)  # paths below which anchors or aliases are
    pairs: set[Path] = field(default_factory=set)  # the `k: v` of `[k: v]`


class Builder:
    """Writes one document."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.parts: list[str] = []
        self.length = 0
        self.entries: dict[Path, Entry] = {}
        self.empty: set[Path] = set()
        self.shared: set[Path] = set()
        self.pairs: set[Path] = set()
        self.anchors: list[tuple[str, Any]] = []
        self.names = 0
        self.tabs = False  # libyaml takes a tab behind the colon of a plain key, not behind a dash
        self.last = 0  # behind the last character of the latest value
        self.block_scalar: tuple[int, bool] | None = None  # the scalar above: its column, and whether it keeps breaks
        self.step = choices.one((2, 2, 4, 1, 3))
        self.sequence_step = choices.one((0, 2, self.step))

    def write(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def sample(self) -> Sample:
        pick = self.choices
        head = pick.one(("", "", "", "---\n", "--- # c\n", "%YAML 1.2\n---\n", "# top\n\n"))
        self.write(head)
        self.filler(0)
        kind = pick.one(("mapping",) * 9 + ("sequence", "sequence", "flow", "nothing"))
        value: Any = None
        if kind == "mapping":
            value = self.mapping(0, (), 0)
        elif kind == "sequence":
            value = self.sequence(0, (), 0)
        elif kind == "flow":
            value = self.flow((), -1, 0)
            self.end_line()
        self.filler(0)
        if pick.chance(6) and (kind != "nothing" or head.endswith("---\n")):
            self.write("...\n")
            self.block_scalar = None
            self.filler(0)
        text = "".join(self.parts)
        keeps = self.block_scalar is not None and self.block_scalar[1]
        if pick.chance(4) and text.endswith("\n") and not keeps:
            text = text[:-1]
        ends = pick.one(("\n", "\n", "\n", "\r\n", "mixed"))
        lines = text.split("\n")
        text = lines[0]
        for line in lines[1:]:
            text += (pick.one(("\n", "\r\n")) if ends == "mixed" else ends) + line
        if pick.chance(12) and text and text[0] != "-":  # a list behind a mark is refused
            text = "\ufeff" + text
        return Sample(text, value, self._by_line(), self.empty, self.shared, self.pairs)

    def _by_line(self) -> dict[Path, Entry]:
        """Entries with line numbers (from 0, the end included) in place of offsets."""
        text = "".join(self.parts)
        for entry in self.entries.values():
            entry.start = text.count("\n", 0, entry.start)
            entry.end = text.count("\n", 0, entry.end)
        return self.entries

    # what stands between entries

    def filler(self, column: int) -> None:
        """Blank lines and comments before the next entry."""
        while self.choices.chance(4):
            kind = self.choices.pick(3)
            limit, keeps = self.block_scalar or (None, False)
            if kind == 0 and not keeps:
                self.write("\n")
            elif kind and (limit is None or limit > 0):
                indent = self.choices.pick(column + 5)
                if limit is not None:
                    indent = min(indent, limit - 1)
                self.write(" " * indent + self.choices.one(COMMENTS) + "\n")
                self.block_scalar = None

    def end_line(self) -> None:
        if self.choices.chance(6):
            self.write(self._gap() + self.choices.one(COMMENTS))
        elif self.choices.chance(12):
            self.write(" ")
        self.write("\n")
        self.block_scalar = None

    # collections

    def mapping(self, column: int, path: Path, depth: int, compact: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for number in range(self.choices.pick(4) + 1):
            text, key = self.choices.one(KEYS)
            if key in result:
                continue
            first = compact and not number
            if not first:
                self.filler(column)
                self.write(" " * column)
            start = self.length
            self.tabs = not self.choices.chance(16)
            if not self.tabs:
                self.write(f"? {text}")
                self.end_line()
                self.write(" " * column + ":")
            else:
                self.write(text + (" :" if self.choices.chance(20) else ":"))
            result[key] = self.value(column, (*path, key), depth, ":")
            self.entries[(*path, key)] = Entry(start, self.last, column, False, first)
        return result

    def sequence(self, column: int, path: Path, depth: int, compact: bool = False) -> list[Any]:
        result: list[Any] = []
        for number in range(self.choices.pick(3) + 1):
            first = compact and not number
            if not first:
                self.filler(column)
                self.write(" " * column)
            start = self.length
            self.write("-")
            self.tabs = False
            result.append(self.value(column, (*path, number), depth, "-"))
            self.entries[(*path, number)] = Entry(start, self.last, column, False, first)
        return result

    def value(self, column: int, path: Path, depth: int, sign: str) -> Any:
        """What stands behind a colon or dash, with its line break."""
        kinds = ["plain", "plain", "plain", "quoted", "empty", "next", "block", "flow", "tagged", "several", "alias"]
        if depth < 3:
            kinds += ["mapping", "mapping", "mapping", "sequence", "sequence"]
        kind = self.choices.one(kinds)
        if kind == "alias" and self.anchors:
            name, value = self.choices.one(self.anchors)
            self.write(f" *{name}")
            self._share(path)
            return self._inline(value)
        anchor = ""
        if kind not in ("alias", "next") and self.choices.chance(10):
            self.names += 1
            anchor = f"&n{self.names}"
            self._share(path)
        value = getattr(self, f"_{kind}")(column, path, depth, sign, f" {anchor}" if anchor else "")
        if anchor:
            self.anchors.append((anchor[1:], value))
        return value

    def _share(self, path: Path) -> None:
        self.shared.update(path[:end] for end in range(len(path) + 1))

    def _inline(self, value: Any) -> Any:
        self.last = self.length
        self.end_line()
        return value

    def _alias(self, column: int, path: Path, depth: int, sign: str, anchor: str) -> Any:
        """No anchor is there yet to be named."""
        return self._plain(column, path, depth, sign, anchor)

    def _gap(self) -> str:
        return self.choices.one((" ", " ", " ", "  ", "\t" if self.tabs else " "))

    def _plain(self, _column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        text, value = self.choices.one(PLAIN_BLOCK)
        self.write(anchor + (" " if anchor else self._gap()) + text)
        return self._inline(value)

    def _quoted(self, _column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        text, value = self.choices.one(QUOTED)
        self.write(anchor + (" " if anchor else self._gap()) + text)
        return self._inline(value)

    def _tagged(self, _column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        text, value = self.choices.one(TAGGED)
        self.write(f"{anchor} {text}")
        return self._inline(value)

    def _empty(self, _column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        self.write(anchor)
        return self._inline(None)

    def _next(self, column: int, _path: Path, _depth: int, _sign: str, _anchor: str) -> Any:
        """A scalar on the line below its indicator."""
        self.end_line()
        if self.choices.chance(4):
            self.write(" " * self.choices.pick(column + 4) + "# between\n")
        text, value = self.choices.one((("word", "word"), ("'quoted'", "quoted"), ("5", 5)))
        self.write(" " * (column + 1 + self.choices.pick(3)) + text)
        return self._inline(value)

    def _several(self, column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        """A plain or quoted scalar over several lines."""
        indent = " " * (column + 1 + self.choices.pick(3))
        text, value = self.choices.one(
            (
                (f"one\n{indent}two", "one two"),
                (f"one\n\n{indent}two", "one\ntwo"),
                (f"'one\n{indent}t''wo'", "one t'wo"),
                (f"' one\n\n\n{indent}two '", " one\n\ntwo "),
                (f'"one\n{indent}two\\\n{indent}three"', "one twothree"),
                (f'"\n{indent}x"', " x"),
            )
        )
        self.write(f"{anchor} {text}")
        return self._inline(value)

    def _block(self, column: int, _path: Path, _depth: int, _sign: str, anchor: str) -> Any:
        """A literal or folded scalar."""
        pick = self.choices
        folded, chomp = pick.chance(2), pick.one(("", "-", "+"))
        step = 1 + pick.pick(4)
        lines = [pick.one(("text", "# no comment", "a: b", "- x"))]
        for _unused in range(pick.pick(3)):
            lines.append(
                pick.one(("more", "# no", "last")) if folded else pick.one(("more", "", "  deeper", "{", "\tt"))
            )
        if not lines[-1]:
            lines[-1] = "end"
        sign = (str(step) if pick.chance(4) else "") + chomp
        if pick.chance(2):
            sign = sign[::-1]
        self.write(f"{anchor} {'>' if folded else '|'}{sign}")
        if pick.chance(6):
            self.write(" # header")
        for line in lines:
            self.write("\n" + (" " * (column + step) + line if line else ""))
        blank = pick.pick(3)
        self.last = self.length + (blank if chomp == "+" else 0)
        self.write("\n" * (1 + blank))
        self.block_scalar = column + step, chomp == "+"
        text = (" " if folded else "\n").join(lines)
        return text + {"": "\n", "-": "", "+": "\n" * (1 + blank)}[chomp]

    def _mapping(self, column: int, path: Path, depth: int, sign: str, anchor: str) -> Any:
        step = self.step if self.choices.pick(4) else 1 + self.choices.pick(4)
        if sign == "-" and not anchor and not self.choices.chance(5):
            self.write(" " * step)
            return self.mapping(column + 1 + step, path, depth + 1, compact=True)
        self.write(anchor)
        self.end_line()
        return self.mapping(column + step, path, depth + 1)

    def _sequence(self, column: int, path: Path, depth: int, sign: str, anchor: str) -> Any:
        if sign == "-":
            if not anchor and not self.choices.chance(5):
                self.write(" ")
                return self.sequence(column + 2, path, depth + 1, compact=True)
            step = self.step
        else:
            step = self.sequence_step
        self.write(anchor)
        self.end_line()
        return self.sequence(column + step, path, depth + 1)

    def _flow(self, column: int, path: Path, depth: int, _sign: str, anchor: str) -> Any:
        self.write(anchor + " ")
        return self._inline(self.flow(path, column, depth))

    # flow style

    def flow(self, path: Path, column: int, depth: int) -> Any:
        pick = self.choices
        mapping = pick.pick(2) == 0
        count = pick.pick(4)
        several_lines = pick.chance(3)
        indent = "\n" + " " * (column + 1 + pick.pick(4))
        pad = "" if several_lines else pick.one(("", "", " "))
        result: Any = {} if mapping else []
        self.write("{" if mapping else "[")
        if not count:
            self.empty.add(path)
            self.write(pick.one(("", "", "", " ", indent if several_lines else "")))
        for number in range(count):
            text, key = pick.one(KEYS)
            if mapping and key in result:
                continue
            if result:
                self.write(",")
            if several_lines:
                if pick.chance(6):
                    self.write(" # c")
                self.write(indent)
                if pick.chance(10):
                    self.write("# above" + indent)
            else:
                self.write(" " if result else pad)
            start = self.length
            step: Any = key if mapping else number
            if mapping:
                result[key] = self._flow_pair(text, (*path, key), column, depth)
            else:
                result.append(self._flow_item((*path, number), column, depth))
            self.entries[(*path, step)] = Entry(start, self.length, 0, True, False)
        if result:
            self.write(pick.one(("", "", "", ",")))
            if several_lines:
                if pick.chance(6):
                    self.write(" # last")
                self.write(indent)
            else:
                self.write(pad)
        self.write("}" if mapping else "]")
        return result

    def _flow_pair(self, text: str, path: Path, column: int, depth: int) -> Any:
        pick = self.choices
        if pick.chance(16):
            self.write("? ")
        if pick.chance(12):
            self.write(text)
            return None
        if text[0] in "'\"" and pick.chance(3):
            self.write(text + ":")
        else:
            self.write(text + ": ")
        if pick.chance(12):
            return None
        return self._flow_item(path, column, depth)

    def _flow_item(self, path: Path, column: int, depth: int) -> Any:
        pick = self.choices
        kinds = ("plain", "plain", "quoted", "tagged", "alias", "flow", "flow", "pair")
        kind = pick.one(kinds)
        if kind == "flow" and depth < 3:
            return self.flow(path, column, depth + 1)
        if kind == "alias" and self.anchors:
            name, value = pick.one(self.anchors)
            self.write(f"*{name} ")
            self._share(path)
            return value
        if kind == "pair" and isinstance(path[-1], int):
            start = self.length
            self.write("k: v")
            self.pairs.add(path)
            self.entries[(*path, "k")] = Entry(start, self.length, 0, True, False)
            return {"k": "v"}
        text, value = pick.one({"quoted": QUOTED, "tagged": TAGGED}.get(kind, PLAIN_FLOW))
        self.write(text)
        return value


def value(choices: Choices, depth: int = 0) -> Any:
    """A value to set."""
    kind = choices.one(("string", "string", "string", "number", "constant", "mapping", "sequence"))
    if kind == "number":
        return choices.one((0, 1, -7, 5432, 2**53 - 1, 0.5, -1e-7, 1e16, 1e300, math.inf, math.nan))
    if kind == "constant":
        return choices.one((None, True, False, {}, []))
    if kind == "mapping" and depth < 3:
        keys = [choices.one((*(key for _text, key in KEYS), *STRINGS[:40])) for _unused in range(choices.pick(4))]
        return {key: value(choices, depth + 1) for key in keys}
    if kind == "sequence" and depth < 3:
        return [value(choices, depth + 1) for _unused in range(choices.pick(4))]
    return choices.one(STRINGS)


def path(choices: Choices, tree: Any) -> Path:
    """A path that is there, or begins with one that is there."""
    steps: list[Any] = []
    while True:
        if isinstance(tree, dict) and tree and not (steps and choices.chance(6)):
            step: Any = choices.one([*tree, "new"])
        elif isinstance(tree, list) and not (steps and choices.chance(6)):
            step = choices.pick(len(tree) + 1)
        else:
            break
        steps.append(step)
        if not (step in tree if isinstance(tree, dict) else step < len(tree)):
            break
        tree = tree[step]
    while not steps or choices.chance(8):
        steps.append(choices.one(("new", "a", "on", "x y", "two\nlines", "1")))
    return tuple(steps)
