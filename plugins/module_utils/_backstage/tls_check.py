# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS handshake with a database server by the rules of Node.js, which are not libpq's.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Check, Report, Stop
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import Login, Tls
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import client_certificate
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_proof import agrees_to_tls

_TIMEOUT = 15.0  # seconds
# What a server says about a client's certificate (RFC 8446, section 6.2).
_REJECTED = re.compile(r"alert (unknown ca|(?:bad|unsupported) certificate|certificate (?:expired|revoked|unknown))")


def tls_problem(login: Login) -> Check | None:
    """Why the TLS of Backstage would not trust a server, or whether that cannot be told; None where it would."""
    report = Report()
    with contextlib.suppress(Stop):
        check_tls(report, login)
    return next(iter(report.checks), None)


def check_tls(report: Report, login: Login) -> str:
    """Shake hands as Node would, whose rules for names and authorities are not libpq's.

    Returns:
        What was agreed upon, as a sentence; empty without TLS, and where the login says it better.
    """
    tls, where = login.tls, f"{login.host} port {login.port}"
    if tls is None or login.host.startswith("/"):
        return ""
    if tls.unreadable:
        report.unknown(
            "tls",
            "Backstage shows a client certificate in a form that is not checked here.",
            "Give ssl.cert, and ssl.key without passphrase, of backend.database.connection instead.",
        )
        raise Stop
    context = _context(report, tls)
    try:
        with socket.create_connection((login.host, login.port), _TIMEOUT) as plain:
            if not agrees_to_tls(plain):
                report.failed(
                    "tls",
                    f"The server at {where} speaks no TLS, and Backstage is configured to use it.",
                    "Turn on ssl in PostgreSQL, or remove backend.database.connection.ssl (or PGSSLMODE).",
                )
                raise Stop
            with context.wrap_socket(plain, server_hostname=login.host) as wrapped:
                return _agreed(wrapped)
    except ssl.SSLCertVerificationError as error:
        cause = error.verify_message.rstrip(".")
        if tls.ca and not context.cert_store_stats()["x509"]:
            cause = "the text of ssl.ca holds no certificate"
        report.failed(
            "tls",
            f"Backstage does not trust the TLS certificate of the server at {where} as that of {login.host}: {cause}.",
            "Give the authority as ssl.ca of backend.database.connection, and the host by the certificate's name.",
        )
        raise Stop from error
    except ssl.SSLError as error:
        report.failed("tls", *_fault(error, where, bool(tls.client_certificate)))
        raise Stop from error
    except OSError:
        # The login says it better.
        return ""


def _context(report: Report, tls: Tls) -> ssl.SSLContext:
    """What Node.js trusts and shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.client_certificate:
        _show(report, context, tls.client_certificate)
    if tls.ca:
        # As in Node: a byte order mark and what is no PEM block are passed over, a broken block ends the reading.
        text = tls.ca.removeprefix("\ufeff").encode("ascii", "replace").decode()
        with contextlib.suppress(ssl.SSLError):
            context.load_verify_locations(cadata=text)
    else:
        context.load_default_certs()
    if tls.more_authorities:
        with contextlib.suppress(OSError):  # Node only warns of a file that it cannot use
            context.load_verify_locations(cafile=tls.more_authorities)
    return context


def _fault(error: ssl.SSLError, where: str, shown: bool) -> tuple[str, str]:
    """What is wrong with a handshake in which Backstage trusts the server, and what to do."""
    rejected = _REJECTED.search(str(error).lower().replace("_", " ")) if shown else None
    if rejected:
        return (
            f"The server at {where} rejects the client certificate of Backstage: {rejected[1]}.",
            "Set ssl.cert and ssl.key to a valid client certificate of a CA that the server trusts.",
        )
    return f"TLS with the server at {where} fails: {error.reason or error}.", "Look at the server."


def _show(report: Report, context: ssl.SSLContext, client: tuple[str, str]) -> None:
    """Have the context show the client's certificate, as Node.js does."""
    key = "ssl.cert and ssl.key of backend.database.connection"
    certificate, private_key = client
    problem = ""
    if not client_certificate.is_pem(certificate) or not client_certificate.is_pem(private_key):
        problem = "are not a certificate and a private key in PEM form"
    else:
        with client_certificate.as_files(certificate, private_key) as paths:
            try:
                # Without the last argument, OpenSSL would ask for a passphrase on the terminal.
                context.load_cert_chain(*paths, password=lambda: "")
            except (ssl.SSLError, ValueError) as error:
                mismatch = "KEY_VALUES_MISMATCH" in str(error)
                problem = "do not belong together" if mismatch else "cannot be used; a key must have no passphrase"
    if problem:
        report.failed("tls", f"{key} {problem}.", "Use a client certificate and the key that it was issued for.")
        raise Stop


def _agreed(wrapped: ssl.SSLSocket) -> str:
    protocol, certificate = wrapped.version() or "TLS", wrapped.getpeercert()
    end = str(certificate.get("notAfter", "")) if certificate else ""
    if not end:
        return f"{protocol}; the certificate of the server is not verified (rejectUnauthorized is false)."
    day = time.strftime("%Y-%m-%d", time.gmtime(ssl.cert_time_to_seconds(end)))
    return f"{protocol}, the certificate of the server is valid until {day}."
