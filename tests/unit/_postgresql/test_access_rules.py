# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of access rules and of our block in pg_hba.conf."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import (
    access_rules,
    shown,
)
from hypothesis import assume, given
from hypothesis import strategies as st


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
        assert line(users=['+"my group"', '+"a""b"', '+"plain"']).split("\t")[2] == '+"my group",+"a""b",+plain'
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
            ({"users": ["u" * 64]}, "has more than 63 bytes"),
            ({"databases": ['"' + "ü" * 32 + '"']}, "has more than 63 bytes"),
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


def test_secrets_are_masked():
    data = access_rules([rule(method="ldap", secret_options={"ldapbindpasswd": "geheim x"})])[0].line().encode()
    assert b'ldapbindpasswd="geheim x"' in data
    assert "geheim" not in shown(data)
    assert "ldapbindpasswd=****" in shown(data)
