# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import saslprep, scram
from hypothesis import given, settings
from hypothesis import strategies as st

# The password, salt and count of the conversation in RFC 7677, in PostgreSQL's form.
PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_rfc_7677_conversation():
    """The client proof and the server signature of RFC 7677, section 3, follow from the verifier."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    verifier = scram.make("pencil", 4096, base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    signature = hmac.digest(verifier.stored_key, message, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, signature))
    assert hashlib.sha256(client_key).digest() == verifier.stored_key
    server_signature = base64.b64encode(hmac.digest(verifier.server_key, message, "sha256"))
    assert server_signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_form_of_postgresql():
    assert str(scram.make("pencil", 4096, base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))) == PENCIL
    assert str(scram.parse(PENCIL)) == PENCIL
    assert scram.matches(PENCIL, "pencil", "anyone")
    assert not scram.matches(PENCIL, "Pencil", "anyone")


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        # RFC 4013, section 3; what it forbids PostgreSQL takes as it is.
        ("I\u00adX", b"IX"),
        ("user", b"user"),
        ("USER", b"USER"),
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("\u0007", b"\x07"),
        ("\u0627\u0031", "\u0627\u0031".encode()),
        # The mapping, then the normalisation.
        ("a\u00a0b\u3000c", b"a b c"),
        ("a\u200bb", b"a b"),
        ("e\u0301", "é".encode()),
        ("x\ufb01\ufe0f", b"xfi"),
        # ASCII is left alone, even what the tables forbid.
        ("\x7f\x01 x", b"\x7f\x01 x"),
        # Forbidden beside a character that would change: all of it stays.
        ("\u2168\u0007", "\u2168\u0007".encode()),
        ("\u2168\ue000", "\u2168\ue000".encode()),
        ("\u2168\U0001f600", "\u2168\U0001f600".encode()),  # not in Unicode 3.2
        ("\u2168\u0221", "\u2168\u0221".encode()),
        ("\u00ad", "\u00ad".encode()),  # nothing would be left
        # Right to left.
        ("\u0627\ufef5\u0628", "\u0627\u0644\u0622\u0628".encode()),
        ("\u0627\u2168\u0628", "\u0627\u2168\u0628".encode()),
        ("\u2460\u0627", "\u2460\u0627".encode()),
        # U+2F868 maps to another character since Unicode 4; PostgreSQL has the newer.
        ("\U0002f868", "\u36fc".encode()),
        # Forbidden characters are looked for before the normalisation: U+FC5E gives a space and two marks.
        ("\ufc5e", b" \xd9\x8c\xd9\x91"),
    ],
)
def test_saslprep(password, prepared):
    assert saslprep.prepare(password.encode()) == prepared


@pytest.mark.parametrize(
    "raw", [b"\xff", b"\xe2\x85", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xc2\xa0\xff"]
)
def test_saslprep_leaves_what_is_not_utf_8(raw):
    assert saslprep.prepare(raw) == raw


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_saslprep_is_settled_where_it_allows(password):
    try:
        raw = password.encode()
    except UnicodeEncodeError:
        return
    once = saslprep.prepare(raw)
    assert once == raw or once.decode()
    if raw.isascii():
        assert once == raw


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1), st.integers(1, 20), st.binary(min_size=1, max_size=40))
def test_make_parse_match(password, iterations, salt):
    try:
        verifier = scram.make(password, iterations, salt)
    except CollectionError:
        assert "\0" in password or any(0xD800 <= ord(character) <= 0xDFFF for character in password)
        return
    assert scram.parse(str(verifier)) == verifier
    assert scram.matches(str(verifier), password, "role")
    assert not scram.matches(str(verifier), password + "x", "role")
    assert scram.kind(str(verifier)) == "scram-sha-256"


def test_bytes_that_are_no_utf_8_come_as_surrogate_escapes():
    password = b"caf\xe9".decode("utf-8", "surrogateescape")
    verifier = scram.make(password, 1, b"salt")
    salted = hashlib.pbkdf2_hmac("sha256", b"caf\xe9", b"salt", 1)
    assert verifier.server_key == hmac.digest(salted, b"Server Key", "sha256")


def test_each_salt_is_another():
    assert scram.make("a", 1).salt != scram.make("a", 1).salt
    assert len(scram.make("a", 1).salt) == 16


def test_md5():
    stored = "md5" + hashlib.md5(b"secretrole", usedforsecurity=False).hexdigest()
    assert scram.kind(stored) == "md5"
    assert scram.matches(stored, "secret", "role")
    assert not scram.matches(stored, "secret", "other")
    assert not scram.matches(stored, "Secret", "role")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pencil",
        PENCIL[1:],
        PENCIL + "=",
        PENCIL[:-1],
        PENCIL + "\n",
        PENCIL.replace("4096", "0"),
        PENCIL.replace("4096", "-1"),
        PENCIL.replace("4096", "04096"),
        PENCIL.replace("4096", "٤٠٩٦"),
        PENCIL.replace("4096", "2147483648"),
        PENCIL.replace("4096", "9" * 5000),
        PENCIL.replace("4096", ""),
        PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        PENCIL.replace("W22Z", "W2 2Z"),
        PENCIL.replace("W22Z", "é22Z"),
        PENCIL.replace("WG5d", ""),
        PENCIL.replace(":wf", "$wf"),
        PENCIL.replace("$WG", ":WG"),
        PENCIL.replace("SHA-256", "SHA-1"),
    ],
)
def test_broken_verifiers(text):
    with pytest.raises(CollectionError) as caught:
        scram.parse(text)
    assert "WG5d8oPm3" not in str(caught.value)
    assert scram.kind(text) == "unknown"
    assert not scram.matches(text, "pencil", "role")


def test_kind():
    assert scram.kind(None) == "none"
    assert not scram.matches(None, "x", "role")
    assert scram.kind("md5" + "g" * 32) == "unknown"
    assert scram.kind("md5" + "A" * 32) == "unknown"  # the server wants lower case
    assert scram.kind("clear") == "unknown"


@pytest.mark.parametrize("password", ["", "a\0b", "\ud83d"])
def test_what_is_no_password(password):
    with pytest.raises(CollectionError):
        scram.make(password)
    with pytest.raises(CollectionError):
        scram.matches(PENCIL, password, "role")


@pytest.mark.parametrize("iterations", [0, -1, 2**31])
def test_iterations_that_cannot_be(iterations):
    with pytest.raises(CollectionError, match=str(iterations)):
        scram.make("a", iterations)


def test_a_verifier_does_not_show_itself():
    assert "WG5d" not in repr(scram.parse(PENCIL))


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("p@ss: w/ord\x01", True),
        ("ünïcödé", True),
        ("\u2168\u00ad\u00a0", True),  # both change it, alike
        ("\U0001f600", True),  # forbidden, but nothing would change it
        ("\u05d0a", True),
        ("\ue000", True),
        ("\u2764\ufe0f", True),
        ("\U0001f600\u2168", False),
        ("\U0001f5dd\ufe0f", False),  # an emoji with a variation selector
        ("\U0001f468\u200d\U0001f469", False),  # two emoji joined
        ("\U0001f600\u00a0", False),
        ("\u05d0a\u2168", False),
        ("\u00ad", False),
        ("\U0001d7cb", False),
        ("\U0004df2a", False),  # assigned to nothing yet
    ],
)
def test_same_in_node_pg(password, same):
    assert saslprep.same_in_node_pg(password) is same
