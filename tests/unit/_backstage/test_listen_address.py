# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import MISSING, ConfigReader
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.listen_address import (
    ListenAddress,
    listen_address,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError


def read(listen):
    return listen_address(ConfigReader({"backend": {"baseUrl": "http://x:1", "listen": listen}}, "app-config.yaml"))


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (None, "", 7007),
        (":8080", "", 8080),
        ("8080", "", 8080),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:8080x", "localhost", 8080),  # parseInt
        ({}, "", 7007),
        ({"port": 8080}, "", 8080),
        ({"port": "8080"}, "", 8080),
        ({"host": "::1"}, "::1", 7007),
        ({"host": "0.0.0.0", "port": 9}, "0.0.0.0", 9),
    ],
)
def test_where_backstage_listens(value, host, port):
    assert read(value) == ListenAddress(host, port)


def test_without_any_configuration():
    assert listen_address(ConfigReader(MISSING, "no file")) == ListenAddress("", 7007)


@pytest.mark.parametrize("value", ["::1:8080", "abc", "", 8080, True, [], {"port": "x"}, {"port": 70000}, {"host": 5}])
def test_what_backstage_rejects(value):
    with pytest.raises(CollectionError, match=r"^backend.listen"):
        read(value)
