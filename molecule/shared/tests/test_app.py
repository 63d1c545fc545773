# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every app host has to be, whatever scenario it is in."""

from __future__ import annotations

import difflib
import pathlib

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file

pytestmark = pytest.mark.group("backstage")

BEFORE = pathlib.Path(__file__).parents[1] / "files" / "app-config.yaml"
REMOVED = ["    client: better-sqlite3", "    connection: ':memory:'"]
ADDED = [
    "    client: pg",
    "    connection:",
    "      host: ${POSTGRES_HOST}",
    "      port: ${POSTGRES_PORT}",
    "      user: ${POSTGRES_USER}",
    "      password: ${POSTGRES_PASSWORD}",
]


@pytest.fixture(scope="module")
def directory(wanted):
    if wanted.get("backstage_app_config_credentials", "env") != "env":
        pytest.skip("this scenario has its own test for its kind of values")
    return wanted["backstage_app_config_directory"]


@pytest.fixture(scope="module")
def owner(wanted):
    return wanted.get("container_app_owner", "deploy")


@pytest.fixture(scope="module")
def env_path(wanted, directory):
    return "/etc/backstage/backstage.env" if wanted.get("backstage_service_manage") else f"{directory}/.env"


@pytest.fixture(scope="module")
def variables(host, wanted, env_path):
    text = host.file(env_path).content
    return env_file.read(text, "systemd" if wanted.get("backstage_service_manage") else "dotenv")


def test_only_the_database_block_of_app_config_changed(host, directory, wanted):
    if wanted.get("backstage_app_config_files"):
        pytest.skip("this scenario has its own test for its files")
    after = host.file(f"{directory}/app-config.yaml").content_string
    diff = list(difflib.unified_diff(BEFORE.read_text(encoding="utf-8").splitlines(), after.splitlines(), n=0))[2:]
    assert [line[1:] for line in diff if line.startswith("-")] == REMOVED
    assert [line[1:] for line in diff if line.startswith("+")] == ADDED


def test_app_config_keeps_its_owner_and_mode(host, directory, owner):
    file = host.file(f"{directory}/app-config.yaml")
    assert (file.user, file.group, file.mode) == (owner, owner, 0o644 if owner == "root" else 0o640)


def test_only_its_reader_may_read_the_env_file(host, env_path, wanted, owner):
    reader = "root" if wanted.get("backstage_service_manage") else owner
    file = host.file(env_path)
    assert (file.user, file.group, file.mode) == (reader, reader, 0o600)


def test_the_env_file_has_the_connection(variables, wanted, hosts):
    servers = [each for _host, each in hosts.values() if "backstage_database" in each["groups"]]
    assert variables == {
        "POSTGRES_HOST": "127.0.0.1" if wanted in servers else servers[0]["ansible_host"],
        "POSTGRES_PORT": str(wanted.get("backstage_postgresql_port", 5432)),
        "POSTGRES_USER": wanted.get("backstage_postgresql_user", "postgres"),
        "POSTGRES_PASSWORD": wanted["backstage_postgresql_password"],
    }


def test_the_files_log_in(sql, variables):
    login = {key: variables["POSTGRES_" + key.upper()] for key in ("host", "port", "user", "password")}
    assert sql("SELECT current_user", **login) == [login["user"]]


def test_nothing_else_was_left_in_the_directory(host, directory, wanted):
    found = host.check_output("find %s -mindepth 1 -maxdepth 1 -printf '%%P\\n'", directory)
    env = [] if wanted.get("backstage_service_manage") else [".env"]
    assert sorted(found.split()) == sorted([*env, "app-config.yaml", *wanted.get("container_app_files", [])])
