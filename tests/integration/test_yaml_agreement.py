# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Backstage starts with a file: what is reported here is what Backstage's own reader says.

DEVPORTAL_BACKEND names a folder with node_modules, in it @backstage/config-loader. CORPUS names a folder with
app-config files; without it those below stand in. AGREEMENT is how many of them with slips of the hand are read.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import config_loader, config_reader
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import equal
from ansible_collections.devportal.backstage.tests.fuzz.mutations import mutated
from ansible_collections.devportal.backstage.tests.fuzz.yaml_dialect import (
    READ,
    READ_BY_NODE,
    READ_WITHOUT_BREAK,
    REFUSED,
)
from ansible_collections.devportal.backstage.tests.fuzz.yaml_exhaustive import of_characters, of_lines
from ansible_collections.devportal.backstage.tests.fuzz.yaml_exhaustive import opposite as every_opposite

_JUDGE = """
const { createRequire } = require('module');
const { FileConfigSource } = createRequire(process.argv[1] + '/')('@backstage/config-loader');
const plain = (key, value) => typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
console.warn = () => {};
process.removeAllListeners('warning');
(async () => {
  const answers = [];
  for (const path of JSON.parse(require('fs').readFileSync(0))) {
    try {
      const source = FileConfigSource.create({ path, watch: false, substitutionFunc: async name => `<${name}>` });
      const { configs } = (await source.readConfigData().next()).value;
      const data = configs.length ? configs[0].data : {};
      if (data === null || typeof data !== 'object' || Array.isArray(data)) throw new Error('no mapping');
      answers.push({ data });
    } catch (error) { answers.push({ error: `${error}`.split('\\n')[0] }); }
  }
  process.stdout.write(JSON.stringify(answers, plain));
})();
"""


def backend():
    folder = os.environ.get("DEVPORTAL_BACKEND", "")
    if not os.path.isdir(f"{folder}/node_modules/@backstage/config-loader"):
        pytest.skip("DEVPORTAL_BACKEND names no folder with @backstage/config-loader")
    assert shutil.which("node"), "there is no node on PATH"
    return os.path.abspath(folder)


class Substituted(dict):
    """An environment in which each variable has its own name for a value."""

    def get(self, name, default=None):
        return f"<{name}>" if name != "BACKSTAGE_ENV" else default


def judge(paths):
    """The data, or the error of Backstage's reader, for each file."""
    answers = []
    for start in range(0, len(paths), 500):
        done = subprocess.run(
            ["node", "-e", _JUDGE, backend()],
            input=json.dumps([str(path) for path in paths[start : start + 500]]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers += json.loads(done.stdout)
    return answers


def opposite(path, answer):
    """A sentence where the two readers disagree about a file, else None."""
    try:
        config = config_loader.load(str(path.parent), Substituted(), [path.name])
    except config_reader.ConfigLoaderError as error:
        return None if "error" in answer else f"reported: {error}; Backstage reads it"
    if "error" in answer:
        return None if config.problems else f"reported: starts; Backstage: {answer['error']}"
    if config.problems:
        return f"reported: {config.problems[0]}; Backstage reads it"
    data = config.layers[0].data
    data = {} if data is config_reader.MISSING else data
    if equal(data, answer["data"]) or "NaN" in json.dumps(data) or "Infinity" in json.dumps(data):
        return None
    return f"read: {str(data)[:500]}; Backstage: {str(answer['data'])[:500]}"


@pytest.fixture
def app(tmp_path):
    """A function that lays files out beside the packages of an app."""
    (tmp_path / "node_modules").symlink_to(f"{backend()}/node_modules")

    def lay_out(texts):
        paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
        for path, text in zip(paths, texts):
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return paths

    return lay_out


def test_each_kind(app):
    reads = {**READ, **READ_WITHOUT_BREAK, **READ_BY_NODE}
    texts = [*REFUSED.values(), *reads.values()]
    paths = app(texts)
    answers = judge(paths)
    assert ["error" in answer for answer in answers] == [True] * len(REFUSED) + [False] * len(reads)
    found = {name: opposite(*pair) for name, *pair in zip([*REFUSED, *reads], paths, answers)}
    assert {name: text for name, text in found.items() if text} == {}


def test_where_backstage_cannot_be_asked_the_reader_may_be_at_fault(app, monkeypatch):
    """Of what it would read, and what not: without node or its package nobody knows."""
    refused, read = app([next(iter(REFUSED.values())), next(iter(READ_BY_NODE.values()))])
    with pytest.raises(config_reader.ConfigLoaderError) as known:
        config_loader.load(str(refused.parent), Substituted(), [refused.name])
    assert "own reader" not in str(known.value)
    monkeypatch.setenv("PATH", "/nowhere")
    for path in (refused, read):
        with pytest.raises(config_reader.ConfigLoaderError, match="Backstage's own reader may accept it"):
            config_loader.load(str(path.parent), Substituted(), [path.name])


def test_every_short_text():
    backend()
    texts = [text for _name, some in (*of_lines(2), *of_characters(3)) for text in some]
    counts = collections.Counter()
    assert list(every_opposite(texts, counts)) == []
    assert counts["read by both"] > 1000


def corpus():
    folder = os.environ.get("CORPUS")
    found = [path.read_text(encoding="utf-8") for path in sorted(pathlib.Path(folder).glob("*.yaml"))] if folder else []
    return found or list(READ.values())


def test_slips_of_the_hand(app):
    count = int(os.environ.get("AGREEMENT", "300"))
    dice = random.Random(int(os.environ.get("SEED", "1")))
    files = corpus()
    texts = files + [mutated(_part(dice.choice(files), dice), dice) for _unused in range(count)]
    paths = app(texts)
    answers = judge(paths)
    found = {text: wrong for text, *pair in zip(texts, paths, answers) if (wrong := opposite(*pair))}
    kinds = collections.Counter("refused" if "error" in answer else "read" for answer in answers)
    print(f"{len(texts)} files: {dict(kinds)}, {len(found)} opposite verdicts")
    assert kinds["read"] > count / 5
    assert kinds["refused"] > count / 5
    assert found == {}


def _part(text, dice):
    """Some 40 lines of a large file, so that the slips do not get lost in it."""
    lines = text.splitlines(keepends=True)
    tops = [at for at, line in enumerate(lines) if line[:1].isalpha()]
    start = dice.choice(tops) if tops and len(lines) > 40 else 0
    return "".join(lines[start : start + 40])
