# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of this collection, and the one place where a module catches it.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class CollectionError(Exception):
    """Something a user has to know: what is wrong, and what to do. It never holds a secret.

    Attributes:
        message: what is wrong, with the file, key or variable as its subject: "port: 70000 is not a TCP port."
        remedy: what to do, as a sentence; empty where `message` has it.
        reason: a word for code that has to tell one error from another; empty where nothing has to.
    """

    def __init__(self, message: str, remedy: str = "", reason: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy
        self.reason = reason


def printable(text: str) -> str:
    """Return a text for a terminal: what is not printable, but for line ends, is escaped.

    The owner of an app chooses file names, keys and log lines, and must not move the cursor of whoever reads them.
    """
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def printable_result(value: Any) -> Any:
    """Return a module's result with every text in it fit for a terminal."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_result(key): printable_result(item) for key, item in value.items()}
    return [printable_result(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def reported_by(module: Any) -> Iterator[None]:
    """End an Ansible module with the text of a CollectionError.

    A file that goes away, or changes its owner, between two looks at it ends in a sentence as well: whoever owns the
    directory can do that at any moment.

    Args:
        module: an `AnsibleModule`; anything with its `fail_json`.
    """
    try:
        yield
    except CollectionError as error:
        module.fail_json(msg=printable(str(error)))
    except OSError as error:
        if error.filename is None:
            raise
        remedy = "Correct that, or end what changes it during this run, and run it again."
        module.fail_json(msg=printable(f"{error.filename}: {error.strerror}. {remedy}"))


@contextlib.contextmanager
def named(subject: str) -> Iterator[None]:
    """Put a subject, such as the path of a file, before the text of a CollectionError."""
    try:
        yield
    except CollectionError as error:
        raise CollectionError(f"{subject}: {error.message}", error.remedy, error.reason) from error
