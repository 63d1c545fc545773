# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which app host uses which database host, for the roles and the playbooks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import topology


def _once(function: Callable[[str, topology.Groups, topology.HostVars], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(host: str, groups: topology.Groups, hostvars: topology.HostVars) -> Any:
        return function(host, groups, topology.ResolvedOnce(hostvars))

    return call


class FilterModule:
    """The filters that the .yml files of this directory document."""

    def filters(self) -> dict[str, Any]:
        return {
            "database_connection": _once(topology.connection),
            "database_app_hosts": _once(topology.app_hosts),
            "database_client_certificates": _once(topology.client_certificates),
            "database_proxy_port": _once(topology.proxy_port),
            "database_server_names": _once(topology.server_names),
            "database_unencrypted_apps": _once(topology.unencrypted_apps),
        }
