# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster is meant, and whether its server runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import access_rules
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import choose
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import (
    WantedConfig,
    supervised,
)
from clusters import make_cluster


class TestChoose:
    def test_the_only_one(self):
        only = make_cluster(15)
        assert choose([only, make_cluster(15, "other", 5433)], [15], None, "main", None) is only

    def test_by_version(self):
        new = make_cluster(17, port=5433)
        assert choose([make_cluster(15), new], [15, 17], 17, "main", None) is new

    def test_several_are_listed(self):
        found = [make_cluster(15), make_cluster(17, port=5433)]
        with pytest.raises(
            CollectionError, match=r"15/main \(port 5432, online\), 17/main \(port 5433, online\).*version"
        ):
            choose(found, [15, 17], None, "main", None)

    def test_the_old_cluster_of_a_major_upgrade_is_passed_over(self):
        new = make_cluster(17)
        assert choose([make_cluster(15, port=5433, status="down"), new], [15, 17], None, "main", None) is new

    def test_a_new_one_takes_the_newest_programs(self):
        assert choose([], [15, 17], None, "main", None) == 17
        assert choose([make_cluster(15)], [15, 17], 17, "second", None) == 17

    @pytest.mark.parametrize("status", ["online", "down"])
    def test_a_newer_version_is_no_empty_cluster_beside_the_present_one(self, status):
        found = [make_cluster(14, status="down"), make_cluster(15, port=6432, status=status), make_cluster(15, "other")]
        with pytest.raises(CollectionError) as error:
            choose(found, [15, 17], 17, "main", None)
        assert str(error.value).startswith(
            f"O(version): PostgreSQL 17 would get a new, empty cluster beside 15/main (port 6432, {status}). "
            "To upgrade 15/main, run the playbook devportal.backstage.upgrade with this version."
        )
        with pytest.raises(CollectionError, match="empty cluster beside 15/main"):
            choose(found, [15, 17], 17, "main", None, port=6432)

    def test_a_second_cluster_that_is_meant_is_created(self):
        found = [make_cluster(15)]
        assert choose(found, [15, 17], 17, "main", True) == 17
        assert choose(found, [15, 17], 17, "main", None, port=5433) == 17
        assert choose([make_cluster(17)], [15, 17], 15, "main", None) == 15

    def test_a_cluster_that_was_rolled_back_is_not_started_beside_the_one_in_use(self):
        found = [make_cluster(15), make_cluster(17, port=5433, status="down", start="manual")]
        with pytest.raises(CollectionError, match=r"17/main is down .* while 15/main \(port 5432\) is online"):
            choose(found, [15, 17], 17, "main", None)
        for changes in ({"unfinished": True}, {"start": "auto"}, {"status": "online"}):
            both = [found[0], make_cluster(17, port=5433, **{"status": "down", "start": "manual", **changes})]
            assert choose(both, [15, 17], 17, "main", None) is both[1]
        assert choose(found, [15, 17], 17, "main", True) is found[1]

    @pytest.mark.parametrize("version", [None, 15])
    def test_a_wrong_name_makes_no_second_server(self, version):
        with pytest.raises(CollectionError, match=r"O\(cluster\): there is none .*mian.*15/main \(port 5432, online\)"):
            choose([make_cluster(15)], [15], version, "mian", None)
        assert choose([make_cluster(15)], [15], version, "second", True) == 15

    def test_never(self):
        with pytest.raises(CollectionError, match="which has none at all"):
            choose([], [15], None, "main", False)

    def test_programs_are_missing(self):
        with pytest.raises(CollectionError, match="the server programs are not installed on this host"):
            choose([], [], None, "main", None)
        with pytest.raises(CollectionError, match=r"of PostgreSQL 17 are not installed .*\(installed: 15\)"):
            choose([], [15], 17, "main", None)

    def test_data_directory_is_gone(self):
        with pytest.raises(CollectionError, match="data directory /var/lib/postgresql/15/main is missing"):
            choose([make_cluster(15, owner="", uid=-1)], [15], None, "main", None)

    @pytest.mark.parametrize("create", [None, True, False])
    def test_another_manager_is_left_alone(self, create):
        with pytest.raises(CollectionError, match=r"managed by patroni.*role backstage_postgresql_ha"):
            choose([make_cluster(17, supervisor="patroni")], [17], None, "main", create)


class TestPostmaster:
    """A process that looks like a server to ps(1), and a postmaster.pid that names it."""

    @pytest.fixture
    def start(self, tmp_path):
        started = []

        def run(*words):
            program = "import time; print('runs', flush=True); time.sleep(60)"
            process = subprocess.Popen(
                [words[0], "-c", program, *words[1:]], executable=sys.executable, stdout=subprocess.PIPE
            )
            started.append(process)
            assert process.stdout.readline() == b"runs\n"
            lines = [process.pid, tmp_path, 1, 5433, "/run/x", "localhost", 0, "ready"]
            (tmp_path / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
            return make_cluster(16, data_directory=str(tmp_path))

        yield run
        for process in started:
            process.kill()
            process.communicate()

    @pytest.mark.parametrize("program", ["/usr/lib/postgresql/15/bin/postgres", "/usr/bin/postmaster", "postmaster"])
    def test_by_each_of_its_names(self, start, program):
        server = start(program).postmaster()
        assert (server.port, server.socket_directory, server.ready) == (5433, "/run/x", True)

    def test_its_data_directory(self, start, tmp_path):
        assert start("/usr/pgsql-14/bin/postmaster", "-D", f"{tmp_path}/.").postmaster() is not None
        assert start("/usr/pgsql-14/bin/postmaster", "-D", "/var/lib/pgsql/14/data").postmaster() is None

    def test_another_program_has_the_pid(self, start):
        assert start("/usr/bin/python3").postmaster() is None

    def test_none(self, tmp_path):
        cluster = make_cluster(16, data_directory=str(tmp_path))
        assert cluster.postmaster() is None
        (tmp_path / "postmaster.pid").write_text("not a pid\n")
        assert cluster.postmaster() is None
        assert os.listdir(tmp_path) == ["postmaster.pid"]

    def test_a_manager_that_is_expected_is_accepted(self):
        cluster = make_cluster(17, supervisor="patroni")
        assert choose([cluster], [17], None, "main", None, supervisor="patroni") is cluster


class TestSupervised:
    def test_only_settings_are_left_where_a_manager_runs_the_server(self):
        wanted = WantedConfig({"work_mem": "8MB"}, None)
        left = supervised(wanted, make_cluster(17, supervisor="patroni"))
        assert (left.settings, left.online, left.at_boot, left.restart) == ({"work_mem": "8MB"}, False, False, False)
        assert supervised(wanted, make_cluster(17)) is wanted

    def test_rules_are_rejected_there(self):
        rules = access_rules(
            [
                {
                    "type": "host",
                    "databases": ["all"],
                    "users": ["a"],
                    "address": "10.0.0.0/8",
                    "method": "md5",
                    "options": {},
                    "secret_options": {},
                }
            ],
            17,
        )
        with pytest.raises(CollectionError, match="patroni writes the access rules"):
            supervised(WantedConfig(None, rules), make_cluster(17, supervisor="patroni"))
