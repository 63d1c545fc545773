# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option `environment` of the modules that read an app's configuration as its process does.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._files import secret_names

ARGUMENT_SPEC: dict[str, Any] = {"type": "dict", "default": {}, "no_log": True}

_WORD = re.compile(r"[A-Za-z0-9./_-]{0,16}")


def take(module: Any) -> dict[str, str]:
    """Return the variables, and have Ansible mask no more and no less than the secrets among them.

    Common words, such as `production` and `1`, may stand in any result and are shown there. But a name does not tell
    for sure that a value is no secret, so all of the values leave the record of how the module was called.

    Args:
        module: an AnsibleModule whose option has `ARGUMENT_SPEC`; its `params` lose the values.
    """
    given = {name: str(value) for name, value in module.params["environment"].items()}
    secret = {
        value for name, value in given.items() if secret_names.is_secret_variable(name) or not _WORD.fullmatch(value)
    }
    secret |= {module.params.get("password"), module.params.get("login_password")}
    module.no_log_values -= set(given.values()) - secret
    module.params["environment"] = dict.fromkeys(given, "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
    return given
