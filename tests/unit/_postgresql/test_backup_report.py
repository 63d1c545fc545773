# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgBackRest 2.55 printed on a Debian 13 host, and what a reader gets of it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import backup_report

INFO = {
    "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "17-1", "max": "00000001", "min": "00000001"}],
    "backup": [
        {
            "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
            "backrest": {"format": 5, "version": "2.55.1"},
            "database": {"id": 1, "repo-key": 1},
            "error": False,
            "info": {"delta": 23464456, "repository": {"delta": 3045792, "size": 3045792}, "size": 23464456},
            "label": "20261126-082116F",
            "lsn": {"start": "0/2000028", "stop": "0/3000050"},
            "prior": None,
            "reference": None,
            "timestamp": {"start": 1795681276, "stop": 1795681278},
            "type": "full",
        }
    ],
    "cipher": "aes-256-cbc",
    "db": [{"id": 1, "repo-key": 1, "system-id": 7712391982003202901, "version": "17"}],
    "name": "backstage",
    "repo": [{"cipher": "aes-256-cbc", "key": 1, "status": {"code": 0, "message": "ok"}}],
    "status": {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"},
}
WRONG_PASSPHRASE = (
    "[FormatError] unable to load info file '/var/lib/pgbackrest/backup/backstage/backup.info' or "
    "'/var/lib/pgbackrest/backup/backstage/backup.info.copy':\nFormatError: key/value found outside of section at "
    "line 1: \ufffdWU\ufffd,\nHINT: has a stanza-create been performed?"
)
DAMAGED = """stanza: backstage
status: error
  archiveId: 17-1, total WAL checked: 3, total valid WAL: 3
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261126-082116F, status: invalid, total files checked: 963, total valid files: 962
    missing: 0, checksum invalid: 1, size invalid: 0, other: 0
"""
NOW = 1795681278.0


def test_what_info_reports():
    found = backup_report.parse_info(json.dumps([INFO]), "backstage")
    assert (found.code, found.system, found.version) == (0, "7712391982003202901", 17)
    assert found.latest == backup_report.Backup(
        "20261126-082116F", "full", 1795681276.0, 1795681278.0, 23464456, 3045792, False
    )
    assert not list(backup_report.repository_problems(found, NOW + 3600, 26))


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"name": "backstage"}]'])
def test_what_info_does_not_report(text):
    with pytest.raises(CollectionError, match=r"pgBackRest: its report cannot be read"):
        backup_report.parse_info(text, "backstage")


def test_a_repository_without_the_stanza():
    found = backup_report.parse_info(json.dumps([INFO]), "another")
    assert found.code == backup_report.NO_STANZA
    assert "no such stanza" in next(backup_report.repository_problems(found, NOW, 0))


def test_bytes_of_an_encrypted_file_are_not_shown():
    status = {"code": 99, "message": WRONG_PASSPHRASE}
    entry = {**INFO, "backup": [], "db": [], "repo": [{"key": 1, "status": status}], "status": {**status, "lock": {}}}
    (problem,) = backup_report.repository_problems(backup_report.parse_info(json.dumps([entry]), "backstage"), NOW, 0)
    assert "unable to load info file" in problem
    assert problem.isascii()


def test_no_backup_and_an_old_one():
    entry = {**INFO, "backup": [], "status": {"code": 2, "message": "no valid backups"}}
    (none,) = backup_report.repository_problems(backup_report.parse_info(json.dumps([entry]), "backstage"), NOW, 0)
    assert none.startswith("No backup has been taken.")
    found = backup_report.parse_info(json.dumps([INFO]), "backstage")
    (old,) = backup_report.repository_problems(found, NOW + 27 * 3600, 26)
    assert "27 hours old, more than 26 hours" in old
    assert not list(backup_report.repository_problems(found, NOW + 27 * 3600, 0))


def test_the_newest_backup_is_the_latest_whatever_the_order():
    later = {**INFO["backup"][0], "label": "later", "timestamp": {"start": 1795690000, "stop": 1795690001}}
    found = backup_report.parse_info(json.dumps([{**INFO, "backup": [later, *INFO["backup"]]}]), "backstage")
    assert found.latest.label == "later"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("stanza: backstage\nstatus: ok\n", []),
        (DAMAGED, ["backup 20261126-082116F is invalid (files: 1 checksum invalid)"]),
        (
            "stanza: backstage\nstatus: error\n  backup: 1F, status: invalid, total files checked: 963, total valid "
            "files: 69\n    missing: 894\n",
            ["backup 1F is invalid (files: 894 missing)"],
        ),
        (
            "stanza: backstage\nstatus: error\n  archiveId: 17-1, total WAL checked: 3, total valid WAL: 2\n"
            "    checksum invalid: 1\n",
            ["WAL archive 17-1 has damaged files (1 checksum invalid)"],
        ),
        ("stanza: backstage\nstatus: error\n  No usable backup.info file\n", ["No usable backup.info file"]),
    ],
)
def test_what_verify_reports(text, found):
    assert backup_report.verify_problems(text) == found


