# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of knex's connection pool, as the npm package tarn checks them when a plugin connects (`Pool.js`).

A value from a variable is always a text, and tarn takes whole numbers only.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DEFAULT_MINIMUM, DEFAULT_MAXIMUM = 2, 10  # knex, poolDefaults of lib/client.js
_TIMES = (
    "createRetryIntervalMillis",
    "createTimeoutMillis",
    "destroyTimeoutMillis",
    "idleTimeoutMillis",
    "reapIntervalMillis",
)


def pool_fault(pool: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first setting that keeps a plugin from connecting, and what is wrong with it; None where all are right."""
    least, most = pool.get("min", DEFAULT_MINIMUM), pool.get("max", DEFAULT_MAXIMUM)
    for key, value, lowest in (("min", least, 0), ("max", most, 1)):
        if not _is_whole(value) or value < lowest:
            return key, f"is {_shown(value)}, not a whole number from {lowest} on"
    if least > most:
        own = "" if "min" in pool else ", which is the default"
        return "max", f"is {most}, less than min, {least}{own}"
    for key in _TIMES:
        if key in pool and not (_is_whole(pool[key]) and pool[key] > 0):
            return key, f"is {_shown(pool[key])}, not a whole number of milliseconds"
    return None


def most_connections(pool: Mapping[str, Any]) -> int:
    """How many connections a pool without a fault may open."""
    return int(pool.get("max", DEFAULT_MAXIMUM))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()


def _shown(value: Any) -> str:
    return "a text" if isinstance(value, str) else json.dumps(value, default=str)
