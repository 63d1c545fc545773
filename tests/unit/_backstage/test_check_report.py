# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Report


def test_the_messages_begin_in_one_column_however_long_a_plugin_s_name_is():
    report = Report()
    report.passed("login", "It logs in.")
    report.failed("plugin_notifications", "It may not.", "Grant it.")
    report.unknown("x", "Nobody knows.")
    report.databases = [
        {"name": "a", "schema": None, "owner": "b", "size": 1048576, "rows": 5, "analyzed": True},
        {"name": "a", "schema": "s", "owner": "b", "size": None, "rows": None, "analyzed": False},
    ]
    assert report.table("The sentence.") == [
        "The sentence.",
        "  ok       login                It logs in.",
        "  FAILED   plugin_notifications It may not.",
        "                                -> Grant it.",
        "  unknown  x                    Nobody knows.",
        "           database             a: owner b, 1.0 MiB, about 5 rows",
        "           database             a, schema s: owner b, rows not analyzed yet",
    ]
