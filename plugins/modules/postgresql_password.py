#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_password
short_description: Set a PostgreSQL role's password without sending it to the server
version_added: 1.0.0
description:
  - Sets the password of a role as a SCRAM-SHA-256 verifier that is computed on the host. The password in clear never
    reaches the server, so it is in none of its logs, activity views or statement statistics.
  - The stored verifier is read and recomputed with its own salt; nothing is changed when the password is the one.
  - Where the session may, statement logging and statistics are turned off for the one transaction, so that the verifier
    is not written down either. Where it may not, the verifier is sent as the data of a C(COPY) into a temporary table,
    which the server does not log; only where the role may make no such table, the one statement that sets the verifier
    can be in the server's log.
  - Where it may not and the server has C(pg_stat_statements.track=all), the verifier, not the password, stays in the
    view C(pg_stat_statements), which roles with C(pg_read_all_stats) read.
  - Where C(pg_authid) may not be read, as with managed databases, the module asks by logging in as the role over TCP.
  - SASLprep is done as PostgreSQL does it, with its fall-back to the text as it is.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.connection
attributes:
  check_mode:
    description:
      - The server is asked in a read-only transaction.
      - Where psycopg2 or the server is not there yet, the module says that it would set the password.
  diff_mode:
    description: Shows how the password is stored, its iterations, the expiry and the flags, never a hash.
  idempotent:
    support: partial
    details:
      - Where C(pg_authid) may not be read, a ready verifier and O(state=absent) are written on every run, with a
        warning.
options:
  name:
    description: The role.
    type: str
    default: postgres
  password:
    description:
      - The password in clear, or a verifier as PostgreSQL stores it (C(SCRAM-SHA-256$...)), which is stored as it is.
      - Required with O(state=present). In a loop, keep it out of the items, which Ansible prints.
    type: str
  iterations:
    description:
      - Iterations of PBKDF2. A verifier with another count is replaced.
      - Left out, it is the server's C(scram_iterations) (4096 before PostgreSQL 16); a higher count that is stored
        already is kept.
      - The npm package pg, and so Backstage, refuses more than 100000.
    type: int
  state:
    description: V(absent) takes the password away; the role stays.
    type: str
    choices: [present, absent]
    default: present
  valid_until:
    description:
      - When the password expires, in any form that PostgreSQL reads as a time; V(infinity) for never.
      - Left out, it stays as it is.
    type: str
  create:
    description:
      - Make the role when it is missing, in one transaction with its password. It gets C(LOGIN) unless
        O(role_attr_flags) says C(NOLOGIN).
      - Without it, a missing role is an error.
    type: bool
    default: false
  role_attr_flags:
    description:
      - Flags that the role shall have, such as C(CREATEDB) or C(NOSUPERUSER). A flag that is not named stays as it is.
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
      - A role that owns the objects, and that O(name) shall be a member of, so that several such roles can take turns;
        Backstage becomes it by the setting C(role) of C(backend.database).
      - With O(create) it is made when it is missing, without C(LOGIN), in the same transaction. It gets what
        O(role_attr_flags) has besides C(LOGIN), C(INHERIT) and their opposites, which stay with O(name).
      - A superuser is refused.
      - With O(state=absent), O(name) loses its password only when it is the owner or a member of it and no superuser.
        Any other role may serve others, so it is left as it is, with a warning. A missing role is no error then.
    type: str
notes:
  - When O(login_user) is the role itself and the connection is over TCP, O(password) is tried first and
    O(login_password) second, so that a role can change its own password and a second run still gets in.
  - A login, that of O(login_user) or the trial of O(password), is as safe as the method that the server asks for. With
    C(scram-sha-256) the password stays on the host; with C(password) in pg_hba.conf it is sent in clear.
seealso:
  - module: community.postgresql.postgresql_user
"""

EXAMPLES = r"""
- name: Set the superuser's password, as root through the socket
  devportal.backstage.postgresql_password:
    password: "{{ vault_postgres_password }}"

- name: Make a role for Backstage that may create its databases
  devportal.backstage.postgresql_password:
    name: backstage
    password: "{{ vault_backstage_password }}"
    create: true
    role_attr_flags: [LOGIN, CREATEDB]

- name: Make one of two roles that take turns and share what they own
  devportal.backstage.postgresql_password:
    name: backstage_a
    owner: backstage
    password: "{{ vault_backstage_password }}"
    create: true
    role_attr_flags: [LOGIN, CREATEDB]

- name: Change the own password on a managed database
  devportal.backstage.postgresql_password:
    name: backstage
    password: "{{ vault_backstage_password }}"
    login_host: db.example.com
    login_user: backstage
    login_password: "{{ vault_backstage_old_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/db-ca.pem

- name: Take the password away
  devportal.backstage.postgresql_password:
    name: former
    state: absent
"""

RETURN = r"""
stored:
  description:
    - How the password is stored after the run, in check mode as it would be.
    - V(unknown) where the session may not read it and nothing was changed.
  returned: success
  type: str
  sample: scram-sha-256
iterations:
  description: Iterations of the stored verifier; null where there is none or it may not be read.
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
  description: What is in the way, in check mode on a host that has no server or library yet.
  returned: when the server could not be asked in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    role_password,
    scram,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **postgresql.connection_argument_spec(),
            "name": {"type": "str", "default": "postgres"},
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
        },
        supports_check_mode=True,
    )
    try:
        wanted = _wanted(module.params)
        role_password.check(wanted)
        result = _run(module, wanted)
    except (postgresql.PostgresqlError, scram.ScramError) as error:
        if not (module.check_mode and getattr(error, "reason", "") in ("library", "unreachable", "os_user")):
            module.fail_json(msg=str(error))
        result = {
            "changed": True,
            "stored": "unknown",
            "iterations": None,
            "changed_because": ["the server cannot be asked yet"],
            "msg": f"Would bring the password of {module.params['name']} to what is asked for. For now: {error}",
        }
    module.exit_json(**result)


def _wanted(params):
    password = params["password"]
    if params["state"] == "absent":
        if password is not None:
            raise scram.ScramError("state: absent takes the password away; leave password out.")
        if params["create"]:
            raise scram.ScramError("state: absent takes a password away; leave create out.")
    elif password is None:
        raise scram.ScramError("There is no password; give one, or say state: absent to take it away.")
    return role_password.Wanted(
        name=params["name"],
        password=password,
        iterations=params["iterations"],
        valid_until=params["valid_until"],
        flags=tuple(params["role_attr_flags"]),
        create=params["create"],
        owner=params["owner"],
    )


def _run(module, wanted):
    connection, login = role_password.connect(module.params, wanted)
    try:
        outcome = role_password.ensure(connection, wanted, login, dry=module.check_mode)
    finally:
        connection.close()
    for warning in (*outcome.warnings, *role_password.node_pg_warnings(wanted, outcome.iterations)):
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
