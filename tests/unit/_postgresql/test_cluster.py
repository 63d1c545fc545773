# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing a cluster, and the text of settings and access rules, without any server."""

from __future__ import annotations

import os

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import cluster as cluster_module
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import (
    Cluster,
    ClusterError,
    LogTail,
    check_port,
    choose,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pg_config import (
    BEGIN,
    END,
    PgConfigError,
    access_rules,
    normal_settings,
    settings_text,
    shown,
    tcp_address,
    with_block,
)
from hypothesis import assume, given
from hypothesis import strategies as st

HBA = b"# local comment\nlocal all postgres peer\r\nhost all all 127.0.0.1/32 scram-sha-256"


def make_cluster(version, name="main", port=5432, status="online", start="auto", **changes):
    values = {
        "owner": "postgres",
        "uid": 101,
        "gid": 101,
        "data_directory": f"/var/lib/postgresql/{version}/{name}",
        "config_directory": f"/etc/postgresql/{version}/{name}",
        "socket_directory": "/var/run/postgresql",
        "log_file": "",
        "access_file": f"/etc/postgresql/{version}/{name}/pg_hba.conf",
    }
    return Cluster(version=version, name=name, port=port, status=status, start=start, **{**values, **changes})


def rule(**changes):
    return {"type": "host", "method": "scram-sha-256", "address": "10.0.0.0/8", **changes}


def line(**changes):
    return access_rules([rule(**changes)])[0].line()


class TestChoose:
    def test_the_only_one(self):
        only = make_cluster(15)
        assert choose([only, make_cluster(15, "other", 5433)], [15], None, "main", None) is only

    def test_by_version(self):
        new = make_cluster(17, port=5433)
        assert choose([make_cluster(15), new], [15, 17], 17, "main", None) is new

    def test_several_are_listed(self):
        found = [make_cluster(15), make_cluster(17, port=5433, status="down")]
        with pytest.raises(ClusterError, match=r"15/main \(port 5432, online\), 17/main \(port 5433, down\).*version"):
            choose(found, [15, 17], None, "main", None)

    def test_a_new_one_takes_the_newest_programs(self):
        assert choose([], [15, 17], None, "main", None) == 17
        assert choose([make_cluster(15)], [15, 17], 17, "main", None) == 17

    @pytest.mark.parametrize("version", [None, 15])
    def test_a_wrong_name_makes_no_second_server(self, version):
        with pytest.raises(ClusterError, match=r"no cluster .*mian.*15/main \(port 5432, online\)"):
            choose([make_cluster(15)], [15], version, "mian", None)
        assert choose([make_cluster(15)], [15], version, "second", True) == 15

    def test_never(self):
        with pytest.raises(ClusterError, match="this host has none"):
            choose([], [15], None, "main", False)

    @pytest.mark.parametrize(("version", "package"), [(None, "postgresql;?"), (17, r"postgresql-17")])
    def test_programs_are_missing(self, version, package):
        with pytest.raises(ClusterError, match=f"install the package {package}"):
            choose([], [] if version is None else [15], version, "main", None)

    def test_data_directory_is_gone(self):
        with pytest.raises(ClusterError, match="data directory /var/lib/postgresql/15/main is missing"):
            choose([make_cluster(15, owner="", uid=-1)], [15], None, "main", None)


class TestSettings:
    def test_values(self):
        given_values = {
            "ssl": True, "fsync": False, "port": 5433, "Work_Mem": "64MB",
            "listen_addresses": ["localhost", "10.0.0.1"],
            "search_path": ["$user", "My Schema", 'a"b'], "random_page_cost": 1.5, "gone": None,
            "shared_preload_libraries": [],
        }  # fmt: skip
        assert normal_settings(given_values) == {
            "fsync": "off",
            "listen_addresses": "localhost,10.0.0.1",
            "port": "5433",
            "random_page_cost": "1.5",
            "search_path": '$user,"My Schema","a""b"',
            "shared_preload_libraries": "",
            "ssl": "on",
            "work_mem": "64MB",
        }

    def test_quoting(self):
        text = settings_text({"a.b": "it's a \\ \n line", "c": "ü"})
        assert text.decode().endswith("a.b = 'it''s a \\\\ \\n line'\nc = 'ü'\n")
        assert settings_text({}) is None

    @given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30))
    def test_no_value_leaves_its_line(self, value):
        text = settings_text(normal_settings({"a": value})).decode()
        body = [one for one in text.split("\n") if not one.startswith("#")]
        assert len(body) == 2
        assert body[0].startswith("a = '")
        assert body[0].endswith("'")
        assert body[1] == ""

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"port": "abc"}, 'port is "abc"; give a whole number'),
            ({"port": 0}, 'port is "0"'),
            ({"port": 65536}, 'port is "65536"'),
            ({"port": True}, 'port is "on"'),
            ({"a b": 1}, '"a b" is not a name'),
            ({"a": 1, "A": 2}, "a is there twice"),
            ({"hba_file": "/x"}, "hba_file belongs to Debian"),
            ({"include_dir": "x"}, "include_dir is no setting"),
            ({"a": {"b": 1}}, "a is a dict"),
            ({"a": ["x", ""]}, "a has the list item ''"),
            ({"a": "x\0"}, "a has a NUL"),
        ],
    )
    def test_refused(self, settings, message):
        with pytest.raises(PgConfigError, match=message):
            normal_settings(settings)


