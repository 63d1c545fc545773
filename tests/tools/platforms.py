# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a role's table of platforms with the collection's own: python platforms.py [--write]

The table stands in the README of role backstage_postgresql, between the lines <!-- platforms --> and
<!-- end of platforms -->.
"""

from __future__ import annotations

import importlib
import re
import sys

import common

_MODULE = "ansible_collections.devportal.backstage.plugins.module_utils._backstage.platforms"
_PLACE = re.compile(r"(<!-- platforms -->\n)(.*?)(<!-- end of platforms -->)", re.DOTALL)
_NOTE = """
On a stand-in: Debian with the names, the package manager, the units, the scripts and the module streams of that
distribution, and other builds of PostgreSQL. It cannot show SELinux, the distribution's own programs, its Python and
its locales.
"""
_STATUS = {"tested": "tested", "stand-in": "tested on a stand-in", "untested": "untested"}


def table() -> str:
    """The table in Markdown."""
    # The gate runs in the tree itself, which has no tree below.
    sys.path.insert(0, str(common.TREES if common.TREES.exists() else common.ROOT.parents[2]))
    rows = [
        (
            entry.name,
            ", ".join(map(str, entry.versions)) or "the release's own",
            "yes" if entry.pgdg else "no",
            _STATUS[entry.status],
        )
        for entry in importlib.import_module(_MODULE).PLATFORMS
    ]
    head = ("Distribution", "PostgreSQL of its own", "`backstage_postgresql_repository: pgdg`", "Status")
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


def main() -> int:
    """Say, or with --write mend, where the table is stale."""
    path = common.ROOT / "roles" / "backstage_postgresql" / "README.md"
    name = path.relative_to(common.ROOT)
    text = path.read_text(encoding="utf-8")
    wanted, count = _PLACE.subn(lambda found: found[1] + "\n" + table() + _NOTE + "\n" + found[3], text)
    if count != 1:
        raise common.Problem(f"{name}: the lines around the table of platforms are missing.")
    if wanted != text and "--write" not in sys.argv[1:]:
        print(f"{name}: the table of platforms is stale; run python tests/tools/platforms.py --write")
        return 1
    path.write_text(wanted, encoding="utf-8")
    print("The table of platforms is that of _backstage/platforms.py.")
    return 0


if __name__ == "__main__":
    common.main(main)
