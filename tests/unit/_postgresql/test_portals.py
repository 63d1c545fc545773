# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of portals, and of options in messages."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portals import (
    checked_portal,
    decoded,
    encoded,
    option_names,
)


@pytest.mark.parametrize("name", ["backstage", "my portal", "ü", "a/b", "..", "x" * 63])
def test_valid(name):
    assert decoded(encoded(checked_portal(name))) == name
    assert "/" not in encoded(name)


@pytest.mark.parametrize("name", ["", "a\nb", "a\tb", "x" * 64, "ü" * 32, "a\u202eb", "\ud800"])
def test_invalid(name):
    with pytest.raises(CollectionError, match="is not a valid name"):
        checked_portal(name)


@pytest.mark.parametrize(
    ("text", "module", "role"),
    [
        ("O(settings): work_mem is wrong.", "settings: work_mem is wrong.", "x_settings: work_mem is wrong."),
        ("O(settings): port 1 is used.", "settings: port 1 is used.", "x_port 1 is used."),
        ("O(settings): listen_addresses has", "settings: listen_addresses has", "x_listen_addresses has"),
        ("Set O(create), or O(version).", "Set create, or version.", "Set x_create, or x_version."),
        ("O(settings) port", "settings port", "x_port"),
        ("nothing (here)", "nothing (here)", "nothing (here)"),
    ],
)
def test_options(text, module, role):
    assert option_names(text, "") == module
    assert option_names(text, "x_") == role
