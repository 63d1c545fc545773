# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes away what the targets of the Makefile made: hosts, images, what the demo did to this machine, and .cache."""

from __future__ import annotations

import shutil

import common
import engine
import images


def _demo_on_this_machine() -> None:
    if not (common.CACHE / "demo" / "app").exists():
        return
    # Imported here: it needs what the set-up made, and without that there was no demo.
    import demo

    common.say("Taking back what the demo did to this machine ...")
    demo.playbook(str(demo.FILES / "undo.yml"), "localhost")
    common.say("The packages postgresql, python3-psycopg2 and python3-yaml stay, and so does PostgreSQL's cluster.")


def _docker(*command: str) -> list[str]:
    return common.output(["docker", *command]).stdout.split()


def _engine() -> None:
    if engine.answer() is not None:
        return
    label = f"label={images.LABEL}"
    for kind, found, remove in (
        ("containers", _docker("ps", "-aq", "--filter", label), ("rm", "--force", "--volumes")),
        ("networks", _docker("network", "ls", "-q", "--filter", label), ("network", "rm")),
        ("volumes", _docker("volume", "ls", "-q", "--filter", "name=^devportal-"), ("volume", "rm")),
        ("images", _docker("images", "-q", "--filter", label), ("rmi", "--force")),
        ("base images", _docker("images", "-q", "devportal-base"), ("rmi", "--force")),
    ):
        if found:
            common.say(f"Removing {len(set(found))} {kind} ...")
            _docker(*remove, *dict.fromkeys(found))
    engine.stop()


def main() -> int:
    """Leave nothing but the checkout, and say what stays."""
    _demo_on_this_machine()
    _engine()
    packages = common.PACKAGES.read_text().split() if common.PACKAGES.exists() else []
    shutil.rmtree(common.CACHE, ignore_errors=True)
    if common.CACHE.exists():
        raise common.Problem(f"{common.CACHE} holds files of another user; remove it as that user or as root.")
    if packages:
        names = " ".join(dict.fromkeys(packages))
        common.say(f"Of this machine's packages these were installed, and stay: {names} (apt-get purge {names}).")
    return 0


if __name__ == "__main__":
    common.main(main)
