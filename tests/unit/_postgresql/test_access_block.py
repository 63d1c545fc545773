# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of several portals in one pg_hba.conf."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import (
    begin_mark,
    digest,
    end_mark,
    first_version_rules,
    portals_of,
    users_of,
    with_block,
)
from hypothesis import assume, given
from hypothesis import strategies as st

HBA = b"# local comment\nlocal all postgres peer\r\nhost all all 127.0.0.1/32 scram-sha-256"
A = [b"host\tall\ta\t10.0.0.0/8\tscram-sha-256", b"host\tall\tb\t10.0.0.0/8\tscram-sha-256"]
B = [b"host\tall\tc\t10.1.0.0/16\tscram-sha-256"]
FIRST_VERSION = (
    b"# BEGIN devportal.backstage access rules (managed by Ansible: changes inside are lost on its next run)\n"
    + A[0]
    + b"\n# END devportal.backstage access rules\n"
)


def sorted_by_another_tool(data: bytes) -> bytes:
    """As community.postgresql's postgresql_pg_hba writes the file: all comments, then all rules in its own order."""
    lines = data.splitlines()
    comments = [line for line in lines if line.startswith(b"#")]
    rules = sorted({b"\t".join(line.split()) for line in lines if line and not line.startswith(b"#")})
    return b"\n".join([*comments, *rules, b""])


class TestBlock:
    def test_top_and_back(self):
        data = with_block(HBA, "a", A)
        assert data.startswith(begin_mark("a") + b"\n# rules: ")
        assert data.endswith(A[1] + b"\n" + end_mark("a") + b"\n" + HBA)
        assert with_block(data, "a", A) == data
        assert with_block(data, "a", None) == data
        assert with_block(data, "a", []) == HBA

    def test_a_moved_block_comes_back_to_the_top(self):
        block = with_block(b"", "a", A)
        assert with_block(HBA + b"\n" + block, "a", A) == block + HBA + b"\n"

    def test_windows_line_ends_and_no_last_line_end(self):
        block = with_block(b"", "a", A).replace(b"\n", b"\r\n")
        assert with_block(block + HBA, "a", []) == HBA
        assert with_block(block.rstrip(b"\r\n"), "a", []) == b""

    @given(st.binary(max_size=60))
    def test_every_other_byte_is_kept(self, data):
        assume(b"devportal" not in data)
        assert with_block(with_block(data, "a", A), "a", []) == data

    @pytest.mark.parametrize("marks", ["b", "e", "eb", "bebe"])
    def test_broken_marks(self, marks):
        data = b"\n".join(begin_mark("a") if mark == "b" else end_mark("a") for mark in marks)
        with pytest.raises(CollectionError, match='portal "a" must be there once each'):
            with_block(data + b"\n" + HBA, "a", A, path="/x/pg_hba.conf")
        # Those of another portal are not ours to repair.
        assert with_block(with_block(data + b"\n" + HBA, "b", B), "b", []) == data + b"\n" + HBA


class TestSeveralPortals:
    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_no_run_changes_the_block_of_the_other(self, order):
        data, rules = HBA, {"a": A, "b": B}
        for portal in order:
            data = with_block(data, portal, rules[portal])
        assert portals_of(data) == ["a", "b"]
        assert data.endswith(HBA)
        for portal in "abab":
            assert with_block(data, portal, rules[portal]) == data
        assert with_block(with_block(data, "a", []), "b", []) == HBA

    def test_one_changes_in_its_place(self):
        data = with_block(with_block(HBA, "a", A), "b", B)
        assert with_block(with_block(data, "a", A[:1]), "a", A) == data

    def test_names_of_all_kinds(self):
        names = ["backstage", "back stage", "ü/%", "a b) (c", "access"]
        data = HBA
        for name in names:
            data = with_block(data, name, A)
        assert portals_of(data) == sorted(names)
        for name in names:
            data = with_block(data, name, [])
        assert data == HBA


class TestFirstVersion:
    def test_it_is_adopted(self):
        data = FIRST_VERSION + HBA
        assert first_version_rules(data) == A[:1]
        assert with_block(data, "a", A, adopt=True) == with_block(HBA, "a", A)
        assert with_block(data, "a", None, adopt=True) == with_block(HBA, "a", A[:1])
        assert with_block(data, "a", [], adopt=True) == HBA

    def test_it_is_left_to_another_portal(self):
        data = with_block(FIRST_VERSION + HBA, "b", B)
        assert FIRST_VERSION in data
        assert with_block(data, "b", []) == FIRST_VERSION + HBA

    def test_users(self):
        assert users_of(b'host all "my user",b 10.0.0.0/8 md5') == {"my user", "b"}
        assert users_of(b"# nothing") == set()


class TestMovedByAnotherTool:
    """After a tool that sorts the file, the block's marks stand together and its rules elsewhere."""

    def test_the_rules_come_back_and_leave_no_copy(self):
        data = sorted_by_another_tool(with_block(HBA, "a", A))
        assert data.index(end_mark("a")) < data.index(A[0])
        healed = with_block(data, "a", A)
        assert healed.startswith(begin_mark("a"))
        assert all(healed.count(rule) == 1 for rule in A)
        assert with_block(healed, "a", A) == healed

    def test_removal_leaves_no_copy(self):
        data = sorted_by_another_tool(with_block(with_block(HBA, "a", A), "b", B))
        removed = with_block(data, "a", [])
        assert not any(rule in removed for rule in A)
        assert B[0] in removed
        assert B[0] not in with_block(removed, "b", [])

    def test_the_same_rule_of_somebody_else_stays(self):
        data = A[0] + b"\n" + HBA
        assert with_block(with_block(data, "a", A), "a", []) == data

    def test_of_the_first_version(self):
        data = sorted_by_another_tool(FIRST_VERSION + HBA)
        healed = with_block(data, "a", A, adopt=True)
        assert all(healed.count(rule) == 1 for rule in A)

    @pytest.mark.parametrize(
        "line",
        [
            b"host  all a,b   10.0.0.0/8 md5",
            b'"host" all b,a 10.1.2.3/8 md5  # why',
            b"host all a,b 10.0.0.0 255.0.0.0 md5 option=1",
        ],
    )
    def test_one_rule_in_several_spellings(self, line):
        assert digest(line) == digest(b"host\tall\ta,b\t10.0.0.0/8\tmd5")

    def test_other_rules(self):
        lines = [
            b"host all a 10.0.0.0/8 md5",
            b"host all a 10.0.0.0/9 md5",
            b'host all "a" 10.0.0.0/8 md5',
            b"local all a md5",
        ]
        assert len({digest(line) for line in lines}) == len(lines)
        assert digest(b"# host all a 10.0.0.0/8 md5") == digest(b"") == b""
