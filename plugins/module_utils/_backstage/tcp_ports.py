# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process of this host listens on which TCP port, from /proc (proc(5)).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids, acting_as

PROC = "/proc"
_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket.

    Attributes:
        address: where it listens, as text.
        port: its port.
        inode: the number by which /proc/PID/fd names it.
    """

    address: str
    port: int
    inode: str

    def reached_at(self, others: Iterable[Listener]) -> str:
        """The address at which a program of this host reaches this socket and no other one.

        Args:
            others: all listening sockets of the host.
        """
        if self.address == "0.0.0.0":
            return "127.0.0.1"
        if self.address == "::":
            # It takes IPv4 connections, too, unless somebody else could have the port there.
            taken = any(other.port == self.port and ":" not in other.address for other in others)
            return "::1" if taken else "127.0.0.1"
        return self.address

    def overlaps(self, host: str) -> bool:
        """Whether a second socket of this port could not listen on `host`, a name or an address; empty means any."""
        wanted = {"": "::", "localhost": "127.0.0.1"}.get(host, host)
        return self.address in (wanted, *_ANY) or wanted == "::" or (wanted == "0.0.0.0" and ":" not in self.address)


@dataclass(frozen=True)
class Process:
    """A process, as an error names it.

    Attributes:
        pid: its number.
        command: its name.
        unit: the systemd unit or other control group that it belongs to; empty where that cannot be told.
    """

    pid: int
    command: str
    unit: str

    def __str__(self) -> str:
        where = f", {self.unit}" if self.unit else ""
        return f"process {self.pid} ({self.command}{where})"


def listeners() -> list[Listener]:
    """All listening TCP sockets of this network namespace."""
    found = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"{PROC}/net/{name}", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    address, _colon, port = fields[1].partition(":")
                    found.append(Listener(_address(address), int(port, 16), fields[9]))
    return found


def listeners_of(pids: Iterable[int], among: Iterable[Listener]) -> list[Listener]:
    """Those of the listening sockets that one of the processes has open."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    return [listener for listener in among if listener.inode in inodes]


def control_group(pid: int) -> str:
    """The path of a process in systemd's hierarchy (cgroups(7)); empty where that cannot be told."""
    text = _read(pid, "cgroup")
    # Where the unified hierarchy is not in use, its path is "/", and systemd has a hierarchy of its own.
    found = re.search(r"^0::(/.+)$", text, re.MULTILINE) or re.search(r"^\d+:name=systemd:(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def processes_beside(pid: int) -> list[int]:
    """The process and all others of its unit: those in its control group or below."""
    group = control_group(pid)
    if not group.strip("/"):
        return [pid]
    below = group.rstrip("/") + "/"
    return [one for one in _pids() if one == pid or (control_group(one) + "/").startswith(below)]


def holder(port: int, host: str, own: Iterable[int]) -> Process | None:
    """The process that keeps others from listening on a port.

    Args:
        port: the port.
        host: where one would like to listen; empty means everywhere.
        own: processes that do not count.

    Returns:
        The process; with the number 0 where it cannot be told; None where the port is free.
    """
    taken = [listener for listener in listeners() if listener.port == port and listener.overlaps(host)]
    mine = set(own)
    free = {listener.inode for listener in listeners_of(mine, taken)}
    inodes = {listener.inode for listener in taken} - free
    if not inodes:
        return None
    for pid in _pids():
        if pid not in mine and inodes & _sockets(pid):
            unit = control_group(pid).rstrip("/").rpartition("/")[2]
            return Process(pid, _read(pid, "comm").strip(), unit)
    return Process(0, "unknown", "")


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's open sockets."""
    # As its owner: root may be without CAP_SYS_PTRACE, in a container for instance (ptrace(2)).
    with contextlib.suppress(OSError), acting_as(_ids(pid)):
        links = [_link(f"{PROC}/{pid}/fd/{name}") for name in os.listdir(f"{PROC}/{pid}/fd")]
        return {link[8:-1] for link in links if link.startswith("socket:[")}
    return set()


def _ids(pid: int) -> Ids:
    owner = os.stat(f"{PROC}/{pid}")
    return Ids(owner.st_uid, owner.st_gid, (owner.st_gid,))


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(pid: int, name: str) -> str:
    try:
        with open(f"{PROC}/{pid}/{name}", encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _address(digits: str) -> str:
    """An address as /proc/net/tcp has it: words of 32 bits in the byte order of the host."""
    raw = b"".join(struct.pack("=I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
