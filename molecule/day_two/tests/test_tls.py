# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS between a real Backstage and its database, in the order of this file."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.molecule.day_two.tests.portal import ENTITIES, Portal


@pytest.fixture(scope="module")
def portal(hosts):
    return Portal(hosts)


def test_the_catalog_is_in_the_database(portal):
    assert portal.uids().keys() == ENTITIES
