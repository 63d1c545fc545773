# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the edits of a YAML file take, beside other editors that keep comments, each judged right or wrong.

    python -m ansible_collections.devportal.backstage.tests.bench.bench_yaml_patch

prints a table. Two jobs: what backstage_app_config does (`database_block.present`), and what yaml_patch does with ten
patches. All figures are processor time, the best of several rounds that take turns, as multiples of one event parse of
libyaml on the same file: ratios hold where milliseconds do not. Right is a result that reads as it was before, with the
edits, in which every other line stands as it stood.
"""

from __future__ import annotations

import gc
import io
import sys
import time
from typing import Any, Callable

import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    connection_settings,
    database_block,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events as yaml_events
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import operations
from ruamel.yaml import YAML

try:
    import yaml_edit
except ImportError:  # its column stays empty
    yaml_edit = None

SIZES = (30, 1_000, 20_000, 40_000)  # lines
CONNECTION = connection_settings.by_variable(connection_settings.VARIABLES)
DATABASE = {"client": "pg", "connection": CONNECTION}
PRESENT = [(("backend", "database"), DATABASE)]
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


def ten(text: str) -> list[tuple[tuple[Any, ...], Any]]:
    """Ten edits all over a file: scalars, an item of a list, a new key."""
    count = max(text.count("techdocs") - 1, 1)
    edits: list[tuple[tuple[Any, ...], Any]] = [
        (("app", "title"), "Another title"),
        (("backend", "baseUrl"), "https://portal.example.com"),
        (("backend", "database", "client"), "pg"),
        (("integrations", "github", 0, "token"), "${OTHER_TOKEN}"),
        (("added",), "new"),
    ]
    if text.count("techdocs") >= 5:
        places = [f"techdocs{count * part // 5}" for part in range(5)]
        edits += [((place, "generator", "runIn"), "local") for place in places]
    return edits


Job = Callable[[str, Any], str]


def events(text: str, _edits: Any) -> str:
    for _event in yaml.parse(text, Loader=yaml_events.Parser):
        pass
    return text


def present(text: str, _edits: Any) -> str:
    return database_block.present(text.encode(), CONNECTION).data.decode()


def yaml_patch(text: str, edits: Any) -> str:
    patches = operations.parsed([{"op": "set", "at": list(path), "value": value} for path, value in edits])
    return operations.patched(text.encode(), patches, operations.Options()).data.decode()


def ruamel(text: str, edits: Any) -> str:
    """A round trip with all its knobs set for this very file."""
    reader = YAML()
    reader.preserve_quotes = True
    reader.width = 4096
    reader.indent(mapping=2, sequence=4, offset=2)
    tree = reader.load(text)
    for path, value in edits:
        at(tree, path[:-1])[path[-1]] = value
    out = io.StringIO()
    reader.dump(tree, out)
    return out.getvalue()


def rust(text: str, edits: Any) -> str:
    """The package yaml-edit."""
    file = yaml_edit.YamlFile.parse(text)
    for path, value in edits:
        here = file.document().as_mapping()
        for step in path[:-1]:
            here = here.get(step) if isinstance(step, str) else here[step]
            if isinstance(here, yaml_edit.Node):
                here = here.as_mapping() or here.as_sequence()
        here[path[-1]] = value
    return str(file)


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def verdict(text: str, result: str, edits: Any) -> str:
    """Whether a result is right."""
    expected = yaml.load(text, yaml_events.Parser)
    for path, value in edits:
        at(expected, path[:-1])[path[-1]] = value
    try:
        found = yaml.load(result, yaml_events.Parser)
    except yaml.YAMLError:
        return "wrong: no YAML"
    if found != expected:
        return "wrong values"
    kept = [line for line in text.splitlines() if line.lstrip().startswith("#") or not line.strip()]
    left = [line for line in result.splitlines() if line.lstrip().startswith("#") or not line.strip()]
    if kept != left:
        return "wrong: comments or blank lines"
    changed = len(set(text.splitlines()) - set(result.splitlines()))
    return "right" if changed <= 2 * len(edits) + 1 else f"wrong: {changed} lines changed"


def seconds(work: Job, text: str, edits: Any) -> float:
    gc.collect()
    start = time.process_time()
    turns = max(1, 1_000 // text.count("\n")) if work is not ruamel else 1
    for _unused in range(turns):
        work(text, edits)
    return (time.process_time() - start) / turns


def row(text: str, edits: Any, works: list[Job]) -> dict[Job, float]:
    """The best time of each; what is slow gets fewer rounds."""
    best: dict[Job, float] = {}
    for number in range(15):
        for work in works:
            if number == 0 or best[work] < 0.5 or (number < 3 and best[work] < 5):
                best[work] = min(best.get(work, 1e9), seconds(work, text, edits))
    return best


def judged(work: Job, text: str, edits: Any) -> str:
    try:
        return verdict(text, work(text, edits), edits)
    except Exception as error:
        return f"fails: {type(error).__name__}"


def main() -> int:
    if not yaml.__with_libyaml__:
        print("PyYAML HAS NO libyaml HERE, the figures are those of its slow reader\n", file=sys.stderr)
    if yaml_edit is None:
        print("yaml-edit IS MISSING, its rows stay away: pip install yaml-edit==0.2.0\n", file=sys.stderr)
    print("| job | lines | event parse, ms | editor | ÷ event parses | verdict |")
    print("|---|---|---|---|---|---|")
    good = True
    for lines in SIZES:
        text = sample(lines)
        for job, ours, edits in (("app-config", present, PRESENT), ("ten patches", yaml_patch, ten(text))):
            works = [work for work in (events, ours, rust, ruamel) if work is not rust or yaml_edit]
            verdicts = {work: judged(work, text, edits) for work in works}
            good &= verdicts[ours] == "right"
            times = row(text, edits, [work for work in works if not verdicts[work].startswith("fails")])
            for work in works[1:]:
                ratio = f"{times[work] / times[events]:.1f}" if work in times else ""
                name = {rust: "yaml-edit 0.2.0", ruamel: "ruamel, tuned"}.get(work, "ours")
                cells = f"{times[events] * 1e3:.1f} | {name} | {ratio} | {verdicts[work]}"
                print(f"| {job} | {lines:,} | {cells} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
