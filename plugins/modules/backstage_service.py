#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_service
short_description: Create the systemd units of a Backstage backend
version_added: 1.0.0
description:
  - Creates the unit of the backend, and a second unit that restarts the backend after a start that failed. A Backstage
    that could not connect to its database at its start would otherwise stay alive and never become ready.
  - Every value is validated and escaped, so that it reaches the process as it was given. No variable, percent sign or
    backslash in it is expanded.
  - The units pass C(systemd-analyze verify) before they replace the present ones.
  - Fails if another process already uses the port of C(backend.listen) in the app-config files.
  - Neither reloads systemd nor starts the backend.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
attributes:
  check_mode:
    description:
      - Reports what would change, and validates everything.
      - A missing program is not an error in check mode, since another task may install it. It is reported as
        RV(missing).
  diff_mode: {}
  idempotent: {}
options:
  name:
    description:
      - Name of the unit, without C(.service).
      - A unit of this name that this module has not written is rejected.
    type: str
    default: backstage
  user:
    description: OS user that runs Backstage. Must exist when the backend starts.
    type: str
    required: true
  directory:
    description: Directory of the app, in which Backstage starts.
    type: path
    required: true
  command:
    description:
      - Command line that starts the backend, beginning with the absolute path of a program.
      - It is split into words as a shell does; nothing in it is expanded.
    type: str
    default: /usr/bin/node packages/backend
  config_files:
    description:
      - App-config files, in load order, each of which becomes a C(--config) option. Relative names start from
        O(directory).
      - "Default: none, so that Backstage reads its default files."
    type: list
    elements: str
    default: []
  env_file:
    description:
      - Env file of the process, in the format of systemd. It may be missing.
      - Systemd reads it as root, so it must lie in a directory that only root can change.
    type: path
    required: true
  environment:
    description: Further environment variables of the process. Everybody on the host can read them.
    type: dict
    default: {}
seealso:
  - module: devportal.backstage.backstage_ready
"""

EXAMPLES = r"""
- name: Create the units of Backstage
  devportal.backstage.backstage_service:
    user: backstage
    directory: /opt/backstage
    config_files: [app-config.yaml, app-config.production.yaml]
    env_file: /etc/backstage/backstage.env
    environment:
      NODE_ENV: production
"""

RETURN = r"""
units:
  description: Paths of the units.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/backstage.service, /etc/systemd/system/backstage-recovery.service]
port:
  description: TCP port of C(backend.listen) in the app-config files. Null if they cannot be read yet.
  returned: success
  type: int
  sample: 7007
missing:
  description: A sentence about the program of O(command) that does not exist yet. Empty if it exists.
  returned: success
  type: str
  sample: ""
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    config_loader,
    listen_address,
    service_unit,
    systemd,
    tcp_ports,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.process_environment import (
    process_environment,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, environment_option, owned
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML

FOLDER = "/etc/systemd/system"


def _missing_program(settings: service_unit.ServiceSettings, check_mode: bool) -> str:
    """A sentence where the program does not exist. Raises: CollectionError: outside of check mode."""
    program = settings.program
    if os.access(program, os.X_OK):
        return ""
    error = CollectionError(
        f"{service_unit.PREFIX}command: {program} does not exist on this host.",
        "Install it, or correct its path.",
    )
    if not check_mode:
        raise error
    return str(error)


def _listen(settings: service_unit.ServiceSettings) -> listen_address.ListenAddress | None:
    """Where the backend will listen; None where its app-config files cannot be read, which others report.

    Raises:
        CollectionError: the env file cannot be read.
    """
    variables, author = process_environment(f"-{settings.env_file}", "systemd", settings.environment)
    if not HAS_YAML or not owned.is_directory(settings.directory):
        return None
    try:
        reader = accounts.named(settings.user)
        config = config_loader.load(settings.directory, variables, settings.config_files, reader=reader, author=author)
    except CollectionError:
        return None
    return listen_address.listen_address(config.root)


def _require_free_port(settings: service_unit.ServiceSettings) -> int | None:
    """The port of the backend. Raises: CollectionError: another process has it."""
    listen = _listen(settings)
    if listen is None:
        return None
    unit = systemd.Unit(f"{settings.name}.service").look()
    other = tcp_ports.holder(listen.port, listen.host, unit.processes())
    if other:
        raise CollectionError(
            f"backend.listen: port {listen.port} is already used by {other}.",
            "Stop that process, or set another port in app-config.",
        )
    return listen.port


def _require_own(units: dict[str, str]) -> None:
    """Reject units that somebody else has written, before the first one is overwritten."""
    for name in units:
        path = os.path.join(FOLDER, name)
        if not os.path.isdir(FOLDER):
            service_unit.require_own(name, None)
            continue
        with files.edit(path) as file:
            service_unit.require_own(name, file.data)


def _write(units: dict[str, str], check_mode: bool) -> dict:
    changed = False
    diff = []
    for name, text in units.items():
        path = os.path.join(FOLDER, name)
        if check_mode and not os.path.isdir(FOLDER):
            changed = True
            continue
        with files.edit(path) as file:
            before, after = file.data or b"", text.encode()
            right = (file.mode, file.uid, file.gid) == (0o644, 0, 0)
            if before == after and right:
                continue
            changed = True
            diff.append({"before_header": path, "after_header": path, "before": before.decode("utf-8", "replace")})
            diff[-1]["after"] = text
            if not check_mode:
                file.replace(after, mode=0o644, uid=0, gid=0)
    return {"changed": changed, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "backstage"},
            "user": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "command": {"type": "str", "default": "/usr/bin/node packages/backend"},
            "config_files": {"type": "list", "elements": "str", "default": []},
            "env_file": {"type": "path", "required": True},
            "environment": environment_option.ARGUMENT_SPEC,
        },
        supports_check_mode=True,
    )
    asked = {**module.params, "environment": environment_option.take(module)}
    with reported_by(module):
        settings = service_unit.ServiceSettings(**asked)
        units = settings.units()
        _require_own(units)
        service_unit.require_root_owned(settings.env_file, service_unit.PREFIX + "env_file")
        missing = _missing_program(settings, module.check_mode)
        if not missing:
            systemd.verify(units)
        service_unit.require_entry(settings.directory, settings.user)
        port = _require_free_port(settings)
        result = _write(units, module.check_mode)
    paths = [os.path.join(FOLDER, name) for name in units]
    module.exit_json(units=paths, port=port, missing=missing, **result)


if __name__ == "__main__":
    main()
