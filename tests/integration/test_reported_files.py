# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were reported, one of each kind, through the modules: the result, the warnings, a second run."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import config_loader, config_reader

PG = "backend:\n  database:\n    client: pg\n    connection:\n"
ENV = "".join(f"      {key}: ${{POSTGRES_{key.upper()}}}\n" for key in ("host", "port", "user", "password"))
KEYS = "a:\n- name: x # keep\n  v: 1\n- name: y # keep2\n  v: 2\n"


class Case(NamedTuple):
    """A file, a call, and what is expected; `gives` None: the call is rejected, and the file stays."""

    module: str
    before: bytes
    arguments: dict[str, Any]
    gives: str | None
    said: tuple[str, ...] = ()
    removed: list[str] | None = None


CASES = {
    "absent-removed-incomplete": Case(
        "backstage_app_config",
        f"{PG}{ENV}      database: portal\n      # how to set up ssl:\n      ssl:\n        ca: x\n".encode(),
        {"state": "absent"},
        "backend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n",
        ("Removed 1 comment line",),
        ["backend.database.connection.database", "backend.database.connection.ssl"],
    ),
    "connection-string-in-object-loses-database": Case(
        "backstage_app_config",
        PG.replace("    conn", "    pluginDivisionMode: schema\n    conn").encode()
        + b"      connectionString: postgresql://u:old-pw@h:5432/mydb?sslmode=require\n",
        {},
        PG.replace("    conn", "    pluginDivisionMode: schema\n    conn") + ENV + "      database: mydb\n",
        ("sslmode",),
        ["backend.database.connection.connectionString"],
    ),
    "diff-shows-secret-in-trailing-comment": Case(
        "backstage_app_config",
        f"{PG}      host: a\n      password: a-secret1   # was: old-pw\n".encode(),
        {},
        None,
    ),
    "dotenv-cli-dollar": Case(
        "backstage_env_file",
        b"",
        {"variables": {"POSTGRES_PASSWORD": "p$w$HOME"}},
        "POSTGRES_PASSWORD='p$w$HOME'\n",
        ("dotenv-expand",),
    ),
    "env-file-latin1-systemd": Case(
        "backstage_env_file",
        b"TITEL=Gr\xfc\xdfe\nA=1\n",
        {"format": "systemd", "variables": {"B": "1"}},
        None,
        ("line 1: contains bytes that are not UTF-8",),
    ),
    "env-file-node20, a blank line": Case(
        "backstage_env_file", b"A=1\n   \n", {"variables": {"B": "1"}}, "A=1\n   \nB=1\n", ("Node 20", "line 2")
    ),
    "env-file-node20, no assignment": Case(
        "backstage_env_file",
        b"A=1\nsome note\n",
        {"variables": {"B": "1"}},
        "A=1\nsome note\nB=1\n",
        ("Node 20", "line 2"),
    ),
    "env-file-node20, a tab": Case(
        "backstage_env_file",
        b"POSTGRES_HOST\t=\told\n",
        {"variables": {"POSTGRES_HOST": "new"}},
        "POSTGRES_HOST\t=\tnew\n",
        ("Node 20", "line 1"),
    ),
    "general-list-comments": Case(
        "yaml_patch",
        KEYS.encode(),
        {"patches": [{"at": ["a"], "value": [{"name": "x", "v": 1}, {"name": "y", "v": 3}]}]},
        KEYS.replace("v: 2", "v: 3"),
    ),
    "general-multi-document": Case(
        "yaml_patch",
        b"a: 1\n---\nb: 2\n",
        {"document": {"b": 2}, "patches": [{"at": ["c"], "value": 3}]},
        "a: 1\n---\nb: 2\nc: 3\n",
    ),
    "general-yaml11": Case(
        "yaml_patch",
        b"enabled: no\nmode: 0644\nd: 2024-01-01\non: yes\n",
        {
            "version": "1.1",
            "patches": [
                {"at": ["enabled"], "value": "no"},
                {"at": ["mode"], "value": 0o644},
                {"at": ["d"], "value": "2024-01-01"},
                {"at": ["on"], "value": True},
            ],
        },
        "enabled: 'no'\nmode: 0644\nd: '2024-01-01'\non: yes\n",
    ),
    "plugin-connection-silently-wins": Case(
        "backstage_app_config",
        f"{PG}{ENV}    plugin:\n      auth:\n        connection: 'postgresql://u:old-pw@old:5432/x'\n".encode(),
        {"password_variable": "OTHER"},
        f"{PG}{ENV.replace('POSTGRES_PASSWORD', 'OTHER')}"
        "    plugin:\n      auth:\n        connection: 'postgresql://u:old-pw@old:5432/x'\n",
        ("backend.database.plugin.auth.connection overrides",),
    ),
    "shell-env-file-later-statements": Case(
        "backstage_env_file",
        b"POSTGRES_HOST=old\nunset POSTGRES_HOST\n",
        {"variables": {"POSTGRES_HOST": "new"}},
        "POSTGRES_HOST=new\nunset POSTGRES_HOST\n",
    ),
    "verify-says-not-start-but-backstage-starts": Case(
        "backstage_app_config",
        f"app:\n  title: x\n\t\n{PG}      host: a\n".encode(),
        {},
        f"app:\n  title: x\n\t\n{PG}{ENV}",
    ),
    "verify-says-start-but-npm-yaml-refuses, a key in quotes": Case(
        "backstage_app_config",
        f'app:\n  - key: "-----BEGIN\nMIIabc\n"\n{PG}      host: a\n'.encode(),
        {},
        None,
        ("line 3, column 1", "not indented deeper"),
    ),
    "verify-says-start-but-npm-yaml-refuses, a comment": Case(
        "backstage_app_config", f'{PG}      password: "x"#c\n'.encode(), {}, None, ("line 5, column 20", "no space")
    ),
}


def warnings(result):
    return [text if isinstance(text, str) else text["event"]["msg"] for text in result.get("warnings", [])]


@pytest.mark.parametrize("name", CASES)
def test_reported(run_module, tmp_path, name):
    case, path = CASES[name], tmp_path / "file.yaml"
    path.write_bytes(case.before)
    result = run_module(case.module, diff=True, path=str(path), **case.arguments)
    assert "old-pw" not in str(result)
    if name == "diff-shows-secret-in-trailing-comment":
        assert "a-secret1" not in str(result)
        assert path.read_text() == f"{PG}      host: ${{POSTGRES_HOST}}\n      password: ${{POSTGRES_PASSWORD}}   " + (
            "# was: old-pw\n      port: ${POSTGRES_PORT}\n      user: ${POSTGRES_USER}\n"
        )
        return
    said = " ".join([*warnings(result), result["msg"]])
    assert [words for words in case.said if words not in said] == []
    if case.gives is None:
        assert result["failed"]
        assert path.read_bytes() == case.before
        return
    assert path.read_text() == case.gives
    assert result["changed"]
    if case.removed is not None:
        assert result["removed"] == case.removed
    second = run_module(case.module, path=str(path), **case.arguments)
    assert not second["changed"], second


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("verify")])
def test_whether_backstage_starts(tmp_path, name):
    path = tmp_path / "app-config.yaml"
    path.write_bytes(CASES[name].before)
    if "not-start" in name:
        assert config_loader.load(str(tmp_path), {}).root.get("backend.database.client") == "pg"
    else:
        with pytest.raises(config_reader.ConfigLoaderError, match=r"line \d+, column \d+"):
            config_loader.load(str(tmp_path), {})
