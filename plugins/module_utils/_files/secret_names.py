# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of keys and of environment variables whose values are secrets.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# A regular expression, to be used with re.IGNORECASE.
WORDS = (
    r"pass(?:word|wd|phrase|code)?|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?key|"
    r"authorization|cookie|connection[-_]?string|dsn|signature|webhook|(?:\b|_)(?:auth|pat|pw)\b"
)
_KEY = re.compile(rf"{WORDS}|(?:\b|_)keys?\b", re.IGNORECASE)
_CAMEL_KEY = re.compile(r"[a-z0-9]Keys?$")  # encryptionKey, accountKey
_BRANCH = re.compile(r"pass(?:word|phrase)s?$|secrets?$|credentials?$|tokens?$", re.IGNORECASE)
# Variables are named with less care than keys, and a URL among them often has a login.
_VARIABLE = re.compile(rf"{WORDS}|PW|KEY|AUTH|SIGN|CONNECTION|UR[IL]|PAT$", re.IGNORECASE)
# Keys of a configuration that refer to a value elsewhere.
REFERENCES = ("$env", "$file", "$include")
# A placeholder without a fallback tells nothing, nor does a word of YAML.
_HARMLESS = re.compile(r"(?:\$\{[^{}:]*\})+|true|false|null|~|:memory:|")


def is_secret(path: Sequence[str], value: str) -> bool:
    """Whether the scalar at a path (keys and list indexes) looks like a secret that stands there in clear."""
    names = [part for part in path if not part.isdigit()]
    if not names or names[-1] in REFERENCES or _HARMLESS.fullmatch(value):
        return False
    if names[-1] == "connection":
        return "://" in value or "password" in value.lower()
    return names_secret(names)


def names_secret(path: Sequence[str]) -> bool:
    """Whether a secret belongs at a path, whatever stands there."""
    names = [part for part in path if not part.isdigit() and part not in REFERENCES]
    if not names:
        return False
    return bool(_KEY.search(names[-1]) or _CAMEL_KEY.search(names[-1])) or any(map(is_branch, names[:-1]))


def is_branch(name: str) -> bool:
    """Whether all that stands below a key of this name is secret."""
    return bool(_BRANCH.search(name))


def is_secret_variable(name: str) -> bool:
    """Whether the value of an environment variable of this name has to be masked; rather one too many."""
    return bool(_VARIABLE.search(name))


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Return the scalars of plain data as strings, each with its path."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, str(key)))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, str(index)))]
    return [] if value is None or isinstance(value, bool) else [(path, str(value))]
