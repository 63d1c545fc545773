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
    "a blank line with a tab below a key without a value": "a:\n\t\nb: 1\n",
    "the same behind an anchor, further in": "a:\n  b: &x # c\n \t \n  c: *x\n",
    "the same below a deeper comment": "a:\n  # c\n\t\nb: 1\n",
    "a comment behind a tab below a literal": "a: |\n  x\n\t# c\nb: 1\n",
    "a comment behind blanks and a tab below a folded scalar": "a: >\n  x\n \t# c\n",
    "a tab in the last line, below a key without a value": "a:\n  b:\n \t",
    "a tab in the last line, below a dash": "-\n\t",
    "a comment glued to its sign before a string on a line of its own": "a:\n#q\n  b\nc: 1\n",
    "a comment below a blank line before such a string": "a:\n  b:\n\n# q\n    c\n  d: 1\n",
    "the same behind an anchor": "a: &x # c\n#q\n  b\nc: 1\n",
    "the same before an empty block scalar": "a:\n#q\n  |\nb: 1\n",
    "a comment below the last entry in braces": "a: {\n  x: 1\n#q\n  }\n",
    "the same below an entry in brackets, behind another comment": "a: [\n  x: [y] # c\n# q\n  ]\n",
    "a tag with an exclamation mark inside": "a: !b:!c d\n",
    "a tag with brackets inside": "a: !b[c] d\n",
    "a byte order mark and an indented list": "\ufeff - a\n",
    "a byte order mark and a list": "\ufeff- a: 1\n  b: 2\n",
    "a comment in a literal below a blank line that is deeper": "a:\n  b: |\n    \n   # c\n",
}
READ = {
    "a blank line with a tab": "a:\n  b: 1\n\t\nc: 2\n",
    "a blank line with blanks and tabs": "a:\n  b: 1\n  \t \nc: 2\n",
    "a comment behind a tab": "a:\n  b: 1\n\t# c\nc: 2\n",
    "a second blank line with a tab below a key without a value": "a: 1\nb:\n\n\t\nc: 1\n",
    "a blank line with a tab below a mapping whose last key has no value": "a:\n  b:\n\t\nc: 1\n",
    "a blank line with a tab deeper than the key above": "a: 1\nb:\n  \t\nc: 1\n",
    "a blank line with a tab below a comment at its key's column": "a: 1\nb:\n# c\n\t\nc: 1\n",
    "a blank line with a tab below a dash": "a:\n-\n\t\n- x\n",
    "a comment behind a tab, below a key without a value": "a: 1\nb:\n\t# c\nc: 1\n",
    "a literal that begins with a tab": "a: |\n  \tx\n  y\nb: 1\n",
    "a tab behind a dash": "a:\n  -\tx\n  -\t'y'\n",
    "a tab behind a dash, before a list in brackets": "a:\n  -\t[x]\n",
    "a tab behind a colon": "a:\t1\n",
    "a tab and a value below its key": "a:\n \tx\n",
    "tabs in brackets": "a: [x,\n \ty\n \t]\n",
    "the last bracket at its key's column": "a:\n  b: [\n    x\n  ]\n",
    "a tab and a dash in a literal": "a: |\n  -\tx\n\nb: 1\n",
    "a comment before a string on a line of its own": "a:\n# q\n  b\nc: 1\n",
    "a comment glued to its sign before the last string": "a:\n#q\n  b\n",
    "the same, before a string that a comment follows": "a:\n#q\n  b\n#c: 1\nd: 1\n",
    "the same, before a mapping": "a:\n#q\n  b: 1\nc: 1\n",
    "the same, deeper than the key": "a:\n #q\n  b\nc: 1\n",
    "the same, before a literal": "a:\n#q\n  |\n  b\nc: 1\n",
    "a comment below a blank line in braces": "a: {\n  x: 1\n\n#q\n  }\n",
    "a comment in braces below a comma": "a: {\n  x: 1,\n#q\n  }\n",
    "a comment below an empty literal": "a:\n  b: |\n    \n  # c\n",
    "a quoted string, one deeper": 'a:\n  b: "one\n   two"\n',
    "a hash in a word": "a: x#c\nb: 'y #c'\n",
}
READ_WITHOUT_BREAK = {
    "a tab in the last line, deeper than the key above": "a:\n \t",
    "a tab in the last line, below a value": "a: 1\n\t",
}
# What PyYAML cannot read, or reads otherwise, and Backstage can: its own reader is asked where it is on the host.
READ_BY_NODE = {
    "a comment glued to its sign before an item on a line of its own": "a:\n-\n#q\n  b\n- c\n",
    "a block scalar of blanks": "a: |1\n  \nb: 1\n",
    "a byte order mark inside": "a:\n\ufeff  b: 1\n",
    "a key without a name": "a: 1\n: 2\n",
    "a key that is a list": "? [a, b]\n: 1\n",
    "a question mark in brackets": "a: [?b]\n",
    "a colon before a comma": "a: [b:, c]\n",
}
