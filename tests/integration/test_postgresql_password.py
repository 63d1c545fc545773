# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against real servers.

Environment:
    DEVPORTAL_PASSWORDS: how many random passwords to try (default 300).
    DEVPORTAL_SEED: which ones (a number; a failing run says its own).
    DEVPORTAL_POSTGRES_SERVERS: further servers to try them on, a JSON list of objects: host, port, user, password.
    DEVPORTAL_BACKEND: a folder with the npm package pg, to log in as Backstage does.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import unicodedata

import jinja2
import psycopg2
import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    limits,
    role_changes,
    role_password,
    saslprep,
    scram,
)
from psycopg2.extensions import quote_ident
from servers import Server, free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="peer authentication as another OS user needs root")

# All that a server can be told to write down.
LOUD = {
    "shared_preload_libraries": "pg_stat_statements,auto_explain",
    "pg_stat_statements.track": "all",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "log_statement": "all",
    "log_duration": "on",
    "log_min_duration_statement": "0",
    "log_min_duration_sample": "0",
    "log_transaction_sample_rate": "1",
    "log_min_error_statement": "debug5",
    "log_min_messages": "debug2",
    "log_error_verbosity": "verbose",
    "log_statement_stats": "on",
    "debug_print_parse": "on",
    "debug_print_rewritten": "on",
    "debug_print_plan": "on",
}
names = (f"role{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server():
    loud = Server(settings=LOUD, rules=["host all trusted 127.0.0.1/32 trust", "host all unlisted 127.0.0.1/32 reject"])
    loud.query("CREATE EXTENSION pg_stat_statements")
    yield loud
    loud.close()


@pytest.fixture
def role(server):
    """A role without a password that may log in."""
    name = next(names)
    server.query(f"CREATE ROLE {name} LOGIN")
    return name


@pytest.fixture
def call(run_module, server):
    """Run the module as root through the socket, unless told otherwise."""

    def run(check=False, **arguments):
        own = {"login_unix_socket": server.socket_directory, "login_port": server.port, "login_user": "postgres"}
        own["name"] = "postgres"
        if arguments.get("login_host"):
            del own["login_unix_socket"]
        return run_module("postgresql_password", check=check, diff=True, **{**own, **arguments})

    return run


def stored(server, name):
    return server.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,))[0][0]


def lets_in(server, name, password):
    try:
        server.connect(user=name, password=password).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise
    return True


def warnings(result):
    return json.dumps(result["warnings"])


def as_role(server, name, password):
    return {"login_host": server.host, "login_user": name, "login_password": password}


def test_set_again_and_change(server, call, role):
    first = call(name=role, password="first secret")
    assert first["changed"], first
    assert first["stored"] == "scram-sha-256"
    assert first["iterations"] == 4096
    assert first["changed_because"] == ["the user has no password"]
    assert lets_in(server, role, "first secret")
    verifier = stored(server, role)
    second = call(name=role, password="first secret")
    assert not second["changed"]
    assert second["changed_because"] == []
    assert stored(server, role) == verifier
    third = call(name=role, password="second secret")
    assert third["changed_because"] == ["the password differs"]
    assert lets_in(server, role, "second secret")
    assert not lets_in(server, role, "first secret")
    assert third["diff"]["before"]["password"] == "different"


def test_md5_is_upgraded(server, call, role):
    server.query(f"SET password_encryption = md5; ALTER ROLE {role} PASSWORD 'kept secret'")
    result = call(name=role, password="kept secret")
    assert result["changed_because"] == ["the password is stored as md5"]
    assert result["diff"]["before"]["stored"] == "md5"
    assert stored(server, role).startswith("SCRAM-SHA-256$4096:")
    assert not call(name=role, password="kept secret")["changed"]


def test_iterations(server, call, role):
    assert call(name=role, password="kept secret", iterations=5000)["iterations"] == 5000
    assert not call(name=role, password="kept secret", iterations=5000)["changed"]
    kept = call(name=role, password="kept secret")
    assert not kept["changed"]  # more than the server's own
    assert kept["iterations"] == 5000
    less = call(name=role, password="kept secret", iterations=4096)
    assert less["changed_because"] == ["the iterations are 5000 instead of 4096"]
    server.query(f"ALTER ROLE {role} PASSWORD '{scram.make('kept secret', 1000)}'")
    assert call(name=role, password="kept secret")["changed_because"] == ["the iterations are 1000 instead of 4096"]
    assert lets_in(server, role, "kept secret")


def test_a_ready_verifier(server, call, role):
    verifier = str(scram.make("ready secret", 4097))
    assert call(name=role, password=verifier)["iterations"] == 4097
    assert stored(server, role) == verifier
    assert lets_in(server, role, "ready secret")
    assert not call(name=role, password=verifier)["changed"]
    assert not call(name=role, password="ready secret")["changed"]


