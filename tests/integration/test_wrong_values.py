# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of wrong values against site.yml: a host for each, and none is touched.

Environment: WRONG_VALUES=all takes the whole table, in place of every eighth value.
"""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import role_options
from ansible_collections.devportal.backstage.tests.unit._backstage.wrong_values import WRONG
from inventory_runs import rejected

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is not on PATH")

GIVEN = {
    # It has no Python, so that nothing could be done to this machine.
    "ansible_connection": "local", "ansible_python_interpreter": "/nowhere", "ansible_become": False,
    "backstage_postgresql_password": "hunter2", "backstage_app_config_directory": "/nowhere/app",
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """For each case its variable, its value and the last result of its host, from one run of site.yml."""
    # Ansible itself rejects an inventory that holds half of a surrogate pair, and JSON has no numbers as keys.
    cases = [
        (name, value)
        for name, values in WRONG.items()
        for value in values
        if "\\ud8" not in json.dumps(value) and json.loads(json.dumps(value)) == value
    ]
    if os.environ.get("WRONG_VALUES") != "all":
        cases = cases[::8]
    hosts = {f"h{number}": {name: value} for number, (name, value) in enumerate(cases)}
    groups = {group: {"hosts": list(hosts)} for group in ("backstage_database", "backstage")}
    inventory = {"all": {"vars": GIVEN}, **groups, "_meta": {"hostvars": hosts}}
    folder = tmp_path_factory.mktemp("wrong")
    report, done = rejected(folder, inventory)
    last = {}
    reached = set()
    for play in report["plays"]:
        for task in play["tasks"]:
            reached.add(task["task"]["name"])
            for host, result in task["hosts"].items():
                if not result.get("skipped"):
                    last[host] = result
    assert last.keys() == hosts.keys(), (done.stdout[-3000:], done.stderr[-3000:])
    return [(name, value, last[f"h{number}"]) for number, (name, value) in enumerate(cases)], reached


def test_each_gets_a_clear_sentence(outcomes):
    counts = {"clear": 0, "ansible": 0, "passed": 0}
    rest = []
    for name, value, result in outcomes[0]:
        clear = result.get("failed") and name in result.get("msg", "") and "problems" in result
        kind = "clear" if clear else "ansible" if result.get("failed") else "passed"
        counts[kind] += 1
        if kind != "clear":
            rest.append((name, value, str(result.get("msg"))[:200]))
    print(counts)
    assert not rest, rest


def test_nothing_runs_after_the_first_task_on_the_hosts(outcomes):
    assert {re.sub(r".* : ", "", name) for name in outcomes[1]} <= {
        "Require a host of the groups backstage or backstage_database in this run",
        "Validate variables",
    }


def test_every_role_has_wrong_values():
    for role in role_options.by_role():
        assert any(name.startswith(f"{role}_") for name in WRONG)
