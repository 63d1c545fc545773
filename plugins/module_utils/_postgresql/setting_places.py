# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories, files and groups that settings name: a server does not start, or load its files, without them.

`postgres -C` does not look at them, so that a restart would find out.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster

_CERTIFICATES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file", "ssl_dh_params_file")
PLACES = {"unix_socket_directories", "log_directory", *_CERTIFICATES, "unix_socket_group"}
# The operating system creates it before each start of a server.
_CREATED_AT_START = ("/run/postgresql", "/var/run/postgresql")


def check_places(cluster: Cluster, settings: Mapping[str, str], *, ssl: bool, collector: bool) -> None:
    """Reject what is missing, or closed to the server.

    Args:
        cluster: whose server.
        settings: what our file is to say.
        ssl: whether the server uses its certificate.
        collector: whether the server writes its log files itself.

    Raises:
        CollectionError: naming the setting and the path.
    """
    for item in settings.get("unix_socket_directories", "").split(","):
        directory = item.strip().strip('"')
        if directory and not directory.startswith("@") and os.path.normpath(directory) not in _CREATED_AT_START:
            _check_directory(cluster, "unix_socket_directories", directory)
    if collector and settings.get("log_directory"):
        directory = os.path.join(cluster.data_directory, settings["log_directory"])
        # The server creates the directory itself, but none above it.
        _check_directory(cluster, "log_directory", directory if os.path.lexists(directory) else _above(directory))
    for name in _CERTIFICATES if ssl else ():
        if settings.get(name):
            path = os.path.join(cluster.data_directory, settings[name])
            _check_access(cluster, name, path, os.R_OK, "read")
    group = settings.get("unix_socket_group")
    if group and not group.isdecimal():
        try:
            grp.getgrnam(group)
        except KeyError:
            raise CollectionError(
                f'O(settings): unix_socket_group = "{group}": this host has no such group.',
                "Create it, or correct the name.",
            ) from None


def _above(path: str) -> str:
    return os.path.dirname(os.path.normpath(path))


def _check_directory(cluster: Cluster, name: str, path: str) -> None:
    if not os.path.isdir(path):
        raise CollectionError(f"O(settings): {name} needs the directory {path}, which is missing.", _create(cluster))
    _check_access(cluster, name, path, os.W_OK | os.X_OK, "write to")


def _check_access(cluster: Cluster, name: str, path: str, mode: int, what: str) -> None:
    with acting_as(ids_of(cluster.uid)):
        allowed = os.access(path, mode, effective_ids=True)
    if not allowed:
        raise CollectionError(
            f"O(settings): {name} names {path}, which is missing, or which {cluster.owner} may not {what}.",
            _create(cluster),
        )


def _create(cluster: Cluster) -> str:
    return f"Create it for {cluster.owner}, or correct the path."
