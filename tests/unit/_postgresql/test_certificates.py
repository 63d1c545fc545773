# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.certificates import problems
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ["db.example.com", "10.0.0.5"]


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A CA of the tests."""

    def __init__(self, name="CA", issuer=None, days=100):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name
        self.certificate = (issuer or self).sign(name, self.key, names=[], authority=True, days=days)
        self.pem = _pem(self.certificate)

    def sign(self, subject, key, names, *, authority=False, start=-1, days=90):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=start))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            listed = [
                x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() or ":" in name else x509.DNSName(name)
                for name in names
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _key_pem(key, passphrase=None):
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


CA = Authority()
OTHER = Authority("Another CA")
MIDDLE = Authority("Intermediate", issuer=CA)
KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = _pem(CA.sign("db", KEY, NAMES))


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (GOOD, NAMES),
        (_pem(CA.sign("db", KEY, ["*.example.com", "10.0.0.5"])), NAMES),
        (_pem(CA.sign("db", KEY, ["DB.example.com", "::1"])), ["db.EXAMPLE.com", "0:0::1"]),
        (_pem(MIDDLE.sign("db", KEY, NAMES)) + MIDDLE.pem, NAMES),
    ],
)
def test_a_good_certificate_has_no_problem(certificate, names):
    assert problems(certificate, CA.pem, names, renew_days=30, private_key=_key_pem(KEY)) == []


@pytest.mark.parametrize(
    ("certificate", "authority", "key", "sentence"),
    [
        ("", CA.pem, "", "The certificate is missing."),
        ("-----BEGIN nonsense", CA.pem, "", "The certificate is not a certificate in PEM form."),
        (GOOD, "", "", "The CA certificate is missing."),
        (GOOD, _key_pem(KEY), "", "The CA certificate is not a certificate in PEM form."),
        (_pem(CA.sign("db", KEY, NAMES, start=-9, days=-1)), CA.pem, "", "The certificate expired on"),
        (_pem(CA.sign("db", KEY, NAMES, days=3)), CA.pem, "", "in less than 30 days. Renew it."),
        (_pem(CA.sign("db", KEY, NAMES, start=2)), CA.pem, "", "The certificate is not valid before"),
        (GOOD, OTHER.pem, "", "which the CA certificate does not vouch for."),
        (_pem(MIDDLE.sign("db", KEY, NAMES)), CA.pem, "", "which the CA certificate does not vouch for."),
        (_pem(CA.sign("db", KEY, ["other.example.com"])), CA.pem, "", "for other.example.com, not for db.example.com"),
        (_pem(CA.sign("db.example.com", KEY, [])), CA.pem, "", "for no name at all, not for"),
        (_pem(CA.sign("db", KEY, ["*.com", "10.0.0.5"])), CA.pem, "", "not for db.example.com"),
        (_pem(CA.sign("db", KEY, NAMES, authority=True)), CA.pem, "", "The certificate is one of a CA."),
        (GOOD, CA.pem, _key_pem(CA.key), "The private key does not belong to the certificate."),
        (GOOD, CA.pem, _key_pem(KEY, b"secret"), "The private key has a passphrase."),
        (GOOD, CA.pem, GOOD, "The private key is not a key in PEM form."),
        (_pem(CA.sign("db", KEY, NAMES)), Authority(days=-1).pem, "", "The CA certificate expired on"),
    ],
)
def test_a_bad_certificate_gets_a_sentence(certificate, authority, key, sentence):
    found = problems(certificate, authority, NAMES, renew_days=30, private_key=key)
    assert any(sentence in text for text in found), found
    assert not any("PRIVATE" in text and len(text) > 200 for text in found)
