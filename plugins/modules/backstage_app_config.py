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
        secret, credential, key and so on), connection strings, logins in URLs, private keys, the same values in
        other places, and what follows such a key in a comment. The lines around a change are masked, too.
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
        keys which this module sets. If no file sets one, it is the first. With O(credentials=literal) it is the last
        one that ends in C(.local.yaml), if the list has one.
      - The module warns of each key that a later file, or an C(APP_CONFIG_) variable in O(env_file), overrides.
    type: list
    elements: path
  env_file:
    description:
      - The env file that Backstage is started with. It is read, to detect which of its variables override the
        app-config file, and whether git ignores it. A relative path starts at the directory of the app-config file.
      - Only O(write_env_file) changes it.
      - With O(credentials=env) nothing is written if the env file is not valid in O(env_format), or if its directory
        does not exist.
    type: path
  env_format:
    description:
      - The format of O(env_file), as in M(devportal.backstage.backstage_env_file).
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  write_env_file:
    description:
      - With O(credentials=env), also sets the variables in O(env_file) to O(host), O(port), O(user) and O(password), as
        M(devportal.backstage.backstage_env_file) does. Both files are changed, or neither.
    type: bool
    default: false
  env_file_owner:
    description:
      - With O(write_env_file=true), user name or id of the owner of O(env_file). As with O(owner), the current owner is
        kept by default.
    type: str
  env_file_group:
    description:
      - With O(write_env_file=true), group name or id of O(env_file).
    type: str
  credentials:
    description:
      - V(env) writes placeholders such as C(${POSTGRES_HOST}); the values then come from environment variables, see
        O(write_env_file). Without that, O(host), O(port), O(user) and O(password) are only checked, and may be left
        out. A fallback as in C(${POSTGRES_HOST:-localhost}) goes.
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
      - With O(credentials=file), the file for the password. One that exists is overwritten only if the app-config file
        names it, or if it lies beside it, holds one line and is closed to everybody.
      - A new file gets the owner and the group of the app-config file and the mode V(0600). The mode is V(0640) if the
        app-config file belongs to root and its group can read it. An existing file keeps its owner and mode, except
        that world access is removed.
      - The app-config file contains the name alone if both files are in one directory, otherwise the path. A relative
        path starts at the directory of the app-config file.
    type: path
    default: postgres-password
  database:
    description:
      - Further keys of C(backend.database), as in Backstage's schema - C(pluginDivisionMode), C(prefix),
        C(schemaPrefix), C(ensureExists), C(ensureSchemaExists), C(role), C(skipMigrations), C(knexConfig),
        C(connection) with C(ssl), C(database) and so on, and C(plugin) with these for a single plugin.
      - They are merged with what is there, in depth; a list is replaced. A key with an empty value (V(null)) is
        removed.
      - They are written as they are given. C(${X}), C($env) and C($file) are Backstage's, and right for secrets.
      - A key that the schema does not have is an error that names the nearest one. What knex reads beside the schema
        belongs under C(knexConfig).
    type: dict
    default: {}
  ca:
    description:
      - Certificate of the authority that signed the server's certificate, as the path of a file on the host, which
        starts at the directory of the app-config file, or as PEM text.
      - Sets C(connection.ssl) with C(ca) and C(rejectUnauthorized), so that Backstage uses TLS and verifies the server.
        What O(database) sets there takes precedence.
      - "Default: C(connection.ssl) stays as it is."
    type: str
  client_certificate:
    description:
      - Certificate that Backstage shows to the server, for a server that demands one besides the password. Sets
        C(connection.ssl) with C(cert) and C(key). Backstage reads the files at its start.
      - "Default: C(cert) and C(key) of C(connection.ssl) stay as they are."
    type: dict
    suboptions:
      cert:
        description: Path of the certificate on the host.
        type: path
        required: true
      key:
        description: Path of its private key on the host, without passphrase. Backstage must be able to read it.
        type: path
        required: true
      state:
        description:
          - With V(present), O(ca) is required.
          - V(absent) removes C(cert) and C(key) where they name these files, and then the files. A certificate that the
            role C(backstage_postgresql_tls) has not installed stays, with its key and the two settings; one of the role
            begins with a comment that names the collection.
        type: str
        choices: [present, absent]
        default: present
  state:
    description:
      - V(present) sets the connection to PostgreSQL.
      - V(absent) sets SQLite in memory, as in a new app. C(connection) goes as a whole, with the comments in it; so do
        C(pluginDivisionMode), which SQLite rejects, and the connections of single plugins to PostgreSQL. RV(removed)
        names them, except host, port, user and password. Other keys stay. A file whose client is not PostgreSQL is left
        as it is, and so is the password file.
    type: str
    choices: [present, absent]
    default: present
  os_user:
    description:
      - The OS user that Backstage runs as. A new file with the password belongs to this user if the user could not read
        the file otherwise. O(owner) takes precedence.
    type: str
  create:
    description:
      - Whether to create the file if it is missing.
    type: bool
    default: false
  allow_tracked:
    description:
      - Whether to write a literal secret to a file that git tracks. By default this is rejected.
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
      - "Default: the current permissions; for a new file, V(0600)."
      - From a file that gets a literal secret the module removes world access, and the access of a group in which
        everybody is (C(users), C(nogroup)), with a warning. Backstage must then run as the owner, or in the group.
    type: raw
