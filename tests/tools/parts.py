# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs parts of the tests one after the other, and closes with what each was and took.

python tests/tools/parts.py lint unit integration molecule
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import glob
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import common
import docsite
import engine
import failures
import images
import lint
import majors
import node
import packaged
import portal
import postgres
import pythons
import readme
import rocky
import tarball
import upgraded

# With it `make test` would take more than 45 minutes on two cores.
BY_NAME = {"recovery"}
# The scenarios that take longest, which start first: one that started last would leave a core idle at the end.
LONGEST = ("day_two", "backstage", "ha", "leak")
# The module tests that take seconds.
QUICK = ("test_backstage_env_file.py", "test_backstage_app_config.py")
# The tests that each supported major of PostgreSQL has to pass; those marked `once` do not depend on it.
OF_EVERY_MAJOR = ("test_postgresql_config.py", "test_postgresql_password.py", "test_backstage_database_info.py")
SYSTEM_PATH = "/usr/sbin:/usr/bin"  # an ordinary user's PATH has no sbin
# What failed, repeated below the last table.
_FAILED: list[str] = []


def _backend() -> dict[str, str]:
    """DEVPORTAL_BACKEND, for the tests that have a real Backstage as their judge; they say so where they skip."""
    try:
        return {"DEVPORTAL_BACKEND": os.environ.get("DEVPORTAL_BACKEND") or str(node.ensure())}
    except common.Problem as problem:
        if os.environ.get("CI") == "true":
            raise
        common.say(f"WITHOUT A REAL BACKSTAGE AS JUDGE: {problem}")
        return {}


def _pytest(*arguments: str, major: int | None = None, aside: bool = False) -> int:
    """Run pytest; with `aside` beside others, so that its output comes as a whole at its end."""
    name = f"pytest-{major}" if aside else "pytest"
    cache, report = common.CACHE / name, common.CACHE / f"{name}.xml"
    command = [str(common.PYTHON), "-m", "pytest", "-o", f"cache_dir={cache}", f"--junitxml={report}", "--durations=5"]
    if os.environ.get("K"):
        command += ["-k", os.environ["K"]]
    env = common.environment(PYTHONPATH=str(common.TREES), **_backend())
    if major is not None:
        command, env["POSTGRESQL_MAJOR"] = majors.command(*command, aside=aside), str(major)
    report.unlink(missing_ok=True)
    if aside:
        done = common.output([*command, *arguments], cwd=common.TREE, env=env)
        code = done.returncode
        common.say(f"\nPostgreSQL {major}\n{done.stdout}{done.stderr}")
    else:
        code = common.run([*command, *arguments], cwd=common.TREE, env=env)
    _FAILED.extend(failures.of_junit(report))
    return code


def unit() -> int:
    """The pure libraries."""
    return _pytest("tests/unit")


def _rocky() -> None:
    """DEVPORTAL_ROCKY, for the tests on a stand-in for Rocky Linux 9; they say so where they skip."""
    _AHEAD.join()
    try:
        engine.ensure()
        rocky.ensure()
    except (common.Problem, common.Skipped) as reason:
        if os.environ.get("CI") == "true":
            raise
        common.say(f"WITHOUT THE STAND-IN FOR ROCKY LINUX 9: {reason}")
        return
    os.environ["DEVPORTAL_ROCKY"] = images.name(rocky.RELEASE)


def integration() -> int:
    """The modules, against a real PostgreSQL server on this machine."""
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        common.apt_install("postgresql", why="a server for the module tests")
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which("pgbouncer", path=SYSTEM_PATH):
        common.apt_install("pgbouncer", why="a pooler in front of that server")
    # A process for each core, and each file in one of them, for it shares its server.
    arguments = ("-n", "auto", "--dist", "loadfile", "tests/integration")
    if os.geteuid() != 0:
        return _pytest(*arguments)
    majors.ensure()
    _rocky()
    own = majors.own()
    codes = [_pytest(*arguments, major=own)]
    others = [major for major in majors.MAJORS if major != own]
    run = functools.partial(_pytest, "-m", "not once", *(f"tests/integration/{name}" for name in OF_EVERY_MAJOR))
    # All at a time, in one process each, which waits for its server half of the time; each has its own clusters.
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(others)) as pool:
        codes += pool.map(lambda major: run(major=major, aside=True), others)
    return 1 if any(codes) else 0


