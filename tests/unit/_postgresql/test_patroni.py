# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import patroni
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.restore import JOURNAL

MEMBERS = {"db1": "10.0.0.1", "db2": "10.0.0.2", "db3": "10.0.0.3"}
SECRETS = {"a_password": "one", "b_password": "two", "c_password": "secret 3"}


def _problems(members=None, network="10.0.0.0/24", secrets=None, timing=(20, 5, 5)):
    ttl, loop_wait, retry_timeout = timing
    return patroni.variable_problems(
        MEMBERS if members is None else members,
        network=network,
        secrets=SECRETS if secrets is None else secrets,
        ttl=ttl,
        loop_wait=loop_wait,
        retry_timeout=retry_timeout,
    )


@pytest.mark.parametrize("timing", [(20, 5, 5), (30, 10, 10)])
def test_good_variables_have_no_problem(timing):
    assert _problems(timing=timing) == []
    assert _problems({f"db{n}": f"10.0.0.{n}" for n in range(5)}, timing=timing) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"members": {"db1": "10.0.0.1"}}, "has 1 hosts. One host cannot fail over"),
        ({"members": {"db1": "10.0.0.1", "db2": "10.0.0.2"}}, "Two hosts have no majority"),
        ({"members": {f"db{n}": f"10.0.0.{n}" for n in range(4)}}, "has 4 hosts. Four hosts survive no more"),
        ({"members": {f"db{n}": f"10.0.0.{n}" for n in range(7)}}, "has 7 hosts. Use three or five."),
        ({"members": {**MEMBERS, "db3": "10.0.1.3"}}, "10.0.1.3 of db3 is not in backstage_postgresql_ha_network"),
        ({"members": {**MEMBERS, "db3": "db3.example.com"}}, "'db3.example.com' of db3 is not an IP address."),
        ({"members": {**MEMBERS, "db3": "10.0.0.2"}}, "10.0.0.2 is the address of several hosts."),
        ({"network": "10.0.0.1/24"}, "backstage_postgresql_ha_network: '10.0.0.1/24' is not a network."),
        ({"network": ""}, "backstage_postgresql_ha_network: '' is not a network."),
        ({"timing": (20, 10, 10)}, "20 s is less than loop_wait + 2 x retry_timeout = 30 s"),
        ({"timing": (15, 5, 5)}, "backstage_postgresql_ha_ttl: 15 s is below Patroni's minimum of 20 s."),
        ({"timing": (20, 5, 1)}, "backstage_postgresql_ha_retry_timeout: 1 s is below"),
        ({"secrets": {**SECRETS, "a_password": ""}}, "a_password is missing."),
        ({"secrets": {**SECRETS, "a_password": "two"}}, "must differ from each other."),
        ({"secrets": {**SECRETS, "a_password": "x\ny"}}, "a_password is not a string on one line."),
    ],
)
def test_a_wrong_variable_gets_a_sentence(change, sentence):
    found = _problems(**change)
    assert any(sentence in text for text in found), found
    assert not any(secret in text for text in found for secret in ("secret 3", "x\ny"))


def test_settings_of_patroni_are_rejected_and_those_of_the_dcs_go_there():
    settings = {"Port": 5433, "max_connections": 200, "shared_buffers": "1GB", "hot_standby": "off"}
    assert patroni.setting_problems(settings) == [
        "backstage_postgresql_settings.Port: Patroni sets Port itself. Use backstage_postgresql_port.",
        "backstage_postgresql_settings.hot_standby: Patroni sets hot_standby itself. Remove it.",
    ]
    dcs = patroni.dcs_configuration(ttl=20, loop_wait=5, retry_timeout=5, synchronous=True, settings=settings)
    assert dcs["postgresql"]["parameters"]["max_connections"] == 200
    assert "shared_buffers" not in dcs["postgresql"]["parameters"]
    assert dcs["synchronous_mode"] is True


CLUSTER = {
    "members": [
        {"name": "db1", "role": "leader", "state": "running", "timeline": 3},
        {"name": "db2", "role": "sync_standby", "state": "streaming", "timeline": 3, "lag": 0},
        {"name": "db3", "role": "replica", "state": "streaming", "timeline": 3, "lag": 0},
    ]
}
OWN = {name: {"timeline": 3, "state": "running"} for name in MEMBERS}


def _changed(name, **change):
    cluster = copy.deepcopy(CLUSTER)
    for member in cluster["members"]:
        if member["name"] == name:
            member.update(change)
    return cluster


