# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socketserver
import ssl
import subprocess
import threading

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import tls_check
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import Login, Tls
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec
from servers import self_signed

# What stands in ssl.ca, where PEM is the server's certificate, and whether the server is then trusted.
AUTHORITIES = {
    "PEM": True,
    "# Zertifizierungsstelle für alles, 認証局\nPEM# é\n": True,
    "\ufeffPEM": True,
    "PEM-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n": True,
    "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\nPEM": False,
    "ü PEM": False,
    "rubbish": False,
    " ": False,
    "": True,  # as if it were not given: the default authorities count, one of which is the server's here
}
_JUDGE = """
const { port, authorities } = JSON.parse(require('fs').readFileSync(0));
const trusts = ca => new Promise(done => {
  const plain = require('net').connect(port, '127.0.0.1');
  plain.write(Buffer.from('0000000804d2162f', 'hex'));
  plain.once('data', () => {
    const secure = require('tls').connect({ socket: plain, host: '127.0.0.1', ca }, () => done(true));
    secure.on('error', () => done(false));
  });
});
(async () => {
  const answers = [];
  for (const ca of authorities) answers.push(await trusts(ca));
  console.log(JSON.stringify(answers));
})();
"""


class _Server(socketserver.ThreadingTCPServer):
    """Turns to TLS as PostgreSQL does, and says no more."""

    daemon_threads = True

    def __init__(self, key, certificate):
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.certificate = certificate
        self.port = self.server_address[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def finish_request(self, request, client_address):
        assert len(request.recv(8)) == 8
        request.sendall(b"S")
        with contextlib.suppress(OSError):  # of a client that does not trust it
            self._context.wrap_socket(request, server_side=True).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    key, certificate = self_signed(tmp_path_factory.mktemp("tls"))
    with _Server(key, certificate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def problem(server, ca, verify=True):
    tls = Tls(verify=verify, ca=ca.replace("PEM", server.certificate.read_text()))
    return tls_check.tls_problem(Login("127.0.0.1", server.port, "me", "mine", tls=tls))


@pytest.mark.parametrize("ca", AUTHORITIES)
def test_the_authorities_that_count(server, monkeypatch, ca):
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    found = problem(server, ca)
    assert (found is None) is AUTHORITIES[ca]
    assert found is None or found.message.endswith("as that of 127.0.0.1: the text of ssl.ca holds no certificate.")
    assert problem(server, ca, verify=False) is None


def test_a_server_that_no_default_authority_knows(server):
    assert re.search(r"as that of 127\.0\.0\.1: self.signed certificate\.$", problem(server, "").message)


def test_a_server_that_rejects_the_client_certificate(tmp_path):
    """With TLS 1.2 it does so in the handshake; later versions tell the login."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority, other = Authority(), Authority("Another CA")
    with _Server(*self_signed(tmp_path)) as server:
        server._context.maximum_version = ssl.TLSVersion.TLSv1_2
        server._context.verify_mode = ssl.CERT_OPTIONAL
        server._context.load_verify_locations(cadata=authority.pem)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for issuer, words in ((authority, None), (other, "rejects the client certificate of Backstage: unknown ca.")):
            shown = pem(issuer.sign("portal", key, [])), key_pem(key)
            tls = Tls(verify=False, client_certificate=shown)
            found = tls_check.tls_problem(Login("127.0.0.1", server.port, "me", "mine", tls=tls))
            assert (found and found.message.endswith(words)) if words else found is None, found
        server.shutdown()


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("x", "y", "are not a certificate and a private key in PEM form."),
        ("good", "other", "do not belong together."),
        ("good", "locked", "cannot be used; a key must have no passphrase."),
    ],
)
def test_a_client_certificate_that_node_could_not_use(certificate, key, words):
    own, other = (ec.generate_private_key(ec.SECP256R1()) for _key in range(2))
    texts = {"good": pem(Authority().sign("portal", own, [])), "other": key_pem(other), "locked": key_pem(own, b"x")}
    tls = Tls(verify=False, client_certificate=(texts.get(certificate, certificate), texts.get(key, key)))
    found = tls_check.tls_problem(Login("127.0.0.1", 1, "me", "mine", tls=tls))
    assert found.message == f"ssl.cert and ssl.key of backend.database.connection {words}"


@pytest.mark.skipif(not shutil.which("node"), reason="node is not on PATH")
def test_node_counts_them_so(server):
    pem = server.certificate.read_text()
    asked = {"port": server.port, "authorities": [ca.replace("PEM", pem) for ca in AUTHORITIES]}
    done = subprocess.run(
        ["node", "-e", _JUDGE],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(server.certificate)},
    )
    assert dict(zip(AUTHORITIES, json.loads(done.stdout))) == AUTHORITIES
