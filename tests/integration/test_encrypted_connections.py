# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgresql_config takes a cluster from plain to encrypted connections, and loads a new certificate."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import threading
import time

import psycopg2
import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import encryption
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.current_config import (
    ClusterChoice,
    current_config,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.encrypted_rules import Encryption
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import detect
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from servers import self_signed
from test_postgresql_config import Made

USER, PASSWORD = "portal", "of no interest"
RULES = [{"type": "host", "users": [USER], "address": "127.0.0.1/32"}]


class Encrypted(Made):
    """A cluster with a certificate, and clients of it."""

    def __init__(self, run_module, folder):
        super().__init__(run_module)
        self.folder = folder
        self.tls = {
            "ssl": True,
            "ssl_min_protocol_version": "TLSv1.2",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
        }
        self.issue()

    def issue(self):
        """A new key and certificate."""
        fresh = self.folder / "fresh"
        fresh.mkdir(exist_ok=True)
        for path in self_signed(fresh):
            shutil.chown(path, "postgres")
            os.replace(path, self.folder / path.name)

    def encrypt(self, rules=None, **more):
        return self.ok(self.tls, RULES if rules is None else rules, encrypted_users=[USER], **more)

    def client(self, sslmode, **more):
        login = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": "postgres"}
        return psycopg2.connect(**{**login, "sslmode": sslmode, **more})

    def served(self):
        """The certificate that the server presents now."""
        return ssl.PEM_cert_to_DER_cert((self.folder / "server.crt").read_text("ascii")), self._presented()

    def _presented(self):
        request = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            plain.sendall(request)
            assert plain.recv(1) == b"S"
            with context.wrap_socket(plain) as wrapped:
                return wrapped.getpeercert(binary_form=True)


@pytest.fixture
def folder(tmp_path_factory):
    """One that the server's OS user can reach."""
    path = tmp_path_factory.mktemp("certificates")
    for directory in (path, *path.parents[:-2]):
        os.chmod(directory, 0o755)
    return path


@contextlib.contextmanager
def created(one):
    """The cluster, with its rules and its user, and without TLS."""
    try:
        one.ok({"ssl": False}, RULES, initdb_options=["--no-sync"])
        one.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        yield one
    finally:
        one.drop()


@pytest.fixture
def plain(run_module, folder):
    """A cluster as it is before anybody asks for encryption."""
    with created(Encrypted(run_module, folder)) as one:
        yield one


def test_from_plain_to_encrypted_without_cutting_anybody_off(plain):
    before = plain.client("disable")
    first = plain.encrypt()
    assert first["reloaded"]
    assert not first["restarted"]
    assert len(first["unencrypted_rules"]) == 2
    # Both ways work meanwhile, and nothing is done twice.
    plain.client("disable").close()
    encrypted = plain.client("require")
    assert not plain.encrypt()["changed"]
    # A client that would be cut off keeps the rules as they are.
    started = time.monotonic()
    held = plain.run(plain.tls, RULES, encrypted_users=[USER], require_encryption=True)
    assert time.monotonic() - started < 60
    assert (held["failed"], held["changed"]) == (False, False)
    warning = json.dumps(held["warnings"])
    assert f"{USER} from 127.0.0.1 (1)" in warning
    assert "Restart these clients" in warning
    before.close()
    narrowed = plain.encrypt(require_encryption=True)
    assert narrowed["changed"]
    assert narrowed["unencrypted_rules"] == []
    with pytest.raises(psycopg2.OperationalError, match=r"pg_hba\.conf rejects connection"):
        plain.client("disable")
    plain.client("require").close()
    assert not encrypted.closed
    with encrypted.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    encrypted.close()
    # No run flips it back; a rule of another app host is encrypted from the start.
    assert not plain.encrypt()["changed"]
    more = [*RULES, {"type": "host", "users": [USER], "address": "10.0.0.8/32"}]
    assert plain.encrypt(more)["unencrypted_rules"] == []
    kinds = {line.split("\t")[0] for line in plain.access_file.read_text("utf-8").splitlines() if f"\t{USER}\t" in line}
    assert kinds == {"hostssl", "hostnossl"}


def test_a_client_that_ends_in_time_is_waited_for(plain):
    plain.encrypt()
    leaving = plain.client("disable")
    timer = threading.Timer(3, leaving.close)
    timer.start()
    result = plain.run(plain.tls, RULES, encrypted_users=[USER], require_encryption=True)
    timer.join()
    assert (result["failed"], result["unencrypted_rules"]) == (False, [])


def test_a_new_cluster_is_encrypted_from_the_start(run_module, folder):
    one = Encrypted(run_module, folder)
    try:
        result = one.encrypt(initdb_options=["--no-sync"])
        assert result["created"]
        assert result["unencrypted_rules"] == []
        one.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        with pytest.raises(psycopg2.OperationalError, match=r"pg_hba\.conf rejects connection"):
            one.client("disable")
        one.client("require").close()
    finally:
        one.drop()


def test_a_renewed_certificate_is_loaded_once_under_an_open_connection(plain):
    plain.encrypt(require_encryption=True)
    on_disk, presented = plain.served()
    assert on_disk == presented
    held = plain.client("require")
    plain.issue()
    renewed, presented = plain.served()
    assert renewed != presented
    # Nothing is asked for: the settings in the portal's file name the certificate.
    arguments = {"version": plain.cluster().version, "cluster": plain.name}
    assert plain.module(check=True, **arguments)["reloaded"]
    result = plain.module(**arguments)
    assert (result["failed"], result["reloaded"], result["restarted"]) == (False, True, False)
    assert plain.served() == (renewed, renewed)
    assert not plain.module(**arguments)["changed"]
    with held.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    held.close()


def test_a_certificate_that_the_server_cannot_load_is_reported(plain):
    plain.encrypt()
    _old, presented = plain.served()
    (plain.folder / "server.key").write_text("no key", encoding="ascii")
    result = plain.module(version=plain.cluster().version, cluster=plain.name)
    assert result["failed"]
    assert "could not load private key file" in result["msg"]
    assert plain.served()[1] == presented


class Certified(Encrypted):
    """A cluster that can demand client certificates, and two clients that have one: the other's CA is not known."""

    def __init__(self, run_module, folder):
        super().__init__(run_module, folder)
        authority, other = Authority(), Authority("Another CA")
        self.tls["ssl_ca_file"] = str(folder / "ca.crt")
        (folder / "ca.crt").write_text(authority.pem, encoding="ascii")
        self.key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        self.pairs = {
            "good": self._pair("good", authority.sign("portal-host", self.key, [], usages=usages)),
            "expired": self._pair("expired", authority.sign("portal-host", self.key, [], start=-9, days=-1)),
            "foreign": self._pair("foreign", other.sign("portal-host", self.key, [])),
            "no client": self._pair(
                "no_client", authority.sign("db", self.key, [], usages=[ExtendedKeyUsageOID.SERVER_AUTH])
            ),
            "mismatch": self._pair("mismatch", authority.sign("x", ec.generate_private_key(ec.SECP256R1()), [])),
        }

    def _pair(self, name, certificate):
        paths = {"ssl_cert": self.folder / f"{name}.crt", "ssl_key": self.folder / f"{name}.key"}
        paths["ssl_cert"].write_text(pem(certificate), encoding="ascii")
        paths["ssl_key"].write_text(key_pem(self.key), encoding="ascii")
        paths["ssl_key"].chmod(0o600)
        return {option: str(path) for option, path in paths.items()}

    def encrypt(self, rules=None, **more):
        return super().encrypt(rules, **{"client_certificates": "verify-ca", **more})

    def certificate(self, name):
        """Options of a client that shows a certificate."""
        return {option.replace("_", ""): path for option, path in self.pairs[name].items()}

    def shown(self, name):
        """The subject of the certificate that the server saw, of a client that logs in with one."""
        with contextlib.closing(self.client("require", **self.certificate(name))) as client, client.cursor() as cursor:
            cursor.execute("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            return cursor.fetchone()[0]

    def info(self, **more):
        """What backstage_database_info reports about a login with these options."""
        return self._run(
            "backstage_database_info", login_host="127.0.0.1", login_port=self.port, login_user=USER,
            login_password=PASSWORD, ssl_mode="require", fail_on_problem=True, **more,
        )  # fmt: skip


@pytest.fixture
def certified(run_module, folder):
    """A cluster whose clients encrypt, and have no certificate yet."""
    with created(Certified(run_module, folder)) as one:
        one.encrypt(client_certificates="omit", require_encryption=True)
        yield one


def test_from_passwords_alone_to_client_certificates(certified):
    bare = certified.client("require")
    first = certified.encrypt()
    assert not first["changed"]
    assert len(first["unencrypted_rules"]) == 2
    # Both ways work meanwhile, and a client without a certificate keeps the rules as they are.
    certified.client("require").close()
    assert certified.shown("good") == "/CN=portal-host"
    held = certified.run(
        certified.tls, RULES, encrypted_users=[USER], client_certificates="verify-ca", require_encryption=True
    )
    assert (held["failed"], held["changed"]) == (False, False)
    assert f"without TLS or a client certificate, because clients have some: {USER} from 127.0.0.1 (1)" in json.dumps(
        held["warnings"]
    )
    bare.close()
    assert certified.encrypt(require_encryption=True)["unencrypted_rules"] == []
    with pytest.raises(psycopg2.OperationalError, match="requires a valid client certificate"):
        certified.client("require")
    assert certified.shown("good") == "/CN=portal-host"
    # The password counts as before.
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        certified.client("require", password="x", **certified.certificate("good"))
    # No run flips it back, and a rule of another app host demands one from the start.
    assert not certified.encrypt()["changed"]
    more = [*RULES, {"type": "host", "users": [USER], "address": "10.0.0.8/32"}]
    assert certified.encrypt(more)["unencrypted_rules"] == []
    lines = certified.access_file.read_text("utf-8").splitlines()
    assert f"hostssl\tall\t{USER}\t10.0.0.8/32\tscram-sha-256\tclientcert=verify-ca" in lines
    assert f"hostssl\tall\t{USER}\tall\treject" in lines
    # Nobody is asked for one any more.
    assert certified.encrypt(client_certificates="omit")["changed"]
    certified.client("require").close()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (None, "demands a client certificate of portal, and got none. Set ssl_cert and ssl_key."),
        ("foreign", "does not trust the CA of the client certificate"),
        ("expired", "The client certificate expired, and the server at 127.0.0.1 port"),
        ("no client", "rejects the client certificate"),
        ("mismatch", "The private key does not belong to the client certificate."),
        ("good", ""),
    ],
)
def test_modules_that_log_in_over_the_network(certified, name, sentence):
    certified.encrypt(require_encryption=True)
    result = certified.info(**(certified.pairs[name] if name else {}))
    assert result["failed"] is bool(sentence), result["msg"]
    assert sentence in result["msg"]
    if name == "good":
        changed = certified._run(
            "postgresql_password", name=USER, password="the next", login_host="127.0.0.1", login_port=certified.port,
            login_user=USER, login_password=PASSWORD, ssl_mode="require", **certified.pairs["good"],
        )  # fmt: skip
        assert (changed["failed"], changed["changed"]) == (False, True)


