# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log of a Backstage backend says about its start.

Private to this collection: its interface may change in any release.

Follows packages/backend-app-api/src/wiring/BackendInitializer.ts of backstage/backstage. A start that failed leaves a
process that lives on and never becomes ready; the line about it is the only sign.
"""

from __future__ import annotations

import json
import re

from ansible_collections.devportal.backstage.plugins.module_utils._errors import printable

# How that line begins, as JSON or for people. What stands before the words cannot come from a request that Backstage
# logs: its quotes are escaped, and Node.js rejects an ESC. For grep -E as well, so without what only Python knows.
ESC = "\x1b"
START_FAILED = (
    rf'("message":"|{ESC}\[39m )Unhandled rejection '
    "(Backend startup failed due to|Plugin .[a-z0-9-]+. startup failed|listen E[A-Z]+: )"
)
_START_FAILED = re.compile(START_FAILED)
_ERROR = re.compile(r"\b(?:[A-Z]\w*)?Error\b.*?: |^\S*: .*: (?:command not found|No such file or directory)$")
_FAILURE = re.compile(r"Backend startup failed due to| startup failed; caused by |Unhandled rejection listen ")
_COLOR = re.compile(rf"{ESC}\[[0-9;]*m")
# What systemd writes about each unit that starts or ends.
_ROUTINE = re.compile(
    r"^\S+\.service: (Scheduled restart job|Consumed |Deactivated successfully|Failed with result|Main process exited"
    r"|Killing process|State '|Succeeded)|^(Starting|Started|Stopping|Stopped) "
)


def start_failed(log: str) -> bool:
    """Whether a line of the log says that this start has failed for good."""
    return bool(_START_FAILED.search(log))


def migration_locked(log: str) -> bool:
    """Whether a start has failed because another process migrates the tables, or was killed while it did."""
    return start_failed(log) and "Migration table is already locked" in log


def reason(log: str) -> str:
    """The sentence of the log that tells why the backend does not start; the last line where none does."""
    last = found = exit_status = ""
    for line in _COLOR.sub("", log).splitlines():
        text = _message(line)
        last = text or last
        exit_status = line if "Main process exited" in line else exit_status
        if _FAILURE.search(text) or _ERROR.search(text):
            found = text
    # Each layer puts its own words before those of the one below; the innermost has the cause.
    parts = re.split(r"(?:, |caused by )\w*Error(?: \[\w+\])?: ", found)
    return printable((parts[-1] or last or exit_status).strip().removeprefix("Unhandled rejection "))


def progress(log: str) -> str:
    """The last thing that the backend itself wrote, whatever its level, as one line; empty where there is nothing."""
    for line in reversed(_COLOR.sub("", log).splitlines()):
        entry = _entry(line)
        text = str(entry.get("message", "")) if entry is not None else _plain(line)
        if text and (entry or {}).get("type") != "incomingRequest":
            return printable(" ".join(text.split())[:300])
    return ""


def _message(line: str) -> str:
    """A line's text, where it may be a reason."""
    entry = _entry(line)
    if entry is None:
        return _plain(line)
    return str(entry.get("message", "")) if entry.get("level") in (None, "error") else ""


def _plain(line: str) -> str:
    return "" if line.startswith(("    at ", "}")) or _ROUTINE.search(line) else line.strip()


def _entry(line: str) -> dict[str, object] | None:
    """The fields of a line in JSON; None for one in another form."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None
    return None
