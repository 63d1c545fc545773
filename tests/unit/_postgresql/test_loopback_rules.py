# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.loopback_rules import loopback_rules

BOTH = ["127.0.0.1/32", "::1/128"]
# As initdb writes it with --auth=ident, which is how Red Hat's script calls it.
RED_HAT = b"""# TYPE  DATABASE        USER            ADDRESS                 METHOD

local   all             all                                     peer
host    all             all             127.0.0.1/32            ident
host    all             all             ::1/128                 ident
host    replication     all             127.0.0.1/32            ident
"""


def addresses(text, user="backstage", before=()):
    rules = loopback_rules(text, user, before)
    assert all((rule.type, rule.method, rule.databases) == ("host", "scram-sha-256", ("all",)) for rule in rules)
    return [rule.address for rule in rules]


@pytest.mark.parametrize(
    "text",
    [
        RED_HAT,
        RED_HAT.replace(b"ident", b"trust"),
        b"host all all all trust\n",
        b"host all all samehost ident map=x # theirs\n",
        b'host all "backstage",other 0.0.0.0/0 trust\nhost all all ::/0 trust\n',
        b"host all all 127.0.0.0 255.0.0.0 trust\nhost all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ident\n",
        b"host app,all all localhost trust",
        b"host all all \\\n  all trust\n",
        b"host app, all backstage,\tother all \\\r\n trust\r\n",
    ],
)
def test_rules_where_no_password_is_asked_for(text):
    assert addresses(text) == BOTH


@pytest.mark.parametrize(
    "text",
    [
        b"",
        RED_HAT.replace(b"ident", b"scram-sha-256"),
        RED_HAT.replace(b"ident", b"md5"),
        RED_HAT.replace(b"ident", b"reject"),
        b"host all all all scram-sha-256\n" + RED_HAT,
        b"#host all all all trust\n",
        b"local all all trust\n",
        b"host all other all trust\n",
        b"host replication all all trust\n",
        b"host all all 10.0.0.0/8 trust\n",
        b"hostssl all all all trust\n",
        b"nonsense\nhost all all\n",
        b"# a comment that goes on \\\nhost all all all trust\n",
    ],
)
def test_none_where_one_is_asked_for_or_nobody_is_let_in(text):
    assert addresses(text) == []


def test_one_address_of_two():
    assert addresses(RED_HAT.replace(b"::1/128                 ident", b"::1/128 scram-sha-256")) == BOTH[:1]


def test_rules_of_the_user_precede():
    before = [AccessRule("host", "scram-sha-256", address="127.0.0.1/32")]
    assert addresses(RED_HAT, before=before) == BOTH[1:]


def test_a_name_that_is_a_keyword():
    (rule, _other) = loopback_rules(RED_HAT, "all")
    assert rule.line() == 'host\tall\t"all"\t127.0.0.1/32\tscram-sha-256'
