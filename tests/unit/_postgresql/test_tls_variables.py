# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import tls_variables
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMES = ["db.example.com"]
CA, OTHER = Authority(), Authority("Another")
KEY = ec.generate_private_key(ec.SECP256R1())
GIVEN = {"certificate": pem(CA.sign("db", KEY, NAMES)), "private_key": key_pem(KEY), "ca": CA.pem}


def problems(folder="/nowhere", **given):
    options = {name: option.get("default") for name, option in tls_variables.OPTIONS.items()}
    options.update(ca_directory=str(folder), names=NAMES, days=365, renew_days=30)
    return tls_variables.problems({**options, **given})


@pytest.mark.parametrize(
    "given",
    [{}, GIVEN, {**GIVEN, "names": ["DB.example.com"]}, {"days": 31}, {"certificate": " \n"}],
)
def test_good_variables(given):
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"renew_days": 365}, "renew_days: 365 is not less than backstage_postgresql_tls_days, 365"),
        ({"names": []}, "names: is empty."),
        (
            {"ca": CA.pem},
            "certificate and backstage_postgresql_tls_private_key: required with backstage_postgresql_tls_ca.",
        ),
        ({**GIVEN, "private_key": ""}, "private_key: required with backstage_postgresql_tls_certificate."),
        ({**GIVEN, "ca": OTHER.pem}, "certificate: The certificate was issued by CN=CA"),
        ({**GIVEN, "certificate": "server.crt"}, "certificate: is neither PEM text nor the absolute path"),
        ({**GIVEN, "certificate": "/nowhere/a.crt"}, "certificate: /nowhere/a.crt cannot be read on the control node"),
    ],
)
def test_bad_variables(given, sentence):
    (found,) = problems(**given)
    assert sentence in found
    assert found.startswith("backstage_postgresql_tls_")


CLIENT = {
    "host": "portal",
    "certificate": pem(CA.sign("portal", KEY, [], usages=[ExtendedKeyUsageOID.CLIENT_AUTH])),
    "private_key": key_pem(KEY),
}


def test_good_client_certificates():
    assert problems(**GIVEN, clients=[CLIENT]) == []
    assert problems(clients=[{"host": "portal", "certificate": "", "private_key": ""}]) == []


def signed(ca=CA, **more):
    """The certificate of a client that is signed by a CA."""
    return pem(ca.sign("portal", KEY, [], **more))


@pytest.mark.parametrize(
    ("given", "sentences"),
    [
        ({"certificate": signed(start=-9, days=-1)}, ["The certificate expired on"]),
        ({"certificate": signed(start=2)}, ["The certificate is not valid before"]),
        ({"certificate": signed(OTHER)}, ["which the CA certificate does not vouch for."]),
        ({"certificate": signed(usages=[ExtendedKeyUsageOID.SERVER_AUTH])}, ["is not for a TLS client"]),
        ({"private_key": key_pem(CA.key)}, ["The private key does not belong to the certificate."]),
        ({"private_key": key_pem(KEY, b"secret")}, ["The private key has a passphrase."]),
        ({"certificate": "client.crt"}, ["certificate: is neither PEM text nor the absolute path"]),
        (
            {"certificate": "", "private_key": ""},
            ["certificate of portal: required", "private_key of portal: required"],
        ),
    ],
)
def test_bad_client_certificates(given, sentences):
    found = problems(**GIVEN, clients=[CLIENT, {**CLIENT, **given}])
    assert len(found) == len(sentences)
    for problem, sentence in zip(found, sentences):
        assert sentence in problem
        assert problem.startswith("backstage_postgresql_tls_client_")
        assert "portal" in problem


def test_a_client_certificate_beside_a_ca_of_ones_own():
    found = problems(clients=[CLIENT])
    assert len(found) == 2
    assert all("the CA on the control node issues the server's certificate" in problem for problem in found)


def test_files_on_the_control_node(tmp_path):
    paths = {name: tmp_path / name for name in GIVEN}
    for name, text in GIVEN.items():
        paths[name].write_text(text)
        paths[name].chmod(0o600 if name == "private_key" else 0o644)
    given = {name: str(path) for name, path in paths.items()}
    assert problems(**given) == []
    assert tls_variables.pem_text(given["ca"]) == CA.pem
    paths["private_key"].chmod(0o640)
    (found,) = problems(**given)
    assert f"private_key: other users can read the private key {paths['private_key']} (mode 0640)." in found
    paths["private_key"].chmod(0o600)
    paths["ca"].write_text("$ANSIBLE_VAULT;1.1;AES256\n00")
    assert "is encrypted with Ansible Vault" in problems(**given)[0]


@pytest.fixture
def folder(tmp_path):
    """A CA of one's own."""
    (tmp_path / "ca.crt").write_text(CA.pem)
    (tmp_path / "ca.key").write_text(key_pem(CA.key))
    (tmp_path / "ca.key").chmod(0o600)
    return tmp_path


def test_a_ca_of_ones_own(folder):
    assert problems(folder) == []
    (folder / "ca.key").write_text(key_pem(CA.key, b"secret"))
    assert problems(folder, ca_passphrase="secret") == []
    # As a killed run leaves it.
    (folder / "ca.crt").unlink()
    assert problems(folder, ca_passphrase="secret") == []


@pytest.mark.parametrize(
    ("file", "content", "mode", "given"),
    [
        ("ca.key", None, 0o644, ("", "other users can read the private key")),
        ("ca.key", "no key", 0o600, ("", "ca.key is not a private key in PEM form.")),
        ("ca.key", key_pem(OTHER.key), 0o600, ("", "was not issued for the key beside it.")),
        ("ca.key", key_pem(CA.key, b"secret"), 0o600, ("", "ca.key has a passphrase. Set the variable to it.")),
        ("ca.key", key_pem(CA.key, b"secret"), 0o600, ("wrong", "ca_passphrase: does not decrypt the key")),
        ("ca.key", None, 0o600, ("secret", "ca.key has no passphrase.")),
        ("ca.crt", "no certificate", 0o644, ("", "ca.crt: The CA certificate is not a certificate in PEM form.")),
        ("ca.crt", Authority(days=-1, key=CA.key).pem, 0o644, ("", "ca.crt: The CA certificate expired on")),
        ("ca.crt", GIVEN["certificate"], 0o644, ("", "is not one of a CA (CA:FALSE).")),
    ],
)
def test_a_broken_ca_of_ones_own(folder, file, content, mode, given):
    passphrase, sentence = given
    if content is not None:
        (folder / file).write_text(content)
    (folder / file).chmod(mode)
    (found,) = problems(folder, ca_passphrase=passphrase)
    assert sentence in found


def test_a_lost_key(folder):
    (folder / "ca.key").unlink()
    assert "has ca.crt and not its key ca.key." in problems(folder)[0]


def test_an_authority_that_ends_soon_is_reported(folder):
    options = {name: option.get("default") for name, option in tls_variables.OPTIONS.items()}
    options.update(ca_directory=str(folder))
    assert tls_variables.warnings(options) == []
    (folder / "ca.crt").write_text(Authority(days=89, key=CA.key).pem)
    assert problems(folder) == []
    assert "in less than 90 days" in tls_variables.warnings(options)[0]
