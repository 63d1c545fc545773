# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a Backstage backend listens, by its configuration.

Private to this collection: its interface may change in any release.

Follows packages/backend-defaults/src/entrypoints/rootHttpRouter/http/config.ts of backstage/backstage (1.55). The port
in `backend.baseUrl` is that of the portal's visitors and decides nothing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import (
    MISSING,
    ConfigReader,
    js_string,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

DEFAULT_PORT = 7007
_KEY = "backend.listen"
_REMEDY = "Write PORT, HOST:PORT with a name or an IPv4 address, or a mapping with host and port."


@dataclass(frozen=True)
class ListenAddress:
    """An address to listen on.

    Attributes:
        host: a name or an address; empty means all of the host's.
        port: the TCP port.
    """

    host: str
    port: int


def listen_address(root: ConfigReader) -> ListenAddress:
    """The address of `backend.listen`, or the default.

    Raises:
        CollectionError: Backstage would reject it.
    """
    value = root.optional(_KEY)
    if value is MISSING:
        return ListenAddress("", DEFAULT_PORT)
    if isinstance(value, dict):
        # Read key by key, which fails where an earlier file has a string here.
        host, port = root.optional(f"{_KEY}.host"), root.optional(f"{_KEY}.port")
        if host is not MISSING and not isinstance(host, str):
            raise CollectionError(f"{_KEY}.host is not a string.", "Put it in quotes.")
        return ListenAddress(
            "" if host is MISSING else host, DEFAULT_PORT if port is MISSING else _port(port, f"{_KEY}.port")
        )
    if not isinstance(value, str):
        raise CollectionError(f"{_KEY} is neither a string nor a mapping.", _REMEDY)
    parts = value.split(":")
    digits = re.match(r"\s*([+-]?\d+)", parts[-1], re.ASCII)  # parseInt of ECMA-262
    if not digits or len(parts) > 2:
        raise CollectionError(f"{_KEY}: Backstage cannot read the address {value!r}.", _REMEDY)
    return ListenAddress(parts[0] if len(parts) == 2 else "", _port(int(digits[1]), _KEY))


def _port(value: Any, key: str) -> int:
    number = re.fullmatch(r"\s*(\d+)\s*", js_string(value), re.ASCII)
    if not number or int(number[1]) > 65535:
        raise CollectionError(f"{key}: {js_string(value)!r} is not a TCP port.", "Use a number from 1 to 65535.")
    return int(number[1])