class TestRules:
    def test_lines(self):
        assert line() == "host\tall\tall\t10.0.0.0/8\tscram-sha-256"
        assert line(type="local", address=None, users=["a"], method="peer") == "local\tall\ta\tpeer"
        assert (
            line(databases=["all", '"all"', "my db", "x,y", 'q"q']).split("\t")[1] == 'all,"all","my db","x,y","q""q"'
        )
        assert line(users=["+admins", "+my group", "@file"]).split("\t")[2] == '+admins,+"my group",@file'
        assert line(users=["a#b", "ü"]).split("\t")[2] == '"a#b","ü"'
        options = {"ldapserver": "x", "ldapsuffix": ", dc=a b", "ldaptls": True}
        assert line(method="ldap", options=options).split("\t")[5:] == [
            "ldapserver=x",
            'ldapsuffix=", dc=a b"',
            "ldaptls=1",
        ]

    @pytest.mark.parametrize(
        "address", ["10.0.0.5/8", "::/0", "fd00::/8", "all", "samenet", "db.example.org", ".example.org", "my_host"]
    )
    def test_addresses(self, address):
        assert line(address=address).split("\t")[3] == address

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"address": "10.0.0.5"}, 'has no mask; write "10.0.0.5/32"'),
            ({"address": "::1"}, 'write "::1/128"'),
            ({"address": "10.0.0.0/33"}, "is not a network"),
            ({"address": "10.0.0.0/255.0.0.0"}, "is not a network"),
            ({"address": "db.example.org/32"}, "is not a network"),
            ({"address": "10.0.0"}, "neither a network"),
            ({"address": "a b"}, "neither a network"),
            ({"address": "."}, "neither a network"),
            ({"address": None}, "needs an address"),
            ({"type": "local"}, "local has no address"),
            ({"type": "tcp"}, 'type is "tcp"'),
            ({"method": "sha256"}, 'method is "sha256"; give one of scram-sha-256'),
            ({"users": []}, "users is empty"),
            ({"databases": []}, "databases is empty"),
            ({"users": ["a\nb"]}, "one line of text"),
            ({"users": [""]}, "not empty"),
            ({"options": {"a=b": "x"}}, "not a name of an option"),
            ({"options": {"map": "a\nb"}}, "option map must be text of one line"),
            ({"options": {"ldapbindpasswd": "x"}}, "put ldapbindpasswd under secret_options"),
        ],
    )
    def test_refused(self, changes, message):
        with pytest.raises(PgConfigError, match=message) as caught:
            access_rules([rule(type="local", address=None), rule(**changes)])
        assert "rule 2" in str(caught.value)

    def test_the_same_twice(self):
        same = [rule(users=["a", "b"]), rule(users=["b", "a"], method="reject", address="10.1.2.3/8")]
        with pytest.raises(PgConfigError, match="rule 2: matches the same connections as rule 1"):
            access_rules(same)

    def test_patterns_need_a_version_that_knows_them(self):
        with pytest.raises(PgConfigError, match="PostgreSQL 15 does not know"):
            access_rules([rule(users=["/^a"])], 15)
        assert access_rules([rule(users=["/^a, b$"])], 16)[0].line().split("\t")[2] == '/"^a, b$"'

    @given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\n"), min_size=1, max_size=20))
    def test_a_name_stays_one_token(self, name):
        assume(not (name.startswith('"') or name[0] in "+@/"))
        token = line(users=[name]).split("\t", 2)[2].rsplit("\t", 2)[0]
        if token != name:
            assert token[0] == token[-1] == '"'
            assert token[1:-1].replace('""', '"') == name


