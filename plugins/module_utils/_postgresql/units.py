# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting's number and its unit, as SHOW shows them.

Source: convert_int_from_base_unit and convert_real_from_base_unit in PostgreSQL's guc.c.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import re

_BYTES = {"TB": 1024**4, "GB": 1024**3, "MB": 1024**2, "kB": 1024, "B": 1}
_MICROSECONDS = {
    "d": 86_400_000_000, "h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1
}  # fmt: skip
_NEARLY = 1e-8


def shown(value: str, unit: str | None, like: str | None = None) -> str:
    """The value as SHOW shows it, such as 4MB for 4096 with the unit kB.

    Args:
        value: as pg_settings.setting and `postgres -C` have it.
        unit: as pg_settings.unit has it, such as 8kB; None for none.
        like: another value of the setting, as SHOW shows it; permissions are octal.
    """
    if re.fullmatch(r"0[0-7]{3}", like or "") and value.isdecimal():
        return f"{int(value):04o}"
    found = re.fullmatch(r"(\d*)([A-Za-z]+)", unit or "")
    number = None
    with contextlib.suppress(ValueError):
        number = float(value)
    if not found or number is None or number <= 0:
        return value
    factors = _BYTES if found[2] in _BYTES else _MICROSECONDS
    if found[2] not in factors:
        return value
    total = number * int(found[1] or 1) * factors[found[2]]
    for name, factor in factors.items():
        amount = total / factor
        if abs(round(amount) / amount - 1) <= _NEARLY:
            return f"{round(amount)}{name}"
    return value + (unit or "")
