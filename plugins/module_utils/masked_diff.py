# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unified diff of a YAML file, with what looks like a secret masked, in changed lines and in those around them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from dataclasses import dataclass
from typing import Any

with contextlib.suppress(ImportError):  # the caller looks whether PyYAML is there
    import yaml

MASK = "********"

_WORDS = (
    r"pass(?:word|wd|phrase|code)?|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?key|"
    r"authorization|cookie|connection[-_]?string|dsn|signature|webhook"
)
_SECRET_KEY = re.compile(rf"{_WORDS}|\bkeys?\b|\bauth\b|\bpat\b|\bpw\b", re.IGNORECASE)
_SECRET_BRANCH = re.compile(r"pass(?:word|phrase)s?$|secrets?$|credentials?$|tokens?$", re.IGNORECASE)
_REFERENCES = ("$env", "$file", "$include")
# A placeholder without a fallback tells nothing, nor does a word of YAML.
_HARMLESS = re.compile(r"(?:\$\{[^{}:]*\})+|true|false|null|~|:memory:|")
_LOGIN_IN_URL = re.compile(r"(://)[^/\s@\"']*@")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_IN_COMMENT = re.compile(
    rf"(#[^\n]*?(?:{_WORDS}|\bkeys?)[\w-]*[\"']?[ \t]*[:=][ \t]*)(?!\$\{{[^{{}}:\n]*\}}[ \t\r]*$)(\S[^\n\r]*)",
    re.IGNORECASE | re.MULTILINE,
)
_WORTH_HUNTING = 6  # characters; a shorter secret is a word that may stand anywhere


@dataclass(frozen=True)
class _Secret:
    path: tuple[str, ...]
    value: str
    start: int
    end: int


def masked_diff(before: bytes, after: bytes, name: str) -> str:
    """Show what changed from `before` to `after`, both UTF-8 YAML that PyYAML reads.

    Masked are the values of keys that look like a secret (`password`, `token`, `clientSecret`, `connectionString`, ...)
    and connection strings, the same values wherever else they stand, logins in URLs, private keys, and what follows
    such a key in a comment. A `${PLACEHOLDER}` is shown, and so is the name in `$env` and `$file`. A masked value that
    differs from the old one is marked as changed, else its line would not be in the diff.

    Args:
        before, after: the whole file.
        name: what to call it.

    Returns:
        The diff as diff(1) writes it; empty where nothing differs.
    """
    old, new = (data.decode("utf-8", "replace").removeprefix("\ufeff") for data in (before, after))
    old_secrets, new_secrets = _secrets(old), _secrets(new)
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


def _secrets(text: str) -> list[_Secret]:
    """The scalars that look like a secret, in the order of the text."""
    found: dict[int, _Secret] = {}
    seen: set[tuple[int, bool]] = set()
    todo: list[tuple[tuple[str, ...], Any]] = [((), yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))]
    while todo:
        path, node = todo.pop()
        if isinstance(node, yaml.ScalarNode):
            if is_secret(path, node.value):
                found[node.start_mark.index] = _Secret(path, node.value, node.start_mark.index, node.end_mark.index)
            continue
        # Behind an alias it is a secret where one of its places says so.
        place = (id(node), any(_SECRET_BRANCH.search(name) for name in path))
        if node is None or place in seen:
            continue
        seen.add(place)
        if isinstance(node, yaml.MappingNode):
            todo.extend(((*path, str(key.value)), value) for key, value in reversed(node.value))
        else:
            todo.extend(((*path, str(index)), item) for index, item in enumerate(node.value))
    return [found[start] for start in sorted(found)]


def is_secret(path: tuple[str, ...], value: str) -> bool:
    """Whether the scalar at a path (keys and list indexes) looks like a secret that stands there in clear."""
    names = [part for part in path if not part.isdigit()]
    if not names or names[-1] in _REFERENCES or _HARMLESS.fullmatch(value):
        return False
    if names[-1] == "connection":
        return "://" in value or "password" in value.lower()
    return bool(_SECRET_KEY.search(names[-1])) or any(_SECRET_BRANCH.search(name) for name in names[:-1])


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=\n)", text.replace("\r\n", "\n")) if line]
