# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML text that is only read, and the lines of what stands in it."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import YamlPatchError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.source import Source

TEXT = """\
# a portal
backend:
  database: &db
    client: pg
  plugins:
    - name: catalog
    - [scaffolder, {deep: 1}]
other: *db
12: twelve
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("backend", "database", "client"), 4),
        (("backend", "plugins", 0, "name"), 6),
        (("backend", "plugins", 1, 1, "deep"), 7),
        (("12",), 9),
        (("backend", "plugins", "0"), None),
        (("backend", 0), None),
        (("backend", "plugins", 2), None),
        (("backend", "database", "client", "more"), None),
        (("other", "client"), None),
        (("missing",), None),
    ],
)
def test_the_line_of_a_path(path, line):
    assert Source(TEXT).line(path) == line


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_text_has_no_lines_below_it(text):
    assert Source(text).tree is None
    assert Source(text).line(("backend",)) is None


def test_a_mark_line_ends_and_a_missing_last_break_are_known():
    source = Source(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  text")
    assert (source.bom, source.eol, source.unterminated) == ("\ufeff", "\r\n", True)
    assert source.tree == {"a": 1, "b": "text\n"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: \xff", "not UTF-8"),
        ("a: \ud800", "half of a surrogate pair"),
        ("a: 1\rb: 2\n", "carriage return"),
        ("\ufeff- a\n", "byte order mark"),
        ("a: 1\na: 2\n", "there twice"),
        ("a: [1\n", "line"),
    ],
)
def test_what_backstage_does_not_read_alike_is_rejected(text, words):
    with pytest.raises(YamlPatchError, match=words):
        Source(text)
