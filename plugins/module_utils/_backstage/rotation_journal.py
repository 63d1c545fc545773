# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation of the password knows between its steps, and what a new run does with what an earlier one left.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Callable, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

JOURNALS = "/var/lib/devportal-backstage"


class Credentials(NamedTuple):
    """What Backstage logs in with."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r})"


@dataclass(frozen=True)
class Journal:
    """A rotation that is not finished.

    Attributes:
        old: what the files said when it began.
        worked: whether the server accepted that.
        new: what they shall say.
        tried: passwords that earlier runs, which were killed, may have left on the server.
        contents: the files as they were when it began, by path; None for one that did not exist.
        previous_users: the users to be retired.
        ready: whether Backstage came up with `new`; there is no way back then.
        rolled_back: whether server and files are what they were.
        run: the ID of the run that this is of.
    """

    old: Credentials
    worked: bool
    new: Credentials
    tried: tuple[str, ...] = ()
    contents: Mapping[str, bytes | None] = field(default_factory=dict, repr=False)
    previous_users: tuple[str, ...] = ()
    ready: bool = False
    rolled_back: bool = False
    run: str = ""

    @property
    def other_user(self) -> bool:
        """Whether the user changes, so that old and new work side by side."""
        return self.old.user != self.new.user

    @property
    def user(self) -> str:
        """The user that Backstage logs in as when this ends now."""
        return self.old.user if self.rolled_back else self.new.user

    @property
    def retired_users(self) -> tuple[str, ...]:
        """The users that Backstage does not log in as when this ends now."""
        users = {*self.previous_users, self.new.user} if self.rolled_back else {*self.previous_users}
        return tuple(sorted(users - {self.user}))

    def dump(self) -> bytes:
        """The journal as it is kept."""
        contents = {
            name: None if data is None else base64.b64encode(data).decode() for name, data in self.contents.items()
        }
        return json.dumps({**self.__dict__, "contents": contents}, sort_keys=True).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes, path: str) -> Journal:
        """Read what `dump` wrote. Raises: CollectionError."""
        try:
            kept = json.loads(data)
            if "former" in kept:  # before 1.1
                kept["previous_users"] = kept.pop("former")
            kept["old"], kept["new"] = Credentials(*kept["old"]), Credentials(*kept["new"])
            kept["tried"], kept["previous_users"] = tuple(kept["tried"]), tuple(kept["previous_users"])
            kept["contents"] = {
                name: None if text is None else base64.b64decode(text, validate=True)
                for name, text in kept["contents"].items()
            }
            return cls(**kept)
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
            raise CollectionError(
                f"{path}: it is not a journal of a rotation.", "Look at the file, and remove it."
            ) from None


def journal_path(directory: str, journals: str = JOURNALS) -> str:
    """Where the journal of the app in a directory is."""
    name = hashlib.sha256(os.path.abspath(directory).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return os.path.join(journals, f"rotation-{name}.json")


def begin(
    journal: Journal | None,
    current: Credentials,
    wanted: Credentials,
    contents: Mapping[str, bytes | None],
    works: Callable[[Credentials], bool],
) -> Journal | None:
    """What is to be done.

    Args:
        journal: that of an earlier run that did not end.
        current: what the files say now.
        wanted: what they shall say.
        contents: the files as they are now.
        works: asks the server; raises where it cannot be asked.

    Returns:
        The journal to go on with; None where there is nothing to do.

    Raises:
        CollectionError: neither of the two works, and no other user is wanted.
    """
    if journal and journal.new == wanted:
        if journal.ready or current != journal.old:
            return replace(journal, rolled_back=False)
        # Somebody may have written to the files since the killed run, which had not come to them.
        absent = {name: None for name, data in journal.contents.items() if data is None}
        return replace(journal, contents={**contents, **absent}, rolled_back=False)
    accepted = works(current)
    # The killed run may have prepared its user already.
    users = {*journal.previous_users, journal.old.user, journal.new.user} if journal else set()
    if journal and not accepted:
        # The run before was killed just between server and file.
        return replace(
            journal,
            new=wanted,
            tried=(*journal.tried, journal.new.password),
            previous_users=tuple(sorted(users - {wanted.user})),
            ready=False,
            rolled_back=False,
        )
    if not journal and current == wanted and accepted:
        return None
    if not accepted and current.user == wanted.user and not works(wanted):
        raise CollectionError(
            f"Login as {wanted.user} failed with both the current and the new password. Nothing was changed.",
            "Run site.yml to set the password.",
        )
    return Journal(
        old=current,
        worked=accepted,
        new=wanted,
        contents=contents,
        previous_users=tuple(sorted({*users, current.user} - {wanted.user})),
    )
