# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit's properties tell; the units themselves are tried in tests/integration/test_plain_platform.py."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import plain


@pytest.mark.parametrize(
    ("words", "environment", "directory"),
    [
        (["-D", "${PGDATA}"], {"PGDATA": "/var/lib/pgsql/data"}, "/var/lib/pgsql/data"),  # Red Hat
        (["-D", "${PGDATA}"], {"PGDATA": "/var/lib/pgsql/14/data/"}, "/var/lib/pgsql/14/data"),  # PGDG
        (["-D", "$PGDATA"], {"PGDATA": "/srv/pg"}, "/srv/pg"),
        (["-D", "/srv/own", "-p", "5433"], {"PGDATA": "/other"}, "/srv/own"),
        (["-D", "${PGROOT}/data"], {"PGROOT": "/var/lib/postgres"}, ""),  # what is not understood is not guessed
        ([], {"PGROOT": "/var/lib/postgres"}, "/var/lib/postgres/data"),
        (["start"], {"POSTGRES_DATADIR": "/var/lib/pgsql/data"}, "/var/lib/pgsql/data"),  # SUSE
        (["start"], {}, ""),
        (["-D"], {}, ""),
        (["-D", "relative"], {}, ""),
    ],
)
def test_the_data_directory(words, environment, directory):
    assert plain._data_directory(words, environment, "postgres") == directory


@pytest.mark.parametrize(
    ("unit", "cluster"),
    [
        ("postgresql", "main"),
        ("postgresql-14", "main"),
        ("postgresql16", "main"),
        ("postgresql-14-reports", "reports"),
        ("postgresql-reports", "reports"),
        ("something", "main"),
    ],
)
def test_the_name_of_the_cluster(unit, cluster):
    assert plain._Unit(unit, "/data", "/usr/bin/postgres", (), False, "postgres").cluster == cluster


@pytest.mark.parametrize(
    ("library", "binaries"),
    [
        ("usr/lib64/pgsql/plpgsql.so", "usr/bin"),  # Red Hat
        ("usr/pgsql-14/lib/plpgsql.so", "usr/pgsql-14/bin"),  # PGDG
        ("usr/lib/postgresql16/lib64/plpgsql.so", "usr/lib/postgresql16/bin"),  # SUSE
    ],
)
def test_the_directory_of_the_libraries(tmp_path, library, binaries):
    path = tmp_path / library
    path.parent.mkdir(parents=True)
    path.touch()
    assert plain._libraries(str(tmp_path / binaries)) == str(path.parent)
    assert plain._libraries(str(tmp_path / "elsewhere" / "bin")) == ""
