# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a YAML text, and where.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import re

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

with contextlib.suppress(ImportError):  # the modules report it: pyyaml.HAS_YAML
    import yaml


class YamlPatchError(CollectionError):
    """The text cannot be read or edited as asked.

    Attributes:
        message: one sentence: what was found, what to do.
        line, column: where, from 1; None where the fault has no place in the text.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}, column {column}: {message}")
        self.message, self.line, self.column = message, line, column


class SharedError(YamlPatchError):
    """An edit would change what an alias repeats."""


def place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


# Templates that were not rendered; `${{ }}` of GitHub is a string like any other.
_TEMPLATE = re.compile(r"(?<!\$)\{\{|\{%|<%")


def is_template(text: str, index: int) -> bool:
    """Whether a template's sign stands on the line of a place."""
    start = text.rfind("\n", 0, index) + 1
    end = text.find("\n", index)
    return bool(_TEMPLATE.search(text[start : end if end >= 0 else len(text)]))


TEMPLATE_MESSAGE = (
    "a template stands here that is not rendered (Jinja, Helm or the like), so this is not YAML yet; "
    "edit what it is rendered to, or put the template in quotes"
)


_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def syntax_error(text: str, error: Exception) -> YamlPatchError:
    if isinstance(error, yaml.reader.ReaderError):
        found = _UNREADABLE.search(text)
        if found:
            return YamlPatchError(
                f"the character U+{ord(found.group()):04X} may not stand in YAML; write an escape in double quotes",
                *place(text, found.start()),
            )
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    for found in (mark, getattr(error, "context_mark", None)):
        if found is not None and is_template(text, found.index):
            return YamlPatchError(TEMPLATE_MESSAGE, found.line + 1, found.column + 1)
    if mark is not None and mark.line:
        above = text[: text.rfind("\n", 0, mark.index)].rpartition("\n")[2]
        if _TEMPLATE.match(above.lstrip()):  # it begins a scalar that the next line cannot go on
            return YamlPatchError(TEMPLATE_MESSAGE, mark.line, 1)
    message = f"{problem} ({context})" if context else problem
    return YamlPatchError(message) if mark is None else YamlPatchError(message, mark.line + 1, mark.column + 1)