def _program(*command: str) -> int:
    env = common.environment(PYTHONPATH=str(common.TREES))
    return common.run([str(common.PYTHON), *command], cwd=common.TREE, env=env)


def drills() -> int:
    """All failure drills against a real Backstage and a cluster, KILLS (100) killed runs, and those of day two."""
    os.environ["DRILLS"] = "all"
    codes = [_pytest("tests/integration/test_failure_drills.py"), hosts()]
    env = common.environment(ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED))
    upgraded.ensure()
    for name in ("kills.py", "day_two_kills.py"):
        codes.append(common.run([str(common.PYTHON), f"tests/drills/{name}"], cwd=common.TREE, env=env))
    # The cluster's are tests of its scenario.
    os.environ["SCENARIO"] = "ha"
    codes.append(molecule())
    return 1 if any(codes) else 0


def bench() -> int:
    """How fast, each figure a ratio within one run."""
    programs = sorted(str(path.relative_to(common.TREE)) for path in common.TREE.glob("tests/bench/bench_*.py"))
    codes = [hosts()]
    env = common.environment(PYTHONPATH=str(common.TREES), ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED))
    for program in programs:
        common.say(f"\n{program}")
        codes.append(common.run([str(common.PYTHON), program], cwd=common.TREE, env=env))
    return 1 if any(codes) else 0


def fuzz() -> int:
    """The promise of the YAML patch, on 200,000 generated files."""
    package = "ansible_collections.devportal.backstage.tests.fuzz.yaml_properties"
    return _program("-m", package, "--examples", os.environ.get("EXAMPLES") or "200000", "--processes", "2")


def _chosen() -> list[str]:
    """The names in SCENARIO; without any, all but those that run by name."""
    found = sorted(path.parent.name for path in common.TREE.glob("molecule/*/molecule.yml"))
    others = [name for name in found if name not in (*BY_NAME, *LONGEST)]
    return os.environ.get("SCENARIO", "").split() or [*LONGEST, *others]


def _scenarios() -> list[str]:
    chosen = os.environ.get("SCENARIO", "").split()
    found = sorted(path.parent.name for path in common.TREE.glob("molecule/*/molecule.yml"))
    unknown = sorted(set(chosen) - set(found))
    if unknown:
        raise common.Problem(f"There is no scenario {' '.join(unknown)}; there is {', '.join(found)}.")
    if not chosen and BY_NAME:
        common.say(f"NOT RUN, since they take longer; by name: SCENARIO={' '.join(sorted(BY_NAME))}")
    return _chosen()


def _images() -> None:
    engine.ensure()
    images.ensure()
    postgres.ensure()
    rocky.ensure()
    if packaged.SCENARIOS.intersection(_chosen()):
        packaged.ensure()
    if upgraded.SCENARIOS.intersection(_chosen()):
        upgraded.ensure()


def hosts() -> int:
    """All that a scenario needs before its hosts start: engine, images, the installed tarball."""
    common.say("Images:")
    _AHEAD.join()
    _images()
    tarball.install()
    return 0


