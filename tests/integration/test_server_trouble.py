# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and disks in trouble: each module ends with a sentence, and changes nothing.

The security guide has the table.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile

import psycopg2
import pytest
from servers import Server

PASSWORD = "a-password-of-4711"


def modules(run_module, server):
    """The modules that talk to a server; their results."""
    login = {"login_unix_socket": server.socket_directory, "login_port": server.port, "os_user": server.os_user}
    user = {"name": "backstage", "password": PASSWORD, "create": True, "role_attr_flags": ["LOGIN"]}
    info = {"login_host": server.host, "login_port": server.port, "login_user": "backstage", "login_password": PASSWORD}
    return [
        run_module("postgresql_password", **user, **login),
        run_module("backstage_database_info", fail_on_problem=True, **info),
    ]


def sentences(results):
    for result in results:
        assert result["failed"], result
        assert PASSWORD not in str(result)
        assert result["msg"].rstrip().endswith("."), result["msg"]
    return " ".join(result["msg"] for result in results)


@pytest.fixture
def server():
    made = Server({"max_connections": "5", "superuser_reserved_connections": "0", "max_wal_senders": "0"})
    yield made
    made.close()


def test_a_server_in_recovery_mode(run_module, server):
    server.write("data/standby.signal", "")
    server.restart()
    text = sentences(modules(run_module, server)[:1])
    assert "read-only" in text or "standby" in text or "recovery" in text, text


def test_no_free_connection(run_module, server):
    held = [
        psycopg2.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, dbname="postgres"
        )
        for _connection in range(5)
    ]
    text = sentences(modules(run_module, server))
    assert "too many" in text or "connections" in text, text
    for connection in held:
        connection.close()


@pytest.fixture
def small():
    """A file system that is full."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    folder = tempfile.mkdtemp()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False).returncode:
        os.rmdir(folder)
        pytest.skip("mounting is not allowed here")
    path = pathlib.Path(folder)
    (path / "app-config.yaml").write_text(
        "backend: # kept\n  database: {client: better-sqlite3, connection: ':memory:'}\n"
    )
    (path / ".env").write_text("A=1\n")
    yield path
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            pass


def test_a_full_disk_below_the_app(run_module, small):
    fill(small)
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    text = sentences(
        [
            run_module("backstage_env_file", path=f"{small}/.env", variables={"POSTGRES_PASSWORD": PASSWORD}),
            run_module("backstage_app_config", path=f"{small}/app-config.yaml", host="db"),
        ]
    )
    assert text.count("No space left on device. Free some space on the file system. The file is as it was.") == 2
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before
