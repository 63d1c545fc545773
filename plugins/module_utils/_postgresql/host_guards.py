# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guards a host beside PostgreSQL itself: SELinux and firewalld. Nothing of either is changed but file types.

Sources: restorecon(8), semanage-port(8), firewall-cmd(1).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import run

_ENFORCE = "/sys/fs/selinux/enforce"
_TYPE = "postgresql_port_t"
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


def relabel(paths: Sequence[str]) -> None:
    """Give files the SELinux types that the policy has for their places; nothing where there is no SELinux."""
    if paths and shutil.which("restorecon"):
        run(["restorecon", "-R", *paths])


def check_selinux_port(port: int) -> None:
    """Reject a port that SELinux would not let PostgreSQL listen on.

    Raises:
        CollectionError: with the command that allows it.
    """
    if port == DEFAULT_PORT or not _enforcing() or not shutil.which("semanage"):
        return
    listed = run(["semanage", "port", "-l"]).stdout
    if port not in selinux_ports(listed):
        raise CollectionError(
            f"port: SELinux does not allow PostgreSQL to listen on {port}.",
            f"Choose {DEFAULT_PORT}, or run `semanage port -a -t {_TYPE} -p tcp {port}`.",
        )


def selinux_ports(listed: str) -> set[int]:
    """The TCP ports of PostgreSQL in the output of `semanage port -l`."""
    ports: set[int] = set()
    for line in listed.splitlines():
        words = line.replace(",", " ").split()
        if words[:2] == [_TYPE, "tcp"]:
            for word in words[2:]:
                first, _dash, last = word.partition("-")
                ports |= set(range(int(first), int(last or first) + 1))
    return ports


def _enforcing() -> bool:
    with contextlib.suppress(OSError), open(_ENFORCE, encoding="ascii") as stream:
        return stream.read().strip() == "1"
    return False


def firewall_advice(port: int, listen_addresses: str) -> list[str]:
    """A sentence where firewalld runs and has the port closed to other hosts."""
    remote = [item for item in re.split(r'[\s,"]+', listen_addresses) if item not in _LOOPBACK]
    if not remote or not shutil.which("firewall-cmd") or run(["firewall-cmd", "--state"]).returncode:
        return []
    queries = [f"--query-port={port}/tcp", *(["--query-service=postgresql"] if port == DEFAULT_PORT else [])]
    if any(run(["firewall-cmd", query]).returncode == 0 for query in queries):
        return []
    return [
        f"firewalld does not let other hosts in on port {port}. Run `firewall-cmd --permanent --add-port={port}/tcp` "
        "and `firewall-cmd --reload` if they are to reach this server."
    ]
