# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unified diff of a YAML file, with what looks like a secret masked, in changed lines and in those around them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._yaml.events import (
    ALIAS,
    MAPPING,
    STRICT,
    Rules,
    Stream,
)

MASK = "********"

_WORDS = (
    r"pass(?:word|wd|phrase|code)?|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?key|"
    r"authorization|cookie|connection[-_]?string|dsn|signature|webhook|(?:\b|_)(?:auth|pat|pw)\b"
)
_SECRET_KEY = re.compile(rf"{_WORDS}|(?:\b|_)keys?\b", re.IGNORECASE)
_CAMEL_KEY = re.compile(r"[a-z0-9]Keys?$")  # encryptionKey, accountKey
_SECRET_BRANCH = re.compile(r"pass(?:word|phrase)s?$|secrets?$|credentials?$|tokens?$", re.IGNORECASE)
_REFERENCES = ("$env", "$file", "$include")
# A placeholder without a fallback tells nothing, nor does a word of YAML.
_HARMLESS = re.compile(r"(?:\$\{[^{}:]*\})+|true|false|null|~|:memory:|")
# Up to the last @: a password that is not URL-encoded may have one, and a slash.
_LOGIN_IN_URL = re.compile(r"(://)[^\s\"']*@")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_IN_COMMENT = re.compile(
    rf"(#[^\n]*?(?:{_WORDS}|keys?)[\w-]*[\"']?[ \t]*[:=][ \t]*)(?!\$\{{[^{{}}:\n]*\}}[ \t\r]*$)(\S[^\n\r]*)",
    re.IGNORECASE | re.MULTILINE,
)
_WORTH_HUNTING = 6  # characters; a shorter secret is a word that may stand anywhere


@dataclass(frozen=True)
class _Secret:
    path: tuple[str, ...]
    value: str
    start: int
    end: int


def masked_diff(before: bytes, after: bytes, name: str, rules: Rules = STRICT) -> str:
    """Show what changed from `before` to `after`, both UTF-8 YAML that the patch reads.

    Masked are the values of keys that look like a secret (`password`, `token`, `clientSecret`, `connectionString`, ...)
    and connection strings, the same values wherever else they stand, logins in URLs, private keys, and what follows
    such a key in a comment. A `${PLACEHOLDER}` is shown, and so is the name in `$env` and `$file`. A masked value that
    differs from the old one is marked as changed, else its line would not be in the diff.

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
            if is_secret(path, value):
                found[start] = _Secret(path, value, start, stream.ends[node])
            continue
        # Behind an alias it is a secret where one of its places says so.
        place = (node, any(_SECRET_BRANCH.search(name) for name in path))
        if place in seen:
            continue
        seen.add(place)
        entries = list(stream.entries(node))
        if value is MAPPING:
            todo.extend(((*path, stream.key(key) or ""), item) for key, item in reversed(entries))
        else:
            todo.extend(((*path, str(index)), item) for index, (item, _item) in enumerate(entries))
    return [found[start] for start in sorted(found)]


def is_secret(path: tuple[str, ...], value: str) -> bool:
    """Whether the scalar at a path (keys and list indexes) looks like a secret that stands there in clear."""
    names = [part for part in path if not part.isdigit()]
    if not names or names[-1] in _REFERENCES or _HARMLESS.fullmatch(value):
        return False
    if names[-1] == "connection":
        return "://" in value or "password" in value.lower()
    if _SECRET_KEY.search(names[-1]) or _CAMEL_KEY.search(names[-1]):
        return True
    return any(_SECRET_BRANCH.search(name) for name in names[:-1])


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=\n)", text.replace("\r\n", "\n")) if line]
