#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_password
short_description: Set the password of a PostgreSQL database user without sending it to the server
version_added: 1.0.0
description:
  - Sets the password of a database user as a SCRAM-SHA-256 verifier that is computed on the host. The password in clear
    never reaches the server, so it is in none of its logs, activity views or statement statistics.
  - The stored verifier is read and computed anew with its own salt. Nothing is changed when the password is the same.
  - Statement logging and statistics are turned off for the one transaction, where the session may do so. Elsewhere the
    verifier is sent as the data of a C(COPY) into a temporary table, which the server does not log. Where the session
    may create no such table, the one statement that sets the verifier can be in the server's log.
  - With C(pg_stat_statements.track=all) and a session that may not turn it off, the verifier, not the password, stays
    in the view C(pg_stat_statements), which members of C(pg_read_all_stats) can read.
  - Where C(pg_authid) cannot be read, as with managed databases, the module tries to log in as the user over TCP.
  - SASLprep is done as PostgreSQL does it, with its fall-back to the string as it is.
  - Every session starts with an empty C(search_path), a C(statement_timeout) and a C(lock_timeout), and ends after a
    minute.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.connection
attributes:
  check_mode:
    description:
      - The server is queried in a read-only transaction.
      - Without psycopg2 or a server on the host yet, the module reports that it would set the password.
  diff_mode:
    description: Shows how the password is stored, its iterations, the expiry and the flags, never a hash.
  idempotent:
    support: partial
    details:
      - Where C(pg_authid) cannot be read, a ready verifier and O(state=absent) are written on every run, with a
        warning.
options:
  name:
    description: The database user.
    type: str
    required: true
  password:
    description:
      - The password in clear, or a verifier as PostgreSQL stores it (C(SCRAM-SHA-256$...)), which is stored as it is.
      - Required with O(state=present). In a loop, keep it out of the items, which Ansible prints.
    type: str
  iterations:
    description:
      - Iterations of PBKDF2. A verifier with another count is replaced.
      - "Default: the server's C(scram_iterations) (4096 before PostgreSQL 16). A higher count that is already stored is
        kept."
      - The default is at most 100000, since the npm package pg, and so Backstage, rejects more.
    type: int
  state:
    description: Whether the user has a password. V(absent) removes the password; the user stays.
    type: str
    choices: [present, absent]
    default: present
  valid_until:
    description:
      - When the password expires, in any form that PostgreSQL reads as a time; V(infinity) for never.
      - "Default: unchanged."
    type: str
  create:
    description:
      - Whether to create the user when it is missing, in one transaction with its password. It gets C(LOGIN) unless
        O(role_attr_flags) has C(NOLOGIN).
      - With V(false), a missing user is an error.
    type: bool
    default: false
  role_attr_flags:
    description:
      - Flags that the user must have, such as C(CREATEDB) or C(NOSUPERUSER). Other flags stay unchanged.
      - An existing superuser is reported with a warning when O(create=true) and neither C(SUPERUSER) nor
        C(NOSUPERUSER) is named. A warning also precedes the change of the password of a superuser in use.
    type: list
    elements: str
    choices:
      - SUPERUSER
      - NOSUPERUSER
      - INHERIT
      - NOINHERIT
      - CREATEROLE
      - NOCREATEROLE
      - CREATEDB
      - NOCREATEDB
      - LOGIN
      - NOLOGIN
      - REPLICATION
      - NOREPLICATION
      - BYPASSRLS
      - NOBYPASSRLS
    default: []
  owner:
    description:
      - NOLOGIN role that owns the objects, and that O(name) is a member of. Required for zero-downtime rotation between
        two login users.
      - The sessions of O(name) start as this role (C(ALTER ROLE ... SET role)), so what a plugin creates over a
        connection of its own belongs to it as well.
      - With O(create=true) it is created when it is missing, without C(LOGIN), in the same transaction. It gets the
        O(role_attr_flags) except C(LOGIN), C(INHERIT) and their opposites, which O(name) gets.
      - A superuser is rejected.
      - With O(state=absent), O(name) loses its password only when it is the owner or a member of it and no superuser.
        Any other user may serve others and stays unchanged, with a warning. A missing user is accepted then.
    type: str
  member_of:
    description:
      - Roles whose rights the user must have, such as C(pg_monitor). Its other memberships stay unchanged.
    type: list
    elements: str
    default: []
  default_of:
    description:
      - Name of the variable that has O(name) as its default and that nobody has set.
      - The password of a superuser is then changed on a new cluster only, which has no password of this user, no other
        users and no databases of its own. On any other cluster the change is rejected, and the error names the
        variable.
    type: str
