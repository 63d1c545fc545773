# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips of the hand in YAML text: what editors, merges and copying do to a file."""

from __future__ import annotations

import random

SIGNS = " \t#:-?'\"{}[],|>&*!%@`\\\n~.="
PIECES = (
    "\t", " #c", "#c", ": ", "- ", "'", "\"", "|\n", ">#\n", "[", "]", "{", "}", ",\n", "---\n", "...\n", "? ",
    "&a ", "*a", "!t ", "<<: ", "\\\n", "\n\t\n", "\n \t \n", "${X}", "''", "| #c\n", "|2\n", ">-\n", "\r\n",
    "%YAML 1.2\n", "!!str ", "-\t", ":\t", "\t#c", "\u00e9", "\u2028", "\ufeff", "null", "0x1F", "1_000", "yes",
)  # fmt: skip


def mutated(text: str, dice: random.Random) -> str:
    """The text with one to three slips."""
    for _unused in range(dice.choice((1, 1, 1, 2, 3))):
        text = dice.choice(_SLIPS)(text, dice)
    return text


def _drop(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + text[at + dice.choice((1, 1, 1, 2, 5)) :]


def _insert(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(SIGNS) + text[at:]


def _insert_piece(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(PIECES) + text[at:]


def _replace(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(SIGNS) + text[at + 1 :]


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True) or [""]


def _indent(text: str, dice: random.Random) -> str:
    lines = _lines(text)
    at = dice.randrange(len(lines))
    for number in range(at, min(len(lines), at + dice.choice((1, 1, 2, 4)))):
        line, step = lines[number], dice.choice((-4, -2, -1, 1, 2))
        lines[number] = " " * step + line if step > 0 else line[min(-step, len(line) - len(line.lstrip(" "))) :]
    return "".join(lines)


def _tab_for_blank(text: str, dice: random.Random) -> str:
    places = [at for at, char in enumerate(text) if char == " "]
    at = dice.choice(places) if places else 0
    return text[:at] + "\t" + text[at + 1 :]


def _blank_line(text: str, dice: random.Random) -> str:
    lines = _lines(text)
    lines.insert(
        dice.randrange(len(lines) + 1), dice.choice(("\n", "\t\n", "  \t\n", "   \n", "# c\n", "\t# c\n", "  # c\n"))
    )
    return "".join(lines)


def _double_line(text: str, dice: random.Random) -> str:
    lines = _lines(text)
    at = dice.randrange(len(lines))
    return "".join([*lines[:at], lines[at], *lines[dice.randrange(max(at, 1)) if dice.random() < 0.2 else at :]])


def _swap_lines(text: str, dice: random.Random) -> str:
    lines = _lines(text)
    at = dice.randrange(len(lines))
    lines[at : at + 2] = reversed(lines[at : at + 2])
    return "".join(lines)


def _join_lines(text: str, dice: random.Random) -> str:
    breaks = [at for at, char in enumerate(text) if char == "\n"]
    at = dice.choice(breaks) if breaks else 0
    return text[:at] + dice.choice(("", " ", "\t")) + text[at + 1 :]


def _split_line(text: str, dice: random.Random) -> str:
    places = [at for at, char in enumerate(text) if char in " ,:[{"]
    at = dice.choice(places) + 1 if places else 0
    return text[:at] + "\n" + " " * dice.randrange(8) + text[at:]


def _cut(text: str, dice: random.Random) -> str:
    return text[: dice.randrange(len(text) + 1)]


def _quote(text: str, dice: random.Random) -> str:
    """A value in quotes that goes over several lines."""
    lines = _lines(text)
    at = dice.randrange(len(lines))
    key, colon, value = lines[at].rstrip("\n").partition(": ")
    if colon:
        sign, indent = dice.choice("'\""), " " * dice.randrange(6)
        middle = dice.choice((f"\n{indent}", f"\n\n{indent}", f"\n\t{indent}", f"\n{indent}\t", f"\\\n{indent}"))
        lines[at] = f"{key}: {sign}{value.strip(sign)}{middle}more{sign}{dice.choice(('', ' # c', '#c', '	#c'))}\n"
    return "".join(lines)


def _flow(text: str, dice: random.Random) -> str:
    """A value in brackets that goes over several lines."""
    lines = _lines(text)
    at = dice.randrange(len(lines))
    key, colon, _value = lines[at].rstrip("\n").partition(": ")
    if colon:
        one, two = (f"\n{' ' * dice.randrange(6)}" for _unused in "12")
        lines[at] = key + dice.choice(
            (f": [{one}a,{one}b{two}]\n", f": {{{one}a: 1,{one}b: [x{two}]}}\n", f": [a{two}]#c\n")
        )
    return "".join(lines)


_SLIPS = (
    _drop, _drop, _insert, _insert, _insert_piece, _insert_piece, _replace, _replace, _indent, _indent, _tab_for_blank,
    _blank_line, _double_line, _swap_lines, _join_lines, _split_line, _cut, _quote, _quote, _flow,
)  # fmt: skip
