# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes .cache/node: a Backstage backend (index.js) and readers of env files, from npm.

npm runs here and not in the throw-away hosts: only this machine knows how to reach its registry.
"""

from __future__ import annotations

import pathlib
import shutil
import time

import common

FOLDER = common.CACHE / "node"
SOURCES = pathlib.Path(__file__).with_name("node")


def ensure() -> pathlib.Path:
    """The folder, for DEVPORTAL_BACKEND; created when the lock of tests/tools/node changed (375 MB, about a minute)."""
    wanted = (SOURCES / "package-lock.json").read_text(encoding="utf-8")
    stamp = FOLDER / "made-from"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _install()
        stamp.write_text(wanted, encoding="utf-8")
    shutil.copy(SOURCES / "index.js", FOLDER)
    return FOLDER


def _install() -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        common.apt_install("nodejs", "npm", why="a Backstage backend")
    start = time.monotonic()
    common.say("Installing a Backstage backend from npm into .cache/node (about a minute) ...")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, FOLDER)
    # Exactly what the lock has, each package with its hash.
    done = common.output(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=FOLDER)
    if done.returncode:
        raise common.Problem(f"npm ci in {FOLDER} failed: {done.stderr.strip()[-500:]}")
    common.say(f"Installed in {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    common.main(lambda: print(ensure()))
