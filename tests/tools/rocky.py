# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that calls itself Rocky Linux 9, and signed repositories of PostgreSQL packages as others lay them out.

Debian's dnf, rpm and systemd with Red Hat's names, and npm's relocatable PostgreSQL in the layouts of Red Hat (16, a
module stream) and of the PostgreSQL project (14 for dnf, 16 for apt). It shows names, paths, units, set-up scripts and
access rules. It cannot show SELinux, Python 3.9, Red Hat's binaries and locales: "stand-in" in the table of platforms.
"""

from __future__ import annotations

import pathlib
import shutil
import tempfile

import common
import engine
import images
import majors

RELEASE = "rocky9"
# The repositories, for hosts that mount them: appstream and yum for dnf, apt, and KEY, which signed them.
REPOSITORIES = common.CACHE / "repositories"
SOURCES = pathlib.Path(__file__).with_name("rocky")
_PACKAGED = (14, 16)


def ensure() -> None:
    """Make the images that are missing or stale, and the repositories."""
    images.ensure("trixie")
    sources = [images.identity(images.name("trixie")), *images.contents(SOURCES), *images.contents(majors.SOURCES)]
    wanted = images.digest(*sources)
    packages = images.name("packages")
    if images.recipe(packages) != wanted:
        majors.ensure()
        with tempfile.TemporaryDirectory(dir=common.CACHE, prefix="image-") as place:
            folder = pathlib.Path(place) / "rocky"
            shutil.copytree(SOURCES, folder)
            for major in _PACKAGED:
                shutil.copytree(majors.programs(major), folder / "npm" / str(major), symlinks=True)
            images.build(packages, folder, wanted, "Dockerfile.packages")
    made_from = images.identity(packages)
    if images.recipe(images.name(RELEASE)) != images.digest(made_from):
        images.build(images.name(RELEASE), SOURCES, images.digest(made_from))
    stamp = REPOSITORIES / "made-from"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_from:
        _copy_packages(packages)
        stamp.write_text(made_from, encoding="utf-8")


def _copy_packages(image: str) -> None:
    shutil.rmtree(REPOSITORIES, ignore_errors=True)
    created = common.output(["docker", "create", image]).stdout.strip()
    try:
        done = common.output(["docker", "cp", f"{created}:/srv/packages", str(REPOSITORIES)])
    finally:
        common.output(["docker", "rm", created])
    if done.returncode:
        raise common.Problem(f"docker cp of the packages: {done.stderr.strip()[-500:]}")


def main() -> int:
    """By hand: python tests/tools/rocky.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
