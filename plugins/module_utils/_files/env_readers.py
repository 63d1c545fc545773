# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that do not read every dotenv file as the npm package dotenv does, and what they make of it.

Private to this collection: its interface may change in any release.

Tried with `node --env-file` of Node 20.20, 22.23 and 24.21 (`src/node_dotenv.cc`), env-cmd 11 and dotenv-cli 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable

from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import Assignment, line_at
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE

_Reader = Callable[[str], "dict[str, str]"]

_PROBE = "DEVPORTAL_PROBE"
_QUOTES = ('"', "'", "`")


def differences(text: str, present: Sequence[Assignment], names: Iterable[str]) -> list[str]:
    """Return a warning for each kind of program that does not read these variables as dotenv does.

    Args:
        text: the content of the file.
        present: its assignments, as dotenv reads them.
        names: the variables; no value is in a warning.
    """
    wanted = frozenset(names)
    variables = {found.name: found.value for found in present if found.name in wanted}
    old, new = _wrong(node_20, text, variables), _wrong(node_22, text, variables)
    nodes = (
        ("Node 20 and later", [name for name in old if name in new]),
        ("Node 20", [name for name in old if name not in new]),
        ("Node 22 and later", [name for name in new if name not in old]),
    )
    warnings = [
        f"{', '.join(misread)}: `node --env-file` of {release} does not read this variable correctly, because of "
        f"{_cause(text, present, misread, node_20 if '20' in release else node_22)}. "
        "Correct the line, or have the file read by another program."
        for release, misread in nodes
        if misread
    ]
    if misread := _wrong(env_cmd, text, variables):
        warnings.append(
            f"{', '.join(misread)}: env-cmd does not read this variable correctly, because of `export` before it, or a "
            "line feed, \\n or # in its value. Use another program, or choose another value."
        )
    if misread := [name for name, value in variables.items() if "$" in value]:
        warnings.append(
            f"{', '.join(misread)}: dotenv-cli (`dotenv -- yarn start`) and dotenv-expand expand the $ in the value, "
            "although it is quoted. Use another program, or choose a value without $."
        )
    return warnings


def _wrong(reader: _Reader, text: str, variables: Mapping[str, str]) -> list[str]:
    found = reader(text)
    return [name for name, value in variables.items() if found.get(name) != value]


def _cause(text: str, present: Sequence[Assignment], names: Sequence[str], reader: _Reader) -> str:
    """Name the first line after which a reader misses a variable, else the line of the variable itself."""
    starts = {found.first: found.last for found in present}
    position = 0
    while position < len(text):
        end = starts.get(position) or text.find("\n", position) + 1 or len(text)
        before = text[:end] if text[end - 1] == "\n" else f"{text[:end]}\n"
        if reader(f"{before}{_PROBE}=1\n").get(_PROBE) != "1":
            return f"line {line_at(text, position)} ({_peculiarity(text[position:end])})"
        position = end
    own = next(found for found in present if found.name == names[0])
    return f"line {own.line} ({_peculiarity(text[own.first : own.last])})"


def _peculiarity(lines: str) -> str:
    if not lines.strip():
        return "white space only"
    if "=" not in lines:
        return "neither an assignment nor a comment that begins with #"
    return "white space or other characters beside the name or the value"


def node_20(text: str) -> dict[str, str]:
    """Read a file as `node --env-file` of Node 20 does."""
    found: dict[str, str] = {}
    content = text.replace("\r", "").strip(" ")
    while content:
        if content[0] in "\n#" and "\n" in content:
            content = content.partition("\n")[2]
            continue
        name, equals, content = content.partition("=")
        name = name.strip(" ")
        if not equals or not name:
            break
        content = content.strip(" ")
        name = name[7:] if name.startswith("export ") else name
        if content[:1] in _QUOTES and "\n" not in content and content.count(content[0]) == 1:
            continue  # a quote that nothing closes is left for the next round
        found[name], content = _node_value(content, " ")
    return found


def node_22(text: str) -> dict[str, str]:
    """Read a file as `node --env-file` of Node 22 and 24 does."""
    found: dict[str, str] = {}
    content = text.replace("\r", "").strip(" \t\n")
    while content:
        if content[0] in "\n#":
            content = content.partition("\n")[2]
            continue
        end = re.search("[=\n]", content)
        if not end:
            break
        name, content = content[: end.start()].strip(" \t\n"), content[end.end() :]
        if end[0] == "\n":
            content = content.strip(" \t\n")
            continue
        if content[:1] in ("", "\n"):
            found[name] = ""
            content = content[1:]
            continue
        content = content.strip(" \t\n")
        if not name:
            continue
        name = name[7:].strip(" \t\n") if name.startswith("export ") else name
        found[name], content = _node_value(content, " \t\n")
    return found


def _node_value(content: str, blanks: str) -> tuple[str, str]:
    """Return the value that begins here, and what follows its line."""
    line, _newline, rest = content.partition("\n")
    if content[:1] not in _QUOTES:
        return line.partition("#")[0].strip(blanks), rest
    closing = content.find(content[0], 1)
    if closing < 0:
        return line, rest
    value = content[1:closing]
    return value.replace("\\n", "\n") if content[0] == '"' else value, content[closing + 1 :].partition("\n")[2]


def env_cmd(text: str) -> dict[str, str]:
    """Read a file as the npm package env-cmd does."""
    found = {}
    for line in re.split("[\n\r\u2028\u2029]", text):
        match = re.match("(.+?)=(.*)", line)
        if not match or line.lstrip().startswith("#"):
            continue
        name, value = match[1], match[2].strip(JS_SPACE)
        quoted = value[:1] in ("'", '"')
        value = value[1 : value.rindex(value[0])] if quoted else value.partition("#")[0].strip(JS_SPACE)
        found[name.strip(JS_SPACE)] = value.replace("\\n", "\n")
    return found