@pytest.mark.parametrize(
    ("system", "version", "is_another"),
    [
        ("7712391982003202901", 17, False),
        ("4711", 17, True),  # a host that was set up again
        ("4711", 18, False),  # after a major upgrade
        ("4712", 17, False),  # the cluster of before a major upgrade, again
    ],
)
def test_the_backups_of_a_lost_cluster_are_not_taken_over(system, version, is_another):
    databases = [{"id": 0, "repo-key": 1, "system-id": 4712, "version": "17"}, *INFO["db"]]
    found = backup_report.parse_info(json.dumps([{**INFO, "db": databases}]), "backstage")
    assert found.is_of_another(system, version) is is_another


def test_a_stanza_without_backups_is_given_to_a_new_cluster():
    entry = {**INFO, "backup": [], "status": {"code": 2, "message": "no valid backups"}}
    found = backup_report.parse_info(json.dumps([entry]), "backstage")
    assert not found.is_of_another("4711", 17)


def test_a_backup_of_before_a_major_upgrade_is_not_one_of_this_cluster():
    databases = [*INFO["db"], {"id": 2, "repo-key": 1, "system-id": 4711, "version": "18"}]
    found = backup_report.parse_info(json.dumps([{**INFO, "db": databases}]), "backstage")
    assert (found.version, found.system, found.latest) == (18, "4711", None)


def test_an_error_without_time_stamps():
    text = "2026-11-26 08:21:12.040 P00  ERROR: [087]: archive_mode must be enabled\n   HINT: more\n"
    assert backup_report.errors(text) == "archive_mode must be enabled"
    assert backup_report.errors("") == "no output"


@pytest.mark.parametrize(
    ("record", "now", "found"),
    [
        (None, NOW, []),
        ({"time": NOW, "problems": []}, NOW + 86400, []),
        ({"time": NOW, "problems": []}, NOW + 8 * 86400, ["8 days ago, more than 7 days"]),
        ({"time": NOW, "problems": ["Table a is missing."]}, NOW + 60, ["60 s ago failed: Table a is missing."]),
    ],
)
def test_the_last_restore_test(record, now, found):
    problems = list(backup_report.test_problems(record, now, 7))
    assert len(problems) == len(found)
    assert all(part in problem for part, problem in zip(found, problems))


@pytest.mark.parametrize(
    "text",
    ["2026-11-26 14:30:00+00:00", "2026-11-26T14:30:00Z", "2026-11-26 14:30+00", "2026-11-26 15:30:00.5+0100"],
)
def test_a_point_in_time(text):
    assert backup_report.parse_target(text).utctimetuple()[:5] == (2026, 11, 26, 14, 30)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-11-26", "2026-11-26 14:30:00", "2026-13-26 14:30:00+00:00"])
def test_no_point_in_time(text):
    with pytest.raises(CollectionError, match=r"^O\(restore_time\): .* Write it as in 2026-11-26 14:30:00\+00:00\.$"):
        backup_report.parse_target(text)


def test_a_point_in_time_to_which_no_backup_leads():
    found = backup_report.parse_info(json.dumps([INFO]), "backstage")
    target = backup_report.parse_target(backup_report.when(NOW + 60))
    backup_report.check_target(target, found, NOW + 120)
    with pytest.raises(CollectionError, match="is in the future"):
        backup_report.check_target(target, found, NOW)
    with pytest.raises(CollectionError, match="is before the first backup; the first one ended at 2026-11-26 08:21:18"):
        backup_report.check_target(backup_report.parse_target(backup_report.when(NOW - 1)), found, NOW + 120)


def test_ages_and_sizes():
    assert [backup_report.age(seconds) for seconds in (-1, 59, 119, 120, 7199, 7200, 200000)] == [
        "0 s", "59 s", "119 s", "2 minutes", "119 minutes", "2 hours", "2 days"
    ]  # fmt: skip
    assert [backup_report.size(number) for number in (0, 1023, 23464456, 1 << 50)] == [
        "0 B", "1023 B", "22.4 MB", "1024.0 TB"
    ]  # fmt: skip
