# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that PyYAML and the npm package yaml 2.9 disagree about, by kinds."""

from __future__ import annotations

# What one of the two readers took, and the other one did not; each is one example of a kind.
REFUSED = {
    "a quoted string that is not deeper than its key": 'a:\n  b: "one\ntwo"\n',
    "the same in single quotes, as deep as the key": "a:\n  b: 'one\n  two'\n",
    "a blank line with a tab inside of quotes": 'a:\n  b: "one\n\t\n    two"\n',
    "a quoted string of a list": 'a:\n- "one\ntwo"\n',
    "a flow list at its parent's column": "a:\n  b: [x,\n  y\n  ]\n",
    "a flow mapping left of its key": "a:\n  b: {x: 1,\n y: 2}\n",
    "a bracket left of its key": "a:\n    b: [\n      x\n  ]\n",
    "a comment behind a quote": 'a: "x"#c\n',
    "a comment behind a bracket": "a: [x]#c\n",
    "a comment behind a comma": "a: [x,#c\n  y]\n",
    "a comment behind a brace": "a: {#c\n  y: 1}\n",
    "a comment behind a block scalar's sign": "a: >#c\n  x\n",
    "a comment behind a block scalar's chomping": "a: |-#c\n  x\n",
    "a tab for indentation": "a:\n\tb: 1\n",
    "a tab behind a dash, before a key": "a:\n  -\tb: 1\n    c: 1\n",
    "a tab between two keys": "a:\n  b: 1\n \t c: 1\n",
    "a block scalar at its key's column": "a:\n|2\n  x\n",
}
READ = {
    "a blank line with a tab": "a:\n  b: 1\n\t\nc: 2\n",
    "a blank line with blanks and tabs": "a:\n  b: 1\n  \t \nc: 2\n",
    "a comment behind a tab": "a:\n  b: 1\n\t# c\nc: 2\n",
    "a literal that begins with a tab": "a: |\n  \tx\n  y\nb: 1\n",
    "a tab behind a dash": "a:\n  -\tx\n  -\t'y'\n",
    "a tab behind a dash, before a list in brackets": "a:\n  -\t[x]\n",
    "a tab behind a colon": "a:\t1\n",
    "a tab and a value below its key": "a:\n \tx\n",
    "tabs in brackets": "a: [x,\n \ty\n \t]\n",
    "the last bracket at its key's column": "a:\n  b: [\n    x\n  ]\n",
    "a tab and a dash in a literal": "a: |\n  -\tx\n\nb: 1\n",
    "a quoted string, one deeper": 'a:\n  b: "one\n   two"\n',
    "a hash in a word": "a: x#c\nb: 'y #c'\n",
}
# What PyYAML cannot read, and Backstage can: its own reader is asked where it is on the host.
READ_BY_NODE = {
    "a byte order mark inside": "a:\n\ufeff  b: 1\n",
    "a key without a name": "a: 1\n: 2\n",
    "a key that is a list": "? [a, b]\n: 1\n",
    "a question mark in brackets": "a: [?b]\n",
    "a colon before a comma": "a: [b:, c]\n",
}
