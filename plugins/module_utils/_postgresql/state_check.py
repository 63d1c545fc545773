# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server's own views show to be wrong with a change.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import shown
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_check import not_included
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import ServerState

if TYPE_CHECKING:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import Plan

_SSL_IS_OFF = "SSL is disabled"


def reject_overridden(made: Plan, state: ServerState) -> None:
    """Reject a setting that another file or ALTER SYSTEM overrides, and files that the server cannot load."""
    path = made.settings.held.path
    in_place = made.settings.in_place and made.main.in_place
    for name, value in made.names.items():
        rows = [row for row in state.files if row.name == name]
        read = any(row.file == path for row in rows)
        if in_place and not read:
            raise not_included(made.current.cluster)
        last = rows[-1] if rows else None
        if last is None or last.file == path or last.value == value:
            continue
        by_command = os.path.basename(last.file) == "postgresql.auto.conf"
        if not by_command and not read:
            continue  # Our file is not there yet, or does not have it yet.
        remedy = f'Run "ALTER SYSTEM RESET {name}"' if by_command else "Remove it there"
        raise CollectionError(
            f'settings: {name} is overridden in {last.file}, line {last.line}, by "{last.value}".',
            f"{remedy}, or remove it from settings.",
        )
    replaced = None if in_place else path
    for row in state.files:
        setting = state.settings.get(row.name)
        # What waits for a restart is marked as an error too.
        if row.error and not (setting and setting.context == "postmaster") and row.file != replaced:
            raise CollectionError(
                f"{row.file}, line {row.line}: PostgreSQL reports: {row.error}.", "Correct that line."
            )


def reject_rules(made: Plan, state: ServerState) -> list[str]:
    """Reject rules that the server cannot load; the warnings about those that never match."""
    warnings = []
    path, ours = made.current.cluster.access_file, len(made.wanted.rules or ())
    text = (made.access.new if made.access.in_place else made.access.old) or b""
    lines = shown(text).splitlines()
    for row in state.rules:
        number, error = row["line_number"], row["error"]
        if error is None:
            continue
        file = row.get("file_name") or path
        if file == path and 1 < number <= ours + 1 and made.access.in_place:
            remedy = "Set ssl to true in settings, or give it type host." if _SSL_IS_OFF in error else "Correct it."
            rule = f'rule {number - 1} ("{lines[number - 1]}")'
            raise CollectionError(f"access_rules, {rule}: PostgreSQL reports: {error}.", remedy)
        if _SSL_IS_OFF in error:
            warnings.append(f"{file}, line {number}: PostgreSQL reports: {error}.")
            continue
        raise CollectionError(f"{file}, line {number}: PostgreSQL reports: {error}.", "Correct that line.")
    return warnings
