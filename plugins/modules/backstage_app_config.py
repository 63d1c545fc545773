#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_app_config
short_description: Point backend.database of a Backstage app-config file at PostgreSQL
version_added: 1.0.0
author:
  - The devportal.backstage maintainers (@devportal)
description:
  - Gives C(backend.database) the client V(pg) and a connection with host, port, user and password, from whatever stood
    there before.
  - The file is changed as text. Comments, quotes, blank lines, line ends and every other byte outside the changed
    values stay as they are; before anything is written the result is read again and has to be what was wanted.
  - The file is replaced in one step. Owner, group, permissions, ACLs, SELinux context and symbolic links are kept. Two
    runs at the same time wait for each other.
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.ownership
attributes:
  diff_mode:
    description:
      - Shows the unified diff. Masked in it are the values of all keys that look like a secret (password, token,
        secret, credential, key and so on), connection strings, logins in URLs, private keys, the same values wherever
        else they stand, and what follows such a key in a comment; in the lines around a change too.
      - A placeholder such as C(${POSTGRES_PASSWORD}) is shown.
options:
  path:
    description:
      - The file to change, on the host.
      - Without it, the right one of O(config_files) is chosen, see there.
    type: path
  config_files:
    description:
      - The files that Backstage is started with, in load order (its C(--config) options, or its default files). In
        Backstage a later file overrides an earlier one.
      - Without it, C(app-config.yaml) and C(app-config.local.yaml) are taken for loaded together, as by default, when
        O(path) is one of them.
      - With it, O(path) has to be one of them, or may be left out. The file is then the last one that sets one of the
        keys which this module sets, else the first. With O(credentials=literal) it is the last one that ends in
        C(.local.yaml), where there is one.
      - What a later file, or an C(APP_CONFIG_) variable in O(env_file), hides of what was written is warned of.
    type: list
    elements: path
  env_file:
    description:
      - The env file that Backstage is started with. Only read, to see what hides what was written, and whether git
        ignores the file. A relative path starts at the directory of the app-config file.
      - With O(credentials=env) nothing is written when it is not of its format, or could not be made.
    type: path
  env_format:
    description:
      - The format of O(env_file), as in M(devportal.backstage.backstage_env_file).
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  credentials:
    description:
      - V(env) writes placeholders such as C(${POSTGRES_HOST}); the values then come from environment variables, see
        M(devportal.backstage.backstage_env_file). O(host), O(port), O(user) and O(password) are only checked, and may
        be left out. A fallback as in C(${POSTGRES_HOST:-localhost}) goes.
      - V(literal) writes the values themselves. Strings are quoted where YAML would read something else, and C(${X}) is
        written C($${X}), so that Backstage reads exactly what was given.
      - V(file) writes host, port and user themselves, and for the password C($file) with the name of
        O(password_file), which gets the password.
    type: str
    choices: [env, literal, file]
    default: env
  host:
    description:
      - Name or address of the database server, or the directory of its socket.
    type: str
  port:
    description:
      - A TCP port, from 1 to 65535. A port that stands in the file in quotes is left so.
    type: str
    default: "5432"
  user:
    description:
      - The PostgreSQL role.
    type: str
    default: postgres
  password:
    description:
      - Its password, in clear.
    type: str
  host_variable:
    description:
      - Name of the variable with the host.
    type: str
    default: POSTGRES_HOST
  port_variable:
    description:
      - Name of the variable with the port.
    type: str
    default: POSTGRES_PORT
  user_variable:
    description:
      - Name of the variable with the user.
    type: str
    default: POSTGRES_USER
  password_variable:
    description:
      - Name of the variable with the password.
    type: str
    default: POSTGRES_PASSWORD
  password_file:
    description:
      - With O(credentials=file), the file for the password.
      - A new one belongs to the owner and the group of the app-config
        file and has mode V(0600), or V(0640) where that file is root's and its group reads it. An old one keeps its
        owner and mode, but loses the rights of everybody else.
      - In the app-config file its name stands alone when both are in one directory, else its path. A relative path
        starts at the directory of the app-config file.
    type: path
    default: postgres-password
  database:
    description:
      - Further keys of C(backend.database), as in Backstage's schema - C(pluginDivisionMode), C(prefix),
        C(schemaPrefix), C(ensureExists), C(ensureSchemaExists), C(role), C(skipMigrations), C(knexConfig),
        C(connection) with C(ssl), C(database) and so on, and C(plugin) with these for a single plugin.
      - They are merged with what is there, in depth; a list is replaced. A key with an empty value (V(null)) is taken
        away.
      - They are written as they are given. C(${X}), C($env) and C($file) are Backstage's, and right for secrets.
      - A key that the schema does not have is an error that names the nearest one. What knex reads beside the schema
        belongs under C(knexConfig).
    type: dict
    default: {}
  state:
    description:
      - V(present) sets the connection to PostgreSQL.
      - V(absent) puts SQLite in memory back, as in a new app. C(pluginDivisionMode), which SQLite refuses, goes, and
        other keys beside C(connection) stay. A file whose client is not PostgreSQL is left as it is, and so is the
        password file.
    type: str
    choices: [present, absent]
    default: present
  os_user:
    description:
      - The OS user that Backstage runs as. A new file with the password belongs to it, where it could not read the file
        otherwise. O(owner) counts more.
    type: str
  create:
    description:
      - Make the file if it is missing.
    type: bool
    default: false
  allow_tracked:
    description:
      - Write a literal secret although git tracks the file that gets it. Without this it is refused.
    type: bool
    default: false
  backup:
    description:
      - Keep the old file beside the new one.
    type: bool
    default: false
  validate:
    description:
      - A command that has to succeed on the new file before it counts; C(%s) is the file's path. No shell is involved.
      - The new file stands in a directory of its own until then, so the command does not find what relative C($file)
        and C($include) in it name.
      - What it prints is not shown, because it may hold secrets. In check mode it does not run.
    type: str
  mode:
    description:
      - The file's permissions as an octal number in quotes.
      - Without it a new file gets V(0600), and any other keeps its own. But a file that gets a literal secret loses the
        rights of everybody else, and those of a group in which everybody is (C(users), C(nogroup)). The result says so;
        Backstage then has to run as the owner, or in the group.
    type: raw
