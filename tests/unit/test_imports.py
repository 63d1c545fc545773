# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports run one way: each wing of module_utils imports itself and the wings before it, and nothing else of ours."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
UTILS = ROOT / "plugins" / "module_utils"
PACKAGE = "ansible_collections.devportal.backstage.plugins."
WINGS = ("_errors", "_yaml", "_files", "_postgresql", "_backstage")
FILES = sorted(path.relative_to(UTILS) for path in UTILS.rglob("*.py"))


def _imported(path: pathlib.Path) -> set[str]:
    """The wings that a file imports from, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            inside = node.module.removeprefix(PACKAGE + "module_utils").lstrip(".")
            names.update([inside.split(".")[0]] if inside else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.startswith(PACKAGE))
    return names


def test_every_file_is_in_a_wing() -> None:
    assert {path.parts[0].removesuffix(".py") for path in FILES} == set(WINGS)


def test_sub_packages_have_no_init_file() -> None:
    assert not list(UTILS.rglob("__init__.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: pathlib.Path) -> None:
    rank = WINGS.index(path.parts[0].removesuffix(".py"))
    assert _imported(UTILS / path) <= set(WINGS[: rank + 1])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_logic_does_not_import_ansible(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse((UTILS / path).read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not [name for name in names if name == "ansible" or name.startswith("ansible.")]


def _shipped(module: str) -> set[str]:
    """The files of module_utils that Ansible sends to a host with a module."""
    found: set[str] = set()
    todo = [UTILS.parent / "modules" / f"{module}.py"]
    while todo:
        for node in ast.walk(ast.parse(todo.pop().read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                folder = node.module.removeprefix(PACKAGE + "module_utils").lstrip(".").replace(".", "/")
                for name in (folder, *(f"{folder}/{alias.name}".lstrip("/") for alias in node.names)):
                    if (UTILS / f"{name}.py").is_file() and name not in found:
                        found.add(name)
                        todo.append(UTILS / f"{name}.py")
    return found


@pytest.mark.parametrize("module", ["backstage_database_info", "backstage_service"])
def test_what_only_reads_yaml_does_not_ship_the_editor(module: str) -> None:
    """A host compiles what it is sent, on every run."""
    shipped = _shipped(module)
    assert "_yaml/source" in shipped
    assert not shipped & {"_yaml/patch", "_yaml/editor", "_yaml/draft", "_yaml/splices", "_yaml/writer", "_yaml/layout"}
