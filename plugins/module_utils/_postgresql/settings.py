# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: checked, and written as a file of our own in a directory that postgresql.conf includes.

Source: the PostgreSQL manual, chapter "Setting Parameters".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import PORT_RANGE, is_port
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portals import decoded, encoded

FIRST_VERSION_FILE = "zz-devportal-backstage.conf"  # of version 1.0.0, which knew one portal a cluster
# PostgreSQL reads the directory in the C locale's order, and the last value of a setting takes effect.
_FILE = "zz-backstage-{}.conf"
_OUR_FILES = re.compile(r"zz-devportal-backstage\.conf|zz-backstage-(.+)\.conf")
HEADER = (
    "# Managed by Ansible (devportal.backstage.postgresql_config): changes by hand are lost on its next run.\n"
    "# Put settings of your own into another file of this directory.\n"
)

# What the platform's own tools and units rely on.
_PLACES = ("data_directory", "config_file", "hba_file", "ident_file", "external_pid_file")
_LINE = re.compile(r"^(\S+) = '((?:''|\\.|[^'\\])*)'$", re.MULTILINE)
_INCLUDES = ("include", "include_dir", "include_if_exists")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
_PLAIN_ITEM = re.compile(r"[a-z0-9_.:*/$%+@-]+")
_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}

_UNESCAPES = {written: letter for letter, written in _ESCAPES.items()}

_BEGIN = b"# BEGIN devportal.backstage include (managed by Ansible: changes inside are lost on its next run)"
_CREATED = b" (the directory was created with it)"
_NO_LINE_END = b" (the line before this one had no line end)"
_END = b"# END devportal.backstage include"
_BLOCK = re.compile(
    rb"^# BEGIN devportal\.backstage include[^\n]*\n.*?^# END devportal\.backstage include[^\n]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_INCLUDE_DIR = re.compile(rb"^[ \t]*include_dir[ \t]*=?[ \t]*(?:'([^'\n]+)'|([A-Za-z_][\w.:/-]*))", re.MULTILINE | re.I)
_DIRECTORY_WHERE_OTHERS_ARE = "backstage.d"


def normal_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as PostgreSQL's text, names in lower case, sorted; a None value leaves its setting out.

    Args:
        settings: name to value. bool becomes on or off, a list becomes comma-separated items.

    Raises:
        CollectionError: a name or value that a configuration file cannot or must not hold.
    """
    result: dict[str, str] = {}
    for given, value in settings.items():
        name = str(given).lower()
        if not _NAME.fullmatch(name):
            raise CollectionError(f'O(settings): "{given}" is not a valid name.', 'Use letters, digits, "_" and ".".')
        if name in result:
            raise CollectionError(f"O(settings): {name} is there twice, in different case.", "Keep one of them.")
        if name in _PLACES:
            raise CollectionError(f"O(settings): {name} is set by the operating system's packages.", "Remove it.")
        if name in _INCLUDES:
            raise CollectionError(f"O(settings): {name} is not a setting.", "Give the settings themselves.")
        if value is not None:
            result[name] = _value_text(name, value)
    if "port" in result:
        port = result["port"]
        if not is_port(port):
            raise CollectionError(f'O(settings): port is "{port}".', f"Choose a whole number from {PORT_RANGE}.")
    return dict(sorted(result.items()))


def _value_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        text = ",".join(_item_text(name, item) for item in value)
    elif isinstance(value, (int, float, str)):
        text = str(value)
    else:
        raise CollectionError(
            f"O(settings): {name} is a {type(value).__name__}.",
            "Give a string, a number, true, false or a list of strings.",
        )
    if "\0" in text:
        raise CollectionError(f"O(settings): {name} has a NUL character, which PostgreSQL cannot hold.", "Remove it.")
    return text


def _item_text(name: str, item: Any) -> str:
    if isinstance(item, (bool, float)) or not isinstance(item, (int, str)) or item == "":
        raise CollectionError(f"O(settings): {name} has the list item {item!r}.", "Give strings that are not empty.")
    text = str(item)
    return text if _PLAIN_ITEM.fullmatch(text) else '"' + text.replace('"', '""') + '"'


_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def settings_text(settings: Mapping[str, str]) -> bytes | None:
    """Our configuration file for these settings (as `normal_settings` gives them), or None where there are none."""
    if not settings:
        return None
    lines = [
        f"{name} = '" + "".join(_ESCAPES.get(letter, letter) for letter in value) + "'\n"
        for name, value in settings.items()
    ]
    return (HEADER + "".join(lines)).encode()


def settings_file(portal: str) -> str:
    """The name of the portal's settings file."""
    return _FILE.format(encoded(portal))


