# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a cluster's rules with encryption, once the sessions of the server were looked at.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import rules_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import WantedConfig
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.current_config import CurrentConfig
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.encrypted_rules import (
    Encryption,
    encrypted_rules,
    uncovered,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import (
    query_addresses,
    query_unencrypted,
)

# A Backstage that was restarted leaves sessions that end a moment later.
_PATIENCE = 15.0  # seconds
_PAUSE = 0.5


def encrypted(wanted: WantedConfig, current: CurrentConfig, encryption: Encryption, *, wait: bool) -> WantedConfig:
    """The wish with rules for encrypted connections, and a warning about clients that would be cut off.

    Args:
        wanted: the wish; one without rules is not changed.
        current: what is there.
        encryption: of whose connections; without a user, nothing is changed.
        wait: whether sessions that are about to end are waited for.
    """
    if wanted.rules is None or not wanted.present or not encryption.users:
        return wanted
    warnings: list[str] = []
    if encryption.required:
        warnings = _unencrypted(current, encryption, wait)
        encryption = replace(encryption, required=not warnings)
    access, portal = current.files.access, current.choice.portal
    present = rules_of(access.data or b"", portal, access.path) if current.exists else None
    rules, waiting = encrypted_rules(wanted.rules, present, encryption)
    if encryption.required and encryption.client_certificate:
        warnings = _left_out(current, encryption, rules)
        if warnings:
            rules, waiting = encrypted_rules(wanted.rules, present, replace(encryption, required=False))
    return replace(wanted, rules=rules, unencrypted=waiting, warnings=warnings)


def _unencrypted(current: CurrentConfig, encryption: Encryption, wait: bool) -> list[str]:
    """A warning where users have connections that new rules would not allow any more."""
    server = current.server
    if server is None or current.state is None:
        return []
    certificates = bool(encryption.client_certificate)
    deadline = time.monotonic() + _PATIENCE
    while True:
        login = current.choice.login
        found = query_unencrypted(current.cluster, server, login, encryption.users, certificates)
        if not found or not wait or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    if not found:
        return []
    clients = ", ".join(f"{user} from {address} ({count})" for user, address, count in found)
    what = "without TLS or a client certificate" if certificates else "without TLS"
    return [
        f"Cluster {current.cluster}: the access rules still allow connections {what}, because clients have some: "
        f"{clients}. Restart these clients with the new configuration, and run this again."
    ]


def _left_out(current: CurrentConfig, encryption: Encryption, rules: Sequence[AccessRule]) -> list[str]:
    """A warning where users are connected by rules that are not the portal's, which count for them no more."""
    server = current.server
    if server is None or current.state is None:
        return []
    clients = query_addresses(current.cluster, server, current.choice.login, encryption.users)
    left = uncovered(rules, clients, _is_own)
    if not left:
        return []
    return [
        f"Cluster {current.cluster}: client certificates are not demanded yet, because none of the access rules of the "
        f"portal allows {', '.join(encryption.users)} from {', '.join(left)}, where clients are connected. Add a rule "
        "for these addresses, and run this again."
    ]


def _is_own(address: str) -> bool:
    """Whether an address is one of this host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False