def test_a_healthy_cluster_has_no_problem():
    assert patroni.cluster_problems(CLUSTER, OWN, list(MEMBERS), True) == []


@pytest.mark.parametrize(
    ("cluster", "own", "sentence"),
    [
        ({"members": CLUSTER["members"][1:]}, OWN, "The cluster has 0 leaders (none)."),
        (_changed("db3", role="leader"), OWN, "The cluster has 2 leaders (db1 and db3)."),
        ({"members": CLUSTER["members"][:2]}, OWN, "db3 is not a member of the cluster."),
        (_changed("db2", state="start failed", lag="unknown"), OWN, "db2 does not stream from the leader"),
        (_changed("db2", role="replica"), OWN, "No replica is synchronous"),
        (_changed("db3", lag="unknown"), OWN, "db3 does not report its lag."),
        (CLUSTER, {**OWN, "db3": {"timeline": None}}, "db3 cannot be promoted: it does not know its timeline"),
        (CLUSTER, {"db1": {}, "db2": {"timeline": 3}}, "The REST API of patroni on db3 does not answer."),
    ],
)
def test_a_problem_of_the_cluster_is_found(cluster, own, sentence):
    found = patroni.cluster_problems(cluster, own, list(MEMBERS), True)
    assert any(sentence in text for text in found), found


def _names(leader, timeline=3, listed=("db1", "db2", "db3")):
    return {
        "members": [
            {"name": name, "role": "leader" if name == leader else "replica", "timeline": timeline} for name in listed
        ]
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([CLUSTER, CLUSTER, CLUSTER], "db1"),
        ([None, {}, CLUSTER], "db1"),
        # Nobody answers, or a promotion is under way.
        ([], ""),
        ([None, None, None], ""),
        ([_names(""), _names(""), _names("")], ""),
        ([_names(""), _names("db2"), _names("")], "db2"),
        # The one that was cut off still sees itself as the leader, in whatever order they answer.
        ([_names("db1"), _names("db2", 4), _names("db2", 4)], "db2"),
        ([_names("db2", 4), _names("db2", 4), _names("db1")], "db2"),
        ([_names("db1"), _names("db2", 4), None], "db2"),
        ([_names("db2", 4), _names("db1"), None], "db2"),
        ([{"members": [{"name": "db3", "role": "leader"}]}], "db3"),
    ],
)
def test_the_leader_is_the_one_that_most_members_name(answers, expected):
    assert patroni.leader(answers) == expected


LISTED = "17 main 5432 online postgres /var/lib/postgresql/17/main /var/log/postgresql/postgresql-17-main.log\n"
PATRONI = "/etc/patroni/17-main.yml\n"
ETCD = "/var/lib/etcd/backstage/member\n"
MAIN = {"version": "17", "port": 5432}


@pytest.mark.parametrize(
    ("listings", "answers", "expected"),
    [
        (["", "", ""], {}, ("", [], [], "db1", {})),
        (["", LISTED, ""], {}, ("", [], ["db2"], "db2", MAIN)),
        ([LISTED.replace("main", "other", 1), "", ""], {}, ("", [], [], "db1", {})),
        ([LISTED, LISTED, ""], {}, ("", [], ["db1", "db2"], "db1", MAIN)),
        (["", LISTED + PATRONI, ""], {"db2": CLUSTER}, ("db1", ["db2"], ["db2"], "db2", MAIN)),
        ([LISTED, LISTED + PATRONI, ""], {"db2": {"members": []}}, ("", ["db2"], ["db1", "db2"], "db2", MAIN)),
        # Killed between the configuration of all hosts and the conversion of the one with the data.
        ([PATRONI, LISTED + PATRONI, PATRONI], {}, ("", ["db1", "db2", "db3"], ["db2"], "db2", MAIN)),
        ([PATRONI, LISTED, ""], {}, ("", ["db1"], ["db2"], "db2", MAIN)),
    ],
)
def test_the_state_of_the_hosts(listings, answers, expected):
    found = patroni.cluster_state({name: answers.get(name) for name in MEMBERS}, dict(zip(MEMBERS, listings)), "main")
    names = ("leader", "managed", "with_data", "seed", "cluster")
    assert tuple(found[name] for name in names) == expected


