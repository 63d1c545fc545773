# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram_client

# RFC 7677, section 3, but for the name, which PostgreSQL leaves empty.
NONCE = "rOprNGfwEbeRWgbNEkqO"
FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setattr(scram_client.secrets, "token_urlsafe", lambda _bytes: NONCE)
    return scram_client.Exchange("pencil")


def test_the_messages_are_those_of_the_rfc(exchange):
    assert exchange.first() == b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
    final = exchange.final(FIRST.encode())
    assert final.startswith(b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")
    assert not exchange.is_proven(b"v=AAAA")
    assert not exchange.is_proven(b"")


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "e=other-error",
        FIRST.replace("r=rO", "r=xx"),
        FIRST.replace("i=4096", "i=0"),
        FIRST.replace("i=4096", "i=2147483647"),
        FIRST.replace("i=4096", "i=many"),
        FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="),
        FIRST.replace("s=W2", "s=\u00e9"),
    ],
)
def test_a_challenge_that_cannot_be_is_not_answered(exchange, challenge):
    assert exchange.final(challenge.encode()) == b""
    assert not exchange.is_proven(b"v=")


def test_before_the_challenge_nothing_is_proven(exchange):
    assert not exchange.is_proven(b"v=")
