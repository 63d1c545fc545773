# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_dotenv, env_file
from hypothesis import assume, example, given
from hypothesis import strategies as st

FORMATS = pytest.mark.parametrize("form", env_file.FORMATS)

TRICKY = st.text(st.sampled_from("ab '\"`\\$#\n\r\t={}()!%;&|<>~*éß\u2028\ufeff\x0b\x7f"), max_size=12)


def set_one(text, name, value, form):
    return env_file.set_variables(text.encode(), {name: value}, form).decode()


@FORMATS
@given(value=TRICKY | st.text(max_size=20))
@example('it\'s "q"')
@example("a${HOME}b")
@example("dollar$1$$x")
@example("back\\slash\\")
@example(" lead")
def test_what_is_written_is_what_is_read_or_it_is_refused(form, value):
    try:
        env_file.check("A", value, form)
    except CollectionError as error:
        refusal = str(error)
        assert refusal.startswith("A: the value ")
        return
    data = env_file.set_variables(b"# first\nB=1\n", {"A": value, "C": "3"}, form)
    assert env_file.read(data, form) == {"A": value, "B": "1", "C": "3"}
    assert env_file.set_variables(data, {"A": value}, form) == data
    assert env_file.remove_variables(data, ["A", "C"], form) == b"# first\nB=1\n"


@FORMATS
@given(old=TRICKY, new=TRICKY, before=TRICKY, after=TRICKY)
def test_a_change_in_place_touches_nothing_else(form, old, new, before, after):
    for value in (old, new, before, after):
        try:
            env_file.check("A", value, form)
        except CollectionError:
            assume(False)
    data = env_file.set_variables(b"", {"FIRST": before, "A": old, "LAST": after}, form)
    changed = env_file.set_variables(data, {"A": new}, form)
    assert env_file.read(changed, form) == {"FIRST": before, "A": new, "LAST": after}
    assert list(env_file.read(changed, form)) == ["FIRST", "A", "LAST"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "A=new\n"),
        ("B=1", "B=1\nA=new\n"),
        ("B=1\r\n", "B=1\r\nA=new\r\n"),
        ("A=old\r\nB=2\r\n", "A=new\r\nB=2\r\n"),
        ("C=1\r\n\r\nA=old\r\nB=2\r\n", "C=1\r\n\r\nA=new\r\nB=2\r\n"),
        ("A: new\n", "A=new\n"),
        ("A=old", "A=new"),
        ("# A=old\nA = old # why\n\n\nB=2", "# A=old\nA = new # why\n\n\nB=2"),
        ("export A=old\n", "export A=new\n"),
        ("  A=old\n", "  A=new\n"),
        ('A="old"\n', 'A="new"\n'),
        ("A='old'\n", "A='new'\n"),
        ("A=\nB=2\n", "A=new\nB=2\n"),
        ("A: old\n", "A=new\n"),
        ("A=1\nB=2\nA=3\n", "A=new\nB=2\nA=new\n"),
        ("A='one\ntwo'\nB=2\n", "A='new'\nB=2\n"),
        ("AA=1\nA_B=2\nXA=3\n", "AA=1\nA_B=2\nXA=3\nA=new\n"),
        ("\ufeffA=old\n", "\ufeffA=new\n"),
    ],
)
def test_dotenv_lines_stay(before, after):
    assert set_one(before, "A", "new", "dotenv") == after
    assert set_one(after, "A", "new", "dotenv") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("; note\nA=old # part of it\nB=2", "; note\nA=new\nB=2"),
        ("export A=old\n", "export A=old\nA=new\n"),
        ('A="o\\"ld" tail\n', 'A="new"\n'),
        ("A=one\\\n  two\nB=2\n", "A=new\nB=2\n"),
        (" A = old\n", " A = new\n"),
    ],
)
def test_systemd_lines_stay(before, after):
    assert set_one(before, "A", "new", "systemd") == after


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        ("dotenv", "it's $5", "without the quote '"),
        ("dotenv", "'\"", "without the quote '"),
        ("dotenv", "'\n\\", "without the quote '"),
        ("dotenv", "#\\", "without the quote '"),
        ("dotenv", "a\rb", "use the format systemd"),
        ("systemd", "a\x01b", "control character"),
        ("systemd", "a\udc80", "Unicode"),
        ("dotenv", "a\0b", "NUL"),
        ("systemd", "a\ufffe", "not a character"),
    ],
)
def test_a_value_without_a_faithful_writing_is_refused(form, value, words):
    with pytest.raises(CollectionError, match=r"^SECRET: .*") as caught:
        env_file.set_variables(b"", {"SECRET": value}, form)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("dotenv", "B=2\nC='open\nA=1\n", "line 2: opens a quote"),
        ("dotenv", "B=2\nC=1\rA=1\n", "line 2: contains a carriage return"),
        ("systemd", 'B=2\nC="open\nA=1\n', "line 2: opens a quote"),
        ("systemd", "# note \\\nA=1\n", "line 1: a comment ends with a backslash"),
        ("systemd", "A=1\\", "ends with a backslash"),
    ],
)
def test_a_file_that_is_unsure_is_refused(form, text, words):
    with pytest.raises(CollectionError, match=words):
        env_file.set_variables(text.encode(), {"A": "1"}, form)


