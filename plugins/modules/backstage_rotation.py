#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_rotation
short_description: Rotate Backstage's database password, or roll the rotation back
version_added: 1.0.0
description:
  - The steps of the playbook C(rotate_password.yml) on a host that runs Backstage. Each can be the first of a run that
    follows one which was killed.
  - Nothing but this host is needed. The user changes its own password on the server, over the connection that the app's
    files describe, and the server gets a SCRAM-SHA-256 verifier only.
  - Between V(begin) and V(finish) a journal in C(/var/lib/devportal-backstage), mode 0600, has the files as they were,
    and the old and the new password.
  - One run at a time rotates on a host. V(begin) takes over what another run has begun, because that run may have been
    killed. If it was not, each of its further steps fails and changes nothing.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
attributes:
  check_mode:
    description: Only V(begin) does anything, and reports whether there is something to rotate.
  diff_mode:
    support: none
  idempotent: {}
options:
  stage:
    description:
      - The step to take.
      - V(begin) reads the credentials in the files, checks whether the old or the new login works, and writes the
        journal. No journal is written when the files have the wanted credentials and they work. When a run for another
        password was killed after it had changed the server and before it changed the file, the file gets that password
        first.
      - V(switch) changes the password on the server and in the file that holds it, milliseconds apart. When O(user)
        differs from the one before, it changes nothing, and fails when the new login does not work. It is B(changed) as
        long as Backstage has to be restarted, also when a killed run changed server and file already.
      - V(roll_back) changes server and files back.
      - V(ready) records that Backstage works with the new password. It fails when the files or the server do not have
        it. A rotation that is ready is not rolled back.
      - V(finish) removes the journal, and the former user's password file when this collection created it.
    type: str
    choices: [begin, switch, roll_back, ready, finish]
    required: true
  run_id:
    description:
      - The RV(run_id) that V(begin) returned. A step of a run that another run has taken over fails.
      - "Default: any journal of a rotation to the same O(user) and O(password) is continued."
    type: str
  directory:
    description: Directory that Backstage is started in.
    type: path
    required: true
  user:
    description: PostgreSQL database user that Backstage logs in as after the rotation.
    type: str
    required: true
  password:
    description: Password of O(user), in clear. One that is a part of the user's name is rejected.
    type: str
    required: true
  credentials:
    description: Where the password is kept, as in M(devportal.backstage.backstage_app_config).
    type: str
    choices: [env, literal, file]
    default: env
  path:
    description:
      - The app-config file to change.
      - "Default: the file of O(config_files) that M(devportal.backstage.backstage_app_config) chooses."
    type: path
    default: ""
  config_files:
    description:
      - The files that Backstage is started with, in load order.
      - "Default: the files that Backstage loads by default."
    type: list
    elements: path
    default: []
  env_file:
    description:
      - The file with Backstage's environment. Required with O(credentials=env), where it holds the password.
      - With a C(-) before it, as in systemd's C(EnvironmentFile=), it may be missing.
    type: path
  env_format:
    description: Format of the env file, as in M(devportal.backstage.backstage_env_file).
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  environment:
    description:
      - Extra environment variables of the Backstage process, as in M(devportal.backstage.backstage_database_info).
    type: dict
    default: {}
  password_variable:
    description: Name of the variable with the password.
    type: str
    default: POSTGRES_PASSWORD
  password_file:
    description:
      - With O(credentials=file), the file with the password. A rotation to another O(user) needs another file, so that
        app-config switches both at once.
    type: path
  iterations:
    description: Iterations of the verifier, as in M(devportal.backstage.postgresql_password).
    type: int
  require_auth:
    description: Authentication methods that the server may use, as in M(devportal.backstage.postgresql_password).
    type: str
    default: scram-sha-256
  connect_timeout:
    description: Seconds to wait for the server.
    type: int
    default: 15
notes:
  - The result holds no secret, and Ansible masks nothing in it.
seealso:
  - module: devportal.backstage.postgresql_password
"""

EXAMPLES = r"""
- name: Begin the rotation
  devportal.backstage.backstage_rotation:
    stage: begin
    directory: /opt/backstage
    env_file: /opt/backstage/.env
    user: backstage
    password: "{{ vault_backstage_password }}"
  register: rotation

