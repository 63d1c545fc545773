# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which app host uses which database host, and by which address, port and user.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT

APPS = "backstage"
DATABASES = "backstage_database"
FACT = "backstage_database_connection"
CHECK = "backstage_app_config_check"  # what the verification of an app host registers
DEFAULT_USER = "postgres"

_LOOPBACK = "127.0.0.1"
# Variables of an app host that name its database, the most specific first.
_ADDRESSES = ("backstage_app_config_host", "backstage_postgresql_host")
_PORTS = ("backstage_app_config_port", "backstage_postgresql_port")

# With a Patroni cluster, HAProxy on the app host leads to whichever member is the leader.
_CLUSTER = "backstage_postgresql_ha"
_TLS = "backstage_postgresql_tls"
_CLIENTS = "backstage_postgresql_tls_client_certificates"
_GIVEN = {name: f"backstage_postgresql_tls_client_{name}" for name in ("certificate", "private_key")}
_PROXY_PORT = "backstage_postgresql_proxy_port"
PROXY_PORT_BESIDE_SERVER = 5000  # where the app host is a member as well, whose server has the usual port

Groups = Mapping[str, Sequence[str]]
HostVars = Mapping[str, Mapping[str, Any]]


class ResolvedOnce(dict[str, Mapping[str, Any]]):
    """The variables of the hosts, each host's looked up once: Ansible assembles them anew for each access."""

    def __init__(self, hostvars: HostVars) -> None:
        super().__init__()
        self._hostvars = hostvars

    def __missing__(self, host: str) -> Mapping[str, Any]:
        self[host] = self._hostvars[host]
        return self[host]


def given_address(app: str, hostvars: HostVars) -> str:
    """The address of the database that the variables of an app host give; empty where none does."""
    variables = hostvars[app]
    return next((str(variables[name]) for name in _ADDRESSES if variables.get(name)), "")


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1")


def _has_proxy(app: str, hostvars: HostVars) -> bool:
    return _is_true(hostvars[app].get(_CLUSTER, ""))


def proxy_port(app: str, groups: Groups, hostvars: HostVars) -> int:
    """The port of the proxy on an app host of a Patroni cluster."""
    given = hostvars[app].get(_PROXY_PORT)
    return int(given) if given else PROXY_PORT_BESIDE_SERVER if app in (groups.get(DATABASES) or []) else DEFAULT_PORT


def database_host(app: str, groups: Groups, hostvars: HostVars) -> str:
    """The inventory name of the database host that an app host uses, empty where the inventory has none.

    It is the one that the app host's variables name, by its inventory name or its `ansible_host`. Without such a name
    it is the app host itself where that is a database host, and else the first database host.
    """
    servers = groups.get(DATABASES) or []
    address = given_address(app, hostvars)
    for server in servers:
        if address and address in (server, hostvars[server].get("ansible_host")):
            return server
    if app in servers:
        return app
    return servers[0] if servers else ""


def app_hosts(server: str, groups: Groups, hostvars: HostVars) -> list[str]:
    """The app hosts that use a database host, in the inventory's order; those with a proxy use every member."""
    servers = groups.get(DATABASES) or []
    return [
        app
        for app in groups.get(APPS) or []
        if database_host(app, groups, hostvars) == server or (_has_proxy(app, hostvars) and server in servers)
    ]


def remote_app_hosts(server: str, groups: Groups, hostvars: HostVars) -> list[str]:
    """The app hosts that have to reach the server of a database host from elsewhere, by the address of this host.

    An app host that is given an address which is no database host's may have a proxy, so it is left out.
    """
    if _has_proxy(server, hostvars):
        return []
    names = (server, hostvars[server].get("ansible_host"))
    return [
        app
        for app in app_hosts(server, groups, hostvars)
        if app != server and given_address(app, hostvars) in ("", *names)
    ]


