# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import systemd


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ("Mon 2026-11-23 01:22:32.250000 UTC", 1795396952.25),
        ("Mon 2026-11-23 01:22:32 UTC", None),  # without --timestamp=us+utc
        ("n/a", None),
        ("", None),
    ],
)
def test_the_time_of_an_event(printed, wanted):
    assert systemd.seconds(printed) == wanted


def _state(monkeypatch, unit):
    monkeypatch.setattr(systemd.Unit, "look", lambda self: unit)


def test_files_that_a_run_does_not_know(tmp_path, monkeypatch):
    old, new = (tmp_path / name for name in ("old", "new"))
    for path, time in ((old, 99), (new, 101)):
        path.touch()
        os.utime(path, (time, time))
    files = [str(old), str(new), str(tmp_path / "missing")]
    unit = systemd.Unit("backstage.service")
    _state(monkeypatch, systemd.Unit("backstage.service", "active", began=100.0))
    assert unit.outdated(files) == [str(new)]
    _state(monkeypatch, systemd.Unit("backstage.service", "activating"))
    assert unit.outdated(files) == []
    os.utime(new, (2**40, 2**40))
    _state(monkeypatch, systemd.Unit("backstage.service", "active", began=100.0))
    assert unit.outdated(files) == []


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        ("ActiveState=active SubState=running Job=0", True),
        ("ActiveState=active SubState=running Job=7", False),  # to be stopped
        ("ActiveState=activating SubState=start-post Job=7", True),  # not ready yet
        ("ActiveState=activating SubState=auto-restart Job=0", False),
        ("ActiveState=deactivating SubState=stop-sigterm Job=7", False),
        ("ActiveState=inactive SubState=dead Job=0", False),
    ],
)
def test_when_a_run_goes_on(monkeypatch, state, goes_on):
    started = "\nExecMainStartTimestamp=Mon 2026-11-23 01:22:32.250000 UTC\n"
    monkeypatch.setattr(systemd, "_output", lambda *_command: state.replace(" ", "\n") + started)
    assert (systemd.Unit("backstage.service").look().began is not None) is goes_on


def test_a_host_without_systemd(monkeypatch):
    monkeypatch.setattr(systemd, "_output", lambda *_command: "")
    assert systemd.Unit("backstage.service").look() == systemd.Unit("backstage.service")
    assert systemd.Unit("backstage.service").processes() == []
