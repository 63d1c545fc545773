# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import secret_names


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("backend", "database", "connection", "password"), "x"),
        (("a", "clientSecret"), "x"),
        (("a", "encryptionKey"), "x"),
        (("a", "tokens", "0"), "x"),
        (("a", "credentials", "user"), "x"),
        (("plugin", "auth", "connection"), "postgres://u:p@h/d"),
        (("a", "connectionString"), "x"),
        (("a", "password"), "${P:-geheim}"),
    ],
)
def test_secrets(path, value):
    assert secret_names.is_secret(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("a", "password"), "${POSTGRES_PASSWORD}"),
        (("a", "password", "$file"), "postgres-password"),
        (("a", "password", "$env"), "P"),
        (("a", "host"), "db"),
        (("connection",), ":memory:"),
        (("a", "keyboard"), "us"),
        ((), "x"),
    ],
)
def test_what_is_none(path, value):
    assert not secret_names.is_secret(path, value)


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "GITHUB_TOKEN", "AUTH_X", "AWS_ACCESS_KEY_ID", "DATABASE_URL", "SIGNING", "GH_PAT", "MY_DSN"],
)
def test_variables_that_hold_a_secret(name):
    assert secret_names.is_secret_variable(name)


@pytest.mark.parametrize("name", ["NODE_ENV", "POSTGRES_HOST", "PATH", "LOG_LEVEL"])
def test_other_variables(name):
    assert not secret_names.is_secret_variable(name)


def test_leaves():
    tree = {"a": [1, {"b": "x"}], "c": None, "d": True, "e": {}}
    assert secret_names.leaves(tree) == [(("a", "0"), "1"), (("a", "1", "b"), "x")]
