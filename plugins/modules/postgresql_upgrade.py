#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_upgrade
short_description: Upgrade a PostgreSQL cluster to another major version, or return to the old one
version_added: 1.1.0
description:
  - Upgrades a cluster with C(pg_upgradecluster --method=upgrade) of Debian and Ubuntu, which copies the data.
  - Before anything changes, verifies the disk space, the extensions and the settings, and calls C(pg_upgrade --check).
  - Carries over the settings files of C(conf.d), which C(pg_upgradecluster) leaves behind.
  - Compares the rows of every table and the identities of the catalog's entities before and after.
  - Keeps the old cluster, which does not start any more. With O(state=rolled_back) it takes its place again.
  - A run after an interrupted one goes on.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.cluster
attributes:
  check_mode:
    description: Runs all checks, and changes nothing.
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent: {}
options:
  version:
    description: Major version to upgrade to, for example V(17). Its server programs must be installed.
    type: int
    required: true
  state:
    description:
      - V(upgraded) upgrades the cluster.
      - V(rolled_back) stops the new cluster, and starts the old one. What was written since the upgrade stays in the
        new one only.
    type: str
    choices: [upgraded, rolled_back]
    default: upgraded
  dump_directory:
    description:
      - Directory in which the whole cluster is dumped as SQL before the upgrade. It is created with mode 0700.
      - "Default: nothing is dumped."
    type: path
"""

EXAMPLES = r"""
- name: Upgrade the cluster
  devportal.backstage.postgresql_upgrade:
    version: 17

- name: Return to the old cluster
  devportal.backstage.postgresql_upgrade:
    version: 17
    state: rolled_back
"""

RETURN = r"""
old_version:
  description: Major version of the old cluster. Null if there is none.
  returned: success
  type: int
  sample: 15
msg:
  description: What was done, in sentences.
  returned: success
  type: str
  sample: >-
    Cluster 17/main has replaced 15/main: 6 databases, 61 tables, 104683 rows and 12 catalog entities are equal.
    15/main is kept, and does not start; when it is of no use any more, remove it with `pg_dropcluster 15 main`.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_options import (
    reported_as_variables,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import cluster_argument_spec
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_upgrade import Upgrade, summary
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import detect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **cluster_argument_spec(),
            "version": {"type": "int", "required": True},
            "state": {"type": "str", "choices": ["upgraded", "rolled_back"], "default": "upgraded"},
            "dump_directory": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    with reported_as_variables(module):
        upgrade = Upgrade(
            detect(), params["cluster"], params["version"], params["login_user"], params["login_password"]
        )
        if params["state"] == "upgraded":
            result = _upgrade(upgrade, params["dump_directory"], module.check_mode)
        else:
            result = _roll_back(upgrade, module.check_mode)
    module.exit_json(old_version=upgrade.old.version if upgrade.old else None, **result)


def _upgrade(upgrade, directory, check):
    if upgrade.is_done:
        return {"changed": False, "msg": f"Cluster {upgrade.new} is in use."}
    upgrade.check()
    if check:
        what = "An interrupted upgrade would be completed" if upgrade.is_interrupted else "It would be upgraded"
        return {"changed": True, "msg": f"Cluster {upgrade.old}: {what}."}
    dump = f" The dump is {upgrade.dump(directory)}." if directory and not upgrade.is_interrupted else ""
    compared = upgrade.run()
    return {"changed": True, "msg": summary(compared, upgrade.old, upgrade.new) + dump}


def _roll_back(upgrade, check):
    changed = upgrade.roll_back(check)
    if not changed:
        return {"changed": False, "msg": f"Cluster {upgrade.old} is in use."}
    if check:
        return {"changed": True, "msg": f"Cluster {upgrade.old} would be in use again."}
    return {
        "changed": True,
        "msg": f"Cluster {upgrade.old} is in use again. What was written since the upgrade is in {upgrade.new} only.",
    }


if __name__ == "__main__":
    main()
