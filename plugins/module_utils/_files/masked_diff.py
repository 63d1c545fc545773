# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unified diff of a YAML file, with what looks like a secret masked, in changed lines and in those around them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._files import secret_names
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import (
    ALIAS,
    MAPPING,
    SEQUENCE,
    STRICT,
    Rules,
    Stream,
)

MASK = "********"

# Up to the last @: a password that is not URL-encoded may have one, and a slash.
_LOGIN_IN_URL = re.compile(r"(://)[^\s\"']*@")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_IN_COMMENT = re.compile(
    rf"(#[^\n]*?(?:{secret_names.WORDS}|keys?)[\w-]*[\"']?[ \t]*[:=][ \t]*)"
    r"(?!\$\{[^{}:\n]*\}[ \t\r]*$)(\S[^\n\r]*)",
    re.IGNORECASE | re.MULTILINE,
)
# Behind a key or a value, with what may end a flow collection there.
_BEHIND = re.compile(r"[ \t]*:?[ \t,\]}]*[ \t]#[ \t]*(\S[^\n\r]*)")
_NOTHING_BEHIND = re.compile(r"[ \t]*:?[ \t]*(?:#[^\n]*)?\r?\n")
_DASH = re.compile(r"[ \t]*(-?)[ \t]*(?:#[ \t]*(\S[^\r]*)?)?\r?")
_COMMENT_LINE = re.compile(r"([ \t]*)(?:#[ \t]*(\S[^\n\r]*)?)?\r?\n")
_WORTH_HUNTING = 6  # characters; a shorter secret is a word that may stand anywhere


@dataclass(frozen=True)
class _Secret:
    path: tuple[str, ...]
    value: str  # empty for a comment
    start: int
    end: int


def masked_diff(before: bytes, after: bytes, name: str, rules: Rules = STRICT) -> str:
    """Show what changed from `before` to `after`, both UTF-8 YAML that the patch reads.

    Masked are the values of keys that look like a secret (`password`, `token`, `clientSecret`, `connectionString`, ...)
    and connection strings, the same values wherever else they stand, logins in URLs, private keys, the comments behind
    such a value or in its place, and what follows such a key in a comment. A `${PLACEHOLDER}` is shown, and so is the
    name in `$env` and `$file`. A masked value that differs from the old one is marked as changed, else its line would
    not be in the diff.

    Args:
        before, after: the whole file.
        name: what to call it.
        rules: how they are read.

    Returns:
        The diff as diff(1) writes it; empty where nothing differs.
    """
    old, new = (data.decode("utf-8", "replace").removeprefix("\ufeff") for data in (before, after))
    old_secrets, new_secrets = _secrets(old, rules), _secrets(new, rules)
    known = {secret.path: secret.value for secret in old_secrets}
    changed = {secret.path for secret in new_secrets if known.get(secret.path, secret.value) != secret.value}
    values = {secret.value for secret in old_secrets + new_secrets if len(secret.value) >= _WORTH_HUNTING}
    values -= _open_names(old) | _open_names(new)
    lines = difflib.unified_diff(
        _lines(_masked(old, old_secrets, values, set())),
        _lines(_masked(new, new_secrets, values, changed)),
        name,
        name,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _masked(text: str, secrets: list[_Secret], values: set[str], changed: set[tuple[str, ...]]) -> str:
    for secret in reversed(secrets):
        first, *rest = text[secret.start : secret.end].split("\n")
        mask = f"{MASK} (changed)" if secret.path in changed else MASK
        hidden = [mask + ("\r" if first.endswith("\r") else ""), *(re.sub(r"\S.*\S|\S", MASK, line) for line in rest)]
        text = text[: secret.start] + "\n".join(hidden) + text[secret.end :]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _PEM.sub(lambda match: match[1] + re.sub(r"[^\s#]+", MASK, match[0][len(match[1]) :]), text)
    text = _LOGIN_IN_URL.sub(rf"\1{MASK}@", text)
    return _IN_COMMENT.sub(rf"\1{MASK}", text)


def _open_names(text: str) -> set[str]:
    """Names of users and the like; a password that is one of them is masked where it is the password."""
    return {
        match[1] for match in re.finditer(r"^[ \t]*(?:user|host|database):[ \t]*[\"']?([\w.-]+)", text, re.MULTILINE)
    }


def _secrets(text: str, rules: Rules) -> list[_Secret]:
    """The scalars that look like a secret, in the order of the text."""
    # By the reader of the patch, since another one may refuse what that one took.
    stream = Stream(text if text.endswith("\n") else f"{text}\n", rules=rules)
    found: dict[int, _Secret] = {}
    seen: set[tuple[int, bool]] = set()
    todo: list[tuple[tuple[str, ...], int]] = [((str(at),), node) for at, node in enumerate(stream.documents)]
    while todo:
        path, node = todo.pop()
        if stream.values[node] is ALIAS:
            node = stream.target(node)
        value, start = stream.values[node], stream.starts[node]
        if isinstance(value, str):
            if secret_names.is_secret(path, value):
                found[start] = _Secret(path, value, start, stream.ends[node])
            continue
        # Behind an alias it is a secret where one of its places says so.
        place = (node, any(map(secret_names.is_branch, path)))
        if place in seen:
            continue
        seen.add(place)
        entries = list(stream.entries(node))
        for key, item in entries:
            inner = (*path, (stream.key(key) or "") if value is MAPPING else "0")
            if secret_names.names_secret(inner) or inner[-1] == "connection":  # a connection string may have been there
                ends = [key] if stream.values[item] in (MAPPING, SEQUENCE) else [key, item]
                hidden = [comment for at in ends for comment in _comments(text, inner, stream.ends[at])]
                if value is SEQUENCE:
                    hidden.extend(_before(text, inner, stream.starts[item]))
                found.update((comment.start, comment) for comment in hidden)
        if value is MAPPING:
            todo.extend(((*path, stream.key(key) or ""), item) for key, item in reversed(entries))
        else:
            todo.extend(((*path, str(index)), item) for index, (item, _item) in enumerate(entries))
    return [found[start] for start in sorted(found)]


def _comments(text: str, path: tuple[str, ...], at: int) -> Iterator[_Secret]:
    """The comments behind a key or a value that ends at a position, and those below a key without a value."""
    start = text.rfind("\n", 0, at) + 1
    if start == at:  # a block scalar ends with its line
        return
    behind = _BEHIND.match(text, at)
    if behind:
        yield _Secret((*path, "#"), "", *behind.span(1))
    indent = len(text[start:at]) - len(text[start:at].lstrip(" -"))
    line = _NOTHING_BEHIND.match(text, at)
    while line:
        line = _COMMENT_LINE.match(text, line.end())
        if line and line[2] and len(line[1]) > indent:
            yield _Secret((*path, "#"), "", *line.span(2))


def _before(text: str, path: tuple[str, ...], at: int) -> Iterator[_Secret]:
    """The comments between the dash of an item and the item."""
    lines = text[max(0, at - 2000) : at].split("\n")
    end = at - len(lines.pop()) - 1
    while lines and (comment := _DASH.fullmatch(lines[-1])):
        start = end - len(lines.pop())
        if comment[2]:
            yield _Secret((*path, "#"), "", start + comment.start(2), start + comment.end(2))
        if comment[1]:
            return
        end = start - 1


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=\n)", text.replace("\r\n", "\n")) if line]
