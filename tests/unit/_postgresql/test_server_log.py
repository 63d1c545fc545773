# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a server's log tells of trouble."""

from __future__ import annotations

import os

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import LogTail


def test_reasons_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("old\n")
    tail = LogTail(str(log), "")
    with log.open("a") as stream:
        stream.write(
            '2026-01-01 [1] LOG:  starting PostgreSQL\n2026-01-01 [1] LOG:  could not bind IPv4 address "x": in use\n'
            "2026-01-01 [1] HINT:  Is another one running?\n2026-01-01 [1] FATAL:  no sockets\n"
            "2026-01-01 [1] LOG:  database system is shut down\n2026-01-01 [1] HINT:  not of interest\n"
        )
    assert tail.reasons() == ['could not bind IPv4 address "x": in use', "Is another one running?", "no sockets"]
    other = LogTail(str(log), "")
    with log.open("a") as stream:
        stream.write("2026-01-01 [1] FATAL:  konnte nicht\n")
    assert other.reasons() == ["konnte nicht"]
    assert LogTail(str(tmp_path / "none"), "").reasons() == []


def test_only_what_its_owner_may_read(tmp_path):
    """The owner chooses the path, so that it may lead to a file of root's, or to a pipe."""
    (tmp_path / "pipe").touch()
    (tmp_path / "pipe").unlink()
    os.mkfifo(tmp_path / "pipe")
    assert LogTail(str(tmp_path / "pipe"), "").lines() == []
    secret = tmp_path / "secret"
    secret.write_text("secret: FATAL:  geheim\n")
    secret.chmod(0o600)
    tmp_path.chmod(0o755)
    tail = LogTail("/nowhere", "nobody")
    tail._path = str(secret)
    assert tail.lines() == ([] if os.geteuid() == 0 else ["secret: FATAL:  geheim"])
