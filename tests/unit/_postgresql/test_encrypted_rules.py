# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import AccessRule
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.encrypted_rules import (
    Encryption,
    encrypted_only,
    encrypted_rules,
)

APP = "host\tall\tbackstage\t10.0.0.7/32\tscram-sha-256"
SSL = "hostssl\tall\tbackstage\t10.0.0.7/32\tscram-sha-256"
OTHER = "host\tall\tbackstage\t10.0.0.8/32\tscram-sha-256"
OTHER_SSL = OTHER.replace("host", "hostssl")
PLAIN = "hostnossl\tall\tmonitor\t10.0.0.9/32\tscram-sha-256"
REJECT = "hostnossl\tall\tbackstage\tall\treject"
DEFERRED = "all rules that are not the portal's, for backstage"


def rule(line):
    kind, databases, users, address, method = line.split("\t")
    return AccessRule(kind, method, databases.split(","), users.split(","), address)


def after(lines, present, *, users=("backstage",), required=False, clientcert=""):
    """The lines of the block, and what allows unencrypted connections."""
    block = None if present is None else [line.encode() for line in present]
    found, waiting = encrypted_rules([rule(line) for line in lines], block, Encryption(users, required, clientcert))
    return [one.line() for one in found], waiting


@pytest.mark.parametrize(
    ("wanted", "present", "expected", "waiting"),
    [
        # A new cluster has no client that could be cut off.
        ([APP], None, [SSL, REJECT], []),
        ([], None, [REJECT], []),
        # What is in force stays.
        ([APP], [APP], [APP], [APP.replace("\t", " "), DEFERRED]),
        # A rule that is new is encrypted; others of the host may still be in use without.
        ([APP], [], [SSL], [DEFERRED]),
        ([APP, OTHER], [APP], [APP, OTHER_SSL], [APP.replace("\t", " "), DEFERRED]),
        # Nothing flips back on the next run.
        ([APP], [SSL, REJECT], [SSL, REJECT], []),
        ([APP, OTHER], [SSL, REJECT], [SSL, OTHER_SSL, REJECT], []),
        # Half way, as a killed run leaves it.
        ([APP, OTHER], [SSL, OTHER], [SSL, OTHER], [OTHER.replace("\t", " "), DEFERRED]),
        # What the user writes himself counts.
        ([SSL, PLAIN], [SSL, PLAIN, REJECT], [SSL, PLAIN, REJECT], []),
        ([APP, SSL], [SSL, REJECT], [SSL, REJECT], []),
    ],
)
def test_rules_before_the_apps_encrypt(wanted, present, expected, waiting):
    assert after(wanted, present) == (expected, waiting)


@pytest.mark.parametrize("present", [None, [], [APP], [APP, OTHER_SSL], [SSL, OTHER_SSL, REJECT]])
def test_rules_once_all_apps_encrypt(present):
    assert after([APP, OTHER, PLAIN], present, required=True) == ([SSL, OTHER_SSL, PLAIN, REJECT], [])
    again = [SSL, OTHER_SSL, PLAIN, REJECT]
    assert after([APP, OTHER, PLAIN], again) == (again, [])


def test_another_user_of_the_same_portal_is_rejected_at_once():
    """A rotation to the other of two users must not open the door that is closed already."""
    lines, waiting = after([APP], [SSL, REJECT], users=("backstage_b", "+owner"))
    assert lines == [SSL, "hostnossl\tall\tbackstage_b,+owner\tall\treject"]
    assert waiting == []


def test_client_certificates_are_required_once_the_apps_have_them():
    certified = f"{SSL}\tclientcert=verify-full"
    assert after([APP], None, clientcert="verify-full") == ([certified, REJECT], [])
    assert after([APP], [SSL, REJECT], clientcert="verify-full") == ([SSL, REJECT], [APP.replace("\t", " ")])
    assert after([APP], [SSL, REJECT], clientcert="verify-full", required=True) == ([certified, REJECT], [])
    assert after([APP], [certified, REJECT], clientcert="verify-full") == ([certified, REJECT], [])
    assert after([APP], [APP], clientcert="verify-full")[0] == [APP]
    # No certificate is demanded any more.
    assert after([APP], [certified, REJECT]) == ([SSL, REJECT], [])


def test_a_rule_is_recognised_however_it_is_written():
    assert after([APP], [APP.replace("\t", "  ")])[0] == [APP]


@pytest.mark.parametrize("user", ["all", "@x", "/x", "with space"])
def test_a_user_is_never_a_keyword(user):
    assert f'\t"{user}"\t' in after([], None, users=(user,))[0][0]


def test_rules_of_a_file_of_ours_are_encrypted_once_each():
    found = encrypted_only([rule(line) for line in (APP, SSL, PLAIN, OTHER, OTHER)])
    assert [one.line() for one in found] == [SSL, PLAIN, OTHER_SSL]
