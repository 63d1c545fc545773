#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_databases
short_description: Create PostgreSQL databases with their owner
version_added: 1.0.0
description:
  - Creates the databases that are missing, in one connection for all of them.
  - Databases that exist keep everything, unless O(change_owner=true).
  - Two runs at the same moment both succeed.
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
    description: Names of the databases. The cluster's own, such as V(postgres) and V(template1), are rejected.
    type: list
    elements: str
    required: true
  owner:
    description: Database user that owns the databases that are created. It must exist.
    type: str
    required: true
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
msg:
  description: What is missing, in check mode on a host without the server or the library.
  returned: when the server could not be queried in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import databases


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **postgresql.connection_argument_spec(),
            "databases": {"type": "list", "elements": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "change_owner": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    names, owner = module.params["databases"], module.params["owner"]
    with reported_by(module):
        databases.check(names, owner)
        try:
            outcome = _run(module, names, owner)
        except CollectionError as error:
            if not (module.check_mode and error.reason in postgresql.NOT_YET):
                raise
            module.exit_json(changed=bool(names), created=names, owner_changed=[], msg=f"Would create. {error}")
    module.exit_json(
        changed=bool(outcome.created or outcome.owner_changed),
        created=list(outcome.created),
        owner_changed=list(outcome.owner_changed),
        diff={"before": {"owners": outcome.before}, "after": {"owners": outcome.after}},
    )


def _run(module, names, owner):
    seconds = postgresql.session.SESSION_SECONDS + databases.CREATE_SECONDS * len(names)
    connection = postgresql.connect(module.params, module.params["os_user"], seconds)
    try:
        for warning in connection.login_warnings:
            module.warn(warning)
        return databases.ensure(connection, names, owner, module.params["change_owner"], module.check_mode)
    finally:
        connection.close()


if __name__ == "__main__":
    main()