def ambiguous(app: str, groups: Groups, hostvars: HostVars) -> list[str]:
    """The database hosts of the inventory, where nothing says which of them an app host uses; else none."""
    servers = list(groups.get(DATABASES) or [])
    decided = app in servers or given_address(app, hostvars) or _has_proxy(app, hostvars)
    undecided = len(servers) > 1 and not decided
    return servers if undecided else []


def connection(app: str, groups: Groups, hostvars: HostVars) -> dict[str, Any]:
    """How an app host reaches its database.

    The keys are `host`, `port`, `user`, `known`, `tls`, `client_certificate` and, if the provider set one, `ca`.

    The provider's role sets them on its host, as the fact `backstage_database_connection`. Before that, port and user
    are PostgreSQL's own, and `known` is false unless the app host's variables give the port. `host` is empty for a
    database outside the inventory. `tls` is whether the server has a certificate of this collection, or will have one
    before the app host is configured, and `client_certificate` whether the server demands one of the app host as well.
    """
    server = database_host(app, groups, hostvars)
    # Without a database host in the inventory, a provider's role may have run on this host in the same play.
    fact: Mapping[str, Any] = hostvars[server or app].get(FACT) or {}
    tls = bool(fact.get("ca")) or (bool(server) and _is_true(hostvars[server].get(_TLS, "")))
    if _has_proxy(app, hostvars):
        user = fact.get("user") or hostvars[app].get("backstage_postgresql_user") or DEFAULT_USER
        found = {"host": _LOOPBACK, "port": proxy_port(app, groups, hostvars), "user": user, "known": True, "tls": tls}
        found["client_certificate"] = False
        return {**found, "ca": fact["ca"]} if fact.get("ca") else found
    if server and server != app:
        host = hostvars[server].get("ansible_host") or server
    else:
        host = (fact.get("host") or _LOOPBACK) if server or fact else ""
    found = {
        "host": host,
        "port": fact.get("port") or DEFAULT_PORT,
        "user": fact.get("user") or DEFAULT_USER,
        "known": bool(fact) or not server or any(hostvars[app].get(name) for name in _PORTS),
        "tls": tls,
        "client_certificate": tls and _demands_certificates(server, hostvars),
    }
    return {**found, "ca": fact["ca"]} if fact.get("ca") else found


def server_names(server: str, groups: Groups, hostvars: HostVars) -> list[str]:
    """The names and addresses by which clients reach the server of a database host, the host's own name first."""
    own = hostvars[server].get("ansible_host") or server
    given = [given_address(app, hostvars) for app in app_hosts(server, groups, hostvars)]
    # A path is that of a socket.
    names = [server, str(own), *(name for name in given if name and "/" not in name), "localhost", _LOOPBACK, "::1"]
    return list(dict.fromkeys(names))


def _demands_certificates(server: str, hostvars: HostVars) -> bool:
    return bool(server) and _is_true(hostvars[server].get(_CLIENTS, ""))


def client_certificates(server: str, groups: Groups, hostvars: HostVars) -> list[dict[str, str]]:
    """The app hosts of a database host, with the certificate and the key that the user gives for each; empty if none.

    Without app hosts, or where the server demands no certificates of them, there are none.
    """
    if not _demands_certificates(server, hostvars):
        return []
    return [
        {"host": app, **{key: str(hostvars[app].get(name) or "") for key, name in _GIVEN.items()}}
        for app in app_hosts(server, groups, hostvars)
    ]


def unencrypted_apps(server: str, groups: Groups, hostvars: HostVars) -> list[str]:
    """The app hosts of a database host whose login with their files was not seen in this run to be as is demanded.

    That is with TLS, and where the server demands it, with a client certificate.
    """
    demanded = ["tls"] + ["client_certificate"] * _demands_certificates(server, hostvars)
    checks = {app: hostvars[app].get(CHECK) for app in app_hosts(server, groups, hostvars)}
    return [
        app
        for app, check in checks.items()
        if not (isinstance(check, Mapping) and all(check.get(name) is True for name in demanded))
    ]
