# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documented variables of all roles, on the controller.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

_ROLES = pathlib.Path(__file__).resolve().parents[3] / "roles"


@functools.cache
def by_role() -> Mapping[str, Mapping[str, Any]]:
    """The options of each role's entry point main, by the role's name."""
    # Ansible's own on the control node; a managed host, which never calls this, may lack it.
    import yaml

    # libyaml's loader takes a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for path in sorted(_ROLES.glob("*/meta/argument_specs.yml")):
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["argument_specs"]
        found[path.parents[1].name] = entries["main"].get("options", {})
    return found


@functools.cache
def of_all_roles() -> Mapping[str, Any]:
    """The options of all roles. Where two have one of the same name, they have it alike."""
    return {name: option for options in by_role().values() for name, option in options.items()}