def test_create(server, call):
    name = next(names)
    wish = {"name": name, "password": "made secret", "create": True, "role_attr_flags": ["CREATEDB"]}
    assert call(check=True, **wish)["changed_because"] == ["the user is missing"]
    assert server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)) == []
    result = call(**wish)
    assert result["changed_because"] == ["the user is missing"]
    assert result["stored"] == "scram-sha-256"
    assert server.query("SELECT rolcreatedb, rolcanlogin, rolsuper FROM pg_roles WHERE rolname = %s", (name,)) == [
        (True, True, False)
    ]
    assert lets_in(server, name, "made secret")
    assert not call(**wish)["changed"]
    wish["role_attr_flags"] = ["NOCREATEDB", "CREATEROLE"]
    assert call(**wish)["changed_because"] == ["the user is not NOCREATEDB", "the user is not CREATEROLE"]
    assert not call(**wish)["changed"]
    assert server.query("SELECT rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s", (name,)) == [
        (False, True)
    ]


def test_memberships_are_granted_and_others_stay(call, server):
    name, other = next(names), next(names)
    server.query(f"CREATE ROLE {other}")
    wish = {"name": name, "password": "made secret", "create": True, "member_of": ["pg_monitor"]}
    assert call(**wish)["changed"]
    server.query(f"GRANT {other} TO {name}")
    assert not call(**wish)["changed"]
    granted = "SELECT o.rolname FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid JOIN pg_roles r"
    query = f"{granted} ON r.oid = m.member WHERE r.rolname = '{name}' ORDER BY 1"
    assert [row[0] for row in server.query(query)] == sorted(["pg_monitor", other])
    server.query(f"REVOKE pg_monitor FROM {name}")
    assert call(**wish)["changed_because"] == ["the user is not a member of pg_monitor"]


def test_create_without_login_and_all_or_nothing(server, call):
    name = next(names)
    call(name=name, password="made secret", create=True, role_attr_flags=["NOLOGIN"])
    assert server.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (name,)) == [(False,)]
    name = next(names)
    result = call(name=name, password="made secret", create=True, valid_until="the day after never")
    assert result["failed"]
    assert "the day after never" in result["msg"]
    assert server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)) == []


def _owned(server, owner, name):
    """How the two roles stand to each other."""
    return server.query(
        "SELECT o.rolcanlogin, o.rolcreatedb, r.rolcanlogin, r.rolcreatedb, pg_has_role(r.oid, o.oid, 'MEMBER') "
        "FROM pg_roles o, pg_roles r WHERE o.rolname = %s AND r.rolname = %s",
        (owner, name),
    )


def test_an_owner_that_members_take_turns_for(server, call):
    owner, first, second = next(names), next(names), next(names)
    wish = {"owner": owner, "create": True, "role_attr_flags": ["LOGIN", "CREATEDB"]}
    made = call(name=first, password="first secret", **wish)
    assert made["changed_because"] == [
        "the user is missing",
        f"the owner {owner} is missing",
        f"the user is not a member of {owner}",
        f"the user's sessions do not start as {owner}",
    ]
    # A plugin that connects by itself, without the setting `role` of app-config, is the owner too.
    assert server.query("SELECT current_user", user=first, password="first secret") == [(owner,)]
    assert _owned(server, owner, first) == [(False, True, True, False, True)]
    assert not call(name=first, password="first secret", **wish)["changed"]
    call(name=second, password="second secret", **wish)
    become = f"SET ROLE {owner}; SELECT current_user || session_user"
    assert server.query(become, user=second, password="second secret") == [(owner + second,)]
    server.query(f"REVOKE {owner} FROM {second}; ALTER ROLE {owner} NOCREATEDB")
    again = call(name=second, password="second secret", **wish)
    assert again["changed_because"] == [f"the owner {owner} is not CREATEDB", f"the user is not a member of {owner}"]
    gone = call(name=first, state="absent", owner=owner, role_attr_flags=["NOLOGIN"])
    assert gone["changed_because"] == ["the user has a password", "the user is not NOLOGIN"]
    assert stored(server, first) is None
    assert not call(name=first, state="absent", owner=owner, role_attr_flags=["NOLOGIN"])["changed"]
    back = call(name=first, password="third secret", **wish)
    assert back["changed_because"] == ["the user has no password", "the user is not LOGIN"]
    assert lets_in(server, first, "third secret")


def test_a_former_single_user_becomes_the_owner(server, call, role):
    call(name=role, password="kept secret", role_attr_flags=["CREATEDB"])
    member = next(names)
    call(name=member, owner=role, password="new secret", create=True, role_attr_flags=["LOGIN", "CREATEDB"])
    assert lets_in(server, role, "kept secret")
    assert _owned(server, role, member) == [(True, True, True, False, True)]
    assert call(name=role, state="absent", owner=role, role_attr_flags=["NOLOGIN"])["changed"]
    assert _owned(server, role, member) == [(False, True, True, False, True)]


def test_only_the_owners_own_members_lose_their_password(server, call, role):
    owner, superuser = next(names), next(names)
    server.query(f"CREATE ROLE {owner}; CREATE ROLE {superuser} SUPERUSER; GRANT {owner} TO {superuser}")
    for name in (role, superuser):
        call(name=name, password="kept secret")
        result = call(name=name, state="absent", owner=owner, role_attr_flags=["NOLOGIN"])
        assert not result["changed"]
        assert "keeps its password" in warnings(result)
        assert stored(server, name) is not None
    refused = call(name=role, password="kept secret", owner="postgres")
    assert "owner: postgres is a superuser" in refused["msg"]
    assert "is the name of the user itself" in call(name=role, password="kept secret", owner=role)["msg"]
    assert "Correct owner" in call(name=role, password="kept secret", owner="nobody_there")["msg"]


