# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of the playbook have to be."""

from __future__ import annotations

# For database and app on one host, the query of the host included, by provider.
MOST_TASKS = {"packages": 7, "container": 9}
# For the service besides.
MOST_SERVICE_TASKS = 5
# For the PostgreSQL project's package repository.
MOST_REPOSITORY_TASKS = 1
# For certificates: those of a server, or that of the CA on an app host.
MOST_TLS_TASKS = 3
# For backups, and for a repository host besides.
MOST_BACKUP_TASKS = 4
MOST_BACKUP_HOST_TASKS = 8


def test_the_second_run_is_short_and_changes_nothing(runs, wanted, hosts):
    backs_up_elsewhere = any("backstage_backup" in other["groups"] for _machine, other in hosts.values())
    second = [run for run in runs if run["playbook"] == "converge.yml"][-1]
    if not {"backstage", "backstage_database"} & set(wanted["groups"]):
        assert wanted["name"] not in second["hosts"], "a host of another group was touched"
        return
    counted = second["hosts"][wanted["name"]]
    assert counted["tasks"] > 0, "no task reached the host: the record is not of this run"
    most = MOST_TASKS[wanted.get("backstage_database_provider", "packages")] + (
        MOST_SERVICE_TASKS if wanted.get("backstage_service_manage") else 0
    )
    most += MOST_REPOSITORY_TASKS if wanted.get("backstage_postgresql_repository") == "pgdg" else 0
    most += MOST_TLS_TASKS if wanted.get("backstage_postgresql_tls") else 0
    if wanted.get("backstage_postgresql_backup") and "backstage_database" in wanted["groups"]:
        most += MOST_BACKUP_TASKS + (MOST_BACKUP_HOST_TASKS if backs_up_elsewhere else 0)
    assert counted["tasks"] <= most
    assert (counted["changed"], counted["failures"], counted["unreachable"]) == (0, 0, 0)
