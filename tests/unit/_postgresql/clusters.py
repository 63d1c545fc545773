# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster for tests that need one and no server."""

from __future__ import annotations

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster


def make_cluster(version, name="main", port=5432, status="online", start="auto", **changes):
    values = {
        "owner": "postgres",
        "uid": 101,
        "gid": 101,
        "data_directory": f"/var/lib/postgresql/{version}/{name}",
        "config_directory": f"/etc/postgresql/{version}/{name}",
        "socket_directory": "/var/run/postgresql",
        "log_file": "",
        "ident_file": f"/etc/postgresql/{version}/{name}/pg_ident.conf",
        "include_file": f"/etc/postgresql/{version}/{name}/postgresql.conf",
        "settings_directory": f"/etc/postgresql/{version}/{name}/conf.d",
        "binaries": f"/usr/lib/postgresql/{version}/bin",
        "libraries": f"/usr/lib/postgresql/{version}/lib",
        "unit": f"postgresql@{version}-{name}",
        "access_file": f"/etc/postgresql/{version}/{name}/pg_hba.conf",
    }
    return Cluster(version=version, name=name, port=port, status=status, start=start, **{**values, **changes})
