# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a certificate, before PostgreSQL or a client finds out.

It needs the library cryptography, which ansible-core brings to the control node; so it is used there only. Names are
compared as Node.js and libpq compare them: the subject alternative names count, the common name does not (RFC 6125,
section 6.4.4; RFC 9525).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

_LEAST_RSA, _LEAST_CURVE = 2048, 224  # bits
_STRONG = 1 << 16  # what has no size of its own


def problems(
    certificate: str,
    authority: str,
    names: Sequence[str],
    *,
    renew_days: int = 0,
    private_key: str = "",
    fingerprint: str = "",
    usages: Sequence[str] = ("serverAuth",),
    common_name: str = "",
) -> list[str]:
    """What is wrong with a certificate; each a sentence with the remedy. Empty where nothing is.

    Args:
        certificate: PEM; further certificates behind the first are the chain.
        authority: PEM of the CA certificates that the other side trusts.
        names: host names and addresses by which clients reach the server; none for a client's certificate.
        renew_days: a certificate that ends within this many days is a problem as well.
        private_key: PEM of its key without passphrase; empty where it is not at hand.
        fingerprint: SHA-256 of its public key in hexadecimal, in the place of `private_key`.
        usages: what it has to be for: "serverAuth", "clientAuth" or both.
        common_name: of a client's certificate: the database user, as PostgreSQL reads it.
    """
    found = load(certificate, "certificate")
    trusted = load(authority, "CA certificate")
    if isinstance(found, str) or isinstance(trusted, str):
        return [text for text in (found, trusted) if isinstance(text, str)]
    first, chain = found[0], [*found[1:], *trusted]
    problem_list = [*date_problems(first, renew_days), *_strength_problems(first)]
    authority_list = [text for ca in trusted for text in authority_problems(ca)]
    problem_list += authority_list
    problem_list += _name_problems(first, names)
    problem_list += _common_name_problems(first, common_name)
    # With another CA certificate, this may be another matter.
    problem_list += [] if authority_list else _signature_problems(first, chain, trusted)
    problem_list += _usage_problems(first, usages)
    problem_list += _key_problems(first, private_key, fingerprint)
    return problem_list


def authority_problems(certificate: Any) -> list[str]:
    """What is wrong with a CA certificate, as loaded."""
    from cryptography import x509

    problem_list = list(date_problems(certificate, 0, "CA certificate"))
    problem_list += _strength_problems(certificate, "CA certificate", signature=False)
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        problem_list.append(
            f"The CA certificate {certificate.subject.rfc4514_string()} is not one of a CA (CA:FALSE). "
            "Use the certificate of the CA that issued the other one."
        )
    return problem_list


def is_from(certificate: str, authority: str) -> bool:
    """Whether a certificate was issued by an authority; true as well for what is not a certificate at all."""
    found, trusted = load(certificate, ""), load(authority, "")
    if isinstance(found, str) or isinstance(trusted, str):
        return True
    return not any(_signature_problems(found[0], [*found[1:], *trusted], trusted))


def public_key_digest(key: Any) -> str:
    """SHA-256 of a public key, in hexadecimal."""
    import hashlib

    from cryptography.hazmat.primitives import serialization

    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def load(text: str, what: str) -> Any:
    """The certificates of a PEM text, or the sentence why there is none."""
    from cryptography import x509

    if not text.strip():
        return f"The {what} is missing."
    if "PRIVATE KEY-----" in text:
        return f"The {what} has a private key beside it, and everybody can read its file. Remove the key."
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return f"The {what} is not a certificate in PEM form. It begins with -----BEGIN CERTIFICATE-----."


def _key_problems(certificate: Any, private_key: str, fingerprint: str) -> Iterable[str]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    digest = fingerprint.replace(":", "").lower()
    if private_key.strip():
        try:
            digest = public_key_digest(load_pem_private_key(private_key.encode(), password=None).public_key())
        except TypeError:
            yield "The private key has a passphrase. Decrypt it; PostgreSQL cannot ask for a passphrase at its start."
            return
        except ValueError:
            yield "The private key is not a key in PEM form. It begins with -----BEGIN PRIVATE KEY-----."
            return
    if digest and digest != public_key_digest(certificate.public_key()):
        yield "The private key does not belong to the certificate. Use the key that it was issued for."


