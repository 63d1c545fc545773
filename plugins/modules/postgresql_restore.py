#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore
short_description: Restore a PostgreSQL cluster from its backups, or test that it can be restored
version_added: 1.1.0
description:
  - With O(mode=test), restores the latest backup and all WAL into a server beside the cluster, compares the rows of
    every table and the identities of the catalog's entities, removes that server, and records the result.
  - With O(mode=in_place), stops the server, moves its data directory aside, restores, and starts the server. If the
    restore fails, the former data directory is in its place again. A run that follows an interrupted one does that
    first.
  - With O(supervisor), the manager must be stopped on all members before O(mode=in_place), and the restored server is
    left stopped for it. The file C(/var/lib/backstage-postgresql-backup/restore.json) is to be removed once the manager
    has started it; until then, a repeated run leaves the restored cluster as it is.
  - With O(mode=remove_former), removes the data directories that restores have kept.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.backup
  - devportal.backstage.cluster
attributes:
  check_mode:
    description: Rejects what cannot be restored, and changes nothing. With O(mode=test) nothing is tested.
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: A restore in the cluster's place restores at every run. The other modes are idempotent.
    support: partial
options:
  mode:
    description: What to do.
    type: str
    choices: [test, in_place, remove_former]
    default: test
  restore_time:
    description:
      - Point in time of O(mode=in_place), with a time zone, such as V(2026-11-26 14:30:00+00:00). What was written
        later is not restored.
      - "Default: everything that is in the repository is restored."
    type: str
    default: ""
  test_directory:
    description:
      - Directory of the server of O(mode=test), on a file system that has room for the cluster. Its parent must be
        writable for the cluster's owner. It is created, and removed afterwards.
      - "Default: C(backstage-restore-test) beside the data directory."
    type: path
  timeout:
    description: Seconds that the recovery of the restored server may take.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Test that the cluster can be restored
  devportal.backstage.postgresql_restore:
  register: trial

- name: Restore the cluster as it was at a point in time
  devportal.backstage.postgresql_restore:
    mode: in_place
    restore_time: "2026-11-26 14:30:00+00:00"
"""

RETURN = r"""
trial:
  description: Result of the restore test, as it is recorded. Its C(problems) are empty if the test passed.
  returned: with O(mode=test)
  type: dict
  sample:
    backup: 20261126-082116F
    backup_time: 1795681278.0
    databases: 6
    entities: 12
    moving: []
    problems: []
    rows: 4683
    seconds: 7.1
    size: 23464456
    stored: 3045792
    tables: 61
    time: 1795684878.0
former:
  description: Directories with the former data of the cluster, which are kept.
  returned: with O(mode=in_place) and O(mode=remove_former)
  type: list
  elements: str
  sample: [/var/lib/postgresql/17/main.before-restore-20261126T143512Z]
msg:
  description: What was done, or found, in sentences.
  returned: success
  type: str
  sample: The cluster is as it was at 2026-11-26 14:30:00+00:00.
"""

import os
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_report, restore
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_options import (
    backup_argument_spec,
    reported_as_variables,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import chosen_cluster, login_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import run as run_program


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **backup_argument_spec(),
            "mode": {"type": "str", "choices": ["test", "in_place", "remove_former"], "default": "test"},
            "restore_time": {"type": "str", "default": ""},
            "test_directory": {"type": "path"},
            "timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    run = {"test": _test, "in_place": _in_place, "remove_former": _remove_former}[module.params["mode"]]
    with reported_as_variables(module):
        result = run(module.params, module.check_mode)
    module.exit_json(**result)


def _test(params, check):
    _platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    login = login_of(cluster, params["login_user"], params["login_password"])
    if check:
        return {"changed": False, "msg": "The restore would be tested."}
    # Beside the directory of the cluster's version, on the same file system as a rule.
    directory = params["test_directory"] or os.path.join(
        os.path.dirname(cluster.data_directory), "backstage-restore-test"
    )
    trial = restore.try_restore(cluster, params["stanza"], directory, login, params["timeout"])
    # What it creates is gone when it ends.
    return {"changed": False, "trial": asdict(trial), "msg": trial.sentence()}


def _in_place(params, check):
    _require_stopped(params, check)
    target = backup_report.parse_target(params["restore_time"]) if params["restore_time"] else None
    interrupted = None if check else restore.undo_interrupted()
    platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    stays_stopped = params["supervisor"] is not None
    wanted = restore.Restore(
        platform, cluster, params["stanza"], target, params["timeout"], stays_stopped=stays_stopped
    )
    wanted.check()
    if check:
        return {"changed": True, "former": restore.former_directories(cluster), "msg": "The cluster would be restored."}
    moment = f"as it was at {wanted.target}" if target else "as the repository has it"
    if wanted.was_done(interrupted):
        kept, again = interrupted["former"], " An interrupted run has restored it."
    else:
        kept = wanted.run(bool(interrupted and interrupted["ran"]))
        again = " An interrupted restore was undone first." if interrupted else ""
    message = f"The cluster is {moment}.{again} Its former data is kept in {kept}."
    return {"changed": True, "former": restore.former_directories(cluster), "msg": message}


def _require_stopped(params, check):
    """Reject to work under a cluster manager, which would start the former server again."""
    if params["supervisor"] is None or check:
        return
    # Units that run are listed, and no others.
    pattern = f"{params['supervisor']}@*-{params['cluster']}.service"
    done = run_program(["systemctl", "list-units", "--plain", "--no-legend", "--state=active", pattern])
    if done.stdout.strip():
        unit = done.stdout.split()[0]
        raise CollectionError(f"{unit}: it runs, and would start the server that is to be restored.", "Stop it.")


def _remove_former(params, check):
    _platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    found = restore.remove_former(cluster, check)
    what = ("Would remove " if check else "Removed ") + ", ".join(found) if found else "No former data is kept"
    return {"changed": bool(found), "former": [] if not check else found, "msg": f"{what}."}


if __name__ == "__main__":
    main()
