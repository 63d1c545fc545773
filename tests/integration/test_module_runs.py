# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fork is as good as a new process: it prints the same, keeps nothing, and has what the test has changed."""

from __future__ import annotations

import json
import os
import sys

import module_runs
import pytest


@pytest.fixture
def call(tmp_path):
    args = {"path": str(tmp_path / ".env"), "variables": {"A": "b"}, "_ansible_check_mode": True}
    return {"name": "backstage_env_file", "args": args}


def test_the_same_is_printed_again_and_again(call):
    wanted = module_runs.anew(sys.executable, call, {})
    assert json.loads(wanted[0])["changed"] is True
    for _time in range(2):
        assert tuple(module_runs.forked(call)) == wanted


def test_what_it_prints_besides_is_seen(call):
    stdout, stderr = module_runs.forked({**call, "args": 5})
    assert stdout == ""
    assert "Traceback" in stderr
    assert module_runs.forked(call)[1] == ""


def test_another_environment_or_directory_is_a_new_process(call, monkeypatch, tmp_path):
    module_runs.forked(call)
    started = []
    monkeypatch.setattr(module_runs, "anew", lambda *asked: started.append((os.getcwd(), asked)))
    with monkeypatch.context() as changed:
        changed.setenv("PATH", "/nowhere")
        module_runs.forked(call)
    with monkeypatch.context() as changed:
        changed.chdir(tmp_path)
        module_runs.forked(call)
    assert [place for place, _asked in started] == [os.getcwd(), str(tmp_path)]
    module_runs.forked(call)
    assert len(started) == 2
