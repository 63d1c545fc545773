# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, and the formats' real readers.

DEVPORTAL_BACKEND names a folder with node_modules; each package there whose name begins with dotenv is a reader.
DEVPORTAL_NODES lists further node binaries, separated as PATH is. docker compose is asked in the scenario `container`.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import pathlib
import random
import shutil
import stat
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file
from ansible_collections.devportal.backstage.tests.integration.env_values import written


def dotenvs():
    folder = os.environ.get("DEVPORTAL_BACKEND")
    return sorted(glob.glob(f"{folder}/node_modules/dotenv*/package.json")) if folder else []


def nodes():
    found = [shutil.which("node"), *os.environ.get("DEVPORTAL_NODES", "").split(os.pathsep)]
    return [node for node in found if node]


@pytest.mark.parametrize("package", dotenvs() or [None])
def test_npm_dotenv_reads_what_was_written(tmp_path, package):
    if package is None:
        pytest.skip("DEVPORTAL_BACKEND names no folder with the npm package dotenv")
    values = written(tmp_path / "env", "dotenv")
    if int(json.loads(pathlib.Path(package).read_text())["version"].split(".")[0]) < 15:
        values = {name: value for name, value in values.items() if "\n" not in value}
        (tmp_path / "env").write_bytes(env_file.set_variables(b"", values, "dotenv"))
    script = "console.log(JSON.stringify(require(process.argv[1]).parse(require('fs').readFileSync(process.argv[2]))))"
    done = subprocess.run(
        ["node", "-e", script, os.path.dirname(package), tmp_path / "env"], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == values


@pytest.mark.parametrize("node", nodes() or [None])
def test_node_reads_what_was_written(tmp_path, node):
    if node is None:
        pytest.skip("there is no node on PATH")
    values = written(tmp_path / "env", "dotenv")
    done = subprocess.run(
        [node, f"--env-file={tmp_path / 'env'}", "-e", "console.log(JSON.stringify(process.env))"],
        capture_output=True,
        check=True,
        env={"PATH": os.defpath},
    )
    read = json.loads(done.stdout)
    assert {name: read.get(name) for name in values} == values


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("form", ["shell", "systemd"])
def test_shells_read_what_was_written(tmp_path, shell, form):
    """Those for systemd too, so that such a file can be sourced by hand."""
    values = written(tmp_path / "env", form, b"")
    values.pop("LATER")
    done = subprocess.run(
        [shutil.which(shell), "-c", "set -a; . ./env && env -0"], cwd=tmp_path, capture_output=True, check=True, env={}
    )
    read = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line)
    assert {name: read.get(name) for name in values} == values
    assert done.stderr == b""
    assert set(read) - set(values) <= {"PWD", "SHLVL", "_", "OLDPWD"}


def test_systemd_reads_what_was_written(tmp_path):
    """systemd's own reader, load_env_file(), as its shared library has it."""
    libraries = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
        "/usr/lib/systemd/libsystemd-shared-*"
    )
    if not libraries:
        pytest.skip("systemd's shared library is not installed here")
    values = written(tmp_path / "env", "systemd")
    library, libc = ctypes.CDLL(libraries[0]), ctypes.CDLL(None)
    result = ctypes.POINTER(ctypes.c_char_p)()
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(os.fsencode(tmp_path / "env"), b"re"))
    assert library.load_env_file(stream, b"env", ctypes.byref(result)) >= 0
    read, position = {}, 0
    while result[position]:
        name, value = result[position].decode().split("=", 1)
        read[name] = value
        position += 1
    assert read == values


def test_what_readers_make_of_other_peoples_files_is_what_we_read(tmp_path):
    """Random lines, not of our making: our reading is npm dotenv's."""
    packages = [package for package in dotenvs() if "/dotenv/" in package]
    if not packages:
        pytest.skip("DEVPORTAL_BACKEND names no folder with the npm package dotenv")
    dice = random.Random(11)
    pieces = [*"AB==='\"`\\#   \t:x$n", "\n", "\n", "\nA=", "\r\n"]
    texts = ["".join(dice.choices(pieces, k=18)) for _unused in range(3000)]
    (tmp_path / "texts").write_text(json.dumps(texts))
    script = """const [, npm, path] = process.argv, texts = JSON.parse(require('fs').readFileSync(path));
        console.log(JSON.stringify(texts.map(text => require(npm).parse(text))))"""
    done = subprocess.run(
        ["node", "-e", script, os.path.dirname(packages[0]), tmp_path / "texts"], capture_output=True, check=True
    )
    compared = 0
    for text, theirs in zip(texts, json.loads(done.stdout)):
        try:
            ours = env_file.read(text.encode(), "dotenv")
        except env_file.EnvFileError:
            continue
        compared += bool(theirs)
        assert ours == theirs, text
    assert compared > 1000


