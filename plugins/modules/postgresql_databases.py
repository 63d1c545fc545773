#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_databases
short_description: Create PostgreSQL databases with their owner, or drop them
version_added: 1.0.0
description:
  - Creates the databases that are missing, in one connection for all of them.
  - Databases that exist keep everything, unless O(change_owner=true).
  - Two runs at the same moment both succeed.
  - With O(state=absent), drops databases and database users. Nothing is dropped if a database is in use, or if a user
    owns something that stays.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.connection
attributes:
  check_mode:
    description:
      - Without psycopg2 or a server on the host yet, the module reports that it would create the databases.
  diff_mode:
    description: Shows the owner of each database.
  idempotent: {}
options:
  databases:
    description:
      - Names of the databases. The cluster's own, such as V(postgres) and V(template1), are rejected.
      - Required with O(state=present). With O(state=absent), all databases of the O(owner) by default.
    type: list
    elements: str
  owner:
    description:
      - Database user that owns the databases that are created. It must exist.
      - With O(state=absent), only databases of this user are dropped. A superuser is rejected.
    type: str
    required: true
  state:
    description: Whether the databases are created or dropped.
    type: str
    choices: [present, absent]
    default: present
  users:
    description: Database users to drop after the databases, with O(state=absent). A superuser is rejected.
    type: list
    elements: str
    default: []
  change_owner:
    description: Whether databases that exist get the O(owner) too.
    type: bool
    default: false
seealso:
  - module: devportal.backstage.postgresql_password
  - name: postgresql_db
    description: The module of the collection community.postgresql.
    link: https://docs.ansible.com/projects/ansible/latest/collections/community/postgresql/postgresql_db_module.html
"""

EXAMPLES = r"""
- name: Create the databases of a user without CREATEDB
  devportal.backstage.postgresql_databases:
    databases:
      - backstage_plugin_catalog
      - backstage_plugin_auth
    owner: backstage

- name: Drop all databases of the user, and the user
  devportal.backstage.postgresql_databases:
    owner: backstage
    users: [backstage]
    state: absent
"""

RETURN = r"""
created:
  description: Databases that were created; in check mode, that would be.
  returned: success
  type: list
  elements: str
  sample: [backstage_plugin_catalog]
owner_changed:
  description: Databases that existed and got another owner.
  returned: success
  type: list
  elements: str
  sample: []
dropped:
  description: Databases that were dropped; in check mode, that would be.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [backstage_plugin_catalog]
dropped_users:
  description: Database users that were dropped; in check mode, that would be.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [backstage]
msg:
  description: What is missing, in check mode on a host without the server or the library.
  returned: when the server could not be queried in check mode
  type: str
"""

import contextlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import databases, removal
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import quoted_identifier


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **postgresql.connection_argument_spec(),
            "databases": {"type": "list", "elements": "str"},
            "owner": {"type": "str", "required": True},
            "change_owner": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "users": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[("state", "present", ["databases"])],
        supports_check_mode=True,
    )
    with reported_by(module):
        databases.check(module.params["databases"] or [], module.params["owner"])
        result = _removed(module) if module.params["state"] == "absent" else _created(module)
    module.exit_json(**result)


def _created(module):
    names, owner = module.params["databases"], module.params["owner"]
    if module.params["users"]:
        raise CollectionError("users: not allowed with state present.", "Create users with postgresql_password.")
    try:
        with _connected(module, databases.CREATE_SECONDS * len(names)) as connection:
            outcome = databases.ensure(connection, names, owner, module.params["change_owner"], module.check_mode)
    except CollectionError as error:
        if not (module.check_mode and error.reason in postgresql.NOT_YET):
            raise
        return {"changed": bool(names), "created": names, "owner_changed": [], "msg": f"Would create. {error}"}
    return {
        "changed": bool(outcome.created or outcome.owner_changed),
        "created": list(outcome.created),
        "owner_changed": list(outcome.owner_changed),
        "diff": {"before": {"owners": outcome.before}, "after": {"owners": outcome.after}},
    }


def _removed(module):
    names, owner, users = (module.params[option] for option in ("databases", "owner", "users"))
    for user in users:
        quoted_identifier(user, "users")
    with _connected(module, removal.DROP_SECONDS * 10) as connection:
        done = removal.remove(connection, owner, names, users, module.check_mode)
    before = {"databases": list(done.databases), "users": list(done.users)}
    return {
        "changed": any(done),
        "dropped": before["databases"],
        "dropped_users": before["users"],
        "diff": {"before": before, "after": {"databases": [], "users": []}},
    }


@contextlib.contextmanager
def _connected(module, seconds):
    total = postgresql.session.SESSION_SECONDS + seconds
    connection = postgresql.connect(module.params, module.params["os_user"], total)
    try:
        for warning in connection.login_warnings:
            module.warn(warning)
        yield connection
    finally:
        connection.close()


if __name__ == "__main__":
    main()
