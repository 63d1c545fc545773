# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hostile server, and a hostile user of a database, gain from a session of this collection: nothing."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import tempfile
import threading
import time

import psycopg2
import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    authentication,
    role_password,
    scram,
    server_proof,
    session,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import (
    connection as postgresql,
)
from rogue import Impostor
from servers import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="peer authentication as another OS user needs root")
SECRET = "the Secret of this 1 test"
LIBPQ = psycopg2.extensions.libpq_version()


@pytest.fixture(scope="module")
def server():
    own = Server(
        rules=["host all trusted 127.0.0.1/32 trust", "host all clear 127.0.0.1/32 password",
               "host all hashed 127.0.0.1/32 md5"],
    )  # fmt: skip
    own.query(f"CREATE ROLE trusted LOGIN PASSWORD '{SECRET}'; CREATE ROLE clear LOGIN PASSWORD '{SECRET}'")
    own.query(f"SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD '{SECRET}'")
    yield own
    own.close()


def login(port, **more):
    return {"login_host": "127.0.0.1", "login_port": port, "login_user": "app", "login_password": SECRET, **more}


def set_password(own, **more):
    connection = postgresql.connect(own, **more)
    role_password.ensure(connection, role_password.Wanted("app", SECRET), own)
    connection.close()


@pytest.fixture(params=["libpq of this machine", "libpq 15"])
def libpq(request, monkeypatch):
    """libpq 15 has no require_auth: the server is asked first. The real one must not get the option then."""
    if request.param == "libpq 15":
        monkeypatch.setattr(psycopg2.extensions, "libpq_version", lambda: 150000)
    elif LIBPQ < 160000:
        pytest.skip("this libpq is older than 16")
    return request.param


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        ("clear", "method_password", "asks for the password in clear text"),
        ("md5", "method_md5", "asks for an md5 hash"),
        ("trust", "method_none", "without asking for the password"),
        ("gss", "method_gss", "asks for the method gss"),
    ],
)
def test_an_impostor_gets_neither_password_nor_verifier(libpq, how, reason, words):
    with Impostor(how) as impostor:
        with pytest.raises(CollectionError, match=words) as caught:
            set_password(login(impostor.port))
        assert caught.value.reason == reason
        time.sleep(0.1)
        assert SECRET.encode() not in impostor.got
        assert b"md5" not in impostor.got
        assert b"SCRAM-SHA-256$" not in impostor.got


def test_an_impostor_that_speaks_scram_learns_nothing(libpq):
    with Impostor("scram") as impostor:
        with pytest.raises(CollectionError):
            set_password(login(impostor.port))
        assert b"n,,n=" in impostor.got
        assert b"SCRAM-SHA-256$" not in impostor.got
        assert SECRET.encode() not in impostor.got


@pytest.mark.parametrize("how", ["clear", "md5", "trust"])
@pytest.mark.parametrize("module", ["postgresql_password", "backstage_database_info"])
def test_the_modules_give_an_impostor_nothing(run_module, how, module):
    own = {"name": "app", "password": "another Secret"} if module == "postgresql_password" else {}
    with Impostor(how) as impostor:
        result = run_module(module, **login(impostor.port), **own)
        time.sleep(0.1)
        assert SECRET.encode() not in impostor.got
        assert b"md5" not in impostor.got
        assert b"SCRAM-SHA-256$" not in impostor.got
    assert result["failed"] or result["would_start"] is not True


@pytest.mark.parametrize(("user", "method"), [("clear", "password"), ("hashed", "md5"), ("trusted", "none")])
def test_another_method_is_rejected_unless_it_is_allowed(libpq, server, user, method):
    own = login(server.port, login_user=user)
    with pytest.raises(CollectionError, match="require_auth") as caught:
        postgresql.connect(own)
    assert caught.value.reason == f"method_{method}"
    for allowed in ("", f"scram-sha-256,{method}", f"{method}, scram-sha-256"):
        postgresql.connect({**own, "require_auth": allowed}).close()


def test_an_unknown_method_is_rejected():
    with pytest.raises(CollectionError, match="require_auth: unknown method 'plain'"):
        authentication.methods("scram-sha-256,plain")


