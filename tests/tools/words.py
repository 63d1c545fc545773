# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what people read to the words of the field; CONTRIBUTING.md has the reasons.

It reads the names and messages of plays and tasks, argument_specs, Markdown and reStructuredText pages, and the string
literals of the plugins (their documentation and their messages); no code, no docstrings, no comments.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A pattern of words, and what the field writes in their place.
WORDS = {
    r"ma(?:ke|kes|de|king)(?! sure)": "create, set, build",
    r"(?:tell|tells|told|telling)": "report, show",
    r"(?:say|says|said|saying)": "report, state; of a file: contain",
    r"(?:ask|asks|asked|asking)(?! for)": "check, query",
    r"refus(?:e|es|ed|al|als)": "reject",
    r"(?:let|lets|letting) (?:\w+ )?in(?!to)": "allow",
    r"(?:take|takes|took|taken) (?:\w+ )?away": "remove",
    r"(?:put|puts) (?:\w+ )?back": "roll back, restore",
    r"as wanted": "up to date",
    r"(?:is|are) no (?!longer|more|such|password|default|need)\w+": "is not a ..., invalid",
    r"(?:win|wins|won)": "take precedence, override",
    r"(?:hides|hid|hidden by)": "override",
    r"(?:learn|learns|forget|forgets|remember|remembers)": "detect, delete, cache",
    r"will do": "is enough, is supported",
    r"in the way": "block",
    r"where (?:that|it) (?:can|could)(?:not)?": "one condition a sentence",
    r"(?<!ing )(?<!ere )(?<!ody )else": "otherwise, as a sentence of its own",
}
_PATTERN = re.compile(r"\b(?:" + "|".join(f"(?P<w{n}>{word})" for n, word in enumerate(WORDS)) + r")\b", re.I)
_FIELDS = ("name", "description", "short_description", "fail_msg", "success_msg", "msg")
# What is code in a text: Markdown and reStructuredText literals, Ansible's markup, quoted words, templates.
_CODE = re.compile(
    r"```.*?```|``[^`]*``|`[^`]*`|\b[A-Z]+\([^)]*\)|\{\{.*?\}\}|\"[^\"\n]*\"|^\s*\$ .*$"
    r"|<!-- (\w+).*?<!-- end of \1 -->",
    re.S | re.M,
)
_RST_BLOCK = re.compile(r"^( *)\.\. code-block::.*?\n(?:\n|\1 +.*\n)+|::\n\n(?:(?: +.*)?\n)+", re.M)


def _yaml_texts(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Names and messages, by line; a folded value's further lines too."""
    inside = -1
    # A template may have several lines; they stay, blank, so that the numbers are right.
    text = re.sub(
        r"\{\{.*?\}\}", lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"), flags=re.S
    )
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"( *(?:- )?)(\w+): ?(.*)", line)
        indent = len(line) - len(line.lstrip())
        if found and found[2] in _FIELDS:
            inside = len(found[1])
            yield number, found[3]
        elif inside >= 0 and line.strip() and indent <= inside and not line.lstrip().startswith("- "):
            inside = -1
        elif inside >= 0:
            yield number, line


def _python_texts(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """String literals of more than one word, docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        # A shell script has words of its own.
        if re.search(r"[a-z] [a-z]", node.value) and not re.search(r"^\s*(?:fi|done)$", node.value, re.M):
            text = re.sub(r"^EXAMPLES.*", "", node.value)
            for offset, line in enumerate(text.splitlines()):
                yield node.lineno + offset, line


def _page_texts(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The lines of a page, its code blocks blanked."""

    def blank(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    text = path.read_text(encoding="utf-8")
    text = _RST_BLOCK.sub(blank, text) if path.suffix == ".rst" else text
    yield from enumerate(_CODE.sub(blank, text).splitlines(), 1)


def _texts() -> Iterator[tuple[pathlib.Path, int, str]]:
    readers = (
        (_yaml_texts, ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "roles/*/meta/*.yml", "playbooks/*.yml")),
        (_yaml_texts, ("molecule/**/*.yml",)),
        (_python_texts, ("plugins/**/*.py",)),
        (_page_texts, ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "docs/**/*.rst")),
        (_page_texts, ("roles/*/README.md",)),
    )
    for reader, patterns in readers:
        for pattern in patterns:
            for path in sorted(ROOT.glob(pattern)):
                for number, line in reader(path):
                    yield path, number, line


def main() -> int:
    """Print each word that is not the field's, with its place; 1 when there is one."""
    count = found = 0
    replacements = list(WORDS.values())
    for path, number, line in _texts():
        count += 1
        for match in _PATTERN.finditer(_CODE.sub("", line)):
            found += 1
            index = int(str(match.lastgroup)[1:])
            print(f'{path.relative_to(ROOT)}:{number}: "{match[0]}": write {replacements[index]}')
    print(f"{count} texts, {found} words that are not the field's")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
