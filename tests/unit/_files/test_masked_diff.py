# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files.masked_diff import masked_diff

BEFORE = """\
backend:
  database:
    client: pg
    connection: postgres://me:geheim@db/x
  token: geheim-1 # the token: geheim-2
"""
AFTER = """\
backend:
  database:
    client: pg
    connection:
      host: db
      password: geheim-3
  token: geheim-1 # the token: geheim-2
"""


def diff(before, after):
    return masked_diff(before.encode(), after.encode(), "app-config.yaml")


def test_a_real_diff():
    assert (
        diff(BEFORE, AFTER)
        == """\
--- app-config.yaml
+++ app-config.yaml
@@ -1,5 +1,7 @@
 backend:
   database:
     client: pg
-    connection: ********
+    connection:
+      host: db
+      password: ********
   token: ******** # ********
"""
    )


def test_nothing_differs():
    assert diff(BEFORE, BEFORE) == ""


def test_a_changed_secret_is_seen():
    assert "-  password: ********\n+  password: ******** (changed)\n" in diff(
        "a:\n  password: geheim\n", "a:\n  password: geheim2\n"
    )


@pytest.mark.parametrize(
    "more",
    ["x: &a 1\ny: &a 2\n", "title: a\u2028b\n", "'\u00e9': \U0001f600\n", "? a\n: b\n"],
    ids=["an anchor twice", "a line separator", "beyond ASCII", "an explicit key"],
)
def test_what_the_patch_reads_is_shown(more):
    shown = diff(f"{more}password: geheim1\n", f"{more}password: geheim2\n")
    assert "+password: ******** (changed)" in shown
    assert "geheim" not in shown


@pytest.mark.parametrize(
    "line",
    [
        "encryptionKey: geheim",
        "accountKey: geheim",
        "url: postgresql://me:ge@geheim/heim@db/x",
        "# connection: postgresql://me:p@geheim@host/db",
        "password: geheim",
        "PASSWORD: 'geheim'",
        'dbPassword: "gehe\\\n  im"',
        "clientSecret: geheim",
        "githubToken: geheim",
        "apiKey: geheim",
        "key: geheim",
        "keys: [geheim]",
        "auth: geheim",
        "Authorization: Bearer geheim",
        "secrets: {one: geheim}",
        "connectionString: geheim",
        "connection: postgres://x:geheim@y",
        "connection: host=x password=geheim",
        "url: https://me:geheim@example.com/x",
        "password: ${PASSWORD:-geheim}",
        "password: |\n  geheim\n  geheim",
        "password: >-\n\n  geheim\n   geheim",
        "? password\n: geheim",
        "a: [{token: geheim}, 1]",
        "password: !!str geheim",
        "password: &anchor geheim\nb: *anchor",
        "x: &x {one: geheim}\nsecrets: *x",
        "a: &a [*a, {password: geheim}]",
        "pem: |\n  -----BEGIN RSA PRIVATE KEY-----\n  geheim\n  -----END RSA PRIVATE KEY-----",
        "# -----BEGIN PRIVATE KEY-----\n# geheim\n# -----END PRIVATE KEY-----\nx: 1",
        "# password: geheim",
        "x: 1 # token = 'geheim'",
        "#   - secret: geheim and more",
        *(
            f"{name}: geheim"
            for key in ("accountKey", "account_key", "ACCOUNT_KEY", "account-key", "sshKeys", "basic_auth", "pat", "pw")
            for name in (key, f"# {key}", f'#"{key}"')
        ),
        "# see https://me:geheim@example.com",
        "password: geheimnis\nnote: it is geheimnis",
        "password: geheimnis # once geheimnis",
    ],
)
def test_secrets(line):
    for text in (f"{line}\nafter: 1\n", f"{line}\n".replace("\n", "\r\n")):
        shown = diff(text, text + "new: 1\n")
        assert "+new: 1" in shown
        assert "geheim" not in shown
        assert "*" in shown
        assert "geheim" not in diff("x: 1\n", text)
        assert "geheim" not in diff(text, "x: 1\n")


