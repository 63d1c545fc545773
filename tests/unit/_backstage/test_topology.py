# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.filter.topology import FilterModule
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import topology

FACT = {"host": "127.0.0.1", "port": 5433, "user": "backstage"}


def inventory(databases=(), apps=(), **variables):
    """`groups` and `hostvars` as Ansible has them; `variables` are those of each host that has any."""
    groups = {"all": [], "backstage_database": list(databases), "backstage": list(apps)}
    names = [*databases, *apps, *variables]
    return groups, {name: {"inventory_hostname": name, **variables.get(name, {})} for name in names}


@pytest.mark.parametrize(
    ("inventory_", "expected"),
    [
        (inventory(apps=["a"]), ""),
        (inventory(["d"], ["a"]), "d"),
        (inventory(["d", "e"], ["a"]), "d"),
        (inventory(["d", "a"], ["a"]), "a"),
        # The address of a database host, or its name, decides.
        (inventory(["d", "e"], ["a"], a={"backstage_postgresql_host": "e"}), "e"),
        (
            inventory(["d", "e"], ["a"], a={"backstage_postgresql_host": "10.0.0.2"}, e={"ansible_host": "10.0.0.2"}),
            "e",
        ),
        (
            inventory(["d", "e"], ["a"], a={"backstage_app_config_host": "e", "backstage_postgresql_host": "d"}),
            "e",
        ),
        (inventory(["d", "a"], ["a"], a={"backstage_app_config_host": "d"}), "d"),
        # Another address may be another name of the same host, or a proxy before it.
        (inventory(["d", "e"], ["a"], a={"backstage_postgresql_host": "vip"}), "d"),
        (inventory(["d", "a"], ["a"], a={"backstage_postgresql_host": ""}), "a"),
        (({"backstage": ["a"]}, {"a": {}}), ""),
    ],
)
def test_the_database_host_of_an_app_host(inventory_, expected):
    assert topology.database_host("a", *inventory_) == expected


def test_the_app_hosts_of_a_database_host():
    groups, hostvars = inventory(["d", "e"], ["e", "a", "b"], b={"backstage_postgresql_host": "e"})
    assert topology.app_hosts("d", groups, hostvars) == ["a"]
    assert topology.app_hosts("e", groups, hostvars) == ["e", "b"]
    assert topology.app_hosts("d", {"backstage_database": ["d"]}, hostvars) == []


def test_every_app_host_uses_one_database_host():
    groups, hostvars = inventory(["d", "e", "f"], ["e", "a", "b", "c"], b={"backstage_postgresql_host": "f"})
    used = [app for server in groups["backstage_database"] for app in topology.app_hosts(server, groups, hostvars)]
    assert sorted(used) == sorted(groups["backstage"])


def test_app_hosts_that_need_the_network():
    groups, hostvars = inventory(["d"], ["d", "a", "b", "c"], b={"backstage_postgresql_host": "proxy"})
    assert topology.remote_app_hosts("d", groups, hostvars) == ["a", "c"]
    hostvars["d"]["ansible_host"] = hostvars["c"]["backstage_app_config_host"] = "10.0.0.1"
    assert topology.remote_app_hosts("d", groups, hostvars) == ["a", "c"]


@pytest.mark.parametrize(
    ("databases", "variables", "expected"),
    [
        (["d", "e"], {}, ["d", "e"]),
        (["d"], {}, []),
        (["d", "a"], {}, []),
        (["d", "e"], {"backstage_postgresql_host": "vip"}, []),
    ],
)
def test_two_database_hosts_for_one_app(databases, variables, expected):
    assert topology.ambiguous("a", *inventory(databases, ["a"], a=variables)) == expected


@pytest.mark.parametrize(
    ("inventory_", "expected"),
    [
        # Nothing is known of a database elsewhere but PostgreSQL's own port.
        (inventory(apps=["a"]), ("", 5432, "postgres", True)),
        # A provider's role ran on the app host, in a play of somebody else's.
        (inventory(apps=["a"], a={"backstage_database_connection": FACT}), ("127.0.0.1", 5433, "backstage", True)),
        (
            inventory(apps=["a"], a={"backstage_database_connection": {**FACT, "host": "10.0.0.5"}}),
            ("10.0.0.5", 5433, "backstage", True),
        ),
        (inventory(["a"], ["a"]), ("127.0.0.1", 5432, "postgres", False)),
        (inventory(["d"], ["a"], a={"backstage_app_config_port": 5432}), ("d", 5432, "postgres", True)),
        (inventory(["d"], ["a"], d={"ansible_host": "10.0.0.5"}), ("10.0.0.5", 5432, "postgres", False)),
        (inventory(["d"], ["a"], d={"backstage_database_connection": FACT}), ("d", 5433, "backstage", True)),
    ],
)
def test_the_connection_of_an_app_host(inventory_, expected):
    found = topology.connection("a", *inventory_)
    assert tuple(found[name] for name in ("host", "port", "user", "known")) == expected


def test_the_certificate_of_the_provider():
    groups, hostvars = inventory(["d"], ["a"], d={"backstage_database_connection": {**FACT, "ca": "/etc/ca.pem"}})
    assert topology.connection("a", groups, hostvars)["ca"] == "/etc/ca.pem"


