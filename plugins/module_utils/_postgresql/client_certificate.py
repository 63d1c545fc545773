# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that a client shows to a server, as the files that OpenSSL wants.

What Backstage reads from its configuration is text. Such a text becomes a file in memory that this process alone has,
so that no copy of a private key is ever on a disk.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

# Where libpq finds no certificate, so that it does not show the one of root's own home directory.
NONE = "/nonexistent"
_PEM = "-----BEGIN"


def check(certificate: str | None, key: str | None) -> None:
    """Reject a pair that libpq could not read.

    Raises:
        CollectionError: one of the two is missing.
    """
    for name, value, other in (("ssl_cert", certificate, key), ("ssl_key", key, certificate)):
        if other and not value:
            raise CollectionError(f"{name}: missing.", "Set ssl_cert and ssl_key together.", "option")
        if value and not is_pem(value) and not os.access(value, os.R_OK):
            raise CollectionError(
                f"{name}: the file {value} is missing or not readable.",
                "Put the client certificate and its key there.",
                "client_certificate",
            )


def is_pem(value: str) -> bool:
    """Whether a value is the text of a certificate or a key, and not the path of a file."""
    return _PEM in value


@contextlib.contextmanager
def as_files(certificate: str | None, key: str | None) -> Iterator[tuple[str, str]]:
    """The paths of a certificate and its key, each given as a path or as PEM text, for as long as the context lasts."""
    with _path(certificate) as certificate_path, _path(key) as key_path:
        yield certificate_path, key_path


@contextlib.contextmanager
def _path(value: str | None) -> Iterator[str]:
    if not value or not is_pem(value):
        yield value or NONE
        return
    descriptor = os.memfd_create("certificate")
    try:
        # libpq rejects a key that others could read.
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, value.encode("utf-8", "replace"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
