# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the operating system: all that differs between the ways in which Linux distributions run PostgreSQL.

Nothing outside the implementations knows a path, a service or a package of one distribution. `debian.py` stands on
postgresql-common, `plain.py` on systemd's units.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster

NOT_INSTALLED = "not_installed"


class ServerLog(Protocol):
    """What a server logs from the moment on at which `Platform.watch` was called."""

    def lines(self) -> list[str]:
        """All lines since then."""

    def reasons(self) -> list[str]:
        """The lines that say why a server did not do what it was asked, without time stamps."""


class Platform(Protocol):
    """What a platform answers and does. All calls raise CollectionError, with a remedy of the platform's own."""

    def clusters(self) -> list[Cluster]:
        """All clusters of this host, by version and name, less those whose creation was interrupted.

        Raises:
            CollectionError: with the reason NOT_INSTALLED where this host has no PostgreSQL yet.
        """

    def installed_versions(self) -> list[int]:
        """Major versions whose server programs are installed, oldest first."""

    def predicted(self, version: int | None, name: str) -> Cluster:
        """A cluster as `create` would create it: for check mode and for texts.

        Args:
            version: None on a host that has no PostgreSQL yet; then 0 stands for it in the paths' texts.
            name: the cluster's name.
        """

    def check_new(self, name: str) -> None:
        """Reject a name that no new cluster can have here."""

    def create(self, version: int, name: str, locale: str, options: Sequence[str]) -> None:
        """Create a cluster with encoding UTF8, without starting it; clear what an interrupted creation left before.

        Args:
            version: a major version whose programs are installed.
            name: the cluster's name.
            locale: of a UTF-8 kind, such as C.UTF-8.
            options: for initdb(1), such as --data-checksums.
        """

    def control(self, cluster: Cluster, action: str) -> str | None:
        """Start, stop or restart the server, through the init system where it runs.

        Returns:
            None when it worked, else the reason in the server's or the init system's own words.
        """

    def starts_at_boot(self, cluster: Cluster) -> bool:
        """Whether the server starts with the host."""

    def start_at_boot(self, cluster: Cluster) -> None:
        """Have it start with the host."""

    def watch(self, cluster: Cluster) -> ServerLog:
        """What the server logs from now on."""

    def check_port(self, port: int) -> None:
        """Reject a TCP port that the operating system would not let the server have."""

    def wrote(self, paths: Sequence[str]) -> None:
        """These files or directories are new, or have been replaced."""

    def advice(self, port: int, listen_addresses: str) -> list[str]:
        """Sentences about what keeps other hosts from reaching the server, and is not changed here."""


def detect() -> Platform:
    """The platform of this host."""
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import debian, plain

    # Of the package base-files, which Debian and what is made from it cannot be without.
    return debian.Debian() if os.path.exists("/etc/debian_version") else plain.Plain()
