# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and change files of environment variables; every byte outside the changed values is kept.

Private to this collection: its interface may change in any release.

Each format has a module of its own, with readers that agree on all that is written: `env_dotenv`, `env_systemd`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_dotenv, env_readers, env_systemd
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import (
    NAME,
    Assignment,
    line_at,
)

_GRAMMARS = {"dotenv": env_dotenv, "systemd": env_systemd}
FORMATS = tuple(_GRAMMARS)


def read(data: bytes, form: str) -> dict[str, str]:
    """Return the variables that `data` sets, as the format's readers see them; the last assignment takes effect.

    Raises:
        CollectionError: the file is not of this format.
    """
    return {found.name: found.value for found in assignments(data, form)}


def environment(found: Mapping[str, str], form: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process that reads an env file.

    Args:
        found: the file's variables, as `read` returns them.
        form: the file's format; dotenv leaves alone what is set already, systemd does not.
        given: variables that the process is started with.
    """
    return {**found, **given} if form == "dotenv" else {**given, **found}


def assignments(data: bytes, form: str) -> list[Assignment]:
    """Return every assignment in file order. Raises: CollectionError."""
    return list(_GRAMMARS[form].scan(_decode(data)))


def set_variables(data: bytes, variables: Mapping[str, str], form: str) -> bytes:
    """Return `data` with each variable set: in place where it is assigned, else in a new line at the end.

    All assignments of a variable get the value, so that no old secret stays in the file.

    Raises:
        CollectionError: a name or a value that the format cannot hold, or a file that is not of this format.
    """
    for name, value in variables.items():
        check(name, value, form)
    text, present = _decode(data), assignments(data, form)
    if "\0" in text:
        raise CollectionError(
            f"line {line_at(text, text.index(chr(0)))}: contains a NUL character, as files in UTF-16 do.",
            "Save the file in UTF-8.",
        )
    result = text
    for found in reversed(present):
        if found.name in variables and not (found.agreed and found.value == variables[found.name]):
            written = _written(found, text, variables[found.name], form)
            result = result[: found.start] + written + result[found.end :]
    end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    missing = [name for name in variables if name not in {found.name for found in present}]
    if missing and result and not result.endswith("\n"):
        result += end
    for name in missing:
        result += f"{name}={_GRAMMARS[form].writings(variables[name])[0]}{end}"
    return _proved(result, {**read(data, form), **variables}, form)


def remove_variables(data: bytes, names: Iterable[str], form: str) -> bytes:
    """Return `data` without the lines that assign these variables. Raises: CollectionError."""
    gone = frozenset(names)
    text = _decode(data)
    for found in reversed(assignments(data, form)):
        if found.name in gone:
            text = text[: found.first] + text[found.last :]
    return _proved(text, {name: value for name, value in read(data, form).items() if name not in gone}, form)


def warnings(data: bytes, names: Iterable[str], form: str) -> list[str]:
    """Return a sentence for each program that reads files of this format and gets other values for these variables.

    Raises:
        CollectionError: the file is not of this format.
    """
    if form != "dotenv":
        return []
    return env_readers.differences(_decode(data), assignments(data, form), names)


def masked(data: bytes, form: str, changed: Iterable[str] = ()) -> str:
    """Return the names that `data` assigns, one a line, without a value: fit for a diff. Raises: CollectionError."""
    marked = frozenset(changed)
    return "".join(
        f"{found.name}=********{' (changed)' if found.name in marked else ''}\n" for found in assignments(data, form)
    )


def check(name: str, value: str, form: str) -> None:
    """Raise CollectionError where `form` has no faithful writing for this variable."""
    if not NAME.match(name):
        raise CollectionError(
            f"{name!r} is not a valid variable name.", "Use letters, digits and _, and start with a letter or _."
        )
    if "\0" in value:
        problem = "the value contains a NUL character, which no environment variable can hold"
    elif any("\ud800" <= character <= "\udfff" for character in value):
        problem = "the value is not valid Unicode"
    elif not _GRAMMARS[form].writings(value):
        raise CollectionError(f"{name}: the value {_GRAMMARS[form].UNWRITABLE}")
    else:
        return
    raise CollectionError(f"{name}: {problem}.", "Choose another value.")


def _written(found: Assignment, text: str, value: str, form: str) -> str:
    """Return the separator and the value, in the quotes that stand there where they fit."""
    separator, old = re.match(r"(\s*=\s*|:\s+|)(.*)", text[found.start : found.end], re.DOTALL).groups()  # type: ignore[union-attr]
    ways: list[str] = _GRAMMARS[form].writings(value)
    ways.sort(key=lambda way: _quote(way) != _quote(old))
    tail = " " if text[found.end : found.end + 1] == "#" else ""
    return ("=" if separator.startswith(":") else separator) + ways[0] + tail


def _quote(written: str) -> str:
    return written[:1] if written[:1] in ("'", '"') else ""


def _proved(text: str, wanted: Mapping[str, str], form: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if read(data, form) != wanted:
        raise CollectionError(
            f"the file cannot be changed without changing what its other lines mean in the format {form}.",
            "Look for a quote that is not closed, or write these variables into a file of their own.",
        )
    return data


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
