#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_database_info
short_description: Report whether Backstage would start with the database that its files name
version_added: 1.0.0
description:
  - Reads the app-config files and the env file of a Backstage app as Backstage 1.55 does, and logs in with them.
  - Then queries the server for what a backend needs at its start. Everything runs in read-only transactions.
  - If Backstage would fail, the result contains the reason, what to do, and the file and line that the value came
    from.
  - With O(login_host) it looks at a server on its own, without any file.
  - No password is in the result.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes.info_module
attributes:
  check_mode:
    description:
      - Changes nothing in any mode.
      - In check mode it does not fail, since what it looks at may not be there yet.
  diff_mode: {}
  idempotent: {}
options:
  directory:
    description:
      - The root of the app, where its app-config files are.
    type: path
  config_files:
    description:
      - The C(--config) options that Backstage is started with, in their order; relative to O(directory).
      - Left out, the default files count, with those of E(BACKSTAGE_ENV).
    type: list
    elements: str
    default: []
  env_file:
    description:
      - The file that the environment of Backstage comes from. With a C(-) before it, as in systemd's
        C(EnvironmentFile=), it may be missing.
      - The environment of this module itself never counts.
    type: path
  env_format:
    description:
      - Its format, as in M(devportal.backstage.backstage_env_file).
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  environment:
    description:
      - Further variables that Backstage is started with.
      - They count more than those of a O(env_format=dotenv) file, and less than those of any other.
    type: dict
    default: {}
  plugins:
    description:
      - Ids of the plugins of this app that keep data. V(catalog) and those that the configuration names count anyway.
      - Their databases or schemas are looked at one by one.
    type: list
    elements: str
    default: []
  login_host:
    description:
      - Look at this server instead of an app. A path is the directory of its socket.
    type: str
  login_port:
    description: Its port.
    type: int
    default: 5432
  login_user:
    description: The role to log in as.
    type: str
    default: postgres
  login_password:
    description: The role's password.
    type: str
  login_db:
    description: The database to connect to.
    type: str
    default: postgres
  ssl_mode:
    description: How TLS is used with O(login_host), as libpq's C(sslmode).
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: With O(login_host), the file with the certificates of the authorities to trust.
    type: path
  ssl_cert:
    description: With O(login_host), the file with the client certificate, for a server that demands one.
    type: path
  ssl_key:
    description: With O(login_host), the file with the private key of O(ssl_cert).
    type: path
  channel_binding:
    description: With O(login_host), whether SCRAM is bound to TLS, as in M(devportal.backstage.postgresql_password).
    type: str
    choices: [disable, prefer, require]
  require_auth:
    description:
      - Authentication methods that the server may use for the password, as in
        M(devportal.backstage.postgresql_password). A server that asks for another gets no password.
      - A server that allows the login without asking for the password is reported in RV(checks).
    type: str
    default: scram-sha-256
  os_user:
    description:
      - The OS user that Backstage runs as. It must be allowed to read the app's files and, if the host is a socket, to
        log in to the server (peer authentication).
      - Left out, it is the user that this module runs as.
    type: str
  connect_timeout:
    description: Seconds to wait for a connection.
    type: int
    default: 15
  scope:
    description:
      - With V(app), whatever ends Backstage while it reads its configuration counts.
      - With V(database), a fault that does not concern C(backend.database), such as a missing C($include) of a
        plugin's credentials, is reported but does not count.
    type: str
    choices: [app, database]
    default: app
  fail_on_problem:
    description:
      - Fail when Backstage would not start, with the first reason as the message.
    type: bool
    default: false
notes:
  - Where TLS is verified without an authority of its own, the host's authorities stand in for those of Node.js.
