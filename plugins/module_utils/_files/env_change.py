# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setting or removing variables does to one env file, known before anything is written.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, named
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, env_file
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_rights import NEW_MODE, Rights


@dataclass(frozen=True)
class EnvChange:
    """A change of one env file, yet to be written.

    Attributes:
        file: the file, held by `edit`.
        after: its new content.
        names: the variables that are added, changed or removed.
        rights: its mode, uid and gid afterwards, as `replace` takes them.
        changed: whether content or rights change, or the file is created.
        tightened: whether the rights of everybody are removed.
        warnings: a sentence for each program that would read another value.
    """

    file: EditedFile
    after: bytes
    names: list[str]
    rights: Mapping[str, Any]
    changed: bool
    tightened: bool
    warnings: list[str]

    def write(self) -> None:
        """Replace the file. Raises: CollectionError: the file system refuses."""
        self.file.replace(self.after, **self.rights)

    def diff(self, path: str, form: str) -> dict[str, str]:
        """The names before and after, without a value; read before `write`."""
        return {
            "before_header": path,
            "after_header": path,
            "before": env_file.masked(self.file.data or b"", form),
            "after": env_file.masked(self.after, form, self.names),
        }


def checked(path: str, variables: Mapping[str, Any], form: str) -> dict[str, str]:
    """Return the variables as strings.

    Args:
        path: the file, for the error.
        variables: strings or whole numbers by name.
        form: the file's format.

    Raises:
        CollectionError: a name or a value that the format cannot hold.
    """
    with named(path):
        strings = {name: _string(name, value) for name, value in variables.items()}
        for name, value in strings.items():
            env_file.check(name, value, form)
    return strings


def plan(
    path: str,
    file: EditedFile,
    variables: Mapping[str, str],
    form: str,
    wanted: Mapping[str, Any],
    *,
    present: bool = True,
) -> EnvChange:
    """Find out what a change does.

    Args:
        path: the file as the user names it.
        file: the file, held by `edit`.
        variables: as `checked` returns them.
        form: the file's format.
        wanted: mode, uid and gid that are asked for; None keeps the current one, and closes it to everybody.
        present: whether the variables are set or removed.

    Raises:
        CollectionError: a file that is not of this format.
    """
    before = file.data or b""

    def applied(some: Mapping[str, str]) -> bytes:
        return (env_file.set_variables if present else env_file.remove_variables)(before, some, form)

    with named(path):
        after = applied(variables)
    names = [] if after == before else [name for name in variables if applied({name: variables[name]}) != before]
    everybody = accounts.rights_of_everybody(file.gid if wanted["gid"] is None else wanted["gid"])
    open_to_all = file.mode is not None and bool(file.mode & everybody)
    mode = wanted["mode"]
    if mode is None:
        mode = NEW_MODE if file.mode is None or open_to_all else file.mode
    moved = file.mode is not None and Rights(mode, wanted["uid"], wanted["gid"]).differ_from(file)
    return EnvChange(
        file,
        after,
        names,
        {**wanted, "mode": mode},
        after != before or (file.data is None and present) or moved,
        open_to_all and not mode & everybody,
        [f"{path}: {warning}" for warning in env_file.warnings(after, variables, form)],
    )


def _string(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    kind = {bool: "a boolean", type(None): "empty"}.get(type(value), f"a {type(value).__name__}")
    raise CollectionError(f"{name}: the value is {kind}.", "Write it as a string, in quotes.")
