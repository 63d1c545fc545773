# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups, restores and a major upgrade beside a real Backstage, in the order of this file."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.devportal.backstage.molecule.day_two.tests.portal import ENTITIES, Portal
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import play

STATE = "/var/lib/backstage-postgresql-backup"
ROWS = 100_000
NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
# With pg_hba.conf's own words the server's superuser is known by its socket.
ADMIN = "runuser -u postgres -- psql --no-psqlrc --tuples-only --no-align --command=%s"


@pytest.fixture(scope="module")
def portal(hosts):
    return Portal(hosts)


def admin(portal, query):
    done = portal.database.run(ADMIN, query)
    assert done.rc == 0, done.stderr
    return done.stdout.strip()


def unchanged(done):
    """Whether a run of a playbook changed nothing on any host."""
    return set(re.findall(r"\bchanged=(\d+)", done.stdout)) == {"0"}


def test_the_catalog_is_in_the_database_of_15(portal):
    assert portal.uids().keys() == ENTITIES
    assert admin(portal, "SHOW server_version").startswith("15.")


def test_the_first_backup_was_taken_and_the_timers_run(portal):
    timers = portal.database.run("systemctl list-timers --no-legend 'backstage-postgresql-backup@*'").stdout
    assert len(timers.splitlines()) == 2
    info = portal.database.run(
        "runuser -u postgres -- pgbackrest --config-path=/etc/backstage-postgresql-backup --stanza=backstage "
        "--output=json info"
    )
    (found,) = json.loads(info.stdout)
    assert (found["status"]["code"], found["cipher"]) == (0, "aes-256-cbc")


def test_the_passphrase_is_in_one_file_only(portal):
    canary = portal.server["backstage_postgresql_backup_passphrase"]
    found = portal.database.run(
        "grep -rlF -- %s /etc /var/lib/pgbackrest /var/log /run /var/lib/backstage-postgresql-backup /tmp", canary
    ).stdout.split()
    assert found == ["/etc/backstage-postgresql-backup/conf.d/secrets.conf"]
    info = portal.database.file(found[0])
    assert (info.user, info.mode) == ("postgres", 0o600)
    shown = play("devportal.backstage.site", backstage_postgresql_backup_retention_full=3)
    assert shown.returncode == 0, shown.stdout[-4000:]
    assert canary not in shown.stdout


def test_the_backup_playbook_takes_a_backup(portal):
    assert re.search(r"Backup \S+ was taken", portal.run("devportal.backstage.backup").stdout)


def test_a_restore_is_tested_and_reported(portal):
    admin(portal, "SELECT pg_stat_force_next_flush()")
    portal.sql(f"CREATE TABLE many AS SELECT n, md5(n::text) AS v FROM generate_series(1, {ROWS}) AS n; SELECT 1")
    done = portal.run("devportal.backstage.restore_test")
    rows, entities = re.search(r"(\d+) rows and (\d+) catalog entities are equal", done.stdout).groups()
    assert int(rows) > ROWS
    assert int(entities) >= len(ENTITIES)
    assert unchanged(done)
    left = portal.database.run("ls -A /var/lib/postgresql/15").stdout.split()
    assert left == ["main"]
    verified = portal.run("devportal.backstage.verify")
    assert re.search(
        r"The latest backup \(\S+, diff, .*\) is .* old\. The last restore test was .* ago and passed", verified.stdout
    )
    assert unchanged(verified)


def test_a_restore_needs_a_confirmation_and_a_time_that_a_backup_leads_to(portal):
    for variables, reason in (
        ({}, "restore_confirmed=true"),
        (
            {
                "backstage_postgresql_restore_confirmed": True,
                "backstage_postgresql_restore_time": "2020-01-01 00:00:00Z",
            },
            "is before the first backup",
        ),
        (
            {"backstage_postgresql_restore_confirmed": True, "backstage_postgresql_restore_time": "2026-01-01 00:00"},
            "no time zone",
        ),
    ):
        done = play("devportal.backstage.restore", **variables)
        assert done.returncode
        assert reason in done.stdout
    assert portal.app.service("backstage").is_running


