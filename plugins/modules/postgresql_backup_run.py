#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup_run
short_description: Take a backup of a PostgreSQL cluster now
version_added: 1.1.0
description:
  - Verifies that the server's WAL reaches the repository, then takes a backup with pgBackRest.
  - M(devportal.backstage.postgresql_backup) must have set up the backups.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.backup
  - devportal.backstage.cluster
attributes:
  check_mode: {}
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Takes a backup at every run, unless O(max_age) is set.
    support: partial
options:
  kind:
    description:
      - Kind of the backup. A differential one holds what has changed since the last full one, an incremental one what
        has changed since the last of any kind.
      - Without a full backup, a full one is taken.
    type: str
    choices: [full, diff, incr]
    default: diff
  max_age:
    description:
      - Hours that the latest backup may be old. A backup is taken only if there is none, or an older one.
      - V(0) accepts a backup of any age.
      - "Default: a backup is taken at every run."
    type: float
"""

EXAMPLES = r"""
- name: Take a full backup before an upgrade, unless there is one of today
  devportal.backstage.postgresql_backup_run:
    kind: full
    max_age: 12
"""

RETURN = r"""
label:
  description: Label of the latest backup. Empty in check mode if there is none.
  returned: success
  type: str
  sample: 20261126-082116F
size:
  description: Bytes of the cluster in that backup.
  returned: success
  type: int
  sample: 23464456
stored:
  description: Bytes that it takes in the repository.
  returned: success
  type: int
  sample: 3045792
msg:
  description: What was done.
  returned: success
  type: str
  sample: Backup 20261126-082116F was taken (22.4 MB, 2.9 MB stored).
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_report
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_options import (
    backup_argument_spec,
    reported_as_variables,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    NOT_YET,
    PgBackRest,
    chosen_cluster,
    login_of,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **backup_argument_spec(),
            "kind": {"type": "str", "choices": ["full", "diff", "incr"], "default": "diff"},
            "max_age": {"type": "float"},
        },
        supports_check_mode=True,
    )
    with reported_as_variables(module):
        try:
            result = _run(module.params, module.check_mode)
        except CollectionError as error:
            if not (module.check_mode and error.reason in NOT_YET):
                raise
            result = {"changed": True, "label": "", "size": 0, "stored": 0, "msg": f"Would take a backup. {error}"}
    module.exit_json(**result)


def _run(params, check):
    _platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    backups = PgBackRest(cluster, params["stanza"])
    latest = backups.info().latest
    due = _is_due(latest, params["max_age"])
    if not check:
        login_of(cluster)
        # It switches to a new WAL segment, and waits for it in the repository.
        backups.run("check")
        if due:
            backups.run("backup", f"--type={params['kind']}")
            latest = backups.info().latest
    return {
        "changed": due,
        "label": latest.label if latest else "",
        "size": latest.size if latest else 0,
        "stored": latest.stored if latest else 0,
        "msg": _message(latest, due, check),
    }


def _is_due(latest, max_age):
    if latest is None or max_age is None:
        return True
    return bool(max_age) and time.time() - latest.stopped > max_age * 3600


def _message(latest, due, check):
    if check and due:
        return "A backup would be taken."
    sizes = f"({backup_report.size(latest.size)}, {backup_report.size(latest.stored)} stored)"
    return f"Backup {latest.label} {'was taken' if due else 'is the latest'} {sizes}."


if __name__ == "__main__":
    main()
