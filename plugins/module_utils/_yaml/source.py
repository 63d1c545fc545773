# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML text as it was read: decoded, checked, and its events. What only reads a file needs no more than this.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._yaml import dialect
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import MAPPING, STRICT, Rules, Stream
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError, place

_LIST_BEHIND_MARK = re.compile("\ufeff(?:\ufeff|[ \t]*-(?:\\s|\\Z))")


class Source:
    """A text that was read.

    Args:
        text: bytes are UTF-8, with or without a byte order mark.
        rules: how it is read, and whether there may be several documents.

    Attributes:
        text: all of it.
        bom: the byte order mark, or nothing.
        body: what follows the mark, with a break at the end of the last line.
        eol: the line break of the first line.
        unterminated: whether the last line has no break in the text.
        stream: the events of the body.

    Raises:
        YamlPatchError: not UTF-8, not YAML, duplicate keys, several documents, or read differently by YAML 1.1 and 1.2.
    """

    def __init__(self, text: str | bytes, rules: Rules = STRICT) -> None:
        self.text = _decoded(text)
        self.bom = "\ufeff" if self.text.startswith("\ufeff") else ""
        check_mark(self.text, rules)
        body = self.text[len(self.bom) :]
        if "\r" in body:
            lone = re.search("\r(?!\n)", body)
            if lone:
                raise YamlPatchError(
                    "a carriage return without a line feed, which Backstage takes for no line break; remove it",
                    *place(body, lone.start()),
                )
        first = body.find("\n")
        self.eol = "\r\n" if first > 0 and body[first - 1] == "\r" else "\n"
        # npm yaml reads a last line without a break as if it had one; libyaml does not (block scalars differ).
        self.unterminated = body != "" and not body.endswith("\n")
        self.body = body + self.eol if self.unterminated else body
        self.stream = Stream(self.body, rules=rules)
        if self.unterminated and self.stream.values and rules.version == "1.2":
            dialect.check_last_line(self.stream)

    @property
    def tree(self) -> Any:
        """The first document as plain Python values, None where it is empty.

        Raises:
            YamlPatchError: it holds what no configuration holds: keys that are collections, `!!binary` and the like.
        """
        return self.stream.plain(0) if self.stream.values else None

    def line(self, path: tuple[str | int, ...]) -> int | None:
        """The line, from 1, of what stands at a path; None where nothing does, or the way leads through an alias."""
        stream = self.stream
        node = 0 if stream.values else None
        for step in path:
            if node is None or node not in stream.after:
                return None
            if (stream.values[node] is MAPPING) != isinstance(step, str):
                return None
            found = None
            for index, (key, value) in enumerate(stream.entries(node)):
                if step == (stream.key(key) if isinstance(step, str) else index):
                    found = value
                    break
            node = found
        return None if node is None else place(stream.text, stream.starts[node])[0]


def check_mark(text: str, rules: Rules) -> None:
    """Reject what Backstage reads differently behind a byte order mark.

    Raises:
        YamlPatchError: a list, or a second mark.
    """
    if rules.version == "1.2" and _LIST_BEHIND_MARK.match(text):
        raise YamlPatchError("a list, or a second mark, directly behind a byte order mark; remove the mark", 1, 1)


def _decoded(text: str | bytes) -> str:
    try:
        if isinstance(text, str):
            text.encode()
            return text
        return text.decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - (error.object.rfind(b"\n", 0, error.start) + 1) + 1
        raise YamlPatchError("this is not UTF-8; save the file as UTF-8", line, column) from None
    except UnicodeEncodeError as error:
        message = "half of a surrogate pair, which is not a character"
        raise YamlPatchError(message, *place(error.object, error.start)) from None
