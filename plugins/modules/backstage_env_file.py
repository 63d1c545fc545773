#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_env_file
short_description: Set variables in an environment file
version_added: 1.0.0
description:
  - Sets or removes variables in a file of environment variables, with the quoting that its readers need.
  - Every other line stays as it is, byte for byte. A variable is changed where it stands; one that is not there is
    added at the end.
  - A value that the format cannot hold, and a file that its readers reject, are rejected before anything is written.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.ownership
attributes:
  check_mode: {}
  diff_mode:
    description: Shows the names in the file and which of them change, never a value.
  idempotent: {}
options:
  path:
    description:
      - Path of the file. It is created when it does not exist; its directory must exist.
    type: path
    required: true
  variables:
    description:
      - Variables by name. Values are strings or whole numbers.
      - With O(state=absent) only the names matter.
    type: dict
    required: true
  format:
    description:
      - Format of the file.
      - V(dotenv) is what the npm package dotenv (15 and later; earlier versions where no value contains a line feed),
        C(node --env-file) and C(env_file) of Docker Compose read. The module warns if another line of the file, or
        another program (C(node --env-file) of Node 20, dotenv-cli, dotenv-expand, env-cmd), would give a variable
        another value.
      - V(systemd) is what C(EnvironmentFile=) of a systemd unit reads. A shell reads it as well, with
        C(set -a; . FILE; set +a).
      - C(docker run --env-file) takes quotes as part of the value, so use values that need none.
    type: str
    choices: [dotenv, systemd]
    default: dotenv
  state:
    description:
      - Whether the variables are in the file or not.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - Permissions of the file as an octal number in quotes.
      - "Default: V(0600) for a new file and for one that everybody could read or write; the current mode for any other
        file."
    type: raw
"""

EXAMPLES = r"""
- name: Give Backstage its database by environment variables
  devportal.backstage.backstage_env_file:
    path: /opt/backstage/.env
    variables:
      POSTGRES_HOST: db.example.com
      POSTGRES_PORT: 5432
      POSTGRES_USER: backstage
      POSTGRES_PASSWORD: "{{ vault_backstage_password }}"

- name: The same for a systemd unit
  devportal.backstage.backstage_env_file:
    path: /etc/backstage/environment
    format: systemd
    owner: root
    group: backstage
    mode: "0640"
    variables:
      POSTGRES_PASSWORD: "{{ vault_backstage_password }}"

- name: Remove a variable
  devportal.backstage.backstage_env_file:
    path: /opt/backstage/.env
    state: absent
    variables:
      POSTGRES_PASSWORD: ""
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /opt/backstage/.env
changed_variables:
  description: The names of the variables that were added, changed or removed.
  returned: always
  type: list
  elements: str
  sample: [POSTGRES_PASSWORD]
mode:
  description: The file's permissions afterwards.
  returned: always
  type: str
  sample: "0600"
tightened:
  description: Whether the file could be read or written by everybody before.
  returned: always
  type: bool
  sample: false
msg:
  description: Summary of what was done.
  returned: always
  type: str
  sample: /opt/backstage/.env is up to date.
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import printable, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    accounts,
    env_change,
    env_file,
    owned,
    secret_names,
    secret_rights,
)
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    replacement as files,
)


def _apply(module: AnsibleModule) -> dict:
    asked = module.params
    path, form = asked["path"], asked["format"]
    present = asked["state"] == "present"
    variables = asked["variables"] if present else dict.fromkeys(asked["variables"], "")
    variables = env_change.checked(path, variables, form)
    rights = accounts.wanted_rights(path, asked, module.check_mode)
    if module.check_mode and not owned.has_directory(path):
        return {
            "changed": present,
            "changed_variables": list(variables) if present else [],
            "mode": f"{secret_rights.NEW_MODE if rights['mode'] is None else rights['mode']:04o}",
            "tightened": False,
            "msg": f"{path} would be created once its directory exists." if present else f"{path} does not exist.",
        }
    with files.edit(path) as file:
        plan = env_change.plan(path, file, variables, form, rights, present=present)
        diff = plan.diff(path, form)
        if plan.changed and not module.check_mode:
            plan.write()
    for warning in plan.warnings:
        module.warn(printable(warning))
    return {
        "changed": plan.changed,
        "changed_variables": plan.names,
        "mode": f"{plan.rights['mode']:04o}",
        "tightened": plan.tightened,
        "diff": diff,
        "msg": _sentence(path, plan.changed, plan.tightened, plan.rights["mode"], module.check_mode),
    }


def _sentence(path: str, changed: bool, tightened: bool, mode: int, check_mode: bool) -> str:
    if not changed:
        return f"{path} is up to date."
    closed = f" World access {'would be' if check_mode else 'was'} removed (mode {mode:04o})." if tightened else ""
    return f"{path} {'would be' if check_mode else 'was'} changed.{closed}"


def _show_what_is_no_secret(module: AnsibleModule) -> None:
    """Let the result show path, mode and names: a user `backstage` would be masked in /opt/backstage/.env, too."""
    values = {name: str(value) for name, value in module.params["variables"].items() if value is not None}
    shown = (module.params["path"], "0123456789", *values)
    secret = {value for name, value in values.items() if secret_names.is_secret((name.replace("_", "-"),), value)}
    module.no_log_values -= {value for value in values.values() if any(value in text for text in shown)} - secret


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "variables": {"type": "dict", "required": True, "no_log": True},
            "format": {"type": "str", "choices": list(env_file.FORMATS), "default": "dotenv"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    _show_what_is_no_secret(module)
    with reported_by(module):
        result = _apply(module)
    if result["tightened"] and not module.check_mode:
        module.warn(printable(result["msg"]))
    owned.hide_attributes(module)
    module.exit_json(path=module.params["path"], **result)


if __name__ == "__main__":
    main()
