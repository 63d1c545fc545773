# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups on a repository host, beside TLS."""

from __future__ import annotations

import re

import pytest
from ansible_collections.devportal.backstage.molecule.day_two.tests.portal import ENTITIES, Portal, serial

SSH = "/etc/backstage-postgresql-backup/ssh"
HOME = "/var/lib/backstage-backup"
NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
REPOSITORY = "/var/lib/pgbackrest/database"


@pytest.fixture(scope="module")
def portal(hosts):
    return Portal(hosts)


@pytest.fixture(scope="module")
def archive(hosts):
    return hosts["archive"][0]


def unchanged(done):
    """Whether a run of a playbook changed nothing on any host."""
    return set(re.findall(r"\bchanged=(\d+)", done.stdout)) == {"0"}


def test_the_repository_is_on_its_host_and_encrypted(portal, archive):
    assert archive.file(f"{REPOSITORY}/archive/backstage").is_directory
    assert (archive.file(REPOSITORY).user, archive.file(REPOSITORY).mode) == ("backstage-backup", 0o700)
    assert not portal.database.file("/var/lib/pgbackrest/backup").exists
    canary = portal.server["backstage_postgresql_backup_passphrase"]
    for host, found in ((archive, ""), (portal.database, "/etc/backstage-postgresql-backup/conf.d/secrets.conf")):
        places = host.run("grep -rlF --devices=skip -e %s /etc /var /root /srv /home /run /tmp 2>/dev/null", canary)
        assert places.stdout.split() == found.split()
    # pgBackRest encrypts all that it stores (`Salted__` begins what OpenSSL would call salted).
    first = archive.check_output("find %s/archive -name 'archive.info' -exec head -c 8 {} +", REPOSITORY)
    assert first.startswith("Salted__")


def test_the_private_key_is_on_the_database_host_alone(portal, archive):
    key = portal.database.file(f"{SSH}/id_ed25519")
    assert (key.user, key.mode) == ("postgres", 0o600)
    # The first lines are those of every key of this kind.
    line = key.content_string.splitlines()[4]
    for host, there in ((portal.database, True), (archive, False), (portal.app, False)):
        command = "grep -rlF --devices=skip -e %s /etc /var /root /srv /home /run /tmp 2>/dev/null"
        assert bool(host.run(command, line).stdout) is there


def test_the_key_opens_nothing_but_sftp(portal, archive):
    ssh = f"ssh -i {SSH}/id_ed25519 -o BatchMode=yes -o UserKnownHostsFile={SSH}/known_hosts"
    address = f"backstage-backup@{portal.server['ansible_host'].replace('-database', '-archive')}"
    asked = portal.database.run(f"runuser -u postgres -- {ssh} {address} touch /tmp/opened")
    assert asked.rc != 0
    assert not archive.file("/tmp/opened").exists
    forward = portal.database.run(f"runuser -u postgres -- timeout 10 {ssh} -W 127.0.0.1:22 {address}")
    assert forward.rc != 0
    assert "SSH-2.0" not in forward.stdout
    # Nor can it let in somebody else.
    keys = archive.file(f"{HOME}/.ssh/authorized_keys")
    assert (keys.user, keys.mode) == ("root", 0o644)
    assert keys.content_string.startswith('restrict,command="internal-sftp" ssh-ed25519 ')
    assert len(keys.content_string.splitlines()) == 1
    writable = archive.run(
        "runuser -u backstage-backup -s /bin/sh -- sh -c %s", f"touch {HOME}/.ssh/x || touch {HOME}/x"
    )
    assert writable.rc != 0


def test_another_host_key_is_rejected(portal):
    known = f"{SSH}/known_hosts"
    text = portal.database.file(known).content_string
    make = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other && cat /tmp/other.pub && rm /tmp/other /tmp/other.pub"
    other = portal.database.check_output("sh -c %s", make)
    portal.database.check_output("sh -c %s", f"echo '{text.split()[0]} {' '.join(other.split()[:2])}' > {known}")
    try:
        done = portal.fails("devportal.backstage.backup")
        assert "pgBackRest" in done.stdout
    finally:
        portal.database.check_output("sh -c %s", f"printf %s '{text}' > {known}")
    assert re.search(r"Backup \S+ was taken", portal.run("devportal.backstage.backup").stdout)


def test_a_restore_is_tested_and_reported(portal):
    done = portal.run("devportal.backstage.restore_test")
    _rows, entities = re.search(r"(\d+) rows and (\d+) catalog entities are equal", done.stdout).groups()
    assert int(entities) >= len(ENTITIES)
    assert unchanged(done)
    verified = portal.run("devportal.backstage.verify")
    assert re.search(
        r"The latest backup \(.*\) is .* old\. The last restore test was .* ago and passed", verified.stdout
    )
    assert unchanged(verified)


def test_the_portal_is_restored_from_the_repository_host(portal):
    uids = portal.uids()
    portal.sql("CREATE TABLE before (); SELECT 1")
    moment = portal.sql(NOW)[0]
    portal.sql("DROP TABLE before; CREATE TABLE after (); DELETE FROM refresh_state; SELECT 1")
    done = portal.run(
        "devportal.backstage.restore",
        backstage_postgresql_restore_time=moment,
        backstage_postgresql_restore_confirmed=True,
    )
    assert f"The cluster is as it was at {moment[:19]}" in done.stdout
    assert portal.sql("SELECT to_regclass('before'), to_regclass('after')") == ["before|"]
    assert portal.uids() == uids


def test_a_certificate_that_is_not_due_stays(portal):
    portal.run("devportal.backstage.restore", backstage_postgresql_restore_remove_former=True)
    before = serial(portal)
    # The certificate is not due. That site and verify change nothing either is in the tests around this one.
    assert unchanged(portal.run("devportal.backstage.renew_certificates"))
    assert serial(portal) == before


def test_a_lost_cluster_comes_back_from_its_backups(portal):
    """The host is set up again: a new cluster of the same name, and a new key for the repository host."""
    uids = portal.uids()
    portal.run("devportal.backstage.backup")
    portal.database.check_output("pg_dropcluster --stop 17 main && rm -r /etc/backstage-postgresql-backup")
    done = portal.fails("devportal.backstage.site")
    assert "has the backups of another cluster" in done.stdout
    portal.run("devportal.backstage.restore", backstage_postgresql_restore_confirmed=True)
    assert portal.uids() == uids
    assert unchanged(portal.run())