notes:
  - "What stood in C(backend.database) is treated by kind. Further keys of Backstage's schema, what knex reads beside
    C(connection) (such as C(pool)), and further keys under C(connection) (such as C(ssl)): stay."
  - "What only SQLite reads (C(filename), C(directory), C(flags) and a dictionary C(options) under C(connection)),
    C(host), C(port), C(user) and C(password) one level too high: go, and are named in RV(removed)."
  - "A connection string, whole or as C(connectionString): goes. Its database is kept in schema mode; the result warns
    of other settings in it. The same for a connection that comes whole from a variable or a file."
  - "C(plugin.<id>.connection) with a server, user or password of its own: stays, with a warning, because it overrides
    C(connection) for that plugin."
  - "Data in SQLite files (C(directory), C(filename)) is not moved; a warning names the place where it stays."
  - "C(type) azure, cloudsql or rds with its own keys, with which Backstage would not use the password: goes, with a
    warning."
  - "Keys that neither Backstage nor knex reads (such as C(clientt)): stay, with a warning that names the nearest key."
  - "A C(backend.database) that is an alias, or comes from C($include), C($file) or C($env), is rejected."
  - Needs PyYAML on the host (Debian's C(python3-yaml)); in check mode the module reports what would change without it.
seealso:
  - module: devportal.backstage.backstage_env_file
  - module: devportal.backstage.backstage_database_info
"""

EXAMPLES = r"""
- name: Take the connection from environment variables
  devportal.backstage.backstage_app_config:
    path: /opt/backstage/app-config.yaml

- name: Take the connection from environment variables, and set these
  devportal.backstage.backstage_app_config:
    path: /opt/backstage/app-config.yaml
    env_file: /opt/backstage/.env
    write_env_file: true
    host: db.example.com
    user: backstage
    password: "{{ vault_backstage_password }}"

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
  description: All keys that were removed, see the notes.
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
changed_variables:
  description: The names of the variables in O(env_file) that were added or changed.
  returned: with O(write_env_file=true), when its directory is there
  type: list
  elements: str
  sample: [POSTGRES_PASSWORD]
unchanged_with:
  description:
    - O(path), O(env_file), O(host), O(port), O(user) and O(ca) as they were given. A role that has looked in check mode
      sees by it that the files are up to date for the same connection.
  returned: when nothing has to be changed
  type: dict
  sample: {path: /opt/backstage/app-config.yaml, env_file: /opt/backstage/.env, host: db.example.com, port: "5432",
    user: backstage, ca: null}
missing:
  description: That the file is not there; outside check mode this is a failure.
  returned: in check mode, when it is so
  type: bool
missing_directory:
  description: The directory of O(env_file), which is not there; outside check mode this is a failure.
  returned: in check mode, when it is so
  type: str
  sample: /etc/backstage
tightened:
  description: The files from which world access was removed, because they contain a secret.
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.app_config_change import AppConfigChange
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import (
    CREDENTIALS,
    VARIABLES,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import printable, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file, owned, secret_names
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT


def _show_what_is_no_secret(module: AnsibleModule) -> None:
    """Take the harmless values of `database` out of what Ansible masks in the result, where they are common words."""
    leaves = secret_names.leaves(module.params["database"])
    harmless = {value for path, value in leaves if not secret_names.is_secret(path, value)}
    secret = {value for path, value in leaves if secret_names.is_secret(path, value)}
    module.no_log_values -= harmless - secret - {module.params["password"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "config_files": {"type": "list", "elements": "path"},
            "env_file": {"type": "path"},
            "env_format": {"type": "str", "choices": list(env_file.FORMATS), "default": "dotenv"},
            "write_env_file": {"type": "bool", "default": False},
            "env_file_owner": {"type": "str"},
            "env_file_group": {"type": "str"},
            "credentials": {"type": "str", "choices": list(CREDENTIALS), "default": "env"},
            "host": {"type": "str"},
            "port": {"type": "str", "default": str(DEFAULT_PORT)},
            "user": {"type": "str", "default": "postgres"},
            "password": {"type": "str", "no_log": True},
            **{f"{key}_variable": {"type": "str", "default": name, "no_log": False} for key, name in VARIABLES.items()},
            "password_file": {"type": "path", "default": "postgres-password", "no_log": False},
            "database": {"type": "dict", "default": {}, "no_log": True},
            "ca": {"type": "str"},
            "client_certificate": {
                "type": "dict",
                "options": {
                    "cert": {"type": "path", "required": True},
                    "key": {"type": "path", "required": True, "no_log": False},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            },
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
    with reported_by(module):
        change = AppConfigChange(
            module.params,
            module.check_mode,
            module._diff,
            lambda command: module.run_command(command, handle_exceptions=False)[0],
        )
        result = change.apply()
        for warning in change.warnings:
            module.warn(printable(warning))
    owned.hide_attributes(module)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