def test_rows_of_before_are_back_and_rows_of_after_gone(portal):
    uids = portal.uids()
    portal.sql("INSERT INTO many VALUES (-1, 'before'); SELECT 1")
    moment = admin(portal, NOW)
    portal.sql("INSERT INTO many VALUES (-2, 'after'); DELETE FROM many WHERE n > 0; SELECT 1")
    portal.sql("DELETE FROM refresh_state; SELECT 1")
    done = portal.run(
        "devportal.backstage.restore",
        backstage_postgresql_restore_time=moment,
        backstage_postgresql_restore_confirmed=True,
    )
    assert f"The cluster is as it was at {moment[:19]}" in done.stdout
    assert portal.sql("SELECT v FROM many WHERE n < 0") == ["before"]
    assert portal.sql("SELECT count(*) FROM many") == [str(ROWS + 1)]
    assert portal.uids() == uids
    assert "recovery_target" not in portal.database.run("cat /var/lib/postgresql/15/main/postgresql.auto.conf").stdout


def test_the_former_data_is_kept_until_told_otherwise(portal):
    kept = portal.database.run("ls -A /var/lib/postgresql/15").stdout.split()
    assert [name for name in kept if name.startswith("main.before-restore-")]
    portal.run("devportal.backstage.restore", backstage_postgresql_restore_remove_former=True)
    assert portal.database.run("ls -A /var/lib/postgresql/15").stdout.split() == ["main"]
    assert unchanged(portal.run("devportal.backstage.restore", backstage_postgresql_restore_remove_former=True))


def test_a_damaged_repository_is_reported(portal):
    run = portal.database.check_output
    run("cp -a /var/lib/pgbackrest/backup /var/tmp/sound")
    find = "find /var/lib/pgbackrest/backup -path '*F/*' -type f -size +100k -printf '%s %p\\n' | sort -n | tail -1"
    path = run("sh -c %s", find).split()[1]
    run("printf XXXXXXXX | dd of=%s bs=1 seek=50000 conv=notrunc status=none", path)
    for playbook in ("restore_test", "verify"):
        done = play(f"devportal.backstage.{playbook}")
        assert done.returncode, playbook
        assert "The repository is damaged: backup" in done.stdout, playbook
    run("rm -rf /var/lib/pgbackrest/backup && mv /var/tmp/sound /var/lib/pgbackrest/backup")
    portal.run("devportal.backstage.restore_test")
    portal.run("devportal.backstage.verify")


def test_the_upgrade_keeps_data_settings_rules_and_verifier(portal):
    uids = portal.uids()
    before = facts(portal)
    done = portal.run("devportal.backstage.upgrade", backstage_postgresql_version="17")
    assert "Cluster 17/main has replaced 15/main" in done.stdout
    assert admin(portal, "SHOW server_version").startswith("17.")
    assert portal.uids() == uids
    assert facts(portal) == before
    assert portal.sql("SELECT count(*), sum(hashtext(v)::bigint) FROM many")[0].startswith(f"{ROWS + 1}|")
    clusters = portal.database.check_output("pg_lsclusters --no-header")
    assert re.search(r"^15 +main +\d+ +down", clusters, re.M)
    assert re.search(r"^17 +main +5432 +online", clusters, re.M)


def facts(portal):
    """What a DBA compares: settings in force, rules, the verifier."""
    names = "'max_connections', 'listen_addresses', 'archive_mode', 'archive_command', 'port'"
    settings = admin(portal, f"SELECT name, setting FROM pg_settings WHERE name IN ({names}) ORDER BY name")
    rules = admin(portal, "SELECT type, database, user_name, address, auth_method FROM pg_hba_file_rules")
    verifier = admin(portal, "SELECT rolpassword FROM pg_authid WHERE rolname = 'backstage'")
    assert "max_connections|77" in settings
    assert verifier.startswith("SCRAM-SHA-256$")
    return settings, rules, verifier


def test_a_second_upgrade_changes_nothing(portal):
    """Nor does site.yml, which is its last part."""
    assert unchanged(portal.run("devportal.backstage.upgrade", backstage_postgresql_version="17"))


def test_the_backups_go_on_with_the_new_cluster(portal):
    assert "catalog entities are equal" in portal.run("devportal.backstage.restore_test").stdout


def test_the_way_back(portal):
    uids = portal.uids()
    variables = {"backstage_postgresql_version": "17", "backstage_postgresql_upgrade_roll_back": True}
    done = portal.run("devportal.backstage.upgrade", **variables)
    assert "Cluster 15/main is in use again" in done.stdout
    assert admin(portal, "SHOW server_version").startswith("15.")
    assert portal.uids() == uids
    assert unchanged(portal.run("devportal.backstage.upgrade", **variables))
    portal.run("devportal.backstage.site")
    assert "catalog entities are equal" in portal.run("devportal.backstage.restore_test").stdout
