# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be rejected of a plan before anything is touched.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import (
    check_addresses,
    check_port,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_check import (
    check_settings,
    configured,
    effective_settings,
    values_of,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.setting_places import (
    PLACES,
    check_places,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.state_check import (
    reject_overridden,
    reject_rules,
)

if TYPE_CHECKING:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import Plan

_DEFAULT_ADDRESSES = "localhost"  # PostgreSQL's own
_AUTO = "postgresql.auto.conf"  # what ALTER SYSTEM writes


def check_plan(made: Plan) -> list[str]:
    """Reject what cannot work; warnings about what may surprise.

    Raises:
        CollectionError: with the option at fault.
    """
    current, names = made.current, made.names
    cluster = current.cluster
    if current.exists and made.wanted.present and not cluster.supervisor:
        _reject_standby(made)
        _reject_disabled(made)
    warnings = []
    if current.exists and any(planned.differs for planned in made.setting_files):
        _reject_conflicts(made)
        check_settings(made.staged, names)
        warnings = _reject_places(made)
    if current.exists:
        _reject_overriding(made)
    port = int(names.get("port", 0))
    addresses = names.get("listen_addresses")
    if addresses is not None and made.settings.differs:
        check_addresses(addresses)
    if port and not (current.server and current.server.port == port):
        own = cluster if current.exists else None
        check_port(port, _DEFAULT_ADDRESSES if addresses is None else addresses, own, current.others)
        current.platform.check_port(port)
    if current.state:
        reject_overridden(made, current.state)
        reject_rules(made, current.state)
    return warnings + _moved_port(made)


def _reject_places(made: Plan) -> list[str]:
    """Reject paths that are missing; only a warning where an earlier task would have created them."""
    if not PLACES.intersection(made.names):
        return []
    in_force = effective_settings(made.staged, ("ssl", "logging_collector"))
    ssl, collector = (in_force[name] == "on" for name in ("ssl", "logging_collector"))
    try:
        check_places(made.current.cluster, made.names, ssl=ssl, collector=collector)
    except CollectionError as error:
        if not made.current.bare_host:
            raise
        return [f"{error} Without check mode this is an error, unless an earlier task creates it."]
    return []


def _reject_standby(made: Plan) -> None:
    current = made.current
    data = current.cluster.data_directory
    by_file = any(os.path.lexists(os.path.join(data, f"{name}.signal")) for name in ("standby", "recovery"))
    if by_file if current.state is None else current.state.in_recovery:
        primary = primary_of(configured(current.cluster, "primary_conninfo"))
        raise CollectionError(
            f"Cluster {current.cluster}: is a standby{f' of {primary}' if primary else ''}, which takes no changes of "
            "its own; nothing was changed.",
            f"Run this on {primary or 'its primary'}, or choose another cluster with O(cluster).",
        )


def primary_of(conninfo: str) -> str:
    """Host and port in a primary_conninfo; empty where it has none. Its password is left out."""
    if "://" in conninfo:
        parts = urlsplit(conninfo)
        return f"{parts.hostname}:{parts.port or DEFAULT_PORT}" if parts.hostname else ""
    fields = {name: value.strip("'") for name, value in re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", conninfo)}
    host = fields.get("host") or fields.get("hostaddr")
    return f"{host}:{fields.get('port', DEFAULT_PORT)}" if host else ""


def _reject_disabled(made: Plan) -> None:
    current, wanted = made.current, made.wanted
    if current.server is None and wanted.online and current.cluster.start == "disabled" and not wanted.at_boot:
        raise CollectionError(
            f"Cluster {current.cluster}: its server is down, and its start is disabled.",
            "Set O(start_at_boot) to true, or start it yourself.",
        )


def _reject_conflicts(made: Plan) -> None:
    """Two portals must not take turns with one setting."""
    cluster, portal = made.current.cluster, made.current.choice.portal
    for other, theirs in made.current.files.portals.items():
        for name in made.names.keys() & theirs.keys():
            ours, value = made.names[name], theirs[name]
            if ours == value or values_of(cluster, {name: ours}) == values_of(cluster, {name: value}):
                continue
            raise CollectionError(
                f'O(settings): {name} = "{ours}" of portal "{portal}" contradicts "{value}" of portal "{other}".',
                "Give both portals the same value, or set it in one of them only.",
            )


def _reject_overriding(made: Plan) -> None:
    """Reject a setting that another file or ALTER SYSTEM overrides: ours would be written and not take effect."""
    current = made.current
    rows = current.state.files if current.state else ()
    last_files = {row.name: row.file for row in rows}
    elsewhere = {row.name for row in rows if row.file not in made.our_paths}
    if not any(planned.differs for planned in made.setting_files):
        elsewhere = {name for name, file in last_files.items() if file not in made.our_paths}
    suspects = {name: value for name, value in made.names.items() if current.state is None or name in elsewhere}
    if not suspects:
        return
    effective, asked = effective_settings(made.staged, suspects), values_of(current.cluster, suspects)
    for name in suspects:
        if effective[name] == asked[name]:
            continue
        last = next((row for row in reversed(rows) if row.name == name and row.file not in made.our_paths), None)
        file = last.file if last else os.path.join(current.cluster.data_directory, _AUTO)
        place = f"{last.file}, line {last.line}" if last else "another file"
        by_command = last is None or os.path.basename(file) == _AUTO
        remedy = f'Run "ALTER SYSTEM RESET {name}"' if by_command else "Remove it there"
        raise CollectionError(
            f'O(settings): {name} is overridden in {place}, by "{last.value if last else effective[name]}".',
            f"{remedy}, or remove {name} from O(settings).",
        )


def _moved_port(made: Plan) -> list[str]:
    """A new cluster's port is the next free one where the usual one is taken."""
    current, port = made.current, made.current.cluster.port
    new = not current.exists or current.cluster.unfinished
    if not made.wanted.present or not new or "port" in made.names or port == DEFAULT_PORT:
        return []
    takers = [str(cluster) for cluster in current.others if cluster.port == DEFAULT_PORT]
    return [
        f"Cluster {current.cluster}: its port is {port}, because {DEFAULT_PORT} is already used by "
        f"{f'cluster {takers[0]}' if takers else 'another process'}. Set O(port) to choose another one."
    ]
