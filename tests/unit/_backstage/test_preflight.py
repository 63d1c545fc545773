# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import preflight
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram

VERIFIER = str(scram.make("secret"))


@pytest.mark.parametrize("version", ["", "14", "17", "18"])
def test_a_version_that_backstage_supports_passes(version):
    assert not list(preflight.version_problems(version))


@pytest.mark.parametrize("version", ["13", "9.6", "19", "17.2", "seventeen", "\uff11\uff17"])
def test_another_version_is_refused(version):
    (sentence,) = preflight.version_problems(version)
    assert sentence.startswith(f"backstage_postgresql_version is {version}") or repr(version) in sentence


@pytest.mark.parametrize("port", [5432, "5432", 1, 65535, None])
def test_a_port_passes(port):
    assert not list(preflight.connection_problems("p", "db", port, "postgres"))


@pytest.mark.parametrize("port", ["abc", 0, 65536, -1, "5432x", "٥٤٣٢", 5432.5])
def test_what_is_no_port_is_refused(port):
    (sentence,) = preflight.connection_problems("p", "db", port, "postgres")
    assert sentence.startswith(f"p_port is {port!r}:")


def test_a_port_that_nobody_told():
    (sentence,) = preflight.connection_problems("p", "db", "", "postgres")
    assert sentence.startswith("p_port is empty: the database's host had no part in this run")


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_host_is_refused(host):
    (sentence,) = preflight.connection_problems("p", host, 5432, "postgres")
    assert "backstage_postgresql_host" in sentence


@pytest.mark.parametrize("user", ["", "a\0b", "x" * 64, "ü" * 32])
def test_a_user_that_postgresql_cannot_have_is_refused(user):
    (sentence,) = preflight.connection_problems("p", None, None, user)
    assert sentence.startswith("p_user ")


def test_app_hosts_need_more_than_loopback():
    (sentence,) = preflight.reach_problems(["localhost", "::1"], ["app1", "app2"])
    assert sentence.startswith("app1, app2 cannot reach")
    assert not list(preflight.reach_problems(["localhost", "10.0.0.5"], ["app1"]))
    assert not list(preflight.reach_problems(["localhost"], []))
    assert not list(preflight.reach_problems(None, ["app1"]))
    (sentence,) = preflight.reach_problems(["127.0.0.1"], ["app1"], container=True)
    assert "backstage_postgresql_container_bind_address" in sentence


def _inventory(this, own=(), **hosts):
    """The variables of a database host: two servers, an app with a server of its own, and two apps without."""
    groups = {"backstage_database": ["db", "db2", "both"], "backstage": ["both", "app1", "app2"]}
    hostvars = {name: hosts.get(name, {}) for name in ("db", "db2", "both", "app1", "app2")}
    return {"inventory_hostname": this, "groups": groups, "hostvars": hostvars, **dict.fromkeys(own, "10.0.0.9")}


@pytest.mark.parametrize(
    ("inventory", "remote"),
    [
        (_inventory("db"), ["app1", "app2"]),
        (_inventory("db2"), []),
        (_inventory("both"), []),
        (_inventory("db", own=["backstage_postgresql_host"]), []),
        (_inventory("db", app1={"backstage_app_config_host": "10.0.0.9"}), ["app2"]),
        (_inventory("db", app2={"backstage_postgresql_host": "10.0.0.9"}), ["app1"]),
        ({"inventory_hostname": "db", "groups": {}, "hostvars": {"db": {}}}, []),
    ],
)
def test_the_apps_that_are_to_reach_a_server_from_elsewhere(inventory, remote):
    assert preflight.remote_hosts(inventory) == remote


@pytest.mark.parametrize("credentials", [None, "env", "literal", "file"])
@pytest.mark.parametrize("password", [None, "", "a\0b"])
def test_no_password_is_refused_on_every_side(password, credentials):
    (sentence,) = preflight.password_problems("p", password, credentials)
    assert sentence.startswith("p_password")


@pytest.mark.parametrize("credentials", [None, "env", "literal", "file"])
def test_a_password_passes_and_is_never_said(credentials):
    assert not list(preflight.password_problems("p", "correct horse", credentials))


def test_a_password_that_trimming_would_change_is_refused_for_variables_only():
    (sentence,) = preflight.password_problems("p", " hunter2", "env")
    assert "hunter2" not in sentence
    assert not list(preflight.password_problems("p", " hunter2", None))
    assert not list(preflight.password_problems("p", " hunter2", "literal"))


def test_a_verifier_is_for_the_server_alone():
    assert not list(preflight.password_problems("p", VERIFIER, None))
    (sentence,) = preflight.password_problems("p", VERIFIER, "env")
    assert VERIFIER not in sentence
    (sentence,) = preflight.password_problems("p", "SCRAM-SHA-256$4096:xx", None)
    assert sentence.startswith("p_password: ")


def test_a_password_that_the_driver_of_backstage_reads_differently_is_refused():
    (sentence,) = preflight.password_problems("p", "\u2168\U0001f600", "env")
    assert "SASLprep" in sentence
    assert not list(preflight.password_problems("p", "\u2168\U0001f600", None))


def test_what_the_env_file_cannot_hold_is_refused_without_the_value():
    assert not list(preflight.variable_problems("p", {"PASSWORD": "it's", "PORT": 5432}, "dotenv"))
    (sentence,) = preflight.variable_problems("p", {"PASSWORD": "hunter\n\"'`2"}, "dotenv")
    assert sentence.startswith("p_env_file: ")
    assert "PASSWORD" in sentence
    assert "hunter" not in sentence


@pytest.mark.parametrize("iterations", [None, 1, 4096, 100000])
def test_an_iteration_count_passes(iterations):
    assert not list(preflight.iterations_problems(iterations))


@pytest.mark.parametrize("iterations", [0, -1, 100001])
def test_an_iteration_count_that_the_driver_of_backstage_refuses_is_refused(iterations):
    (sentence,) = preflight.iterations_problems(iterations)
    assert sentence.startswith(f"backstage_postgresql_iterations is {iterations}:")


def test_addresses_that_nobody_gave():
    assert preflight.default_addresses(frozenset()) == ["localhost"]
    assert preflight.default_addresses(frozenset({17})) is None
    assert not list(preflight.reach_problems(None, ["app"]))
    (sentence,) = preflight.reach_problems(preflight.default_addresses([]), ["app"])
    assert "app cannot reach a server that listens on localhost only" in sentence


def test_a_repository_host_has_to_be_in_the_inventory():
    name = "backstage_postgresql_backup_repository_host"
    assert not list(preflight.backup_host_problems({name: "vault"}, {"db": {}, "vault": {}}))
    assert not list(preflight.backup_host_problems({name: ""}, {"db": {}}))
    assert not list(preflight.backup_host_problems({}, {"db": {}}))
    (sentence,) = preflight.backup_host_problems({name: "vualt"}, {"db": {}, "vault": {}})
    assert sentence.startswith(f"{name}: vualt is not a host of the inventory. ")