notes:
  - "What stood in C(backend.database) is treated by kind. Further keys of Backstage's schema, what knex reads beside
    C(connection) (such as C(pool)), and further keys under C(connection) (such as C(ssl)): stay."
  - "What only SQLite reads (C(filename), C(directory), C(flags) and a dictionary C(options) under C(connection)),
    C(host), C(port), C(user) and C(password) one level too high, and a C(connectionString) that would win: go, and are
    named in RV(removed)."
  - "A connection string: goes. Its database is kept in schema mode; of other settings in it the result warns. The same
    for a connection that comes whole from a variable or a file."
  - "C(type) azure, cloudsql or rds with its own keys, with which Backstage would not use the password: goes, with a
    warning."
  - "Keys that neither Backstage nor knex reads (such as C(clientt)): stay, with a warning that names the nearest key."
  - "A C(backend.database) that is an alias, or comes from C($include), C($file) or C($env), is refused."
  - Needs PyYAML on the host (Debian's C(python3-yaml)); in check mode it says what it would do without it.
seealso:
  - module: devportal.backstage.backstage_env_file
  - module: devportal.backstage.backstage_database_info
"""

EXAMPLES = r"""
- name: Take the connection from environment variables
  devportal.backstage.backstage_app_config:
    path: /opt/backstage/app-config.yaml

- name: Write the connection itself, into the file that git ignores
  devportal.backstage.backstage_app_config:
    path: /opt/backstage/app-config.local.yaml
    create: true
    credentials: literal
    host: db.example.com
    user: backstage
    password: "{{ vault_backstage_password }}"

- name: Keep the password in a file of its own, and use one database with TLS
  devportal.backstage.backstage_app_config:
    config_files:
      - /opt/backstage/app-config.yaml
      - /opt/backstage/app-config.production.yaml
    env_file: /opt/backstage/.env
    credentials: file
    host: db.example.com
    user: backstage
    password: "{{ vault_backstage_password }}"
    database:
      pluginDivisionMode: schema
      connection:
        database: backstage
        ssl:
          ca:
            $file: /etc/ssl/certs/database-ca.pem

- name: Go back to SQLite in memory
  devportal.backstage.backstage_app_config:
    path: /opt/backstage/app-config.yaml
    state: absent
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /opt/backstage/app-config.yaml
msg:
  description: What was done, in a sentence.
  returned: always
  type: str
  sample: /opt/backstage/app-config.yaml was changed.
removed:
  description: The keys that had to go, see the notes.
  returned: always
  type: list
  elements: str
  sample: [backend.database.connection.filename]
backup_file:
  description: Where the old file is.
  returned: when O(backup=true) and the file was changed
  type: str
  sample: /opt/backstage/app-config.yaml.4711.2026-05-01@12:00:00~
password_file:
  description: The file with the password.
  returned: with O(credentials=file)
  type: str
  sample: /opt/backstage/postgres-password
mode:
  description: The file's permissions afterwards.
  returned: when the file is there
  type: str
  sample: "0640"
missing:
  description: That the file is not there; outside check mode this is a failure.
  returned: in check mode, when it is so
  type: bool
tightened:
  description: The files that lost the rights of everybody else, because they hold a secret.
  returned: always
  type: list
  elements: path
  sample: []
tracked:
  description: Those of the app-config files, the env file and the password file that git tracks.
  returned: always
  type: list
  elements: path
  sample: [/opt/backstage/app-config.yaml]
exposed:
  description:
    - Those of C(app-config.local.yaml) and C(.env) beside the file, of O(env_file) and of O(password_file) that stand
      in a git working tree and are neither tracked nor ignored, be they there or not. The next C(git add) would take
      them.
  returned: always
  type: list
  elements: path
  sample: []
effective_source:
  description: For each key that this module sets, the file or the variable whose value takes effect.
  returned: with O(state=present), when the file is there and Backstage could start with all of its files
  type: dict
  sample:
    backend.database.client: /opt/backstage/app-config.yaml
"""

import grp
import os
import shlex
from contextlib import ExitStack
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import app_config, config_loader
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.app_config import AppConfigError
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_loader import HAS_YAML
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    accounts,
    env_dotenv,
    env_file,
    git,
    masked_diff,
    secret_names,
)
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    replacement as files,
)

_DEFAULT_NAMES = ("app-config.yaml", "app-config.local.yaml")
_EVERYBODYS_GROUPS = ("users", "nogroup", "nobody")
_PRIVATE_NAMES = ("app-config.local.yaml", ".env")


def _connection(asked: dict[str, Any], path: str) -> dict[str, Any]:
    """The four wanted settings, after a look at everything that can be refused without the file."""
    credentials, host, user, password = (asked[key] for key in ("credentials", "host", "user", "password"))
    app_config.check_connection(host, asked["port"], user)
    if credentials == "env":
        variables = {key: asked[f"{key}_variable"] for key in app_config.KEYS}
        app_config.check_variables(variables)
        if password is not None:
            app_config.check_password(password, credentials)
        return app_config.by_variable(variables)
    app_config.check_password(password, credentials)
    if host is None:
        raise AppConfigError(f"host is missing: with `credentials: {credentials}` it is written into the file.")
    if credentials == "literal":
        return app_config.by_literal(host, int(asked["port"]), user, password)
    beside = os.path.dirname(asked["password_file"]) == os.path.dirname(path)
    reference = os.path.basename(asked["password_file"]) if beside else asked["password_file"]
    return app_config.by_file(host, int(asked["port"]), user, reference)


class _Run:
    """One run on one file: what is found, what is wanted, and what goes into the result."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.asked = module.params
        self.check_mode: bool = module.check_mode
        self.present = self.asked["state"] == "present"
        self.files, self.path = self.choose()
        self.result: dict[str, Any] = {"path": self.path, "removed": [], "tightened": [], "tracked": [], "exposed": []}
        self.connection: dict[str, Any] = {}
        self.holds_secret = False
        wanted = accounts.wanted_rights(self.path, self.asked, self.check_mode)
        self.mode, self.uid, self.gid = wanted["mode"], wanted["uid"], wanted["gid"]
        # Who has to be able to read what is made.
        reader = self.asked["os_user"] if self.uid is None else None
        self.reader = accounts.account(reader, "os_user", self.check_mode) if reader else None

    def choose(self) -> tuple[list[str], str]:
        """The files that Backstage loads, and the one to change."""
        path, listed = self.asked["path"], self.asked["config_files"]
        if not path and not listed:
            raise AppConfigError("path and config_files are both empty: name the app-config file.")
        if path:
            path = os.path.abspath(path)
        if listed:
            base = os.path.dirname(path) if path else os.getcwd()
            listed = [os.path.normpath(os.path.join(base, name)) for name in listed]
            if path and path not in listed:
                raise AppConfigError(f"{path} is not among config_files: Backstage would not read it.")
            return listed, path or (
                app_config.choose(listed, self.asked["credentials"] == "literal") if HAS_YAML else listed[0]
            )
        if os.path.basename(path) in _DEFAULT_NAMES:
            beside = [os.path.join(os.path.dirname(path), name) for name in _DEFAULT_NAMES]
            return [name for name in beside if name == path or os.path.exists(name)], path
        return [path], path

    def __call__(self) -> dict[str, Any]:
        asked = self.asked
        if self.present:
            if asked["credentials"] == "file":
                asked["password_file"] = os.path.join(os.path.dirname(self.path), asked["password_file"])
                self.result["password_file"] = asked["password_file"]
            if asked["env_file"]:
                asked["env_file"] = os.path.normpath(os.path.join(os.path.dirname(self.path), asked["env_file"]))
            self.connection = _connection(asked, self.path)
            app_config.check_database(asked["database"])
            self.holds_secret = asked["credentials"] == "literal" or any(
                secret_names.is_secret(path, value) for path, value in _leaves(asked["database"])
            )
            if asked["credentials"] == "env" and asked["env_file"]:
                self.look_at_env_file()
                if self.result.get("missing"):
                    return self.result
        if self.check_mode and not (HAS_YAML and os.path.exists(self.path)):
            return self.blind()
        if not HAS_YAML:
            raise AppConfigError(f"{missing_required_lib('PyYAML')} On Debian it is the package python3-yaml.")
        with ExitStack() as stack:
            file = stack.enter_context(files.edit(self.path))
            if file.data is None and not self.present:
                return {**self.result, "changed": False, "msg": f"{self.path} is not there."}
            if file.data is None and not asked["create"]:
                raise AppConfigError(
                    f"{self.path}: there is no such file; correct the path, or say `create: true` to make it."
                )
            password_file = None
            wanted = self.result.get("password_file")
            # In check mode an earlier task would perhaps have made the directory.
            if wanted and (not self.check_mode or os.path.isdir(os.path.dirname(os.path.realpath(wanted)))):
                password_file = stack.enter_context(files.edit(wanted))
            return self.edit(file, password_file)

    def look_at_env_file(self) -> None:
        """Refuse where the variables could not be put into it."""
        path = self.asked["env_file"]
        directory = os.path.dirname(os.path.realpath(path))
        if self.check_mode and not os.path.isdir(directory):
            message = f"{path} cannot be made, for there is no directory {directory}; make it first."
            self.result.update(changed=True, missing=True, msg=message)
            return
        try:
            with files.edit(path) as file:
                env_file.read(file.data or b"", self.asked["env_format"])
        except CollectionError as error:
            raise AppConfigError(f"{path}: {error}") from error

    def blind(self) -> dict[str, Any]:
        """What check mode can say without PyYAML, or without the file."""
        if os.path.exists(self.path):
            message = f"{self.path} would be read, and changed where it has to be; PyYAML is not on the host yet."
        elif not self.present:
            return {**self.result, "changed": False, "msg": f"{self.path} is not there."}
        elif self.asked["create"]:
            message = f"{self.path} would be made."
        else:
            message = f"{self.path} is not there; make it first, or set create."
            return {**self.result, "changed": True, "missing": True, "msg": message}
        return {**self.result, "changed": True, "msg": message}

    def edit(self, file: files.EditedFile, password_file: files.EditedFile | None) -> dict[str, Any]:
        before = file.data or b""
        try:
            if self.present:
                patched = app_config.present(before, self.connection, self.asked["database"])
            else:
                patched = app_config.absent(before)
        except AppConfigError as error:
            raise AppConfigError(f"{self.path}: {error}") from error
        differs = patched.data != before
        self.ask_git(makes_backup=self.asked["backup"] and differs and file.data is not None)
        rights = self.rights(file, self.holds_secret, 0o600)
        changed = differs or file.data is None or self.other_rights(file, rights)
        secret_changed = "password_file" in self.result and (
            password_file is None or self.password_differs(password_file, file)
        )
        self.result["removed"] = patched.removed
        for warning in patched.warnings:
            self.module.warn(f"{self.path}: {warning}")
        if changed and file.links > 1:
            self.module.warn(f"{self.path} has {file.links} names (hard links); the others keep the old content.")
        if self.module._diff:
            self.result["diff"] = self.diff(before, patched.data, secret_changed)
        if not self.check_mode and (changed or secret_changed):
            self.write(file, patched.data if changed else None, rights, password_file if secret_changed else None)
        self.result["mode"] = f"{rights['mode']:04o}"
        if self.present:
            self.tell_who_wins()
        said = "would be changed" if self.check_mode else "was changed"
        what = [name for name, is_so in ((self.path, changed), (self.asked["password_file"], secret_changed)) if is_so]
        message = (
            f"{' and '.join(what)} {said.replace('was', 'were') if len(what) > 1 else said}."
            if what
            else f"{self.path} is as wanted already."
        )
        return {**self.result, "changed": changed or secret_changed, "msg": message}

    def write(
        self,
        file: files.EditedFile,
        data: bytes | None,
        rights: dict[str, Any],
        password_file: files.EditedFile | None,
    ) -> None:
        """Replace one or both; where the second refuses, the first is put back."""
        old = password_file.data if password_file else None
        if password_file:
            password_file.replace(self.asked["password"].encode() + b"\n", **self.password_rights(password_file, file))
        try:
            if data is not None:
                saved = file.replace(
                    data, **rights, backup=self.asked["backup"] and data != file.data, check=self.validator()
                )
                if saved:
                    self.result["backup_file"] = saved
        except BaseException:
            if password_file and old is None:
                password_file.remove()
            elif password_file and old is not None:
                password_file.replace(old)
            raise

    def rights(self, file: files.EditedFile, secret: bool, new: int) -> dict[str, Any]:
        """Mode and owner for a file; no rights for everybody where it holds a secret."""
        mode = self.mode if self.mode is not None else file.mode if file.mode is not None else new
        if secret and mode & 0o007 and self.mode is not None:
            self.module.warn(f"{self.path}: mode {mode:04o} lets everybody read the secret in it.")
        elif secret and file.mode is not None:
            closed = 0o007 | (0o070 if _is_everybodys(file.gid if self.gid is None else self.gid) else 0)
            if mode & closed:
                mode &= ~closed
                self.tightened(file.path, mode)
        rights = {"mode": mode, "uid": self.uid, "gid": self.gid}
        return self.readable(rights, file) if secret and file.mode is None else rights

    def readable(self, rights: dict[str, Any], file: files.EditedFile) -> dict[str, Any]:
        """The rights of a new file, so that Backstage can read it."""
        uid, gid = (file.uid if rights["uid"] is None else rights["uid"]), rights["gid"]
        reader = self.reader
        if reader is None or accounts.may_read(reader, uid, file.gid if gid is None else gid, rights["mode"]):
            return rights
        return {**rights, "uid": reader.pw_uid, "gid": reader.pw_gid if self.gid is None else self.gid}

    def tightened(self, path: str, mode: int) -> None:
        self.result["tightened"].append(path)
        verb = "would lose" if self.check_mode else "lost"
        self.module.warn(
            f"{path} holds a secret and {verb} the rights of everybody else (mode {mode:04o}); "
            "Backstage has to run as its owner or in its group."
        )

    def other_rights(self, file: files.EditedFile, rights: dict[str, Any]) -> bool:
        wanted = (rights["mode"], rights["uid"], rights["gid"])
        return any(new not in (None, old) for new, old in zip(wanted, (file.mode, file.uid, file.gid)))

    def password_rights(self, password_file: files.EditedFile, file: files.EditedFile) -> dict[str, Any]:
        if password_file.mode is not None:
            return {"mode": password_file.mode & ~0o007}
        uid = file.uid if self.uid is None else self.uid
        gid = file.gid if self.gid is None else self.gid
        by_group = uid == 0 and gid != 0 and (file.mode or 0) & 0o040 and not _is_everybodys(gid)
        return self.readable({"mode": 0o640 if by_group else 0o600, "uid": uid, "gid": gid}, password_file)

    def password_differs(self, password_file: files.EditedFile, file: files.EditedFile) -> bool:
        mode = self.password_rights(password_file, file)["mode"]
        if password_file.mode not in (None, mode):
            self.tightened(password_file.path, mode)
            return True
        # Backstage trims the end; a file that an admin wrote without a line feed is as good.
        there = (password_file.data or b"").decode("utf-8", "replace").rstrip(env_dotenv.JS_SPACE)
        return there != self.asked["password"]

    def ask_git(self, makes_backup: bool) -> None:
        """Refuse to put a literal secret where git tracks it, and tell what the next `git add` would take."""
        if not self.present:
            return
        holders = [self.path] if self.holds_secret else []
        if self.asked["credentials"] == "file":
            holders.append(self.asked["password_file"])
        private = [os.path.join(os.path.dirname(self.path), name) for name in _PRIVATE_NAMES]
        private += [self.asked["env_file"]] if self.asked["env_file"] else []
        # A backup holds the former secret, under a name that the rule for the file itself may not cover.
        backup = files.backup_name(self.path) if self.holds_secret and makes_backup else None
        found = git.look(dict.fromkeys([self.path, *holders, *private, *filter(None, [backup])]))
        for path in holders:
            if path in found.tracked and not self.asked["allow_tracked"]:
                raise AppConfigError(
                    f"{path}: git tracks this file, and a secret would be in it; use `credentials: env`, a file that "
                    "git ignores (app-config.local.yaml), or say `allow_tracked: true`."
                )
            if path in found.unknown:
                self.module.warn(f"{path} gets a secret; {found.unknown[path]}: make sure that git does not track it.")
        secret = dict.fromkeys([*holders, *private])
        self.result["tracked"] = found.tracked
        self.result["exposed"] = [path for path in found.exposed if path in secret]
        for path in self.result["exposed"]:
            self.module.warn(f"{path} is for secrets, and no .gitignore covers it: the next `git add` would take it.")
        if backup in found.exposed:
            self.module.warn(
                f"The backups of {self.path} hold its secrets, and no .gitignore covers them: add a line with *~ there."
            )
        for path in found.tracked:
            if path in private and path not in holders:
                self.module.warn(f"{path} is for secrets, and git tracks it.")

    def tell_who_wins(self) -> None:
        variables: dict[str, str] = {}
        there = []
        for name in self.files:
            if name == self.path or os.path.exists(name):
                there.append(name)
            elif not name.endswith(".local.yaml"):
                self.module.warn(f"{name}: there is no such file; Backstage does not start without it.")
        if not os.path.exists(self.path):  # check mode, of a file to be made
            return
        try:
            if self.asked["env_file"] and os.path.exists(self.asked["env_file"]):
                with files.edit(self.asked["env_file"]) as opened:
                    variables = env_file.read(opened.data or b"", self.asked["env_format"])
            standing = app_config.standing(self.path, there, variables)
        except config_loader.ConfigLoaderError as error:
            self.module.warn(f"Backstage would not start: {error}")
            return
        except CollectionError as error:
            self.module.warn(f"What hides {self.path} could not be looked for: {error}")
            return
        self.result["effective_source"] = standing.effective_source
        for warning in standing.warnings:
            self.module.warn(warning)

    def validator(self) -> Callable[[str], None] | None:
        command = self.asked["validate"]
        if not command:
            return None
        if "%s" not in command:
            raise AppConfigError("validate has no %s in it, which stands for the file's path.")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise AppConfigError(f"validate cannot be read as a command: {error}.") from error

        def check(path: str) -> None:
            command = [word.replace("%s", path) for word in words]
            try:
                code = self.module.run_command(command, handle_exceptions=False)[0]
            except (OSError, ValueError) as error:
                raise AppConfigError(f"{self.path}: the command of validate cannot be run: {error}.") from error
            if code:
                raise AppConfigError(
                    f"{self.path}: the command of validate ended with {code}, so the file was left as it is; what it "
                    "said is not shown, because it may hold secrets."
                )

        return check

    def diff(self, before: bytes, after: bytes, secret_changed: bool) -> list[dict[str, str]]:
        texts = [masked_diff.masked_diff(before, after, self.path)]
        if secret_changed:
            name = self.asked["password_file"]
            texts.append(f"--- {name}\n+++ {name}\n@@ -1 +1 @@\n-{masked_diff.MASK}\n+{masked_diff.MASK} (changed)\n")
        return [{"prepared": text} for text in texts if text]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """The scalars of a value as text, each with its path."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, str(key)))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, (*path, str(index)))]
    return [] if value is None or isinstance(value, bool) else [(path, str(value))]


def _show_what_is_no_secret(module: AnsibleModule) -> None:
    """Take the harmless values of `database` out of what Ansible masks in the result, where they are common words."""
    leaves = _leaves(module.params["database"])
    harmless = {value for path, value in leaves if not secret_names.is_secret(path, value)}
    secret = {value for path, value in leaves if secret_names.is_secret(path, value)}
    module.no_log_values -= harmless - secret - {module.params["password"]}


def _is_everybodys(gid: int) -> bool:
    try:
        return grp.getgrgid(gid).gr_name in _EVERYBODYS_GROUPS
    except KeyError:
        return False


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "config_files": {"type": "list", "elements": "path"},
            "env_file": {"type": "path"},
            "env_format": {"type": "str", "choices": list(env_file.FORMATS), "default": "dotenv"},
            "credentials": {"type": "str", "choices": list(app_config.CREDENTIALS), "default": "env"},
            "host": {"type": "str"},
            "port": {"type": "str", "default": "5432"},
            "user": {"type": "str", "default": "postgres"},
            "password": {"type": "str", "no_log": True},
            **{
                f"{key}_variable": {"type": "str", "default": name, "no_log": False}
                for key, name in app_config.VARIABLES.items()
            },
            "password_file": {"type": "path", "default": "postgres-password", "no_log": False},
            "database": {"type": "dict", "default": {}, "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "os_user": {"type": "str"},
            "create": {"type": "bool", "default": False},
            "allow_tracked": {"type": "bool", "default": False},
            "backup": {"type": "bool", "default": False},
            "validate": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    _show_what_is_no_secret(module)
    try:
        result = _Run(module)()
    except CollectionError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
