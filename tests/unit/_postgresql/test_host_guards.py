# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SELinux and firewalld, by programs of their names that note how they were called."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import host_guards

PORTS = """SELinux Port Type              Proto    Port Number

postgresql_port_t              tcp      5433-5435, 5432, 9898
postgrey_port_t                tcp      60000
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that puts a program first on PATH; it returns the file with the arguments of each call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name, script):
        calls = tmp_path / f"{name}.calls"
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >>{calls}\n{script}\n')
        (folder / name).chmod(0o755)
        return calls

    return put


def enforcing(tmp_path, monkeypatch, value):
    (tmp_path / "enforce").write_text(value)
    monkeypatch.setattr(host_guards, "_ENFORCE", str(tmp_path / "enforce"))


def test_ports_of_the_policy():
    assert host_guards.selinux_ports(PORTS) == {5432, 5433, 5434, 5435, 9898}


@pytest.mark.parametrize(("port", "allowed"), [(5432, True), (5434, True), (9898, True), (5436, False), (60000, False)])
def test_a_port_that_selinux_does_not_allow(program, tmp_path, monkeypatch, port, allowed):
    enforcing(tmp_path, monkeypatch, "1")
    program("semanage", f"cat <<'E'\n{PORTS}E")
    if allowed:
        host_guards.check_selinux_port(port)
        return
    with pytest.raises(CollectionError, match=f"`semanage port -a -t postgresql_port_t -p tcp {port}`"):
        host_guards.check_selinux_port(port)


def test_selinux_that_only_warns_or_is_off(program, tmp_path, monkeypatch):
    calls = program("semanage", "exit 1")
    for value in ("0", None):
        if value:
            enforcing(tmp_path, monkeypatch, value)
        else:
            monkeypatch.setattr(host_guards, "_ENFORCE", str(tmp_path / "none"))
        host_guards.check_selinux_port(60000)
    assert not calls.exists()


def test_file_types(program, tmp_path):
    calls = program("restorecon", "")
    host_guards.relabel([str(tmp_path)])
    host_guards.relabel([])
    assert calls.read_text() == f"-R {tmp_path}\n"


@pytest.mark.parametrize(
    ("state", "query", "addresses", "sentences"),
    [
        (0, 1, "localhost,10.0.0.5", 1),
        (0, 1, "*", 1),
        (0, 0, "*", 0),
        (252, 1, "*", 0),
        (0, 1, "localhost, 127.0.0.1,::1", 0),
        (0, 1, "", 0),
    ],
)
def test_a_firewall_that_keeps_others_out(program, state, query, addresses, sentences):
    calls = program("firewall-cmd", f'case "$1" in --state) exit {state};; *) exit {query};; esac')
    found = host_guards.firewall_advice(5433, addresses)
    assert len(found) == sentences
    assert all("firewall-cmd --permanent --add-port=5433/tcp" in sentence for sentence in found)
    # It is only asked.
    assert not calls.exists() or set(calls.read_text().split()) <= {"--state", "--query-port=5433/tcp"}
