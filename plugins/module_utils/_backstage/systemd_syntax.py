# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values in the syntax of systemd's unit files, so that each reaches the process as it was given.

Private to this collection: its interface may change in any release.

The rules are those of systemd.syntax(7), systemd.unit(5), systemd.service(5) and systemd.exec(5): a percent sign begins
a specifier, a dollar sign in a command line begins a variable, a backslash escapes or continues the line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

_UNIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,199}(?<!@)", re.ASCII)
_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+", re.ASCII)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t"}


def unit_name(value: str, option: str) -> str:
    """The name of a unit without its suffix. Raises: CollectionError."""
    if not _UNIT_NAME.fullmatch(value) or value.endswith(".service"):
        raise CollectionError(
            f"{option}: {value!r} is not a valid name for a systemd unit.",
            'Use letters, digits and ":_.@-", without ".service".',
        )
    return value


def user_name(value: str, option: str) -> str:
    """The name of an OS user. Raises: CollectionError."""
    if not _USER_NAME.fullmatch(value):
        raise CollectionError(
            f"{option}: {value!r} is not a valid name for an OS user.",
            'Use letters, digits, "_", "." and "-", 32 characters at most.',
        )
    return value


def path(value: str, option: str, forbidden: str = "") -> str:
    """An absolute path as it stands behind `WorkingDirectory=` or `EnvironmentFile=`, which know no quotes.

    Args:
        value: the path.
        option: what named it, for the error.
        forbidden: further characters that have a meaning there.

    Raises:
        CollectionError: it is not absolute, or cannot be written there.
    """
    _require_printable(value, option)
    if not value.startswith("/") or ".." in value.split("/"):
        raise CollectionError(f"{option}: {value!r} is not an absolute path.", 'Begin it with "/", without "..".')
    if value != value.strip() or value.endswith("\\") or set(forbidden) & set(value):
        raise CollectionError(
            f"{option}: systemd cannot read the path {value!r}.",
            "Use a path without a space or backslash at its end"
            + (f" and without {' '.join(forbidden)}." if forbidden else "."),
        )
    return value.replace("%", "%%")


def words(command: str, option: str) -> list[str]:
    """Split a command line as a shell does; nothing in it is expanded.

    Raises:
        CollectionError: it is empty, a quote is not closed, or its program is not an absolute path.
    """
    _require_printable(command, option)
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise CollectionError(
            f"{option}: {command!r} cannot be split into words: {str(error).lower()}.",
            "Close the quotes, and double a backslash that is meant.",
        ) from None
    program = found[0] if found else ""
    if not program.startswith("/") or set("$\\") & set(program):
        raise CollectionError(
            f"{option}: {command!r} does not begin with the absolute path of a program.",
            "Write for example /usr/bin/node packages/backend.",
        )
    return found


def command_line(arguments: list[str], option: str) -> str:
    """Words behind `ExecStart=`, each of which reaches the program as it is. Raises: CollectionError."""
    return " ".join(_quoted(argument, option).replace("$", "$$") for argument in arguments)


def environment(variables: Mapping[str, str], option: str) -> list[str]:
    """The words behind `Environment=`, one a variable. Raises: CollectionError."""
    for name in variables:
        if not _VARIABLE_NAME.fullmatch(name):
            raise CollectionError(
                f"{option}: {name!r} is not a valid name for an environment variable.",
                'Use letters, digits and "_", and no digit first.',
            )
    return [_quoted(f"{name}={value}", f"{option}.{name}", "\n\t") for name, value in variables.items()]


def _quoted(value: str, option: str, allowed: str = "") -> str:
    _require_printable(value, option, allowed)
    if _PLAIN.fullmatch(value):
        return value
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def _require_printable(value: str, option: str, allowed: str = "") -> None:
    """Reject control characters, characters that change the direction of text, and what is no Unicode text."""
    bad = next((character for character in value if not character.isprintable() and character not in allowed), None)
    if bad is not None:
        raise CollectionError(
            f"{option}: the character U+{ord(bad):04X} is not allowed in {value[:80]!r}.",
            "Remove it; a line end often comes from a block scalar (| or >) in YAML.",
        )