class _Ahead:
    """Images that are built beside the unit tests; what fails is reported where they are needed."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._build)

    def _build(self) -> None:
        with contextlib.suppress(common.Problem, common.Skipped):
            _images()

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()


_AHEAD = _Ahead()


def _scenario(name: str, env: dict[str, str]) -> tuple[str, float, subprocess.CompletedProcess]:
    start = time.monotonic()
    # In a ZIP download, which has no .git, molecule would not find the configuration.
    command = ["molecule", "-c", str(common.ROOT / ".config" / "molecule" / "config.yml")]
    test = [*command, "test", "--scenario-name", name]
    options = {"cwd": common.ROOT, "env": env, "stderr": subprocess.STDOUT, "stdout": subprocess.PIPE}
    if os.environ.get("KEEP"):
        # Of the sequence's two steps `destroy` this would leave out the first too.
        subprocess.run([*command, "destroy", "--scenario-name", name], stdin=subprocess.DEVNULL, check=False, **options)
        test.append("--destroy=never")
    done = subprocess.run(test, stdin=subprocess.DEVNULL, check=False, text=True, **options)
    return name, time.monotonic() - start, done


def molecule() -> int:
    """The molecule scenarios, two at a time, with the installed tarball."""
    hosts()
    failed = []
    env = common.environment(
        **_backend(),
        ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED),
        MOLECULE_GLOB="molecule/*/molecule.yml",
        ANSIBLE_FORCE_COLOR="0",
        NO_COLOR="1",
        DEVPORTAL_HOSTS_READY="1",
    )
    logs = common.CACHE / "molecule"
    logs.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for future in concurrent.futures.as_completed([pool.submit(_scenario, name, env) for name in _scenarios()]):
            name, seconds, done = future.result()
            log = logs / f"{name}.log"
            log.write_text(done.stdout, encoding="utf-8")
            common.say(f"  {name:22} {seconds:5.0f} s  {'FAILED' if done.returncode else 'ok'}  {log}")
            if done.returncode:
                failed.append(name)
                _FAILED.extend(f"{name}: {line}" for line in failures.of_log(done.stdout))
                common.say(re.sub("^", "    ", done.stdout[-20000:].rstrip(), flags=re.M))
    if failed:
        common.say(f"molecule: {', '.join(failed)} failed; KEEP=1 make molecule SCENARIO={failed[0]} leaves the hosts.")
    return 1 if failed else 0


def quick() -> int:
    """Lint without sanity, unit tests, the fastest module tests: the inner loop of a change."""
    codes = [lint.main(slow=False), unit()]
    codes.append(_pytest("-n", "auto", "--dist", "loadfile", *(f"tests/integration/{name}" for name in QUICK)))
    return 1 if any(codes) else 0


def _build() -> int:
    """The collection's tarball."""
    common.say(tarball.build())
    if not os.environ.get("PROJECT_URL"):
        common.say(
            f"Its metadata name {tarball.NO_PROJECT_URL}, which does not exist. "
            "For a release: make build PROJECT_URL=https://the.projects.own.address"
        )
    return 0


PARTS = {
    "quick": quick,
    "hosts": hosts,
    "lint": lint.main,
    "unit": unit,
    "integration": integration,
    "pythons": pythons.main,
    "readme": readme.main,
    "molecule": molecule,
    "drills": drills,
    "portal": portal.main,
    "bench": bench,
    "fuzz": fuzz,
    "docs": docsite.main,
    "build": _build,
}


def _run(name: str) -> tuple[str, float, str]:
    common.say(f"\n== {name}: {PARTS[name].__doc__.splitlines()[0] if PARTS[name].__doc__ else ''}")
    start = time.monotonic()
    reason = ""
    try:
        state = "failed" if PARTS[name]() else "passed"
    except common.Skipped as skipped:
        # In CI nobody reads that a part was left out.
        state, reason = ("failed" if os.environ.get("CI") == "true" else "skipped"), str(skipped)
    except common.Problem as problem:
        state, reason = "failed", str(problem)
    return state, time.monotonic() - start, reason


def main() -> int:
    """Run the parts that the command line names."""
    results = {}
    for name in sys.argv[1:]:
        if name == "unit" and "molecule" in sys.argv:
            _AHEAD.start()
        results[name] = _run(name)
    common.say("\n" + "-" * 60)
    for name, (state, seconds, reason) in results.items():
        mark = {"passed": "passed", "failed": "FAILED", "skipped": "SKIPPED: NOT TESTED"}[state]
        common.say(f"{name:14}{seconds:7.0f} s  {mark}" + (f" ({reason})" if reason else ""))
    states = [state for state, _seconds, _reason in results.values()]
    common.say(f"{'all':14}{sum(seconds for _state, seconds, _reason in results.values()):7.0f} s")
    common.say(", ".join(f"{states.count(state)} {state}" for state in ("passed", "failed", "skipped")))
    for line in _FAILED:
        common.say(line)
    return 1 if "failed" in states else 0


if __name__ == "__main__":
    common.main(main)