class TestBlock:
    rules = access_rules([rule(), rule(users=["b"])])

    def test_top_and_back(self):
        data = with_block(HBA, self.rules)
        assert data.startswith(BEGIN + b"\nhost\t")
        assert data.endswith(END + b"\n" + HBA)
        assert with_block(data, self.rules) == data
        assert with_block(data, []) == HBA

    def test_a_moved_block_comes_back_to_the_top(self):
        block = with_block(b"", self.rules)
        assert with_block(HBA + b"\n" + block, self.rules) == block + HBA + b"\n"

    def test_windows_line_ends_and_no_last_line_end(self):
        block = with_block(b"", self.rules).replace(b"\n", b"\r\n")
        assert with_block(block + HBA, []) == HBA
        assert with_block(block.rstrip(b"\r\n"), []) == b""

    @given(st.binary(max_size=60))
    def test_every_other_byte_is_kept(self, data):
        assume(b"devportal" not in data)
        assert with_block(with_block(data, self.rules), []) == data

    @pytest.mark.parametrize("data", [BEGIN, END, END + b"\n" + BEGIN, b"\n".join([BEGIN, END, BEGIN, END])])
    def test_broken_marks(self, data):
        with pytest.raises(PgConfigError, match="must be there once each"):
            with_block(data + b"\n" + HBA, self.rules, "/x/pg_hba.conf")

    def test_secrets_are_masked(self):
        data = with_block(b"", access_rules([rule(method="ldap", secret_options={"ldapbindpasswd": "geheim x"})]))
        assert b'ldapbindpasswd="geheim x"' in data
        assert "geheim" not in shown(data)
        assert "ldapbindpasswd=****" in shown(data)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("10.0.0.5, 127.0.0.1", "127.0.0.1"),
        ("::", "::1"),
        ("10.0.0.5,10.0.0.6", "10.0.0.5"),
        ('"db.example.org"', "db.example.org"),
        ("", None),
    ],
)
def test_tcp_address(listen, address):
    assert tcp_address(listen) == address


class TestPort:
    def test_another_cluster(self, free_port):
        ours = make_cluster(15, port=free_port)
        other = make_cluster(17, port=free_port)
        check_port(free_port, "localhost", ours, [ours])
        with pytest.raises(ClusterError, match=f"Port {free_port} is that of cluster 17/main"):
            check_port(free_port, "localhost", ours, [ours, other])
        check_port(
            free_port, "localhost", ours, [ours, make_cluster(17, port=free_port, status="down", start="manual")]
        )

    @pytest.mark.parametrize("addresses", ["localhost", "127.0.0.1", "*"])
    def test_another_process(self, listener, addresses):
        with pytest.raises(ClusterError, match=rf"in use by process {os.getpid()} \("):
            check_port(listener, addresses, None, [])

    def test_another_address(self, listener):
        check_port(listener, "127.0.0.2", None, [])
        check_port(listener, "", None, [])

    @pytest.fixture
    def free_port(self):
        with cluster_module.socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @pytest.fixture
    def listener(self):
        with cluster_module.socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            yield server.getsockname()[1]


def test_reasons_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("old\n")
    tail = LogTail(str(log))
    with log.open("a") as stream:
        stream.write(
            '2026-01-01 [1] LOG:  starting PostgreSQL\n2026-01-01 [1] LOG:  could not bind IPv4 address "x": in use\n'
            "2026-01-01 [1] HINT:  Is another one running?\n2026-01-01 [1] FATAL:  no sockets\n"
            "2026-01-01 [1] LOG:  database system is shut down\n2026-01-01 [1] HINT:  not of interest\n"
        )
    assert tail.reasons() == ['could not bind IPv4 address "x": in use', "Is another one running?", "no sockets"]
    other = LogTail(str(log))
    with log.open("a") as stream:
        stream.write("2026-01-01 [1] FATAL:  konnte nicht\n")
    assert other.reasons() == ["konnte nicht"]
    assert LogTail(str(tmp_path / "none")).reasons() == []