SUPERUSERS_OWN = "the superuser's own"


def test_a_superuser_that_nobody_named_keeps_its_password(run_module):
    """As on a host of others, where the user of the guide was only a default."""
    own = Server()
    wish = {"login_unix_socket": own.socket_directory, "login_port": own.port, "os_user": own.os_user}
    wish |= {"name": "postgres", "password": SUPERUSERS_OWN, "default_of": "backstage_postgresql_user"}
    words = "backstage_postgresql_user: not set, and its default postgres is the superuser of a cluster that is already"

    def query(*statements):
        connection = postgresql.connect(wish, own.os_user)
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()

    try:
        assert run_module("postgresql_password", **wish)["changed"] is False
        for check in (True, False):
            assert words in run_module("postgresql_password", check=check, **{**wish, "password": "another"})["msg"]
        query("ALTER ROLE postgres PASSWORD NULL", "CREATE ROLE shop")
        assert words in run_module("postgresql_password", **wish)["msg"]
        query("DROP ROLE shop", "CREATE DATABASE shop")
        assert words in run_module("postgresql_password", **wish)["msg"]
        # Named, it is changed, and whoever reads the output knows.
        result = run_module("postgresql_password", **{**wish, "default_of": None})
        assert "The password of the existing superuser postgres changes" in warnings(result)
        query("ALTER ROLE postgres PASSWORD NULL", "DROP DATABASE shop")
        result = run_module("postgresql_password", **wish)
        assert (result["changed"], result.get("warnings", [])) == (True, [])
    finally:
        own.close()


def test_valid_until(server, call, role):
    wish = {"name": role, "password": "kept secret"}
    call(**wish)
    assert not call(valid_until="infinity", **wish)["changed"]
    result = call(valid_until="2040-05-06 07:08:09+02", **wish)
    assert result["changed_because"] == ["valid_until differs"]
    assert not call(valid_until="2040-05-06 05:08:09 UTC", **wish)["changed"]
    assert not call(**wish)["changed"]
    until = server.query("SELECT rolvaliduntil = '2040-05-06 05:08:09Z' FROM pg_roles WHERE rolname = %s", (role,))
    assert until == [(True,)]
    call(valid_until="2001-01-01", **wish)
    assert "expired" in warnings(call(**wish))
    assert call(valid_until="infinity", **wish)["changed"]
    assert lets_in(server, role, "kept secret")


def test_absent(server, call, role):
    call(name=role, password="gone secret")
    assert call(check=True, name=role, state="absent")["changed_because"] == ["the user has a password"]
    assert stored(server, role)
    result = call(name=role, state="absent")
    assert result["changed"]
    assert result["stored"] == "none"
    assert result["iterations"] is None
    assert stored(server, role) is None
    assert not call(name=role, state="absent")["changed"]


@pytest.mark.parametrize("name", ['we"ird', "it's", "a b%s", "UPPER", "ünïcödé\u3042", "back\\slash", "-- x", "x" * 63])
def test_names_are_quoted(server, call, name):
    assert call(name=name, password="quoted secret", create=True)["changed"]
    assert not call(name=name, password="quoted secret", create=True)["changed"]
    assert lets_in(server, name, "quoted secret")
    assert call(name=name, password="other secret", role_attr_flags=["CREATEDB"])["changed"]
    assert lets_in(server, name, "other secret")


def test_check_mode_opens_no_write(server, call, role):
    mark = len(server.read_log())
    before = server.query("SELECT xmin, rolpassword FROM pg_authid WHERE rolname = %s", (role,))
    for wish in ({"password": "never set"}, {"password": "never set", "valid_until": "2040-01-01"}):
        assert call(check=True, name=role, role_attr_flags=["CREATEDB"], **wish)["changed"]
    assert server.query("SELECT xmin, rolpassword FROM pg_authid WHERE rolname = %s", (role,)) == before
    log = server.read_log()[mark:]
    assert log.count("statement: BEGIN READ ONLY") == 2
    assert "ALTER ROLE" not in log


def test_check_mode_before_there_is_a_server(run_module):
    wish = {"name": "postgres", "password": "some secret", "login_unix_socket": "/nonexistent"}
    dry = run_module("postgresql_password", check=True, **wish)
    assert dry["changed"]
    assert not dry["failed"]
    assert "No PostgreSQL server answers" in dry["msg"]
    wet = run_module("postgresql_password", **wish)
    assert wet["failed"]
    assert "Start it" in wet["msg"]
    wish["os_user"] = "nosuchaccount"
    assert run_module("postgresql_password", check=True, **wish)["changed"]
    assert "OS user nosuchaccount does not exist" in run_module("postgresql_password", **wish)["msg"]


