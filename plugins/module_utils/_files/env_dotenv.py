# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files as the npm package dotenv, `node --env-file` and the `env_file` of Docker Compose read them.

Private to this collection: its interface may change in any release.

The three differ on escapes and on `$`, so a value is written only in a form that all of them take as it stands.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import (
    PLAIN,
    Assignment,
    line_at,
    unclosed,
    whole_lines,
)

# What String.prototype.trim removes (ECMA-262: WhiteSpace and LineTerminator); Python's str.strip removes more.
JS_SPACE = "\t\n\v\f\r \xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
_JS_SPACE = f"[{re.escape(JS_SPACE)}]"
_JS_LINE_END = "[\\n\\r\\u2028\\u2029]"

# What is an assignment to the npm package dotenv since its version 15 (lib/main.js).
_DOTENV_LINE = re.compile(
    rf"""^{_JS_SPACE}*(?P<export>export{_JS_SPACE}+)?(?P<name>[A-Za-z0-9_.-]+)
    (?P<separator>{_JS_SPACE}*={_JS_SPACE}*?|:{_JS_SPACE}+?)
    (?P<value>{_JS_SPACE}*'(?:\\'|[^'])*'|{_JS_SPACE}*"(?:\\"|[^"])*"|{_JS_SPACE}*`(?:\\`|[^`])*`|[^\#\r\n]+)?
    {_JS_SPACE}*(?:\#[^\n\r\u2028\u2029]*)?(?={_JS_LINE_END}|\Z)""",
    re.MULTILINE | re.VERBOSE,
)

UNWRITABLE = (
    "cannot be written so that npm's dotenv, `node --env-file` and Docker Compose all read it alike. "
    "Choose a value without the quote ' (or without \" $ # \\), or use the format systemd."
)


def writings(value: str) -> list[str]:
    """Return the ways to write a value that all readers take alike, best first."""
    if "\r" in value:
        return []
    ways = [value] if PLAIN.match(value) else []
    # An escape before the closing quote is one to npm's dotenv and Compose, and none to Node.
    if "'" not in value and not value.endswith("\\"):
        ways.append(f"'{value}'")
    if not re.search(r'["\\$]', value):
        ways.append(f'"{value}"')
    if (
        value
        and not ways
        and not re.search(r"[#$\n]", value)
        and value[0] not in "'\"`"
        and value.strip(JS_SPACE) == value
    ):
        ways.append(value)
    return ways


def scan(text: str) -> Iterator[Assignment]:
    stray = re.search(r"\r(?!\n)", text)
    if stray:
        raise CollectionError(
            f"line {line_at(text, stray.start())}: contains a carriage return without a line feed, which npm's dotenv "
            "takes for a line end and Node does not.",
            "Remove it.",
        )
    # The readers make every line end a line feed first; `place` leads back to the file's own bytes.
    plain = text.replace("\r\n", "\n")
    returns = [match.start() - number for number, match in enumerate(re.finditer("\r\n", text))]

    def place(position: int) -> int:
        return position + bisect.bisect_left(returns, position)

    for match in _DOTENV_LINE.finditer(plain):
        raw = match["value"] or ""
        start = match.end("separator")
        start += len(raw) - len(raw.lstrip(JS_SPACE))
        raw = raw.strip(JS_SPACE)
        end = start + len(raw)
        quoted = raw[:1] in ("'", '"', "`")
        if quoted and raw.count(raw[0]) == 1:
            raise unclosed(plain, start)
        value = raw[1:-1] if quoted and raw[-1] == raw[0] else raw
        if raw.startswith('"'):
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        clear = re.match(r"[ \t]*(\n|\Z)|[ \t]+#", plain[end:])
        first, last = whole_lines(text, place(match.start("name")), place(end))
        yield Assignment(
            name=match["name"],
            value=value,
            line=line_at(plain, match.start("name")),
            agreed=bool(clear) and "=" in match["separator"] and raw in writings(value),
            start=place(match.start("separator")),
            end=place(end),
            first=first,
            last=last,
        )
