# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module postgresql_databases with state absent: what goes, and everything that has to stop it first."""

from __future__ import annotations

import os

import pytest
from servers import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="peer authentication as another OS user needs root")


@pytest.fixture(scope="module")
def server():
    own = Server()
    yield own
    own.close()


@pytest.fixture
def portal(server):
    """Two login users, members of one owner of two databases, beside a shop."""
    for statement in (
        "CREATE ROLE portal CREATEDB",
        "CREATE ROLE portal_a LOGIN IN ROLE portal",
        "CREATE ROLE portal_b LOGIN IN ROLE portal",
        "CREATE ROLE shop LOGIN",
        "ALTER ROLE portal_a SET role TO portal",
        "CREATE DATABASE portal_catalog OWNER portal",
        "CREATE DATABASE portal_auth OWNER portal",
        "CREATE DATABASE shop OWNER shop",
    ):
        server.query(statement)
    yield
    for statement in (
        "DROP DATABASE IF EXISTS portal_catalog",
        "DROP DATABASE IF EXISTS portal_auth",
        "DROP DATABASE IF EXISTS shop",
        "DROP ROLE IF EXISTS portal, portal_a, portal_b, shop",
    ):
        server.query(statement)


@pytest.fixture
def absent(run_module, server):
    def call(check=False, **wish):
        login = {"login_unix_socket": server.socket_directory, "login_port": server.port}
        return run_module(
            "postgresql_databases", check=check, diff=True, **login, **{"owner": "portal", "state": "absent", **wish}
        )

    return call


def there(server):
    databases = server.query("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'")
    users = server.query("SELECT rolname FROM pg_roles WHERE rolname IN ('portal', 'portal_a', 'portal_b', 'shop')")
    return sorted(row[0] for row in databases), sorted(row[0] for row in users)


ALL = (["portal_auth", "portal_catalog", "shop"], ["portal", "portal_a", "portal_b", "shop"])
USERS = ["portal_a", "portal_b", "portal"]


@pytest.mark.usefixtures("portal")
def test_all_of_a_portal_and_nothing_else_goes(server, absent):
    first = absent(check=True, users=USERS)
    assert there(server) == ALL
    second = absent(users=USERS)
    assert (first["dropped"], first["dropped_users"]) == (["portal_auth", "portal_catalog"], USERS)
    assert first["diff"] == second["diff"]
    assert second["diff"]["before"] == {"databases": ["portal_auth", "portal_catalog"], "users": USERS}
    assert there(server) == (["shop"], ["shop"])
    again = absent(users=USERS)
    assert (again["failed"], again["changed"], again["dropped"]) == (False, False, [])


@pytest.mark.usefixtures("portal")
def test_only_what_is_named(server, absent):
    assert absent(databases=["portal_auth", "nothing"])["dropped"] == ["portal_auth"]
    assert absent(databases=[])["changed"] is False
    assert there(server)[0] == ["portal_catalog", "shop"]


@pytest.mark.usefixtures("portal")
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"databases": ["shop"]}, "databases: shop belongs to shop, not to portal"),
        ({"databases": ["postgres"]}, "postgres is one of the cluster's own databases"),
        ({"owner": "postgres"}, "postgres is a superuser"),
        ({"users": ["postgres"]}, "postgres is a superuser"),
        ({"users": ["portal", "shop"]}, "shop owns objects in the database shop, which stays"),
        ({"databases": [], "users": ["portal"]}, "portal owns objects in the database portal_"),
        ({"users": ["a\0b"]}, "is not a valid name"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_what_is_rejected_before_anything_is_dropped(server, absent, wish, words, check):
    result = absent(check=check, **wish)
    assert result["failed"]
    assert words in result["msg"]
    assert there(server) == ALL


@pytest.mark.usefixtures("portal")
def test_a_database_in_use(server, absent):
    connection = server.connect(user="postgres", dbname="portal_catalog")
    result = absent(users=USERS)
    connection.close()
    assert "The database portal_catalog is in use: 1 session of postgres. Stop Backstage" in result["msg"]
    assert there(server) == ALL


@pytest.mark.usefixtures("portal")
def test_rights_elsewhere(server, absent):
    server.query("GRANT CONNECT ON DATABASE shop TO portal_b")
    assert "portal_b has rights in the database shop, which stays" in absent(users=USERS)["msg"]
    assert there(server) == ALL


def test_users_are_not_of_the_other_state(absent):
    assert "users: not allowed with state present" in absent(state="present", databases=["x"], users=["y"])["msg"]
    assert "databases" in absent(state="present")["msg"]