notes:
  - When O(login_user) is the user itself and the connection is over TCP, O(password) is tried first and
    O(login_password) second, so that a user can change its own password and a second run still logs in.
seealso:
  - module: devportal.backstage.postgresql_databases
  - name: postgresql_user
    description: The module of the collection community.postgresql.
    link: https://docs.ansible.com/projects/ansible/latest/collections/community/postgresql/postgresql_user_module.html
"""

EXAMPLES = r"""
- name: Set the superuser's password, as root through the socket
  devportal.backstage.postgresql_password:
    name: postgres
    password: "{{ vault_postgres_password }}"

- name: Create a database user for Backstage that can create its databases
  devportal.backstage.postgresql_password:
    name: backstage
    password: "{{ vault_backstage_password }}"
    create: true
    role_attr_flags: [LOGIN, CREATEDB]

- name: Create one of two login users for zero-downtime rotation
  devportal.backstage.postgresql_password:
    name: backstage_a
    owner: backstage
    password: "{{ vault_backstage_password }}"
    create: true
    role_attr_flags: [LOGIN, CREATEDB]

- name: Change the user's own password on a managed database
  devportal.backstage.postgresql_password:
    name: backstage
    password: "{{ vault_backstage_password }}"
    login_host: db.example.com
    login_user: backstage
    login_password: "{{ vault_backstage_old_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/db-ca.pem

- name: Remove the password of a former user
  devportal.backstage.postgresql_password:
    name: backstage_b
    state: absent
"""

RETURN = r"""
stored:
  description:
    - How the password is stored after the run; in check mode, how it would be.
    - V(unknown) where the session cannot read it and nothing was changed.
  returned: success
  type: str
  sample: scram-sha-256
iterations:
  description: Iterations of the stored verifier; null where there is none or it cannot be read.
  returned: success
  type: int
  sample: 4096
changed_because:
  description: Why something was changed, or would be; empty when nothing was.
  returned: success
  type: list
  elements: str
  sample: ["the password is stored as md5"]
msg:
  description: What is missing, in check mode on a host without the server or the library.
  returned: when the server could not be queried in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import role_password


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **postgresql.connection_argument_spec(),
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "iterations": {"type": "int"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "valid_until": {"type": "str"},
            "create": {"type": "bool", "default": False},
            "role_attr_flags": {
                "type": "list",
                "elements": "str",
                "choices": list(role_password.FLAGS),
                "default": [],
            },
            "owner": {"type": "str"},
            "default_of": {"type": "str"},
            "member_of": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    with reported_by(module):
        wanted = _wanted(module.params)
        role_password.check(wanted)
        try:
            result = _run(module, wanted)
        except CollectionError as error:
            if not (module.check_mode and error.reason in postgresql.NOT_YET):
                raise
            result = {
                "changed": True,
                "stored": "unknown",
                "iterations": None,
                "changed_because": ["the server cannot be queried yet"],
                "msg": f"Would set the password of {wanted.name}. {error}",
            }
        module.exit_json(**result)


def _wanted(params):
    password = params["password"]
    if params["state"] == "absent":
        for option in ("password", "create"):
            if params[option]:
                raise CollectionError(f"{option}: not allowed with state absent.", "Leave it out.")
    elif password is None:
        raise CollectionError("password: it is missing.", "Set it, or set state to absent to remove the password.")
    return role_password.Wanted(
        name=params["name"],
        password=password,
        iterations=params["iterations"],
        valid_until=params["valid_until"],
        flags=tuple(params["role_attr_flags"]),
        create=params["create"],
        owner=params["owner"],
        default_of=params["default_of"],
        member_of=tuple(params["member_of"]),
    )


def _run(module, wanted):
    connection, login = role_password.connect(module.params, wanted)
    try:
        outcome = role_password.ensure(connection, wanted, login, dry=module.check_mode)
    finally:
        connection.close()
    warnings = (*connection.login_warnings, *outcome.warnings)
    for warning in (*warnings, *role_password.node_pg_warnings(wanted, outcome.iterations)):
        module.warn(warning)
    return {
        "changed": bool(outcome.because),
        "stored": outcome.stored,
        "iterations": outcome.iterations,
        "changed_because": list(outcome.because),
        "diff": {"before": outcome.before, "after": outcome.after},
    }


if __name__ == "__main__":
    main()
