# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the drills, and what each test took, at the end of the report."""

from __future__ import annotations

from ansible_collections.devportal.backstage.molecule.ha.tests import cluster


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("seconds")
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        terminalreporter.line(f"{report.duration:6.1f} {report.nodeid.partition('::')[2]}")
    terminalreporter.section("figures")
    for line in cluster.FIGURES:
        terminalreporter.line(line)
