# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a bare host becomes a Backstage database host, an app-config points at it, and Backstage runs with it.

The environment may say APP_CONFIG (a file whose copy is used) and TARGET=localhost (this machine, not a container).
"""

from __future__ import annotations

import difflib
import json
import os
import pathlib
import shutil
import time

import common
import engine
import images
import node
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
        # The image and the collection are there; without this, create.yml would build those of all scenarios.
        DEVPORTAL_HOSTS_READY="1",
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


def _check_app_config() -> None:
    """A dry run of the change on the file itself, so that an error names the user's own path, within seconds.

    Raises:
        common.Problem: the file cannot be changed; in the module's own words.
    """
    chosen = os.environ.get("APP_CONFIG")
    if not chosen:
        return
    path = str(pathlib.Path(chosen).expanduser().resolve())
    asked = {"path": path, "config_files": [path], "user": "postgres", "env_file": str(FOLDER / "none.env")}
    env = common.environment(ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED))
    command = ["ansible", "localhost", "--connection=local", "--check", "--one-line"]
    command += ["--module-name=devportal.backstage.backstage_app_config", f"--args={json.dumps(asked)}"]
    command += ["--extra-vars", json.dumps({"ansible_python_interpreter": str(common.PYTHON)})]
    done = common.output(command, cwd=FOLDER, env=env)
    found = done.stdout.partition("=>")[2].strip()
    if done.returncode:
        said = json.loads(found)["msg"] if found.startswith("{") else (done.stdout + done.stderr).strip()[-500:]
        raise common.Problem(f"APP_CONFIG: {said}")


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


def _backend(target: str) -> str:
    """Why the last step, a real Backstage, is left out; empty where DEVPORTAL_BACKEND names one now."""
    if target == "localhost":
        return "this machine's own services are left alone"
    if os.environ.get("APP_CONFIG"):
        return "your app-config needs your own backend"
    if not os.environ.get("DEVPORTAL_BACKEND"):
        if not shutil.which("npm"):
            return "npm, which installs a backend, is not on this machine"
        try:
            os.environ["DEVPORTAL_BACKEND"] = str(node.ensure())
        except common.Problem as problem:
            return str(problem)
    return ""


def _start_backstage(target: str) -> str:
    """Run a real Backstage as a service; the uid of an entity that PostgreSQL kept over a restart."""
    playbook(str(FILES / "app.yml"), target)
    _title("ansible-playbook devportal.backstage.site --extra-vars backstage_service_manage=true")
    playbook("devportal.backstage.site", target, "--extra-vars", "backstage_service_manage=true")
    _title("An entity of the catalog, before and after a restart of Backstage")
    playbook(str(FILES / "entity.yml"), target)
    return (FOLDER / "uid").read_text(encoding="utf-8").strip()


def _summary(target: str, facts: dict, runs: list[dict], uid: str, left_out: str) -> None:
    """What was changed where, how long it took, and how to look at it."""
    host = "this machine" if target == "localhost" else "the container devportal-demo-portal"
    first, second = runs
    tasks = max(each["tasks"] for each in second["hosts"].values())
    rows = [
        ("PostgreSQL", f"{facts['server_version']} on {host}, {facts['host']} port {facts['port']}"),
        ("Database user", f"{facts['user']}, with a SCRAM-SHA-256 verifier of .cache/demo/password"),
        (
            "app-config.yaml",
            f"backend.database points at it; +{facts['added']} -{facts['removed']} lines, no other changed",
        ),
        ("Password", "in .env beside it" + ("; for the service in /etc/backstage/backstage.env" if uid else "")),
        ("First run", f"{first['seconds']} s"),
        ("Second run", f"{second['seconds']} s, {tasks} tasks, changed=0"),
        ("Backstage", f"left out: {left_out}" if left_out else "runs as backstage.service, port 7007"),
    ]
    if uid:
        rows.append(("Its data", f"component:default/example-website has uid {uid} before and after a restart"))
    _title("What you have now")
    for name, text in rows:
        common.say(f"  {name:<16} {text}")
    common.say("\nHave a look:")
    if target == "container":
        inside = "docker exec -it devportal-demo-portal"
        common.say(f"  {inside} bash")
        common.say(f"  {inside} runuser -u postgres -- psql --list")
        if uid:
            common.say(f"  {inside} systemctl status backstage")
            query = '"SELECT entity_ref, entity_id FROM refresh_state"'
            common.say(f"  {inside} runuser -u postgres -- psql backstage_plugin_catalog -c {query}")
    common.say("  diff .cache/demo/before.yaml .cache/demo/after.yaml")
    common.say("Remove it: make clean")


def main() -> int:
    """Run the demo."""
    target = os.environ.get("TARGET") or "container"
    if target not in ("container", "localhost"):
        raise common.Problem(f"TARGET={target} is not known; leave it out for a container, or say TARGET=localhost.")
    start = time.monotonic()
    before = _app_config()
    tarball.install()
    _check_app_config()
    left_out = _backend(target)
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
    diff = list(difflib.unified_diff(old, new, "before", "after", lineterm=""))
    common.say("\n".join(diff))

    _title("ansible-playbook devportal.backstage.site, once more")
    second = playbook("devportal.backstage.site", target)
    if sum(host["changed"] for host in second["hosts"].values()):
        raise common.Problem("The second run changed something; that is a fault of this collection.")

    _title("Start Backstage")
    if left_out:
        common.say(f"Left out: {left_out}.")
    uid = "" if left_out else _start_backstage(target)
    facts = json.loads((FOLDER / "login.json").read_text(encoding="utf-8"))
    facts.update(
        {name: sum(line.startswith(sign) for line in diff[2:]) for name, sign in (("added", "+"), ("removed", "-"))}
    )
    _summary(target, facts, [first, second], uid, left_out)
    common.say(f"The whole demo took {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    common.main(main)
