# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed, in few lines for the end of a run: where only that is kept, nobody sees what pytest printed before."""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree

LONGEST = 600
MOST = 25
# pytest's own lines, as molecule's log has them: each a string in a list, of JSON or YAML.
_OF_PYTEST = re.compile(r"""^\s*(?:- )?["']?((?:FAILED|ERROR) \S+::.*|E  .*?)["']?,?$""", re.M)
_OF_ANSIBLE = re.compile(r"^(?:fatal: |\[ERROR\]: ).*$", re.M)


def of_log(text: str) -> list[str]:
    """The lines of a molecule log that say what failed: pytest's, or Ansible's where no test ran."""
    found = [match.group(1) for match in _OF_PYTEST.finditer(text)] or _OF_ANSIBLE.findall(text)
    return [line[:LONGEST] for line in found[-MOST:]]


def of_junit(path: pathlib.Path) -> list[str]:
    """The failed tests of a report that pytest wrote as JUnit XML, each with its message; none without the file."""
    if not path.exists():
        return []
    found = []
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        for child in case:
            if child.tag in ("failure", "error"):
                message = " ".join(child.get("message", "").split())
                found.append(f"{case.get('classname')}::{case.get('name')}: {message}"[:LONGEST])
    return found[:MOST]