def test_the_file_is_made_closed_and_a_second_run_changes_nothing(run_module, tmp_path):
    path = tmp_path / ".env"
    asked = {"path": str(path), "variables": {"POSTGRES_PORT": 5432, "POSTGRES_PASSWORD": "s3cr3t"}}
    seen = run_module("backstage_env_file", check=True, diff=True, **asked)
    assert seen["changed"]
    assert not path.exists()
    first = run_module("backstage_env_file", diff=True, **asked)
    assert first["changed"]
    assert first["changed_variables"] == ["POSTGRES_PORT", "POSTGRES_PASSWORD"]
    assert path.read_text() == "POSTGRES_PORT=5432\nPOSTGRES_PASSWORD=s3cr3t\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = run_module("backstage_env_file", diff=True, **asked)
    assert not second["changed"]
    assert second["changed_variables"] == []
    for result in (seen, first, second):
        assert "s3cr3t" not in json.dumps(result)


def test_an_open_file_is_closed_and_told(run_module, tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    result = run_module("backstage_env_file", path=str(path), variables={"A": "1"})
    assert result["changed"]
    assert result["tightened"]
    assert "open to everybody" in json.dumps(result["warnings"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_shared_with_a_group_stays_so(run_module, tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o640)
    result = run_module("backstage_env_file", path=str(path), variables={"A": "2"})
    assert result["mode"] == "0640"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_set_and_kept(run_module, tmp_path):
    path = tmp_path / ".env"
    os.chown(tmp_path, 1234, 1235)
    run_module("backstage_env_file", path=str(path), variables={"A": "1"})
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
    asked = {"path": str(path), "variables": {"A": "1"}, "owner": "nobody", "group": "0"}
    assert run_module("backstage_env_file", check=True, **asked)["changed"]
    assert run_module("backstage_env_file", mode="0640", **asked)["changed"]
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (65534, 0, 0o640)


def test_absent_takes_the_variable_away(run_module, tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\nB=2\n")
    path.chmod(0o600)
    asked = {"path": str(path), "variables": {"A": ""}, "state": "absent"}
    assert run_module("backstage_env_file", **asked)["changed_variables"] == ["A"]
    assert path.read_text() == "B=2\n"
    assert not run_module("backstage_env_file", **asked)["changed"]
    path.unlink()
    assert not run_module("backstage_env_file", **asked)["changed"]
    assert not path.exists()


def test_check_mode_takes_a_directory_that_is_not_there_yet(run_module, tmp_path):
    result = run_module("backstage_env_file", check=True, path=str(tmp_path / "app" / ".env"), variables={"A": "1"})
    assert result["changed"]
    assert not result["failed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variables": {"SECRET": "it's $x\"hush"}}, "SECRET: the value cannot be written"),
        ({"variables": {"SECRET": True}}, "SECRET: the value is a boolean; write it as text, in quotes."),
        ({"variables": {"SECRET": None}}, "SECRET: the value is empty"),
        ({"variables": {"SECRET": ["hush"]}}, "SECRET: the value is a list"),
        ({"variables": {"A-B": "hush"}}, "'A-B' is not a variable's name"),
        ({"mode": "u=rw"}, "mode: 'u=rw' is not an octal number"),
        ({"owner": "no-such-user"}, "owner: there is no user 'no-such-user'"),
    ],
)
def test_bad_input_is_refused_and_the_file_stays(run_module, tmp_path, arguments, words):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    result = run_module("backstage_env_file", **{"path": str(path), "variables": {"A": "fresh"}, **arguments})
    assert result["failed"]
    assert words in result["msg"]
    assert str(path) in result["msg"]
    assert "hush" not in json.dumps(result)
    assert path.read_text() == "A=1\n"


def test_a_missing_directory_is_refused(run_module, tmp_path):
    result = run_module("backstage_env_file", path=str(tmp_path / "none" / ".env"), variables={"A": "1"})
    assert result["failed"]
    assert "Make the directory first" in result["msg"]


def test_the_result_tells_what_is_no_secret(run_module, tmp_path):
    (tmp_path / "backstage").mkdir()
    path = tmp_path / "backstage" / ".env"
    variables = {"POSTGRES_USER": "backstage", "DEBUG": "0", "POSTGRES_PASSWORD": "s3cr3t"}
    result = run_module("backstage_env_file", path=str(path), variables=variables, diff=True)
    assert (result["path"], result["mode"]) == (str(path), "0600")
    assert result["msg"].startswith(str(path))
    assert "s3cr3t" not in json.dumps(result)
    # A password that is a word of the path stays masked.
    result = run_module("backstage_env_file", path=str(path), variables={"POSTGRES_PASSWORD": "backstage"})
    assert "backstage" not in json.dumps({**result, "invocation": None}).replace("POSTGRES", "")
