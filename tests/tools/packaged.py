# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare Debian 13 host that has the dependencies of PostgreSQL, Patroni, etcd, HAProxy and pgBackRest already.

Their own packages are in apt's cache, so that the roles install them as on any host, in seconds. Node.js, which runs
the tests' Backstage, is installed.
"""

from __future__ import annotations

import pathlib

import common
import engine
import images

NAME = images.name("packaged")
SOURCES = pathlib.Path(__file__).with_name("packaged")
# The scenarios whose hosts are made of it.
SCENARIOS = {"backstage", "ha"}


def ensure() -> None:
    """Make the image if it is missing or stale."""
    images.ensure("trixie")
    wanted = images.digest(images.identity(images.name("trixie")), *images.contents(SOURCES))
    if images.recipe(NAME) != wanted:
        images.build(NAME, SOURCES, wanted)


def main() -> int:
    """By hand: python tests/tools/packaged.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
