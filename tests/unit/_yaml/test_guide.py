# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the guide do what the guide shows."""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import operations

GUIDE = pathlib.Path(__file__).parents[3] / "docs" / "docsite" / "rst" / "guide_yaml_patch.rst"
_SECTION = re.compile(r"^(\S[^\n]*)\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^\.\. code-block:: (?:yaml\S*|text)\n\n((?:    [^\n]*\n|\n)+)", re.MULTILINE)


def examples():
    for title, body in _SECTION.findall(GUIDE.read_text(encoding="utf-8")):
        blocks = [textwrap.dedent(block).strip("\n") + "\n" for block in _BLOCK.findall(body)]
        if blocks:
            yield title, blocks


EXAMPLES = dict(examples())


def test_there_are_ten():
    assert len(EXAMPLES) >= 10
    assert {len(blocks) for blocks in EXAMPLES.values()} == {3}


@pytest.mark.parametrize("title", EXAMPLES)
def test_example(title):
    before, task, after = EXAMPLES[title]
    arguments = yaml.safe_load(task)[0]["devportal.backstage.yaml_patch"]
    options = operations.Options(
        arguments.get("version", "1.2"),
        operations.parsed_document(arguments.get("document")),
        arguments.get("anchors") == "edit",
    )
    patches = operations.parsed([{"op": "set", **patch} for patch in arguments["patches"]])
    assert operations.patched(before.encode(), patches, options).data.decode() == after
    second = operations.patched(after.encode(), patches, options)
    assert (second.data.decode(), second.applied) == (after, [])
