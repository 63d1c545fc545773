# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS handshake with a database server by the rules of Node.js, which are not libpq's.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Check, Report, Stop
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import Login

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL manual, 55.7 Message Formats
_TIMEOUT = 15.0  # seconds


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
    if tls.client_certificate:
        report.unknown(
            "tls",
            "Backstage shows a client certificate, which is not checked here.",
            "Leave out ssl.cert of backend.database.connection, where the server does not ask for one.",
        )
        raise Stop
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    try:
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
        with socket.create_connection((login.host, login.port), _TIMEOUT) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
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
        report.failed("tls", f"TLS with the server at {where} fails: {error.reason or error}.", "Look at the server.")
        raise Stop from error
    except OSError:
        # The login says it better.
        return ""


def _agreed(wrapped: ssl.SSLSocket) -> str:
    protocol, certificate = wrapped.version() or "TLS", wrapped.getpeercert()
    end = str(certificate.get("notAfter", "")) if certificate else ""
    if not end:
        return f"{protocol}; the certificate of the server is not verified (rejectUnauthorized is false)."
    day = time.strftime("%Y-%m-%d", time.gmtime(ssl.cert_time_to_seconds(end)))
    return f"{protocol}, the certificate of the server is valid until {day}."
