# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes .cache/node: Backstage's own configuration loader and its schema, and readers of env files, from npm."""

from __future__ import annotations

import json
import pathlib
import shutil
import tarfile

import common

FOLDER = common.CACHE / "node"
PACKAGES = pathlib.Path(__file__).with_name("node") / "package.json"


def _npm(*arguments: str) -> str:
    done = common.output(["npm", *arguments, "--no-audit", "--no-fund", "--ignore-scripts"], cwd=FOLDER)
    if done.returncode:
        raise common.Problem(f"npm {arguments[0]} in {FOLDER} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _unpack(name: str, version: str) -> None:
    """A package without what it depends on: of the backend only the schema is asked for, and it would be 280 MB."""
    tarball = FOLDER / _npm("pack", "--silent", f"{name}@{version}").split()[-1]
    target = FOLDER / "node_modules" / name
    with tarfile.open(tarball) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.isfile():
                archive.extract(member, target, filter="data")
    tarball.unlink()


def ensure() -> pathlib.Path:
    """The folder, for DEVPORTAL_BACKEND; made when tests/tools/node/package.json changed (47 MB, about 5 s)."""
    wanted = PACKAGES.read_text(encoding="utf-8")
    stamp = FOLDER / "made-from"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return FOLDER
    if not shutil.which("npm") or not shutil.which("node"):
        common.apt_install("nodejs", "npm", why="Backstage's own configuration loader")
    common.say("Making .cache/node ...")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shutil.copy(PACKAGES, FOLDER)
    _npm("install")
    for name, version in json.loads(wanted)["schemas"].items():
        _unpack(name, version)
    stamp.write_text(wanted, encoding="utf-8")
    return FOLDER


if __name__ == "__main__":
    common.main(lambda: print(ensure()))
