# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an app has its connection, and its password: read, checked and replaced for a rotation.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    config_loader,
    database_target,
    effective_source,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import escape
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.password_file import (
    PASSWORD,
    password_file_in,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file, owned
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import ROOT, Ids

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError


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
        if self.path:
            return self.path
        listed = [os.path.join(self.directory, name) for name in self.config_files]
        listed = listed or config_loader.default_files(self.directory, self.variables())
        return effective_source.choose(listed, self.credentials == "literal")

    def variables(self, instead: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The environment that Backstage has, with `instead` in the place of what the env file says."""
        return self._environment(instead)[0]

    def _environment(self, instead: Mapping[str, str] | None) -> tuple[Mapping[str, str], Ids]:
        """The variables, and with whose ids a file is opened that they name."""
        data, author = read_with_author(self.env_file.removeprefix("-")) if self.env_file else (None, ROOT)
        found = {**env_file.read(data or b"", self.env_format), **(instead or {})}
        return env_file.environment(found, self.env_format, self.environment), author

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
        return {name: read(name) for name in names}

    def login(self, instead: Mapping[str, str] | None = None) -> database_target.Login:
        """What the files say, as Backstage reads them.

        Args:
            instead: variables to be taken for other than in the env file.

        Raises:
            CollectionError: they cannot be read, or do not point at PostgreSQL with a user and a password.
        """
        variables, author = self._environment(instead)
        config = config_loader.load(self.directory, variables, self.config_files, author=author)
        try:
            target = database_target.Target(config, variables)
            if target.client("catalog") != "pg":
                raise CollectionError(f"{self.app_config} does not point at PostgreSQL yet.", "Run site.yml first.")
            # In schema mode a Backstage that makes no database never logs in to `postgres`, and may not be let in.
            makes = target.mode != "schema" or target.plugin("catalog").ensure_database
            login = target.admin_login() if makes else target.schema_login()
        except database_target.TargetError as error:
            raise CollectionError(str(error)) from error
        if login.password is None or not login.text_password:
            raise CollectionError(f"{self.app_config}: there is no password to rotate.", "Run site.yml first.")
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
            document.set(PASSWORD, escape(password))
            return document.data
        except YamlPatchError as error:
            raise CollectionError(f"{self.holder}: {error}") from error

    def check(self, password: str) -> None:
        """Reject a place for the password that Backstage does not read it from. Raises: CollectionError."""
        data = read(self.holder) or b""
        if self.credentials == "env":
            another = f"{password} or another"
            same = self.login({self.password_variable: another}).password == another
        elif self.credentials == "file":
            same = data.rstrip() == password.encode()
        else:
            same = self.with_password(data, password) == data
        if not same:
            raise CollectionError(
                f"{self.holder} does not hold the password that Backstage reads from its files, so replacing it there "
                "would change nothing for Backstage.",
                "Run site.yml first, or correct backstage_app_config_credentials.",
            )

    def remove_left_over(self, before: bytes | None, old: tuple[str, str], new_user: str) -> tuple[str, bool] | None:
        """Remove the password file that the app-config file named before and no longer does, if it is ours.

        Args:
            before: what the app-config file held.
            old: user and password that it led to.
            new_user: the user of `password_file`.

        Returns:
            Its path, and whether it was removed. Removed is, with the ids of whoever wrote the app-config file, a file
            of the name that this collection gives to the old user's, beside that of the new one, with the old password
            and nothing else in it. Any other may be somebody else's. None: there is no such file.
        """
        data, author = read_with_author(self.app_config)
        then, now = password_file_in(self.app_config, before), password_file_in(self.app_config, data)
        if then is None or then == now:
            return None
        folder, name = os.path.split(os.path.abspath(self.password_file))
        own = {name.replace(new_user, old[0]), name.replace(f"-{new_user}", "")} - {name}
        expected = self.password_file and os.path.abspath(then) in {os.path.join(folder, one) for one in own}
        return then, bool(expected) and _remove_if(then, old[1].encode(), author)


def _remove_if(path: str, content: bytes, ids: Ids) -> bool:
    """Remove a regular file that holds just this, and at most the end of a line; whether it was removed."""
    try:
        with owned.place(path, ids, follow=False) as found:
            info = found.status()
        if info is None or not stat.S_ISREG(info.st_mode) or owned.read(path, ids).data.rstrip(b"\n") != content:
            return False
        return owned.remove(path, ids)
    except (OSError, CollectionError):  # what cannot be opened was not created by this collection
        return False


def read(path: str) -> bytes | None:
    """What a file holds; None where there is none."""
    return read_with_author(path)[0]


def read_with_author(path: str) -> tuple[bytes | None, Ids]:
    """What a file holds, None where there is none, and with whose ids a file is opened or removed that it names."""
    try:
        with files.edit(path) as file:
            return file.data, file.author
    except CollectionError:
        if not owned.is_directory(os.path.dirname(path)):
            return None, ROOT
        raise
