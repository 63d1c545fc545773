#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup
short_description: Set up the backups of a PostgreSQL cluster with pgBackRest
version_added: 1.1.0
description:
  - Writes the configuration of pgBackRest, creates the repository and the stanza, and enables systemd timers that take
    full and differential backups. After a major upgrade of the cluster the stanza is upgraded.
  - The configuration lies in C(/etc/backstage-postgresql-backup), so that a pgBackRest that was configured otherwise on
    the host is not changed. Secrets are in a file of their own with mode 0600 there, and appear in no diff, log or
    argument list.
  - A server that already archives its WAL elsewhere, and a passphrase that differs from the repository's, are rejected
    before anything changes.
  - The server's settings C(archive_mode) and C(archive_command) are returned as RV(settings), for
    M(devportal.backstage.postgresql_config).
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.backup
  - devportal.backstage.cluster
attributes:
  check_mode:
    description: On a host without the cluster or pgBackRest, the module reports that it would set up the backups.
  diff_mode: {}
  idempotent: {}
options:
  repository:
    description: Directory of the repository.
    type: path
    default: /var/lib/pgbackrest
  passphrase:
    description:
      - Passphrase that encrypts the repository. It cannot be changed later.
      - "Default: the repository is not encrypted."
    type: str
    default: ""
  retention_full:
    description: Number of full backups that are kept. What depends on an older one is removed with it.
    type: int
    default: 2
  schedule_full:
    description: Time of full backups, as a calendar expression of systemd.
    type: str
    default: Sun *-*-* 01:00
  schedule_diff:
    description: Time of differential backups, as a calendar expression of systemd.
    type: str
    default: Mon..Sat *-*-* 01:00
  options:
    description: Further options of pgBackRest's section C(global), name to value, such as those of an S3 repository.
    type: dict
    default: {}
  secret_options:
    description: Options whose values are never shown, such as C(repo1-s3-key-secret).
    type: dict
    default: {}
seealso:
  - module: devportal.backstage.postgresql_backup_run
  - module: devportal.backstage.postgresql_restore
"""

EXAMPLES = r"""
- name: Set up the backups of the cluster
  devportal.backstage.postgresql_backup:
    repository: /srv/backups/pgbackrest
    passphrase: "{{ vault_backup_passphrase }}"
    retention_full: 4
  register: backup

- name: Archive the WAL
  devportal.backstage.postgresql_config:
    portal: wal-archive
    settings: "{{ backup.settings }}"
"""

RETURN = r"""
settings:
  description: Settings of the server that send its WAL to the repository.
  returned: success
  type: dict
  sample:
    archive_mode: "on"
    archive_command: pgbackrest --config-path=/etc/backstage-postgresql-backup --stanza=backstage archive-push "%p"
stanza:
  description: What was done about the stanza, V(stanza-create) or V(stanza-upgrade). Empty if nothing had to be done.
  returned: success
  type: str
  sample: ""
msg:
  description: What would be done, in check mode on a host without the cluster.
  returned: if the cluster is missing
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_files, backup_setup
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_options import (
    backup_argument_spec,
    reported_as_variables,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pgbackrest import (
    NOT_YET,
    chosen_cluster,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **backup_argument_spec(),
            "repository": {"type": "path", "default": "/var/lib/pgbackrest"},
            "passphrase": {"type": "str", "default": "", "no_log": True},
            "retention_full": {"type": "int", "default": 2},
            "schedule_full": {"type": "str", "default": "Sun *-*-* 01:00"},
            "schedule_diff": {"type": "str", "default": "Mon..Sat *-*-* 01:00"},
            "options": {"type": "dict", "default": {}},
            "secret_options": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    settings = _settings(module.params)
    archive = backup_files.archive_settings(settings.stanza)
    with reported_as_variables(module):
        try:
            setup, stanza = _run(module.params, settings, module.check_mode)
        except CollectionError as error:
            if not (module.check_mode and error.reason in NOT_YET):
                raise
            module.exit_json(changed=True, settings=archive, stanza="", msg=f"Would set up the backups. {error}")
    module.exit_json(changed=setup.changed, settings=archive, stanza=stanza, diff=setup.differences())


def _settings(params):
    return backup_files.BackupSettings(
        params["stanza"],
        params["repository"].rstrip("/") or "/",
        params["passphrase"],
        params["retention_full"],
        params["options"],
        params["secret_options"],
        {kind: params[f"schedule_{kind}"] for kind in backup_files.KINDS},
        params["supervisor"] is not None,
    )


def _run(params, settings, check):
    _platform, cluster = chosen_cluster(params["version"], params["cluster"], params["supervisor"])
    login = (params["login_user"], params["login_password"])
    backup_setup.check_archiving(cluster, settings.stanza, *login)
    setup = backup_setup.plan(settings, cluster, cluster.port)
    applies = setup.changed and not check
    return setup, backup_setup.apply(setup, settings, cluster) if applies else setup.stanza


if __name__ == "__main__":
    main()