def _strength_problems(certificate: Any, what: str = "certificate", signature: bool = True) -> Iterable[str]:
    """What TLS libraries reject with their defaults (OpenSSL's security level 2)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    key = certificate.public_key()
    if not isinstance(
        key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
    ):
        yield f"The {what} has a key of a kind that TLS does not use. Use RSA or an elliptic curve."
        return
    size = getattr(key, "key_size", _STRONG)
    if size < (_LEAST_RSA if isinstance(key, rsa.RSAPublicKey) else _LEAST_CURVE):
        yield (
            f"The {what} has a weak key of {size} bits. Use RSA with {_LEAST_RSA} bits or more, or an elliptic "
            f"curve with {_LEAST_CURVE} or more."
        )
    algorithm = certificate.signature_hash_algorithm if signature else None
    if algorithm is not None and algorithm.name in ("md5", "sha1"):
        yield f"The {what} is signed with {algorithm.name.upper()}, which clients reject. Have it issued with SHA-256."


def _usage_problems(certificate: Any, wanted: Iterable[str]) -> Iterable[str]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    basic = _extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.ca:
        yield "The certificate is one of a CA. Use a server certificate that the CA has signed."
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    known = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
    for name in wanted:
        if usages is not None and not {known[name], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
            yield (f"The certificate is not for a TLS {name[:6]} (extended key usage {name}). Have it issued for that.")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        yield "The certificate is not for digital signatures (key usage), which TLS needs. Have it issued for that."


def _common_name_problems(certificate: Any, common_name: str) -> Iterable[str]:
    from cryptography.x509.oid import NameOID

    found = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common_name and found != [common_name]:
        yield (
            f"The certificate is for the database user {', '.join(found) or 'nobody'}, not for {common_name}. "
            "Use one with this common name."
        )


def date_problems(certificate: Any, renew_days: int, what: str = "certificate") -> Iterable[str]:
    """Sentences about a certificate that is not valid now, or ends within some days."""
    utc = datetime.timezone.utc
    try:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except AttributeError:  # before cryptography 42
        start = certificate.not_valid_before.replace(tzinfo=utc)
        end = certificate.not_valid_after.replace(tzinfo=utc)
    now = datetime.datetime.now(utc)
    if end <= now:
        yield f"The {what} expired on {end:%Y-%m-%d %H:%M} UTC. Renew it."
    elif end <= now + datetime.timedelta(days=renew_days):
        yield f"The {what} expires on {end:%Y-%m-%d %H:%M} UTC, in less than {renew_days} days. Renew it."
    if start > now:
        yield f"The {what} is not valid before {start:%Y-%m-%d %H:%M} UTC. Check the clocks, or wait."


def _extension(certificate: Any, kind: Any) -> Any:
    from cryptography import x509

    with contextlib.suppress(x509.ExtensionNotFound):
        return certificate.extensions.get_extension_for_class(kind).value
    return None


def _name_problems(certificate: Any, names: Sequence[str]) -> Iterable[str]:
    from cryptography import x509

    alternative = _extension(certificate, x509.SubjectAlternativeName)
    hosts = {name.lower() for name in alternative.get_values_for_type(x509.DNSName)} if alternative else set()
    addresses = set(alternative.get_values_for_type(x509.IPAddress)) if alternative else set()
    missing = [name for name in names if not _named(name, hosts, addresses)]
    if missing:
        have = ", ".join([*sorted(hosts), *sorted(map(str, addresses))]) or "no name at all"
        yield (
            f"The certificate is for {have}, not for {', '.join(missing)}. "
            "Use one whose subject alternative names contain what clients connect to."
        )


def _named(name: str, hosts: set[str], addresses: set[Any]) -> bool:
    try:
        return ipaddress.ip_address(name) in addresses
    except ValueError:
        first, _dot, rest = name.lower().partition(".")
        return name.lower() in hosts or (bool(first and rest) and f"*.{rest}" in hosts)


def _signature_problems(server: Any, chain: Sequence[Any], trusted: Sequence[Any]) -> Iterable[str]:
    """Whether a path of signatures leads to a certificate that clients trust."""
    current, seen = server, 0
    while seen <= len(chain):
        if current in trusted:
            return
        issuer = next((ca for ca in chain if ca is not current and _signed_by(current, ca)), None)
        if issuer is None:
            break
        current, seen = issuer, seen + 1
    yield (
        f"The certificate was issued by {server.issuer.rfc4514_string() or 'an unnamed CA'}, which the CA certificate "
        "does not vouch for. Use the CA certificate of its issuer, with the intermediate ones behind the server's."
    )


def _signed_by(certificate: Any, issuer: Any) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
