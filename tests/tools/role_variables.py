# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds three things together for each role: defaults/main.yml, meta/argument_specs.yml and the tables in the READMEs.

A table stands between `<!-- variables: ROLE -->` and `<!-- end of variables -->`. Without arguments this program only
checks; with --write it writes the tables.
"""

from __future__ import annotations

import pathlib
import re
import sys
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = {"str": str, "path": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
# How a description says a default that is a template; argument_specs cannot hold it, since Ansible would render it.
COMPUTED = "By default"
TABLE = re.compile(r"(<!-- variables: (\w+) -->\n).*?(<!-- end of variables -->)", re.S)


def _load(path: pathlib.Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _markdown(text: str) -> str:
    """Ansible's documentation markup as Markdown for a table's cell."""
    text = re.sub(r"L\(([^,]+),\s*([^)]+)\)", r"[\1](\2)", text)
    text = re.sub(r"[OM]\((?:[\w.]+#\w+:)?([^)]+)\)", r"`\1`", text)
    text = re.sub(r"[BCIVEU]\(([^)]*)\)", r"`\1`", text)
    return " ".join(text.split()).replace("|", "\\|")


def _descriptions(option: dict[str, Any]) -> list[str]:
    description = option.get("description") or []
    return [description] if isinstance(description, str) else description


def _cell(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    for line in _descriptions(option):
        if line.startswith(COMPUTED):
            return _markdown(line.removeprefix(COMPUTED).strip().rstrip("."))
    if "default" not in option:
        return ""
    default = option["default"]
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, list):
        default = "[" + ", ".join(map(str, default)) + "]"
    elif isinstance(default, dict):
        default = "{" + ", ".join(f"{key}: {value}" for key, value in default.items()) + "}"
    return f"`{default}`" if default != "" else "empty"


def table(options: dict[str, dict[str, Any]]) -> str:
    """The Markdown table of a role's variables, in the order of its argument_specs."""
    rows = ["| Variable | Default | Meaning |", "| --- | --- | --- |"]
    for name, option in options.items():
        meaning = _markdown(" ".join(line for line in _descriptions(option) if not line.startswith(COMPUTED)))
        if option.get("choices"):
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        rows.append(f"| `{name}` | {_cell(option)} | {meaning} |")
    return "\n".join(rows) + "\n"


def faults(role: pathlib.Path, known: set[str]) -> list[str]:
    """What is wrong between a role's defaults, its argument_specs and what its files read; one sentence each.

    A variable that `known`, what all roles document, has under its own role's name may be documented by others too.
    """
    defaults = _load(role / "defaults" / "main.yml") or {}
    entries = (_load(role / "meta" / "argument_specs.yml") or {}).get("argument_specs", {})
    if "main" not in entries:
        return ["meta/argument_specs.yml has no entry point main"]
    options = entries["main"].get("options", {})
    read = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("tasks", "handlers", "templates", "vars", "defaults")
        for path in [*sorted((role / folder).rglob("*")), *sorted((ROOT / "playbooks").glob("*.yml"))]
        if path.is_file()
    )
    # The name as a key of defaults/main.yml is not a use of it.
    read = re.sub(r"^\w+:", "", read, flags=re.M)
    found = []
    for name in sorted(defaults.keys() - options.keys()):
        found.append(f"{name} is in defaults/main.yml and not in meta/argument_specs.yml")
    for name, option in options.items():
        if name != role.name and not name.startswith(role.name + "_") and name not in known:
            found.append(f"{name} does not begin with {role.name}_, nor is it another role's")
        if not option.get("description"):
            found.append(f"{name} has no description")
        if not re.search(rf"\b{name}\b", read):
            found.append(f"{name} is documented, and nothing in the role reads it")
        if _is_template(option.get("default")):
            found.append(f"{name} has a template as default in argument_specs, which Ansible would render there")
        elif _is_template(defaults.get(name)):
            if not any(line.startswith(COMPUTED) for line in _descriptions(option)):
                found.append(f"{name} has a template as default; its description needs a line '{COMPUTED} ...'")
        elif ("default" in option) != (name in defaults):
            have, lack = ("defaults/main.yml", "argument_specs") if name in defaults else ("argument_specs", "defaults")
            found.append(f"{name} has a default in {have} and none in {lack}")
        elif name in defaults and option["default"] != defaults[name]:
            found.append(f"{name}: defaults/main.yml has {defaults[name]!r}, argument_specs {option['default']!r}")
        if name in defaults and not _is_template(defaults[name]):
            kind = TYPES.get(option.get("type", "str"), object)
            # A bool is an int to isinstance.
            if not isinstance(defaults[name], kind) or (kind is int and isinstance(defaults[name], bool)):
                found.append(f"{name} is of type {option.get('type', 'str')}, its default {defaults[name]!r} is not")
    return found


def main(write: bool) -> int:
    """Check all roles and tables (or write the tables); 1 when something is wrong."""
    roles = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
    options = {
        role.name: (_load(role / "meta" / "argument_specs.yml") or {})
        .get("argument_specs", {})
        .get("main", {})
        .get("options", {})
        for role in roles
    }
    known = {name for role, own in options.items() for name in own if name.startswith(role + "_")}
    found = [f"roles/{role.name}: {fault}" for role in roles for fault in faults(role, known)]
    tables = {role: table(own) for role, own in options.items()}
    seen = set()
    for readme in [ROOT / "README.md", *sorted((ROOT / "roles").glob("*/README.md"))]:
        old = readme.read_text(encoding="utf-8") if readme.exists() else ""
        seen.update(match[2] for match in TABLE.finditer(old))
        new = TABLE.sub(lambda match: match[1] + tables.get(match[2], "") + match[3], old)
        if new != old and write:
            readme.write_text(new, encoding="utf-8")
        elif new != old:
            name = readme.relative_to(ROOT)
            found.append(f"{name}: a table of variables is stale; run python tests/tools/role_variables.py --write")
    found += [f"roles/{name}: no README has its table of variables" for name in sorted(tables.keys() - seen)]
    print("\n".join(found) or f"{len(tables)} roles, their defaults, argument_specs and README tables agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
