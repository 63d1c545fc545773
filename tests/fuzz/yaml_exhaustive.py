# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text of a few lines, or of a few characters: what is read here is what npm yaml reads.

    python -m ansible_collections.devportal.backstage.tests.fuzz.yaml_exhaustive --lines 4 --characters 6

compares some million texts, with libyaml and without, and ends with 1 where npm yaml refuses or reads otherwise what is
read here. What is refused here and read there is counted only: Backstage's own reader is asked about it then.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import sys
from collections.abc import Iterator

import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError
from ansible_collections.devportal.backstage.tests.fuzz import judges

LINES = {
    "tabs": (
        "a:", "b: 1", "  c: 2", "\t", "  \t", "\t# c", "  # c", "  - x", "- y", "  d:", "", "\tx", "  \tx: 1", " \tx",
        "-", "  -\t", "e: |", "    z", "f: >", "g: [", "  ]", "h: '", "  i'", "-\tj", "k:\t", "l: &x", "m: !t\t", "#q",
    ),
    "comments": (
        "a:", "b: 1", "  c:", "#q", "# q", "  #q", "", "    d", "- e", "-", "  |", "&x", "  - f", "\t#q", "  g: 1",
        "  &y h", "---",
    ),
    "flow collections": (
        "a: [", "a: {", "  b: 1", "  c", "]", "  ]", "}", "  },", "#q", "# q", " #q", ",", "", "  d: [e],",
        "  'f': \"g\"", "  h: {i: 1} # j", "  k,", "b: 2", "  [l: 1",
    ),
    "quotes": (
        "a: 'b", "  c: \"d", "e'", "  f\"", "", "\t", "  g\\", "#q", "h: 1", "  - 'i", "   j' # k", " l\" #m", "- n",
    ),
}  # fmt: skip
CHARACTERS = (
    ("", "a: \n-#"),
    ("", "a:[], \n"),
    ("", "{}a:, \n"),
    ("", 'a:" \n#'),
    ("", "a:' \n#,"),
    ("a:", "a|> \n-1"),
    ("", "a:|\t\n +"),
    ("", "&*a: \n["),
    ("", "!a: \n[<"),
    ("", "?a: \n-,"),
    ("", "-.\n a:"),
    ("", "%a \n-#"),
    ("", "\r\na: -"),
    ("", "\t\n a:-"),
    ("", "\t\n a:[,"),
    ("a: ", '\t\n "a#'),
    ("a:\n  b: '", "\t\n 'a:"),
    ("a: ", "\t\n |a#"),
    ("a: |\n  b\n", "\t\n a#"),
    ("a: >\n", "\t\n a#"),
    ("", "\ufeffa:\n -"),
    ('a: "', '\n"\\a '),
    ("a: ", "0123.:e-"),
    ("a: ", "xob0aA_+"),
    ("a: ", "~nulNU."),
    ("", "\x85a: \n\u2028"),
    ("a: ", "=<>@`%,a"),
)
_CHUNK = 20_000


def of_lines(count: int) -> Iterator[tuple[str, Iterator[str]]]:
    """All texts of so many lines, by kinds."""
    for name, lines in LINES.items():
        yield name, ("\n".join(some) + "\n" for some in itertools.product(lines, repeat=count))


def of_characters(count: int) -> Iterator[tuple[str, Iterator[str]]]:
    """All texts of so many characters behind a beginning."""
    for begin, alphabet in CHARACTERS:
        yield repr((begin, alphabet)), (begin + "".join(some) for some in itertools.product(alphabet, repeat=count))


def opposite(texts: list[str], counts: collections.Counter[str]) -> Iterator[str]:
    """What is read here, and refused or read otherwise by npm yaml."""
    for text, answer in zip(texts, judges.npm_yaml(texts)):
        try:
            trees = Document(text, events.Rules(several=True)).trees
        except YamlPatchError:
            counts["refused by both" if isinstance(answer, judges.Refused) else "refused here"] += 1
            continue
        if isinstance(answer, judges.Refused) or not judges.same(trees or [None], answer or [None]):
            yield f"{text!r}: read as {trees}; npm yaml: {answer}"
        else:
            counts["read by both"] += 1


def compare(name: str, texts: Iterator[str]) -> bool:
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    while chunk := list(itertools.islice(texts, _CHUNK)):
        wrong += opposite(chunk, counts)
    print(
        f"{name}, {events.Parser.__name__}: {dict(counts)}, {len(wrong)} opposite", *wrong[:10], sep="\n  ", flush=True
    )
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=3)
    parser.add_argument("--characters", type=int, default=5)
    arguments = parser.parse_args()
    if not judges.backend():
        print("DEVPORTAL_BACKEND names no folder with node_modules/yaml, or there is no node", file=sys.stderr)
        return 2
    good = True
    for reader in (yaml.CLoader, yaml.SafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,):
        events.Parser = reader
        for name, texts in (*of_lines(arguments.lines), *of_characters(arguments.characters)):
            good &= compare(name, texts)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
