# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the operating system's and PostgreSQL's own programs.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import programs

# Where Debian's tools look for clusters, for a test that has its own.
_KEPT = ("PG_CLUSTER_CONF_ROOT",)
_DROPPED = ("LC_", "LANG", "PG", "PERL")


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """The finished program with its output as text, in English and away from the caller's PostgreSQL environment.

    Args:
        command: the program and its arguments; no shell reads them.
        options: further options of `subprocess.run`, such as those of `as_user`.

    Raises:
        CollectionError: the program cannot be started.
    """
    try:
        return programs.completed(
            command,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(os.environ),
            umask=0o022,
            **options,
        )
    except OSError as error:
        raise CollectionError(
            f"{command[0]}: cannot be run: {error.strerror}.", "Reinstall the package that it belongs to."
        ) from error


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if name in _KEPT or not name.startswith(_DROPPED)}
    return {**kept, "LC_ALL": "C.UTF-8"}


def as_user(uid: int, gid: int) -> dict[str, Any]:
    """Options for `run`: the program has these ids and no others. A process that is not root's keeps its own."""
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def one_line(text: str) -> str:
    """A program's output within a sentence."""
    return " ".join(text.split()).rstrip(".") or "no output"
