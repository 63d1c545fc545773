# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give Backstage another password, or another user, so that it can be taken back, and so that a killed run can go on.

Private to this collection: its interface may change in any release.

A journal on the app's host, made before anything changes, has what the files said and what they shall say. Where the
user stays, `switch` changes the password on the server and in the file that holds it, milliseconds apart. Where the
user changes, the two logins work side by side, and whoever calls this replaces the files.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable, NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    config_loader,
    database_target,
    effective_source,
    login_check,
    tls_check,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    check_password,
    escape,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file, owned
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import ROOT, Ids
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    role_password,
)

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError

JOURNALS = "/var/lib/devportal-backstage"
_PASSWORD = ("backend", "database", "connection", "password")


class RotationError(CollectionError):
    """The password cannot be rotated as things are; the text says why and what to do, and holds no secret."""


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
        worked: whether the server let that in.
        new: what they shall say.
        tried: passwords that earlier runs, which were killed, may have left on the server.
        contents: the files as they were when it began, by path; None for one that was not there.
        previous_users: the users to be retired.
        ready: whether Backstage came up with `new`; there is no way back then.
    """

    old: Credentials
    worked: bool
    new: Credentials
    tried: tuple[str, ...] = ()
    contents: Mapping[str, bytes | None] = field(default_factory=dict, repr=False)
    previous_users: tuple[str, ...] = ()
    ready: bool = False

    @property
    def other_user(self) -> bool:
        """Whether the user changes, so that old and new work side by side."""
        return self.old.user != self.new.user

    def dump(self) -> bytes:
        """The journal as it is kept."""
        contents = {
            name: None if data is None else base64.b64encode(data).decode() for name, data in self.contents.items()
        }
        return json.dumps({**self.__dict__, "contents": contents}, sort_keys=True).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes) -> Journal:
        """Read what `dump` wrote. Raises: RotationError."""
        try:
            kept = json.loads(data)
            kept["old"], kept["new"] = Credentials(*kept["old"]), Credentials(*kept["new"])
            kept["tried"], kept["previous_users"] = tuple(kept["tried"]), tuple(kept["previous_users"])
            kept["contents"] = {
                name: None if text is None else base64.b64decode(text, validate=True)
                for name, text in kept["contents"].items()
            }
            return cls(**kept)
        except (ValueError, TypeError, KeyError, binascii.Error):
            raise RotationError("it is not a journal of a rotation; look at the file, and remove it") from None


def journal_path(directory: str, journals: str = JOURNALS) -> str:
    """Where the journal of the app in a directory is."""
    name = hashlib.sha256(os.path.abspath(directory).encode()).hexdigest()[:16]
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
        RotationError: neither of the two works, and no other user is wanted.
    """
    if journal and journal.new == wanted:
        if journal.ready or current != journal.old:
            return journal
        # Somebody may have written to the files since the killed run, which had not come to them.
        absent = {name: None for name, data in journal.contents.items() if data is None}
        return replace(journal, contents={**contents, **absent})
    let_in = works(current)
    # The killed run may have prepared its user already.
    previous_users = {*journal.previous_users, journal.old.user, journal.new.user} if journal else set()
    if journal and not let_in:
        # The run before was killed just between server and file.
        return replace(
            journal,
            new=wanted,
            tried=(*journal.tried, journal.new.password),
            previous_users=tuple(sorted(previous_users - {wanted.user})),
            ready=False,
        )
    if not journal and current == wanted and let_in:
        return None
    if not let_in and current.user == wanted.user and not works(wanted):
        raise RotationError(
            f"The server lets {wanted.user} in neither with the password that the files have nor with the new one, so "
            "there is nothing to rotate and nothing was changed; site.yml sets the password and writes the files."
        )
    return Journal(
        old=current,
        worked=let_in,
        new=wanted,
        contents=contents,
        previous_users=tuple(sorted({*previous_users, current.user} - {wanted.user})),
    )


