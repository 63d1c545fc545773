# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of `backend.database` in an app's files, or the preview of one.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import database_block, effective_source
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import ConfigLoaderError
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    KEYS,
    Data,
    by_file,
    by_literal,
    by_variable,
    check_connection,
    check_password,
    check_variables,
    verified_tls,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_schema import check_database
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.git_exposure import exposure
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.password_file import (
    check_overwritten,
    password_in,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, named
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    accounts,
    env_change,
    env_file,
    masked_diff,
    owned,
    replacement,
    secret_names,
    secret_rights,
    validate_command,
)
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile
from ansible_collections.devportal.backstage.plugins.module_utils._files.secret_rights import Rights
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML, MISSING_YAML

# The first line of a client certificate that the role backstage_postgresql_tls has installed.
WRITTEN = b"# Written by devportal.backstage."


@dataclass(frozen=True)
class _SecretFile:
    """The file beside app-config that gets the password.

    Attributes:
        path: the file.
        changed: whether it has to be written.
        file: the file, held by `edit`; None in check mode without its directory.
        write: writes it.
        diff: what to show of the change.
    """

    path: str
    changed: bool
    file: EditedFile | None
    write: Callable[[], None]
    diff: Mapping[str, str]


class AppConfigChange:
    """What the options of `backstage_app_config` ask for, applied to the files.

    Attributes:
        path: the app-config file to change.
        result: what the module returns.
        warnings: sentences for the user.
    """

    def __init__(
        self, options: Mapping[str, Any], check_mode: bool, diff: bool, run: validate_command.Run | None = None
    ) -> None:
        """Choose the file.

        Args:
            options: those of the module, each with its default.
            check_mode: whether this is a preview, which writes nothing.
            diff: whether the result is to have a diff.
            run: runs the command of `validate`.

        Raises:
            CollectionError: options that no file can satisfy.
        """
        self._options = options
        self._check_mode = check_mode
        self._diff = diff
        self._present = options["state"] == "present"
        self._files, self.path = effective_source.choose_file(
            options["path"], options["config_files"], options["credentials"] == "literal"
        )
        self._check = validate_command.check(options["validate"], self.path, run) if run else None
        wanted = accounts.wanted_rights(self.path, options, check_mode)
        self._mode, self._uid, self._gid = wanted["mode"], wanted["uid"], wanted["gid"]
        # Who has to be able to read a new file; an explicit owner takes precedence.
        reader = options["os_user"] if self._uid is None else None
        self._reader = accounts.account(reader, "os_user", check_mode) if reader else None
        self._env_file = self._beside(options["env_file"]) if options["env_file"] else None
        self._password_path = self._beside(options["password_file"])
        self._has_password_file = self._present and options["credentials"] == "file"
        self._writes_env_file = self._present and options["write_env_file"]
        self._variables: Mapping[str, str] = {}
        self._missing = ""  # the directory of the env file, in check mode
        self._connection: dict[str, Data] = {}
        self._database: Mapping[str, Any] = {}
        # What app-config must not name any more, and which of those files go.
        self._retired: Collection[str] = ()
        self._retired_files: Collection[str] = ()
        self._holds_secret = False
        self.warnings: list[str] = []
        self.result: dict[str, Any] = {"path": self.path, "removed": [], "tightened": [], "tracked": [], "exposed": []}
        if self._has_password_file:
            self.result["password_file"] = self._password_path

    def apply(self) -> dict[str, Any]:
        """Write the files, or in check mode find out what would be written.

        Returns:
            The result.

        Raises:
            CollectionError: nothing was changed; says why.
        """
        if self._present:
            self._check_options()
            if self._options["credentials"] == "env" and self._env_file:
                self._check_env_file(self._env_file)
        if self._check_mode and not (HAS_YAML and owned.exists(self.path)):
            return self._blind()
        if not HAS_YAML:
            raise CollectionError(MISSING_YAML)
        with ExitStack() as stack:
            file = stack.enter_context(replacement.edit(self.path))
            if file.data is None and not self._present:
                return self._ended(f"{self.path} does not exist.", changed=False)
            if file.data is None and not self._options["create"]:
                raise CollectionError(
                    f"{self.path}: this file does not exist.", "Correct the path, or set `create: true`."
                )
            return self._edit(file, self._secret_file(file, stack))

    def _beside(self, path: str) -> str:
        """A path that starts at the directory of the app-config file."""
        return os.path.normpath(os.path.join(os.path.dirname(self.path), path))

    def _ended(self, message: str, changed: bool, **more: Any) -> dict[str, Any]:
        self.result.update(changed=changed, msg=message, **more)
        return self.result

    def _check_options(self) -> None:
        """Reject everything that can be rejected without the app-config file."""
        options = self._options
        self._connection = self._wanted_connection()
        self._database = options["database"]
        client = self._client_certificate()
        if options["ca"]:
            # What the user gives himself takes precedence.
            tls = {"connection": verified_tls(options["ca"], client)}
            self._database = database_block.merged(tls, options["database"])
        check_database(options["database"])
        if self._writes_env_file:
            self._variables = self._variables_to_write()
        self._holds_secret = options["credentials"] == "literal" or any(
            secret_names.is_secret(path, value) for path, value in secret_names.leaves(options["database"])
        )

    def _variables_to_write(self) -> Mapping[str, str]:
        """The variables of the env file and their values."""
        options = self._options
        if options["credentials"] != "env":
            raise CollectionError("write_env_file: is for `credentials: env` only.", "Leave it out.")
        for name in ("env_file", "host", "password"):
            if options[name] is None:
                raise CollectionError(f"{name}: missing, and write_env_file needs it.", f"Set {name}.")
        values = {options[f"{key}_variable"]: options[key] for key in KEYS}
        return env_change.checked(self._beside(options["env_file"]), values, options["env_format"])

    def _client_certificate(self) -> tuple[str, str] | None:
        """The paths of the certificate and the key to show to the server; None for none."""
        given = self._options["client_certificate"]
        if given is None:
            return None
        if given["state"] == "absent":
            self._retire(given["cert"], given["key"])
            return None
        if not self._options["ca"]:
            raise CollectionError(
                "client_certificate: is shown with TLS only, and ca is not set.",
                "Set ca to the certificate of the authority that signed the server's certificate.",
            )
        return given["cert"], given["key"]

    def _retire(self, certificate: str, key: str) -> None:
        """Nothing of a pair that the user has put there himself; the certificate is removed last, for it tells."""
        try:
            is_own = owned.read(certificate).data.startswith(WRITTEN)
        except OSError as error:
            # Without the file Backstage would not start, whoever wrote it.
            self._retired = (certificate, key) if isinstance(error, FileNotFoundError) else ()
            return
        if is_own:
            self._retired = self._retired_files = (key, certificate)

    def _wanted_connection(self) -> dict[str, Data]:
        options = self._options
        credentials, host, user, password = (options[key] for key in ("credentials", "host", "user", "password"))
        check_connection(host, options["port"], user)
        if credentials == "env":
            variables = {key: options[f"{key}_variable"] for key in KEYS}
            check_variables(variables)
            if password is not None:
                check_password(password, credentials)
            return by_variable(variables)
        check_password(password, credentials)
        if host is None:
            raise CollectionError(
                f"host: missing, and `credentials: {credentials}` writes it into the file.",
                "Set it to the name or address of the database server.",
            )
        if credentials == "literal":
            return by_literal(host, int(options["port"]), user, password)
        directory, name = os.path.split(self._password_path)
        reference = name if directory == os.path.dirname(self.path) else self._password_path
        return by_file(host, int(options["port"]), user, reference)

    def _check_env_file(self, path: str) -> None:
        """Reject an env file that the variables cannot be put into."""
        if self._check_mode and not owned.has_directory(path):
            self._missing = os.path.dirname(os.path.realpath(path))
        elif not self._writes_env_file:
            with replacement.edit(path) as file, named(path):
                env_file.read(file.data or b"", self._options["env_format"])

    def _check_distinct(self) -> None:
        """Reject one file for two purposes."""
        for option, path, used in (
            ("password_file", self._password_path, self._has_password_file),
            ("env_file", self._env_file, self._writes_env_file),
        ):
            if used and path in self._files:
                raise CollectionError(f"{option}: {path} is an app-config file.", "Choose another file.")
        if self._has_password_file and self._password_path == self._env_file:
            raise CollectionError(f"password_file: {self._env_file} is the env file.", "Choose another file.")

    def _secret_file(self, file: EditedFile, stack: ExitStack) -> _SecretFile | None:
        """The password file or the env file, held until the stack ends; None where neither is to be written."""
        self._check_distinct()
        if self._has_password_file:
            return self._with_password(file, stack)
        if not self._writes_env_file or not self._env_file or self._missing:
            return None
        path, options = self._env_file, self._options
        asked = {"mode": None, "owner": options["env_file_owner"], "group": options["env_file_group"]}
        wanted = accounts.wanted_rights(path, asked, self._check_mode)
        opened = stack.enter_context(replacement.edit(path))
        plan = env_change.plan(path, opened, self._variables, options["env_format"], wanted)
        self.result["changed_variables"] = plan.names
        self.warnings.extend(plan.warnings)
        if plan.tightened:
            self._report_tightened(path, plan.rights["mode"])
        return _SecretFile(path, plan.changed, opened, plan.write, plan.diff(path, options["env_format"]))

    def _with_password(self, file: EditedFile, stack: ExitStack) -> _SecretFile:
        path, mask = self._password_path, masked_diff.MASK
        diff = {"prepared": f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-{mask}\n+{mask} (changed)\n"}
        # In check mode an earlier task might have created the directory.
        if self._check_mode and not owned.has_directory(path):
            return _SecretFile(path, True, None, lambda: None, diff)
        opened = stack.enter_context(replacement.edit(path))

        def write() -> None:
            own = secret_rights.beside(opened, file, self._uid, self._gid, self._reader)
            opened.replace(self._options["password"].encode() + b"\n", mode=own.mode, uid=own.uid, gid=own.gid)

        return _SecretFile(path, self._password_differs(opened, file), opened, write, diff)

    def _blind(self) -> dict[str, Any]:
        """What check mode can report without PyYAML, or without the file."""
        if owned.exists(self.path):
            message = f"{self.path} would be read, and changed if needed; PyYAML is not installed on the host yet."
        elif not self._present:
            return self._ended(f"{self.path} does not exist.", changed=False)
        elif self._options["create"]:
            message = f"{self.path} would be created."
        else:
            message = f"{self.path} does not exist. Create it first, or set `create: true`."
            return self._ended(message, changed=True, missing=True)
        return self._ended(message, changed=True)

    def _edit(self, file: EditedFile, secret: _SecretFile | None) -> dict[str, Any]:
        before = file.data or b""
        with named(self.path):
            if self._present:
                patched = database_block.present(before, self._connection, self._database, self._retired)
            else:
                patched = database_block.absent(before)
        self.result["removed"] = patched.removed
        self.warnings.extend(f"{self.path}: {warning}" for warning in patched.warnings)
        if self._present:
            self._check_git(backup=self._options["backup"] and patched.data != before and file.data is not None)
        if self._has_password_file and secret and secret.file:
            check_overwritten(secret.path, secret.file, self._options["password"], self.path, before)
        rights = self._rights(file)
        changed = patched.data != before or file.data is None or rights.differ_from(file)
        secret = secret if secret and secret.changed else None
        if changed and file.links > 1:
            self.warnings.append(f"{self.path}: has {file.links} hard links. The other names keep the old content.")
        if self._diff:
            self.result["diff"] = self._masked_diff(before, patched.data, secret)
        retired = [path for path in self._retired_files if owned.exists(path)]
        if not self._check_mode and (changed or secret):
            self._write(file, patched.data if changed else None, rights, secret)
        if not self._check_mode:
            for path in retired:
                with replacement.edit(path) as certificate:
                    certificate.remove()
        self.result["mode"] = f"{rights.mode:04o}"
        if self._present:
            self._report_effective_source(patched.was_postgresql)
        return self._reported([self.path] * changed + ([secret.path] if secret else []) + retired)

    def _reported(self, names: list[str]) -> dict[str, Any]:
        """The result, by the names of the files that were changed."""
        if self._missing:
            remedy = "Create the directory first."
            message = f"{self._env_file}: the directory {self._missing} does not exist. {remedy}"
            return self._ended(message, changed=True, missing_directory=self._missing)
        if not names:
            asked = ("path", "env_file", "host", "port", "user", "ca")
            self.result["unchanged_with"] = {name: self._options[name] for name in asked}
        return self._ended(self._sentence(names), changed=bool(names))

    def _sentence(self, names: list[str]) -> str:
        if not names:
            return f"{self.path} is up to date."
        was = "were" if len(names) > 1 else "was"
        return f"{' and '.join(names)} {'would be' if self._check_mode else was} changed."

    def _write(self, file: EditedFile, data: bytes | None, rights: Rights, secret: _SecretFile | None) -> None:
        """Replace one or both; where the second one fails, the first one is rolled back."""
        beside = secret.file if secret else None
        former = (beside.data, beside.mode, beside.uid, beside.gid) if beside else None
        if secret:
            secret.write()
        try:
            if data is not None:
                backup = self._options["backup"] and data != file.data
                saved = file.replace(
                    data, mode=rights.mode, uid=rights.uid, gid=rights.gid, backup=backup, check=self._check
                )
                if saved:
                    self.result["backup_file"] = saved
        except BaseException:
            if beside and former:
                old, mode, uid, gid = former
                if old is None:
                    beside.remove()
                else:
                    beside.replace(old, mode=mode, uid=uid, gid=gid)
            raise

    def _rights(self, file: EditedFile) -> Rights:
        """Mode and owner of the app-config file; no world access where it holds a secret."""
        if self._mode is not None:
            if self._holds_secret and self._mode & 0o007:
                self.warnings.append(f"{self.path}: mode {self._mode:04o} lets everybody read the secret in it.")
            rights = Rights(self._mode, self._uid, self._gid)
        elif file.mode is None:
            rights = Rights(secret_rights.NEW_MODE, self._uid, self._gid)
        elif self._holds_secret:
            rights = secret_rights.of_existing(file, self._uid, self._gid)
            if rights.mode != file.mode:
                self._report_tightened(file.path, rights.mode)
        else:
            rights = Rights(file.mode, self._uid, self._gid)
        if self._holds_secret and file.mode is None:
            return secret_rights.of_new(file, rights.mode, self._uid, self._gid, self._reader)
        return rights

    def _report_tightened(self, path: str, mode: int) -> None:
        self.result["tightened"].append(path)
        removed = "Would remove" if self._check_mode else "Removed"
        self.warnings.append(
            f"{path}: {removed.lower()} world access, because it contains a secret (mode {mode:04o}). "
            "Backstage has to run as its owner or in its group."
        )

    def _password_differs(self, password_file: EditedFile, file: EditedFile) -> bool:
        mode = secret_rights.beside(password_file, file, self._uid, self._gid, self._reader).mode
        if password_file.mode not in (None, mode):
            self._report_tightened(password_file.path, mode)
            return True
        return bool(password_in(password_file.data) != self._options["password"])

    def _check_git(self, backup: bool) -> None:
        """Reject a secret where git tracks it, and report what the next `git add` would take."""
        holders = [self.path] if self._holds_secret else []
        holders += [self._password_path] if self._has_password_file else []
        # A backup holds the former secret, under a name that the rule for the file itself may not cover.
        name = replacement.backup_name(self.path) if self._holds_secret and backup else None
        found = exposure(self.path, holders, self._env_file, name, self._options["allow_tracked"])
        self.result.update(tracked=found.tracked, exposed=found.exposed)
        self.warnings.extend(found.warnings)

    def _report_effective_source(self, was_postgresql: bool) -> None:
        loaded = []
        for name in self._files:
            if name == self.path or owned.exists(name):
                loaded.append(name)
            elif not name.endswith(".local.yaml"):
                self.warnings.append(f"{name}: this file does not exist; Backstage does not start without it.")
        if not owned.exists(self.path):  # check mode, of a file to be created
            return
        variables: dict[str, str] = {}
        try:
            if self._env_file and owned.exists(self._env_file):
                with replacement.edit(self._env_file) as opened:
                    variables = env_file.read(opened.data or b"", self._options["env_format"])
        except CollectionError as error:
            self.warnings.append(f"{self.path}: cannot find out what overrides it: {error}")
            return
        try:
            found = effective_source.effective_sources(self.path, loaded, variables)
        except ConfigLoaderError as error:
            self.warnings.append(f"Backstage would not start: {error}")
            return
        self.result["effective_source"] = found.effective_source
        self.warnings.extend(found.warnings)
        if not was_postgresql:
            told = (f"{self.path}: {text}" for text in found.sqlite)
            self.warnings.extend(text for text in told if text not in self.warnings)

    def _masked_diff(self, before: bytes, after: bytes, secret: _SecretFile | None) -> list[Mapping[str, str]]:
        text = masked_diff.masked_diff(before, after, self.path)
        return ([{"prepared": text}] if text else []) + ([secret.diff] if secret else [])
