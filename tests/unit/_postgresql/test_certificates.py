# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.certificates import (
    problems,
    public_key_digest,
)
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMES = ["db.example.com", "10.0.0.5"]
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
CA = Authority()
OTHER = Authority("Another CA")
MIDDLE = Authority("Intermediate", issuer=CA)
KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = pem(CA.sign("db", KEY, NAMES))


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (GOOD, NAMES),
        (pem(CA.sign("db", KEY, ["*.example.com", "10.0.0.5"])), NAMES),
        (pem(CA.sign("db", KEY, ["DB.example.com", "::1"])), ["db.EXAMPLE.com", "0:0::1"]),
        (pem(MIDDLE.sign("db", KEY, NAMES)) + MIDDLE.pem, NAMES),
    ],
)
def test_a_good_certificate_has_no_problem(certificate, names):
    assert problems(certificate, CA.pem, names, renew_days=30, private_key=key_pem(KEY)) == []


@pytest.mark.parametrize(
    ("certificate", "authority", "key", "sentence"),
    [
        ("", CA.pem, "", "The certificate is missing."),
        ("-----BEGIN nonsense", CA.pem, "", "The certificate is not a certificate in PEM form."),
        (GOOD, "", "", "The CA certificate is missing."),
        (GOOD, key_pem(KEY), "", "The CA certificate has a private key beside it"),
        (pem(CA.sign("db", KEY, NAMES, start=-9, days=-1)), CA.pem, "", "The certificate expired on"),
        (pem(CA.sign("db", KEY, NAMES, days=3)), CA.pem, "", "in less than 30 days. Renew it."),
        (pem(CA.sign("db", KEY, NAMES, start=2)), CA.pem, "", "The certificate is not valid before"),
        (GOOD, OTHER.pem, "", "which the CA certificate does not vouch for."),
        (pem(MIDDLE.sign("db", KEY, NAMES)), CA.pem, "", "which the CA certificate does not vouch for."),
        (pem(CA.sign("db", KEY, ["other.example.com"])), CA.pem, "", "for other.example.com, not for db.example.com"),
        (pem(CA.sign("db.example.com", KEY, [])), CA.pem, "", "for no name at all, not for"),
        (pem(CA.sign("db", KEY, ["*.com", "10.0.0.5"])), CA.pem, "", "not for db.example.com"),
        (pem(CA.sign("db", KEY, NAMES, authority=True)), CA.pem, "", "The certificate is one of a CA."),
        (GOOD, CA.pem, key_pem(CA.key), "The private key does not belong to the certificate."),
        (GOOD, CA.pem, key_pem(KEY, b"secret"), "The private key has a passphrase."),
        (GOOD, CA.pem, GOOD, "The private key is not a key in PEM form."),
        (pem(CA.sign("db", KEY, NAMES)), Authority(days=-1).pem, "", "The CA certificate expired on"),
        (GOOD + key_pem(KEY), CA.pem, "", "The certificate has a private key beside it"),
        (pem(CA.sign("db", rsa.generate_private_key(65537, 1024), NAMES)), CA.pem, "", "a weak key of 1024 bits."),
        (pem(CA.sign("db", ec.generate_private_key(ec.SECP192R1()), NAMES)), CA.pem, "", "a weak key of 192 bits."),
        (pem(CA.sign("db", KEY, NAMES, usages=[CLIENT])), CA.pem, "", "is not for a TLS server"),
        (pem(CA.sign("db", KEY, NAMES, signatures=False)), CA.pem, "", "is not for digital signatures"),
        (GOOD, GOOD, "", "is not one of a CA (CA:FALSE)."),
        (GOOD, CA.pem, "no PEM", "The private key is not a key in PEM form."),
    ],
)
def test_a_bad_certificate_gets_a_sentence(certificate, authority, key, sentence):
    found = problems(certificate, authority, NAMES, renew_days=30, private_key=key)
    assert any(sentence in text for text in found), found
    assert not any("PRIVATE" in text and len(text) > 200 for text in found)


def test_the_key_may_be_known_by_its_fingerprint():
    digest = public_key_digest(KEY.public_key())
    spelt = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper()
    assert problems(GOOD, CA.pem, NAMES, fingerprint=spelt) == []
    (found,) = problems(GOOD, CA.pem, NAMES, fingerprint=public_key_digest(CA.key.public_key()))
    assert "does not belong" in found


def test_the_certificate_of_a_client():
    good = pem(CA.sign("backstage", KEY, [], usages=[CLIENT]))
    assert problems(good, CA.pem, [], usages=["clientAuth"], common_name="backstage") == []
    assert "not for another" in problems(good, CA.pem, [], usages=["clientAuth"], common_name="another")[0]
    server = pem(CA.sign("backstage", KEY, NAMES, usages=[ExtendedKeyUsageOID.SERVER_AUTH]))
    assert "not for a TLS client" in problems(server, CA.pem, [], usages=["clientAuth"], common_name="backstage")[0]


def test_a_certificate_that_is_signed_with_sha1(tmp_path):
    """By openssl, since the library does not sign with it any more."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-sha1", "-days", "2", "-subj", "/CN=db", "-addext", "subjectAltName=DNS:db.example.com"]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True)
    found = problems((tmp_path / "crt").read_text(), CA.pem, NAMES)
    assert "The certificate is signed with SHA1, which clients reject. Have it issued with SHA-256." in found


def test_a_member_of_a_cluster_is_server_and_client():
    both = ["serverAuth", "clientAuth"]
    server = pem(CA.sign("db", KEY, NAMES, usages=[ExtendedKeyUsageOID.SERVER_AUTH]))
    assert problems(server, CA.pem, NAMES) == []
    (found,) = problems(server, CA.pem, NAMES, usages=both)
    assert "not for a TLS client" in found
    member = pem(CA.sign("db", KEY, NAMES, usages=[ExtendedKeyUsageOID.SERVER_AUTH, CLIENT]))
    assert problems(member, CA.pem, NAMES, usages=both) == []
