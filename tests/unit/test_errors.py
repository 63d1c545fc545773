# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import (
    CollectionError,
    printable,
    printable_result,
    reported_by,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a: \x1b[31m\x07b\r", r"a: \x1b[31m\x07b\r"),
        ("two\nlines, ünï 日本", "two\nlines, ünï 日本"),
        ("\u202eleft\x9b", r"\u202eleft\x9b"),
        ("a lone \ud800", r"a lone \ud800"),
    ],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert printable(text) == shown


class Module:
    said = None

    def fail_json(self, msg):
        self.said = msg


def test_an_error_that_names_a_hostile_key_is_reported_escaped():
    module = Module()
    with reported_by(module):
        raise CollectionError("app-config.yaml: the key \x1b[2J is unknown.", "Remove it.")
    assert module.said == r"app-config.yaml: the key \x1b[2J is unknown. Remove it."


def test_a_file_that_goes_away_ends_in_a_sentence(tmp_path):
    module = Module()
    with reported_by(module):
        (tmp_path / "\x1b[2J").stat()
    assert module.said.startswith(rf"{tmp_path}/\x1b[2J: No such file or directory. Correct that")


def test_an_error_without_a_file_is_a_fault_of_ours():
    with pytest.raises(TimeoutError), reported_by(Module()):
        raise TimeoutError("no file")


def test_a_result_with_names_of_a_hostile_database_is_escaped():
    given = {"table": ["a\x1b[2J", "b"], "databases": [{"name": "x\u202ey", "size": 5, "rows": None}], "ok": True}
    assert printable_result(given) == {
        "table": [r"a\x1b[2J", "b"],
        "databases": [{"name": r"x\u202ey", "size": 5, "rows": None}],
        "ok": True,
    }