def portal_of(entry: str) -> str | None:
    """The portal whose settings file has this name: empty for that of version 1.0.0, None for a file of others."""
    found = _OUR_FILES.fullmatch(entry)
    return decoded(found.group(1) or "") if found else None


def written_settings(text: bytes | None) -> dict[str, str]:
    """The settings in a file of ours, as `settings_text` wrote them."""
    lines = _LINE.findall((text or b"").decode("utf-8", "replace"))
    return {name: re.sub(r"''|\\(.)", _unescaped, value) for name, value in lines}


def _unescaped(found: re.Match[str]) -> str:
    return _UNESCAPES.get(found.group(0), found.group(1) or "")


def settings_directory(main: bytes, default: str) -> tuple[str, bool]:
    """The directory for our settings file, and whether postgresql.conf reads it already.

    Args:
        main: postgresql.conf.
        default: the directory where the platform has it, beside postgresql.conf.
    """
    beside = os.path.dirname(default)
    ours = our_include(main, beside)
    if ours:
        return ours.directory, True
    # The last one, for it takes precedence over those before it.
    for quoted, plain in reversed(_INCLUDE_DIR.findall(main)):
        directory = os.path.normpath(os.path.join(beside, os.fsdecode(quoted or plain)))
        if os.path.dirname(directory) == beside:
            return directory, True
    if os.path.isdir(default) and any(
        entry.endswith(".conf") and portal_of(entry) is None for entry in os.listdir(default)
    ):
        # Somebody has those files out of force; including the directory would bring them back.
        return os.path.join(beside, _DIRECTORY_WHERE_OTHERS_ARE), False
    return default, False


@dataclass(frozen=True)
class Include:
    """A marked block at the end of postgresql.conf that includes a directory beside it.

    Attributes:
        directory: its path.
        created: whether the directory was created with the block.
    """

    directory: str
    created: bool


def our_include(main: bytes, beside: str) -> Include | None:
    """Our block of postgresql.conf.

    Args:
        main: postgresql.conf.
        beside: the directory that it is in.
    """
    block = _BLOCK.search(main)
    if not block:
        return None
    found = _INCLUDE_DIR.search(block.group(0))
    name = os.fsdecode(found.group(1) or found.group(2)) if found else ""
    return Include(os.path.join(beside, name), _CREATED in block.group(0).split(b"\n", 1)[0])


def with_include(main: bytes, include: Include | None) -> bytes:
    """postgresql.conf with this block in the place of the one that it has; every other byte is kept."""
    without = _without_block(main)
    if include is None:
        return without
    begin = _BEGIN + (_CREATED if include.created else b"")
    if without and not without.endswith(b"\n"):
        begin = b"\n" + begin + _NO_LINE_END
    line = b"include_dir = '" + os.fsencode(os.path.basename(include.directory)) + b"'"
    return without + b"\n".join([begin, line, _END, b""])


def _without_block(main: bytes) -> bytes:
    block = _BLOCK.search(main)
    if not block:
        return main
    before, after = main[: block.start()], main[block.end() :]
    if _NO_LINE_END in block.group(0).split(b"\n", 1)[0] and not after:
        before = before[:-1]
    return before + after
