# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian 12 host that was upgraded to Debian 13, with a cluster of PostgreSQL 15 and the programs of 15 and 17."""

from __future__ import annotations

import pathlib
import shutil
import tempfile

import common
import engine
import images

RELEASE = "upgraded"
SCENARIOS = {"recovery"}
SOURCES = pathlib.Path(__file__).with_name("upgraded")
_BEFORE, _AFTER = "bookworm", "trixie"


def ensure() -> None:
    """Make the image when it is missing or stale: two minutes, once."""
    images.ensure(_BEFORE)
    with tempfile.TemporaryDirectory(dir=common.CACHE, prefix="image-") as place:
        folder = pathlib.Path(place) / RELEASE
        shutil.copytree(SOURCES, folder)
        images.etc(folder, _AFTER)
        wanted = images.digest(images.identity(images.name(_BEFORE)), *images.contents(SOURCES))
        if images.recipe(images.name(RELEASE)) != wanted:
            images.build(images.name(RELEASE), folder, wanted)


def main() -> int:
    """By hand: python tests/tools/upgraded.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
