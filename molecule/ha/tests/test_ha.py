# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Patroni cluster that site.yml made of bare hosts, with a real Backstage; and what it does when something fails.

The tests run in the order of this file. Beside other scenarios those run that take seconds; SCENARIO=ha adds a replaced
host and the conversion of a single one, and DRILLS=all all drills.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import statistics
import time

import pytest
import yaml
from ansible_collections.devportal.backstage.molecule.ha.tests.cluster import (
    DATABASES,
    PORTALS,
    PREFIX,
    TLS,
    Cluster,
    Writers,
    cut_off,
    docker,
    figure,
    kill_leader,
    killed_playbook,
    reconnect,
    run_playbook,
    shell,
    start_host,
    wait,
)
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import play

SITE = "devportal.backstage.site"
# A member: 22; the leader sets the password besides, and the first host reads the DCS for all. An app host: 13, and 4
# for the proxy, TLS included.
MOST_TASKS = {"db1": 26, "db2": 26, "db3": 26, "portal": 17, "portal2": 17}
long = pytest.mark.skipif(os.environ.get("DRILLS") != "all", reason="make drills runs it")
by_name = pytest.mark.skipif(not os.environ.get("SCENARIO") and os.environ.get("DRILLS") != "all", reason="SCENARIO=ha")


@pytest.fixture(scope="module")
def variables(hosts):
    return hosts["db1"][1]


@pytest.fixture(scope="module")
def cluster(variables):
    return Cluster(variables)


@pytest.fixture(scope="module")
def uids(cluster):
    """The uids of the catalog before anything failed."""
    return cluster.wait_uids()


def _whole():
    """The scenario's inventory: its groups and its variables."""
    path = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))["all"]
    return whole["children"], whole["vars"]


def _inventory(path, variables, **groups):
    path.write_text(json.dumps({"all": {"children": groups, "vars": variables}}))
    return path


@pytest.fixture
def three(tmp_path):
    """An inventory of the three database hosts alone."""
    groups, variables = _whole()
    kept = {name: value for name, value in variables.items() if "app_config" not in name}
    return _inventory(tmp_path / "three.json", kept, backstage_database=groups["backstage_database"])


def _recap(text):
    lines = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", text, re.M)
    return {name: tuple(map(int, counts)) for name, *counts in lines}


def test_the_members(cluster):
    cluster.wait_healthy()
    for host in DATABASES:
        assert cluster.sql("SHOW max_connections", host=host) == ["60"]
        assert cluster.sql("SHOW shared_buffers", host=host) == ["64MB"]
        assert cluster.sql("SHOW data_checksums", host=host) == cluster.sql("SHOW data_checksums", host="db1")
        assert shell(host, "systemctl is-enabled etcd patroni@17-main").split() == ["enabled", "enabled"]
        # Debian's tools know whose cluster it is.
        assert re.search(r" online(,recovery)?,patroni ", shell(host, "pg_lsclusters"))


def test_backstage_reaches_the_leader_by_the_loopback_address(cluster, uids):
    for portal in PORTALS:
        env = shell(portal, "cat /etc/backstage/backstage.env")
        assert "POSTGRES_HOST=127.0.0.1" in env.replace('"', "").replace("'", "")
        # Address and port of the sockets that listen on 5432, in hexadecimal digits.
        assert (
            shell(portal, "awk '$4 == \"0A\" && $2 ~ /:1538$/ {print $2}' /proc/net/tcp /proc/net/tcp6")
            == "0100007F:1538"
        )
        assert shell(portal, "stat -c '%U %a' /run/haproxy/backstage.sock") == "root 600"
    assert len(uids) == 3


def test_rest_api_and_etcd_are_closed_without_a_certificate(cluster):
    address = shell("db1", "hostname -I").split()[0]
    patch = f"curl -sk -o /dev/null -w '%{{http_code}}' -X PATCH -d '{{}}' https://{address}:8008/config"
    assert shell("db1", patch) in ("401", "403")
    certificate = f"--cert {TLS}/server.crt --key {TLS}/server.key"
    assert shell("db1", f"{patch} {certificate}") == "401"
    assert shell("db1", f"{patch} -u patroni:wrong {certificate}") == "401"
    for url in (f"http://{address}:2379/version", f"https://{address}:2379/version"):
        assert shell("db1", f"curl -sk -o /dev/null -w '%{{http_code}}' {url}", check=False) in ("000", "400")
    assert "etcdserver" in shell("db1", f"curl -sk {certificate} https://{address}:2379/version")


