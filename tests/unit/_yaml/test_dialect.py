# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What npm yaml reads is read, and what it refuses is refused, whatever PyYAML says; test_yaml_agreement asks it."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError
from ansible_collections.devportal.backstage.tests.fuzz.yaml_dialect import (
    READ,
    READ_BY_NODE,
    READ_WITHOUT_BREAK,
    REFUSED,
)

READERS = [yaml.SafeLoader, *([yaml.CLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(autouse=True, params=READERS, ids=lambda reader: reader.__name__)
def reader(request, monkeypatch):
    monkeypatch.setattr(events, "Parser", request.param)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(YamlPatchError, match=r"line [0-9]+, column"):
        Document(REFUSED[name])


@pytest.mark.parametrize("name", READ)
def test_read_and_edited(name):
    document = Document(READ[name])
    assert document.tree["a"]
    document.set(("new",), 1)
    assert document.text == READ[name] + "new: 1\n"


@pytest.mark.parametrize("name", READ_WITHOUT_BREAK)
def test_read(name):
    assert Document(READ_WITHOUT_BREAK[name]).tree in ({"a": None}, {"a": 1}, {"a": "1\n"})


@pytest.mark.parametrize("name", READ_BY_NODE)
def test_not_read_here(name):
    with pytest.raises(YamlPatchError):
        _unused = Document(READ_BY_NODE[name]).tree


def test_tabs_of_values_stay():
    text = "a: |\n  \tx\n  -\ty\nb: 'one\ttwo'\nc:\n  -\tx\n"
    assert Document(text).tree == {"a": "\tx\n-\ty\n", "b": "one\ttwo", "c": ["x"]}


def test_a_comment_before_a_document_that_is_a_scalar():
    assert Document("---\n#c\n\nword\n", events.Rules(several=True)).trees == ["word"]


def test_a_list_is_not_written_behind_a_byte_order_mark():
    document = Document("\ufeff# c\n")
    document.insert((), None, "x")
    assert document.text == "\ufeff# c\n- x\n"
    document = Document("\ufeff")
    document.insert((), None, "x")
    with pytest.raises(YamlPatchError, match="byte order mark"):
        _unused = document.text
