# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates that read the code without running it, two at a time; none has an ignore file, none needs the network
once its requirements are there."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import time

import common
import tarball
import venvs

# Name, command, what its output must show (some tools are content with no file at all), further variables.
Gate = tuple[str, str, str, dict[str, str]]

_STUB = '''\
"""Stands in for get-pip: installs pip from a wheel that pip itself downloaded."""
import sys
sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main
sys.exit(main(["install", "--quiet", "--no-index", "--no-deps", {wheel!r}]))
'''


def _sanity_home(venv: pathlib.Path) -> pathlib.Path:
    """A home for ansible-test, whose environments and downloads go to ~/.ansible.

    It fetches its get-pip script from a site of its own that a closed network does not have, but takes one that lies
    in its cache; and it hides the PIP_* variables from pip, so these become a configuration file.
    """
    home = common.CACHE / "home"
    requirements = next(venv.glob("lib/python3*/site-packages/ansible_test/_internal/python_requirements.py"))
    version = re.search(r"\bpip='([^']+)'|\bpip_version = '([^']+)'", requirements.read_text(encoding="utf-8"))
    if not version:
        raise common.Problem(f"{requirements} no longer names the version of pip that it wants.")
    number = version[1] or version[2]
    stub = home / ".ansible" / "test" / "cache" / f"get_pip_{number.replace('.', '_')}.py"
    if not stub.exists():
        wheels = common.CACHE / "wheels"
        pip = [str(common.PYTHON), "-m", "pip", "--disable-pip-version-check"]
        done = common.output([*pip, "download", "--no-deps", "--dest", str(wheels), f"pip=={number}"])
        if done.returncode:
            raise common.Problem(f"pip {number} could not be downloaded: {done.stderr.strip()[-300:]}")
        config = home / ".config" / "pip" / "pip.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        listed = common.output([*pip, "config", "list"]).stdout
        settings = re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed, re.M)
        config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in dict(settings).items()))
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(_STUB.format(wheel=str(next(wheels.glob(f"pip-{number}-*.whl")))))
    return home


def _sanity(name: str, program: pathlib.Path) -> Gate:
    """`ansible-test sanity` of another ansible-core, with the Python of its environment."""
    venv = program.parents[1]
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = common.output([str(program), "-c", code]).stdout.strip()
    # A pyenv shim would be taken for a Python and does not start.
    path = os.pathsep.join([str(venv / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    command = f"{venv}/bin/ansible-test sanity --local --python {version} --color no"
    return f"sanity, {name} core", command, "validate-mod", {"HOME": str(_sanity_home(venv)), "PATH": path}


def _importer() -> Gate:
    """What Galaxy runs on an uploaded tarball; ansible-test has run already."""
    python = venvs.ensure("importer", common.CACHE / "venv-importer")
    config = common.CACHE / "galaxy-importer.cfg"
    config.write_text("[galaxy-importer]\nRUN_ANSIBLE_TEST = False\nCHECK_REQUIRED_TAGS = True\n")
    command = f"{python} -m galaxy_importer.main {tarball.build()}"
    return (
        "galaxy-importer",
        command,
        "Importer processing completed successfully",
        {
            "GALAXY_IMPORTER_CONFIG": str(config),
        },
    )


def _slow_gates() -> list[Gate]:
    """The gates that take half a minute and more each."""
    gates = [_sanity("oldest", venvs.oldest())]
    newer = venvs.newer_python()
    if newer:
        gates.append(_sanity("newest", venvs.ensure("newest", common.CACHE / "venv-newest", newer)))
    else:
        common.say("  NOT CHECKED with the newest ansible-core: it needs Python 3.12 or later, and there is none here.")
    return [*gates, _importer()]


def _gates() -> list[Gate]:
    """The gates that take seconds."""
    # `all` would load every collection of the ansible package, 20 times as long, for the same verdict.
    docs = "antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs dependent"
    docs += " --disallow-unknown-collection-refs ."
    # By its full name: by path, the imports of the collection would find the same files under another name.
    mypy = "mypy --strict -p ansible_collections.devportal.backstage.plugins.module_utils"
    lint = "ansible-lint --offline --profile production --strict --nocolor"
    return [
        ("ansible-lint", lint, r"in [1-9]\d+ files", {}),
        ("antsibull-docs", docs, "", {}),
        ("mypy", mypy, r"in [1-9]\d* source", {}),
        ("yamllint", "yamllint --strict .", "", {}),
        ("ruff check", "ruff check", "", {}),
        ("ruff format", "ruff format --check", r"[1-9]\d* files", {}),
        ("antsibull-changelog", "antsibull-changelog lint", "", {}),
        ("role variables", "python tests/tools/role_variables.py", r"[1-9]\d* roles", {}),
        ("platforms", "python tests/tools/platforms.py", "table of platforms is", {}),
        ("words", "python tests/tools/words.py", r"[1-9]\d* texts", {}),
    ]


def _gate(gate: Gate) -> tuple[str, float, subprocess.CompletedProcess]:
    name, command, proof, extra = gate
    start = time.monotonic()
    done = subprocess.run(
        shlex.split(command),
        cwd=common.TREE,
        env=common.environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0 and not re.search(proof, done.stdout):
        done.returncode = 1
        done.stdout += f"\nIt checked nothing: '{proof}' is not in its output."
    return name, time.monotonic() - start, done


def main(slow: bool = True) -> int:
    """All gates that read the code."""
    failed = []
    gates = [*(_slow_gates() if slow else []), *_gates()]  # The longest first: the others fit beside it.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for future in concurrent.futures.as_completed([pool.submit(_gate, gate) for gate in gates]):
            name, seconds, done = future.result()
            common.say(f"  {name:22} {seconds:5.1f} s  {'FAILED' if done.returncode else 'ok'}")
            if done.returncode:
                failed.append(name)
                common.say(f"    $ {shlex.join(done.args)}\n" + re.sub("^", "    ", done.stdout.rstrip(), flags=re.M))
    if failed:
        common.say(f"lint: {', '.join(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    common.main(main)
