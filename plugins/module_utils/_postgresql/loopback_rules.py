# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for a database user that logs in from the server's own host, where the present ones ask for no password.

Red Hat's family creates clusters with `ident` for that, which no service answers; a bare initdb with `trust`, which
lets everybody in.

Source: the PostgreSQL manual, chapter "The pg_hba.conf File".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule

_LOOPBACK = ("127.0.0.1/32", "::1/128")
_NO_PASSWORD = ("ident", "trust")
_TOKEN = re.compile(r'#.*|(?:"(?:[^"]|"")*"|[^\s#"])+')
_WORDS = ("all", "samehost", "samenet", "localhost")


def loopback_rules(text: bytes, user: str, before: Sequence[AccessRule] = ()) -> list[AccessRule]:
    """The rules that this user needs after `before`.

    Args:
        text: pg_hba.conf without a block of ours.
        user: the database user.
        before: rules that precede it.
    """
    # A backslash at the end continues a line, a comma a list of names.
    joined = re.sub(r"\\\r?\n|(?<=,)[ \t]+", "", text.decode("utf-8", "replace"))
    lines = [*(rule.line() for rule in before), *joined.splitlines()]
    needed = []
    for address in _LOOPBACK:
        method = _first_method(lines, user, address)
        if method in _NO_PASSWORD:
            name = f'"{user}"' if user in ("all", "replication") or user[:1] in '+/@"' else user
            needed.append(AccessRule("host", "scram-sha-256", ("all",), (name,), address))
    return needed


def _first_method(lines: Iterable[str], user: str, address: str) -> str:
    """The method of the first rule that matches this user's connection without TLS; empty for none."""
    for line in lines:
        words: list[str] = [word for word in _TOKEN.findall(line) if word[0] != "#"]
        if len(words) < 5 or words[0] not in ("host", "hostnossl", "hostnogssenc"):
            continue
        place, rest = words[3], words[4:]
        # An address and its mask may be two words.
        if "/" not in place and place not in _WORDS and re.fullmatch(r"[0-9a-fA-F.:]+", place) and len(rest) > 1:
            place, rest = f"{place}/{_length(rest[0])}", rest[1:]
        if _names_all(words[1]) and _names(words[2], user) and _covers(place, address):
            return rest[0]
    return ""


def _names_all(databases: str) -> bool:
    return "all" in databases.split(",")


def _names(users: str, user: str) -> bool:
    names = users.split(",")
    return "all" in names or user in names or f'"{user}"' in names


def _length(mask: str) -> int:
    try:
        return bin(int(ipaddress.ip_address(mask))).count("1")
    except ValueError:
        return 0


def _covers(place: str, address: str) -> bool:
    if place in _WORDS:
        return True
    try:
        network, wanted = ipaddress.ip_network(place, strict=False), ipaddress.ip_network(address)
    except ValueError:
        return False
    return network.version == wanted.version and wanted.network_address in network
