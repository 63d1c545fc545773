# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a server's log tells of trouble."""

from __future__ import annotations

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import LogTail


def test_reasons_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("old\n")
    tail = LogTail(str(log))
    with log.open("a") as stream:
        stream.write(
            '2026-01-01 [1] LOG:  starting PostgreSQL\n2026-01-01 [1] LOG:  could not bind IPv4 address "x": in use\n'
            "2026-01-01 [1] HINT:  Is another one running?\n2026-01-01 [1] FATAL:  no sockets\n"
            "2026-01-01 [1] LOG:  database system is shut down\n2026-01-01 [1] HINT:  not of interest\n"
        )
    assert tail.reasons() == ['could not bind IPv4 address "x": in use', "Is another one running?", "no sockets"]
    other = LogTail(str(log))
    with log.open("a") as stream:
        stream.write("2026-01-01 [1] FATAL:  konnte nicht\n")
    assert other.reasons() == ["konnte nicht"]
    assert LogTail(str(tmp_path / "none")).reasons() == []
