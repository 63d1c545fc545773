# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgresql_config takes a cluster from plain to encrypted connections, and loads a new certificate."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import threading
import time

import psycopg2
import pytest
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

    def client(self, sslmode):
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", sslmode=sslmode
        )

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


@pytest.fixture
def plain(run_module, folder):
    """A cluster as it is before anybody asks for encryption."""
    one = Encrypted(run_module, folder)
    try:
        one.ok({"ssl": False}, RULES, initdb_options=["--no-sync"])
        one.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        yield one
    finally:
        one.drop()


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
