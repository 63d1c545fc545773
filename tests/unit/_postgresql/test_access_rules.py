# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of access rules and of our block in pg_hba.conf."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import (
    BEGIN,
    END,
    access_rules,
    shown,
    with_block,
)
from hypothesis import assume, given
from hypothesis import strategies as st

HBA = b"# local comment\nlocal all postgres peer\r\nhost all all 127.0.0.1/32 scram-sha-256"


def rule(**changes):
    return {"type": "host", "method": "scram-sha-256", "address": "10.0.0.0/8", **changes}


def line(**changes):
    return access_rules([rule(**changes)])[0].line()


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
            ({"address": "10.0.0.5"}, 'has no mask. Write "10.0.0.5/32"'),
            ({"address": "::1"}, 'Write "::1/128"'),
            ({"address": "10.0.0.0/33"}, "is not a network"),
            ({"address": "10.0.0.0/255.0.0.0"}, "is not a network"),
            ({"address": "db.example.org/32"}, "is not a network"),
            ({"address": "10.0.0"}, "is invalid"),
            ({"address": "a b"}, "is invalid"),
            ({"address": "."}, "is invalid"),
            ({"address": None}, "needs an address"),
            ({"type": "local"}, "local has no address"),
            ({"type": "tcp"}, 'type is "tcp"'),
            ({"method": "sha256"}, 'method is "sha256". Choose one of scram-sha-256'),
            ({"users": []}, "users is empty"),
            ({"databases": []}, "databases is empty"),
            ({"users": ["a\nb"]}, "a string of one line"),
            ({"users": [""]}, "not empty"),
            ({"options": {"a=b": "x"}}, "not a valid name of an option"),
            ({"options": {"map": "a\nb"}}, "option map must be a string of one line"),
            ({"options": {"ldapbindpasswd": "x"}}, "Put it under secret_options"),
        ],
    )
    def test_refused(self, changes, message):
        with pytest.raises(CollectionError, match=message) as caught:
            access_rules([rule(type="local", address=None), rule(**changes)])
        assert "rule 2" in str(caught.value)

    def test_the_same_twice(self):
        same = [rule(users=["a", "b"]), rule(users=["b", "a"], method="reject", address="10.1.2.3/8")]
        with pytest.raises(CollectionError, match="rule 2: matches the same connections as rule 1"):
            access_rules(same)

    def test_patterns_need_a_version_that_knows_them(self):
        with pytest.raises(CollectionError, match="PostgreSQL 15 does not know"):
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
        with pytest.raises(CollectionError, match="must be there once each"):
            with_block(data + b"\n" + HBA, self.rules, "/x/pg_hba.conf")

    def test_secrets_are_masked(self):
        data = with_block(b"", access_rules([rule(method="ldap", secret_options={"ldapbindpasswd": "geheim x"})]))
        assert b'ldapbindpasswd="geheim x"' in data
        assert "geheim" not in shown(data)
        assert "ldapbindpasswd=****" in shown(data)
