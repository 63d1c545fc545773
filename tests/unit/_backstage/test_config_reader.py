# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import (
    MISSING,
    ConfigLoaderError,
    ConfigReader,
    js_string,
    merged,
)


@pytest.mark.parametrize(
    ("data", "read", "words"),
    [
        ({"a": {"b": 5}}, lambda root: root.string("a.b"), "a.b in one.yaml is a number; it has to be a text"),
        ({"a": {"b": ""}}, lambda root: root.config("a").string("b"), "a.b in one.yaml is an empty text"),
        ({"a": {}}, lambda root: root.config("a").string("b"), "a.b is not set"),
        ({"a": []}, lambda root: root.config("a"), "a in one.yaml is a list; it has to be a mapping"),
        ({"a": "x"}, lambda root: root.optional("a.b"), "a in one.yaml is a text; it has to be a mapping"),
        ({"a": "maybe"}, lambda root: root.optional_boolean("a"), "has to be a boolean"),
        ({"a": 1}, lambda root: root.optional("1"), "no key such as '1'"),
    ],
)
def test_reading_the_wrong_kind_is_refused(data, read, words):
    with pytest.raises(ConfigLoaderError) as caught:
        read(ConfigReader(data, "one.yaml"))
    assert words in str(caught.value)


def test_booleans_are_read_from_texts():
    root = ConfigReader({"a": "On ", "b": 0, "c": False, "d": None}, "one.yaml")
    assert [root.optional_boolean(key) for key in "abcde"] == [True, False, False, None, None]


def test_one_file_lies_over_another():
    below = ConfigReader({"a": {"b": 1, "c": [1]}, "d": 2, "e": {"f": 3}}, "below.yaml")
    root = ConfigReader({"a": {"c": [2]}, "d": None}, "above.yaml", below)
    assert root.get() == {"a": {"b": 1, "c": [2]}, "e": {"f": 3}}
    assert (root.get("a.b"), root.optional("d"), root.config("e").get("f")) == (1, MISSING, 3)
    assert merged({"a": None, "b": {"c": None}}, {"a": 1}) == {"b": {}}


def test_numbers_as_javascript_writes_them():
    assert [js_string(value) for value in (True, 1.0, 1.5, 10**20, "x")] == ["true", "1", "1.5", str(10**20), "x"]
