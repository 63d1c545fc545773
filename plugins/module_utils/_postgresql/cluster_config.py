# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a cluster's configuration: planned as a whole, then shown or applied.

`plan` compares what is there with what is wanted and rejects what can be rejected before anything changes. Check mode
and the real run share its result, so they cannot disagree. What a killed run left half done is part of what is there:
a file that is newer than what the server has loaded, a setting that waits for a restart, a server that is down.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import with_block
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_apply import Application
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import (
    ConfigResult,
    WantedConfig,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.configuration_files import PlannedFile
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.current_config import (
    ClusterChoice,
    CurrentConfig,
    current_config,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import check_port, tcp_address
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_check import (
    Staged,
    check_settings,
    effective_settings,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import (
    CLOCK_GRAIN,
    ServerState,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import (
    Include,
    our_include,
    settings_text,
    with_include,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.state_check import (
    reject_overridden,
    reject_rules,
)

_DEFAULT_ADDRESSES = "localhost"  # PostgreSQL's own


class Plan:
    """A change of one cluster.

    Attributes:
        settings, access, main: the files as they are to be.
        names: the settings that our file is to hold.
        steps: what is to be done, as `preview` returns it.
    """

    def __init__(self, current: CurrentConfig, wanted: WantedConfig) -> None:
        self.current = current
        self.wanted = wanted
        self.names = dict(wanted.settings or {})
        files = current.files
        text = files.settings.data if wanted.settings is None else settings_text(wanted.settings)
        old = files.access.data or b""
        rules = old if wanted.rules is None else with_block(old, wanted.rules, files.access.path)
        include = self._include(text)
        ours = our_include(files.main.data or b"", os.path.dirname(files.main.path))
        self.settings = PlannedFile(files.settings, text, files.main, bool(ours and ours.created and not include))
        self.access = PlannedFile(files.access, rules if current.exists or rules else None, files.main)
        main = files.main.data if files.main.data is None else with_include(files.main.data, include)
        self.main = PlannedFile(files.main, main, files.main)
        self.steps = ConfigResult()

    def _include(self, text: bytes | None) -> Include | None:
        """Our block of postgresql.conf as it is to be."""
        files = self.current.files
        directory = os.path.dirname(files.settings.path)
        ours = our_include(files.main.data or b"", os.path.dirname(files.main.path))
        if text is not None:
            return ours if files.included else Include(directory, not os.path.isdir(directory))
        others = os.listdir(directory) if ours and os.path.isdir(directory) else []
        return ours if set(others) - {os.path.basename(files.settings.path)} else None

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        """In the order in which they are written: what includes comes after what is included."""
        return self.settings, self.main, self.access

    @property
    def differs(self) -> bool:
        return any(planned.differs for planned in self.files)

    @property
    def staged(self) -> Staged:
        held = self.current.files
        return Staged(self.current.cluster, held.settings.path, self.settings.new, self.main.new or b"")

    def stale(self, planned: PlannedFile, state: ServerState) -> bool:
        """Whether the server has loaded something else than what the file says now."""
        if planned is self.settings and not os.path.exists(planned.held.real_path):
            path = planned.held.path
            return any(setting.file == path and not setting.pending for setting in state.settings.values())
        return bool(state.loaded - CLOCK_GRAIN < planned.held.modified <= time.time())

    def ours_pending(self, state: ServerState) -> list[str]:
        """The settings that wait for a restart because of our file."""
        path = self.settings.held.path
        return [
            setting.name
            for setting in state.settings.values()
            if setting.pending and (setting.name in self.names or setting.file == path)
        ]

    def preview(self) -> ConfigResult:
        """What `apply` would do, as far as this can be known."""
        return replace(self.steps)

    def apply(self) -> ConfigResult:
        """Do it.

        Raises:
            CollectionError: PostgreSQL rejects something. The files are rolled back, and the server runs as before.
        """
        current, wanted = self.current, self.wanted
        if current.exists:
            return Application(self).run()
        if not wanted.present:
            return self.preview()
        version, name = current.cluster.version, current.cluster.name
        current.platform.create(version, name, wanted.locale, wanted.initdb_options)
        with current_config(current.platform, ClusterChoice(version, name, False, version)) as created:
            result = plan(created, wanted).apply()
        result.created = True
        return result


def plan(current: CurrentConfig, wanted: WantedConfig) -> Plan:
    """Compare what is there with what is wanted.

    Raises:
        CollectionError: what can be rejected before anything is touched.
    """
    made = Plan(current, wanted)
    _check(made)
    made.steps = _steps(made)
    return made


def _check(made: Plan) -> None:
    current, names = made.current, made.names
    if current.exists and (made.settings.differs or made.main.differs):
        check_settings(made.staged, names)
    port = int(names.get("port", 0))
    if port and not (current.server and current.server.port == port):
        cluster = current.cluster if current.exists else None
        check_port(port, names.get("listen_addresses", _DEFAULT_ADDRESSES), cluster, current.others)
        current.platform.check_port(port)
    if current.state:
        reject_overridden(made, current.state)
        reject_rules(made, current.state)


def _steps(made: Plan) -> ConfigResult:
    current, wanted, names = made.current, made.wanted, made.names
    cluster, state = current.cluster, current.state
    steps = ConfigResult(
        created=wanted.present and not current.exists,
        at_boot=wanted.at_boot and not (current.exists and current.platform.starts_at_boot(cluster)),
        started=wanted.online and current.server is None,
        differences=[planned.difference() for planned in made.files if planned.differs],
    )
    in_force = {"port": str(cluster.port), "listen_addresses": _DEFAULT_ADDRESSES, **names}
    if state:
        loaded = {setting.name: setting.value or "" for setting in state.settings.values()}
        after = _after(made, state)
        ours = set(made.ours_pending(state)) | {name for name, value in after.items() if loaded[name] != value}
        steps.reloaded = made.differs or any(made.stale(planned, state) for planned in made.files)
        steps.restarted = bool(ours) and wanted.restart
        steps.pending_restart = [] if steps.restarted else sorted({*state.pending(), *ours})
        in_force = {**loaded, **(effective_settings(made.staged, in_force) if steps.restarted else {})}
    elif current.server:
        steps.reloaded = made.differs
    elif current.exists:
        in_force = effective_settings(made.staged, in_force)
    steps.port = int(in_force["port"])
    steps.host = tcp_address(in_force["listen_addresses"])
    return steps


def _after(made: Plan, state: ServerState) -> dict[str, str]:
    """The values after a restart of the settings of our file that need one."""
    if not any(planned.differs or made.stale(planned, state) for planned in (made.settings, made.main)):
        return {}
    path = made.settings.held.path
    fixed = [
        setting.name
        for setting in state.settings.values()
        if setting.context == "postmaster" and (setting.name in made.names or setting.file == path)
    ]
    return effective_settings(made.staged, fixed)
