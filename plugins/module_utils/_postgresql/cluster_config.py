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
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import units
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import (
    first_version_rules,
    users_of,
    with_block,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_overlap import narrowed_rules
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_apply import Application
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import (
    ConfigResult,
    SettingChange,
    WantedConfig,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.configuration_files import PlannedFile
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.current_config import (
    CurrentConfig,
    current_config,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import tcp_address
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.plan_check import check_plan
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_check import (
    Staged,
    effective_settings,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import (
    CLOCK_GRAIN,
    SESSION_SOURCES,
    ServerState,
    Setting,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import (
    Include,
    our_include,
    portal_of,
    settings_text,
    with_include,
    written_settings,
)

DEFAULT_ADDRESSES = "localhost"  # PostgreSQL's own
_CERTIFICATE_FILES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")


class Plan:
    """A change of one cluster.

    Attributes:
        settings, first_version, access, main: the files as they are to be.
        names: the settings that the portal's file is to hold.
        steps: what is to be done, as `preview` returns it.
    """

    def __init__(self, current: CurrentConfig, wanted: WantedConfig) -> None:
        self.current = current
        self.wanted = wanted
        files = current.files
        adopt = self._adopts_first_version()
        text = self._settings_text(adopt)
        self.names = written_settings(text)
        include = self._include(text, adopt)
        ours = self._our_include()
        self.settings = PlannedFile(files.settings, text, files.main, bool(ours and ours.created and not include))
        legacy = None if adopt else files.first_version.data
        self.first_version = PlannedFile(files.first_version, legacy, files.main)
        self.access = PlannedFile(files.access, self._access_text(adopt), files.main)
        main = files.main.data if files.main.data is None else with_include(files.main.data, include)
        self.main = PlannedFile(files.main, main, files.main)
        self.steps = ConfigResult()

    def _adopts_first_version(self) -> bool:
        """Whether the file and the block of version 1.0.0, which name no portal, are this portal's."""
        rules = first_version_rules(self.current.files.access.data or b"")
        if not rules:
            return True
        own = {self.current.choice.portal, "all"}
        for rule in self.wanted.rules or ():
            own.update(rule.users)
        return any(own & users_of(rule) for rule in rules)

    def _settings_text(self, adopt: bool) -> bytes | None:
        files = self.current.files
        if self.wanted.settings is not None:
            return settings_text(self.wanted.settings)
        if files.settings.data is None and adopt:
            return settings_text(written_settings(files.first_version.data))
        return files.settings.data

    def _access_text(self, adopt: bool) -> bytes | None:
        access, wanted = self.current.files.access, self.wanted.rules
        rules = None if wanted is None else [rule.line().encode() for rule in wanted]
        text = with_block(access.data or b"", self.current.choice.portal, rules, adopt=adopt, path=access.path)
        return text if self.current.exists or text else None

    def _our_include(self) -> Include | None:
        main = self.current.files.main
        return our_include(main.data or b"", os.path.dirname(main.path))

    def _include(self, text: bytes | None, adopt: bool) -> Include | None:
        """Our block of postgresql.conf as it is to be."""
        files, ours = self.current.files, self._our_include()
        directory = os.path.dirname(files.settings.path)
        if text is not None:
            return ours if files.included else Include(directory, not os.path.isdir(directory))
        going = {files.settings.path, files.first_version.path if adopt else ""}
        entries = os.listdir(directory) if ours and os.path.isdir(directory) else []
        return ours if {os.path.join(directory, entry) for entry in entries} - going else None

    @property
    def setting_files(self) -> tuple[PlannedFile, ...]:
        """In the order in which they are written: what includes comes after what is included."""
        return self.settings, self.first_version, self.main

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        return (*self.setting_files, self.access)

    @property
    def our_paths(self) -> tuple[str, ...]:
        """The portal's settings files, present and former."""
        first_version = self.first_version
        adopted = (first_version.held.path,) if first_version.new is None else ()
        return (self.settings.held.path, *adopted)

    @property
    def differs(self) -> bool:
        return any(planned.differs for planned in self.files)

    @property
    def staged_before(self) -> Staged:
        """The configuration as it is on disk."""
        return Staged(self.current.cluster, self.settings.held.path, self.settings.old, self.main.old or b"")

    @property
    def staged(self) -> Staged:
        gone = self.our_paths[1:]
        return Staged(self.current.cluster, self.settings.held.path, self.settings.new, self.main.new or b"", gone)

    def stale(self, planned: PlannedFile, state: ServerState) -> bool:
        """Whether the server has loaded something else than what the file says now."""
        path = planned.held.path
        if self.current.cluster.supervisor and planned is not self.settings:
            # Its manager writes the other files, now and then without a reload, and loads them itself.
            return False
        if portal_of(os.path.basename(path)) is not None and not os.path.exists(planned.held.real_path):
            return any(setting.file == path and not setting.pending for setting in state.settings.values())
        return bool(state.loaded - CLOCK_GRAIN < planned.held.modified <= time.time())

    def stale_certificates(self, state: ServerState) -> bool:
        """Whether a certificate or key that our file names was replaced since the server has read its files."""
        names = [self.names[name] for name in _CERTIFICATE_FILES if self.names.get(name)]
        paths = [os.path.join(self.current.cluster.data_directory, name) for name in names]
        times = [os.stat(path).st_mtime for path in paths if os.path.exists(path)]
        return any(state.loaded - CLOCK_GRAIN < changed <= time.time() for changed in times)

    def ours_pending(self, state: ServerState) -> list[str]:
        """The settings that wait for a restart because of our file."""
        return [
            setting.name
            for setting in state.settings.values()
            if setting.pending and (setting.name in self.names or setting.file in self.our_paths)
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
        choice = replace(current.choice, version=version, create=False)
        with current_config(current.platform, choice) as created:
            result = plan(created, wanted).apply()
        result.created = True
        return result


def plan(current: CurrentConfig, wanted: WantedConfig) -> Plan:
    """Compare what is there with what is wanted.

    Raises:
        CollectionError: what can be rejected before anything is touched.
    """
    made = Plan(current, wanted)
    warnings = check_plan(made)
    made.steps = _steps(made)
    made.steps.warnings = [*wanted.warnings, *warnings]
    return made


def _steps(made: Plan) -> ConfigResult:
    current, wanted = made.current, made.wanted
    cluster, state = current.cluster, current.state
    steps = ConfigResult(
        created=wanted.present and not current.exists,
        at_boot=_enables_at_boot(current, wanted),
        started=wanted.online and current.server is None,
        differences=[planned.difference() for planned in made.files if planned.differs],
    )
    in_force: Mapping[str, str] = {
        "port": str(cluster.port), "listen_addresses": DEFAULT_ADDRESSES, **made.names
    }  # fmt: skip
    if state:
        steps.changes = _changes(made, state)
        waiting = {change.name for change in steps.changes if change.effect == "restart"}
        ours = {*made.ours_pending(state), *waiting}
        stale = made.stale_certificates(state) or any(made.stale(planned, state) for planned in made.files)
        steps.reloaded = made.differs or stale
        steps.restarted = bool(ours) and wanted.restart
        others = _waiting_in_files(made, state) if steps.reloaded else set(state.pending())
        steps.pending_restart = [] if steps.restarted else sorted({*others, *ours})
        if made.access.differs:
            steps.narrowed = narrowed_rules(wanted.rules or (), state.rules, made.current.files.access.data or b"")
        loaded = {setting.name: setting.value or "" for setting in state.settings.values()}
        in_force = {**loaded, **(effective_settings(made.staged, in_force) if steps.restarted else {})}
    elif current.server:
        steps.reloaded = made.differs
    elif current.exists:
        in_force = effective_settings(made.staged, in_force)
    steps.port = int(in_force["port"])
    steps.host = tcp_address(in_force["listen_addresses"])
    return steps


def _waiting_in_files(made: Plan, state: ServerState) -> set[str]:
    """The settings of other files that a reload would find to need a restart, less those that our file overrides."""
    found = {row.name for row in state.files if row.error and row.file not in made.our_paths}
    return (found & set(state.settings)) - set(made.names)


def _enables_at_boot(current: CurrentConfig, wanted: WantedConfig) -> bool:
    """Whether the start at boot has to be enabled: on request, and for a cluster of ours that is new."""
    new = not current.exists or current.cluster.unfinished
    asked = wanted.present and (new if wanted.at_boot is None else wanted.at_boot)
    return asked and (new or not current.platform.starts_at_boot(current.cluster))


def _server_wide(setting: Setting, configured: str, state: ServerState) -> Setting:
    """The setting as others have it, where the session that has read it overrides it for itself."""
    if setting.source not in SESSION_SOURCES:
        return setting
    row = next((row for row in reversed(state.files) if row.name == setting.name and not row.error), None)
    return replace(
        setting,
        value=configured,
        shown=units.shown(configured, setting.unit),
        source="configuration file" if row else "default",
        file=row.file if row else None,
        line=row.line if row else None,
    )


def _changes(made: Plan, state: ServerState) -> list[SettingChange]:
    """The settings of our files whose values in force change."""
    if not any(planned.differs or made.stale(planned, state) for planned in made.setting_files):
        return []
    ours = [
        setting
        for setting in state.settings.values()
        if setting.context != "internal" and (setting.name in made.names or setting.file in made.our_paths)
    ]
    after = effective_settings(made.staged, [setting.name for setting in ours])
    # A setting costs a process, so the configuration of now is asked for those alone that may change.
    ours = [one for one in ours if one.source in SESSION_SOURCES or after[one.name] != one.value]
    before = effective_settings(made.staged_before, [setting.name for setting in ours])
    loaded = not any(made.stale(planned, state) for planned in made.setting_files)
    changes = []
    for setting in (_server_wide(each, before[each.name], state) for each in ours):
        then = after[setting.name]
        # The server shows some in another form than its files have, such as -1 for "computed at the start".
        same = loaded and not setting.pending and before[setting.name] == then
        if then != setting.value and not same:
            effect = "restart" if setting.context == "postmaster" else "reload"
            text = made.names.get(setting.name, units.shown(then, setting.unit, setting.shown))
            changes.append(SettingChange(setting.name, setting.shown, setting.place, text, effect))
    # Settings of extensions that are not loaded have no row.
    old = written_settings(made.settings.old)
    new = {name: value for name, value in made.names.items() if name not in state.settings and old.get(name) != value}
    return changes + [SettingChange(name, old.get(name), "not loaded", value, "reload") for name, value in new.items()]
