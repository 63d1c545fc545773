# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The YAML patch, case by case; test_yaml_patch_properties.py has what holds for all of them."""

from __future__ import annotations

import math
import time

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError
from hypothesis import given, settings
from hypothesis import strategies as st

READERS = [yaml.SafeLoader, *([yaml.CLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(autouse=True, params=READERS, ids=lambda reader: reader.__name__)
def reader(request, monkeypatch):
    """Both of PyYAML's readers; hosts may lack libyaml."""
    monkeypatch.setattr(events, "Parser", request.param)
    return request.param


def put(text, path, value):
    document = Document(text)
    document.set(path, value)
    return document.text


def drop(text, path):
    document = Document(text)
    assert document.delete(path)
    return document.text


GUIDE = """\
backend:
  cors:
    credentials: true
  # This is for local development only, it is not recommended to use this in production
  # The production database configuration is stored in app-config.production.yaml
  database:
    client: better-sqlite3
    connection: ':memory:'
  # workingDirectory: /tmp # Use this to configure a working directory for the scaffolder

integrations: {}
"""
PG = {
    "client": "pg",
    "connection": {
        "host": "${POSTGRES_HOST}",
        "port": "${POSTGRES_PORT}",
        "user": "${POSTGRES_USER}",
        "password": "${POSTGRES_PASSWORD}",
    },
}


class TestTheGuide:
    def test_sqlite_becomes_pg_and_the_comments_stay(self):
        assert put(GUIDE, ("backend", "database"), PG) == GUIDE.replace(
            "    client: better-sqlite3\n    connection: ':memory:'\n",
            "    client: pg\n"
            "    connection:\n"
            "      host: ${POSTGRES_HOST}\n"
            "      port: ${POSTGRES_PORT}\n"
            "      user: ${POSTGRES_USER}\n"
            "      password: ${POSTGRES_PASSWORD}\n",
        )

    def test_and_back_again(self):
        text = put(GUIDE, ("backend", "database"), PG)
        assert put(text, ("backend", "database"), {"client": "better-sqlite3", "connection": ":memory:"}) == GUIDE

    def test_twice_changes_nothing(self):
        document = Document(put(GUIDE, ("backend", "database"), PG))
        document.set(("backend", "database"), PG)
        assert not document.changed

    def test_crlf(self):
        text = put(GUIDE.replace("\n", "\r\n"), ("backend", "database"), PG)
        assert text.count("\r\n") == text.count("\n") == GUIDE.count("\n") + 4

    def test_only_what_differs_is_touched(self):
        before = "connection:\n  host: a # first\n  # about the port\n  port: 1\n"
        assert put(before, ("connection",), {"host": "a", "port": 2}) == before.replace("1", "2")


SET = {
    "a comment on the line of the key stays": ("a: 1  # c\n", ("a",), 2, "a: 2  # c\n"),
    "it stays when a block takes the place of a scalar": ("a: 1 # c\n", ("a",), {"b": 2}, "a: # c\n  b: 2\n"),
    "it stays when a scalar takes the place of a block": ("a: # c\n  b: 2\n", ("a",), 1, "a: 1 # c\n"),
    "comments inside a block go with it": ("a:\n  # x\n  b: 2 # y\n\n  # z\nc: 1\n", ("a",), 1, "a: 1\nc: 1\n"),
    "a comment less deep than the block stays": ("a:\n  b: 2\n# z\nc: 1\n", ("a",), 1, "a: 1\n# z\nc: 1\n"),
    "a new key comes before a comment of what follows": (
        "a:\n  b: 1\n# about c\nc: 1\n", ("a", "k"), 2, "a:\n  b: 1\n  k: 2\n# about c\nc: 1\n"),
    "a new key comes after a comment deeper than itself": (
        "a:\n  b:\n    c: 1\n    # d: 2\ne: 1\n", ("a", "k"), 2, "a:\n  b:\n    c: 1\n    # d: 2\n  k: 2\ne: 1\n"),
    "parents are made": ("a: 1\n", ("b", "c", "d"), 2, "a: 1\nb:\n  c:\n    d: 2\n"),
    "the file's own indent": ("a:\n    b: 1\n", ("c", "d"), 2, "a:\n    b: 1\nc:\n    d: 2\n"),
    "the file's own way with sequences": ("a:\n- 1\n", ("b",), [2], "a:\n- 1\nb:\n- 2\n"),
    "the neighbours' quotes": ('a: "x"\nb: "y"\n', ("c",), "z", 'a: "x"\nb: "y"\nc: "z"\n'),
    "the old value's quotes": ('a: "x"\nb: \'y\'\n', ("a",), "z", "a: \"z\"\nb: 'y'\n"),
    "no line break at the end": ("a: 1", ("b",), 2, "a: 1\nb: 2"),
    "an empty value": ("a:\nb: 1\n", ("a",), 2, "a: 2\nb: 1\n"),
    "a mapping below an empty value, after the comments that are there for it": (
        "a:\n  # x: 1\nb: 1\n", ("a", "k"), 2, "a:\n  # x: 1\n  k: 2\nb: 1\n"),
    "an empty document": ("", ("a",), 1, "a: 1\n"),
    "only comments": ("# x\n", ("a",), 1, "# x\na: 1\n"),
    "markers": ("--- # x\n...\n", ("a",), 1, "--- # x\na: 1\n...\n"),
    "%YAML 1.2": ("%YAML 1.2\n---\na: 1\n", ("a",), 2, "%YAML 1.2\n---\na: 2\n"),
    "byte order mark": ("\ufeffa: 1\n", ("a",), 2, "\ufeffa: 2\n"),
    "{} in block style": ("a: {} # c\n", ("a", "b"), 1, "a: # c\n  b: 1\n"),
    "{} with an anchor stays in braces": ("a: &x {}\n", ("a", "b"), 1, "a: &x {b: 1}\n"),
    "{} at the top": ("{}\n", ("a",), 1, "a: 1\n"),
    "flow": ("a: {b: 1}\n", ("a", "c"), "${X}", "a: {b: 1, c: '${X}'}\n"),
    "flow with a comma behind": ("a: [1, 2,]\n", ("a", 2), 3, "a: [1, 2, 3,]\n"),
    "flow over several lines": (
        "a: [\n  1, # one\n  2 # two\n]\n", ("a", 2), 3, "a: [\n  1, # one\n  2, # two\n  3\n]\n"),
    "flow without a value": ("{a}\n", ("a",), 1, "{a: 1}\n"),
    "flow, JSON style": ('{"a":1}\n', ("a",), 2, '{"a":2}\n'),
    "a pair in brackets": ("[a: 1]\n", (0, "a"), 2, "[a: 2]\n"),
    "a literal": ("a: |- # c\n  x\n  y\n\nb: 1\n", ("a",), 1, "a: 1 # c\n\nb: 1\n"),
    "a folded scalar, by a block": ("a: >\n  x\nb: 1\n", ("a",), {"c": 1}, "a:\n  c: 1\nb: 1\n"),
    "several plain lines": ("a: x\n  y # c\nb: 1\n", ("a",), 1, "a: 1 # c\nb: 1\n"),
    "several quoted lines, by a block": ("a: 'x\n\n  y' # c\n", ("a",), {"b": 1}, "a: # c\n  b: 1\n"),
    "a value on the next line": ("a:\n  # c\n  x\nb: 1\n", ("a",), 1, "a: 1\nb: 1\n"),
    "an anchor that nobody needs": ("a: &x 1\n", ("a",), 2, "a: 2\n"),
    "a tag": ("a: !!str 1\n", ("a",), 2, "a: 2\n"),
    "an alias in a value": ("a: &x 1\nb: *x\n", ("b",), 2, "a: &x 1\nb: 2\n"),
    "a ? key": ("? a\n: 1\n? b\n", ("a",), {"c": 2}, "? a\n:\n  c: 2\n? b\n"),
    "in a sequence": ("- a: 1\n  b: 2\n- c\n", (0, "b"), 3, "- a: 1\n  b: 3\n- c\n"),
    "a mapping for an item": ("- x # c\n- y\n", (0,), {"a": 1, "b": 2}, "- a: 1 # c\n  b: 2\n- y\n"),
    "an item for a mapping": ("- a: 1\n  b: 2\n- y\n", (0,), 1, "- 1\n- y\n"),
    "an item more": ("a:\n- 1\n# c\nb: 1\n", ("a", 1), 2, "a:\n- 1\n- 2\n# c\nb: 1\n"),
    "astral characters before it": ("a: 😀 # 😀\n😀: {b: 😀}\n", ("😀", "b"), 1, "a: 😀 # 😀\n😀: {b: 1}\n"),
    "U+2028 is no line break": ("a: x\u2028y # \x85\nb: 1\n", ("b",), 2, "a: x\u2028y # \x85\nb: 2\n"),
    "text of several lines": ("a: 1\n", ("a",), "x\ny\n", "a: |\n  x\n  y\n"),
    "text of several lines that a literal cannot hold": ("a: 1\n", ("a",), " x\ny", 'a: " x\\ny"\n'),
    "null": ("a: 1\n", ("a",), None, "a: null\n"),
    "1.0 is 1": ("a: 1.0\n", ("a",), 1, "a: 1.0\n"),
    "true is not 1": ("a: true\n", ("a",), 1, "a: 1\n"),
    "a string is not its number": ("a: 5432\n", ("a",), "5432", "a: '5432'\n"),
    "a very long line": (f"a: {'x ' * 50_000}y\nb: 1\n", ("b",), 2, f"a: {'x ' * 50_000}y\nb: 2\n"),
}  # fmt: skip

DELETE = {
    "a key": ("a: 1\nb: 2 # c\nc: 3\n", ("b",), "a: 1\nc: 3\n"),
    "the comment above stays": ("a: 1\n# about b\nb: 2\nc: 3\n", ("b",), "a: 1\n# about b\nc: 3\n"),
    "comments deeper than the key go": ("a:\n  b: 1\n  # c\nd: 1\n", ("a",), "d: 1\n"),
    "the last key of a mapping": ("a: # c\n  b: 1\nc: 1\n", ("a", "b"), "a: {} # c\nc: 1\n"),
    "the last key at the top": ("# x\na: 1\n# y\n", ("a",), "# x\n{}\n# y\n"),
    "the last item": ("a:\n- 1\n", ("a", 0), "a: []\n"),
    "the last item behind an anchor": ("a: &x\n- 1\n", ("a", 0), "a: &x []\n"),
    "the first key in a sequence": ("- a: 1\n  b: 2\n", (0, "a"), "- b: 2\n"),
    "the first key in a sequence, a comment below": ("- a: 1\n  # c\n  b: 2\n", (0, "a"), "-\n  # c\n  b: 2\n"),
    "the only key in a sequence": ("- a: 1\n- b\n", (0, "a"), "- {}\n- b\n"),
    "at the end without a line break": ("a: 1\nb: 2", ("b",), "a: 1"),
    "flow, first": ("{a: 1, b: 2}\n", ("a",), "{b: 2}\n"),
    "flow, last": ("{a: 1, b: 2}\n", ("b",), "{a: 1}\n"),
    "flow, only": ("a: { b: 1 }\n", ("a", "b"), "a: {  }\n"),
    "flow over several lines": ("[\n  1, # one\n  2 # two\n]\n", (1,), "[\n  1 # one\n]\n"),
    "flow over several lines, a comma behind": ("[\n  1,\n  2, # two\n]\n", (1,), "[\n  1,\n]\n"),
    "a ? key": ("? a\n: 1\nb: 2\n", ("a",), "b: 2\n"),
}  # fmt: skip


class TestCases:
    @pytest.mark.parametrize(("text", "path", "value", "wanted"), SET.values(), ids=SET)
    def test_set(self, text, path, value, wanted):
        assert put(text, path, value) == wanted

    @pytest.mark.parametrize(("text", "path", "wanted"), DELETE.values(), ids=DELETE)
    def test_delete(self, text, path, wanted):
        assert drop(text, path) == wanted

    def test_delete_what_is_not_there(self):
        document = Document("a: 1\n")
        assert not document.delete(("b",))
        assert not document.changed


class TestFound:
    """What hypothesis, atheris and the comparison with npm yaml found on the way."""

    def test_an_empty_value_before_a_comma(self):
        # libyaml takes `:,` for text of a plain scalar.
        assert put("{a: ,}\n", ("b",), 1) == "{a: , b: 1,}\n"
        assert drop("{a: , b: 1,}\n", ("b",)) == "{a: ,}\n"
        assert drop("{a: , b: 1}\n", ("b",)) == "{a: }\n"

    def test_an_empty_tagged_value_before_a_brace(self):
        # `!!null}` is no tag.
        assert drop("{a: !!null , b: 1}\n", ("b",)) == "{a: !!null }\n"

    def test_a_comment_would_become_text_of_the_literal(self):
        assert put("a: 1\n  # c\n", ("a",), "x\ny") == 'a: "x\\ny"\n  # c\n'

    def test_blank_lines_would_become_text_of_the_literal_above(self):
        text = "a: |+\n  x\n\nb: 1\n\nc: 1\n"
        assert drop(text, ("b",)) == "a: |+\n  x\n\nc: 1\n"

    def test_a_comment_parts_the_literal_from_the_blank_lines(self):
        text = "a: |+\n  x\n\n # c\nb: 1\n\n...\n"
        assert drop(text, ("b",)) == "a: |+\n  x\n\n # c\n\n...\n"

    def test_the_break_that_a_literal_keeps_is_not_cut_with_the_last_key(self):
        # npm yaml reads "a: |+\n  x" as if a line break followed, so without its last break the text would be shorter.
        document = Document("a: |+\n  x\n\nb: 1")
        document.delete(("b",))
        assert document.text == "a: |+\n  x\n\n"
        assert document.tree == {"a": "x\n\n"}

    def test_braces_stay_where_a_comment_below_would_go_with_the_key(self):
        text = "a: {}\n    # deep\n"
        assert put(text, ("a", "b"), 1) == "a: {b: 1}\n    # deep\n"

    def test_edits_that_end_at_the_same_place(self):
        document = Document("a:\n  - 1\n")
        document.set(("a", 1), 2)
        document.set(("b",), 3)
        assert document.text == "a:\n  - 1\n  - 2\nb: 3\n"

    def test_an_edit_that_the_one_before_makes_possible(self):
        document = Document("a: &x 1\nb: *x\n")
        document.set(("b",), 2)
        document.set(("a",), 3)
        assert document.text == "a: 3\nb: 2\n"

    def test_an_index_behind_a_deleted_item(self):
        document = Document("[1, 2, 3]\n")
        document.delete((0,))
        document.set((1,), "x")
        assert document.text == "[2, x]\n"

    def test_a_pair_in_brackets_is_no_mapping_in_braces(self):
        assert put("[a: 1, b]\n", (0,), {"a": 1, "c": 2}) == "[{a: 1, c: 2}, b]\n"

    def test_a_control_character(self):
        # PyYAML raises while it is being made, not while it reads.
        with pytest.raises(YamlPatchError, match=r"line 2, column 4: the character U\+0001"):
            Document("a: 1\nb: \x01\n")


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: 1\na: 2\n", 'line 2, column 1: the key "a" is there twice'),
            ("x:\n  - {1: a, 1.0: b}\n", 'the key "1" is there twice'),
            ("null: 1\n~: 2\n", 'the key "" is there twice'),
            ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document"),
            ("a: 1\rb: 2\n", "line 1, column 5: a carriage return without a line feed"),
            ("%YAML 1.1\n---\na: yes\n", "%YAML 1.1 changes how values are read"),
            ("a: [1\n", "line 2, column 1: "),
            ("a: @x\n", "line 1, column 4: "),
            ("a: &b?c d\n", r"line 1, column 6: &b is followed by '\?'"),
            ("- &b: c\n", "line 1, column 5: &b is followed by ':'"),
            ("- &b c\n- [*b: d]\n", r"line 2, column 6: \*b is followed by ':'"),
            ('a: "b\\\n\n  c"\n', "line 1, column 6: a blank line behind an escaped line break"),
            ("a: [!x :b]\n", "line 1, column 8: no space behind this `:`"),
            ("|\n# a\n", "the document is a block scalar"),
            ("\ta: 1\n", "line 1, column 1: "),
            ("a: *x\n", "line 1, column 4: alias \\*x names no anchor"),
            ('a: "\\uZZZZ"\n', "line 1, column 7: "),
            (b"a: \xff\n", "line 1, column 4: this is not UTF-8"),
            ("a: 1\n".encode("utf-16"), "line 1, column 1: this is not UTF-8"),
            ("a: \udc00\n", "line 1, column 4: half of a surrogate pair"),
            ("[" * (events.MAX_DEPTH + 1) + "]" * (events.MAX_DEPTH + 1), "nested more than"),
        ],
    )
    def test_text(self, text, message):
        with pytest.raises(YamlPatchError, match=message):
            Document(text)

    def test_a_question_mark_in_front_of_a_key(self, reader):
        """npm yaml reads the key "?a", libyaml the key "a"."""
        message = "no space behind this `[?]`" if reader is not yaml.SafeLoader else "line 1"
        with pytest.raises(YamlPatchError, match=message):
            Document("{?a: 1}\n")
        assert Document("a: http://h/?q=1 # ?\n").tree == {"a": "http://h/?q=1"}

    @pytest.mark.parametrize(
        ("text", "path", "message"),
        [
            ("a: 1\n", ("a", "b"), "line 1, column 4: a is a scalar, not a mapping"),
            ("a: [1]\n", ("a", "b"), "line 1, column 4: a is a sequence, not a mapping"),
            ("a: {b: 1}\n", ("a", 0), "line 1, column 4: a is a mapping, not a sequence"),
            ("x\n", ("a",), "the document is a scalar"),
            ("a: &x {b: 1}\nc: *x\n", ("c", "b"), r"line 2, column 4: c is an alias; edit what \*x names"),
            ("a: &x {b: 1}\nc: *x\n", ("a", "b"), r"\*x repeats what would be changed"),
            ("a: &x 1\nc: *x\n", ("a",), r"\*x needs the anchor that would go"),
            ("a:\n  b: &x 1\nc: *x\n", ("a",), r"\*x needs the anchor that would go"),
            ("a: !!set {b}\n", ("a", "c"), "line 1, column 4: the tag tag:yaml.org,2002:set has no place"),
            ("a: [1]\n", ("a", 2), "the sequence has 1 items; item 2 cannot be set"),
            ("a: 1\n", ("b", 1), "the sequence does not exist yet"),
            ("[a: 1]\n", (0, "b"), "a single pair in brackets"),
            ("a: 1\n", (), "the path is empty"),
            ("a: 1\n", ("a", -1), "-1 in the path"),
            ("a: 1\n", (True,), "True in the path"),
        ],
    )
    def test_path(self, text, path, message):
        with pytest.raises(YamlPatchError, match=message):
            put(text, path, 2)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (2**53, "is rounded by JavaScript"),
            ("\ud800", "half of a surrogate pair"),
            ({1: 2}, "not a string"),
            (object(), "of type object"),
            (b"x", "of type bytes"),
            ({"k" * 1100: 1}, "longer than the 1024 characters"),
        ],
    )
    def test_value(self, value, message):
        with pytest.raises(YamlPatchError, match=message):
            put("a: 1\n", ("a",), value)

    def test_a_value_that_holds_itself(self):
        value = []
        value.append(value)
        with pytest.raises(YamlPatchError, match="nested more than"):
            put("a: 1\n", ("a",), value)

    def test_nothing_is_lost(self):
        document = Document("a: 1\n")
        with pytest.raises(YamlPatchError):
            document.set(("a", "b"), 1)
        assert document.text == "a: 1\n"

    @pytest.mark.parametrize(
        "wrong",
        ["a: 1\nb: 1\n", "a: 3\nb: 2\n", "a: 3\nb: '1'\n", "a: 3\n", "a: 3\nb: 1\nc: 1\n", "a: 3\nb: &x 1\n", "a: [\n"],
    )
    def test_a_wrong_result_is_never_given(self, monkeypatch, wrong):
        """Were a plan wrong, the proof would stop it."""
        module = "ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch.spliced"
        monkeypatch.setattr(module, lambda _text, _splices: wrong)
        document = Document("a: 1\nb: 1\n")
        document.set(("a",), 3)
        with pytest.raises(YamlPatchError, match="would change something else"):
            _unused = document.text

    def test_only_the_entries_that_were_touched_are_parsed_again(self, monkeypatch):
        module = "ansible_collections.devportal.backstage.plugins.module_utils._yaml.reread.Stream"
        parsed = []

        class Counted(events.Stream):
            def __init__(self, text, *more, **named):
                parsed.append(text)
                super().__init__(text, *more, **named)

        text = "# c\na:\n  b: 1\n" + "c: |+\n  x\n\n" + "d: [1]\n" + "e:\n- f\n" + "g: 1\n"
        monkeypatch.setattr(module, Counted)
        document = Document(text)
        document.set(("a", "new"), 2)
        document.set(("e", 1), "z")
        assert document.text == text.replace("b: 1", "b: 1\n  new: 2").replace("- f", "- f\n- z")
        assert [text for text in parsed if text] == ["a:\n  b: 1\n  new: 2\n", "e:\n- f\n- z\n"]


