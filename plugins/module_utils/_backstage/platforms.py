# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Linux distributions that the roles know: one table, from which the README's is generated.

Where files and services lie is not in it: that is queried on the host.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TESTED = "tested"
STAND_IN = "stand-in"
UNTESTED = "untested"

_ALIKE = {"cryptography": "python3-cryptography"}
_DEBIAN = {"psycopg2": "python3-psycopg2", "yaml": "python3-yaml", "requests": "python3-requests", **_ALIKE}
_RED_HAT = {"psycopg2": "python3-psycopg2", "yaml": "python3-pyyaml", "requests": "python3-requests", **_ALIKE}
_SUSE = {"psycopg2": "python3-psycopg2", "yaml": "python3-PyYAML", "requests": "python3-requests", **_ALIKE}
_EL = ("rhel", "rocky", "almalinux", "ol", "centos")
_EL_NAME = "Red Hat Enterprise Linux {} and rebuilds (Rocky, Alma, Oracle, CentOS Stream)"


@dataclass(frozen=True)
class Platform:
    """One distribution, or several that are alike, within a range of releases.

    Attributes:
        name: as the README has it.
        ids: os-release(5)'s ID.
        oldest: the first release whose PostgreSQL is one that Backstage supports; empty for all.
        newest: the last release that this entry is about; empty for no end.
        oldest_app: the first release for hosts without PostgreSQL of their own, where that is an older one.
        status: of the database roles: whether a test runs on it, on something that stands in for it, or nowhere.
        manager: "apt", or "rpm" for whatever installs those.
        server: the packages of one major version, with {version} in them.
        server_of_pgdg: the same in the PostgreSQL project's own repository.
        default: the packages of the distribution's default version.
        default_version: that version, where it has to be known beforehand; 0 for not.
        versions: what the distribution itself has; empty where that depends on the release.
        libraries: the packages of what the modules need, by Python's name.
        pgdg: whether the PostgreSQL project has a repository for it that the role can set up.
    """

    name: str
    ids: tuple[str, ...]
    oldest: str
    status: str
    manager: str
    server: tuple[str, ...]
    default: tuple[str, ...]
    libraries: Mapping[str, str] = field(repr=False)
    newest: str = ""
    oldest_app: str = ""
    server_of_pgdg: tuple[str, ...] = ()
    default_version: int = 0
    versions: tuple[int, ...] = ()

    @property
    def pgdg(self) -> bool:
        return bool(self.server_of_pgdg)


_VERSIONED = ("postgresql{version}-server", "postgresql{version}-contrib")
_PLAIN = ("postgresql-server", "postgresql-contrib")

PLATFORMS = (
    Platform(
        name="Debian 12, 13 and testing (app hosts: also 11)",
        ids=("debian",),
        oldest="12",
        oldest_app="11",
        status=TESTED,
        manager="apt",
        server=("postgresql-{version}",),
        default=("postgresql",),
        libraries=_DEBIAN,
        server_of_pgdg=("postgresql-{version}",),
    ),
    Platform(
        name="Ubuntu 22.04 and later",
        ids=("ubuntu",),
        oldest="22.04",
        status=UNTESTED,
        manager="apt",
        server=("postgresql-{version}",),
        default=("postgresql",),
        libraries=_DEBIAN,
        server_of_pgdg=("postgresql-{version}",),
    ),
    Platform(
        name=_EL_NAME.format(9),
        ids=_EL,
        oldest="9",
        newest="9",
        status=STAND_IN,
        manager="rpm",
        # Module streams; the package without a stream is 13.
        server=("@postgresql:{version}/server", "postgresql-contrib"),
        default=_PLAIN,
        default_version=13,
        versions=(15, 16, 18),
        libraries=_RED_HAT,
        server_of_pgdg=_VERSIONED,
    ),
    Platform(
        name=_EL_NAME.format(10),
        ids=_EL,
        oldest="10",
        newest="10",
        status=UNTESTED,
        manager="rpm",
        server=_VERSIONED,
        default=_PLAIN,
        default_version=16,
        versions=(16, 18),
        libraries=_RED_HAT,
        server_of_pgdg=_VERSIONED,
    ),
    Platform(
        name="Fedora 41 and later",
        ids=("fedora",),
        oldest="41",
        status=UNTESTED,
        manager="rpm",
        server=_VERSIONED,
        default=_PLAIN,
        libraries=_RED_HAT,
        server_of_pgdg=_VERSIONED,
    ),
    Platform(
        name="Amazon Linux 2023",
        ids=("amzn",),
        oldest="2023",
        newest="2023",
        status=UNTESTED,
        manager="rpm",
        server=_VERSIONED,
        default=(),
        versions=(15, 16, 17),
        libraries=_RED_HAT,
    ),
    Platform(
        name="SUSE Linux Enterprise 16, openSUSE Leap 16 and Tumbleweed",
        ids=("sles", "opensuse-leap", "opensuse-tumbleweed"),
        oldest="16",
        status=UNTESTED,
        manager="rpm",
        server=_VERSIONED,
        default=_PLAIN,
        libraries=_SUSE,
    ),
)


def platform_of(ids: tuple[str, ...], release: str) -> Platform | None:
    """The entry for a host.

    Args:
        ids: its own ID first, then those that it is like.
        release: VERSION_ID; empty for one that has none, such as Debian testing.
    """
    for distribution in ids:
        entries = [entry for entry in PLATFORMS if distribution in entry.ids]
        for entry in entries:
            # Debian's derivatives number their releases otherwise; Red Hat's rebuilds do not.
            if not release or entry.manager == "apt" or _within(entry, release):
                return entry
        if entries and distribution == ids[0]:
            break
    return None


def _within(entry: Platform, release: str) -> bool:
    major = number(release)[:1]
    return number(entry.oldest)[:1] <= major and (not entry.newest or major <= number(entry.newest))


def number(release: str) -> tuple[int, ...]:
    """A release as numbers that compare; empty for a word."""
    parts = release.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
