# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a server certificate, before PostgreSQL or a client finds out.

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


def problems(
    certificate: str,
    authority: str,
    names: Sequence[str],
    *,
    renew_days: int = 0,
    private_key: str = "",
    request: str = "",
) -> list[str]:
    """What is wrong with a server certificate; each a sentence with the remedy. Empty where nothing is.

    Args:
        certificate: PEM; further certificates behind the first are the chain.
        authority: PEM of the CA certificates that clients trust.
        names: host names and addresses by which clients reach the server.
        renew_days: a certificate that ends within this many days is a problem as well.
        private_key: PEM of its key without passphrase; empty where it is not at hand.
        request: PEM of a certificate signing request of its key, in the place of `private_key`.
    """
    from cryptography import x509

    found = _load(certificate, "certificate")
    trusted = _load(authority, "CA certificate")
    if isinstance(found, str) or isinstance(trusted, str):
        return [text for text in (found, trusted) if isinstance(text, str)]
    server, chain = found[0], [*found[1:], *trusted]
    problem_list = list(_date_problems(server, renew_days))
    problem_list += [text for ca in trusted for text in _date_problems(ca, 0, "CA certificate")]
    problem_list += _name_problems(server, names)
    problem_list += _signature_problems(server, chain, trusted)
    usage = _extension(server, x509.BasicConstraints)
    if usage is not None and usage.ca:
        problem_list.append("The certificate is one of a CA. Use a server certificate that the CA has signed.")
    key = _public_key(private_key, request)
    if isinstance(key, str):
        problem_list.append(key)
    elif key is not None and key.public_numbers() != server.public_key().public_numbers():
        problem_list.append("The private key does not belong to the certificate. Use the key that it was issued for.")
    return problem_list


def _load(text: str, what: str) -> Any:
    """The certificates of a PEM text, or the sentence why there is none."""
    from cryptography import x509

    if not text.strip():
        return f"The {what} is missing."
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return f"The {what} is not a certificate in PEM form. It begins with -----BEGIN CERTIFICATE-----."


def _public_key(private_key: str, request: str) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if request.strip():
        return x509.load_pem_x509_csr(request.encode()).public_key()
    if not private_key.strip():
        return None
    try:
        return load_pem_private_key(private_key.encode(), password=None).public_key()
    except TypeError:
        return "The private key has a passphrase. Decrypt it; PostgreSQL cannot ask for a passphrase at its start."
    except ValueError:
        return "The private key is not a key in PEM form. It begins with -----BEGIN PRIVATE KEY-----."


def _date_problems(certificate: Any, renew_days: int, what: str = "certificate") -> Iterable[str]:
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