- name: Change the password on the server and in the file
  devportal.backstage.backstage_rotation:
    stage: switch
    run_id: "{{ rotation.run_id }}"
    directory: /opt/backstage
    env_file: /opt/backstage/.env
    user: backstage
    password: "{{ vault_backstage_password }}"
"""

RETURN = r"""
needed:
  description: Whether there is something to do.
  returned: success
  type: bool
  sample: true
run_id:
  description: ID of this run, for the steps after V(begin); empty when there is nothing to do.
  returned: success
  type: str
  sample: 5f0c6f1de8a94c4b
other_user:
  description: Whether the user changes, so that the old and the new login work side by side.
  returned: success
  type: bool
  sample: false
ready:
  description: Whether Backstage is known to work with the new password.
  returned: success
  type: bool
  sample: false
rolled_back:
  description: Whether server and files are what they were.
  returned: success
  type: bool
  sample: false
user:
  description: Database user that Backstage logs in as when the rotation is finished now.
  returned: success
  type: str
  sample: backstage_b
previous_users:
  description:
    - Database users that Backstage does not log in as when the rotation is finished now. After V(roll_back), the user
      that it should have switched to is one of them.
  returned: success
  type: list
  elements: str
  sample: [backstage_a]
msg:
  description: What is missing, in check mode on a host that cannot be queried yet.
  returned: when there is something
  type: str
"""

from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import rotation
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, printable, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file, environment_option
from ansible_collections.devportal.backstage.plugins.module_utils._files.unmasked_result import exit_unmasked
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML, MISSING_YAML


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stage": {"type": "str", "choices": ["begin", "switch", "roll_back", "ready", "finish"], "required": True},
            "run_id": {"type": "str"},
            "directory": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "credentials": {"type": "str", "choices": ["env", "literal", "file"], "default": "env"},
            "path": {"type": "path", "default": ""},
            "config_files": {"type": "list", "elements": "path", "default": []},
            "env_file": {"type": "path"},
            "env_format": {"type": "str", "choices": list(env_file.FORMATS), "default": "dotenv"},
            "environment": environment_option.ARGUMENT_SPEC,
            "password_variable": {"type": "str", "default": "POSTGRES_PASSWORD", "no_log": False},
            "password_file": {"type": "path", "no_log": False},
            "iterations": {"type": "int"},
            **{name: postgresql.connection_argument_spec()[name] for name in ("require_auth", "connect_timeout")},
        },
        required_if=[("credentials", "env", ["env_file"]), ("credentials", "file", ["password_file"])],
        supports_check_mode=True,
    )
    with reported_by(module):
        try:
            if not HAS_YAML:
                raise CollectionError(MISSING_YAML, reason="library")
            result = _run(module)
        except CollectionError as error:
            if not (module.check_mode and error.reason in postgresql.NOT_YET):
                raise
            result = {**_result(None), "changed": True, "needed": True, "msg": f"Would rotate. {error}"}
    exit_unmasked(module, **result)


def _run(module):
    asked = module.params
    names = ("directory", "credentials", "path", "env_file", "env_format", "password_variable", "password_file")
    places = rotation.Places(
        config_files=tuple(asked["config_files"]),
        environment=environment_option.take(module),
        **{name: asked[name] or "" for name in names},
    )
    steps = rotation.Rotation(
        places,
        rotation.Credentials(asked["user"], asked["password"]),
        {name: asked[name] for name in ("require_auth", "connect_timeout")},
        iterations=asked["iterations"],
        run=asked["run_id"],
    )
    stage, before = asked["stage"], steps.journal
    if stage == "begin":
        journal = steps.begin(dry=module.check_mode)
        changed = journal != (before and journal and replace(before, run=journal.run))
    elif module.check_mode:
        journal, changed = before, False
    else:
        journal = getattr(steps, stage)()
        changed = journal is not None and not (stage in ("switch", "ready") and before.ready)
    for warning in steps.warnings:
        module.warn(printable(warning))
    return {**_result(journal), "changed": changed}


def _result(journal):
    return {
        "needed": journal is not None,
        "run_id": journal.run if journal else "",
        "other_user": journal is not None and journal.other_user,
        "ready": journal is not None and journal.ready,
        "rolled_back": journal is not None and journal.rolled_back,
        "user": journal.user if journal else "",
        "previous_users": list(journal.retired_users) if journal else [],
    }


if __name__ == "__main__":
    main()