ENCRYPTED = """
SELECT s.ssl, a.backend_type = 'walsender', count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
WHERE a.client_addr IS NOT NULL AND NOT a.client_addr <<= '127.0.0.0/8' GROUP BY 1, 2 ORDER BY 2
"""
PLAIN_LOGIN = """
import json, psycopg2, sys
try:
    psycopg2.connect(**json.loads(sys.argv[1]), sslmode="disable")
except psycopg2.OperationalError as error:
    print(error)
"""


def _plain_login(cluster, host="portal"):
    """Why a login through the proxy without TLS was rejected; empty where it was not."""
    return shell(host, 'python3 -c "$1" "$2"', PLAIN_LOGIN, json.dumps(cluster.login()))


def test_replicas_and_apps_use_tls(cluster, uids):
    rows = [row.split("|") for row in cluster.sql(ENCRYPTED)]
    assert [row[:2] for row in rows] == [["t", "f"], ["t", "t"]]
    assert int(rows[1][2]) == 2
    assert "no encryption" in _plain_login(cluster)
    # Against whom the leader is, not against whom a name leads to.
    for host in DATABASES:
        replication = shell(host, "sed -n '/replication:/,/rewind:/p' /etc/patroni/17-main.yml")
        assert "sslmode: verify-full" in replication


