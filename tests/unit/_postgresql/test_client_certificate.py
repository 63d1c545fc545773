# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import client_certificate

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"


def test_texts_are_files_in_memory_that_others_cannot_read():
    with client_certificate.as_files(CERTIFICATE, KEY) as paths:
        for path, text in zip(paths, (CERTIFICATE, KEY)):
            with open(path, encoding="ascii") as file:
                assert file.read() == text
            found = os.stat(path)
            assert stat.S_ISREG(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert found.st_nlink == 0  # no directory has it
    assert not any(map(os.path.exists, paths))


def test_paths_stay_and_none_is_no_file():
    with client_certificate.as_files("/c.crt", "/c.key") as paths:
        assert paths == ("/c.crt", "/c.key")
    with client_certificate.as_files(None, "") as paths:
        assert not any(map(os.path.exists, paths))


def test_a_pair_that_could_not_be_read(tmp_path):
    there = tmp_path / "client.crt"
    there.write_text(CERTIFICATE)
    client_certificate.check(None, None)
    client_certificate.check(CERTIFICATE, KEY)
    client_certificate.check(str(there), str(there))
    for certificate, key, words in (
        (str(there), None, "ssl_key: missing. Set ssl_cert and ssl_key together."),
        ("", KEY, "ssl_cert: missing."),
        (str(there), str(tmp_path / "gone"), f"ssl_key: the file {tmp_path}/gone is missing or not readable."),
    ):
        with pytest.raises(CollectionError) as caught:
            client_certificate.check(certificate, key)
        assert words in str(caught.value)
