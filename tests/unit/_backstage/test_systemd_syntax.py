# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import systemd_syntax as syntax
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

# What a unit file, a path or a command line must not carry: line ends, other controls, reordered or broken text.
UNPRINTABLE = ["a\nUser=root", "a\rb", "a\0b", "a\x1b[31mb", "a\u202eb", "a\ud800b", "a\u2028b", "a\x85b"]


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("packages/backend", "packages/backend"),
        ("", '""'),
        ("two words", '"two words"'),
        (";", '";"'),
        ("50%", '"50%%"'),
        ("$HOME", '"$$HOME"'),
        ("${HOME}", '"$${HOME}"'),
        ('say "x"', '"say \\"x\\""'),
        ("it's", '"it\'s"'),
        ("trailing\\", '"trailing\\\\"'),
        ("ünï", '"ünï"'),
    ],
)
def test_a_word_of_a_command_line(word, written):
    assert syntax.command_line([word], "command") == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("production", "A=production"),
        ("", "A="),
        ("two words", '"A=two words"'),
        ("50%", '"A=50%%"'),
        ("$HOME", '"A=$HOME"'),  # only a command line expands it
        ('q"\\', '"A=q\\"\\\\"'),
        ("a\nb\tc", '"A=a\\nb\\tc"'),
    ],
)
def test_a_variable(value, written):
    assert syntax.environment({"A": value}, "environment") == [written]


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A-B", "Ä", "A\n"])
def test_the_name_of_a_variable(name):
    with pytest.raises(CollectionError, match=r"environment: .* is not a valid name"):
        syntax.environment({name: "x"}, "environment")


@pytest.mark.parametrize("value", UNPRINTABLE)
def test_nothing_unprintable_passes(value):
    for call in (
        lambda: syntax.path("/" + value, "option"),
        lambda: syntax.words("/bin/" + value, "option"),
        lambda: syntax.command_line([value], "option"),
        lambda: syntax.user_name(value, "option"),
        lambda: syntax.unit_name(value, "option"),
    ):
        with pytest.raises(CollectionError, match=r"^option: "):
            call()
    if "\n" not in value:
        with pytest.raises(CollectionError, match=r"^option.A: the character U\+"):
            syntax.environment({"A": value}, "option")


@pytest.mark.parametrize(
    "value", ["", "relative", "~/app", "-/opt/x", "+/opt/x", "/opt/x ", "/opt/x\\", "/opt/../etc", "!/opt"]
)
def test_a_path_that_systemd_would_read_otherwise(value):
    with pytest.raises(CollectionError, match=r"^directory: "):
        syntax.path(value, "directory")


@pytest.mark.parametrize(
    ("value", "written"),
    [("/opt/x", "/opt/x"), ("/opt/a b", "/opt/a b"), ("/opt/50%h", "/opt/50%%h"), ("/opt/a\\b", "/opt/a\\b")],
)
def test_a_path(value, written):
    assert syntax.path(value, "directory") == written


def test_a_pattern_is_no_path():
    with pytest.raises(CollectionError, match="without"):
        syntax.path("/etc/*.env", "env_file", "*?[\\")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/usr/bin/node packages/backend", ["/usr/bin/node", "packages/backend"]),
        ("/usr/bin/node  --title 'my portal' \"$X\"", ["/usr/bin/node", "--title", "my portal", "$X"]),
    ],
)
def test_a_command(command, words):
    assert syntax.words(command, "command") == words


@pytest.mark.parametrize(
    "command",
    [
        "",
        " ",
        "node packages/backend",
        "+/bin/touch /tmp/x",
        "-/bin/x",
        "@/bin/x y",
        "/bin/x 'open",
        "/bin/x \\",
        "/$X",
    ],
)
def test_a_command_that_cannot_be_started(command):
    with pytest.raises(CollectionError, match=r"^command: "):
        syntax.words(command, "command")


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "-x", ".x", "backstage.service", "x@", "a/b", "a%b", "ü", "a" * 201]
)
def test_the_name_of_a_unit(name):
    with pytest.raises(CollectionError, match=r"^name: "):
        syntax.unit_name(name, "name")
    assert syntax.unit_name("backstage-2@eu", "name") == "backstage-2@eu"


@pytest.mark.parametrize("name", ["", "a b", "-x", "1000", "root\n", "a:b", "ü", "a" * 33, "x%u"])
def test_the_name_of_a_user(name):
    with pytest.raises(CollectionError, match=r"^user: "):
        syntax.user_name(name, "user")
    assert syntax.user_name("svc_backstage-1", "user") == "svc_backstage-1"
