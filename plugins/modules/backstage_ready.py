#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backstage_ready
short_description: Wait until a Backstage backend is ready, or report why it is not
version_added: 1.0.0
description:
  - Queries the readiness of the backend from its host until the answer is 200.
  - With O(service), only the ports that the processes of this unit listen on are queried, so that another Backstage on
    the configured port is not mistaken for it. A process that has ended, or whose log reports a failed start, ends the
    wait at once, and the module fails with the reason that the log gives.
  - A backend that could not connect to its database stays alive and never becomes ready, so a running process alone
    does not mean that Backstage works.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
attributes:
  check_mode:
    description: Neither starts nor waits in check mode, where the backend may not exist yet. RV(outdated) is returned.
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: A second run changes nothing, except with O(state=restarted).
    support: partial
options:
  url:
    description:
      - URL that answers 200 when Backstage is ready. Not allowed together with O(service).
      - "Default: the readiness of a backend on port 7007 of this host."
    type: str
  path:
    description: Path of the readiness, queried on the ports of O(service).
    type: str
    default: /.backstage/health/v1/readiness
  timeout:
    description:
      - Maximum number of seconds to wait. When it has passed, the start goes on; only the wait ends.
    type: int
    default: 120
  progress_interval:
    description:
      - Number of seconds after which the last message of the log of O(service) is shown, again and again until the wait
        ends. V(0) shows none.
    type: int
    default: 30
  waited:
    description:
      - Number of seconds that previous calls have waited. They count towards O(timeout) and RV(seconds).
    type: float
    default: 0
  service:
    description: Systemd unit of the backend.
    type: str
  state:
    description:
      - V(ready) only waits.
      - V(started) starts O(service) first if it does not run, and restarts it if one of O(files) is newer.
      - V(restarted) reloads the units of systemd and restarts O(service) first.
      - With C(throttle=1) on the task, several hosts take turns. Two replicas that create their tables at the same time
        fail.
    type: str
    choices: [ready, started, restarted]
    default: ready
  files:
    description:
      - Files that the backend reads when it starts. Missing files do not count.
      - If one of them was written after O(service) was started, Backstage may run with the previous content. With
        O(state=ready), the module then returns RV(outdated) without waiting.
    type: list
    elements: str
    default: []
  directory:
    description: Directory that relative O(files) start from.
    type: path
"""

EXAMPLES = r"""
- name: Wait until Backstage is ready
  devportal.backstage.backstage_ready:
    service: backstage.service

- name: Restart one app host after the other, each ready before the next
  devportal.backstage.backstage_ready:
    service: backstage.service
    state: restarted
  throttle: 1

- name: Report whether Backstage has to be restarted first
  devportal.backstage.backstage_ready:
    service: backstage.service
    directory: /opt/backstage
    files: [app-config.yaml, /etc/backstage/backstage.env]
  register: backstage

- name: Wait for a Backstage that runs in a container
  devportal.backstage.backstage_ready:
    url: http://127.0.0.1:8080/.backstage/health/v1/readiness
"""

RETURN = r"""
ready:
  description: Whether Backstage is ready. Null in check mode and when it is outdated.
  returned: always
  type: bool
  sample: true
seconds:
  description: Duration of the wait.
  returned: always
  type: float
  sample: 4.9
outdated:
  description: Those of O(files) that were written after O(service) was started.
  returned: success
  type: list
  elements: str
  sample: [/etc/backstage/backstage.env]
starting:
  description: Whether the start goes on, so that Backstage may become ready later.
  returned: on failure
  type: bool
  sample: false
reason:
  description: Reason from the log of O(service). While the start goes on, the last message of the log.
  returned: on failure
  type: str
  sample: "Failed to connect to the database to make sure that 'backstage_plugin_catalog' exists, error: ..."
log:
  description: The last lines of that log.
  returned: on failure
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import readiness
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.systemd import Unit
from ansible_collections.devportal.backstage.plugins.module_utils._errors import reported_by

DEFAULT_URL = f"http://127.0.0.1:7007{readiness.PATH}"


def _message(service: str, outcome: readiness.Outcome) -> str:
    message = f"Backstage is not ready after {outcome.seconds:.0f} s (last answer: {outcome.answer})."
    if outcome.reason and outcome.starting:
        message += (
            f" The start goes on; its last message is: {outcome.reason}. "
            f"Follow it with journalctl -fu {service}, or raise backstage_service_readiness_timeout (option timeout)."
        )
    elif outcome.reason:
        message += f" {service} reports: {outcome.reason}"
    return message


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str"},
            "path": {"type": "str", "default": readiness.PATH},
            "timeout": {"type": "int", "default": 120},
            # Read by the action plugin of this name, which divides the wait.
            "progress_interval": {"type": "int", "default": 30},
            "waited": {"type": "float", "default": 0},
            "service": {"type": "str"},
            "state": {"type": "str", "choices": ["ready", "started", "restarted"], "default": "ready"},
            "files": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "path"},
        },
        mutually_exclusive=[("url", "service")],
        required_if=[("state", "started", ["service"]), ("state", "restarted", ["service"])],
        supports_check_mode=True,
    )
    url, path, service = (module.params[name] for name in ("url", "path", "service"))
    if url and not url.startswith(("http://", "https://")):
        module.fail_json(msg=f"url: {url!r} is not a URL. Begin it with http:// or https://.")
    if not path.startswith("/") or not path.isprintable() or " " in path:
        module.fail_json(msg=f'path: {path!r} is not a path of a URL. Begin it with "/".')
    if module.params["timeout"] < 0:
        module.fail_json(msg=f"timeout: {module.params['timeout']} is negative. Use a number of seconds.")
    if module.params["files"] and not service:
        module.fail_json(msg="files: option service is missing. Set it to the unit whose start they are compared with.")
    files = [os.path.join(module.params["directory"] or "", name) for name in module.params["files"]]
    state = module.params["state"]
    outdated = Unit(service).outdated(files) if files else []
    again = state == "restarted" or (state == "started" and bool(outdated))
    changed = again or (state == "started" and not Unit(service).look().is_up)
    if module.check_mode or (outdated and state == "ready"):
        module.exit_json(ready=None, seconds=0.0, outdated=outdated, changed=changed)
    with reported_by(module):
        if changed:
            Unit(service).start(again)
    waited = module.params["waited"]
    timeout = module.params["timeout"] - waited
    if service:
        outcome = readiness.wait_for_service(service, timeout, path)
    else:
        outcome = readiness.wait(url or DEFAULT_URL, timeout)
    outcome.seconds += waited
    result = {"changed": changed, "ready": outcome.ready, "seconds": round(outcome.seconds, 1)}
    if not outcome.ready:
        module.fail_json(
            msg=_message(service or "", outcome),
            starting=outcome.starting,
            reason=outcome.reason,
            log=outcome.log,
            **result,
        )
    module.exit_json(outdated=outdated, **result)


if __name__ == "__main__":
    main()
