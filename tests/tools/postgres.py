# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that the container role runs by default: the registry's where a pull works, else a stand-in.

The stand-in is Debian 13's PostgreSQL 17 with an entry point of our own, under the official name.
"""

from __future__ import annotations

import pathlib
import re

import common
import engine
import images

DEFAULTS = common.ROOT / "roles" / "backstage_postgresql_container" / "defaults" / "main.yml"
_IMAGE = re.compile(r"^backstage_postgresql_container_image: (\S+)$", re.MULTILINE)
NAME = _IMAGE.findall(DEFAULTS.read_text(encoding="utf-8"))[0]
SOURCES = pathlib.Path(__file__).with_name("postgres")


def ensure() -> None:
    """Make the image if it is missing, or is a stand-in of another recipe; what the registry gave is left alone."""
    images.ensure("trixie")
    wanted = images.digest(images.identity(images.name("trixie")), *images.contents(SOURCES))
    if images.identity(NAME) and images.recipe(NAME) in ("", "<no value>", wanted):
        return
    if not images.pull(NAME, seconds=300):
        # A stand-in for the official image, from Debian's.
        images.build(NAME, SOURCES, wanted)


def main() -> int:
    """By hand: python tests/tools/postgres.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
