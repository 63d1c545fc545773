# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Authorities and keys for the tests of certificates."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(thing):
    """The PEM text of a certificate."""
    return thing.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A CA of the tests."""

    def __init__(self, name="CA", issuer=None, days=100, key=None):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = name
        self.certificate = (issuer or self).sign(name, self.key, names=[], authority=True, days=days)
        self.pem = pem(self.certificate)

    def sign(self, subject, key, names, *, authority=False, start=-1, days=90, usages=(), signatures=True):
        """A certificate of a key for host names and addresses, valid from one day to another as seen from now."""
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
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if not signatures:
            usage = dict.fromkeys(_USAGES, False)
            builder = builder.add_extension(x509.KeyUsage(**{**usage, "key_encipherment": True}), critical=True)
        return builder.sign(self.key, hashes.SHA256())


def key_pem(key, passphrase=None):
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()
