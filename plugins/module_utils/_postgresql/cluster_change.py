# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a cluster, and what was done about it.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster


@dataclass(frozen=True)
class WantedConfig:
    """What our settings file and our block of rules are to hold; None leaves the one or the other as it is.

    Attributes:
        present: create the cluster when it is missing.
        online: start the server when it is down.
        at_boot: whether it is to start with the host; None leaves that as it is, and enables it for a new cluster.
        restart: whether the server may be restarted where a setting needs it.
        locale, initdb_options: of a cluster that is created.
        unencrypted: those of the rules that allow unencrypted connections until the caller requires encryption.
        warnings: sentences that the plan passes on.
    """

    settings: Mapping[str, str] | None
    rules: Sequence[AccessRule] | None
    present: bool = True
    online: bool = True
    at_boot: bool | None = None
    restart: bool = True
    locale: str = "C.UTF-8"
    initdb_options: Sequence[str] = ()
    unencrypted: Sequence[str] = ()
    warnings: Sequence[str] = ()


def supervised(wanted: WantedConfig, cluster: Cluster) -> WantedConfig:
    """What is left of a wish where a cluster manager runs the server: the settings, which a reload loads.

    Raises:
        CollectionError: rules are wanted, which the manager would overwrite.
    """
    if not cluster.supervisor:
        return wanted
    if wanted.rules:
        raise CollectionError(
            f"O(access_rules): {cluster.supervisor} writes the access rules of cluster {cluster}.",
            "Remove O(access_rules) here; the role backstage_postgresql_ha passes them on.",
        )
    return replace(wanted, rules=None, online=False, at_boot=False, restart=False)


@dataclass(frozen=True)
class SettingChange:
    """A setting whose value in force changes.

    Attributes:
        before: the value in force, as SHOW shows it; None where that is not known.
        place: where it comes from.
        after: the value that takes effect.
        effect: "reload" or "restart".
    """

    name: str
    before: str | None
    place: str
    after: str
    effect: str


@dataclass
class ConfigResult:
    """What was done, or would be.

    Attributes:
        at_boot: the server's start with the host was turned on.
        pending_restart: the settings whose values on disk wait for a restart, whoever wrote them.
        host: an address on which a client of the same machine reaches the server; None without TCP.
        changes: the settings whose values in force change.
        narrowed: the present rules over which new ones take precedence, and those.
        differences: of each file that differs its path, the old and the new text, secrets masked.
    """

    created: bool = False
    at_boot: bool = False
    started: bool = False
    reloaded: bool = False
    restarted: bool = False
    pending_restart: list[str] = field(default_factory=list)
    host: str | None = None
    port: int = 0
    changes: list[SettingChange] = field(default_factory=list)
    narrowed: list[tuple[str, str]] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        steps = (self.created, self.at_boot, self.started, self.reloaded, self.restarted)
        return bool(self.differences) or any(steps)

    def shown(self, cluster: str) -> list[dict[str, str]]:
        """The diff of a module: the files, then what the change means to the server."""
        pairs = list(self.differences)
        changes = [
            (f"{one.name} = {one.before!r} ({one.place})", f"{one.name} = {one.after!r} ({one.effect})")
            for one in self.changes
        ]
        boot = [("no", "yes")] if self.at_boot else []
        titles = (("settings in force", changes), ("rules in force", self.narrowed), ("start at boot", boot))
        for title, lines in titles:
            if lines:
                old, new = ("".join(f"{line}\n" for line in column) for column in zip(*lines))
                pairs.append((f"cluster {cluster}: {title}", old, new))
        return [{"before": old, "after": new, "before_header": path, "after_header": path} for path, old, new in pairs]
