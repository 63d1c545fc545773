# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a reader of env files can get wrong, for the tests that ask such readers."""

from __future__ import annotations

import random

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file

SECRETS = [
    "p@ss:w/ord#1%?&",
    'it\'s "q"',
    "a${HOME}b",
    "dollar$1$$x",
    "back\\slash",
    "ends\\",
    "ünïcödé",
    "12345",
    "true",
    " lead and trail ",
    "'",
    '"',
    "`a`",
    "#",
    "a # b",
    "a;b&c|d",
    "=",
    "!history",
    "\\n",
    "\\'",
    '\\"',
    "a'b\\n",
    "one\ntwo",
    "it's\ntwo",
    "$(id)",
    "~",
    "*",
    "%h%%",
    "\ttab",
    "export A=b",
    "",
]


def spread(form):
    """Named values that the format takes: the list above and 600 random ones from the characters that matter."""
    dice = random.Random(7)
    values = SECRETS + [
        "".join(dice.choice("ab '\"`\\$#={}();%&~ß\n") for _unused in range(dice.randrange(1, 9)))
        for _unused in range(600)
    ]
    taken = {}
    for number, value in enumerate(values):
        try:
            env_file.check("A", value, form)
        except CollectionError:
            continue
        taken[f"V{number}"] = value
    assert len(taken) > 200
    return taken


def written(path, form, start=b"# first\nLATER=1\n"):
    """A file with many values, each written over a first one, so that changes in place are read back too."""
    values = spread(form)
    data = env_file.set_variables(start, dict.fromkeys(values, "old"), form)
    path.write_bytes(env_file.set_variables(data, values, form))
    return {**values, "LATER": "1"}