def test_no_password_is_readable(variables):
    names = ("replication_password", "rewind_password", "api_password")
    secrets = [variables[f"backstage_postgresql_ha_{name}"] for name in names]
    for host in DATABASES:
        found = shell(host, "find /etc /var/log /var/lib/postgresql /tmp /run -xdev -type f -perm -o+r -exec cat {} +")
        shown = found + shell(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager")
        assert not [secret for secret in secrets if secret in shown or json.dumps(secret) in shown]


def test_a_major_upgrade_is_rejected(cluster):
    before = cluster.members()
    done = play(SITE, backstage_postgresql_version="18", backstage_postgresql_repository="pgdg")
    assert done.returncode == 2
    assert "18 is not the version of the cluster, 17, and a cluster under Patroni is not upgraded" in done.stdout
    assert all(counts[0] == 0 for counts in _recap(done.stdout).values()), done.stdout[-3000:]
    assert cluster.members().keys() == before.keys()


@long
def test_verify_reports_nothing(uids):
    done = play("devportal.backstage.verify")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Backstage would start." in done.stdout


def test_verify_reports_a_replica_that_cannot_be_promoted(cluster):
    """All is green until the first failover, except this."""
    replica = next(name for name, member in cluster.members().items() if member["role"] == "replica")
    rule = "host replication replicator 127.0.0.1/32 scram-sha-256"
    file = "/etc/patroni/17-main.yml"
    shell(replica, f"cp -p {file} /root/ && sed -i '/- {rule.replace('/', '.')}/d' {file}")
    shell(replica, "systemctl restart patroni@17-main")
    try:
        wait(cluster.is_healthy, 180, cluster.members)
        done = play("devportal.backstage.verify")
        assert done.returncode == 2, done.stdout[-5000:]
        assert f"{replica} cannot be promoted: it does not know its timeline" in done.stdout
    finally:
        shell(replica, f"mv /root/17-main.yml {file} && systemctl restart patroni@17-main")
    cluster.wait_healthy()


def test_a_switchover(cluster, uids):
    before, next_leader = cluster.leader(), cluster.synchronous()
    with Writers(cluster) as writers:
        done = play("devportal.backstage.switchover")
        assert done.returncode == 0, done.stdout[-5000:]
        time.sleep(5)
    figure(f"switchover: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.leader() == next_leader != before
    assert cluster.wait_uids() == uids


def test_a_run_changes_nothing_whoever_leads(cluster):
    """The second run of site.yml, and after a switchover."""
    done = play(SITE)
    assert done.returncode == 0, done.stdout[-6000:]
    assert set(_recap(done.stdout).values()) == {(0, 0, 0)}, done.stdout[-6000:]
    lines = pathlib.Path(os.environ["HOST_TASKS_FILE"]).read_text(encoding="utf-8").splitlines()
    counted = {name: host["tasks"] for name, host in json.loads(lines[-1])["hosts"].items()}
    assert counted.keys() == MOST_TASKS.keys()
    assert not {name: tasks for name, tasks in counted.items() if not 0 < tasks <= MOST_TASKS[name]}, counted


SERIAL = f"openssl x509 -noout -serial -in {TLS}/server.crt"
SHOWN = (
    "openssl s_client -connect $(hostname -I | cut -d' ' -f1):{} </dev/null 2>/dev/null | openssl x509 -noout -serial"
)
SERVERS = ("8008", "2379", "5432 -starttls postgres")


@long
def test_the_certificates_are_renewed(cluster):
    """PostgreSQL, Patroni and etcd show the new ones, and nobody waits."""
    before = [shell(host, SERIAL) for host in DATABASES]
    with Writers(cluster, visitor=False) as writers:
        done = play("devportal.backstage.renew_certificates", backstage_postgresql_tls_renew=True)
        assert done.returncode == 0, done.stdout[-5000:]
    figure(f"certificates renewed: gap {writers.check(seconds=15):.1f} s")
    after = [shell(host, SERIAL) for host in DATABASES]
    assert not set(before) & set(after)
    for server in SERVERS:
        assert [shell(host, SHOWN.format(server)) for host in DATABASES] == after
    assert cluster.is_healthy()


@long
def test_a_setting_that_requires_a_restart(cluster, uids):
    """Replicas take turns, the leader comes last, by a switchover; the next test has the inventory's value again."""
    settings = {"max_connections": 60, "shared_buffers": "72MB"}
    before = cluster.leader()
    with Writers(cluster) as writers:
        done = play(SITE, backstage_postgresql_settings=settings)
        assert done.returncode == 0, done.stdout[-6000:]
    figure(f"rolling restart: gap {writers.check():.1f} s, {writers.seen()}")
    assert [cluster.sql("SHOW shared_buffers", host=host) for host in DATABASES] == [["72MB"]] * 3
    assert cluster.leader() != before
    assert cluster.wait_uids() == uids


@long
def test_settings_of_a_killed_run_take_effect(cluster):
    """It was killed after the files were written, and before Patroni knew that they require a restart."""
    wanted = {"backstage_postgresql_settings": {"max_connections": 60, "shared_buffers": "80MB"}}
    last = "Set the settings of the server]"
    inventory = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
    assert killed_playbook(SITE, inventory, lambda task, changed: changed and task.endswith(last), **wanted)
    assert ["80MB"] not in [cluster.sql("SHOW shared_buffers", host=host) for host in DATABASES]
    for variables, value in ((wanted, "80MB"), ({}, "64MB")):
        done = play(SITE, **variables)
        assert done.returncode == 0, done.stdout[-6000:]
        assert [cluster.sql("SHOW shared_buffers", host=host) for host in DATABASES] == [[value]] * 3


def test_the_leader_is_killed(cluster, uids):
    with Writers(cluster) as writers:
        before = kill_leader(cluster)
        wait(lambda: cluster.leader() not in ("", before), 4 * cluster.ttl, cluster.members)
        time.sleep(5)
        start_host(before)
        cluster.wait_healthy()
    figure(f"leader killed: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.wait_uids() == uids


@long
def test_the_postmaster_is_killed(cluster, uids):
    with Writers(cluster) as writers:
        leader = cluster.leader()
        shell(leader, "kill -9 $(head -1 /var/lib/postgresql/17/main/postmaster.pid)")
        time.sleep(5)
        cluster.wait_healthy()
    figure(f"postmaster killed: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.wait_uids() == uids


@long
def test_the_proxy_is_restarted(cluster, uids):
    with Writers(cluster) as writers:
        for portal in PORTALS:
            shell(portal, "systemctl restart haproxy")
        time.sleep(5)
    figure(f"proxy restarted: gap {writers.check(seconds=15):.1f} s, {writers.seen()}")
    assert cluster.wait_uids() == uids


@by_name
def test_a_replaced_host_joins_by_running_the_playbook(cluster, uids, three):
    """Neither etcd nor PostgreSQL has its data there."""
    lost = next(name for name, member in cluster.members().items() if member["role"] == "replica")
    with Writers(cluster, visitor=False) as writers:
        shell(lost, "systemctl stop patroni@17-main etcd; rm -rf /var/lib/etcd/backstage /etc/patroni/17-main.yml")
        shell(lost, "pg_dropcluster 17 main || rm -rf /var/lib/postgresql/17/main /etc/postgresql/17/main")
        done = run_playbook(SITE, three)
        assert done.returncode == 0, done.stdout[-6000:]
        cluster.wait_healthy()
    figure(f"host replaced: gap {writers.check():.1f} s")
    assert cluster.wait_uids() == uids


@long
def test_the_synchronous_replica_is_killed(cluster, uids):
    """A commit waits until the leader has chosen the other replica."""
    with Writers(cluster) as writers:
        lost, leader = cluster.synchronous(), cluster.leader()
        docker("kill", PREFIX + lost)
        wait(lambda: cluster.synchronous() not in ("", lost), 4 * cluster.ttl, cluster.members)
        time.sleep(5)
        start_host(lost)
        cluster.wait_healthy()
    figure(f"synchronous replica killed: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.leader() == leader
    assert cluster.wait_uids() == uids


@long
def test_a_member_of_etcd_is_lost(cluster, uids):
    with Writers(cluster) as writers:
        leader = cluster.leader()
        shell(leader, "systemctl stop etcd")
        time.sleep(cluster.ttl + 10)
        done = play("devportal.backstage.verify")
        assert done.returncode == 2
        assert "etcd does not answer at" in done.stdout
        shell(leader, "systemctl start etcd")
        cluster.wait_healthy()
    figure(f"etcd member lost: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.wait_uids() == uids


@long
def test_the_majority_of_etcd_is_lost_and_comes_back(cluster, uids):
    with Writers(cluster) as writers:
        for host in DATABASES[1:]:
            shell(host, "systemctl stop etcd")
        time.sleep(2 * cluster.ttl)
        back = time.time()
        for host in DATABASES[1:]:
            shell(host, "systemctl start --no-block etcd")
        cluster.wait_healthy()
        time.sleep(5)
    # With failsafe_mode the leader goes on, as long as it reaches all replicas.
    figure(f"etcd's majority lost: gap {writers.gap():.1f} s, after it was back {writers.gap(after=back):.1f} s")
    writers.check()
    assert cluster.wait_uids() == uids


@long
def test_the_leader_is_cut_off(cluster, uids, hosts):
    with Writers(cluster) as writers:
        before = cluster.leader()
        cut_off(before)
        others = [host for host in DATABASES if host != before]
        wait(
            lambda: [
                host
                for host in others
                if shell(host, "pg_lsclusters -h | grep -c ' online,patroni '", check=False) == "1"
            ],
            4 * cluster.ttl,
            "no leader among the others",
        )
        time.sleep(3 * cluster.ttl)
        reconnect(before, hosts[before][1]["container_address"])
        cluster.wait_healthy()
    figure(f"leader cut off: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.leader() != before
    assert cluster.wait_uids() == uids


SMALL_DISK = """
set -e
systemctl stop patroni@17-main
mv "$1" "$1.moved"
install -d -o postgres -g postgres -m 700 "$1"
size=$(($(du -sm "$1.moved" | cut -f1) + 120))m
mount -t tmpfs -o "size=$size,mode=700,uid=$(id -u postgres),gid=$(id -g postgres)" tmpfs "$1"
cp -a "$1.moved/." "$1/"
rm -rf "$1.moved"
systemctl start patroni@17-main
"""
OWN_DISK = """
set -e
systemctl stop patroni@17-main
cp -a "$1" "$1.moved"
umount "$1"
rmdir "$1"
mv "$1.moved" "$1"
systemctl start patroni@17-main
"""


@long
def test_the_disk_of_the_leader_is_full(cluster, uids):
    """The synchronous replica gets a small file system of its own, becomes the leader, and has no room left."""
    data, host = "/var/lib/postgresql/17/main", cluster.synchronous()
    shell(host, SMALL_DISK, data)
    cluster.wait_healthy()
    while cluster.leader() != host:
        # Until it is the synchronous one again, others take turns.
        if cluster.synchronous() == host:
            done = play("devportal.backstage.switchover")
            assert done.returncode == 0, done.stdout[-3000:]
        else:
            shell(cluster.synchronous(), "systemctl restart patroni@17-main")
        cluster.wait_healthy()
    with Writers(cluster) as writers:
        shell(host, f"dd if=/dev/zero of={data}/fill bs=1M 2>/dev/null", check=False)
        time.sleep(10)
        # Rows that need a new page fail by now. The server goes on until it needs a new file for its log.
        full = time.time()
        shell(host, "runuser -u postgres -- psql -Xc 'SELECT pg_switch_wal()'; sleep 1", check=False)
        wait(lambda: cluster.leader() not in ("", host), 300, cluster.members)
        time.sleep(5)
        shell(host, f"rm {data}/fill")
        cluster.wait_healthy()
    stopped = writers.gap(after=full)
    figure(f"disk full: gap {writers.check(seconds=stopped):.1f} s, {writers.seen()}")
    assert stopped <= 2 * cluster.ttl + 11
    assert cluster.wait_uids() == uids
    shell(host, OWN_DISK, data)
    cluster.wait_healthy()


@long
def test_a_rotation_during_a_failover(cluster, uids):
    """It ends in a working state, whether it succeeded or was rolled back."""
    before = kill_leader(cluster)
    done = play("devportal.backstage.rotate_password", backstage_postgresql_password="rotated in a failover")
    start_host(before)
    cluster.wait_healthy()
    figure(f"rotation during a failover: exit code {done.returncode}")
    assert cluster.wait_uids() == uids
    for password in ("rotated in a failover", cluster.password):
        done = play("devportal.backstage.rotate_password", backstage_postgresql_password=password)
        assert done.returncode == 0, done.stdout[-5000:]
        assert cluster.wait_uids() == uids


@long
def test_twenty_failovers_in_a_row(cluster, uids):
    """FAILOVERS says how many."""
    moments, leaders = [], []
    with Writers(cluster) as writers:
        for _number in range(int(os.environ.get("FAILOVERS") or 20)):
            moments.append(time.time())
            leaders.append(kill_leader(cluster))
            wait(lambda: cluster.leader() not in ("", leaders[-1]), 4 * cluster.ttl, cluster.members)
            time.sleep(3)
            start_host(leaders[-1])
            cluster.wait_healthy()
            writers.start(leaders[-1])
    gaps = [writers.gap(after, before) for after, before in zip(moments, [*moments[1:], time.time()])]
    for leader, gap in zip(leaders, gaps):
        figure(f"failover of {leader}: gap {gap:.1f} s")
    assert writers.lost() == []
    figure(
        f"{len(gaps)} failovers: median gap {statistics.median(gaps):.1f} s, worst {max(gaps):.1f} s, "
        f"{len(writers.acknowledged)} acknowledged writes, 0 lost, {writers.seen()}"
    )
    writers.check()
    assert cluster.wait_uids() == uids


@long
def test_tls_is_turned_off_and_on(cluster, uids):
    """An app that still connects without TLS is not cut off; once none is seen, it would be."""
    plain = {"backstage_postgresql_tls": False}
    done = play(SITE, **plain, backstage_app_config_database={"connection": {"ssl": None}})
    assert done.returncode == 0, done.stdout[-6000:]
    assert _plain_login(cluster) == ""
    with Writers(cluster, sslmode="disable") as writers:
        done = play(SITE)
        assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"backstage from 10\.213\.15\.21.*: not seen to use TLS in this run", done.stdout)
    figure(f"TLS turned on: gap {writers.check(seconds=15):.1f} s, {writers.seen()}")
    assert _plain_login(cluster) == ""
    done = play(SITE)
    assert done.returncode == 0, done.stdout[-6000:]
    # Patroni writes the rules within its next loop.
    wait(lambda: "no encryption" in _plain_login(cluster), 30, "a login without TLS works")
    test_a_run_changes_nothing_whoever_leads(cluster)
    test_replicas_and_apps_use_tls(cluster, uids)
    assert cluster.wait_uids() == uids


BACKUP = {
    "backstage_postgresql_backup": True,
    "backstage_postgresql_backup_repository": "/srv/backups/pgbackrest",
    "backstage_postgresql_backup_passphrase": "backup secret",
}
MOMENT = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00:00'"


def _play(playbook, **variables):
    done = play(f"devportal.backstage.{playbook}", **BACKUP, **variables)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@long
def test_backups_of_the_cluster(cluster):
    shell("db1", "rm -rf /srv/backups/*")
    own = f"{{{{ '/srv/backups/leader' if inventory_hostname == '{cluster.leader()}' else '/var/lib/own' }}}}"
    done = play(SITE, **{**BACKUP, "backstage_postgresql_backup_repository": own})
    assert done.returncode == 2
    assert "/var/lib/own on this replica is not the repository of the leader." in done.stdout
    with Writers(cluster) as writers:
        _play("site")
    figure(f"archiving turned on by a rolling restart: gap {writers.check():.1f} s, {writers.seen()}")
    assert set(_recap(_play("site")).values()) == {(0, 0, 0)}
    # Whoever leads, the repository is the same.
    _play("switchover")
    assert "was taken" in _play("backup")
    unit = "backstage-postgresql-backup@diff"
    results = {host: shell(host, f"systemctl start {unit}; systemctl show -P Result {unit}") for host in DATABASES}
    assert results == {host: "success" if host == cluster.leader() else "exec-condition" for host in DATABASES}
    assert "catalog entities are equal" in _play("restore_test")
    _play("switchover")
    # Whoever leads, it knows the test.
    assert re.search(r"The latest backup .* old\. The last restore test was .* ago and passed\.", _play("verify"))


@long
def test_a_restore_to_a_point_in_time_is_killed_and_repeated(cluster, uids):
    """After the last test."""
    cluster.sql("CREATE TABLE public.moments AS SELECT generate_series(1, 100) AS number")
    time.sleep(2)
    moment = cluster.sql(MOMENT)[0]
    time.sleep(2)
    cluster.sql("DELETE FROM public.moments WHERE number > 10")
    # So much that the restored member is further behind than Patroni's maximum_lag_on_failover.
    cluster.sql("CREATE TABLE public.later AS SELECT generate_series(1, 500000) AS number")
    wanted = {"backstage_postgresql_restore_confirmed": True, "backstage_postgresql_restore_time": moment}
    # Killed when one member is restored, and nobody started.
    last = "Remove the WAL position of the former leader from the DCS]"
    inventory = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
    restore = ("devportal.backstage.restore", inventory, lambda task, _changed: task.endswith(last))
    assert killed_playbook(*restore, **BACKUP, **wanted)
    done = play(SITE, **BACKUP)
    assert done.returncode == 2
    assert re.search(r"A restore of db\d was interrupted, and another member with the former data", done.stdout)
    begin = time.monotonic()
    assert "An interrupted run has restored it." in _play("restore", **wanted)
    figure(f"restore of the cluster to a point in time, second run: {time.monotonic() - begin:.0f} s")
    cluster.wait_healthy()
    rows = "SELECT count(*), to_regclass('public.later') IS NULL FROM public.moments"
    assert [cluster.sql(rows, host=host) for host in DATABASES] == [["100|t"]] * 3
    assert cluster.wait_uids() == uids
    assert "latest backup" in _play("verify")
    former = "ls -d /var/lib/postgresql/17/main.before-restore-* 2>/dev/null"
    assert len([host for host in DATABASES if shell(host, former, check=False)]) == 1
    _play("restore", backstage_postgresql_restore_remove_former=True)
    assert not [host for host in DATABASES if shell(host, former, check=False)]


REMOVE_ETCD_MEMBER = f"""
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS="https://$(hostname -I | cut -d' ' -f1):2379"
export ETCDCTL_CACERT={TLS}/ca.crt ETCDCTL_CERT={TLS}/server.crt ETCDCTL_KEY={TLS}/server.key
etcdctl member remove "$(etcdctl member list | grep " $1," | cut -d, -f1)"
"""
MORE = {"db4": "10.213.15.14", "db5": "10.213.15.15"}


@pytest.fixture
def five(cluster, tmp_path):
    """An inventory with two more database hosts, which are removed at the end, as the guide describes."""
    groups, variables = _whole()
    hosts = {name: {"ansible_host": PREFIX + name, "container_address": address} for name, address in MORE.items()}
    new = _inventory(tmp_path / "new.json", variables, backstage_database={"hosts": hosts})
    create = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]).parent / "shared" / "create.yml"
    done = run_playbook(str(create), new)
    assert done.returncode == 0, done.stdout[-3000:]
    groups["backstage_database"]["hosts"].update(hosts)
    yield _inventory(tmp_path / "five.json", variables, **groups)
    for host in MORE:
        shell(host, "systemctl stop patroni@17-main")
        wait(lambda: host not in cluster.members() and cluster.synchronous(), 4 * cluster.ttl, cluster.members)  # noqa: B023
        shell("db1", REMOVE_ETCD_MEMBER, host)
        docker("rm", "--force", "--volumes", PREFIX + host)
    cluster.size = len(DATABASES)
    cluster.wait_healthy()
    done = play(SITE)
    assert done.returncode == 0, done.stdout[-6000:]


@long
def test_five_hosts(cluster, uids, five):
    """Two join by running the playbook again. Two of the five, the leader among them, are lost."""
    with Writers(cluster) as writers:
        done = run_playbook(SITE, five)
        assert done.returncode == 0, done.stdout[-6000:]
        cluster.size = len(DATABASES) + len(MORE)
        cluster.wait_healthy()
    figure(f"two hosts added: gap {writers.check():.1f} s, {writers.seen()}")
    done = run_playbook(SITE, five)
    assert set(_recap(done.stdout).values()) == {(0, 0, 0)}, done.stdout[-6000:]
    done = run_playbook("devportal.backstage.verify", five)
    assert done.returncode == 0, done.stdout[-6000:]
    with Writers(cluster) as writers:
        lost = [cluster.leader(), *(name for name, each in cluster.members().items() if each["role"] == "replica")][:2]
        docker("kill", *(PREFIX + host for host in lost))
        wait(lambda: cluster.leader() not in ("", *lost), 4 * cluster.ttl, cluster.members)
        time.sleep(5)
        for host in lost:
            start_host(host)
        cluster.wait_healthy()
    figure(f"two of five hosts killed, the leader and {lost[1]}: gap {writers.check():.1f} s, {writers.seen()}")
    assert cluster.wait_uids() == uids


@pytest.fixture
def single(cluster, tmp_path):
    """A function that leaves one host with a cluster of site.yml, 1000 rows and a Backstage, and two bare ones.

    It returns the inventory with three hosts, and what has to be there after the conversion.
    """
    groups, variables = _whole()
    # What a portal with one database host elsewhere has; it stays in the inventory.
    variables["backstage_postgresql_listen_addresses"] = ["*"]
    variables["backstage_postgresql_access_rules"] = [{"type": "host", "address": "samenet"}]
    kept = {name: value for name, value in variables.items() if "_ha" not in name}
    hosts = {"db1": groups["backstage_database"]["hosts"]["db1"]}
    backstage = {**groups["backstage"], "hosts": {"portal": groups["backstage"]["hosts"]["portal"]}}
    one = _inventory(tmp_path / "one.json", kept, backstage_database={"hosts": hosts}, backstage=backstage)
    groups["backstage"] = backstage
    three = _inventory(tmp_path / "three.json", variables, **groups)

    def reset():
        for portal in PORTALS:
            shell(portal, RESET_PORTAL)
        for host in DATABASES:
            shell(host, RESET)
        done = run_playbook(SITE, one)
        assert done.returncode == 0, done.stdout[-5000:]
        cluster.sql(
            "CREATE TABLE public.kept AS SELECT number, gen_random_uuid() AS uid FROM generate_series(1, 1000) number",
            host="db1",
        )
        rows = cluster.sql(KEPT, host="db1")
        assert rows[0].startswith("1000|")
        return three, (rows, cluster.wait_uids(portals=["portal"]))

    return reset


RESET = """
systemctl stop patroni@17-main etcd 2>/dev/null
systemctl disable patroni@17-main etcd 2>/dev/null
pg_dropcluster --stop 17 main 2>/dev/null
rm -rf /var/lib/postgresql/17 /etc/postgresql/17 /etc/patroni/*-*.yml /etc/patroni/dcs.yml /var/lib/etcd/backstage
rm -rf /etc/default/etcd /etc/backstage-etcd-tls /etc/backstage-postgresql-tls /etc/postgresql-common/createcluster.d/*
true
"""
# The databases of Backstage go; the playbook starts it again. HAProxy runs as Debian's package starts it.
RESET_PORTAL = """
systemctl stop backstage-recovery backstage
rm -f /etc/haproxy/backstage-postgresql-ca.crt
printf 'global\n    stats socket /run/haproxy/admin.sock mode 660\ndefaults\n    mode http\n' >/etc/haproxy/haproxy.cfg
systemctl restart haproxy
"""
KEPT = "SELECT count(*), md5(string_agg(uid::text, '' ORDER BY number)) FROM public.kept"


def _converted(cluster, inventory, before):
    """The data is on each host, all that was written is loaded, and a further run changes nothing."""
    rows, uids = before
    cluster.wait_healthy()
    assert [cluster.sql(KEPT, host=host) for host in DATABASES] == [rows] * 3
    assert cluster.wait_uids(portals=["portal"]) == uids
    # Patroni writes the rules within its next loop.
    wait(lambda: "no encryption" in _plain_login(cluster), 30, "a login without TLS works")
    done = run_playbook("devportal.backstage.verify", inventory)
    assert done.returncode == 0, done.stdout[-6000:]
    done = run_playbook(SITE, inventory)
    assert set(_recap(done.stdout).values()) == {(0, 0, 0)}, done.stdout[-6000:]


@by_name
def test_a_single_host_with_data_becomes_a_cluster(cluster, single):
    inventory, before = single()
    done = run_playbook(SITE, inventory)
    assert done.returncode == 0, done.stdout[-6000:]
    tasks = re.findall(r"^(?:TASK|RUNNING HANDLER) \[.*?(?=^TASK|^RUNNING|^PLAY)", done.stdout, re.M | re.S)
    changed = [text for text in tasks if re.search(r"^changed: ", text, re.M)]
    figure(f"conversion: {len(tasks)} tasks, {len(changed)} of them changed a host")
    _converted(cluster, inventory, before)
    done = play(SITE)
    assert done.returncode == 0, done.stdout[-6000:]


@long
def test_a_conversion_that_is_killed_after_each_change_goes_on(cluster, single):
    """One conversion, of the portal too, killed after each task that changes a host; each run continues the last one's.

    That is every boundary between two tasks: after a task that changed no host the hosts are as they were before it,
    so that a kill there leaves what a kill after the last change left. The first boundary is a run that never began,
    the last one the kill after the last task. Tasks that a killed run alone needs are boundaries, too. The packages are
    there from the converge, so that a kill while they are installed is not among them.

    BOUNDARIES=3 converts anew for every third of these tasks besides, with one kill each.
    """
    inventory, before = single()
    passed = []
    while killed := killed_playbook(SITE, inventory, lambda task, changed: changed and task not in passed):
        passed.append(killed)
        assert cluster.leader() in ("", "db1"), passed
        if shell("db1", "pg_lsclusters -h | grep -c ' online'", check=False) == "1":
            assert cluster.sql(KEPT, host="db1") == before[0], passed
    figure(f"conversion killed {len(passed)} times: {'; '.join(passed)}")
    assert len(passed) > 15
    _converted(cluster, inventory, before)
    every = int(os.environ.get("BOUNDARIES") or 0)
    for last in range(0, len(passed), every) if every else ():
        inventory, before = single()
        killed = killed_playbook(SITE, inventory, lambda task, changed: changed and task not in passed[:last])  # noqa: B023
        assert killed
        done = run_playbook(SITE, inventory)
        assert done.returncode == 0, f"killed after {killed}: {done.stdout[-6000:]}"
        _converted(cluster, inventory, before)
        figure(f"killed after {killed}: converted by the next run")
    done = play(SITE)
    assert done.returncode == 0, done.stdout[-6000:]
    assert cluster.wait_uids() == before[1]


def test_the_containers_are_all_there():
    """The last test: nothing was left away."""
    assert sorted(name for name in docker("ps", "--format", "{{.Names}}").split() if name.startswith(PREFIX)) == sorted(
        PREFIX + name for name in (*DATABASES, *PORTALS)
    )
