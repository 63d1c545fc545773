# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tarn makes of the settings of a pool; test_failure_drills.py has some of them beside Backstage's own verdict."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.knex_pool import (
    most_connections,
    pool_fault,
)


@pytest.mark.parametrize(
    ("pool", "most"),
    [
        ({}, 10),
        ({"min": 0, "max": 1}, 1),
        ({"max": 5.0, "idleTimeoutMillis": 10, "acquireTimeoutMillis": "1000", "other": "x"}, 5),
    ],
)
def test_right_ones(pool, most):
    assert pool_fault(pool) is None
    assert most_connections(pool) == most


@pytest.mark.parametrize(
    ("pool", "key", "words"),
    [
        ({"max": "5"}, "max", "is a text, not a whole number from 1 on"),
        ({"min": "0"}, "min", "is a text, not a whole number from 0 on"),
        ({"max": 0}, "max", "is 0, not"),
        ({"max": 2.5}, "max", "is 2.5, not"),
        ({"max": True}, "max", "is true, not"),
        ({"max": float("inf")}, "max", "is Infinity, not"),
        ({"max": [5]}, "max", "is [5], not"),
        ({"max": 1}, "max", "is 1, less than min, 2, which is the default"),
        ({"min": 7, "max": 3}, "max", "is 3, less than min, 7"),
        ({"idleTimeoutMillis": "10"}, "idleTimeoutMillis", "is a text, not a whole number of milliseconds"),
        ({"reapIntervalMillis": 0}, "reapIntervalMillis", "is 0, not"),
    ],
)
def test_wrong_ones(pool, key, words):
    found, problem = pool_fault(pool)
    assert found == key
    assert problem.startswith(words)
