# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files as `EnvironmentFile=` of systemd.exec(5) reads them; sh(1) can source what is written.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import (
    NAME,
    PLAIN,
    Assignment,
    line_at,
    unclosed,
    whole_lines,
)

# What utf8_is_valid() of systemd's src/basic/utf8.c takes for invalid, as Python has it after `surrogateescape`:
# surrogates and the characters that Unicode reserves as no characters.
_NOT_UTF8 = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)

UNWRITABLE = (
    "contains a control character or a code point that is not a character, which systemd.exec(5) does not pass on. "
    "Choose a value without it."
)


def writings(value: str) -> list[str]:
    """Return the ways to write a value, best first."""
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value) or _NOT_UTF8.search(value):
        return []
    ways = [value] if PLAIN.match(value) else []
    # systemd before 246 reads a backslash within single quotes as an escape.
    if "'" not in value and "\\" not in value:
        ways.append(f"'{value}'")
    ways.append('"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"')
    return ways


def scan(text: str) -> Iterator[Assignment]:
    """Follow load_env_file() of systemd's src/basic/env-file.c."""
    nul = text.find("\0")
    if nul >= 0:
        raise _rejected(text, nul, "a NUL character")
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        line_end = _find_any(text, "\r\n", position)
        if text[position] in "#;":
            if text[position:line_end].endswith("\\"):
                raise CollectionError(
                    f"line {line_at(text, position)}: a comment ends with a backslash, so that systemd before version "
                    "254 takes the next line for a comment too.",
                    "Remove the backslash.",
                )
            position = line_end
            continue
        equals = text.find("=", position, line_end)
        if equals < 0:
            position = line_end
            continue
        name = text[position:equals].rstrip(" \t")
        value, end = _value(text, equals + 1)
        if _NOT_UTF8.search(name + value):
            raise _rejected(text, position, "bytes that are not UTF-8")
        if NAME.match(name):
            first, last = whole_lines(text, position, end)
            yield Assignment(
                name=name,
                value=value,
                line=line_at(text, position),
                agreed=True,
                start=equals,
                end=end,
                first=first,
                last=last,
            )
        position = end


def _rejected(text: str, position: int, what: str) -> CollectionError:
    return CollectionError(
        f"line {line_at(text, position)}: contains {what}, for which systemd rejects the whole file.",
        "Write the line in UTF-8, or remove it.",
    )


def _find_any(text: str, characters: str, position: int) -> int:
    while position < len(text) and text[position] not in characters:
        position += 1
    return position


def _value(text: str, position: int) -> tuple[str, int]:
    """Return the value that starts here, and where its line ends."""
    value, kept, bare = "", 0, False
    while position < len(text) and text[position] not in "\r\n":
        character = text[position]
        if not bare and character in "'\"":
            quoted, position = _quoted(text, position)
            value += quoted
            kept = len(value)
            continue
        if character == "\\":
            bare = True
            position += 1
            if position == len(text):
                raise CollectionError("the last line ends with a backslash.", "Remove it.")
            if text[position] not in "\r\n":
                value += text[position]
            kept = len(value)
        elif character not in " \t":
            bare = True
            value += character
            kept = len(value)
        elif bare:
            value += character
        position += 1
    return value[:kept], position


def _quoted(text: str, position: int) -> tuple[str, int]:
    start, quote = position, text[position]
    value = ""
    position += 1
    while position < len(text):
        character = text[position]
        if character == quote:
            return value, position + 1
        if character == "\\" and quote == '"':
            position += 1
            escaped = text[position : position + 1]
            if escaped and escaped in '"\\`$':
                value += escaped
            elif escaped != "\n":
                value += "\\" + escaped
        else:
            value += character
        position += 1
    raise unclosed(text, start)
