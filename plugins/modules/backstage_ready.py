#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_ready
short_description: Wait until a Backstage backend is ready, or say why it is not
version_added: 1.0.0
description:
  - Asks the backend's readiness from the host until it answers 200.
  - With O(service) it also reads that unit's log, ends the wait as soon as the backend has given up, and fails with the
    reason that the log has. A backend that could not reach its database stays alive and never becomes ready, so a
    running process alone means nothing.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes.info_module
attributes:
  check_mode:
    description: Does not wait in check mode, where the backend may not be there yet. The result RV(outdated) is told.
  diff_mode: {}
  idempotent: {}
options:
  url:
    description: What answers 200 when Backstage is ready.
    type: str
    default: http://127.0.0.1:7007/.backstage/health/v1/readiness
  timeout:
    description: Seconds to wait.
    type: int
    default: 120
  service:
    description: The systemd unit that Backstage runs in.
    type: str
  files:
    description:
      - Files that the backend reads when it starts; those that are not there do not count.
      - Where one was written after O(service) began to run, Backstage may run with what it said before. Then this
        does not wait, and returns RV(outdated).
    type: list
    elements: str
    default: []
  directory:
    description: What relative O(files) are relative to.
    type: path
"""

EXAMPLES = r"""
- name: Wait until Backstage is ready
  devportal.backstage.backstage_ready:
    service: backstage.service

- name: See whether it has to be restarted first
  devportal.backstage.backstage_ready:
    service: backstage.service
    directory: /opt/backstage
    files: [app-config.yaml, .env]
  register: backstage
"""

RETURN = r"""
ready:
  description: Whether it is ready; null in check mode, and where it is outdated.
  returned: always
  type: bool
  sample: true
seconds:
  description: How long the wait took.
  returned: always
  type: float
  sample: 4.9
outdated:
  description: Those of O(files) that were written after O(service) began to run.
  returned: success
  type: list
  elements: str
  sample: [/opt/backstage/.env]
reason:
  description: Why it is not ready, from the log of O(service).
  returned: on failure
  type: str
  sample: "Failed to connect to the database to make sure that 'backstage_plugin_catalog' exists, error: ..."
log:
  description: The end of that log.
  returned: on failure
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import readiness


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:7007/.backstage/health/v1/readiness"},
            "timeout": {"type": "int", "default": 120},
            "service": {"type": "str"},
            "files": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "path"},
        },
        supports_check_mode=True,
    )
    url, service = module.params["url"], module.params["service"]
    if not url.startswith(("http://", "https://")):
        module.fail_json(msg=f"url is {url!r}; give one that begins with http:// or https://.")
    if module.params["files"] and not service:
        module.fail_json(msg="files are given and service is not; give the unit whose start they are compared with.")
    files = [os.path.join(module.params["directory"] or "", name) for name in module.params["files"]]
    outdated = readiness.Unit(service).outdated(files) if files else []
    if module.check_mode or outdated:
        module.exit_json(ready=None, seconds=0.0, outdated=outdated)
    outcome = readiness.wait(url, module.params["timeout"], service)
    result = {"ready": outcome.ready, "seconds": round(outcome.seconds, 1)}
    if not outcome.ready:
        why = f" {service} says: {outcome.reason}" if outcome.reason else ""
        module.fail_json(
            msg=f"Backstage is not ready after {outcome.seconds:.0f} s; {url} answers: {outcome.answer}.{why}",
            reason=outcome.reason,
            log=outcome.log,
            **result,
        )
    module.exit_json(outdated=[], **result)


if __name__ == "__main__":
    main()