class TestTree:
    def test_it_is_what_npm_yaml_reads(self):
        text = (
            "a: [on, TRUE, 0777, 0o17, 0x1F, 1_000, 12:30:45, 2001-01-01, ~, '', 1e3, .5, 1., +12, -.inf, Null]\n"
            "b: {<<: 1, null: 2, true: 3, 0x10: 4}\n"
            "c: &x {k: !!str 12}\n"
            "d: *x\n"
            "e: [!!int '3', !!int x, !local y, ! 12, 99999999999999999999]\n"
            "f: |\n"
            "  no break at the end of the file"
        )
        assert Document(text).tree == {
            "a": [
                "on",
                True,
                777,
                15,
                31,
                "1_000",
                "12:30:45",
                "2001-01-01",
                None,
                "",
                1000,
                0.5,
                1,
                12,
                -math.inf,
                None,
            ],
            "b": {"<<": 1, "": 2, "true": 3, "16": 4},
            "c": {"k": "12"},
            "d": {"k": "12"},
            "e": [3, "x", "y", "12", 1e20],
            "f": "no break at the end of the file\n",
        }

    def test_an_empty_document(self):
        assert Document("").tree is None
        assert Document("---\n# x\n").tree is None

    @pytest.mark.parametrize("text", ["a: !!binary aGk=\n", "!!set {a}\n", "? [a]\n: 1\n", "a: &x [*x]\n"])
    def test_what_no_configuration_holds(self, text):
        with pytest.raises(YamlPatchError, match="line 1, column"):
            _unused = Document(text).tree

    def test_many_aliases(self):
        """Expanded, this would be 10^9 strings."""
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
        document = Document("\n".join([*lines, "b: 1"]))
        document.set(("b",), 2)
        assert document.tree["b"] == 2

    def test_find(self):
        document = Document("a:\n  - &x 'v'\n  - *x\nb: {}\n")
        assert document.find(()).kind == "mapping"
        found = [document.find(path) for path in (("a", 0), ("a", 1), ("b",))]
        assert [(node.kind, node.value, node.line, node.column, node.style, node.anchor) for node in found] == [
            ("scalar", "v", 2, 5, "single", "x"),
            ("alias", "v", 3, 5, None, "x"),
            ("mapping", {}, 4, 4, "flow", None),
        ]
        assert document.find(()).keys == ["a", "b"]
        assert document.find(("c", "d")) is None
        assert document.find(("a", 2)) is None

    def test_find_sees_what_was_set(self):
        document = Document("a: 1\n")
        document.set(("b", "c"), 2)
        assert document.find(("b", "c")).value == 2
        assert document.tree == {"a": 1, "b": {"c": 2}}

    def test_bytes_come_back(self):
        data = "\ufeffa: é\r\nb: 😀".encode()
        document = Document(data)
        assert document.data == data
        assert not document.changed


