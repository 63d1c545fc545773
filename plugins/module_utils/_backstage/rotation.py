# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give Backstage another password, or another user, so that it can be rolled back, and so that a killed run can go on.

Private to this collection: its interface may change in any release.

A journal on the app's host, made before anything changes, has what the files said and what they shall say. Where the
user stays, `switch` changes the password on the server and in the file that holds it, milliseconds apart. Where the
user changes, the two logins work side by side, and whoever calls this replaces the files.

Each run has an ID in the journal. A new run takes the journal over, since nobody can know whether the other one was
killed; each further step of the other one then fails, and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    database_target,
    login_check,
    rotation_journal,
    tls_check,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import check_password
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.password_file import password_file_in
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.rotation_journal import (
    JOURNALS,
    Credentials,
    Journal,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.rotation_places import (
    Places,
    read,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_password

# How long a step waits for the step of another run: a session has its own limit, and a step has several.
_LOCK_SECONDS = 300.0


class Rotation:
    """The steps on one host; each may be the first of a run, after one that was killed anywhere.

    Args:
        places: where the app has its connection.
        wanted: what the files shall say.
        connection: further options for `postgresql.connect`, such as `connect_timeout`.
        iterations: of the verifier; None for the server's own.
        journals: the directory of the journals; root's alone.
        run: the ID that `begin` gave; empty when it had nothing to do; None: not known, and any journal to the same
            credentials counts.
    """

    def __init__(
        self,
        places: Places,
        wanted: Credentials,
        connection: Mapping[str, Any],
        *,
        iterations: int | None = None,
        journals: str = JOURNALS,
        run: str | None = None,
    ) -> None:
        self._places = places
        self._wanted = wanted
        self._options = connection
        self._iterations = iterations
        self._run = run
        self._path = rotation_journal.journal_path(places.directory, journals)
        self._login: database_target.Login | None = None
        self.warnings: list[str] = []

    @property
    def journal(self) -> Journal | None:
        """The journal as it is kept. Raises: CollectionError."""
        data = read(self._path)
        return None if data is None else Journal.load(data, self._path)

    def _write(self, journal: Journal) -> None:
        with files.edit(self._path) as file:
            file.replace(journal.dump(), mode=0o600)

    @contextlib.contextmanager
    def _locked(self, create: bool = False) -> Iterator[None]:
        """Keep other runs from this host's rotations for as long as one step takes."""
        directory = os.path.dirname(self._path)
        with contextlib.ExitStack() as stack:
            while create or os.path.isdir(directory):
                if create:
                    self._create_directory(directory)
                before = _inode(directory)
                try:
                    stack.enter_context(files.edit(self._path, _LOCK_SECONDS))
                except CollectionError:
                    if before is not None and _inode(directory) == before:
                        raise
                if before is not None and _inode(directory) == before:
                    break
                stack.close()  # the run that had the lock before was the last, and removed the directory
            yield

    def _create_directory(self, directory: str) -> None:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise CollectionError(
                f"The directory {directory}, for what a killed run leaves to the next, cannot be created "
                f"({error.strerror}).",
                "Run with become: true.",
            ) from error

    def _own_journal(self, stage: str) -> Journal | None:
        """The journal of this run; None where it had nothing to do.

        Raises:
            CollectionError: another run has begun since, or has ended this one.
        """
        journal = self.journal
        if journal is not None:
            if journal.new == self._wanted and self._run in (None, journal.run):
                return journal
        elif stage == "roll_back" or self._current() == self._wanted:
            return None
        raise CollectionError(
            f"{self._path}: another run of the rotation has begun or ended since this one began. This step changed "
            "nothing.",
            "Wait for the other run, then run rotate_password.yml again if its password is not the one you want.",
            "other_run",
        )

    def begin(self, dry: bool = False) -> Journal | None:
        """Look at everything, and write the journal; None when there is nothing to do."""
        if self._wanted.password in self._wanted.user:
            raise CollectionError(
                "The new password is a part of the user's name, and so is easy to guess.", "Choose another."
            )
        check_password(self._wanted.password, self._places.credentials)
        if dry:
            return self._begin(dry)
        with self._locked(create=True):
            try:
                return self._begin(dry)
            finally:
                self._remove_directory()

    def _begin(self, dry: bool) -> Journal | None:
        current = self._current()
        before = self.journal
        if before and before.new != self._wanted and not before.other_user and not dry:
            current = self._end_switch(before, current)
        if before is None and current.user == self._wanted.user:
            self._places.check(current.password)
        journal = rotation_journal.begin(before, current, self._wanted, self._places.contents(), self._works)
        if journal:
            journal = replace(journal, run=secrets.token_hex(8))
            if not dry:
                self._write(journal)
        return journal

    def _current(self) -> Credentials:
        login = self._places.login()
        return Credentials(login.user, login.password or "")

    def _end_switch(self, journal: Journal, current: Credentials) -> Credentials:
        """Have the file say what the server has, where a killed run, or one on another app host, changed the server.

        So all app hosts go back to the same password when the next rotation fails.
        """
        if self._works(current) or not self._works(journal.new):
            return current
        places = self._places
        if places.credentials == "file":
            # The options name the file of the user that is wanted, which may be another by now.
            named = password_file_in(places.app_config, read(places.app_config))
            places = replace(places, password_file=named or places.password_file)
        places.check(current.password)
        with files.edit(places.holder) as file:
            file.replace(places.with_password(file.data or b"", journal.new.password))
        return self._current()

    def switch(self) -> Journal | None:
        """Make server and file have the new password; for another user, see that the new login works."""
        with self._locked():
            journal = self._own_journal("switch")
            if journal is None or journal.ready:
                return journal
            if journal.rolled_back:
                journal = replace(journal, rolled_back=False)
                self._write(journal)
            if not journal.other_user:
                self._switch_password(journal)
            elif not self._works(journal.new):
                raise CollectionError(
                    f"The server rejects the login of {journal.new.user} with the new password. The files are "
                    "unchanged.",
                    "Create the user with this password; rotate_password.yml does, where the inventory has the "
                    "database host.",
                )
            return journal

    def _switch_password(self, journal: Journal) -> None:
        with files.edit(self._places.holder) as file:
            data = self._places.with_password(file.data or b"", journal.new.password)
            changed = self._set(journal.new, (journal.old.password, *journal.tried))
            try:
                if file.data != data:
                    file.replace(data)
            except BaseException:
                if changed and journal.worked:
                    self._set(journal.old, (journal.new.password,))
                raise

    def roll_back(self) -> Journal | None:
        """Make server and files what they were, where that worked."""
        with self._locked():
            journal = self._own_journal("roll_back")
            if journal is None:
                return None
            if journal.ready:
                raise CollectionError("Backstage runs with the new password already, and the old one may be gone.")
            if not journal.worked and not journal.other_user:
                raise CollectionError(
                    f"The password that the files had before did not work for {journal.old.user}, so there is nothing "
                    "to roll back to: server and files have the new one."
                )
            if not journal.other_user:
                self._set(journal.old, (journal.new.password, *journal.tried))
            for path, data in journal.contents.items():
                with files.edit(path) as file:
                    if data is None:
                        file.remove()
                    elif file.data != data:
                        file.replace(data)
            journal = replace(journal, rolled_back=True)
            self._write(journal)
            return journal

    def ready(self) -> Journal | None:
        """Remember that Backstage came up, so that nothing is rolled back from here."""
        with self._locked():
            journal = self._own_journal("ready")
            if journal is None or journal.ready:
                return journal
            if self._current() != journal.new or not self._works(journal.new):
                raise CollectionError(
                    f"The files do not have the new password of {journal.new.user}, or the server rejects it, so this "
                    "rotation is not complete.",
                    "Run rotate_password.yml again.",
                )
            journal = replace(journal, ready=True)
            self._write(journal)
            return journal

    def finish(self) -> Journal | None:
        """Remove the journal, and the password file of the old user, where this collection created it."""
        with self._locked():
            journal = self._own_journal("finish")
            if journal is None:
                return None
            if not journal.rolled_back:
                self._remove_password_file(journal)
            with files.edit(self._path) as file:
                file.remove()
            self._remove_directory()
            return journal

    def _remove_password_file(self, journal: Journal) -> None:
        before = journal.contents.get(self._places.app_config)
        left = self._places.remove_left_over(before, journal.old, journal.new.user)
        if left and not left[1]:
            self.warnings.append(
                f"{left[0]} is no longer used by Backstage and was left, since this collection did not create it. "
                "Remove it when nothing else needs it: it may hold a password."
            )

    def _remove_directory(self) -> None:
        with contextlib.suppress(OSError):  # another app's journal may be there
            os.rmdir(os.path.dirname(self._path))

    def _connect(self, who: Credentials) -> tuple[Any, dict[str, Any]]:
        if self._login is None:
            login = self._places.login()
            # libpq is told to trust any certificate, as its rules are not those of Backstage.
            problem = tls_check.tls_problem(login)
            if problem:
                raise CollectionError(problem.message, problem.remedy)
            self._login = login
        options = {
            **self._options,
            **login_check.login_options(self._login),
            "login_user": who.user,
            "login_password": who.password,
        }
        try:
            return postgresql.connect(options), options
        except CollectionError as error:
            if error.reason == "library":
                raise
            login = replace(self._login, user=who.user)
            raise CollectionError(*login_check.login_problem(login, error), error.reason) from error

    def _works(self, who: Credentials) -> bool:
        try:
            self._connect(who)[0].close()
        except CollectionError as error:
            if error.reason in ("password", "no_login"):
                return False
            raise
        return True

    def _set(self, target: Credentials, former: Iterable[str]) -> bool:
        """Make the server have a password, as the role itself, let in by it or a former one; whether it was changed."""
        # The target last: another app host may set it between two of these tries.
        for password in [*(set(former) - {target.password}), target.password]:
            try:
                connection, login = self._connect(Credentials(target.user, password))
            except CollectionError as error:
                if error.reason != "password":
                    raise
                continue
            wanted = role_password.Wanted(target.user, target.password, self._iterations)
            try:
                outcome = role_password.ensure(connection, wanted, login)
            except CollectionError:
                # Two app hosts at once: the server lets one of two changes of a role through.
                if self._works(target):
                    return False
                raise
            finally:
                connection.close()
            self.warnings += outcome.warnings
            return bool(outcome.because)
        raise CollectionError(
            f"The server rejects {target.user} with every password that this rotation knows: somebody else changed it.",
            "Run site.yml to set the password and write the files.",
        )


def _inode(directory: str) -> int | None:
    try:
        return os.stat(directory).st_ino
    except OSError:
        return None
