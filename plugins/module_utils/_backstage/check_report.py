# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a database and their outcome, as data.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

_WORDS = {True: "ok", False: "warning", None: "unknown"}


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        ok: None where it could not be asked.
        message: a sentence.
        remedy: what to do, as a sentence; empty where nothing has to be done.
        fatal: whether Backstage does not start because of it.
    """

    name: str
    ok: bool | None
    message: str
    remedy: str = ""
    fatal: bool = False


@dataclass
class Report:
    """All answers.

    Attributes:
        server_version: as the server says it, or None.
        library: whether psycopg2 was there to ask with.
        databases: what there is of the plugins' databases (in schema mode, schemas): name, owner, size in bytes, rows.
    """

    checks: list[Check] = field(default_factory=list)
    server_version: str | None = None
    library: bool = True
    databases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def would_start(self) -> bool | None:
        """Whether Backstage would start; None where nobody can tell."""
        if any(check.fatal and check.ok is False for check in self.checks):
            return False
        return None if any(check.fatal for check in self.checks) else True

    @property
    def failure(self) -> Check | None:
        """The first check that stops Backstage."""
        return next((check for check in self.checks if check.fatal and check.ok is False), None)

    def passed(self, name: str, message: str) -> None:
        self.checks.append(Check(name, True, message))

    def warned(self, name: str, message: str, remedy: str) -> None:
        self.checks.append(Check(name, False, message, remedy))

    def failed(self, name: str, message: str, remedy: str) -> None:
        self.checks.append(Check(name, False, message, remedy, fatal=True))

    def unknown(self, name: str, message: str, remedy: str = "") -> None:
        self.checks.append(Check(name, None, message, remedy, fatal=True))

    def as_result(self) -> list[dict[str, Any]]:
        """The checks as plain data."""
        return [asdict(check) for check in self.checks]

    def table(self, sentence: str) -> list[str]:
        """The lines for people: the sentence, one line a check with its remedy below, one line a database.

        The names of plugins are of any length, and the messages begin in one column.
        """
        width = max(len(name) for name in ("database", *(check.name for check in self.checks)))
        lines = [sentence]
        for check in self.checks:
            word = "FAILED" if check.fatal and check.ok is False else _WORDS[check.ok]
            lines.append(f"  {word:<8} {check.name:<{width}} {check.message}")
            if check.remedy:
                lines.append(f"  {'':<8} {'':<{width}} -> {check.remedy}")
        for entry in self.databases:
            name = entry["name"] if entry["schema"] is None else f"{entry['name']}, schema {entry['schema']}"
            size = "" if entry["size"] is None else f", {entry['size'] / 1048576:.1f} MiB"
            count = "" if entry["rows"] is None else f", about {entry['rows']} rows"
            if entry["analyzed"] is False:
                count = ", rows not analyzed yet"
            lines.append(f"  {'':<8} {'database':<{width}} {name}: owner {entry['owner']}{size}{count}")
        return lines


class Stop(Exception):
    """A failed check after which the rest cannot be asked."""
