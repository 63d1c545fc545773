# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL in a container, by docker run and by docker compose; in the order of this file."""

from __future__ import annotations

import functools
import json
import subprocess

import pytest
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import ask, play
from ansible_collections.devportal.backstage.tests.integration.env_values import written

pytestmark = pytest.mark.group("backstage_database")

PLAYBOOK = "devportal.backstage.site"
NEW_PASSWORD = "the \\next/ one'"


def docker(*command):
    return subprocess.run(["docker", *command], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def container(wanted):
    return wanted["backstage_postgresql_container_name"]


def test_the_server_is_of_the_image(sql):
    assert sql("SHOW server_version_num")[0].startswith("17")


def test_a_wrong_password_is_refused(sql):
    with pytest.raises(AssertionError, match="password authentication failed"):
        sql("SELECT 1", password="not this one")


def test_it_is_published_on_loopback_only(container, wanted):
    published = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", container))
    assert published == {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(wanted["backstage_postgresql_port"])}]}


def test_it_is_restarted_always_and_watched(container):
    found = json.loads(docker("inspect", container))[0]
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["Config"]["Healthcheck"]["Test"][:2] == ["CMD", "pg_isready"]


def test_the_password_is_nowhere_in_the_container(host, container, wanted):
    password = wanted["backstage_postgresql_password"]
    for command in (
        ("inspect", container),
        ("logs", container),
        ("exec", "--user=postgres", container, "cat", "/proc/1/environ"),
    ):
        assert password not in docker(*command)
        assert json.dumps(password)[1:-1] not in docker(*command)
    assert not host.run("grep -rF -- %s %s", password, wanted["backstage_postgresql_container_directory"]).stdout


def test_only_root_reaches_the_socket_that_asks_no_password(host, wanted):
    directory = host.file(wanted["backstage_postgresql_container_directory"])
    assert (directory.user, directory.mode) == ("root", 0o700)


def test_compose_reads_what_was_written_for_dotenv(hosts, tmp_path):
    """Here, since only the host compose has docker compose."""
    host, wanted = hosts["compose"]
    values = written(tmp_path / "env", "dotenv")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: a, env_file: env}}\n")
    docker("cp", f"{tmp_path}/.", f"{wanted['ansible_host']}:/tmp/env-file")
    done = host.check_output("cd /tmp/env-file && docker compose config --format json")
    # `config` prints a compose file, in which $$ stands for $.
    read = json.loads(done)["services"]["a"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in read.items()} == values


@pytest.fixture(scope="module")
def servers(hosts):
    """All of them, for the tests that run the playbook: a function for SQL each, by the container's name."""
    return {
        wanted["backstage_postgresql_container_name"]: functools.partial(ask, host, wanted)
        for host, wanted in hosts.values()
    }


def test_a_container_with_other_data_is_not_replaced(servers):
    done = play(PLAYBOOK, backstage_postgresql_container_volume="another-volume")
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    for container in servers:
        assert f"The container {container} has its data in {container.replace('-postgres', '-data')}" in said
    assert "another-volume" not in docker("volume", "ls", "--quiet")


def test_the_data_outlives_the_container(servers):
    for container, sql in servers.items():
        sql("CREATE TABLE IF NOT EXISTS kept (answer int); INSERT INTO kept VALUES (42) RETURNING answer")
        docker("rm", "--force", "--volumes", container)
    done = play(PLAYBOOK)
    assert done.returncode == 0, done.stdout[-6000:]
    for sql in servers.values():
        assert sql("SELECT DISTINCT answer FROM kept") == ["42"]


def test_a_changed_password_works_on_a_volume_that_exists(servers):
    done = play(PLAYBOOK, backstage_postgresql_password=NEW_PASSWORD)
    assert done.returncode == 0, done.stdout[-6000:]
    for sql in servers.values():
        assert sql("SELECT 1", password=NEW_PASSWORD) == ["1"]
        with pytest.raises(AssertionError, match="password authentication failed"):
            sql("SELECT 1")
