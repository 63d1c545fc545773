# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of pg_hba.conf that hold the access rules of portals, one block each, at the file's top.

A tool that sorts the whole file, such as community.postgresql's postgresql_pg_hba, keeps the comments and moves the
rules out of a block. A comment inside the block names its rules by digest, so that they are recognised elsewhere.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portals import decoded, encoded

_MANAGED = b" (managed by Ansible: changes inside are lost on its next run)"
_MARK = re.compile(rb"# (BEGIN|END) devportal\.backstage access rules(?: of portal (\S+))?(?: \(.*)?\s*")
_RECORD = re.compile(rb"# rules:((?: [0-9a-f]{16})*)\s*")
_TOKEN = re.compile(rb'(?:"[^"]*"|[^\s",#]|,)+')
_FIRST_VERSION = None  # the portal of the block of version 1.0.0, which names none


@dataclass
class _Block:
    first: int
    last: int
    rules: list[bytes] = field(default_factory=list)
    record: set[bytes] = field(default_factory=set)


def begin_mark(portal: str) -> bytes:
    """The first line of a portal's block."""
    return b"# BEGIN devportal.backstage access rules of portal " + encoded(portal).encode() + _MANAGED


def end_mark(portal: str) -> bytes:
    """The last line of a portal's block."""
    return b"# END devportal.backstage access rules of portal " + encoded(portal).encode()


def portals_of(data: bytes) -> list[str]:
    """The portals that have a block."""
    words = {found.group(2) for found in map(_MARK.fullmatch, data.splitlines()) if found and found.group(2)}
    return sorted(decoded(word.decode()) for word in words)


def first_version_rules(data: bytes) -> list[bytes] | None:
    """The rules in the block of version 1.0.0; None where there is no such block."""
    block = _find(data.splitlines(keepends=True), _FIRST_VERSION, "pg_hba.conf")
    return block.rules if block else None


def rules_of(data: bytes, portal: str, path: str = "pg_hba.conf") -> list[bytes]:
    """The rules of a portal's block, and of the one of version 1.0.0, wherever in the file they are.

    Raises:
        CollectionError: one of the block's two marks is missing, or there are several blocks.
    """
    lines = data.splitlines(keepends=True)
    blocks = [_find(lines, name, path) for name in (portal, _FIRST_VERSION)]
    return [rule for block in blocks if block for rule in (block.rules or _moved(lines, block))]


def users_of(rule: bytes) -> set[str]:
    """The names in the third field of a rule."""
    tokens = _TOKEN.findall(rule)
    return {name.strip('"') for name in tokens[2].decode("utf-8", "replace").split(",")} if len(tokens) > 2 else set()


def with_block(
    data: bytes, portal: str, rules: Sequence[bytes] | None, *, adopt: bool = False, path: str = "pg_hba.conf"
) -> bytes:
    """The file with a portal's block among the first lines, every other byte kept.

    Args:
        data: the file as it is.
        portal: whose block.
        rules: the lines of the block; none, no block. None keeps those there are.
        adopt: the block of version 1.0.0 is this portal's.
        path: for the error's text.

    Raises:
        CollectionError: one of the block's two marks is missing, or there are several blocks.
    """
    lines = data.splitlines(keepends=True)
    own, first_version = _find(lines, portal, path), _find(lines, _FIRST_VERSION, path) if adopt else None
    found = [block for block in (own, first_version) if block]
    if rules is None:
        rules = [rule for block in found for rule in (block.rules or _moved(lines, block))]
    if not found and not rules:
        return data
    leading = _leading(lines)
    gone = {number for block in found for number in range(block.first, block.last + 1)}
    for block in found:
        record = block.record if block.rules or block.record else {digest(rule) for rule in rules}
        missing = record - {digest(rule) for rule in block.rules}
        gone |= {number for number, line in enumerate(lines) if number not in gone and digest(line) in missing}
    top = min([block.first for block in found if block.first < leading], default=leading)
    before = b"".join(line for number, line in enumerate(lines[:top]) if number not in gone)
    after = b"".join(line for number, line in enumerate(lines[top:], top) if number not in gone)
    return before + _text(portal, rules) + after


def _text(portal: str, rules: Sequence[bytes]) -> bytes:
    if not rules:
        return b""
    record = b"# rules: " + b" ".join(digest(rule) for rule in rules)
    return b"\n".join([begin_mark(portal), record, *rules, end_mark(portal), b""])


def _find(lines: Sequence[bytes], portal: str | None, path: str) -> _Block | None:
    word = None if portal is None else encoded(portal).encode()
    marks = [
        (found.group(1), number)
        for number, found in enumerate(_MARK.fullmatch(line) for line in lines)
        if found and found.group(2) == word
    ]
    if not marks:
        return None
    if [kind for kind, _number in marks] != [b"BEGIN", b"END"]:
        name = f' of portal "{portal}"' if portal else " of version 1.0.0"
        raise CollectionError(
            f"{path}: the BEGIN and END marks of the block of access rules{name} must be there once each, in this "
            "order, or not at all.",
            "Repair or remove them.",
        )
    block = _Block(marks[0][1], marks[1][1])
    for line in lines[block.first + 1 : block.last]:
        record = _RECORD.fullmatch(line)
        if record:
            block.record = set(record.group(1).split())
        elif _TOKEN.match(line.lstrip()) and not line.lstrip().startswith(b"#"):
            block.rules.append(line.rstrip(b"\r\n"))
    return block


def _moved(lines: Sequence[bytes], block: _Block) -> list[bytes]:
    """The rules of a block that are somewhere else now."""
    found = {digest(line): line.rstrip(b"\r\n") for line in lines}
    return [found[one] for one in block.record if one in found]


def _leading(lines: Sequence[bytes]) -> int:
    """How many lines the blocks at the top take, whosever they are."""
    end, inside = 0, None
    for number, line in enumerate(lines):
        mark = _MARK.fullmatch(line)
        if inside is None and not (mark and mark.group(1) == b"BEGIN"):
            break
        if mark and mark.group(1) == b"BEGIN":
            inside = (mark.group(2),)
        elif mark and inside == (mark.group(2),):
            end, inside = number + 1, None
    return end


def digest(rule: bytes) -> bytes:
    """What identifies a rule, however it is written; its options, which may be secret, do not count."""
    tokens = _TOKEN.findall(rule.split(b"#", 1)[0] if b'"' not in rule else rule)
    if len(tokens) < 4 or rule.lstrip().startswith(b"#"):
        return b""
    kind, databases, users, *rest = tokens
    if kind == b"local":
        parts = [kind, databases, users, b"", rest[0]]
    else:
        address, rest = rest[0], rest[1:]
        if rest and re.fullmatch(rb"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:]*", rest[0]):
            address, rest = address + b"/" + rest[0], rest[1:]
        parts = [kind, databases, users, _network(address), rest[0] if rest else b""]
    kind, databases, users, network, method = parts
    names = [b",".join(sorted(_split_names(word))) for word in (databases, users)]
    text = b"\0".join([kind.strip(b'"'), *names, network, method.strip(b'"')])
    return hashlib.sha256(text).hexdigest()[:16].encode()


def _split_names(word: bytes) -> list[bytes]:
    return re.findall(rb'(?:"[^"]*"|[^",])+', word)


def _network(address: bytes) -> bytes:
    try:
        return str(ipaddress.ip_network(address.decode().strip('"'), strict=False)).encode()
    except ValueError:
        return address.strip(b'"').lower()
