# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of the YAML patch, with a small fixed budget; tests/fuzz runs them at length."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events
from ansible_collections.devportal.backstage.tests.fuzz.yaml_properties import search

KINDS = {
    *("set", "set and deleted", "set below nothing", "set refused", "deleted", "nothing to delete", "several"),
    *("inserted", "set in a document", "set as 1.1"),
}


@pytest.mark.parametrize("seed", range(3))
def test_properties(seed):
    done = search(600, seed)
    assert set(done) >= KINDS, done


def test_properties_without_libyaml(monkeypatch):
    monkeypatch.setattr(events, "Parser", yaml.SafeLoader)
    done = search(300, 3)
    assert done["set"] > 20, done
