# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which present rules of pg_hba.conf new ones before them narrow.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import digest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule

_ENCRYPTION = {"hostssl": "ssl", "hostnossl": "no ssl", "hostgssenc": "gss", "hostnogssenc": "no gss"}


def narrowed_rules(
    rules: Sequence[AccessRule], rows: Iterable[Mapping[str, Any]], data: bytes
) -> list[tuple[str, str]]:
    """Each present rule that matches connections for which a new rule with another method now comes first, and that.

    Args:
        rules: the new ones, which are before all others.
        rows: of pg_hba_file_rules, as the server reads the file now.
        data: the file; a rule that is in it already is not new.
    """
    present = {digest(line) for line in data.splitlines()}
    new = [rule for rule in rules if digest(rule.line().encode()) not in present]
    found = []
    for row in rows:
        for rule in new:
            if row.get("error") is None and row["auth_method"] != rule.method and _overlap(rule, row):
                line = f"line {row['line_number']}: {_row_text(row)}"
                found.append((line, f"{line} (now first: {_rule_text(rule)})"))
                break
    return found


def _overlap(rule: AccessRule, row: Mapping[str, Any]) -> bool:
    return (
        _types_overlap(rule.type, row["type"])
        and _names_overlap(rule.databases, row["database"])
        and _names_overlap(rule.users, row["user_name"])
        and _addresses_overlap(rule.address, row.get("address"), row.get("netmask"))
    )


def _types_overlap(ours: str, theirs: str) -> bool:
    if "local" in (ours, theirs):
        return ours == theirs
    kinds = {_ENCRYPTION.get(ours, ""), _ENCRYPTION.get(theirs, "")} - {""}
    return kinds not in ({"ssl", "no ssl"}, {"gss", "no gss"})


def _names_overlap(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    ours, theirs = {name.strip('"') for name in ours}, set(theirs)
    if ours & theirs or "all" in ours or "all" in theirs:
        return True
    # Groups, patterns and the like may hold anybody.
    return any(name[:1] in "+/@" or name.startswith("same") for name in ours | theirs)


def _addresses_overlap(ours: str | None, theirs: str | None, netmask: str | None) -> bool:
    if ours is None or theirs is None or "all" in (ours, theirs):
        return True
    try:
        first = ipaddress.ip_network(ours, strict=False)
        second = ipaddress.ip_network(_network_text(theirs, netmask), strict=False)
    except ValueError:
        return True  # a host name, or samenet
    return first.version == second.version and first.overlaps(second)


def _network_text(address: str, netmask: str | None) -> str:
    if netmask is None:
        return address
    length = bin(int(ipaddress.ip_address(netmask))).count("1")
    return f"{address}/{length}"


def _row_text(row: Mapping[str, Any]) -> str:
    address = row.get("address")
    parts = [row["type"], ",".join(row["database"]), ",".join(row["user_name"])]
    parts += [_network_text(address, row.get("netmask"))] if address else []
    return " ".join([*parts, row["auth_method"]])


def _rule_text(rule: AccessRule) -> str:
    parts = [rule.type, ",".join(rule.databases), ",".join(rule.users), rule.address or "", rule.method]
    return " ".join(part for part in parts if part)