def test_a_login_that_proves_nothing_is_reported(run_module, server):
    result = run_module("backstage_database_info", **login(server.port, login_user="trusted"))
    (check,) = [check for check in result["checks"] if check["name"] == "password"]
    assert check["ok"] is False
    assert "without asking for the password" in check["message"]
    assert "trust" in check["remedy"]
    assert result["would_start"] is True
    server.query(f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'")
    result = run_module("backstage_database_info", **login(server.port))
    assert not [check for check in result["checks"] if check["name"] == "password"]


def test_an_old_libpq_is_warned_of_where_the_server_is_on_another_host(monkeypatch):
    monkeypatch.setattr(server_proof, "_asked", lambda host, wanted: "scram-sha-256")
    options = {**{name: one.get("default") for name, one in postgresql.connection_argument_spec().items()}}
    (warning,) = server_proof.check_server({**options, "login_user": "app"}, "db.example.com", 150000)
    assert "verify-full" in warning
    assert server_proof.check_server(options, "127.0.0.1", 150000) == []
    assert server_proof.check_server(options, "db.example.com", 160000) == []
    for mode in ("require", "verify-ca", "verify-full"):
        assert authentication.settings({**options, "ssl_mode": mode}, 150000) == {"channel_binding": "require"}
        assert server_proof.check_server({**options, "ssl_mode": mode}, "db.example.com", 150000) == []


@pytest.mark.parametrize("how", ["silent", "stall", "stall_datestyle"])
def test_a_server_that_stops_answering_does_not_hold_a_run(run_module, monkeypatch, how):
    with Impostor(how) as impostor:
        start = time.monotonic()
        own = login(impostor.port, connect_timeout=2, require_auth="")
        with pytest.raises(CollectionError):
            set_password(own, seconds=3)
        assert time.monotonic() - start < 10


def test_a_session_that_was_ended_says_so():
    with Impostor("stall") as impostor:
        own = login(impostor.port, require_auth="")
        connection = postgresql.connect(own, seconds=1)
        with pytest.raises(CollectionError, match="did not answer within 1 s") as caught:
            role_password.ensure(connection, role_password.Wanted("app", SECRET), own)
        assert caught.value.reason == "unreachable"
        connection.close()


def test_an_honest_server_ends_a_statement_by_itself(server):
    connection = postgresql.connect({"login_unix_socket": server.socket_directory, "login_port": server.port})
    with connection.cursor() as cursor:
        session.read_only(connection)
        cursor.execute(
            "SELECT pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('lock_timeout')"
        )
        assert cursor.fetchone() == (session.STATEMENT_TIMEOUT, session.LOCK_TIMEOUT)
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() == ('""',)
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("on",)
    connection.rollback()
    with connection.cursor() as cursor:  # what a pooler gives to the next client
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() == ('"$user", public',)
    connection.close()


def test_a_verifier_with_hours_of_iterations_is_not_computed(run_module, server):
    """A database user chooses its own verifier, with up to 2**31 - 1 iterations."""
    server.query("CREATE ROLE slow LOGIN")
    verifier = str(scram.make(SECRET, 1)).replace("$1:", "$2147483647:")
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port, "name": "slow"}
    for _time in range(2):
        # The server itself computes it at ALTER ROLE, to see whether it is that of an empty password.
        server.query("UPDATE pg_authid SET rolpassword = %s WHERE rolname = 'slow'", (verifier,))
        start = time.monotonic()
        result = run_module("postgresql_password", password=SECRET, **own)
        assert time.monotonic() - start < 30
        assert result["changed"], result
        assert result["iterations"] == scram.DEFAULT_ITERATIONS


class Directory:
    """A directory for sockets that is not below a folder of pytest's, into which others may not look."""

    def __init__(self, mode, owner):
        self.path = tempfile.mkdtemp(prefix="devportal-socket-")
        shutil.chown(self.path, owner)
        os.chmod(self.path, mode)
        self.socket = f"{self.path}/.s.PGSQL.5432"

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        shutil.rmtree(self.path)


@pytest.mark.parametrize(
    ("mode", "owner", "os_user", "believed"),
    [
        (0o1777, "root", None, False),
        (0o1777, "nobody", None, False),
        (0o755, "root", None, False),
        (0o755, "nobody", None, True),
        (0o1777, "root", "nobody", True),
    ],
)
def test_whose_socket_is_believed(mode, owner, os_user, believed):
    with Directory(mode, owner) as place, Impostor("clear", place.socket) as impostor:
        shutil.chown(place.socket, "nobody")
        own = {"login_unix_socket": place.path, "login_password": SECRET}
        with pytest.raises(CollectionError) as caught:
            postgresql.connect(own, os_user)
        # The process behind it is root's, so libpq itself ends the connection where the file would be believed.
        assert caught.value.reason == "peer"
        assert ("belongs to nobody" in str(caught.value)) is not believed
        time.sleep(0.1)
        assert impostor.got == b""


def test_two_runs_that_create_the_same_user_at_once_both_end_well(run_module, server):
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port, "create": True}
    for number in range(3):
        name = f"twins{number}"
        wish = {**own, "name": name, "owner": f"{name}_owner", "password": SECRET}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [pool.submit(run_module, "postgresql_password", **wish) for _run in range(3)]
        results = [run.result() for run in runs]
        assert [result["failed"] for result in results] == [False] * 3, results
        server.connect(user=name, password=SECRET).close()


def test_two_runs_that_create_the_same_databases_at_once_both_end_well(run_module, server):
    server.query("CREATE ROLE keeper")
    wish = {"login_unix_socket": server.socket_directory, "login_port": server.port, "owner": "keeper"}
    wish["databases"] = ["shared_a", "shared_b", "shared_c"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(run_module, "postgresql_databases", **wish) for _run in range(3)]
    results = [run.result() for run in runs]
    assert [result["failed"] for result in results] == [False] * 3, results
    found = server.query(
        "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'shared%%' ORDER BY 1"
    )
    assert found == [(name, "keeper") for name in wish["databases"]]


