# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access rules that allow encrypted connections only, without cutting off a client that does not encrypt yet.

A rule of type `host` allows both kinds. Where such a rule is in force, apps may use it without TLS, so it stays until
the caller requires encryption. Every other rule is `hostssl` from the start.

A client's certificate is demanded in the same way, and later than encryption: no rule of a running server demands one
before the caller requires it. A rule that demands one does not let the next rule decide about a client that has none,
so one for the server's own host and one that rejects every other address of these users follow those of the portal.

Source: the PostgreSQL manual, chapter "The pg_hba.conf File".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import digest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule

_BOTH, _ENCRYPTED, _UNENCRYPTED = "host", "hostssl", "hostnossl"


@dataclass(frozen=True)
class Encryption:
    """What is wanted.

    Attributes:
        users: database users, and with a plus sign before them roles with their members, whose unencrypted connections
            are rejected.
        required: whether rules that are in force change as well.
        client_certificate: how a client's certificate is verified besides, as PostgreSQL's option `clientcert`; empty
            for not at all.
    """

    users: Sequence[str]
    required: bool = False
    client_certificate: str = ""


def encrypted_rules(
    rules: Sequence[AccessRule], present: Sequence[bytes] | None, encryption: Encryption
) -> tuple[list[AccessRule], list[str]]:
    """The rules as they are to be, and those among them that still allow unencrypted connections.

    Args:
        rules: as the user gives them.
        present: the lines of the portal's block as it is; None for a cluster that is new, which no app uses yet.
        encryption: what is wanted.
    """
    in_force = {digest(line): line for line in present or ()}
    at_once = encryption.required or present is None
    demanded = bool(encryption.client_certificate) and (at_once or _rejects(present or (), _ENCRYPTED))
    found: dict[tuple[object, ...], AccessRule] = {}
    waiting = []
    for rule in rules:
        wanted = _encrypted(rule, encryption) if rule.type == _BOTH else rule
        if wanted is not rule and not at_once:
            stays = _as_in_force(rule, wanted, in_force, demanded)
            if stays:
                wanted = stays
                waiting.append(" ".join(rule.line().split("\t")))
        # The user may have given both types of one rule.
        found.setdefault(wanted.matches(), wanted)
    last = []
    if demanded:
        last.append(_encrypted(_rule(encryption, _BOTH, "scram-sha-256", "samehost"), encryption))
    if at_once or _rejects(present or (), _UNENCRYPTED):
        last.append(_rule(encryption, _UNENCRYPTED, "reject", "all"))
    if demanded:
        last.append(_rule(encryption, _ENCRYPTED, "reject", "all"))
    for rule in last:
        found.setdefault(rule.matches(), rule)
    if len(last) < (3 if encryption.client_certificate else 1):
        waiting.append(f"all rules that are not the portal's, for {', '.join(encryption.users)}")
    return list(found.values()), waiting


def uncovered(rules: Sequence[AccessRule], addresses: Iterable[str], own: Callable[[str], bool]) -> list[str]:
    """Those of the clients' addresses that no rule allows, once the rules of the portal alone decide about its users.

    Args:
        rules: of the portal.
        addresses: IP addresses from which the users are connected.
        own: whether an address is the server's own.
    """
    allowed = [rule.address or "" for rule in rules if rule.type in (_BOTH, _ENCRYPTED) and rule.method != "reject"]
    return [each for each in addresses if not own(each) and not any(_covers(rule, each) for rule in allowed)]


def encrypted_only(rules: Sequence[AccessRule]) -> list[AccessRule]:
    """The rules of the type `host` as `hostssl`, once each; for a file whose rules are all ours."""
    found: dict[tuple[object, ...], AccessRule] = {}
    for rule in rules:
        wanted = replace(rule, type=_ENCRYPTED) if rule.type == _BOTH else rule
        # The user may have given both types of one rule.
        found.setdefault(wanted.matches(), wanted)
    return list(found.values())


def _rule(encryption: Encryption, kind: str, method: str, address: str) -> AccessRule:
    """A rule for all databases and the users of the portal."""
    return AccessRule(kind, method, ("all",), [_name(user) for user in encryption.users], address)


def _rejects(present: Iterable[bytes], kind: str) -> bool:
    """Whether a rule of this type that rejects is in the portal's block."""
    return any(line.split(b"\t", 1)[0] == kind.encode() and line.endswith(b"\treject") for line in present)


def _covers(allowed: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return allowed != "samehost"  # all, samenet, or a host name


def _encrypted(rule: AccessRule, encryption: Encryption) -> AccessRule:
    more = {"clientcert": encryption.client_certificate} if encryption.client_certificate else {}
    return replace(rule, type=_ENCRYPTED, options={**more, **rule.options})


def _as_in_force(
    rule: AccessRule, wanted: AccessRule, in_force: Mapping[bytes, bytes], demanded: bool
) -> AccessRule | None:
    """The rule as it has to stay, where an app may depend on it; None where nothing keeps it from being `wanted`."""
    if digest(rule.line().encode()) in in_force:
        return rule
    present = in_force.get(digest(wanted.line().encode()), b"")
    if demanded or wanted.options == rule.options or b"clientcert=" in present:
        return None
    # Apps encrypt, and may have no certificate of their own yet.
    return replace(wanted, options=rule.options)


def _name(user: str) -> str:
    """A user as a token that PostgreSQL does not take for a keyword; `+role` stays."""
    reserved = user in ("all", "replication", "sameuser", "samerole") or user[:1] in '/@"'
    return f'"{user}"' if reserved else user
