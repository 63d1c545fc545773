# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import role_options, variables
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.variable_rules import RULES
from ansible_collections.devportal.backstage.tests.unit._backstage.wrong_values import RIGHT, WRONG

OPTIONS = role_options.of_all_roles()
SENTENCE = re.compile(r"[\w*]+(, (item|key) \S+)*: [^\n]+\. [A-Z][^\n]+[.?]", re.S)


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


def test_the_table_is_large_enough():
    assert len(cases(WRONG)) >= 380


def test_every_variable_of_every_role_is_in_the_table():
    # A key is a text of many lines, which apt or dnf reads.
    assert OPTIONS.keys() - WRONG.keys() <= {"backstage_postgresql_repository_key"}


@pytest.mark.parametrize(("name", "value"), cases(WRONG))
def test_a_wrong_value_gets_a_sentence(name, value):
    problems = variables.problems({name: value}, OPTIONS)
    assert problems, f"{name}: {value!r} passes"
    for problem in problems:
        assert problem.startswith(name)
        assert SENTENCE.fullmatch(problem), problem


@pytest.mark.parametrize(("name", "value"), cases(RIGHT))
def test_a_right_value_passes(name, value):
    assert variables.problems({name: value}, OPTIONS) == []


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_default_of_a_variable_is_right(name):
    if "default" in OPTIONS[name]:
        assert variables.problems({name: OPTIONS[name]["default"]}, OPTIONS) == []


def test_a_secret_is_never_in_a_sentence():
    for secret in ("geheim\n", {"geheim": "geheim"}, ["geheim"], "SCRAM-SHA-256$geheim"):
        for problem in variables.problems({"backstage_postgresql_password": secret}, OPTIONS):
            assert "geheim" not in problem


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("backstage_app_config_pasword", "backstage_app_config_password"),
        ("backstage_app_config_values", "backstage_app_config_credentials"),
        ("backstage_postgresql_listen_adresses", "backstage_postgresql_listen_addresses"),
        ("backstage_database_providers", "backstage_database_provider"),
        ("backstage_postgresql_container_port", "backstage_postgresql_port"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(name, nearest):
    (problem,) = variables.problems({name: "x"}, OPTIONS)
    assert re.search(rf"\b{nearest}\b", problem.removeprefix(name))


def test_values_that_do_not_go_together():
    (problem,) = variables.problems({"backstage_postgresql_user": "a", "backstage_postgresql_owner": "a"}, OPTIONS)
    assert problem.startswith("backstage_postgresql_owner: ")
    names = {"backstage_app_config_host_variable": "A", "backstage_app_config_user_variable": "A"}
    (problem,) = variables.problems(names, OPTIONS)
    assert "A is there twice" in problem


def test_every_rule_is_for_a_variable():
    assert RULES.keys() - OPTIONS.keys() - variables.SHARED.keys() <= {
        name for name in RULES if name.startswith("backstage_service_readiness_")
    }


def test_names_that_are_not_the_collections():
    assert "backstage_service_" in variables.prefixes(role_options.by_role())
    assert not "backstage_app_dir".startswith(variables.prefixes(role_options.by_role()))


def test_a_backup_needs_a_server_of_packages():
    values = {"backstage_postgresql_backup": True}
    for more in ({}, {"backstage_postgresql_ha": True}):
        assert variables.problems({**values, **more}, OPTIONS) == []
    (problem,) = variables.problems({**values, "backstage_database_provider": "container"}, OPTIONS)
    assert problem.startswith("backstage_postgresql_backup: is not supported with ")
    assert variables.problems({"backstage_database_provider": "external"}, OPTIONS) == []


def test_client_certificates_need_tls_and_a_server_of_their_own():
    name = "backstage_postgresql_tls_client_certificates"
    values = {name: True, "backstage_postgresql_tls": True}
    assert variables.problems(values, OPTIONS) == []
    (problem,) = variables.problems({name: True}, OPTIONS)
    assert problem.startswith(f"{name}: client certificates need TLS.")
    (problem,) = variables.problems({**values, "backstage_postgresql_ha": True}, OPTIONS)
    assert problem == f"{name}: is not supported with backstage_postgresql_ha. Set it to false."


def test_the_user_of_the_monitoring_has_a_password_and_a_name_of_its_own():
    values = {"backstage_postgresql_monitor_user": "exporter", "backstage_postgresql_user": "backstage"}
    (problem,) = variables.problems(values, OPTIONS)
    assert problem.startswith("backstage_postgresql_monitor_user: has no password.")
    values["backstage_postgresql_monitor_password"] = "secret"
    assert variables.problems(values, OPTIONS) == []
    (problem,) = variables.problems({**values, "backstage_postgresql_monitor_user": "backstage"}, OPTIONS)
    assert problem.startswith("backstage_postgresql_monitor_user: ")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"backstage_database_provider": "container"}, "backstage_postgresql_tls: the database of"),
        ({"backstage_database_provider": "external"}, "backstage_postgresql_tls: the database of"),
        ({"backstage_postgresql_settings": {"SSL": False}}, "backstage_postgresql_settings: ssl is set by"),
        ({"backstage_postgresql_settings": {"ssl_cert_file": "/x"}}, "ssl_cert_file is set by"),
    ],
)
def test_what_contradicts_tls(given, sentence):
    (found,) = variables.problems({"backstage_postgresql_tls": "yes", **given}, OPTIONS)
    assert sentence in found
    assert variables.problems({"backstage_postgresql_tls": False, **given}, OPTIONS) == []
