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
  - A value that a format cannot hold is refused before anything is written.
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
      - The file. It is made when it is missing; its directory must be there.
    type: path
    required: true
  variables:
    description:
      - The variables by name. Text and whole numbers are taken.
      - With O(state=absent) only the names count.
    type: dict
    required: true
  format:
    description:
      - V(dotenv) is read alike by the npm package dotenv (15 and newer; older ones where no value has a line feed),
        by C(node --env-file) and by C(env_file) of Docker Compose. A program that expands variables after reading,
        such as dotenv-expand or dotenv-cli, changes a C($) in a value all the same.
      - C(docker run --env-file) takes quotes as part of the value, so give it values that need none.
      - V(systemd) is for C(EnvironmentFile=) of a systemd unit.
      - V(shell) is for C(sh) to source; new variables are exported.
    type: str
    choices: [dotenv, systemd, shell]
    default: dotenv
  state:
    description:
      - Whether the variables are in the file or not.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - The file's permissions as an octal number in quotes.
      - Without it a new file, and one that everybody could read or write, gets V(0600); any other file keeps its own.
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

- name: Take a variable away
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
  description: What was done, in a sentence.
  returned: always
  type: str
  sample: /opt/backstage/.env has its variables already.
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    env_file,
    masked_diff,
)
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    replacement as files,
)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    kind = {bool: "a boolean", type(None): "empty"}.get(type(value), f"a {type(value).__name__}")
    raise env_file.EnvFileError(f"{name}: the value is {kind}; write it as text, in quotes.")


def _apply(module: AnsibleModule) -> dict:
    asked = module.params
    path, form = asked["path"], asked["format"]
    present = asked["state"] == "present"
    variables = {name: _text(name, value) if present else "" for name, value in asked["variables"].items()}
    for name, value in variables.items():
        env_file.check(name, value, form)
    rights = files.wanted_rights(path, asked, module.check_mode)
    if module.check_mode and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
        return {
            "changed": present,
            "changed_variables": list(variables) if present else [],
            "mode": f"{0o600 if rights['mode'] is None else rights['mode']:04o}",
            "tightened": False,
            "msg": f"{path} would be made once its directory is there." if present else f"{path} is not there.",
        }
    with files.edit(path) as file:
        return _edit(module, file, variables, rights)


def _edit(module: AnsibleModule, file: files.EditedFile, variables: dict[str, str], wanted: dict) -> dict:
    path, form = module.params["path"], module.params["format"]
    present = module.params["state"] == "present"
    before = file.data or b""

    def applied(some: dict[str, str]) -> bytes:
        if present:
            return env_file.set_variables(before, some, form)
        return env_file.remove_variables(before, some, form)

    after = applied(variables)
    names = [name for name in variables if applied({name: variables[name]}) != before]
    tightened = file.mode is not None and bool(file.mode & 0o007)
    if wanted["mode"] is None:
        wanted["mode"] = 0o600 if file.mode is None or tightened else file.mode
    tightened = tightened and not wanted["mode"] & 0o007
    rights = file.mode is not None and (
        wanted["mode"] != file.mode or wanted["uid"] not in (None, file.uid) or wanted["gid"] not in (None, file.gid)
    )
    changed = after != before or (file.data is None and present) or rights
    if changed and not module.check_mode:
        file.replace(after, **wanted)
    return {
        "changed": changed,
        "changed_variables": names,
        "mode": f"{wanted['mode']:04o}",
        "tightened": tightened,
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": env_file.masked(before, form),
            "after": env_file.masked(after, form, names),
        },
        "msg": _sentence(path, changed, tightened, module.check_mode),
    }


def _sentence(path: str, changed: bool, tightened: bool, check_mode: bool) -> str:
    if not changed:
        return f"{path} is as wanted already."
    closed = " It was open to everybody; now only its owner reads it." if tightened and not check_mode else ""
    if tightened and check_mode:
        closed = " It is open to everybody, which would end."
    return f"{path} {'would be' if check_mode else 'was'} changed.{closed}"


def _show_what_is_no_secret(module: AnsibleModule) -> None:
    """Let the result tell path, mode and names: a user `backstage` would be masked in /opt/backstage/.env, too."""
    values = {name: str(value) for name, value in module.params["variables"].items() if value is not None}
    told = (module.params["path"], "0123456789", *values)
    secret = {value for name, value in values.items() if masked_diff.is_secret((name.replace("_", "-"),), value)}
    module.no_log_values -= {value for value in values.values() if any(value in text for text in told)} - secret


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
    try:
        result = _apply(module)
    except env_file.EnvFileError as error:
        module.fail_json(msg=f"{module.params['path']}: {error}")
    except files.FileError as error:
        module.fail_json(msg=str(error))
    if result["tightened"] and not module.check_mode:
        module.warn(result["msg"])
    module.exit_json(path=module.params["path"], **result)


if __name__ == "__main__":
    main()
