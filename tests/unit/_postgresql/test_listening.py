# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses and the port of a server."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import (
    check_addresses,
    check_port,
    tcp_address,
)
from clusters import make_cluster


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("10.0.0.5, 127.0.0.1", "127.0.0.1"),
        ("::", "::1"),
        ("10.0.0.5,10.0.0.6", "10.0.0.5"),
        ('"db.example.org"', "db.example.org"),
        ("", None),
    ],
)
def test_tcp_address(listen, address):
    assert tcp_address(listen) == address


class TestPort:
    def test_another_cluster(self, free_port):
        ours = make_cluster(15, port=free_port)
        other = make_cluster(17, port=free_port)
        check_port(free_port, "localhost", ours, [ours])
        with pytest.raises(CollectionError, match=f"port {free_port} is already used by cluster 17/main"):
            check_port(free_port, "localhost", ours, [ours, other])
        check_port(
            free_port, "localhost", ours, [ours, make_cluster(17, port=free_port, status="down", start="manual")]
        )

    @pytest.mark.parametrize("addresses", ["localhost", "127.0.0.1", "*"])
    def test_another_process(self, listener, addresses):
        with pytest.raises(CollectionError, match=rf"already used by process {os.getpid()} \("):
            check_port(listener, addresses, None, [])

    def test_a_port_for_root_only(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as stream:
            first = int(stream.read())
        if first < 2:
            pytest.skip("every port is for everybody here")
        with pytest.raises(CollectionError, match=f"port 1 is for processes of root only.* from {first} to 65535"):
            check_port(1, "", None, [])
        check_port(1, "", make_cluster(15, port=1), [])

    def test_another_address(self, listener):
        check_port(listener, "127.0.0.2", None, [])
        check_port(listener, "", None, [])

    @pytest.fixture
    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @pytest.fixture
    def listener(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            yield server.getsockname()[1]


class TestAddresses:
    @pytest.mark.parametrize("addresses", ["", "*", "localhost", "127.0.0.1, localhost", "0.0.0.0", '"127.0.0.1"'])
    def test_one_can_listen_there(self, addresses):
        check_addresses(addresses)

    @pytest.mark.parametrize(
        "addresses", ["nosuch.invalid", "localhost, nosuch.invalid", "10.0.0", "a b", "-x", "ü" * 70]
    )
    def test_a_name_that_does_not_resolve(self, addresses):
        with pytest.raises(CollectionError, match=r"which (does not resolve on|is not an address of) this host"):
            check_addresses(addresses)

    @pytest.mark.parametrize("addresses", ["192.0.2.7", "localhost,192.0.2.7", "2001:db8::7"])
    def test_an_address_of_another_host(self, addresses):
        with pytest.raises(CollectionError, match="is not an address of this host"):
            check_addresses(addresses)
