# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interrupted creation left, and what is somebody else's by now; no cluster is created."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import debian
from clusters import make_cluster


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A half-created cluster 15/x, its data directory and the mark of the run that was killed."""
    monkeypatch.setattr(debian, "_STATE", str(tmp_path))
    monkeypatch.setenv("PG_CLUSTER_CONF_ROOT", str(tmp_path / "etc"))
    data, configuration = tmp_path / "15" / "x", tmp_path / "etc" / "15" / "x"
    data.mkdir(parents=True)
    configuration.mkdir(parents=True)
    (tmp_path / ".devportal-backstage-unfinished-15-x").write_text(f"creating {data}")
    (data / "PG_VERSION").write_text("15\n")
    (configuration / "postgresql.conf").write_text(f"data_directory = '{data}'\n")
    return data


def reasons(data):
    return debian._reasons_to_keep(15, "x", str(data))


def clear(tmp_path):
    mark = debian._unfinished(15, "x")
    with mark.held():
        debian._clear_interrupted(15, "x", mark)
    assert not (tmp_path / ".devportal-backstage-unfinished-15-x").exists()


def test_it_is_cleared(interrupted, tmp_path):
    assert reasons(interrupted) == []
    clear(tmp_path)
    assert not interrupted.exists()
    assert not (tmp_path / "etc" / "15" / "x").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("postmaster.pid", "4711\n"), ("postmaster.pid", "?"), ("postmaster.opts", "")]
)
def test_a_server_has_run(interrupted, tmp_path, name, text):
    (interrupted / name).write_text(text)
    with pytest.raises(CollectionError, match="a server has run in"):
        clear(tmp_path)
    assert interrupted.exists()


@pytest.mark.parametrize("text", ["-4711\n/data\n", ""])
def test_killed_within_initdb(interrupted, tmp_path, text):
    """Its single-user server leaves its lock."""
    (interrupted / "postmaster.pid").write_text(text)
    clear(tmp_path)
    assert not interrupted.exists()


def test_a_server_runs(interrupted, tmp_path):
    """Found by its command line, whatever its files say."""
    program = "print('runs', flush=True); import time; time.sleep(60)"
    command = ["/usr/lib/postgresql/15/bin/postgres", "-c", program, "-D", str(interrupted)]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"runs\n"
            with pytest.raises(CollectionError, match="a server runs in"):
                clear(tmp_path)
        finally:
            process.kill()
    assert interrupted.exists()


def test_another_data_directory(interrupted, tmp_path):
    (tmp_path / "etc" / "15" / "x" / "postgresql.conf").write_text("data_directory = '/srv/data'\n")
    with pytest.raises(CollectionError, match="its data directory is /srv/data, not"):
        clear(tmp_path)
    assert (tmp_path / "etc" / "15" / "x" / "postgresql.conf").exists()


def test_an_older_data_directory(interrupted, tmp_path):
    os.utime(interrupted / "PG_VERSION", (1, 1))
    with pytest.raises(CollectionError, match="is older than that"):
        clear(tmp_path)
    assert interrupted.exists()


def test_nothing_is_unfinished(interrupted, tmp_path):
    path = tmp_path / ".devportal-backstage-unfinished-15-x"
    path.write_text("created")
    mark = debian._unfinished(15, "x")
    with mark.held():
        debian._clear_interrupted(15, "x", mark)
    assert interrupted.exists()
    assert path.read_text() == "created"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
def test_a_server_whose_owner_cannot_write_where_its_unit_waits_is_not_left_to_systemd(tmp_path, monkeypatch):
    owner, stranger = (pwd.getpwnam(name) for name in ("daemon", "nobody"))
    monkeypatch.setattr(debian, "_SOCKETS", str(tmp_path))
    os.chown(tmp_path, owner.pw_uid, owner.pw_gid)
    of_owner, of_stranger = (make_cluster(17, uid=user.pw_uid) for user in (owner, stranger))
    os.chmod(tmp_path, 0o2775)
    assert debian._redirection(of_owner) == []
    assert debian._redirection(of_stranger) == ["--skip-systemctl-redirect"]
    os.chown(tmp_path, 0, stranger.pw_gid)
    assert debian._redirection(of_stranger) == []
    os.chmod(tmp_path, 0o755)
    assert debian._redirection(of_stranger) == ["--skip-systemctl-redirect"]
    monkeypatch.setattr(debian, "_SOCKETS", str(tmp_path / "missing"))
    assert debian._redirection(of_stranger) == []
