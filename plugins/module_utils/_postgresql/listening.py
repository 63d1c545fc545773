# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server listens: its addresses, and whether it can have a TCP port of this host.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import MAX_PORT


def check_port(port: int, listen_addresses: str, cluster: Cluster | None, others: Iterable[Cluster]) -> None:
    """Reject a port that another cluster or process has.

    Args:
        port: the port that the server does not have yet.
        listen_addresses: where it is to listen, as PostgreSQL writes it.
        cluster: the server's own, if it exists.
        others: all clusters of this host.

    Raises:
        CollectionError: the port is taken, or for root's processes only.
    """
    first = _first_unprivileged_port()
    if port < first and not (cluster and cluster.port == port):
        raise CollectionError(
            f"O(settings): port {port} is for processes of root only, and PostgreSQL's are not.",
            f"Choose a port from {first} to {MAX_PORT}.",
        )
    for other in others:
        taken = other.status == "online" or other.start == "auto"
        if taken and other.port == port and str(other) != str(cluster):
            raise CollectionError(
                f"O(settings): port {port} is already used by cluster {other} ({other.status}).", "Choose another port."
            )
    for item in listen_addresses.split(","):
        host = item.strip().strip('"')
        if host and in_use(None if host == "*" else host, port):
            raise CollectionError(
                f"O(settings): port {port} is already used by {_listener(port)}.",
                "Choose another port, or stop that process.",
            )


def _first_unprivileged_port() -> int:
    """The first port that a process may have whose user is not root (ip(7))."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 1024


def in_use(host: str | None, port: int) -> bool:
    """Whether a process listens on this port of an address; None stands for all of them."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False  # An unknown name is reported elsewhere.
    for family, kind, protocol, _name, place in places:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return True
    return False


def _listener(port: int) -> str:
    """The process that listens on a TCP port, for an error's text (proc(5))."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:
            for line in stream.read().splitlines()[1:]:
                part = line.split()
                if part[3] == "0A" and int(part[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{part[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{descriptor}") in inodes:
                        with open(f"/proc/{pid}/comm", encoding="utf-8") as stream:
                            return f"process {pid} ({stream.read().strip()})"
    return "another process"


def tcp_address(listen_addresses: str) -> str | None:
    """An address on which a client of the same machine reaches the server, or None where it has no TCP."""
    asked = [item.strip().strip('"') for item in listen_addresses.split(",") if item.strip()]
    for any_of, address in (
        (("*", "0.0.0.0", "localhost", "127.0.0.1"), "127.0.0.1"),
        (("::", "::1"), "::1"),
    ):
        if any(item in any_of for item in asked):
            return address
    return asked[0] if asked else None


def check_addresses(listen_addresses: str) -> None:
    """Reject an address on which a server of this host could not listen; it would go on without it, or not start.

    Args:
        listen_addresses: as PostgreSQL writes it.

    Raises:
        CollectionError: it does not resolve, or is not an address of this host.
    """
    for item in listen_addresses.split(","):
        host = item.strip().strip('"')
        if not host or host == "*":
            continue
        try:
            places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CollectionError(
                f'O(settings): listen_addresses has "{host}", which does not resolve on this host ({reason}).',
                "Correct the name, or add it to DNS or /etc/hosts.",
            ) from None
        # A name such as localhost may have an IPv6 address on a host without IPv6; PostgreSQL goes on with the other.
        errors = [_bind_error(family, place) for family, _kind, _protocol, _name, place in places]
        if errors and all(errors):
            raise CollectionError(
                f'O(settings): listen_addresses has "{host}", which is not an address of this host ({errors[0]}).',
                "Use one of its own addresses, or `*`.",
            )


def _bind_error(family: int, place: tuple[object, ...]) -> str | None:
    """Why this address cannot be had on any port."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((place[0], 0, *place[2:]))
    except OSError as error:
        return error.strerror
    return None
