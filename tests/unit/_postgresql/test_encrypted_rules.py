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
    uncovered,
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


CERTIFIED = f"{SSL}\tclientcert=verify-ca"
OWN_HOST = CERTIFIED.replace("10.0.0.7/32", "samehost")
CLOSED = [OWN_HOST, REJECT, REJECT.replace("hostnossl", "hostssl")]
FIRST = APP.replace("\t", " ")


@pytest.mark.parametrize(
    ("wanted", "present", "required", "expected", "waiting"),
    [
        # A new cluster has no client that could be cut off.
        ([APP], None, False, [CERTIFIED, *CLOSED], []),
        # Apps that encrypt have no certificate yet; nor may those that a new rule is for.
        ([APP], [SSL, REJECT], False, [SSL, REJECT], [FIRST, DEFERRED]),
        ([APP], [REJECT], False, [SSL, REJECT], [FIRST, DEFERRED]),
        ([APP], [APP], False, [APP], [FIRST, DEFERRED]),
        ([APP], [APP], True, [CERTIFIED, *CLOSED], []),
        ([APP], [SSL, REJECT], True, [CERTIFIED, *CLOSED], []),
        # Nothing flips back on the next run, and another app host has to have one at once.
        ([APP], [CERTIFIED, *CLOSED], False, [CERTIFIED, *CLOSED], []),
        ([APP, OTHER], [CERTIFIED, *CLOSED], False, [CERTIFIED, f"{OTHER_SSL}\tclientcert=verify-ca", *CLOSED], []),
        # What the user writes himself counts: a tool without a certificate.
        ([SSL, APP], [SSL, REJECT], True, [SSL, *CLOSED], []),
    ],
)
def test_client_certificates_are_demanded_once_the_apps_have_them(wanted, present, required, expected, waiting):
    assert after(wanted, present, clientcert="verify-ca", required=required) == (expected, waiting)


def test_no_client_certificate_is_demanded_any_more():
    assert after([APP], [CERTIFIED, *CLOSED]) == ([SSL, REJECT], [])


def test_clients_that_the_rules_of_the_portal_do_not_allow():
    rules = [rule(line) for line in (APP, "hostssl\tall\tall\t10.1.0.0/16\tscram-sha-256", PLAIN)]
    rules += [rule("hostssl\tall\tall\tsamehost\tscram-sha-256"), rule("hostssl\tall\tall\tall\treject")]
    addresses = ["10.0.0.7", "10.0.0.9", "10.1.2.3", "fd00::1", "192.0.2.1"]
    assert uncovered(rules, addresses, lambda address: address == "192.0.2.1") == ["10.0.0.9", "fd00::1"]
    assert uncovered([*rules, rule("host\tall\tall\tsamenet\tmd5")], addresses, lambda _address: False) == []


def test_a_rule_is_recognised_however_it_is_written():
    assert after([APP], [APP.replace("\t", "  ")])[0] == [APP]


@pytest.mark.parametrize("user", ["all", "@x", "/x", "with space"])
def test_a_user_is_never_a_keyword(user):
    assert f'\t"{user}"\t' in after([], None, users=(user,))[0][0]


def test_rules_of_a_file_of_ours_are_encrypted_once_each():
    found = encrypted_only([rule(line) for line in (APP, SSL, PLAIN, OTHER, OTHER)])
    assert [one.line() for one in found] == [SSL, PLAIN, OTHER_SSL]