def test_a_certificate_in_the_home_of_root_is_not_shown(certified, tmp_path):
    certified.encrypt(require_encryption=True)
    home = tmp_path / ".postgresql"
    home.mkdir()
    for option, name in (("ssl_cert", "postgresql.crt"), ("ssl_key", "postgresql.key")):
        shutil.copy(certified.pairs["good"][option], home / name)
    assert "got none" in certified.info(env={"HOME": str(tmp_path)})["msg"]


@pytest.mark.usefixtures("no_journal_stays")
def test_what_backstage_shows(certified, tmp_path):
    """The files of an app decide, as Backstage reads them."""
    certified.encrypt(require_encryption=True)
    path = tmp_path / "app-config.yaml"
    path.write_text("backend: {}\n", encoding="ascii")
    certificate = (certified.folder / "server.crt").read_text("ascii")

    def look(pair):
        arguments = {"client_certificate": {"cert": pair["ssl_cert"], "key": pair["ssl_key"]}} if pair else {}
        changed = certified._run(
            "backstage_app_config", path=str(path), credentials="literal", host="127.0.0.1", port=str(certified.port),
            user=USER, password=PASSWORD, ca=certificate, allow_tracked=True, **arguments,
        )  # fmt: skip
        assert not changed["failed"], changed
        return certified._run("backstage_database_info", directory=str(tmp_path))

    for name, sentence in (
        (None, "demands a client certificate of portal, and got none."),
        ("foreign", "does not trust the CA of the client certificate"),
        ("expired", "The client certificate expired"),
        ("mismatch", "ssl.cert and ssl.key of backend.database.connection do not belong together."),
    ):
        found = look(certified.pairs[name] if name else None)
        assert (found["would_start"], found["client_certificate"]) == (False, name is not None)
        (problem,) = [check for check in found["checks"] if check["ok"] is False]
        assert (problem["name"], sentence in problem["message"]) == ("tls", True), problem["message"]
        assert "backend.database.connection" in problem["message"] + problem["remedy"] or name == "mismatch"
    found = look(certified.pairs["good"])
    assert found["client_certificate"] is True
    assert certified.pairs["good"]["ssl_key"] in path.read_text()
    (tls,) = [check for check in found["checks"] if check["name"] == "tls"]
    assert tls["ok"], tls
    assert found["server_version"]
    # A rotation logs in with it as well.
    rotation = {"directory": str(tmp_path), "credentials": "literal", "user": USER, "password": "the next"}
    run_id = None
    for stage in ("begin", "switch", "ready", "finish"):
        done = certified._run("backstage_rotation", stage=stage, path=str(path), run_id=run_id, **rotation)
        assert not done["failed"], done["msg"]
        run_id = done.get("run_id", run_id)
    certified.client("require", password="the next", **certified.certificate("good")).close()
    # Not what is there but what Backstage can read counts.
    os.remove(certified.pairs["good"]["ssl_key"])
    broken = certified._run("backstage_database_info", directory=str(tmp_path))
    assert broken["would_start"] is False
    assert certified.pairs["good"]["ssl_key"] in broken["msg"]


def test_clients_that_other_rules_allow_are_not_cut_off(certified, monkeypatch):
    """Only the portal's rules count for its users once client certificates are demanded."""
    monkeypatch.setattr(encryption, "_is_own", lambda _address: False)
    wanted = Encryption([USER], True, "verify-ca")
    rules = [AccessRule("hostssl", "scram-sha-256", address="10.0.0.8/32")]
    choice = ClusterChoice(certified.cluster().version, certified.name, False, 0)
    with contextlib.closing(certified.client("require")), current_config(detect(), choice) as current:
        (warning,) = encryption._left_out(current, wanted, rules)
        assert f"allows {USER} from 127.0.0.1, where clients are connected" in warning
        assert encryption._left_out(current, wanted, [AccessRule("host", "scram-sha-256", address="all")]) == []
    monkeypatch.undo()
    assert encryption._is_own("127.0.0.1")
    assert not encryption._is_own("192.0.2.1")