def test_the_result_is_read_again_before_it_counts(monkeypatch):
    monkeypatch.setattr(env_dotenv, "writings", lambda value: [value[:1]])
    with pytest.raises(CollectionError, match="cannot be changed without changing what its other lines mean"):
        env_file.set_variables(b"B=2\n", {"A": "12"}, "dotenv")


def test_systemd_gets_no_backslash_in_single_quotes():
    """Before its version 246 it reads one as an escape there."""
    assert env_file.set_variables(b"", {"A": "a\\b c"}, "systemd") == b'A="a\\\\b c"\n'


def test_lines_are_counted():
    found = env_file.assignments(b"A='1\n2'\n\nB=1\n", "systemd")
    assert [(each.name, each.line) for each in found] == [("A", 1), ("B", 4)]
    assert [each.line for each in env_file.assignments(b"A='1\r\n2'\r\n\r\nB=1", "dotenv")] == [1, 4]


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "É", "A\n"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(CollectionError, match="is not a valid variable name"):
        env_file.set_variables(b"", {name: "1"}, "dotenv")


def test_a_writing_that_readers_differ_on_is_made_plain():
    assert set_one('A="p$x"\n', "A", "p$x", "dotenv") == "A='p$x'\n"
    assert set_one("A=p # x\n", "A", "p", "dotenv") == "A=p # x\n"
    assert set_one("A=p#x\n", "A", "p", "dotenv") == "A=p #x\n"


def test_removal_takes_whole_lines_and_no_others():
    text = b"# a\r\nA='1\r\n2'\r\nB=2\r\nA=3"
    assert env_file.remove_variables(text, ["A", "NONE"], "dotenv") == b"# a\r\nB=2\r\n"


def test_bytes_that_are_not_text_stay():
    assert env_file.set_variables(b"B=\xff\xfe\nA=1\n", {"A": "2"}, "dotenv") == b"B=\xff\xfe\nA=2\n"


def test_masked_text_holds_no_value():
    text = env_file.masked(b"# secret\nA=secret\nB=secret\n", "dotenv", ["B"])
    assert text == "A=********\nB=******** (changed)\n"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"A=1\nB=Gr\xfc\xdfe\n", 2),
        (b"A=1\n\nB\xfc=1\n", 3),
        (b"B='\xff'\n", 1),
        (b"A=1\nexport B=\xe4\n", 2),
        (b"A=1 # \xfc\n", 1),
        (b"A=1\nB=\xed\xa0\x80\n", 2),
        (b"A=1\nB=\xef\xbf\xbe\n", 2),
        (b"A=1\n# \x00\n", 2),
    ],
)
def test_bytes_for_which_systemd_rejects_the_whole_file(data, line):
    for change in (env_file.read, lambda text, form: env_file.set_variables(text, {"A": "2"}, form)):
        with pytest.raises(CollectionError, match=f"^line {line}: contains .* rejects the whole file"):
            change(data, "systemd")


def test_bytes_that_systemd_does_not_look_at_stay():
    data = b"# Gr\xfc\xdfe\n; \xff\nstray \xfc\nA=1\n"
    assert env_file.set_variables(data, {"A": "2"}, "systemd") == data.replace(b"A=1", b"A=2")


def test_a_file_in_utf_16_is_refused():
    for data in ("A=1\n".encode("utf-16"), b"A=1\nB=\0\n"):
        with pytest.raises(CollectionError, match="contains a NUL character, as files in UTF-16 do"):
            env_file.set_variables(data, {"C": "x"}, "dotenv")
