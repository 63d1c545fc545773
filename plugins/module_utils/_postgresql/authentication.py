# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server has to prove before it gets anything of ours: SCRAM for a password, its OS user on a socket.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

DEFAULT = "scram-sha-256"
# The methods that libpq's require_auth knows, by the code of the server's request (PostgreSQL manual, 55.7).
METHODS = {0: "none", 3: "password", 5: "md5", 7: "gss", 8: "gss", 9: "sspi", 10: "scram-sha-256"}
LIBPQ_WITH_REQUIRE_AUTH = 160000
_VERIFIED_TLS = ("require", "verify-ca", "verify-full")


def methods(require_auth: str) -> frozenset[str] | None:
    """The methods that may be used with a password; None: any.

    Raises:
        CollectionError: an unknown one.
    """
    wanted = frozenset(name.strip() for name in require_auth.split(",") if name.strip())
    unknown = sorted(wanted - set(METHODS.values()))
    if unknown:
        raise CollectionError(
            f"require_auth: unknown method {unknown[0]!r}.",
            f"Use a list of {', '.join(sorted(set(METHODS.values())))}; empty allows all.",
            "option",
        )
    return wanted or None


def settings(wanted: Mapping[str, Any], libpq: int) -> dict[str, Any]:
    """What libpq has to demand of a server over TCP that gets a password."""
    allowed = methods(wanted["require_auth"])
    found = {}
    if allowed is not None and libpq >= LIBPQ_WITH_REQUIRE_AUTH:
        found["require_auth"] = ",".join(sorted(allowed))
    binding = wanted["channel_binding"]
    if binding is None and allowed == frozenset({DEFAULT}) and wanted["ssl_mode"] in _VERIFIED_TLS:
        binding = "require"
    if binding:
        found["channel_binding"] = binding
    return found


def socket_peer(directory: str, port: int, os_user: str | None) -> str | None:
    """The OS user that a server behind a socket has to run as, for libpq's requirepeer; None: libpq cannot check it.

    Believed is a socket of root, of `postgres`, of this process's user, of the OS user that the option names, and of
    the directory's owner unless everybody may create files in the directory.

    Raises:
        CollectionError: the socket belongs to somebody else.
    """
    path = f"{directory}/.s.PGSQL.{port}"
    try:
        place, found = os.stat(directory), os.stat(path)
    except OSError:
        return None  # libpq says what is the matter
    trusted = {0, os.geteuid()}
    if not place.st_mode & stat.S_IWOTH:
        trusted.add(place.st_uid)
    for name in ("postgres", os_user):
        with contextlib.suppress(KeyError, ValueError):
            trusted.add(pwd.getpwnam(name or "postgres").pw_uid)
    owner = found.st_uid
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = ""
    if owner not in trusted:
        raise CollectionError(
            f"The socket {path} belongs to {name or owner}, who is not known to run PostgreSQL.",
            "Set login_unix_socket to the directory of the server's socket, or os_user to the OS user that runs it.",
            "peer",
        )
    return name or None
