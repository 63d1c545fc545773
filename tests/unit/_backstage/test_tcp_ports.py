# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real sockets of real processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import tcp_ports

LISTEN = """
import socket, sys
own = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
own.bind((sys.argv[1], int(sys.argv[2])))
own.listen()
print(own.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def process(address="127.0.0.1", port=0, **ids):
    """A process that listens; its number and its port."""
    command = ["/usr/bin/python3", "-c", LISTEN, address, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **ids) as running:
        try:
            yield running.pid, int(running.stdout.readline())
        finally:
            running.kill()


def test_the_sockets_of_a_process():
    with process() as (pid, port), process() as (_other, other_port):
        found = tcp_ports.listeners_of([pid], tcp_ports.listeners())
        assert [(one.address, one.port) for one in found] == [("127.0.0.1", port)]
        assert other_port in {one.port for one in tcp_ports.listeners()}


def test_an_address_of_ipv6():
    with socket.socket(socket.AF_INET6) as own:
        own.bind(("::1", 0))
        own.listen()
        found = tcp_ports.listeners_of([os.getpid()], tcp_ports.listeners())
        assert ("::1", own.getsockname()[1]) in {(one.address, one.port) for one in found}


def test_a_connection_is_no_listener():
    with process() as other, socket.create_connection(("127.0.0.1", other[1])):
        assert tcp_ports.listeners_of([os.getpid()], tcp_ports.listeners()) == []


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", "0.0.0.0", "::"])
def test_who_has_the_port(host):
    with process() as (pid, port):
        found = tcp_ports.holder(port, host, [])
        assert found is not None
        assert found.pid == pid
        assert f"process {pid} (python" in str(found)
        assert tcp_ports.holder(port, host, [pid]) is None
    assert tcp_ports.holder(port, host, []) is None


def test_another_address_leaves_the_port_free():
    with process("127.0.0.2") as (_pid, port):
        assert tcp_ports.holder(port, "127.0.0.1", []) is None
        assert tcp_ports.holder(port, "::1", []) is None
        assert tcp_ports.holder(port, "", []) is not None


def test_somebody_else_beside_an_own_socket():
    """With SO_REUSEPORT two processes of one user may listen on one port."""
    with process("127.0.0.2") as own, process("127.0.0.3", own[1]) as beside:
        assert tcp_ports.holder(own[1], "", [own[0]]).pid == beside[0]


ASK = """
import sys
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import tcp_ports
print([one.port for one in tcp_ports.listeners_of([int(sys.argv[1])], tcp_ports.listeners())])
print(tcp_ports.holder(int(sys.argv[2]), "", []).pid)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="another user's process takes root")
def test_a_process_of_another_user_without_the_right_to_trace():
    """Root in a container is without CAP_SYS_PTRACE, and may not look at the files of others."""
    with process(user=65534, group=65534) as (pid, port):
        command = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-c", ASK, str(pid), str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout.split("\n")[:2] == [f"[{port}]", str(pid)], done.stderr


@pytest.mark.parametrize(
    ("own", "others", "reached"),
    [
        ("127.0.0.5", [], "127.0.0.5"),
        ("0.0.0.0", [], "127.0.0.1"),
        ("::", [], "127.0.0.1"),
        ("::", ["0.0.0.0"], "::1"),  # then this one takes IPv6 only, and 127.0.0.1 is another's
        ("::", ["127.0.0.1"], "::1"),
        ("::1", [], "::1"),
    ],
)
def test_the_address_that_reaches_a_socket(own, others, reached):
    listener = tcp_ports.Listener(own, 7007, "1")
    everybody = [listener, *(tcp_ports.Listener(address, 7007, "2") for address in others)]
    assert listener.reached_at([*everybody, tcp_ports.Listener("127.0.0.1", 7008, "3")]) == reached


@pytest.mark.parametrize(
    ("hierarchy", "rest"),
    [
        ("0:", ""),
        ("0:", "1:name=systemd:/docker/x\n"),  # systemd 257 on a host that has both, and uses the unified one
        ("1:name=systemd", "0::/\n"),
        ("1:name=systemd", ""),
    ],
)
def test_the_processes_of_a_unit(tmp_path, monkeypatch, hierarchy, rest):
    """Cut from a host where yarn started the backend below the unit."""
    groups = {
        1: "0::/init.scope\n",
        20: f"12:cpu:/\n{hierarchy}:/docker/x/system.slice/backstage.service\n{rest}",
        21: f"12:cpu:/\n{hierarchy}:/docker/x/system.slice/backstage.service/child\n{rest}",
        22: f"12:cpu:/\n{hierarchy}:/docker/x/system.slice/backstage.service-2\n{rest}",
        23: "",
        24: f"12:cpu:/\n{hierarchy}:/docker/x/system.slice/old-portal.service\n{rest}",
    }
    for pid, text in groups.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(text)
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(tcp_ports, "PROC", str(tmp_path))
    assert sorted(tcp_ports.processes_beside(20)) == [20, 21]
    assert tcp_ports.processes_beside(23) == [23]
    assert tcp_ports.processes_beside(99) == [99]