def test_check_mode_without_the_library(run_module, tmp_path):
    (tmp_path / "psycopg2.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'psycopg2'\", name='psycopg2')\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    wish = {"env": {"PYTHONPATH": path}, "name": "postgres", "password": "some secret"}
    dry = run_module("postgresql_password", check=True, **wish)
    assert dry["changed"]
    assert "python3-psycopg2" in dry["msg"]
    wet = run_module("postgresql_password", **wish)
    assert wet["failed"]
    assert "python3-psycopg2" in wet["msg"]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "password: it is missing"),
        ({"password": None}, "password: it is missing"),
        ({"password": ""}, "empty"),
        ({"password": "marked\0secret"}, "NUL"),
        ({"password": "md5" + "0" * 32}, "md5 hash"),
        ({"password": "SCRAM-SHA-256$4096:c2FsdA==$a2V5:a2V5"}, "keys of the verifier"),
        ({"password": "marked secret", "state": "absent"}, "password: not allowed with state absent"),
        ({"password": "marked secret", "name": ""}, "not a valid name"),
        ({"password": "marked secret", "name": "x" * 64}, "63 bytes"),
        ({"password": "marked secret", "name": "postgers"}, "Did you mean 'postgres'?"),
        ({"password": "marked secret", "name": "Postgres"}, "Did you mean 'postgres'?"),
        ({"password": "marked secret", "name": "zzzzzz"}, "'zzzzzz' does not exist"),
        ({"password": "marked secret", "role_attr_flags": ["LOGIN", "NOLOGIN"]}, "both LOGIN and NOLOGIN"),
        ({"password": "marked secret", "role_attr_flags": ["CREATEBD"]}, "CREATEBD"),
        ({"password": "marked secret", "iterations": 0}, "iterations: 0"),
        ({"password": "marked secret", "valid_until": "gurk"}, "gurk"),
        ({"password": "marked secret", "login_db": "nowhere"}, "database nowhere does not exist"),
        ({"password": "marked secret", "os_user": "nobody"}, "rejects the OS user nobody"),
        ({"password": "marked secret", "login_host": "127.0.0.1", "login_password": "bad"}, "rejects the password"),
        ({"password": "marked secret", "login_host": "127.0.0.1", "name": "x"}, "asks for a password"),
        ({"password": "marked secret", "login_host": "127.0.0.1", "login_user": "unlisted"}, "access rules"),
        ({"password": "marked secret", "login_host": "127.0.0.1", "ssl_mode": "require"}, "has no TLS"),
    ],
)
def test_bad_input(server, call, wish, words, check):
    before = server.query("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1")
    result = call(check=check, **wish)
    assert result["failed"]
    assert words in result["msg"]
    assert "marked" not in json.dumps({**result, "invocation": None})
    assert server.query("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1") == before


@pytest.mark.parametrize("wish", [{"login_port": 1}, {"login_host": "no-such-host.invalid"}])
def test_a_server_that_is_not_there(call, wish):
    result = call(password="some secret", **wish)
    assert result["failed"]
    assert "No PostgreSQL server answers" in result["msg"] or "cannot be resolved" in result["msg"]


def test_a_server_that_does_not_answer(call):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        result = call(password="some secret", login_host="127.0.0.1", login_port=port, connect_timeout=2)
    assert "does not answer in 2 s" in result["msg"]


def test_a_socket_that_is_out_of_reach(run_module, tmp_path):
    result = run_module(
        "postgresql_password",
        name="postgres",
        password="some secret",
        login_unix_socket=str(tmp_path),
        os_user="nobody",
    )
    assert "The OS user nobody is not allowed to use the socket" in result["msg"]


def test_a_standby(run_module):
    standby = Server(settings={"hot_standby": "on"})
    try:
        standby.stop()
        standby.write("data/standby.signal", "")
        standby.start()
        result = run_module(
            "postgresql_password",
            name="postgres",
            password="x secret",
            login_unix_socket=standby.directory,
            login_port=standby.port,
        )
        assert "set login_host to the primary server" in result["msg"]
    finally:
        standby.close()


def test_sessions_that_are_read_only_by_default(run_module):
    server = Server(settings={"default_transaction_read_only": "on", "log_transaction_sample_rate": "0.001"})
    socket = {"login_unix_socket": server.directory, "login_port": server.port}
    try:
        user = {"name": "app", "password": "some secret", "create": True, "owner": "app_owner", **socket}
        assert run_module("postgresql_password", check=True, **user)["changed"]
        assert run_module("postgresql_password", **user)["stored"] == "scram-sha-256"
        assert not run_module("postgresql_password", **user)["changed"]
        databases = {"databases": ["app"], "owner": "app_owner", **socket}
        assert run_module("postgresql_databases", **databases)["changed"]
        result = run_module("postgresql_databases", state="absent", owner="app_owner", users=["app"], **socket)
        assert not result["failed"], result["msg"]
        assert server.query("SELECT count(*) FROM pg_database WHERE datname = 'app'") == [(0,)]
    finally:
        server.close()


def test_a_role_changes_its_own_password(server, call, role):
    server.query(f"ALTER ROLE {role} PASSWORD 'old secret'")
    result = call(name=role, password="new secret", **as_role(server, role, "old secret"))
    assert result["changed_because"] == ["a login with the password is rejected"]
    assert result["stored"] == "scram-sha-256"
    assert lets_in(server, role, "new secret")
    again = call(name=role, password="new secret", **as_role(server, role, "old secret"))
    assert not again["changed"]
    assert again["stored"] == "unknown"
    assert again["iterations"] is None
    assert not call(name=role, password="new secret", **as_role(server, role, "new secret"))["changed"]
    refused = call(name=role, password="newest secret", **as_role(server, role, "neither secret"))
    assert "rejects the password" in refused["msg"]


