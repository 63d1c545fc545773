# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image postgres:17.0-bookworm: the registry's where a pull works, else a stand-in with its contract.

The stand-in is Debian 13's PostgreSQL 17 with an entry point of our own, under the official name.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import time

import common
import engine
import images

NAME = "postgres:17.0-bookworm"
SOURCES = pathlib.Path(__file__).with_name("postgres")


def _inspect(what: str) -> str | None:
    done = common.output(["docker", "image", "inspect", "--format", what, NAME])
    return done.stdout.strip() if done.returncode == 0 else None


def ensure() -> None:
    """Make the image if it is missing, or is a stand-in of another recipe; what the registry gave is left alone."""
    images.ensure("trixie")
    base = common.output(["docker", "image", "inspect", "--format", "{{.Id}}", images.name("trixie")]).stdout
    sources = [path.read_bytes() for path in sorted(SOURCES.iterdir())]
    recipe = hashlib.sha256(b"\0".join([base.encode(), *sources])).hexdigest()[:16]
    found = _inspect(f'{{{{index .Config.Labels "{images.LABEL}"}}}}')
    if found is not None and found in ("", "<no value>", recipe):
        return
    if images.pull(NAME, seconds=300):
        return
    start = time.monotonic()
    done = common.output(
        ["docker", "build", "--quiet", "--tag", NAME, "--label", f"{images.LABEL}={recipe}", str(SOURCES)],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
    )
    if done.returncode:
        raise common.Problem(f"docker build of {NAME}: {done.stderr.strip()[-1500:]}")
    common.say(f"  {NAME}, a stand-in for the official image, from Debian's: {time.monotonic() - start:.0f} s")


def main() -> int:
    """By hand: python tests/tools/postgres.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