def test_two_sessions_that_create_the_same_user_at_once(server):
    """The same without chance: the second waits for the first, and then finds the user there."""
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port}
    outcomes = []

    def second():
        connection = postgresql.connect(own)
        wanted = role_password.Wanted("twin", SECRET, create=True, flags=("LOGIN",))
        outcomes.append(role_password.ensure(connection, wanted, own))
        connection.close()

    first = server.connect()
    with first.cursor() as cursor:
        cursor.execute("BEGIN; CREATE ROLE twin")
        thread = threading.Thread(target=second)
        thread.start()
        while not server.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert thread.is_alive()
        cursor.execute("COMMIT")
    thread.join()
    first.close()
    assert "the user is not LOGIN" in outcomes[0].because
    server.connect(user="twin", password=SECRET).close()


def test_an_existing_superuser_is_warned_of(run_module, server):
    server.query(f"CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{SECRET}'")
    own = {"login_unix_socket": server.socket_directory, "login_port": server.port, "name": "boss", "password": SECRET}
    result = run_module("postgresql_password", create=True, role_attr_flags=["LOGIN", "CREATEDB"], **own)
    assert "boss is an existing superuser" in str(result["warnings"])
    assert "warnings" not in run_module("postgresql_password", **own)
    lowered = run_module("postgresql_password", create=True, role_attr_flags=["NOSUPERUSER"], **own)
    assert lowered["changed_because"] == ["the user is not NOSUPERUSER"]
    assert "warnings" not in run_module("postgresql_password", create=True, **own)


def test_a_password_is_set_for_a_user_that_was_named_only(run_module, server):
    result = run_module("postgresql_password", password=SECRET, login_unix_socket=server.socket_directory)
    assert "name" in result["msg"]


ATTACK = """
CREATE FUNCTION public.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS $$
BEGIN
  IF pg_catalog.current_setting('is_superuser') = 'on' THEN EXECUTE 'ALTER ROLE evil SUPERUSER'; END IF;
  RETURN {value};
END $$;
"""


@pytest.fixture
def hostile(server):
    """A database in which a user without rights shadows whatever a superuser's statement may call."""
    server.query("CREATE ROLE evil LOGIN PASSWORD 'evil 1'; GRANT CREATE ON SCHEMA public TO evil")
    functions = [
        ("format", "text, text, text", "text", "pg_catalog.format($1, $2, $3)"),
        ("format", "text, name, text", "text", "pg_catalog.format($1, $2, $3)"),
        ("current_setting", "text, text", "text", "'off'"),
        ("has_column_privilege", "text, text, text", "bool", "true"),
        ("to_jsonb", "text", "jsonb", "'{}'::jsonb"),
        ("set_config", "text, text, text", "text", "$2"),
        ("coalesce", "text", "text", "$1"),
        ("count", "text", "int", "1"),
        ("concat", "text, text", "text", "pg_catalog.concat($1, $2)"),
    ]
    connection = server.connect(user="evil", password="evil 1")
    with connection.cursor() as cursor:
        for name, arguments, result, value in functions:
            cursor.execute(ATTACK.format(name=name, arguments=arguments, result=result, value=value))
        cursor.execute(
            ATTACK.format(
                name="same", arguments="name, text", result="bool", value="$1::text OPERATOR(pg_catalog.=) $2"
            )
        )
        cursor.execute("CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same)")
        for name in ("pg_roles", "pg_authid", "pg_database", "pg_auth_members", "pg_settings"):
            cursor.execute(f"CREATE VIEW public.{name} AS SELECT * FROM pg_catalog.pg_roles")
    connection.close()
    server.query("ALTER DATABASE postgres SET search_path TO public, pg_catalog")
    yield server
    server.query("ALTER DATABASE postgres RESET search_path")
    server.query("DROP OWNED BY evil CASCADE; DROP ROLE evil")


def test_a_database_user_gains_nothing_from_a_superusers_session(run_module, hostile):
    own = {"login_unix_socket": hostile.socket_directory, "login_port": hostile.port}
    made = run_module("postgresql_password", name="hunted", owner="hunted_owner", password=SECRET, create=True, **own)
    again = run_module("postgresql_password", name="hunted", owner="hunted_owner", password=SECRET, create=True, **own)
    info = run_module(
        "backstage_database_info", login_host=hostile.host, login_port=hostile.port, login_user=hostile.user,
        login_password=hostile.password,
    )  # fmt: skip
    databases = [
        run_module("postgresql_databases", databases=["hunted_data"], owner="hunted_owner", check=check, **own)
        for check in (True, False, False)
    ]
    assert (made["changed"], again["changed"], info["would_start"]) == (True, False, True), (made, again, info)
    assert [result["changed"] for result in databases] == [True, True, False], databases
    assert hostile.query("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'evil'::pg_catalog.name") == [
        (False,)
    ]