def test_closed_pg_authid(server, call, role):
    """A role with CREATEROLE, as the administrator of a managed database is."""
    admin = next(names)
    server.query(f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD 'admin secret'")
    # From 16 on CREATEROLE is not enough for a role that another one has made.
    server.query(f"GRANT {role} TO {admin} WITH ADMIN OPTION")
    login = as_role(server, admin, "admin secret")
    assert call(check=True, name=role, password="managed secret", **login)["changed"]
    assert stored(server, role) is None
    assert call(name=role, password="managed secret", **login)["changed"]
    assert lets_in(server, role, "managed secret")
    assert not call(name=role, password="managed secret", **login)["changed"]
    # Neither of these keeps the server from looking at the password first.
    server.query(f"ALTER ROLE {role} NOLOGIN")
    assert not call(name=role, password="managed secret", **login)["changed"]
    assert call(name=role, password="other secret", **login)["changed"]
    result = call(name=role, state="absent", **login)
    assert "on every run" in warnings(result)
    assert stored(server, role) is None
    result = call(name=role, password=str(scram.make("managed secret")), **login)
    assert result["changed"]
    assert "cannot be tried" in warnings(result)


def test_a_login_that_asks_for_nothing_proves_nothing(server, call):
    admin = next(names)
    server.query(f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD 'admin secret'; CREATE ROLE trusted LOGIN")
    server.query(f"GRANT trusted TO {admin} WITH ADMIN OPTION")
    for _run in range(2):
        result = call(name="trusted", password="managed secret", **as_role(server, admin, "admin secret"))
        assert result["changed"]
        assert "does not ask for a password" in warnings(result)
    assert scram.matches(stored(server, "trusted"), "managed secret", "trusted")


def test_more_than_node_accepts(call, role):
    assert call(name=role, password="kept secret", iterations=100_001)["changed"]
    assert call(name=role, password="kept secret")["iterations"] == 100_000
    assert not call(name=role, password="kept secret")["changed"]
    assert "100000" in warnings(call(name=role, password="slow secret", iterations=100_001))
    assert "npm package pg" in warnings(call(name=role, password="\U0001f600\u2168"))


def test_the_module_takes_its_own_effective_user_only(server):
    assert os.geteuid() == 0
    connection = postgresql.connect({"login_unix_socket": server.socket_directory, "login_port": server.port})
    assert os.geteuid() == 0
    connection.close()
    with pytest.raises(CollectionError):
        postgresql.connect({"login_unix_socket": server.socket_directory, "login_port": server.port}, "nobody")
    assert os.geteuid() == 0


def _traces(server, mark):
    """All that the server has written down since, and what its views show now."""
    rows = server.query("SELECT query FROM pg_stat_statements")
    rows += server.query("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    return server.read_log()[mark:] + "\n".join(row[0] or "" for row in rows)


def test_nothing_is_written_down(server, call):
    name, other = next(names), next(names)
    server.query(f"CREATE ROLE {other} LOGIN PASSWORD 'others secret'")
    mark = len(server.read_log())
    server.query("SELECT pg_stat_statements_reset()")
    results = [
        call(check=True, name=name, password="marked-1", create=True),
        call(name=name, password="marked-1", create=True, role_attr_flags=["CREATEDB"]),
        call(name=name, password="marked-1"),
        call(name=name, password="marked-2", valid_until="2040-01-01"),
        call(check=True, name=name, password="marked-3"),
        call(name=name, password=str(scram.make("marked-4", 4096))),
        call(name=name, password="marked-5", **as_role(server, other, "others secret")),
        call(name=name, password="marked-6", role_attr_flags=["SUPERUSER"], **as_role(server, other, "others secret")),
        call(name=name, password="marked-7", valid_until="gurk"),
    ]
    assert [result["failed"] for result in results] == [False] * 6 + [True] * 3
    assert [result["changed"] for result in results[:6]] == [True, True, False, True, True, True]
    assert "Log in as a superuser" in results[6]["msg"]
    traces = _traces(server, mark)
    assert "set_config" in traces  # it is the log of what was done
    assert f'CREATE ROLE "{name}"' not in traces  # nor is anything else of that transaction
    for trace in (traces, json.dumps([{**result, "invocation": None} for result in results])):
        assert "marked-" not in trace
        assert "SCRAM-SHA-256$" not in trace


def test_a_change_at_the_same_moment_is_tried_again_and_not_written_down(server, role):
    """Two sessions change the user at the same moment: the second fails at the statement with the verifier."""
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port}
    mark, failures = len(server.read_log()), []

    def second():
        connection = postgresql.connect(own)
        try:
            role_password.ensure(connection, role_password.Wanted(role, "marked-9"), own)
        except CollectionError as error:
            failures.append(str(error))
        assert connection.info.transaction_status == 0
        connection.close()

    first = server.connect()
    with first.cursor() as cursor:
        cursor.execute(f"BEGIN; ALTER ROLE {role} CONNECTION LIMIT 5")
        thread = threading.Thread(target=second)
        thread.start()
        while not server.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert thread.is_alive()
        cursor.execute("COMMIT")
    thread.join()
    first.close()
    assert failures == []
    assert lets_in(server, role, "marked-9")
    log = server.read_log()[mark:]
    assert "tuple concurrently updated" in log
    assert "SCRAM-SHA-256$" not in log


@pytest.fixture(scope="module")
def logging_server():
    """What an audit asks for: all statements in the log, and statistics."""
    server = Server(
        settings={
            "shared_preload_libraries": "pg_stat_statements",
            "log_statement": "all",
            "log_duration": "on",
            "log_min_duration_statement": "0",
            "log_min_error_statement": "debug5",
        }
    )
    server.query("CREATE EXTENSION pg_stat_statements")
    yield server
    server.close()


@pytest.mark.parametrize("name", ["plain", 'o\'er %L \\ "x"'])
@pytest.mark.parametrize("temporary", [True, False])
def test_a_role_without_rights_writes_nothing_down_where_it_may_make_a_table(
    logging_server, run_module, name, temporary
):
    """It cannot turn the log off; the log never has the password, and the verifier only where there is no other way."""
    server, quoted = logging_server, limits.quoted_identifier(f"{name}{temporary}")
    server.query(f"CREATE ROLE {quoted} LOGIN PASSWORD 'old secret'")
    server.query(
        f"{'GRANT' if temporary else 'REVOKE'} TEMPORARY ON DATABASE postgres {'TO' if temporary else 'FROM'} PUBLIC"
    )
    mark = len(server.read_log())
    for changed in (True, False):
        result = run_module(
            "postgresql_password", name=f"{name}{temporary}", password="marked-8", login_port=server.port,
            **as_role(server, f"{name}{temporary}", "old secret"),
        )  # fmt: skip
        assert result.get("changed") is changed, result
    assert lets_in(server, f"{name}{temporary}", "marked-8")
    log = server.read_log()[mark:]
    assert "statement: " in log
    assert "marked-" not in log
    assert ("SCRAM-SHA-256$" in log) is not temporary
    if temporary:
        assert server.query("SELECT query FROM pg_stat_statements WHERE query LIKE '%SCRAM-SHA-256$%'") == []


def test_nobody_sees_the_statement(server):
    """Neither while it runs nor afterwards, in pg_stat_activity."""
    name = next(names)
    server.query(f"CREATE ROLE {name}")
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port}
    seen, done = set(), threading.Event()

    def watch():
        watcher = server.connect()
        with watcher.cursor() as cursor:
            while not done.is_set():
                cursor.execute("SELECT query FROM pg_stat_activity WHERE application_name = 'devportal.backstage'")
                seen.update(row[0] for row in cursor.fetchall())
        watcher.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        connection = postgresql.connect(own)
        for number in range(150):
            role_password.ensure(connection, role_password.Wanted(name, f"marked-{number}", 1), own)
        connection.close()
    finally:
        done.set()
        thread.join()
    assert any("pg_authid" in query for query in seen)
    assert not [query for query in seen if "marked-" in query or "SCRAM" in query]


def test_a_server_that_speaks_german(run_module):
    """The role itself, whose wrong password is to be told from all else."""
    server = Server()
    try:
        locales = os.path.join(server.directory, "locales")
        os.mkdir(locales)
        try:
            # Exit status 1 is but a warning.
            command = ["localedef", "-i", "de_DE", "-f", "UTF-8", f"{locales}/de_DE.UTF-8"]
            subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("localedef is not installed")
        if not os.listdir(locales):
            pytest.skip("the source of the locale de_DE is not installed")
        server.configure({"lc_messages": "de_DE.UTF-8"})
        server.stop()
        control = os.path.join(server.programs, "pg_ctl")
        start = ("-w", "-s", "-D", server.data, "-l", server.log, "start")
        server.run("/usr/bin/env", f"LOCPATH={locales}", control, *start)
        with pytest.raises(psycopg2.OperationalError) as caught:
            server.connect(password="wrong")
        if "fehlgeschlagen" not in str(caught.value):
            pytest.skip("the German texts of the server are not installed")
        server.query("CREATE ROLE app LOGIN PASSWORD 'old secret'")

        def call(login, **arguments):
            own = {"name": "app", "password": "new secret", "login_port": server.port}
            return run_module("postgresql_password", **{**own, **as_role(server, "app", login), **arguments})

        assert call("old secret")["changed"]
        again = call("old secret")
        assert (again["failed"], again["changed"]) == (False, False), again
        assert "Correct login_user and login_password" in call("wrong", password="newer secret")["msg"]
        assert "existiert nicht" in call("new secret", login_db="gone")["msg"]
    finally:
        server.close()


def _certificates(directory):
    """A CA, another CA, and a certificate of the first for localhost."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    for name in ("ca", "other"):
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
    (directory / "san").write_text("subjectAltName=DNS:localhost\n")
    openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"),
        *("-extfile", "san", "-out", "server.pem"),
    )


def test_verify_full(run_module, tmp_path):
    _certificates(tmp_path)
    server = Server()
    try:
        server.write("data/server.pem", (tmp_path / "server.pem").read_text())
        server.write("data/server.key", (tmp_path / "server.key").read_text())
        tls = {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        server.configure(tls, ["hostnossl all all all reject"])
        server.restart()
        server.query("CREATE ROLE app LOGIN PASSWORD 'old secret'")

        def call(**arguments):
            own = {"login_host": "localhost", "login_port": server.port, "ssl_mode": "verify-full", "name": "app"}
            own.update(ca_cert=str(tmp_path / "ca.pem"), login_password=server.password, password="new secret")
            return run_module("postgresql_password", **{**own, **arguments})

        assert call()["changed"]
        assert not call()["changed"]
        assert not call(login_user="app", login_password="old secret")["changed"]
        assert call(login_user="app", login_password="new secret", password="newer secret")["changed"]
        assert not call(login_user="app", login_password="new secret", password="newer secret")["changed"]
        wrong = call(ca_cert=str(tmp_path / "other.pem"))
        assert "is not trusted" in wrong["msg"]
        wrong = call(login_host="127.0.0.1")
        assert "the name that the certificate carries" in wrong["msg"]
        assert "Set ca_cert" in call(ca_cert=None)["msg"]
        assert "is missing" in call(ca_cert="/nonexistent.pem")["msg"]
        assert call(login_host="127.0.0.1", ssl_mode="verify-ca")["failed"] is False
        assert "access rules" in call(ssl_mode="disable")["msg"]
    finally:
        server.close()


@pytest.mark.once
@pytest.mark.skipif(not shutil.which("pgbouncer", path="/usr/sbin:/usr/bin"), reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_pgbouncer(server, call, mode, role):
    """The pooler asks the server for verifiers by a user of its own (auth_query)."""
    port = free_port()
    folder = f"bouncer-{mode}"
    os.mkdir(os.path.join(server.directory, folder))
    shutil.chown(os.path.join(server.directory, folder), server.os_user)
    users = server.write(f"{folder}/users", f'"postgres" "{server.password}"\n')
    ini = server.write(
        f"{folder}/ini",
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
        f"unix_socket_dir=\nauth_type=scram-sha-256\nauth_file={users}\nauth_user=postgres\npool_mode={mode}\n",
    )
    account = server.account()
    pooler = subprocess.Popen(
        ["/usr/sbin/pgbouncer", ini], stderr=subprocess.PIPE, user=account.pw_uid, group=account.pw_gid, extra_groups=[]
    )
    try:
        _wait_for(port)
        login = {"login_host": "127.0.0.1", "login_port": port, "login_password": server.password}
        if mode == "statement":
            assert "statement mode" in call(name=role, password="pooled secret", **login)["msg"]
            return
        mark = len(server.read_log())
        assert call(name=role, password="pooled secret", **login)["changed"]
        assert not call(name=role, password="pooled secret", **login)["changed"]
        assert call(check=True, name=role, password="pooled 2nd secret", **login)["changed"]
        assert lets_in(server, role, "pooled secret")
        assert "SCRAM-SHA-256$" not in server.read_log()[mark:]
        assert server.query("SHOW log_transaction_sample_rate", port=port) == [("1",)]
        own = {**login, "login_user": role}
        assert call(name=role, password="newer secret", **{**own, "login_password": "pooled secret"})["changed"]
        assert not call(name=role, password="newer secret", **own)["changed"]
        assert "Correct login_user and login_password" in call(**{**login, "login_password": "x"}, password="y")["msg"]
    finally:
        pooler.terminate()
        pooler.wait()
        pooler.stderr.close()


def _wait_for(port):
    for _attempt in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def _random_passwords(count, seed):
    """Of all kinds: plain, changed by SASLprep, forbidden by it, right to left, of any code point."""
    draw = random.Random(seed)
    every = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    kinds = [
        every,
        [character for character in every if character <= "\u3100"],
        [character for character in every if unicodedata.normalize("NFKC", character) != character],
        [character for character in every if unicodedata.combining(character)],
        [character for character in every if unicodedata.bidirectional(character) in ("R", "AL", "AN")],
        [chr(code) for code in range(32, 127)],
        list("\u00a0\u00ad\u200b\u200c\u200d\u2060\ufe0f\ufeff\u3000'\"\\$%"),
    ]
    for _number in range(count):
        few = draw.sample(kinds, draw.randint(1, 3))
        yield "".join(draw.choice(draw.choice(few)) for _character in range(draw.randint(1, 12)))


def _seed():
    seed = int(os.environ.get("DEVPORTAL_SEED", random.randrange(2**32)))
    print(f"DEVPORTAL_SEED={seed}")
    return seed


def _servers():
    return [None, *json.loads(os.environ.get("DEVPORTAL_POSTGRES_SERVERS", "[]"))]


@pytest.mark.once
@pytest.mark.parametrize("other", _servers(), ids=lambda other: "own" if other is None else f"port{other['port']}")
def test_random_passwords(postgres_server, other):
    """Set by the module's code, used by libpq, unchanged the second time; also as the server itself would make it."""
    other = other or {name: getattr(postgres_server, name) for name in ("host", "port", "user", "password")}
    login = {f"login_{name}": other[name] for name in ("host", "port", "user", "password")}
    name = f"devportal_random_{os.getpid()}"
    connection = postgresql.connect(login)
    count, seed, prepared = int(os.environ.get("DEVPORTAL_PASSWORDS", "300")), _seed(), None
    try:
        for number, password in enumerate(_random_passwords(count, seed)):
            wanted = role_password.Wanted(name, password, create=True)
            prepared, last = saslprep.prepare(password.encode()), prepared
            assert bool(role_password.ensure(connection, wanted, login).because) == (prepared != last), ascii(password)
            assert not role_password.ensure(connection, wanted, login).because, ascii(password)
            psycopg2.connect(
                host=other["host"], port=other["port"], user=name, password=password, dbname="postgres"
            ).close()
            if number % 10 == 0:
                with connection, connection.cursor() as cursor:
                    cursor.execute(f"ALTER ROLE {quote_ident(name, cursor)} PASSWORD %s", (password,))
                assert not role_password.ensure(connection, wanted, login).because, ascii(password)
    finally:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE IF EXISTS {quote_ident(name, cursor)}")
        connection.close()


_NODE = """
const { Client } = require(process.argv[1]);
const logins = JSON.parse(require('fs').readFileSync(0));
(async () => {
  const answers = [];
  for (const login of logins) {
    const client = new Client({ ...login, database: 'postgres' });
    try { await client.connect(); answers.push(true); await client.end(); }
    catch (error) { if (error.code !== '28P01') throw error; answers.push(false); }
  }
  console.log(JSON.stringify(answers));
})();
"""


def test_the_npm_package_logs_in_where_we_say_so(postgres_server):
    package = os.path.join(os.environ.get("DEVPORTAL_BACKEND", "/nonexistent"), "node_modules", "pg")
    if not os.path.isdir(package):
        pytest.skip("DEVPORTAL_BACKEND names no folder with the npm package pg")
    passwords = ["pass\U0001f600", "\U0001f600\u2168", "\u2764\ufe0f", "\U0001f5dd\ufe0f", "a\u00a0b", "\u05d0a\u2168"]
    passwords += _random_passwords(200, _seed())
    connection = postgres_server.connect()
    with connection.cursor() as cursor:
        for number, password in enumerate(passwords):
            cursor.execute(f"CREATE ROLE node{number} LOGIN PASSWORD '{scram.make(password, 1)}'")
    connection.close()
    logins = [
        {"host": postgres_server.host, "port": postgres_server.port, "user": f"node{number}", "password": password}
        for number, password in enumerate(passwords)
    ]
    done = subprocess.run(
        ["node", "-e", _NODE, package], input=json.dumps(logins), capture_output=True, text=True, check=True
    )
    for password, answer in zip(passwords, json.loads(done.stdout)):
        # Unassigned characters count as different to be safe; node lets most of them in.
        unassigned = any(unicodedata.category(character) == "Cn" for character in password)
        assert saslprep.same_in_node_pg(password) == answer or (answer and unassigned), ascii(password)


def test_what_a_password_hook_refuses_or_somebody_cancels_is_not_written_down():
    """In a session without rights: an error inside a function is logged with the statement that the function ran."""
    server = Server(settings={"shared_preload_libraries": "passwordcheck", "log_error_verbosity": "verbose"})
    try:
        server.query("CREATE ROLE hooked1 LOGIN PASSWORD 'old secret 1'")
        login = {"login_port": server.port, **as_role(server, "hooked1", "old secret 1")}
        connection = postgresql.connect(login)
        with pytest.raises(CollectionError, match="must not") as caught:
            role_password.ensure(connection, role_password.Wanted("hooked1", "hooked1"), login)
        # A statement that is cancelled, while it waits for another session.
        first = server.connect()
        first.cursor().execute("BEGIN; ALTER ROLE hooked1 CONNECTION LIMIT 9")
        cursor = connection.cursor()
        cursor.execute("BEGIN; SET LOCAL statement_timeout = '1s'")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            role_changes._set_unseen(cursor, '"hooked1"', str(scram.make("new secret 2", 1)))
        first.close()
        connection.close()
        log = server.read_log()
        assert "password must not" in log
        assert "canceling statement" in log
        assert "SCRAM-SHA-256$" not in log + str(caught.value)
        assert lets_in(server, "hooked1", "old secret 1")
    finally:
        server.close()


@pytest.mark.parametrize("check", [False, True])
def test_a_former_user_that_is_gone_is_no_error(call, role, check):
    result = call(check=check, name="never_made", state="absent", owner=role, role_attr_flags=["NOLOGIN"])
    assert not result["failed"], result
    assert (result["changed"], result["stored"]) == (False, "none")
    assert "does not exist" in call(check=check, name="never_made", state="absent")["msg"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("apps", "retires"),
    [
        ([(True, True, False), (False, False, False)], True),
        ([(True, True, False), (True, False, False)], False),
        ([(True, True, False), (True, True, False)], True),
        ([(True, False, True), (False, False, False)], True),
        ([(True, False, True), ()], False),  # the roll-back of one host failed
    ],
)
def test_the_playbook_retires_the_former_user_once_all_that_had_to_are_ready(apps, retires):
    path = os.path.join(
        os.path.dirname(role_password.__file__),
        "..",
        "..",
        "..",
        "roles",
        "backstage_postgresql",
        "tasks",
        "retire_users.yml",
    )
    with open(path, encoding="utf-8") as stream:
        (block,) = yaml.safe_load(stream)
    condition = next(one for one in block["when"] if "ready" in one)
    shown = [dict(zip(("needed", "ready", "rolled_back"), states)) for states in apps]
    environment = jinja2.Environment()
    environment.filters["length"] = lambda items: len(list(items))  # Ansible makes lists of what the filters yield
    assert environment.compile_expression(condition)(__backstage_postgresql_rotations=shown) is retires
