# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access rules that allow encrypted connections only, without cutting off a client that does not encrypt yet.

A rule of type `host` allows both kinds. Where such a rule is in force, apps may use it without TLS, so it stays until
the caller requires encryption. Every other rule is `hostssl` from the start.

Source: the PostgreSQL manual, chapter "The pg_hba.conf File".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    found: dict[tuple[object, ...], AccessRule] = {}
    waiting = []
    for rule in rules:
        wanted = _encrypted(rule, encryption) if rule.type == _BOTH else rule
        if wanted is not rule and not at_once:
            stays = _as_in_force(rule, wanted, in_force)
            if stays:
                wanted = stays
                waiting.append(" ".join(rule.line().split("\t")))
        # The user may have given both types of one rule.
        found.setdefault(wanted.matches(), wanted)
    reject = AccessRule(_UNENCRYPTED, "reject", ("all",), [_name(user) for user in encryption.users], "all")
    rejects = any(line.split(b"\t", 1)[0] == b"hostnossl" and line.endswith(b"\treject") for line in present or ())
    if at_once or rejects:
        found.setdefault(reject.matches(), reject)
    else:
        waiting.append(f"all rules that are not the portal's, for {', '.join(encryption.users)}")
    return list(found.values()), waiting


def encrypted_only(rules: Sequence[AccessRule]) -> list[AccessRule]:
    """The rules of the type `host` as `hostssl`, once each; for a file whose rules are all ours."""
    found: dict[tuple[object, ...], AccessRule] = {}
    for rule in rules:
        wanted = replace(rule, type=_ENCRYPTED) if rule.type == _BOTH else rule
        # The user may have given both types of one rule.
        found.setdefault(wanted.matches(), wanted)
    return list(found.values())


def _encrypted(rule: AccessRule, encryption: Encryption) -> AccessRule:
    more = {"clientcert": encryption.client_certificate} if encryption.client_certificate else {}
    return replace(rule, type=_ENCRYPTED, options={**more, **rule.options})


def _as_in_force(rule: AccessRule, wanted: AccessRule, in_force: Mapping[bytes, bytes]) -> AccessRule | None:
    """The rule as it has to stay, where an app may depend on it; None where nothing keeps it from being `wanted`."""
    if digest(rule.line().encode()) in in_force:
        return rule
    encrypted = replace(wanted, options=rule.options)
    line = in_force.get(digest(encrypted.line().encode()))
    # Apps encrypt, and have no certificate of their own yet.
    demands_more = line is not None and "clientcert" in wanted.options and b"clientcert=" not in line
    return encrypted if demands_more else None


def _name(user: str) -> str:
    """A user as a token that PostgreSQL does not take for a keyword; `+role` stays."""
    reserved = user in ("all", "replication", "sameuser", "samerole") or user[:1] in '/@"'
    return f'"{user}"' if reserved else user
