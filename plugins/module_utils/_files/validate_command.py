# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option `validate`: a command that has to succeed on a file's new content before it replaces the old one.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import shlex
from typing import Callable

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned, programs

_TIMEOUT = 300.0  # seconds

Run = Callable[["list[str]"], int]


def check(command: str | None, path: str, run: Run) -> Callable[[str], None] | None:
    """Return what `EditedFile.replace` calls with the path of the new content; None without a command.

    Args:
        command: the command as one string, with %s for that path.
        path: the file, for the errors.
        run: runs a command without a shell, and returns its exit code. Not used in a directory that is neither root's
            nor the present user's, where the command gets the ids of its owner, who could put another file in the place
            of the new one.

    Raises:
        CollectionError: not a command, or one without %s.
    """
    if not command:
        return None
    if "%s" not in command:
        message = 'validate: "%s" is missing.'
        raise CollectionError(message, "Put it where the command takes the path of the file.")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CollectionError(f"validate: is not a command ({error}).", "Close its quotes.") from error

    def checked(new: str) -> None:
        try:
            command = [word.replace("%s", new) for word in words]
            ids = owned.owner(os.path.dirname(new))
            code = run(command) if ids.uid in (0, os.geteuid()) else programs.run(command, _TIMEOUT, ids).code
        except (OSError, ValueError) as error:
            raise CollectionError(f"{path}: the validate command cannot run: {error}.", "Correct validate.") from error
        if code:
            # What it printed may hold secrets.
            raise CollectionError(
                f"{path}: the validate command exited with {code} on the new content. The file was not changed.",
                "Run the command on the file by hand to see its output, which is not shown here for the secrets in it.",
            )

    return checked