requirements:
  - psycopg2 (Debian's package C(python3-psycopg2))
  - PyYAML (Debian's package C(python3-yaml)), with O(directory)
"""

EXAMPLES = r"""
- name: Would Backstage start?
  devportal.backstage.backstage_database_info:
    directory: /opt/backstage
    env_file: /opt/backstage/.env
  register: database

- name: Show the result
  ansible.builtin.debug:
    var: database.table

- name: Stop here unless it would, with the files of the production image
  devportal.backstage.backstage_database_info:
    directory: /opt/backstage
    config_files: [app-config.yaml, app-config.production.yaml]
    env_file: /etc/backstage/environment
    env_format: systemd
    plugins: [auth, scaffolder, search]
    fail_on_problem: true

- name: Log in over TCP with the new password
  devportal.backstage.backstage_database_info:
    login_host: db.example.com
    login_user: backstage
    login_password: "{{ vault_backstage_password }}"
    fail_on_problem: true
"""

RETURN = r"""
would_start:
  description: Whether Backstage would start. Null if that is unknown.
  returned: always
  type: bool
  sample: true
msg:
  description: The answer in a sentence.
  returned: always
  type: str
  sample: Backstage would start.
client:
  description: The knex client of the catalog.
  returned: when it is known
  type: str
  sample: pg
mode:
  description: How plugins are kept apart, in databases or in schemas.
  returned: with O(directory), when it is known
  type: str
  sample: database
connection:
  description: The catalog's connection as a URL, with the password masked.
  returned: when it is known
  type: str
  sample: postgresql://backstage:********@db.example.com:5432/backstage_plugin_catalog
host:
  description: The server's name or address, or the directory of its socket.
  returned: when it is known
  type: str
  sample: db.example.com
port:
  description: The server's port.
  returned: when it is known
  type: int
  sample: 5432
user:
  description: The role that logs in.
  returned: when it is known
  type: str
  sample: backstage
tls:
  description: Whether TLS is used.
  returned: with O(directory), when it is known
  type: bool
  sample: false
client_certificate:
  description: Whether a client certificate is shown to the server.
  returned: with O(directory), when it is known
  type: bool
  sample: false
config_files:
  description: The app-config files in load order.
  returned: with O(directory), when they could be read
  type: list
  elements: str
  sample: [/opt/backstage/app-config.yaml]
origins:
  description: File and line of each value of the connection, and the variables that went into it.
  returned: with O(directory), when they could be read
  type: dict
  sample: {"connection.host": "/opt/backstage/app-config.yaml:42 (POSTGRES_HOST)"}
server_version:
  description: The version of the server; null when nobody got in.
  returned: always
  type: str
  sample: "17.2"
checks:
  description: The checks, in order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What it is about.
      type: str
      sample: create_database
    ok:
      description: The result. Null if it is unknown.
      type: bool
      sample: false
    message:
      description: The result as a sentence.
      type: str
      sample: backstage may not create databases, and backstage_plugin_catalog is missing.
    remedy:
      description: What to do; empty where nothing has to be done.
      type: str
      sample: Give backstage CREATEDB, or create the databases with backstage as their owner.
    fatal:
      description: Whether Backstage does not start because of it.
      type: bool
      sample: true
databases:
  description: The plugins' databases, or their schemas in schema mode, as far as they exist.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
      sample: backstage_plugin_catalog
    schema:
      description: The schema; null in database mode.
      type: str
    owner:
      description: Its owner.
      type: str
      sample: backstage
    size:
      description: Its size in bytes; null if the user may not query it.
      type: int
      sample: 9142127
    rows:
      description: The planner's estimate of the rows in it. Null if it was not looked into, or is not analyzed yet.
      type: int
      sample: 1200
    analyzed:
      description: Whether PostgreSQL has analyzed any of its tables. Null if it was not looked into.
      type: bool
      sample: true
table:
  description: All of this as lines to read.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    check_report,
    config_loader,
    config_reader,
    database_checks,
    database_target,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.npm_packages import NpmPackages
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.process_environment import (
    process_environment,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import printable_result
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    accounts,
    env_file,
    environment_option,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML, MISSING_YAML


def _connect(asked: dict, ids: accounts.Ids = accounts.ROOT):
    # What the app's files say is connected to as their owner; a socket would let root in as somebody else.
    os_user = asked["os_user"] or str(ids if os.geteuid() == 0 else accounts.ids_of(os.geteuid()))

    def connect(options: dict):
        return postgresql.connect(
            {"require_auth": asked["require_auth"], **options, "connect_timeout": asked["connect_timeout"]}, os_user
        )

    return connect


def _server(asked: dict) -> tuple[dict, check_report.Report]:
    login = database_target.Login(
        asked["login_host"], asked["login_port"], asked["login_user"], asked["login_db"], asked["login_password"]
    )
    over = {name: asked[name] for name in ("ssl_mode", "ca_cert", "ssl_cert", "ssl_key", "channel_binding")}
    facts = {"client": "pg", "connection": login.url, "host": login.host, "port": login.port, "user": login.user}
    return facts, database_checks.check_login(login, _connect(asked), over)


def _app(asked: dict) -> tuple[dict, check_report.Report]:
    report = check_report.Report()
    facts: dict = {}
    try:
        environment, author = process_environment(
            asked["env_file"], asked["env_format"], asked["environment"], asked["os_user"]
        )
        reader = accounts.named(asked["os_user"])
        config = config_loader.load(
            asked["directory"], environment, asked["config_files"], reader=reader, author=author
        )
        target = database_target.Target(config, environment)
        packages = NpmPackages(asked["directory"], reader)
        facts["config_files"] = config.files
        facts.update(mode=target.mode, origins=target.origins())
        report = database_checks.check_target(
            target, target.plugin_ids(asked["plugins"]), _connect(asked, config.ids), packages
        )
        for problem in config.problems:
            tell = report.failed if asked["scope"] == "app" else report.warned
            tell("configuration", problem, "")
        catalog = target.plugin("catalog")
        facts["client"] = catalog.client
        if catalog.client == "pg":
            login = target.plugin_login(catalog)
            facts.update(
                connection=login.url, host=login.host, port=login.port, user=login.user, tls=login.tls is not None
            )
            facts["client_certificate"] = bool(login.tls and login.tls.client_certificate)
    except config_reader.ConfigLoaderError as error:
        if not report.checks:
            report.failed("configuration", str(error), "")
    except database_target.TargetError as error:
        if not report.checks:
            report.failed(error.reason, error.message, error.remedy)
    return facts, report


def _sentence(report: check_report.Report, app: bool) -> str:
    failure, unknown = report.failure, next((check for check in report.checks if check.fatal), None)
    if failure:
        return f"{'Backstage would not start: ' if app else ''}{failure.message} {failure.remedy}".rstrip()
    if unknown:
        return f"Whether Backstage would start is unknown: {unknown.message}"
    return "Backstage would start." if app else report.checks[0].message


def main() -> None:
    options = postgresql.connection_argument_spec()
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path"},
            "config_files": {"type": "list", "elements": "str", "default": []},
            "env_file": {"type": "path"},
            "env_format": {"type": "str", "choices": list(env_file.FORMATS), "default": "dotenv"},
            "environment": environment_option.ARGUMENT_SPEC,
            "plugins": {"type": "list", "elements": "str", "default": []},
            "login_host": {"type": "str"},
            **{name: options[name] for name in ("login_port", "login_user", "login_password", "login_db")},
            **{name: options[name] for name in ("ssl_mode", "ca_cert", "ssl_cert", "ssl_key")},
            **{name: options[name] for name in ("channel_binding", "require_auth")},
            **{name: options[name] for name in ("os_user", "connect_timeout")},
            "scope": {"type": "str", "choices": ["app", "database"], "default": "app"},
            "fail_on_problem": {"type": "bool", "default": False},
        },
        required_one_of=[("directory", "login_host")],
        mutually_exclusive=[("directory", "login_host")],
        supports_check_mode=True,
    )
    asked = {**module.params, "environment": environment_option.take(module)}
    for option in ("directory", "login_host"):
        if asked[option] == "":
            module.fail_json(msg=f"{option}: is empty. Set it, or leave it out.")
    if not HAS_YAML:
        if not module.check_mode:
            module.fail_json(msg=MISSING_YAML)
        module.exit_json(
            would_start=None, checks=[], databases=[], table=[], server_version=None, msg=f"Not checked: {MISSING_YAML}"
        )
    facts, report = _app(asked) if asked["directory"] else _server(asked)
    sentence = _sentence(report, bool(asked["directory"]))
    result = printable_result(
        {
            **facts,
            "would_start": report.would_start,
            "server_version": report.server_version,
            "checks": report.as_result(),
            "databases": report.databases,
            "table": report.table(sentence),
            "msg": sentence,
        }
    )
    if not report.library and not module.check_mode:
        module.fail_json(**result)
    if report.failure and asked["fail_on_problem"] and not module.check_mode:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
