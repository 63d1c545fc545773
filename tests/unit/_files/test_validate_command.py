# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import validate_command


def test_without_a_command_there_is_no_check():
    assert validate_command.check(None, "/f", lambda command: 1) is None


def test_the_command_gets_the_path_of_the_new_content():
    seen = []
    check = validate_command.check("sh -c 'cat %s' %s", "/f", lambda command: seen.append(command) or 0)
    check("/new file")
    assert seen == [["sh", "-c", "cat /new file", "/new file"]]


@pytest.mark.parametrize("command", ["true", "sh -c 'a %s", ""])
def test_commands_that_are_none(command):
    if not command:
        assert validate_command.check(command, "/f", lambda command: 0) is None
        return
    with pytest.raises(CollectionError, match=r"^validate: "):
        validate_command.check(command, "/f", lambda command: 0)


def test_failures_name_the_file_and_quote_nothing():
    def missing(command):
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(CollectionError, match=r"^/f: the validate command cannot run: .*No such file"):
        validate_command.check("x %s", "/f", missing)("/new")
    with pytest.raises(CollectionError, match=r"^/f: the validate command exited with 3 on the new content") as caught:
        validate_command.check("x %s", "/f", lambda command: 3)("/new")
    assert "/new" not in str(caught.value)
