# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any YAML text, any path and any value. `check` takes the bytes that all three are made of.

    python -m ansible_collections.devportal.backstage.tests.fuzz.yaml_properties --examples 200000 --processes 2

runs it at length, with hypothesis; it fails at the first example that does not hold, and shows it at its smallest.
"""

from __future__ import annotations

import argparse
import collections
import copy
import multiprocessing
import os
import random
import re
import sys
import time
import traceback
from typing import Any

import hypothesis
import hypothesis.strategies
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events, reread
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.operations import (
    Options,
    Patch,
    PatchError,
    patched,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import (
    Document,
    Rules,
    YamlPatchError,
    equal,
)
from ansible_collections.devportal.backstage.tests.fuzz import judges
from ansible_collections.devportal.backstage.tests.fuzz.yaml_text import (
    Builder,
    Choices,
    Path,
    Sample,
    path,
    value,
)

MISSING = object()
BATCH = 1000  # examples of one hypothesis run: it remembers all of them

_edited = reread.edited


def _edited_like_the_whole(old: events.Stream, *more: Any) -> events.Stream:
    """The events of an edited text; the same as if the whole were parsed again."""
    new, whole = _edited(old, *more), events.Stream(more[0], for_edits=False, rules=more[2])
    for name in ("values", "styles", "after", "documents"):
        assert getattr(new, name) == getattr(whole, name), (name, old.text, more[0])
    return new


reread.edited = _edited_like_the_whole


def check(data: bytes) -> str:
    """Make a document, edit it, and assert everything that is promised.

    Returns:
        What was done, so that a caller can see that every kind of edit is reached.
    """
    choices = Choices(data)
    sample = Builder(choices).sample()
    try:
        before = Document(sample.text)
    except YamlPatchError:
        if events.Parser is yaml.SafeLoader and re.search(r"[?\t]", sample.text):
            return "refused by the pure reader"  # a tab behind a colon, a question mark in a plain scalar in brackets
        raise
    assert equal(before.tree, sample.value), (before.tree, sample.value)
    assert before.text == sample.text
    assert not before.changed
    if choices.chance(5):
        return _check_documents(sample, choices)
    if choices.chance(5):
        return _check_version_11(sample, choices)
    if choices.chance(5):
        return _check_insert(sample, choices)
    if choices.chance(4):
        return _check_delete(sample, path(choices, sample.value))
    if choices.chance(6):
        return _check_several(sample, choices)
    steps = path(choices, sample.value)
    return _check_set(sample, steps, _wanted(choices, sample, steps))


def _wanted(choices: Choices, sample: Sample, steps: Path) -> Any:
    """A value: any, or the old mapping with some keys changed."""
    old = _get(sample.value, steps)
    if isinstance(old, list) and not choices.chance(3):
        items = [item if choices.pick(3) else value(choices) for item in old if choices.pick(4)]
        if choices.chance(2):
            items.insert(choices.pick(len(items) + 1), value(choices))
        return items
    if not isinstance(old, dict) or choices.chance(3):
        return value(choices)
    wanted = {key: item if choices.pick(2) else value(choices) for key, item in old.items() if choices.pick(4)}
    return {**wanted, "added": value(choices, 2)} if choices.pick(2) else wanted


def _check_set(sample: Sample, steps: Path, wanted: Any) -> str:
    document = Document(sample.text)
    try:
        document.set(steps, wanted)
        text = document.text
    except YamlPatchError as error:
        _assert_refusal(sample, steps, error)
        return "set refused"
    tree = _put(copy.deepcopy(sample.value), steps, wanted)
    assert equal(document.tree, tree), text
    assert equal(Document(text).tree, tree), text
    _assert_lines_kept(sample, steps, text, removed=isinstance(wanted, (dict, list)))
    again = Document(text)
    again.set(steps, wanted)
    assert not again.changed, (text, again.text)
    assert document.changed == (text != sample.text)
    old = _get(sample.value, steps)
    if old is not MISSING:
        assert document.changed != equal(old, wanted)
        return "set"
    new = _first_new(sample.value, steps)
    if _get(sample.value, new[:-1]) is None:
        return "set below nothing"
    assert again.delete(new)
    assert again.text == sample.text, (text, again.text)
    return "set and deleted"


def _check_delete(sample: Sample, steps: Path) -> str:
    document = Document(sample.text)
    there = _get(sample.value, steps) is not MISSING
    try:
        deleted = document.delete(steps)
        text = document.text
    except YamlPatchError as error:
        _assert_refusal(sample, steps, error)
        return "delete refused"
    assert deleted == there
    if not there:
        assert not document.changed
        return "nothing to delete"
    tree = copy.deepcopy(sample.value)
    del _get(tree, steps[:-1])[steps[-1]]
    assert equal(Document(text).tree, tree), text
    _assert_lines_kept(sample, steps, text, deleted=True, removed=True)
    return "deleted"


def _check_several(sample: Sample, choices: Choices) -> str:
    """Several edits of one document are the same as one after the other."""
    together, text, edits = Document(sample.text), sample.text, 0
    for _unused in range(4):
        alone = Document(text)
        steps, wanted, deletes = path(choices, alone.tree), value(choices), choices.chance(3)
        try:
            alone.delete(steps) if deletes else alone.set(steps, wanted)
            text = alone.text
        except YamlPatchError:
            continue
        together.delete(steps) if deletes else together.set(steps, wanted)
        edits += 1
    assert equal(together.tree, Document(text).tree)
    return "several" if edits else "several refused"


def _check_insert(sample: Sample, choices: Choices) -> str:
    """An item more; without it again, the tree is what it was."""
    steps = path(choices, sample.value)
    while steps and not isinstance(_get(sample.value, steps), list):
        steps = steps[:-1]
    old = _get(sample.value, steps)
    if not steps or not isinstance(old, list):
        return "no list to insert into"
    at, wanted = choices.pick(len(old) + 1), value(choices)
    document = Document(sample.text)
    try:
        document.insert(steps, at, wanted)
        text = document.text
    except YamlPatchError as error:
        _assert_refusal(sample, (*steps, at), error)
        return "insert refused"
    tree = copy.deepcopy(sample.value)
    _get(tree, steps).insert(at, wanted)
    again = Document(text)
    assert equal(again.tree, tree), text
    _assert_comments_kept(sample.text, text)
    assert again.delete((*steps, at))
    assert equal(again.tree, sample.value), again.text
    return "inserted"


def _check_documents(sample: Sample, choices: Choices) -> str:
    """An edit of one document leaves the others as they are."""
    samples = [sample, *(Builder(choices).sample() for _unused in range(1 + choices.pick(2)))]
    texts = []
    for one in samples:
        text = one.text.lstrip("\ufeff")
        text = text if text.endswith("\n") or not text else text + "\n"
        if text.startswith("%YAML") or re.search(r"^\.\.\.", text, re.MULTILINE):
            return "no documents to join"
        texts.append(text if text.startswith("---") else f"---\n{text}")
    try:
        document = Document("".join(texts), Rules(several=True))
    except YamlPatchError:
        if events.Parser is yaml.SafeLoader:
            return "refused by the pure reader"
        raise
    assert len(document) == len(samples)
    for tree, one in zip(document.trees, samples):
        assert equal(tree, one.value), (tree, one.value)
    number = choices.pick(len(samples))
    steps = path(choices, samples[number].value)
    wanted = _wanted(choices, samples[number], steps)
    try:
        document.set(steps, wanted, number)
        text = document.text
    except YamlPatchError as error:
        _assert_refusal(samples[number], steps, error)
        return "set in a document refused"
    trees = [copy.deepcopy(one.value) for one in samples]
    trees[number] = _put(trees[number], steps, wanted)
    for tree, other in zip(Document(text, Rules(several=True)).trees, trees):
        assert equal(tree, other), text
    before, behind = "".join(texts[:number]), "".join(texts[number + 1 :])
    assert text.startswith(before), text
    assert text.endswith(behind), text
    return "set in a document"


def _check_version_11(sample: Sample, choices: Choices) -> str:
    """What PyYAML reads afterwards is what it read before, and the edit."""
    before = judges.py_yaml(sample.text)
    if isinstance(before, judges.Refused) or len(before) != 1:
        return "not read as 1.1"
    tree = before[0]
    steps = path(choices, tree)
    # A plain key is a key by its text here, while PyYAML makes numbers and booleans of some.
    if any(not isinstance(step, (str, int)) or isinstance(step, bool) or step in ("1", "on") for step in steps):
        return "no path in 1.1"
    here = tree
    for step in steps:
        if isinstance(step, int) and not isinstance(here, list) and here is not None:
            return "no path in 1.1"
        here = _get(here, (step,))
        here = None if here is MISSING else here
    wanted = value(choices)
    if "%YAML" in sample.text or re.search("[\x85\u2028\u2029]", sample.text):
        return "not read as 1.1"
    patch, options = [Patch("set", steps, wanted)], Options(version="1.1", keep_tags=False)
    try:
        text = patched(sample.text.encode(), patch, options).data.decode()
    except PatchError as error:
        if events.Parser is yaml.SafeLoader and re.search(r"[?\t]", sample.text):
            return "refused by the pure reader"  # tabs, of which npm yaml takes more than PyYAML
        if "ends in a block scalar" not in str(error) and not ("comes from `<<`" in str(error) and "<<" in sample.text):
            _assert_refusal(sample, steps, error)
        return "set as 1.1 refused"
    after = judges.py_yaml(text)
    assert not isinstance(after, judges.Refused), (after, text)
    assert judges.same(after[0], _put(copy.deepcopy(tree), steps, wanted)), text
    again = patched(text.encode(), patch, options)
    assert not again.applied, (text, again.data)
    return "set as 1.1"


def _assert_comments_kept(before: str, after: str) -> None:
    comments = [line.strip() for line in before.split("\n") if line.lstrip().startswith("#")]
    left = collections.Counter(line.strip() for line in after.split("\n"))
    assert not collections.Counter(comments) - left, after


# -- what is promised of the tree -----------------------------------------------------------------------


def _get(tree: Any, steps: Path) -> Any:
    for step in steps:
        if isinstance(step, str):
            tree = tree.get(step, MISSING) if isinstance(tree, dict) else MISSING
        else:
            tree = tree[step] if isinstance(tree, list) and step < len(tree) else MISSING
    return tree


def _first_new(tree: Any, steps: Path) -> Path:
    return next(steps[:end] for end in range(1, len(steps) + 1) if _get(tree, steps[:end]) is MISSING)


def _put(tree: Any, steps: Path, wanted: Any) -> Any:
    if not steps:
        return wanted
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        tree = {} if tree is None else tree
        tree[step] = _put(tree.get(step), rest, wanted)
        return tree
    tree = [] if tree is None else tree
    assert step <= len(tree)
    tree[step:] = [_put(tree[step] if step < len(tree) else None, rest, wanted), *tree[step + 1 :]]
    return tree


def _assert_refusal(sample: Sample, steps: Path, error: Exception) -> None:
    """A refusal has to have one of the documented reasons, in the sample and not only in the message."""
    for end in range(len(steps)):
        tree, step = _get(sample.value, steps[:end]), steps[end]
        if isinstance(tree, list) and isinstance(step, int) and step > len(tree):
            return
        if tree is MISSING or tree is None:
            if isinstance(step, int) and step:
                return
        elif not isinstance(tree, dict if isinstance(step, str) else list):
            return
    if sample.text.startswith("\ufeff") and isinstance(sample.value, list):
        return  # npm yaml reads no list that stands directly behind the mark
    if re.search(r"^#.*\n[ \t]*[^\n]*\n?[ \t]*[}\]]", sample.text, re.M) and "laid out" in str(error):
        return  # the comment of a deleted entry, which npm yaml does not read above the brace
    if any(steps[:end] in sample.shared for end in range(1, len(steps) + 1)):
        return
    if any(steps[:end] in sample.pairs for end in range(1, len(steps))):
        return
    raise error


# -- what is promised of the lines ----------------------------------------------------------------------


def _assert_lines_kept(sample: Sample, steps: Path, text: str, deleted: bool = False, removed: bool = False) -> None:
    assert sample.text.startswith("\ufeff") == text.startswith("\ufeff")
    before, after = _lines(sample.text), _lines(text)
    first, last = _touched(sample, steps, before, deleted)
    if removed and re.search(r"[|>][0-9]?\+", sample.text):
        # The blank lines below a key that goes would become text of a `|+` above.
        while last < len(before) and not before[last].strip():
            last += 1
    behind = len(before) - last
    _assert_same(before[:first], after[:first], text)
    _assert_same(before[last:], after[len(after) - behind :], text)


def _lines(text: str) -> list[str]:
    return re.findall("[^\n]*\n|[^\n]+", text.lstrip("\ufeff"))


def _assert_same(before: list[str], after: list[str], text: str) -> None:
    """The break behind the last line of the file comes and goes with what is the last line."""
    assert [line.rstrip("\r\n") for line in before] == [line.rstrip("\r\n") for line in after], text
    assert before[:-1] == after[:-1], text


def _touched(sample: Sample, steps: Path, lines: list[str], deleted: bool) -> tuple[int, int]:
    """The range of lines that the edit may touch."""
    entries = sample.entries
    while steps and steps not in entries:
        steps = steps[:-1]  # a new key: it may touch its collection only where that is written in brackets or empty
    if not steps:
        return 0, len(lines)
    if any(entries[steps[:end]].flow for end in range(1, len(steps) + 1) if steps[:end] in entries):
        while steps not in entries or entries[steps].flow:
            steps = steps[:-1]
            if not steps:
                return 0, len(lines)
    entry = entries[steps]
    first, last = entry.start, entry.end + 1
    siblings = [other for path, other in entries.items() if path[:-1] == steps[:-1]]
    if deleted and len(siblings) == 1:
        while steps[:-1] and steps[:-1] in entries:
            steps = steps[:-1]
            first = min(first, entries[steps].start)
            break
    last = _with_comments(lines, last, entry.column)
    if deleted and entry.compact:
        return first, max([last, *(other.start + 1 for other in siblings if other.start > entry.start)][:2])
    return first, last


def _with_comments(lines: list[str], last: int, column: int) -> int:
    """The comment lines below an entry that are deeper than it are its own."""
    for number in range(last, len(lines)):
        line = lines[number].strip(" \r\n")
        if line.startswith("#"):
            if len(lines[number]) - len(lines[number].lstrip(" ")) <= column:
                break
            last = number + 1
        elif line:
            break
    return last


# -- at length ------------------------------------------------------------------------------------------


def search(examples: int, seed: int, done: collections.Counter | None = None) -> collections.Counter:
    """Let hypothesis look for bytes for which `check` does not hold.

    Returns:
        How often each kind of edit was reached.
    """
    done = collections.Counter() if done is None else done

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(hypothesis.strategies.binary(min_size=150, max_size=500))
    def run(data: bytes) -> None:
        hypothesis.note(repr(Builder(Choices(data)).sample().text))
        done[check(data)] += 1

    run()
    return done


def _batch(seed: int) -> tuple[collections.Counter, str]:
    done: collections.Counter = collections.Counter()
    try:
        return search(BATCH, seed, done), ""
    except Exception:
        return done, f"seed {seed}\n{traceback.format_exc()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the first batch")
    arguments = parser.parse_args()
    batches = -(-arguments.examples // BATCH)
    total: collections.Counter = collections.Counter()
    start = time.monotonic()
    print(f"{batches} batches of {BATCH}, {arguments.processes} processes, seed {arguments.seed}", flush=True)
    with multiprocessing.Pool(arguments.processes, maxtasksperchild=20) as pool:
        seeds = range(arguments.seed, arguments.seed + batches)
        for number, (done, failure) in enumerate(pool.imap_unordered(_batch, seeds), 1):
            total += done
            if failure:
                print(failure)
                return 1
            if number % 10 == 0 or number == batches:
                print(f"{total.total()} examples, {time.monotonic() - start:.0f} s", flush=True)
    for kind, count in total.most_common():
        print(f"{count:10} {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
