# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a cluster is compared with the cluster just before and just after the moment that it shows."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portal_data import (
    Snapshot,
    Table,
    compare,
)

STATE = "backstage_plugin_catalog.public.refresh_state"
TASKS = "backstage_plugin_scaffolder.public.tasks"


def snapshot(**tables):
    made = Snapshot(
        ["backstage_plugin_catalog", "backstage_plugin_scaffolder"],
        {STATE: Table(500, 500, "digest"), TASKS: Table(3, 7)},
    )
    for name, table in tables.items():
        made.tables[{"state": STATE, "tasks": TASKS}[name]] = table
    return made


def test_an_equal_copy():
    found = compare(snapshot(), snapshot(), snapshot(state=Table(500, 0, "digest"), tasks=Table(3)))
    assert (found.problems, found.moving, found.databases) == ([], [], 2)
    assert (found.tables, found.rows, found.entities) == (2, 503, 500)


@pytest.mark.parametrize(
    ("name", "table", "problem"),
    [
        ("tasks", Table(2), f"Table {TASKS} has 2 rows; the cluster has 3."),
        ("state", Table(500, 0, "another"), f"Table {STATE} has other entities than the cluster."),
        ("state", Table(500, 0, ""), f"Table {STATE} has other entities than the cluster."),
    ],
)
def test_another_table(name, table, problem):
    assert compare(snapshot(), snapshot(), snapshot(**{name: table})).problems == [problem]


def test_a_table_that_is_missing_or_too_many():
    without = snapshot()
    del without.tables[TASKS]
    assert compare(snapshot(), snapshot(), without).problems == [
        f"Table {TASKS} is missing; the cluster has 3 rows in it."
    ]
    assert compare(without, without, snapshot()).problems == [f"Table {TASKS} is not in the cluster."]


def test_a_database_that_is_missing():
    without = snapshot()
    del without.tables[TASKS]
    without.databases.remove("backstage_plugin_scaffolder")
    assert compare(snapshot(), snapshot(), without).problems == ["Database backstage_plugin_scaffolder is missing."]


def test_a_table_that_changes_meanwhile_is_compared_loosely():
    after = snapshot(tasks=Table(5, 9))
    found = compare(snapshot(), after, snapshot(tasks=Table(4)))
    assert (found.problems, found.moving) == ([], [TASKS])
    # As many rows came as went.
    assert not compare(snapshot(), snapshot(tasks=Table(3, 11)), snapshot(tasks=Table(4))).problems
    assert compare(snapshot(), after, snapshot(tasks=Table(0))).problems == [
        f"Table {TASKS} is empty; the cluster has 5 rows in it."
    ]


def test_what_is_written_is_read_again():
    made = copy.deepcopy(snapshot())
    made.quiet = True
    assert Snapshot.from_json(made.to_json()) == made
