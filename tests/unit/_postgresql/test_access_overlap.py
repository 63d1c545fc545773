# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which present rules new ones narrow."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_overlap import narrowed_rules
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import access_rules

ROW = {
    "line_number": 7, "type": "host", "database": ["all"], "user_name": ["all"], "address": "10.0.0.0",
    "netmask": "255.0.0.0", "auth_method": "md5", "error": None,
}  # fmt: skip


def narrowed(row=None, data=b"", **rule):
    given = {"type": "host", "method": "reject", "address": "10.1.0.0/16", **rule}
    return narrowed_rules(access_rules([given]), [{**ROW, **(row or {})}], data)


def test_text():
    assert narrowed(users=["a"]) == [
        (
            "line 7: host all all 10.0.0.0/8 md5",
            "line 7: host all all 10.0.0.0/8 md5 (now first: host all a 10.1.0.0/16 reject)",
        )
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "hostssl"},
        {"address": "all"},
        {"address": "samenet"},
        {"address": "db.example.org"},
        {"row": {"address": "all", "netmask": None}},
        {"row": {"user_name": ["+admins"]}, "users": ["a"]},
        {"row": {"user_name": ["a", "b"]}, "users": ["b", "c"]},
        {"row": {"database": ["sameuser"]}, "databases": ["x"]},
    ],
)
def test_overlap(changes):
    assert len(narrowed(**changes)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "md5"},
        {"address": "192.168.0.0/16"},
        {"address": "fd00::/8"},
        {"type": "local", "address": None},
        {"type": "hostssl", "row": {"type": "hostnossl"}},
        {"users": ["a"], "row": {"user_name": ["b"]}},
        {"databases": ["a"], "row": {"database": ["b"]}},
        {"row": {"error": "wrong"}},
        {"data": b"host all all 10.1.0.0/16 reject"},
    ],
)
def test_no_overlap(changes):
    assert narrowed(**changes) == []
