# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that hold the tests up: each test here shows that one of them can fail."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("hosts", ["[]", None])
def test_a_scenario_without_hosts_fails(hosts):
    env = {name: value for name, value in os.environ.items() if name != "VERIFY_HOSTS"}
    if hosts is not None:
        env["VERIFY_HOSTS"] = hosts
    tests = ROOT / "molecule" / "shared" / "tests"
    env["PYTHONPATH"] = os.pathsep.join([str(tests), env.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "plugin", str(tests)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is nothing to verify" in done.stderr


_NO_ENGINE = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
import common, engine, parts
def none():
    raise common.Skipped("no engine here")
engine.ensure = none
sys.exit(parts.main())
"""


@pytest.mark.parametrize(
    ("ci", "code", "said"), [("", 0, "SKIPPED: NOT TESTED (no engine here)"), ("true", 1, "FAILED")]
)
def test_without_an_engine_molecule_is_skipped_loudly_and_fails_in_ci(ci, code, said):
    command = [sys.executable, "-B", "-c", _NO_ENGINE, str(ROOT / "tests" / "tools"), "molecule"]
    done = subprocess.run(command, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout


SPECS = """\
argument_specs:
  main:
    options:
      example_port:
        description: The port.
        type: int
        default: 5432
"""


@pytest.mark.parametrize(
    ("defaults", "fault"),
    [
        ("example_port: 5432", None),
        ("example_port: 5433", "example_port: defaults/main.yml has 5433, argument_specs 5432"),
        ('example_port: "5432"', "example_port is of type int, its default '5432' is not"),
        ("", "example_port has a default in argument_specs and none in defaults"),
        ("example_port: 5432\nexample_host: a", "example_host is in defaults/main.yml and not in meta"),
        ('example_port: "{{ other }}"', "example_port has a template as default; its description needs a line"),
    ],
)
def test_role_variables_that_disagree_are_found(tmp_path, defaults, fault):
    shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
    role = tmp_path / "roles" / "example"
    for name, text in (("defaults", defaults), ("meta", SPECS), ("tasks", "- debug: {msg: '{{ example_port }}'}")):
        (role / name).mkdir(parents=True)
        (role / name / ("argument_specs.yml" if name == "meta" else "main.yml")).write_text(text)
    (role / "README.md").write_text("<!-- variables: example -->\n<!-- end of variables -->\n")
    command = [sys.executable, str(tmp_path / "tests" / "tools" / "role_variables.py")]
    stale = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "a table of variables is stale" in stale.stdout
    subprocess.run([*command, "--write"], capture_output=True, check=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if fault is None else 1)
    assert (fault or "agree") in done.stdout
