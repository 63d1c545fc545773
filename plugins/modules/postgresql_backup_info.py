#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup_info
short_description: Report the age and state of the backups of a PostgreSQL cluster
version_added: 1.1.0
description:
  - Reports the latest backup, the last tested restore, and everything from which a restore may fail.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes.info_module
  - devportal.backstage.backup
  - devportal.backstage.cluster
options:
  max_age:
    description: Hours that the latest backup may be old. V(0) accepts any age.
    type: float
    default: 0
  max_test_age:
    description: Days that the last restore test may be old. V(0) accepts any age, and no test at all.
    type: float
    default: 0
  verify_files:
    description: Whether to read all files of the repository and compare their checksums.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Verify the backups
  devportal.backstage.postgresql_backup_info:
    max_age: 26
  register: backups
  failed_when: backups.problems | length > 0
"""

RETURN = r"""
problems:
  description: What is wrong with the backups, a sentence each.
  returned: success
  type: list
  elements: str
  sample: []
backups:
  description: The backups in the repository, oldest first.
  returned: success
  type: list
  elements: dict
  sample:
    - label: 20261126-082116F
      kind: full
      started: 1795681276.0
      stopped: 1795681278.0
      size: 23464456
      stored: 3045792
      damaged: false
restore_test:
  description: Result of the last restore test. Null before the first one.
  returned: success
  type: dict
  sample: {}
msg:
  description: The state of the backups in one sentence each.
  returned: success
  type: str
  sample: The latest backup (20261126-082116F, full, 22.4 MB) is 5 hours old. The last restore test was 3 days ago.
"""

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_report
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_options import (
    backup_argument_spec,
    reported_as_variables,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    RECORD,
    PgBackRest,
    chosen_cluster,
    login_of,
    read_record,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.scratch_server import query

_ARCHIVER = """
SELECT current_setting('archive_mode'), last_failed_wal,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL)
FROM pg_catalog.pg_stat_archiver
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **backup_argument_spec(),
            "max_age": {"type": "float", "default": 0},
            "max_test_age": {"type": "float", "default": 0},
            "verify_files": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    with reported_as_variables(module):
        result = _run(module.params)
    module.exit_json(changed=False, **result)


def _run(params):
    _platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    backups = PgBackRest(cluster, params["stanza"])
    now, record, repository = time.time(), read_record(RECORD), backups.info()
    problems = list(backup_report.repository_problems(repository, now, params["max_age"]))
    if params["verify_files"] and repository.latest:
        problems += [f"The repository is damaged: {damage}. Take a new full backup." for damage in backups.damages()]
    problems += backup_report.test_problems(record, now, params["max_test_age"])
    problems += _archive_problems(params, cluster)
    return {
        "problems": problems,
        "backups": [asdict(backup) for backup in repository.backups],
        "restore_test": record,
        "msg": " ".join([backup_report.summary(repository, record, now), *problems]),
    }


def _archive_problems(params, cluster):
    try:
        login = login_of(cluster, params["login_user"], params["login_password"])
        mode, wal, fails = query(login, cluster.owner, _ARCHIVER)[0]
    except CollectionError as error:
        return [str(error)]
    if mode == "off":
        return ["The server does not archive its WAL. Run the playbook devportal.backstage.site."]
    return [f"The server cannot archive {wal}. Look at its log, {cluster.log_hint}."] if fails else []


if __name__ == "__main__":
    main()
