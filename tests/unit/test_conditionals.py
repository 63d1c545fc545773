# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions of all tasks are what every supported ansible-core can read."""

from __future__ import annotations

import pathlib

import jinja2
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")])
KEYWORDS = ("when", "changed_when", "failed_when", "until", "that")


def conditions(node):
    """Every condition below a node of a playbook."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in KEYWORDS:
                yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))
            else:
                yield from conditions(value)
    elif isinstance(node, list):
        for item in node:
            yield from conditions(item)


def problem(condition):
    """Before 2.19, ansible-core puts a condition into `{% if %}`, which has no place for another `if`."""
    try:
        jinja2.Environment().parse(f"{{% if {condition} %}}True{{% endif %}}")
    except jinja2.TemplateSyntaxError as error:
        return f"{condition}: {error}"
    return ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_core_reads_the_conditions(path):
    found = [problem(condition) for condition in conditions(yaml.safe_load(path.read_text(encoding="utf-8")))]
    assert not list(filter(None, found))


def test_what_2_17_cannot_read():
    assert problem("a if b is defined else c | length > 0")
    assert not problem("(a if b is defined else c) | length > 0")
