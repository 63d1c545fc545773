# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import rotation_journal
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.rotation_journal import (
    Credentials,
    Journal,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from hypothesis import given
from hypothesis import strategies as st

ONE, TWO, THREE = (Credentials("backstage", f"{word} secret") for word in ("first", "second", "third"))
A, B = Credentials("backstage_a", "first secret"), Credentials("backstage_b", "second secret")
FILES = {"/srv/.env": b"old"}


def begin(journal, current, wanted, *valid):
    return rotation_journal.begin(journal, current, wanted, FILES, lambda who: who in valid)


def test_nothing_to_do():
    assert begin(None, ONE, ONE, ONE) is None


def test_another_password():
    journal = begin(None, ONE, TWO, ONE)
    assert journal == Journal(old=ONE, worked=True, new=TWO, contents=FILES)
    assert not journal.other_user
    # Killed before and after server and file were changed.
    assert begin(journal, ONE, TWO, ONE) == journal
    assert begin(journal, TWO, TWO, TWO) == journal


def test_the_files_are_kept_as_they_are_when_the_next_run_begins():
    """Somebody may have added a line since; a file that the killed run made goes again."""
    journal = Journal(old=A, worked=True, new=B, contents={"/srv/.env": b"older", "/srv/password-b": None})
    contents = {"/srv/.env": b"by hand", "/srv/password-b": b"made by the killed run"}

    def again(journal, current):
        return rotation_journal.begin(journal, current, B, contents, lambda _who: True)

    assert again(journal, A) == replace(journal, contents={"/srv/.env": b"by hand", "/srv/password-b": None})
    assert again(journal, B) == journal
    assert again(replace(journal, ready=True), A) == replace(journal, ready=True)


def test_another_user():
    journal = begin(None, A, B, A)
    assert journal.other_user
    assert journal.previous_users == ("backstage_a",)
    ready = replace(journal, ready=True)
    assert begin(ready, B, B, B) == ready


def test_who_is_retired():
    journal = begin(None, A, B, A)
    assert (journal.user, journal.retired_users) == ("backstage_b", ("backstage_a",))
    back = replace(journal, rolled_back=True)
    assert (back.user, back.retired_users) == ("backstage_a", ("backstage_b",))
    assert begin(back, A, B, A).rolled_back is False
    single = replace(begin(None, ONE, TWO, ONE), rolled_back=True)
    assert (single.user, single.retired_users) == ("backstage", ())


def test_a_journal_of_an_earlier_release_is_read():
    journal = begin(None, A, B, A)
    data = journal.dump().replace(b'"previous_users"', b'"former"').replace(b'"run": "", ', b"")
    assert Journal.load(data, "/x") == journal


def test_a_third_password_after_a_kill():
    journal = begin(None, ONE, TWO, ONE)
    # Just between server and file: the file says the first, the server has the second.
    between = begin(journal, ONE, THREE, TWO)
    assert between == replace(journal, new=THREE, tried=("second secret",))
    # After both: what works is what to go back to.
    assert begin(journal, TWO, THREE, TWO) == Journal(old=TWO, worked=True, new=THREE, contents=FILES)


def test_a_user_who_was_left_in_a_killed_run_is_retired_later():
    journal = begin(None, A, B, A)
    third = Credentials("backstage_b", "third secret")
    again = begin(journal, B, third, B)
    assert not again.other_user
    assert again.previous_users == ("backstage_a",)
    assert begin(journal, B, A, A, B).previous_users == ("backstage_b",)
    # Prepared on the server, and in no file yet.
    assert begin(journal, A, A, A).previous_users == ("backstage_b",)
    assert begin(journal, A, Credentials("backstage_c", "x")).previous_users == ("backstage_a", "backstage_b")


def test_what_the_files_say_does_not_work():
    # Somebody set the new password by hand: there is nothing to go back to.
    journal = begin(None, ONE, TWO, TWO)
    assert not journal.worked
    with pytest.raises(CollectionError, match="both the current and the new"):
        begin(None, ONE, TWO)
    with pytest.raises(CollectionError, match="both the current and the new"):
        begin(None, ONE, ONE)
    assert not begin(None, A, B).worked


@given(st.text(), st.text(), st.lists(st.text()), st.none() | st.binary(), st.booleans())
def test_a_journal_is_read_as_it_was_written(user, password, tried, data, ready):
    who = Credentials(user, password)
    journal = Journal(who, ready, who, tuple(tried), {"/x": data}, (user,), ready)
    assert Journal.load(journal.dump(), "/x") == journal
    assert password not in repr(who) or password in repr(user) or password in "Credentials()"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"old": 1}', b"\xff", b'{"old": ["a", "b", "c"]}'])
def test_what_is_no_journal(data):
    with pytest.raises(CollectionError, match="x: it is not a journal"):
        Journal.load(data, "/x")
