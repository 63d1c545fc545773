# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file, env_readers

OLD, NEW, ALL = "Node 20", "Node 22 and later", "Node 20 and later"


def warnings(text, **variables):
    """The warnings after these variables were set in a file."""
    data = env_file.set_variables(text.encode(), variables, "dotenv")
    return env_file.warnings(data, variables, "dotenv")


@pytest.mark.parametrize(
    ("text", "releases", "cause"),
    [
        ("A=1\n   \n", OLD, "line 2 (white space only)"),
        ("A=1\n\t\n", OLD, "line 2 (white space only)"),
        ("A=1\n\nB=2\n \n", OLD, "line 4 (white space only)"),
        ("some note\n", OLD, "line 1 (neither an assignment nor a comment that begins with #)"),
        ("set -a\n", OLD, "line 1 (neither"),
        ("; comment\n", OLD, "line 1 (neither"),
        ("A=1\nuse flake\n", OLD, "line 2 (neither"),
        ("B: 2\n", OLD, "line 1 (neither"),
        ("A=1\n  # indented\n", OLD, "line 2 (neither"),
        ("HOST\t=\told\n", OLD, "line 1 (white space or other"),
        ("\tHOST=old\n", OLD, "line 1 (white space or other"),
        ("export  HOST=old\n", OLD, "line 1 (white space or other"),
        ("A= \n", NEW, "line 1 (white space or other"),
        ("A=\t\n", NEW, "line 1 (white space or other"),
        ("\ufeffHOST=old\n", ALL, "line 1 (white space or other"),
        ("A=1\n\xa0HOST=old\n", ALL, "line 2 (white space or other"),
        ("A='1\n2'\n  \n", OLD, "line 3 (white space only)"),
    ],
)
def test_files_that_node_reads_differently(text, releases, cause):
    [warning] = [text for text in warnings(text, HOST="new") if "Node" in text]
    assert warning.startswith(
        f"HOST: `node --env-file` of {releases} does not read this variable correctly, because of "
    )
    assert cause in warning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# comment\n\nA=1\n",
        "A=1 # why\n\n\nHOST=old\n",
        "HOST = old\n",
        "  HOST=old\n",
        "export HOST='old'\nA=\n",
        "A='1\n2'\nHOST=old\n  \nstray\n",  # what comes later harms nobody
        "HOST=old\r\nA=1\r\n",
    ],
)
def test_files_that_node_reads_alike(text):
    assert [text for text in warnings(text, HOST="new") if "Node" in text] == []


@pytest.mark.parametrize("value", ["p$w$HOME", "a$", "$1", "${X}", "x$$y"])
def test_a_dollar_that_dotenv_cli_expands(value):
    [warning] = warnings("", HOST="h", PASSWORD=value)
    assert warning.startswith("PASSWORD: dotenv-cli (`dotenv -- yarn start`) and dotenv-expand expand the $")
    assert value not in warning
    assert env_file.warnings(env_file.set_variables(b"", {"PASSWORD": value}, "systemd"), ["PASSWORD"], "systemd") == []


@pytest.mark.parametrize(("text", "value"), [("", "one\ntwo"), ("export PASSWORD=old\n", "new"), ("", "a\\nb")])
def test_what_env_cmd_reads_differently(text, value):
    [warning] = warnings(text, PASSWORD=value)
    assert warning.startswith("PASSWORD: env-cmd does not read this variable correctly")
    assert warnings("", PASSWORD="it's") == []


def test_only_the_variables_that_were_asked_for_are_looked_at():
    assert env_file.warnings(b"A='a$b'\n \nB=1\nC=1\n", [], "dotenv") == []
    assert len(env_file.warnings(b"A='a$b'\n \nB=1\nC=1\n", ["A"], "dotenv")) == 1
    assert env_file.warnings(b"A=1\n", ["GONE"], "dotenv") == []


def test_readers():
    text = 'export A=1 # c\nB="x\\ny" z\n'
    assert env_readers.node_20(text) == {"A": "1", "B": "x\ny"}
    assert env_readers.node_22(text) == {"A": "1", "B": "x\ny"}
    assert env_readers.env_cmd(text) == {"export A": "1", "B": "x\ny"}