def test_a_server_with_tls_is_known_before_its_role_ran():
    assert topology.connection("a", *inventory(["d"], ["a"], d={"backstage_postgresql_tls": "yes"}))["tls"] is True
    assert topology.connection("a", *inventory(["d"], ["a"], d={"backstage_postgresql_tls": False}))["tls"] is False
    # Of a database outside the inventory nothing is known.
    assert topology.connection("a", *inventory(apps=["a"], a={"backstage_postgresql_tls": True}))["tls"] is False
    fact = {"backstage_database_connection": {**FACT, "ca": "PEM"}}
    assert topology.connection("a", *inventory(["d"], ["a"], d=fact))["tls"] is True


def test_the_names_of_a_server_are_those_that_its_app_hosts_use():
    groups, hostvars = inventory(
        ["d", "e"],
        ["a", "b", "c", "s"],
        a={"backstage_app_config_host": "10.0.0.5"},
        b={"backstage_postgresql_host": "e"},
        s={"backstage_postgresql_host": "/run/postgresql"},
        d={"ansible_host": "d.example.com"},
    )
    loopback = ["localhost", "127.0.0.1", "::1"]
    assert topology.server_names("d", groups, hostvars) == ["d", "d.example.com", "10.0.0.5", *loopback]
    assert topology.server_names("e", groups, hostvars) == ["e", *loopback]


def test_app_hosts_that_were_not_seen_to_encrypt():
    groups, hostvars = inventory(["d"], ["a", "b", "c", "e"])
    hostvars["a"]["backstage_app_config_check"] = {"tls": True}
    hostvars["b"]["backstage_app_config_check"] = {"tls": False}
    hostvars["c"]["backstage_app_config_check"] = {"skipped": True}
    assert topology.unencrypted_apps("d", groups, hostvars) == ["b", "c", "e"]
    assert topology.unencrypted_apps("d", *inventory(["d"])) == []


def test_app_hosts_that_need_a_client_certificate():
    demanded = {"backstage_postgresql_tls": True, "backstage_postgresql_tls_client_certificates": "yes"}
    given = {"backstage_postgresql_tls_client_certificate": "PEM", "backstage_postgresql_tls_client_private_key": "KEY"}
    groups, hostvars = inventory(["d"], ["a", "b"], d=demanded, a=given)
    assert topology.client_certificates("d", groups, hostvars) == [
        {"host": "a", "certificate": "PEM", "private_key": "KEY"},
        {"host": "b", "certificate": "", "private_key": ""},
    ]
    assert topology.client_certificates("d", *inventory(["d"], ["a"])) == []
    assert topology.connection("a", groups, hostvars)["client_certificate"] is True
    # Without TLS, and outside the inventory, there is none.
    plain = inventory(["d"], ["a"], d={**demanded, "backstage_postgresql_tls": False})
    assert topology.connection("a", *plain)["client_certificate"] is False
    assert topology.connection("a", *inventory(apps=["a"], a=demanded))["client_certificate"] is False
    hostvars["a"]["backstage_app_config_check"] = {"tls": True, "client_certificate": True}
    hostvars["b"]["backstage_app_config_check"] = {"tls": True, "client_certificate": False}
    assert topology.unencrypted_apps("d", groups, hostvars) == ["b"]


HA = {"backstage_postgresql_ha": True, "backstage_postgresql_user": "backstage"}


@pytest.mark.parametrize(
    ("inventory_", "expected"),
    [
        (inventory(["d", "e", "f"], ["a"], a=HA), ("127.0.0.1", 5432, "backstage", True)),
        (inventory(["a", "e", "f"], ["a"], a=HA), ("127.0.0.1", 5000, "backstage", True)),
        (
            inventory(["d", "e", "f"], ["a"], a={**HA, "backstage_postgresql_proxy_port": 6000}),
            ("127.0.0.1", 6000, "backstage", True),
        ),
    ],
)
def test_the_proxy_of_a_patroni_cluster(inventory_, expected):
    found = topology.connection("a", *inventory_)
    assert tuple(found[name] for name in ("host", "port", "user", "known")) == expected
    assert topology.ambiguous("a", *inventory_) == []


def test_the_app_hosts_of_a_patroni_cluster_reach_it_through_their_proxy():
    assert topology.remote_app_hosts("d", *inventory(["d", "e", "f"], ["a"], d=HA)) == []


def test_the_app_hosts_of_a_patroni_cluster_use_every_member():
    groups, hostvars = inventory(["d", "e", "f"], ["a", "b"], a=HA, b=HA)
    assert [topology.app_hosts(server, groups, hostvars) for server in "def"] == [["a", "b"]] * 3
    assert topology.app_hosts("x", groups, hostvars) == []


def test_a_host_is_looked_up_once():
    """Ansible assembles all variables of a host at each access, so two hundred app hosts would cost a second."""

    class HostVars(dict):
        def __getitem__(self, host):
            accesses.append(host)
            return super().__getitem__(host)

    accesses = []
    groups, hostvars = inventory(["d", "e"], [f"app{number}" for number in range(200)], d={"ansible_host": "10.0.0.1"})
    found = FilterModule().filters()["database_app_hosts"]("d", groups=groups, hostvars=HostVars(hostvars))
    assert found == groups["backstage"]
    assert len(accesses) == len(set(accesses))
