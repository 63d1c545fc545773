# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which app host uses which database host, for the roles and the playbooks."""

from __future__ import annotations

from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import topology


class FilterModule:
    """The filters that the .yml files of this directory document."""

    def filters(self) -> dict[str, Any]:
        return {
            "database_connection": topology.connection,
            "database_app_hosts": topology.app_hosts,
            "database_client_certificates": topology.client_certificates,
            "database_proxy_port": topology.proxy_port,
            "database_server_names": topology.server_names,
            "database_unencrypted_apps": topology.unencrypted_apps,
        }
