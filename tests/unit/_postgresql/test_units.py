# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.units import shown


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("4096", "kB", "4MB"),
        ("16384", "8kB", "128MB"),
        ("1025", "kB", "1025kB"),
        ("64", "16MB", "1GB"),
        ("1048576", "MB", "1TB"),
        ("100", "B", "100B"),
        ("300", "s", "5min"),
        ("90", "s", "90s"),
        ("1440", "min", "1d"),
        ("2", "ms", "2ms"),
        ("0.5", "ms", "500us"),
        ("0", "kB", "0"),
        ("-1", "ms", "-1"),
        ("100", None, "100"),
        ("on", None, "on"),
        ("", "kB", ""),
    ],
)
def test_as_show_shows_it(value, unit, expected):
    assert shown(value, unit) == expected


def test_permissions_are_octal():
    assert shown("511", None, "0770") == "0777"
    assert shown("8", None, "0770") == "0010"
    assert shown("511", None, "10") == "511"
