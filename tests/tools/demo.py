# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a bare host becomes a Backstage database host, and an app-config points at it; then once more.

The environment may say APP_CONFIG (a file whose copy is used) and TARGET=localhost (this machine, not a container).
"""

from __future__ import annotations

import difflib
import json
import os
import pathlib
import shutil

import common
import engine
import images
import tarball

FOLDER = common.CACHE / "demo"
FILES = common.TREE / "tests" / "demo"
SHARED = common.TREE / "molecule" / "shared"


def _title(text: str) -> None:
    common.say(f"\n== {text}")


def playbook(name: str, inventory: str, *options: str) -> dict:
    """Run a playbook against the demo's inventory; what the callback host_tasks says of the run."""
    record = FOLDER / "runs.jsonl"
    record.unlink(missing_ok=True)
    env = common.environment(
        ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED),
        ANSIBLE_CALLBACK_PLUGINS=str(common.TREE / "tests" / "tools" / "callback"),
        ANSIBLE_CALLBACKS_ENABLED="host_tasks",
        ANSIBLE_PIPELINING="true",
        HOST_TASKS_FILE=str(record),
        DEMO=str(FOLDER),
    )
    command = ["ansible-playbook", "--inventory", str(FILES / f"{inventory}.yml"), name, *options]
    if inventory == "localhost" and os.geteuid() == 0:
        # Root needs no sudo, and may have none.
        command += ["--extra-vars", "ansible_become=false"]
    if common.run(command, cwd=FOLDER, env=env):
        raise common.Problem(
            f"{name} failed, and Ansible says above where and why. "
            + (
                "The host is still there: docker exec -it devportal-demo-portal bash. "
                if inventory == "container"
                else "Nothing was changed after that step. "
            )
            + "After a remedy run make demo again; make clean takes everything away."
        )
    return json.loads(record.read_text(encoding="utf-8"))


def _app_config() -> pathlib.Path:
    chosen = os.environ.get("APP_CONFIG")
    source = pathlib.Path(chosen).expanduser() if chosen else SHARED / "files" / "app-config.yaml"
    if not source.is_file():
        raise common.Problem(f"APP_CONFIG={chosen} is not a file; name an app-config.yaml, of which a copy is taken.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    before = FOLDER / "before.yaml"
    shutil.copyfile(source, before)
    return before


def _host(inventory: str, before: pathlib.Path) -> None:
    if inventory == "localhost":
        _title("This machine, with a copy of the app-config in .cache/demo/app")
        if os.geteuid() != 0 and common.output(["sudo", "-n", "true"]).returncode:
            raise common.Problem("TARGET=localhost installs packages: run it as root, or where sudo asks nothing.")
        shutil.rmtree(FOLDER / "app", ignore_errors=True)
        (FOLDER / "app").mkdir()
        shutil.copyfile(before, FOLDER / "app" / "app-config.yaml")
        return
    _title("A bare Debian 13 in a container, with systemd and an app-config")
    engine.ensure()
    images.ensure("trixie")
    for step in ("destroy", "create", "prepare"):
        playbook(str(SHARED / f"{step}.yml"), inventory)


def main() -> int:
    """Run the demo."""
    target = os.environ.get("TARGET") or "container"
    if target not in ("container", "localhost"):
        raise common.Problem(f"TARGET={target} is not known; leave it out for a container, or say TARGET=localhost.")
    before = _app_config()
    tarball.install()
    try:
        _host(target, before)
    except common.Skipped as skipped:
        raise common.Problem(f"The demo needs a container: {skipped}. Or try TARGET=localhost.") from skipped

    _title("ansible-playbook devportal.backstage.site")
    first = playbook("devportal.backstage.site", target)

    _title("Log in with what app-config.yaml and .env say now")
    playbook(str(FILES / "login.yml"), target)

    _title("What changed in app-config.yaml")
    old, new = (path.read_text(encoding="utf-8").splitlines() for path in (before, FOLDER / "after.yaml"))
    common.say("\n".join(difflib.unified_diff(old, new, "before", "after", lineterm="")))

    _title("ansible-playbook devportal.backstage.site, once more")
    second = playbook("devportal.backstage.site", target)
    changed = sum(host["changed"] for host in second["hosts"].values())
    tasks = max(host["tasks"] for host in second["hosts"].values())
    common.say(f"\nFirst run {first['seconds']} s; second run {second['seconds']} s, {tasks} tasks, changed={changed}.")
    if changed:
        raise common.Problem("The second run changed something; that is a fault of this collection.")
    common.say("The password is in .cache/demo/password. make clean takes everything away.")
    return 0


if __name__ == "__main__":
    common.main(main)
