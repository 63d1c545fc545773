# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a module with a result that Ansible does not change.

Private to this collection: its interface may change in any release.

Ansible replaces every string of a result that has a secret option's value in it, also where that value is a part of a
database user's name or the digits of a port, and also `True`. A later task then goes on with another value.
"""

from __future__ import annotations

from typing import Any


def exit_unmasked(module: Any, **result: Any) -> None:
    """Leave the module as `exit_json` does, and show of the call itself what is no secret.

    Args:
        module: an AnsibleModule.
        result: must hold no secret.
    """
    shown = {
        name: "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" if option.get("no_log") else module.params.get(name)
        for name, option in module.argument_spec.items()
    }
    module.no_log_values.clear()
    module.exit_json(invocation={"module_args": shown}, **result)
