# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes away what the targets of the Makefile made: hosts, images, what the demo did to this machine, and .cache."""

from __future__ import annotations

import pathlib
import re
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


def _hosts() -> str:
    tests = common.ROOT / "tests"
    files = [*common.ROOT.glob("molecule/*/inventory.yml"), tests / "demo" / "container.yml"]
    files.append(tests / "portal" / "inventory.yml")
    return "|".join(
        sorted(re.findall(r"ansible_host: (\S+)", "\n".join(path.read_text(encoding="utf-8") for path in files)))
    )


def volume_names() -> str:
    """The pattern of our hosts' volumes, as the engine's filter reads it; any other devportal-... is its owner's."""
    return f"^(devportal-apt-)?({_hosts()})(-data)?$"


def _noted(record: pathlib.Path) -> str:
    """The names in one of .cache's lists, each once."""
    return " ".join(dict.fromkeys(record.read_text().split())) if record.exists() else ""


def _engine() -> None:
    if engine.answer() is not None:
        return
    label = f"label={images.LABEL}"
    for kind, found, remove in (
        ("containers", _docker("ps", "-aq", "--filter", label), ("rm", "--force", "--volumes")),
        # Those of the role backstage_postgresql_container, made from the official image, carry no label.
        (
            "containers of the roles",
            _docker("ps", "-aq", "--filter", f"name=^({_hosts()})-postgres$"),
            ("rm", "--force"),
        ),
        ("networks", _docker("network", "ls", "-q", "--filter", label), ("network", "rm")),
        ("volumes", _docker("volume", "ls", "-q", "--filter", f"name={volume_names()}"), ("volume", "rm")),
        ("images", _docker("images", "-q", "--filter", label), ("rmi", "--force")),
        ("base images", _docker("images", "-q", "devportal-base"), ("rmi", "--force")),
    ):
        if found:
            common.say(f"Removing {len(set(found))} {kind} ...")
            _docker(*remove, *dict.fromkeys(found))
    engine.stop()


def main() -> int:
    """Leave nothing but the checkout, and say what stays."""
    _engine()
    # Where this fails, .cache stays, with what another try needs.
    _demo_on_this_machine()
    packages, pulled = _noted(common.PACKAGES), _noted(images.PULLED)
    shutil.rmtree(common.CACHE, ignore_errors=True)
    if common.CACHE.exists():
        raise common.Problem(f"{common.CACHE} holds files of another user; remove it as that user or as root.")
    if packages:
        common.say(f"Of this machine's packages these were installed, and stay: {packages} (apt-get purge {packages}).")
    if pulled:
        common.say(f"Images that were pulled stay: {pulled} (docker rmi {pulled}).")
    return 0


if __name__ == "__main__":
    common.main(main)
