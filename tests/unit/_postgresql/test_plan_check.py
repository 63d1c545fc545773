# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a standby's primary is called."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.plan_check import primary_of


@pytest.mark.parametrize(
    ("conninfo", "primary"),
    [
        ("user=repl password=geheim host=db1 port=5433 sslmode=prefer", "db1:5433"),
        ("host = 'db 1' user='it\\'s'", "db 1:5432"),
        ("hostaddr=10.0.0.1", "10.0.0.1:5432"),
        ("postgresql://repl:geheim@db1:5433/x?sslmode=require", "db1:5433"),
        ("postgresql://repl@db1", "db1:5432"),
        ("postgresql://", ""),
        ("user=repl password='host=geheim'", ""),
        ("", ""),
    ],
)
def test_primary(conninfo, primary):
    assert primary_of(conninfo) == primary
