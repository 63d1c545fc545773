# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known before a major upgrade, and which cluster it is about."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import upgrade_checks
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_upgrade import Upgrade, pair
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.plain import Plain
from ansible_collections.devportal.backstage.tests.unit._postgresql.clusters import make_cluster

OLD = {"datcollate": "C.UTF-8", "datctype": "C.UTF-8", "datlocprovider": "c", "daticulocale": None}


@pytest.mark.parametrize(
    ("clusters", "found"),
    [
        ([make_cluster(15)], (15, None)),
        ([make_cluster(15, status="down")], (15, None)),
        ([make_cluster(15, status="down"), make_cluster(17)], (15, 17)),
        ([make_cluster(14, status="down"), make_cluster(15)], (15, None)),
        ([make_cluster(17)], (None, 17)),
        ([make_cluster(15, "other")], (None, None)),
        ([], (None, None)),
    ],
)
def test_the_cluster_that_is_meant(clusters, found):
    assert tuple(one and one.version for one in pair(clusters, "main", 17)) == found


@pytest.mark.parametrize(
    ("clusters", "reason"),
    [
        ([make_cluster(14), make_cluster(15)], "several could be upgraded: 14/main, 15/main"),
        ([make_cluster(15), make_cluster(18)], "of a later version than 17 exists"),
    ],
)
def test_a_cluster_that_nobody_can_know(clusters, reason):
    with pytest.raises(CollectionError, match=reason):
        pair(clusters, "main", 17)


def test_a_host_without_pg_upgradecluster():
    with pytest.raises(CollectionError, match="has no pg_upgradecluster"):
        Upgrade(Plain(), "main", 17)


def test_extensions_of_the_new_version(tmp_path):
    folder = tmp_path / "17" / "extension"
    folder.mkdir(parents=True)
    for name in ("plpgsql.control", "pg_trgm.control", "pg_trgm--1.6.sql"):
        (folder / name).touch()
    available = upgrade_checks.available_extensions(17, str(tmp_path))
    assert available == ["pg_trgm", "plpgsql"]
    assert upgrade_checks.missing_extensions({"plpgsql": ["a"], "pgvector": ["a"], "amcheck": []}, available) == [
        "amcheck", "pgvector"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "checksums", "version", "present", "absent"),
    [
        (OLD, False, 17, ["--lc-collate=C.UTF-8", "--wal-segsize=16"], ["--data-checksums", "--no-data-checksums"]),
        (OLD, True, 18, ["--data-checksums"], ["--no-data-checksums"]),
        (OLD, False, 18, ["--no-data-checksums"], ["--data-checksums"]),
        ({**OLD, "datlocprovider": "i", "daticulocale": "de"}, False, 17, ["--icu-locale=de"], []),
        ({**OLD, "datlocprovider": "i", "datlocale": "de"}, False, 17, ["--locale-provider=icu"], []),
        ({**OLD, "datlocprovider": "b", "datlocale": "C.UTF-8"}, False, 18, ["--builtin-locale=C.UTF-8"], []),
        ({"datcollate": "C", "datctype": "C"}, False, 17, ["--encoding=UTF8"], ["--locale-provider=icu"]),
    ],
)
def test_options_of_initdb(template, checksums, version, present, absent):
    found = upgrade_checks.initdb_options(template, "UTF8", checksums, 16 << 20, f"/usr/lib/postgresql/{version}/bin")
    assert set(present) <= set(found)
    assert not set(absent) & set(found)


def test_settings_that_name_the_cluster_itself_are_left_out():
    text = "data_directory = '/x'\n  HBA_FILE='/y'\nwork_mem = 1MB\n# data_directory\ninclude_dir 'conf.d'\n"
    assert list(upgrade_checks.kept_settings(text)) == ["work_mem = 1MB", "# data_directory"]


def test_the_reason_of_pg_upgrade():
    text = (
        "Performing Consistency Checks on Old Live Server\nChecking cluster versions      ok\n"
        "Checking for prepared transactions     fatal\n\nThe source cluster contains prepared transactions\n"
        "Failure, exiting\n"
    )
    assert upgrade_checks.upgrade_reason(text) == (
        "Checking for prepared transactions fatal The source cluster contains prepared transactions Failure, exiting"
    )