def test_clients_stay_encrypted_once_a_member_demands_it():
    demands = f"{PATRONI}{patroni.ENCRYPTED}\n"
    for listings, expected in (
        (["", "", ""], False),
        ([PATRONI, PATRONI, PATRONI], False),
        ([PATRONI, demands, PATRONI], True),
        ([demands, demands, ""], True),
    ):
        found = patroni.cluster_state(dict.fromkeys(MEMBERS), dict(zip(MEMBERS, listings)), "main")
        assert found["encrypted"] is expected


def test_the_hosts_with_data_of_etcd():
    found = patroni.cluster_state(dict.fromkeys(MEMBERS), dict(zip(MEMBERS, [ETCD, "", ETCD])), "main")
    assert (found["with_etcd"], found["without_etcd"]) == (["db1", "db3"], ["db2"])


def test_the_hosts_with_an_interrupted_restore():
    journal = "/var/lib/backstage-postgresql-backup/restore.json\n"
    listings = [LISTED + PATRONI, LISTED + PATRONI + journal, LISTED + PATRONI]
    found = patroni.cluster_state(dict.fromkeys(MEMBERS), dict(zip(MEMBERS, listings)), "main")
    assert found["restoring"] == ["db2"]
    assert journal.strip() == JOURNAL


def _etcd(**names):
    members = [
        {"ID": 0xA1 + number, "name": name, "peerURLs": [f"https://{address}:2380"]}
        for number, (address, name) in enumerate(names.items())
    ]
    return json.dumps({"members": members})


@pytest.mark.parametrize(
    ("members", "remove", "others"),
    [
        ({"one": "db1", "two": "db2"}, [], "db1=https://one:2380,db2=https://two:2380,"),
        ({"one": "db1", "three": "db3"}, ["a2"], "db1=https://one:2380,"),
        # It was added, and has not started.
        ({"one": "db1", "three": ""}, ["a2"], "db1=https://one:2380,"),
        # Its address has changed.
        ({"one": "db1", "old": "db3"}, ["a2"], "db1=https://one:2380,"),
        # Another one was added, and has not started.
        ({"one": "db1", "four": ""}, [], "db1=https://one:2380,"),
    ],
)
def test_a_host_joins_a_running_etcd(members, remove, others):
    assert patroni.etcd_join(_etcd(**members), "db3", "https://three:2380") == {
        "remove": remove,
        "initial_cluster": others + "db3=https://three:2380",
    }


def test_all_stream_when_one_leads_and_the_others_follow():
    for synchronous in (True, False):
        assert patroni.all_streaming(CLUSTER, list(MEMBERS), synchronous)
        assert not patroni.all_streaming(CLUSTER, [*MEMBERS, "db4"], synchronous)
        assert not patroni.all_streaming(_changed("db3", state="starting"), list(MEMBERS), synchronous)
        assert not patroni.all_streaming(_changed("db1", role="replica"), list(MEMBERS), synchronous)
        assert not patroni.all_streaming({}, list(MEMBERS), synchronous)
        without = _changed("db2", role="replica")
        assert patroni.all_streaming(without, list(MEMBERS), synchronous) is not synchronous


@pytest.mark.parametrize(
    ("cluster", "synchronous", "expected"),
    [
        (CLUSTER, True, "db2"),
        (CLUSTER, False, "db2"),
        (_changed("db2", role="replica"), True, ""),
        (_changed("db2", role="replica"), False, "db2"),
        (_changed("db2", state="starting"), True, ""),
        (_changed("db2", lag="unknown"), True, ""),
    ],
)
def test_the_candidate_of_a_switchover(cluster, synchronous, expected):
    assert patroni.candidate(cluster, synchronous) == expected


def test_the_leader_restarts_last():
    assert patroni.restart_order(CLUSTER, ["db1", "db2", "db3"]) == ["db3", "db2", "db1"]
    assert patroni.restart_order(CLUSTER, ["db1"]) == ["db1"]
    assert patroni.restart_order(CLUSTER, []) == []


def test_members_of_etcd_that_are_away():
    up, down = ({"endpoint": f"https://{name}:2379", "health": health} for name, health in (("a", True), ("b", False)))
    assert patroni.etcd_problems([up, up, up]) == []
    assert patroni.etcd_problems([]) == []
    (only,) = patroni.etcd_problems([up, up, down])
    assert only.startswith("etcd does not answer at https://b:2379.")
    assert "lost its majority: 2 of 3" in patroni.etcd_problems([up, down, down])[-1]