@pytest.mark.parametrize(
    "line",
    [
        "password: ${POSTGRES_PASSWORD}",
        "password: '${A}${B}'",
        "password: {$env: NAME}",
        "password:\n  $file: some/file",
        "connection: ':memory:'",
        "connection: ./db.sqlite",
        "token: true",
        "# password: ${PASSWORD}",
        "host: example.com",
        "key_id: 17",
        "monkey: 17",
        "path: /srv",
        "author: me",
        "# path: /srv, by an author: me",
        "# accountKey: ${ACCOUNT_KEY}",
    ],
)
def test_what_is_no_secret(line):
    text = f"{line}\n"
    assert all(f" {part}" in diff(text, text + "new: 1\n") for part in line.split("\n"))


def test_a_password_that_is_the_users_name():
    shown = diff("user: postgres\npassword: postgres\nimage: postgres\n", "user: postgres\n")
    assert "-password: ********\n-image: postgres\n" in shown


def test_line_ends():
    assert diff("a: 1\r\n", "a: 2") == (
        "--- app-config.yaml\n+++ app-config.yaml\n@@ -1 +1 @@\n-a: 1\n+a: 2\n\\ No newline at end of file\n"
    )


def test_lines_keep_their_number():
    text = "a: 1\npassword: |\n  one\n\n  two\nb: 1\nc: 1\nd: 1\ne: 1\n"
    assert "@@ -6,4 +6,4 @@" in diff(text, text.replace("e: 1", "e: 2"))


def test_a_byte_order_mark_and_astral_characters():
    shown = masked_diff("\ufeffa: 😀\npassword: geheim\n".encode(), "a: 😀\npassword: neu\n".encode(), "x")
    assert "geheim" not in shown
    assert "neu" not in shown
    assert " a: 😀\n" in shown


def test_an_empty_file():
    assert diff("", "a: 1\n").endswith("+a: 1\n")


@pytest.mark.parametrize(
    "line",
    [
        "password: new # geheim",
        "password: # geheim",
        "password: ${PW} # geheim",
        "password: ${PW}  # was: geheim until May",
        "password: 'new'\t# geheim",
        'password: "new"\n    # geheim',
        "password:\n    # geheim\n    ${PW}",
        "password:\n    # one\n\n    # geheim",
        "password: | # geheim\n    new",
        "password: {$env: PW} # geheim",
        "password:\n    $env: PW # geheim",
        "password: !!str # geheim\n    new",
        "apiKeys: # geheim\n    - a",
        "apiKeys:\n    - a # geheim",
        "apiKeys:\n    - # geheim\n      a",
        "credentials:\n    user: me # geheim",
        "credentials: {user: me, token: x} # geheim",
        "password: *a # geheim",
        "password: null # geheim",
        "clientSecret: ~ #geheim",
    ],
)
def test_a_comment_behind_a_secret_or_in_its_place(line):
    before = f"x: &a y # kept\nb:\n  {line}\n  z: 1 # kept, too\n"
    after = before.replace("z: 1", "z: 2")
    told = diff(before, after)
    assert "geheim" not in told
    assert "********" in told
    assert told.count("kept, too") == 2


@pytest.mark.parametrize("after", ["connection: ':memory:' # was geheim", "connection: # was geheim\n  host: db"])
def test_a_comment_behind_a_connection_string(after):
    shown = diff("connection: postgres://me:geheim@db/x # was geheim\n", f"{after}\n")
    assert "geheim" not in shown
    assert "# ********" in shown


def test_a_comment_below_that_is_about_something_else():
    told = diff("password: new\n# the next one\nz: 1 # kept\n", "password: new\n# the next one\nz: 2 # kept\n")
    assert " # the next one\n" in told
