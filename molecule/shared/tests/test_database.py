# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every database host has to be, whatever scenario it is in."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import call

pytestmark = pytest.mark.group("backstage_database")

# The distribution's own PostgreSQL.
MAJOR = {"bookworm": 15, "trixie": 17, "forky": 18}


def test_postgresql_answers_over_tcp(sql, wanted):
    major = int(sql("SHOW server_version_num")[0]) // 10000
    assert major == int(wanted.get("backstage_postgresql_version") or MAJOR[wanted["container_release"]])


def test_a_wrong_password_is_refused(sql):
    with pytest.raises(AssertionError, match="password authentication failed"):
        sql("SELECT 1", password="not this one")


def test_the_password_is_stored_as_scram(host, wanted):
    user = wanted.get("backstage_postgresql_user", "postgres")
    query = f"SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = '{user}'"
    done = host.run("runuser -u postgres -- psql -XAtc %s", query)
    assert done.stdout.strip() == "SCRAM-SHA-256$", done.stderr


def test_settings_are_live(sql, wanted):
    assert sql("SHOW password_encryption") == ["scram-sha-256"]
    addresses = wanted.get("backstage_postgresql_listen_addresses", ["localhost"])
    assert sql("SHOW listen_addresses") == [", ".join(addresses)] or sql("SHOW listen_addresses") == [
        ",".join(addresses)
    ]
    for name, value in wanted.get("backstage_postgresql_settings", {}).items():
        assert sql(f"SHOW {name}") == [str(value)]
    assert sql("SELECT name FROM pg_settings WHERE pending_restart") == []


def test_no_file_has_an_error(host):
    for view in ("pg_hba_file_rules", "pg_file_settings"):
        done = host.run("runuser -u postgres -- psql -XAtc %s", f"SELECT error FROM {view} WHERE error IS NOT NULL")
        assert (done.rc, done.stdout) == (0, "")


def test_nobody_is_let_in_without_a_password(host):
    done = host.run(
        "runuser -u postgres -- psql -XAtc %s",
        "SELECT * FROM pg_hba_file_rules WHERE auth_method IN ('trust', 'password', 'ident') OR auth_method = 'md5'",
    )
    assert (done.rc, done.stdout) == (0, "")


def test_databases_are_utf8(sql):
    encodings = sql("SELECT DISTINCT pg_encoding_to_char(encoding) FROM pg_database")
    assert encodings == ["UTF8"]


def test_installed_packages_are_not_asked_for_again(wanted):
    """So that a second run needs no network."""
    result = call(
        wanted,
        "devportal.backstage.backstage_preflight",
        scope="database",
        user="backstage",
        password=wanted["backstage_postgresql_password"],
        version=wanted.get("backstage_postgresql_version", ""),
    )
    assert result["packages"] == []


@pytest.fixture
def disabled(host, wanted):
    """A service that somebody has disabled; what the module does about it unasked, and when asked twice."""
    by_systemd = wanted.get("container_systemd", True)
    host.check_output("systemctl disable postgresql" if by_systemd else "update-rc.d postgresql disable")
    return [
        call(wanted, "devportal.backstage.postgresql_config", **arguments)["changed"]
        for arguments in ({}, {"start_at_boot": True}, {"start_at_boot": True})
    ]


def test_it_comes_back_after_a_boot(host, wanted, disabled):
    assert disabled == [False, True, False]
    if not wanted["container_release"].startswith("rocky"):
        version, name = host.check_output("pg_lsclusters -h").split()[:2]
        assert host.file(f"/etc/postgresql/{version}/{name}/start.conf").content_string.split()[-1] == "auto"
        unit = f"postgresql@{version}-{name}"
    else:
        unit = "postgresql"
    if wanted.get("container_systemd", True):
        assert host.check_output("systemctl is-enabled postgresql") == "enabled"
        assert host.check_output("systemctl is-active %s", unit) == "active"
    else:
        assert host.check_output("ls /etc/rc2.d").count("S01postgresql") == 1