def read_as_1_1(text):
    return yaml.load(text, Loader=yaml.SafeLoader)


NASTY = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from("0123456789.+-_:exaobTZ \n\"'#&*!|>%@`{}[],?~=ny"), max_size=12),
    st.sampled_from(["yes", "No", "y", "null", "~", "<<", "=", "2001-01-01", "1:30", "0b11", "1e3", "-", "a" * 4096]),
)
SCALARS = st.one_of(NASTY, st.booleans(), st.none(), st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False))


class TestWriting:
    """YAML 1.1 (PyYAML) and YAML 1.2 (ours, which test_yaml_patch_properties.py proves) read the same."""

    @settings(deadline=None)  # a busy machine is no fault
    @given(SCALARS.filter(lambda value: not isinstance(value, str) or value.isprintable() or value.isascii()))
    def test_in_block_style(self, value):
        text = put("a: 1\n", ("a",), value)
        assert Document(text).tree == read_as_1_1(text) == {"a": value}

    @settings(deadline=None)  # a busy machine is no fault
    @given(st.dictionaries(NASTY.filter(lambda key: len(key) < 1000), SCALARS, max_size=3))
    def test_in_flow_style(self, value):
        text = put("a: [1]\n", ("a", 0), value)
        assert Document(text).tree == read_as_1_1(text) == {"a": [value]}

    @pytest.mark.parametrize(
        "value", ["a\x85b", "a\u2028b", "a\xa0b", "\ufeff", "a\x00b", "\x7f", "\t", "👩\u200d💻", "密码"]
    )
    def test_odd_characters(self, value):
        text = put("a: 1\n", ("a",), value)
        assert Document(text).tree == read_as_1_1(text) == {"a": value}

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("${X}", "${X}"), ("127.0.0.1", "'127.0.0.1'"), ("db.example.net", "db.example.net"), ("pg", "pg"),
            (":memory:", "':memory:'"), ("it's", "it's"), ("a # b", "'a # b'"), ("a: b", "'a: b'"), ("-x", "'-x'"),
            ("/var/run/postgresql", "/var/run/postgresql"), ("0o17", "'0o17'"), ("1.0", "'1.0'"), ("", "''"),
            (5432, "5432"), (1e16, "1.0e+16"), (math.inf, ".inf"), (True, "true"), ({}, "{}"), ([], "[]"),
        ],
    )  # fmt: skip
    def test_quoted_no_more_than_needed(self, value, text):
        assert put("a: 1\n", ("a",), value) == f"a: {text}\n"


def test_a_question_mark_without_a_key():
    """Written behind it, a colon would make `?:`, which npm yaml reads as another key."""
    with pytest.raises(YamlPatchError):
        put("{a: 1,\n?\n}\n", ("",), 2)


def test_a_comment_that_npm_yaml_would_not_read_above_a_brace():
    """It was the comment of the entry that is deleted; what is left has to be read."""
    document = Document("{\na: x,\n# above\nb: x\n}\n")
    document.delete(("b",))
    with pytest.raises(YamlPatchError, match="laid out"):
        assert document.text


def test_many_lines_of_comments_cost_no_more_than_others():
    text = "a: 1\n" + "# more\n" * 30_000
    began = time.process_time()
    assert put(text, ("a",), 2) == text.replace("1", "2", 1)
    assert time.process_time() - began < 10
