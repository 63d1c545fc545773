# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that the modules of backups and upgrades share, and how their errors name them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import cluster_argument_spec

_OF_CLUSTER = ("version", "cluster", "login_user", "login_password", "create")
_OF_PLAYBOOK = ("restore_time",)


def backup_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec that goes with the doc fragment `devportal.backstage.backup`."""
    return {
        **cluster_argument_spec(),
        "supervisor": {"type": "str", "choices": ["patroni"]},
        "stanza": {"type": "str", "default": "backstage"},
    }


@contextlib.contextmanager
def reported_as_variables(module: Any) -> Iterator[None]:
    """End a module with the text of a CollectionError, its options, written O(name), as the reader knows them."""
    with reported_by(module):
        try:
            yield
        except CollectionError as error:
            raise CollectionError(named(str(error), module.params["variable_prefix"])) from error


def named(text: str, prefix: str) -> str:
    """A message with its options as its reader knows them.

    Args:
        text: the message.
        prefix: of the role's variables, such as `backstage_postgresql_backup_`; empty for the module's own options.
    """

    def name(found: re.Match[str]) -> str:
        option = found[1]
        if not prefix:
            return option
        # Those of the cluster are another role's variables.
        return f"backstage_postgresql_{option}" if option in _OF_CLUSTER + _OF_PLAYBOOK else f"{prefix}{option}"

    return re.sub(r"O\((\w+)\)", name, text)
