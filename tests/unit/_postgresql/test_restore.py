# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the run after an interrupted restore does; the restores themselves are in the scenarios day_two and ha."""

from __future__ import annotations

import json

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import restore
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_report import parse_target
from ansible_collections.devportal.backstage.tests.unit._postgresql.clusters import make_cluster


@pytest.mark.parametrize(
    ("more", "content"),
    [
        ({}, "former"),
        # The cluster manager had yet to start the restored server.
        ({"restored": "2026-11-26 14:30:00+00:00", "checkpoint": "0/5000028"}, "restored"),
    ],
)
def test_an_interrupted_restore_is_undone_and_a_completed_one_is_not(tmp_path, monkeypatch, more, content):
    data, former, journal = tmp_path / "main", tmp_path / "main.before-restore-1", tmp_path / "restore.json"
    for directory, text in ((data, "restored"), (former, "former")):
        directory.mkdir()
        (directory / "PG_VERSION").write_text(text)
    journal.write_text(json.dumps({"data": str(data), "former": str(former), "ran": False, **more}))
    monkeypatch.setattr(restore, "JOURNAL", str(journal))
    assert restore.undo_interrupted()["former"] == str(former)
    assert (data / "PG_VERSION").read_text() == content
    assert former.exists() == journal.exists() == ("restored" in more)


@pytest.mark.parametrize(
    ("journal", "moment", "done"),
    [
        (None, None, False),
        ({"ran": False}, None, False),
        ({"restored": "", "checkpoint": "0/5000028"}, None, True),
        ({"restored": "2026-11-26 14:30:00+00:00", "checkpoint": "0/5000028"}, "2026-11-26 14:30:00+00:00", True),
        ({"restored": "2026-11-26 14:30:00+00:00", "checkpoint": "0/5000028"}, "2026-11-26 14:31:00+00:00", False),
        ({"restored": "2026-11-26 14:30:00+00:00", "checkpoint": "0/5000028"}, None, False),
        # A server ran on it meanwhile.
        ({"restored": "", "checkpoint": "0/4000028"}, None, False),
    ],
)
def test_a_restore_to_the_same_target_is_not_repeated(monkeypatch, journal, moment, done):
    monkeypatch.setattr(restore, "control_data", lambda *_arguments: {"Latest checkpoint location": "0/5000028"})
    target = parse_target(moment) if moment else None
    assert restore.Restore(None, make_cluster(17), "backstage", target, 10).was_done(journal) is done
