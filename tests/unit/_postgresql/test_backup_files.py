# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup; what is secret is in one of them only."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_files
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.backup_files import BackupSettings
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.restore import replayed_all
from ansible_collections.devportal.backstage.tests.unit._postgresql.clusters import make_cluster

CLUSTER = make_cluster(17)
SCHEDULES = {"full": "Sun 01:00", "diff": "Mon..Sat 01:00"}
SECRET = "hush = hush # ünï [x]"


def settings(**more):
    return BackupSettings("backstage", "/srv/repo", **{"schedules": SCHEDULES, **more})


def test_the_passphrase_is_in_the_file_of_secrets_only():
    wanted = settings(passphrase=SECRET, secret_options={"repo1-s3-key-secret": "key"})
    wanted.check()
    config = backup_files.config_text(wanted, CLUSTER, 5433)
    units = backup_files.unit_texts(wanted, CLUSTER, "/usr/bin/pgbackrest")
    for text in (config, *units.values(), *backup_files.archive_settings("backstage").values()):
        assert SECRET not in text
        assert "key" not in text.replace("key-", "")
    assert "\nrepo1-cipher-type=aes-256-cbc\n" in config
    secrets = backup_files.secrets_text(wanted)
    assert f"\nrepo1-cipher-pass={SECRET}\n" in secrets
    assert "\nrepo1-s3-key-secret=key\n" in secrets
    assert backup_files.passphrase_of(secrets) == SECRET
    assert backup_files.repository_of(config) == "/srv/repo"


def test_without_a_passphrase_there_is_no_file_of_secrets():
    assert backup_files.secrets_text(settings()) == ""
    assert "cipher" not in backup_files.config_text(settings(), CLUSTER, 5432)


def test_the_leader_of_a_patroni_cluster_takes_the_backups():
    service = "/etc/systemd/system/backstage-postgresql-backup@.service"
    assert "ExecCondition" not in backup_files.unit_texts(settings(), CLUSTER, "/usr/bin/pgbackrest")[service]
    member = make_cluster(17, data_directory="/srv/50% full/17")
    text = backup_files.unit_texts(settings(shared=True), member, "/usr/bin/pgbackrest")[service]
    assert '\nExecCondition=/usr/bin/test ! -e "/srv/50%% full/17/standby.signal"\nExecStart=' in text


def test_options_of_several_values_and_booleans():
    wanted = settings(options={"process-max": 2, "start-fast": False, "repo1-host-cmd": ["a", "b"]})
    wanted.check()
    text = backup_files.config_text(wanted, CLUSTER, 5432)
    assert "\nprocess-max=2\n" in text
    assert "\nrepo1-host-cmd=a\nrepo1-host-cmd=b\n" in text
    assert text.count("start-fast=") == 1
    assert "\nstart-fast=n\n" in text


@pytest.mark.parametrize(
    ("more", "subject"),
    [
        ({"passphrase": "two\nlines"}, "passphrase"),
        ({"passphrase": " space"}, "passphrase"),
        ({"options": {"repo1-path": "/x"}}, "options"),
        ({"options": {"Repo1": "x"}}, "options"),
        ({"options": {"process-max": "1\n[global]"}}, "options"),
        ({"secret_options": {"repo1-s3-key": ""}}, "secret_options"),
    ],
)
def test_what_a_file_could_not_hold(more, subject):
    with pytest.raises(CollectionError, match=rf"^O\({subject}\): ") as found:
        settings(**more).check()
    assert "two" not in str(found.value)


@pytest.mark.parametrize(
    ("mode", "command", "library", "found"),
    [
        ("off", "cp %p /x", "", ""),
        ("on", "cp %p /x", "", "cp %p /x"),
        ("on", "", "", ""),
        ("on", "(disabled)", "", ""),
        ("on", "", "basic_archive", "basic_archive"),
        ("on", backup_files.archive_settings("backstage")["archive_command"], "", ""),
        (
            "always",
            backup_files.archive_settings("another")["archive_command"],
            "",
            backup_files.archive_settings("another")["archive_command"],
        ),
    ],
)
def test_the_archive_of_somebody_else(mode, command, library, found):
    present = {"archive_mode": mode, "archive_command": command, "archive_library": library}
    assert backup_files.foreign_archiving(present, "backstage") == found


CONTROL = {
    "Database cluster state": "shut down",
    "Latest checkpoint location": "0/9000028",
    "Bytes per WAL segment": "16777216",
}


@pytest.mark.parametrize(
    ("control", "lines", "found"),
    [
        (CONTROL, ["LOG:  redo done at 0/8000110 system usage: CPU"], True),
        (CONTROL, ["LOG:  redo done at 0/7FFFFD8 system usage: CPU"], False),
        (CONTROL, ["LOG:  redo done at 0/8000110", "LOG:  redo done at 0/3000110"], False),
        (CONTROL, [], False),
        ({**CONTROL, "Database cluster state": "in production"}, ["LOG:  redo done at 0/8000110"], False),
        ({}, ["LOG:  redo done at 0/8000110"], False),
        ({**CONTROL, "Latest checkpoint location": "1/28"}, ["LOG:  redo done at 0/FF000110"], True),
    ],
)
def test_whether_a_recovery_replayed_all(control, lines, found):
    assert replayed_all(control, lines) is found


@pytest.mark.parametrize(
    ("text", "kind", "passes"),
    [
        ("pgBackRest 2.44", "sftp", False),
        ("pgBackRest 2.44", "posix", True),
        ("pgBackRest 2.46", "sftp", True),
        ("pgBackRest 2.55.1", "sftp", True),
        ("pgBackRest 3.0", "sftp", True),
        ("", "sftp", True),
    ],
)
def test_a_repository_host_needs_sftp(text, kind, passes):
    wanted = settings(options={"repo1-type": kind})
    assert wanted.is_local is (kind == "posix")
    with contextlib.nullcontext() if passes else pytest.raises(CollectionError, match=r"2\.44: it has no SFTP"):
        wanted.check_version(text)
