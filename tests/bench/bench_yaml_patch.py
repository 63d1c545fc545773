# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long one edit of an app-config takes, against other ways to do it and against merely reading the file.

    python -m ansible_collections.devportal.backstage.tests.bench.bench_yaml_patch

prints a table. All figures are CPU time, children included, the best of several rounds that take turns; each row is
the same work in one run, so that its ratios hold where its milliseconds do not.
"""

from __future__ import annotations

import gc
import io
import json
import resource
import shutil
import subprocess
import sys
import time
from typing import Any, Callable

import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events as yaml_events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document
from ruamel.yaml import YAML

SIZES = (30, 1_000, 20_000)  # lines
DATABASE = {
    "client": "pg",
    "connection": {"host": "${POSTGRES_HOST}", "port": "${POSTGRES_PORT}", "user": "${POSTGRES_USER}"},
}
HEAD = """\
app:
  title: Scaffolded Backstage App
  baseUrl: http://localhost:3000

backend:
  # Used for enabling authentication, secret is shared by all backend plugins.
  baseUrl: http://localhost:7007
  csp:
    connect-src: ["'self'", 'http:', 'https:']
  # The production database is in another file.
  database:
    client: better-sqlite3
    connection: ':memory:'

integrations:
  github:
    - host: github.com
      # A personal access token.
      token: ${GITHUB_TOKEN}

"""
SECTION = """\
techdocs%d:
  builder: 'local' # Alternatives - 'external'
  generator:
    runIn: 'docker' # Alternatives - 'local'
  publisher:
    type: 'local'
  rules:
    - allow: [Component, System, API]
  # A comment between two keys.
  frequency: 600

"""


def sample(lines: int) -> str:
    """An app-config of so many lines, a third of them comments and blank lines."""
    text = HEAD + "".join(SECTION % number for number in range(lines // SECTION.count("\n")))
    return "".join(text.splitlines(keepends=True)[:lines])


def events(text: str) -> None:
    for _event in yaml.parse(text, Loader=yaml_events.Parser):
        pass


def patch(text: str) -> str:
    document = Document(text)
    document.set(("backend", "database"), DATABASE)
    return document.text


def ruamel(text: str) -> str:
    """A round trip with all its knobs set for this very file."""
    reader = YAML()
    reader.preserve_quotes = True
    reader.width = 4096
    reader.indent(mapping=2, sequence=4, offset=2)
    tree = reader.load(text)
    tree["backend"]["database"] = DATABASE
    out = io.StringIO()
    reader.dump(tree, out)
    return out.getvalue()


def yq(text: str) -> str:
    """The command of Debian's package yq (a wrapper of jq), its start included."""
    command = ["yq", "-y", f".backend.database = {json.dumps(DATABASE)}"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def seconds(work: Callable[[str], Any], text: str) -> float:
    gc.collect()
    start = cpu()
    turns = max(1, 1_000 // text.count("\n")) if work in (events, patch) else 1
    for _unused in range(turns):
        work(text)
    return (cpu() - start) / turns


def cpu() -> float:
    """Seconds of processor time, those of ended children included."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def row(text: str, works: list[Callable[[str], Any]]) -> dict[Callable[[str], Any], float]:
    """The best time of each; what is slow gets fewer rounds."""
    best: dict[Callable[[str], Any], float] = {}
    for number in range(15):
        for work in works:
            if number == 0 or best[work] < 0.5 or (number < 3 and best[work] < 5):
                best[work] = min(best.get(work, 1e9), seconds(work, text))
    return best


def main() -> int:
    others: list[Callable[[str], Any]] = [ruamel]
    if shutil.which("yq"):
        others.append(yq)
    else:
        print("yq IS MISSING, its column stays empty: apt-get install yq\n", file=sys.stderr)
    readers = [("PyYAML alone", yaml.SafeLoader)]
    if yaml.__with_libyaml__:
        readers.insert(0, ("libyaml", yaml.CLoader))
    else:
        print("PyYAML HAS NO libyaml HERE, its rows are missing\n", file=sys.stderr)
    print("| reader | lines | events alone, ms | patch ÷ events | patch, µs a line | ruamel ÷ patch | yq ÷ patch |")
    print("|---|---|---|---|---|---|---|")
    theirs: dict[int, dict[Callable[[str], Any], float]] = {}
    for name, reader in readers:
        yaml_events.Parser = reader
        for lines in SIZES:
            text = sample(lines)
            times = row(text, [events, patch, *(others if lines not in theirs else [])])
            theirs.setdefault(lines, times)
            ratios = [f"{theirs[lines][other] / times[patch]:.0f}" for other in others]
            print(
                f"| {name} | {lines:,} | {times[events] * 1e3:.1f} | {times[patch] / times[events]:.2f} "
                f"| {times[patch] / lines * 1e6:.1f} | {' | '.join([*ratios, ''] if len(ratios) < 2 else ratios)} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