@dataclass(frozen=True)
class Places:
    """Where an app has its connection; the options of the modules for env files and app-config.

    Attributes:
        credentials: env, literal or file.
        path: the app-config file that has `backend.database`; empty: chosen among `config_files`.
        env_file: what Backstage's environment comes from; with a `-` before it, it may be missing.
        environment: variables that Backstage has besides.
        password_file: with credentials `file`.
    """

    directory: str
    credentials: str
    path: str
    config_files: tuple[str, ...]
    env_file: str
    env_format: str
    password_variable: str
    password_file: str
    environment: Mapping[str, str]

    @property
    def app_config(self) -> str:
        """The app-config file to change."""
        return self.path or effective_source.choose(self._listed, self.credentials == "literal")

    @property
    def _listed(self) -> list[str]:
        return [os.path.join(self.directory, name) for name in self.config_files]

    @property
    def holder(self) -> str:
        """The file that holds the password."""
        if self.credentials == "env":
            return self.env_file
        return self.app_config if self.credentials == "literal" else self.password_file

    def contents(self) -> dict[str, bytes | None]:
        """What the files that a rotation may change hold now. Raises: CollectionError."""
        names = [self.app_config, *([self.env_file] if self.credentials == "env" else [])]
        if self.credentials == "file":
            names.append(self.password_file)
        return {name: _read(name) for name in names}

    def login(self, instead: Mapping[str, str] | None = None) -> database_target.Login:
        """What the files say, as Backstage reads them.

        Args:
            instead: variables to be taken for other than in the env file.

        Raises:
            RotationError: they do not point at PostgreSQL with a user and a password.
            CollectionError: they cannot be read.
        """
        data, author = _read_with_author(self.env_file.removeprefix("-")) if self.env_file else (None, ROOT)
        found = {**env_file.read(data or b"", self.env_format), **(instead or {})}
        variables = env_file.environment(found, self.env_format, self.environment)
        config = config_loader.load(self.directory, variables, self.config_files, author=author)
        try:
            target = database_target.Target(config, variables)
            if target.client("catalog") != "pg":
                raise RotationError(f"{self.app_config} does not point at PostgreSQL yet; run site.yml first.")
            # In schema mode a Backstage that makes no database never logs in to `postgres`, and may not be let in.
            makes = target.mode != "schema" or target.plugin("catalog").ensure_database
            login = target.admin_login() if makes else target.schema_login()
        except database_target.TargetError as error:
            raise RotationError(str(error)) from error
        if login.password is None or not login.text_password:
            raise RotationError(f"{self.app_config}: there is no password that could be rotated; run site.yml first.")
        return login

    def with_password(self, data: bytes, password: str) -> bytes:
        """What `holder` holds with another password.

        Raises:
            CollectionError: the file cannot hold it.
        """
        if self.credentials == "env":
            return env_file.set_variables(data, {self.password_variable: password}, self.env_format)
        if self.credentials == "file":
            return password.encode() + b"\n"
        try:
            document = Document(data)
            document.set(_PASSWORD, escape(password))
            return document.data
        except YamlPatchError as error:
            raise RotationError(f"{self.holder}: {error}") from error

    def check(self, password: str) -> None:
        """Refuse when Backstage does not take its password from where it would be replaced. Raises: RotationError."""
        data = _read(self.holder) or b""
        if self.credentials == "env":
            another = f"{password} or another"
            same = self.login({self.password_variable: another}).password == another
        elif self.credentials == "file":
            same = data.rstrip() == password.encode()
        else:
            same = self.with_password(data, password) == data
        if not same:
            raise RotationError(
                f"{self.holder} does not hold the password that Backstage reads from its files, so replacing it there "
                "would change nothing for Backstage; run site.yml first, or correct backstage_app_config_values."
            )

    def left_over(self, before: bytes | None) -> str | None:
        """The password file that the app-config file named before and no longer does."""
        then, now = (_referenced(self.app_config, data) for data in (before, _read(self.app_config)))
        return then if then != now else None


