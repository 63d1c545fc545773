# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module tests share: a way to run a module as Ansible does, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

# The folder of the helpers below is no package, so that these tests run from anywhere.
sys.path.insert(0, os.path.dirname(__file__))

import module_runs
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import rotation_journal
from rotated_app import App
from servers import Server


@pytest.fixture(scope="session")
def run_module():
    """A function `run_module(name, check=False, diff=False, env=None, **arguments)` that returns the result's dict.

    `failed` is always in the result; what the module wrote besides its JSON fails the test.
    """

    def run(name, /, check=False, diff=False, env=None, python=sys.executable, **arguments):
        arguments.update(_ansible_check_mode=check, _ansible_diff=diff)
        call = {"name": name, "args": arguments}
        # A test may change what this process has; what it passes on is for a new one.
        plain = env or python != sys.executable
        stdout, stderr = module_runs.anew(python, call, env or {}) if plain else module_runs.forked(call)
        assert stderr == "", stderr
        result = json.loads(stdout)
        result.setdefault("failed", False)
        result.setdefault("changed", False)
        return result

    return run


@pytest.fixture(scope="session")
def postgres_server():
    """A running `servers.Server` that the whole session shares: make roles and databases of your own in it.

    A test that stops it, or changes its settings or rules, makes its own `Server` and closes it.
    """
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["env", "literal", "file"])
def credentials(request):
    """Where an app has its password."""
    return request.param


@pytest.fixture
def app(postgres_server, run_module, tmp_path, credentials):
    """An app whose password can be rotated; goes with the fixture `no_journal_stays`."""
    return App(postgres_server, run_module, tmp_path, credentials)


@pytest.fixture
def no_journal_stays(tmp_path):
    """Also not after a test that failed; other runs on this machine keep theirs, and their directory."""
    yield
    for directory in (tmp_path, *tmp_path.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(rotation_journal.journal_path(str(directory)))


@pytest.fixture
def play(tmp_path):
    """A function `play(playbook, hosts, *options, env=None, **variables)`: what a run with this inventory did.

    `hosts` has each group's hosts, and each host's variables; all of them are this machine.
    """

    def run(playbook, hosts, *options, env=None, **variables):
        common = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False,
            "backstage_postgresql_password": "hunter2", "backstage_app_config_directory": str(tmp_path),
        }  # fmt: skip
        inventory = {
            "all": {
                "vars": {**common, **variables},
                "children": {group: {"hosts": members} for group, members in hosts.items()},
            }
        }
        path = tmp_path / "inventory.json"
        path.write_text(json.dumps(inventory))
        return subprocess.run(
            ["ansible-playbook", "-i", str(path), playbook, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_COLLECTIONS_PATH": os.environ.get("PYTHONPATH", ""),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                **(env or {}),
            },
        )

    return run
