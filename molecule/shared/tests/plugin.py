# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a molecule scenario, for the shared tests and its own; testinfra is used here only.

verify.yml gives the hosts in VERIFY_HOSTS: a JSON list with each one's name, groups, container and role variables. A
test that takes `host` runs once a host; with `@pytest.mark.group("backstage")` only on the hosts of that group.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest
import testinfra

# Without colours, which molecule turns on when a person runs it.
_PLAIN = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
_ASK = """
import json, psycopg2, sys
with psycopg2.connect(**json.loads(sys.argv[1])) as connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[2])
    for row in cursor:
        print(*("" if value is None else value for value in row), sep="|")
"""


def _hosts():
    hosts = json.loads(os.environ.get("VERIFY_HOSTS", "[]"))
    if not hosts:
        raise pytest.UsageError("VERIFY_HOSTS names no host: there is nothing to verify, so nothing is proved.")
    return hosts


def pytest_configure(config):
    config.addinivalue_line("markers", "group(name): run on the hosts of this group only")
    _hosts()


def pytest_generate_tests(metafunc):
    if "wanted" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("group")
        hosts = [host for host in _hosts() if marker is None or marker.args[0] in host["groups"]]
        metafunc.parametrize("wanted", hosts, ids=[host["name"] for host in hosts], scope="session")


@pytest.fixture(scope="session")
def host(wanted):
    """The testinfra host; `wanted` has what it was asked to be."""
    return testinfra.get_host("docker://" + wanted["ansible_host"])


@pytest.fixture(scope="session")
def hosts():
    """All hosts of the scenario by name, each as in `host` and `wanted`."""
    return {each["name"]: (testinfra.get_host("docker://" + each["ansible_host"]), each) for each in _hosts()}


@pytest.fixture(scope="session")
def sql(host, wanted):
    """A function `sql(query, **connection)`: the rows of a query as text, by a TCP login with the wanted password.

    `connection` may say host, port, user, password and database; a failed login is an AssertionError with its message.
    """
    return functools.partial(ask, host, wanted)


def ask(machine, wanted, query, /, **connection):
    """See the fixture sql; by psycopg2, which the roles bring along, so that it works on an app host too."""
    login = {
        "host": "127.0.0.1",
        "port": wanted.get("backstage_postgresql_port", 5432),
        "user": wanted.get("backstage_postgresql_user", "postgres"),
        "password": wanted["backstage_postgresql_password"],
        "dbname": "postgres",
        **connection,
    }
    done = machine.run("python3 -c %s %s %s", _ASK, json.dumps(login), query)
    assert done.succeeded, done.stderr
    return done.stdout.splitlines()


def started(playbook, *options, **variables):
    """A playbook that runs on the scenario's hosts with further options and variables; `stdout` is its output."""
    scenario = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
    command = [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), playbook, *options]
    command += [f"--inventory={scenario}/inventory.yml", "--extra-vars", json.dumps(variables)]
    # Results in one line each, which no wrapping tears apart.
    env = {**os.environ, **_PLAIN, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=scenario, env=env)


def play(playbook, *options, **variables):
    """Run a playbook as `started` does, to its end; all output is in the result's stdout."""
    with started(playbook, *options, **variables) as running:
        shown, _nothing = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, shown)


def call(wanted, module, **arguments):
    """The result of one module on one host, without a playbook; `shown` is what was printed before it."""
    scenario = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
    command = [str(pathlib.Path(sys.executable).with_name("ansible")), wanted["name"], "--one-line"]
    command += [f"--inventory={scenario}/inventory.yml", f"--module-name={module}"]
    command += [f"--args={json.dumps(arguments)}"] if arguments else []
    env = {**os.environ, **_PLAIN}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scenario, env=env)
    assert "=>" in done.stdout, done.stdout + done.stderr
    shown, _arrow, result = done.stdout.partition("=>")
    return {**json.loads(result), "shown": shown}


@pytest.fixture(scope="session")
def runs():
    """What the callback host_tasks recorded of this scenario's playbook runs, oldest first."""
    path = pathlib.Path(os.environ["HOST_TASKS_FILE"])
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