class Rotation:
    """The steps on one host; each may be the first of a run, after one that was killed anywhere.

    Args:
        places: where the app has its connection.
        wanted: what the files shall say.
        connection: further options for `postgresql.connect`, such as `connect_timeout`.
        iterations: of the verifier; None for the server's own.
        journals: the directory of the journals; root's alone.
    """

    def __init__(
        self,
        places: Places,
        wanted: Credentials,
        connection: Mapping[str, Any],
        iterations: int | None = None,
        journals: str = JOURNALS,
    ) -> None:
        self._places = places
        self._wanted = wanted
        self._options = connection
        self._iterations = iterations
        self._path = journal_path(places.directory, journals)
        self._login: database_target.Login | None = None
        self.warnings: list[str] = []

    @property
    def journal(self) -> Journal | None:
        """The journal as it is kept. Raises: CollectionError."""
        data = _read(self._path)
        try:
            return None if data is None else Journal.load(data)
        except RotationError as error:
            raise RotationError(f"{self._path}: {error}.") from None

    def _write(self, journal: Journal) -> None:
        directory = os.path.dirname(self._path)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise RotationError(
                f"The directory {directory}, for what a killed run leaves to the next, cannot be made "
                f"({error.strerror}); run with become: true."
            ) from error
        with files.edit(self._path) as file:
            file.replace(journal.dump(), mode=0o600)

    def begin(self, dry: bool = False) -> Journal | None:
        """Look at everything, and write the journal; None when there is nothing to do."""
        if self._wanted.password in self._wanted.user:
            raise RotationError("The new password is a part of the user's name, and so is easy to guess; take another.")
        check_password(self._wanted.password, self._places.credentials)
        current = self._current()
        before = self.journal
        if before and before.new != self._wanted and not before.other_user and not dry:
            current = self._end_switch(before, current)
        if before is None and current.user == self._wanted.user:
            self._places.check(current.password)
        journal = begin(before, current, self._wanted, self._places.contents(), self._works)
        if journal and journal != before and not dry:
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
            named = _referenced(places.app_config, _read(places.app_config))
            places = replace(places, password_file=named or places.password_file)
        places.check(current.password)
        with files.edit(places.holder) as file:
            file.replace(places.with_password(file.data or b"", journal.new.password))
        return self._current()

    def switch(self) -> Journal | None:
        """Make server and file have the new password; for another user, see that the new login works."""
        journal = self.journal
        if journal is None or journal.ready:
            return journal
        if journal.other_user:
            if not self._works(journal.new):
                raise RotationError(
                    f"The server does not let {journal.new.user} in with the new password, so the files stay as they "
                    "are; have the role made with it (the playbook does where the inventory has the database's host)."
                )
            return journal
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
        return journal

    def roll_back(self) -> Journal | None:
        """Make server and files what they were, where that worked."""
        journal = self.journal
        if journal is None:
            return None
        if journal.ready:
            raise RotationError("Backstage runs with the new password already, and the old one may be gone.")
        if not journal.worked and not journal.other_user:
            raise RotationError(
                f"The password that the files had before did not let {journal.old.user} in, so there is nothing to go "
                "back to: server and files have the new one."
            )
        if not journal.other_user:
            self._set(journal.old, (journal.new.password, *journal.tried))
        for path, data in journal.contents.items():
            with files.edit(path) as file:
                if data is None:
                    file.remove()
                elif file.data != data:
                    file.replace(data)
        return journal

    def ready(self) -> Journal | None:
        """Remember that Backstage came up, so that nothing goes back from here."""
        journal = self.journal
        if journal and not journal.ready:
            journal = replace(journal, ready=True)
            self._write(journal)
        return journal

    def finish(self) -> Journal | None:
        """Remove the journal, and the password file that nothing names any more."""
        journal = self.journal
        if journal is None:
            return None
        for path, data in journal.contents.items():
            if path == self._places.app_config and (left := self._places.left_over(data)):
                owned.remove(left, _read_with_author(path)[1])
        with files.edit(self._path) as file:
            file.remove()
        with contextlib.suppress(OSError):  # another app's journal may be there
            os.rmdir(os.path.dirname(self._path))
        return journal

    def _connect(self, who: Credentials) -> tuple[Any, dict[str, Any]]:
        if self._login is None:
            login = self._places.login()
            # libpq is told to trust any certificate, as its rules are not those of Backstage.
            problem = tls_check.tls_problem(login)
            if problem:
                raise RotationError(f"{problem.message} {problem.remedy}")
            self._login = login
        options = {
            **self._options,
            **login_check.login_options(self._login),
            "login_user": who.user,
            "login_password": who.password,
        }
        try:
            return postgresql.connect(options), options
        except postgresql.PostgresqlError as error:
            if error.reason == "library":
                raise
            login = replace(self._login, user=who.user)
            raise postgresql.PostgresqlError(" ".join(login_check.login_problem(login, error)), error.reason) from error

    def _works(self, who: Credentials) -> bool:
        try:
            self._connect(who)[0].close()
        except postgresql.PostgresqlError as error:
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
            except postgresql.PostgresqlError as error:
                if error.reason != "password":
                    raise
                continue
            wanted = role_password.Wanted(target.user, target.password, self._iterations)
            try:
                outcome = role_password.ensure(connection, wanted, login)
            except postgresql.PostgresqlError:
                # Two app hosts at once: the server lets one of two changes of a role through.
                if self._works(target):
                    return False
                raise
            finally:
                connection.close()
            self.warnings += outcome.warnings
            return bool(outcome.because)
        raise RotationError(
            f"The server lets {target.user} in with none of the passwords that this rotation knows; somebody else "
            "changed it. site.yml sets the password and writes the files."
        )


def _read(path: str) -> bytes | None:
    return _read_with_author(path)[0]


def _read_with_author(path: str) -> tuple[bytes | None, Ids]:
    """What a file holds, None where there is none, and with whose ids a file is opened or removed that it names."""
    try:
        with files.edit(path) as file:
            return file.data, file.author
    except CollectionError:
        if not owned.is_directory(os.path.dirname(path)):
            return None, ROOT
        raise


def _referenced(path: str, data: bytes | None) -> str | None:
    try:
        node = Document(data or b"").find((*_PASSWORD, "$file"))
    except YamlPatchError:
        return None
    name = node.value if node else None
    return os.path.join(os.path.dirname(path), name) if isinstance(name, str) else None
