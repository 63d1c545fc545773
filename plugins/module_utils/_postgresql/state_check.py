# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server's own views show to be wrong with a change.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import begin_mark
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import shown
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_check import not_included
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import ServerState

if TYPE_CHECKING:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import Plan

_SSL_IS_OFF = "SSL is disabled"


def reject_overridden(made: Plan, state: ServerState) -> None:
    """Reject files that the server does not read, or cannot load."""
    path = made.settings.held.path
    in_place = all(planned.in_place for planned in made.setting_files)
    if in_place and made.names and not any(row.file == path for row in state.files):
        raise not_included(made.current.cluster)
    replaced = () if in_place else made.our_paths
    for row in state.files:
        setting = state.settings.get(row.name)
        # What waits for a restart is marked as an error too.
        if row.error and not (setting and setting.context == "postmaster") and row.file not in replaced:
            place = f"{row.file}, line {row.line}"
            raise CollectionError(f"{place}: PostgreSQL reports: {row.error}.", "Correct that line.")


def reject_rules(made: Plan, state: ServerState) -> list[str]:
    """Reject rules that the server cannot load; the warnings about those that never match."""
    warnings = []
    path, rules = made.current.cluster.access_file, made.wanted.rules or ()
    text = (made.access.new if made.access.in_place else made.access.old) or b""
    lines = text.splitlines()
    first = lines.index(begin_mark(made.current.choice.portal)) + 2 if rules and made.access.in_place else 0
    for row in state.rules:
        number, error = row["line_number"], row["error"]
        if error is None:
            continue
        file = row.get("file_name") or path
        if first and file == path and first < number <= first + len(rules):
            remedy = "Set ssl to true in O(settings), or choose type host." if _SSL_IS_OFF in error else "Correct it."
            rule = f'rule {number - first} ("{shown(lines[number - 1])}")'
            raise CollectionError(f"O(access_rules), {rule}: PostgreSQL reports: {error}.", remedy)
        if _SSL_IS_OFF in error:
            warnings.append(f"{file}, line {number}: PostgreSQL reports: {error}.")
            continue
        raise CollectionError(f"{file}, line {number}: PostgreSQL reports: {error}.", "Correct that line.")
    return warnings
