#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_rotation
short_description: Give Backstage another database password, or take that back
version_added: 1.0.0
description:
  - The steps of the playbook C(rotate_password.yml) on a host that runs Backstage. Each can be the first of a run that
    follows one which was killed.
  - Nothing but this host is needed. The role changes its own password on the server, over the connection that the app's
    files describe, and the server gets a SCRAM-SHA-256 verifier only.
  - Between V(begin) and V(finish) a journal in C(/var/lib/devportal-backstage), mode 0600, has the files as they were,
    and the old and the new password.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
attributes:
  check_mode:
    description: Only V(begin) looks at anything, and says whether there is something to rotate.
  diff_mode:
    support: none
  idempotent: {}
options:
  stage:
    description:
      - V(begin) reads what the files say, asks the server whether the old or the new login works, and writes the
        journal. There is nothing to do, and there is no journal, when the files say what is wanted and it works. Where
        a run for another password was killed when the server had it and the file did not, the file gets it first.
      - V(switch) has the server and the file that holds the password changed, milliseconds apart. When O(user) is
        another than before it changes nothing, and fails when the new login does not work. It is B(changed) for as long
        as Backstage has to be restarted, so also where a killed run has changed server and file already.
      - V(roll_back) has server and files changed back.
      - V(ready) says that Backstage works with the new password, so that there is no way back.
      - V(finish) removes the journal, and a password file that app-config no longer names.
    type: str
    choices: [begin, switch, roll_back, ready, finish]
    required: true
  directory:
    description: The directory that Backstage is started in.
    type: path
    required: true
  user:
    description: The PostgreSQL role that Backstage shall log in as.
    type: str
    required: true
  password:
    description: Its password, in clear.
    type: str
    required: true
  credentials:
    description: Where the password stands, as in M(devportal.backstage.backstage_app_config).
    type: str
    choices: [env, literal, file]
    default: env
  path:
    description: The app-config file; empty for the one that M(devportal.backstage.backstage_app_config) chooses.
    type: path
    default: ""
  config_files:
    description: The files that Backstage is started with, in load order; empty means its default files.
    type: list
    elements: path
    default: []
  env_file:
    description:
      - The file that the environment of Backstage comes from. It holds the password with O(credentials=env), which
        requires it.
      - With a C(-) before it, as in systemd's C(EnvironmentFile=), it may be missing.
    type: path
  env_format:
    description: Its format, as in M(devportal.backstage.backstage_env_file).
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  environment:
    description:
      - Further variables that Backstage is started with, as in M(devportal.backstage.backstage_database_info).
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
  connect_timeout:
    description: Seconds to wait for the server.
    type: int
    default: 15
notes:
  - A password that is a part of the user's name is refused.
seealso:
  - module: devportal.backstage.postgresql_password
"""

EXAMPLES = r"""
- name: Begin
  devportal.backstage.backstage_rotation:
    stage: begin
    directory: /opt/backstage
    env_file: /opt/backstage/.env
    user: backstage
    password: "{{ vault_backstage_password }}"

- name: Change server and file
  devportal.backstage.backstage_rotation:
    stage: switch
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
previous_users:
  description: The users that the app no longer logs in as, once this is finished.
  returned: success
  type: list
  elements: str
  sample: [backstage_a]
msg:
  description: What is in the way, in check mode on a host that cannot be asked yet.
  returned: when there is something
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import rotation
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    env_file,
    environment_option,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import connection as postgresql
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML, MISSING_YAML

# What cannot be known before site.yml has run; check mode does not fail for it.
_NOT_YET = ("library", "unreachable")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stage": {"type": "str", "choices": ["begin", "switch", "roll_back", "ready", "finish"], "required": True},
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
            "connect_timeout": {"type": "int", "default": 15},
        },
        required_if=[("credentials", "env", ["env_file"]), ("credentials", "file", ["password_file"])],
        supports_check_mode=True,
    )
    if not HAS_YAML:
        _cannot(module, MISSING_YAML, not_yet=True)
    try:
        result = _run(module)
    except postgresql.PostgresqlError as error:
        _cannot(module, str(error), not_yet=error.reason in _NOT_YET)
    except CollectionError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def _cannot(module, reason, not_yet):
    if not (not_yet and module.check_mode):
        module.fail_json(msg=reason)
    module.exit_json(
        changed=True,
        needed=True,
        other_user=False,
        ready=False,
        previous_users=[],
        msg=f"Would rotate. For now: {reason}",
    )


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
        {"connect_timeout": asked["connect_timeout"]},
        asked["iterations"],
    )
    stage, before = asked["stage"], steps.journal
    if stage == "begin":
        journal = steps.begin(dry=module.check_mode)
    else:
        journal = before if module.check_mode else getattr(steps, stage)()
    changed = {
        "begin": journal != before,
        "switch": journal is not None and not journal.ready,
        "roll_back": journal is not None,
        "ready": journal != before,
        "finish": journal is not None,
    }[stage]
    for warning in steps.warnings:
        module.warn(warning)
    return {
        "changed": changed and (stage == "begin" or not module.check_mode),
        "needed": journal is not None,
        "other_user": journal is not None and journal.other_user,
        "ready": journal is not None and journal.ready,
        "previous_users": list(journal.previous_users) if journal else [],
    }


if __name__ == "__main__":
    main()
