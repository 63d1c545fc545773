# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs parts of the tests one after the other, and closes with what each was and took.

python tests/tools/parts.py lint unit integration molecule
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import time

import common
import engine
import images
import lint
import node
import postgres

SYSTEM_PATH = "/usr/sbin:/usr/bin"  # an ordinary user's PATH has no sbin


def build() -> str:
    """The collection's tarball in .cache/build; its path."""
    folder = common.CACHE / "build"
    shutil.rmtree(folder, ignore_errors=True)
    done = common.output(
        ["ansible-galaxy", "collection", "build", "--output-path", str(folder), str(common.TREE)],
        env=common.environment(),
    )
    if done.returncode:
        raise common.Problem(f"ansible-galaxy collection build: {done.stderr.strip()}")
    return str(next(folder.glob("*.tar.gz")))


def install() -> None:
    """The tarball installed offline into an otherwise empty collections folder, less all that is not run."""
    tarball = build()
    shutil.rmtree(common.INSTALLED, ignore_errors=True)
    command = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "--collections-path"]
    # Looking into the tree, it would find the collection installed already.
    env = common.environment(ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED))
    done = common.output([*command, str(common.INSTALLED), tarball], env=env)
    if done.returncode:
        raise common.Problem(f"ansible-galaxy collection install: {done.stderr.strip()}")
    for path in (common.INSTALLED / "ansible_collections" / "devportal" / "backstage").iterdir():
        if path.name not in ("meta", "plugins", "roles", "playbooks"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _backend() -> dict[str, str]:
    """DEVPORTAL_BACKEND, for the tests that have a real Backstage as their judge; they say so where they skip."""
    try:
        return {"DEVPORTAL_BACKEND": os.environ.get("DEVPORTAL_BACKEND") or str(node.ensure())}
    except common.Problem as problem:
        if os.environ.get("CI") == "true":
            raise
        common.say(f"WITHOUT A REAL BACKSTAGE AS JUDGE: {problem}")
        return {}


def _pytest(*arguments: str) -> int:
    command = [str(common.PYTHON), "-m", "pytest", "-o", f"cache_dir={common.CACHE / 'pytest'}", "--durations=5"]
    env = common.environment(PYTHONPATH=str(common.TREES), **_backend())
    return common.run([*command, *arguments], cwd=common.TREE, env=env)


def unit() -> int:
    """The pure libraries."""
    return _pytest("tests/unit")


def integration() -> int:
    """The modules, against a real PostgreSQL server on this machine."""
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        common.apt_install("postgresql", why="a server for the module tests")
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which("pgbouncer", path=SYSTEM_PATH):
        common.apt_install("pgbouncer", why="a pooler in front of that server")
    # A process for each core, and each file in one of them, for it shares its server.
    return _pytest("-n", "auto", "--dist", "loadfile", "tests/integration")


def _program(*command: str) -> int:
    env = common.environment(PYTHONPATH=str(common.TREES))
    return common.run([str(common.PYTHON), *command], cwd=common.TREE, env=env)


def drills() -> int:
    """All failure drills against a real Backstage; the tests above run one of each kind."""
    os.environ["DRILLS"] = "all"
    return _pytest("tests/integration/test_failure_drills.py")


def bench() -> int:
    """How fast, each figure a ratio within one run."""
    programs = sorted(str(path.relative_to(common.TREE)) for path in common.TREE.glob("tests/bench/bench_*.py"))
    codes = []
    for program in programs:
        common.say(f"\n{program}")
        codes.append(_program(program))
    return 1 if any(codes) else 0


def fuzz() -> int:
    """The promise of the YAML patch, on 200,000 generated files."""
    package = "ansible_collections.devportal.backstage.tests.fuzz.yaml_properties"
    return _program("-m", package, "--examples", os.environ.get("EXAMPLES") or "200000", "--processes", "2")


def _scenarios() -> list[str]:
    chosen = os.environ.get("SCENARIO", "").split()
    found = sorted(path.parent.name for path in common.TREE.glob("molecule/*/molecule.yml"))
    unknown = sorted(set(chosen) - set(found))
    if unknown:
        raise common.Problem(f"There is no scenario {' '.join(unknown)}; there is {', '.join(found)}.")
    return chosen or found


def molecule() -> int:
    """The molecule scenarios, with the installed tarball."""
    engine.ensure()
    common.say("Images:")
    images.ensure()
    postgres.ensure()
    install()
    failed = []
    env = common.environment(
        **_backend(),
        ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED),
        MOLECULE_GLOB="molecule/*/molecule.yml",
        ANSIBLE_FORCE_COLOR="0",
        NO_COLOR="1",
    )
    for scenario in _scenarios():
        # One call each: with --all the first failure would end the others.
        command = ["molecule", "-c", "molecule/config.yml"]
        test = [*command, "test", "--scenario-name", scenario]
        if os.environ.get("KEEP"):
            # Of the sequence's two steps `destroy` this would leave out the first too.
            common.run([*command, "destroy", "--scenario-name", scenario], cwd=common.TREE, env=env)
            test.append("--destroy=never")
        if common.run(test, cwd=common.TREE, env=env):
            failed.append(scenario)
    if failed:
        common.say(f"molecule: {', '.join(failed)} failed; KEEP=1 make molecule SCENARIO={failed[0]} leaves the hosts.")
    return 1 if failed else 0


def _build() -> int:
    """The collection's tarball."""
    common.say(build())
    return 0


PARTS = {
    "lint": lint.main,
    "unit": unit,
    "integration": integration,
    "molecule": molecule,
    "drills": drills,
    "bench": bench,
    "fuzz": fuzz,
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
    results = {name: _run(name) for name in sys.argv[1:]}
    common.say("\n" + "-" * 60)
    for name, (state, seconds, reason) in results.items():
        mark = {"passed": "passed", "failed": "FAILED", "skipped": "SKIPPED: NOT TESTED"}[state]
        common.say(f"{name:14}{seconds:7.0f} s  {mark}" + (f" ({reason})" if reason else ""))
    states = [state for state, _seconds, _reason in results.values()]
    common.say(f"{'all':14}{sum(seconds for _state, seconds, _reason in results.values()):7.0f} s")
    common.say(", ".join(f"{states.count(state)} {state}" for state in ("passed", "failed", "skipped")))
    return 1 if "failed" in states else 0


if __name__ == "__main__":
    common.main(main)
