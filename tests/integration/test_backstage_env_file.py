# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, and the formats' real readers.

DEVPORTAL_BACKEND names a folder with node_modules; dotenv, dotenv1*, dotenv-cli, env-cmd and node* there are readers.
docker compose is asked in the scenario `container`.
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
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import env_file
from ansible_collections.devportal.backstage.tests.integration.env_values import written

MODULES = pathlib.Path(os.environ.get("DEVPORTAL_BACKEND", "/nonexistent"), "node_modules")
DOTENVS = sorted(str(path) for name in ("dotenv", "dotenv1*") for path in MODULES.glob(f"{name}/package.json"))
# Debian's own, and those of npm: 20 or 22, and 24.
NODES = [node for node in (shutil.which("node"), *map(str, sorted(MODULES.glob("node*/bin/node")))) if node]


def release(node):
    return int(subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])


def by_program(command, names, env=None):
    """What a process has that a program starts with the variables of a file; None for one that is not set."""
    script = "console.log(JSON.stringify(JSON.parse(process.argv[1]).map(name => process.env[name] ?? null)))"
    done = subprocess.run(
        [*command, "-e", script, json.dumps(list(names))],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath, **(env or {})},
    )
    return dict(zip(names, json.loads(done.stdout)))


def by_systemd(path):
    """What systemd's own reader, load_env_file() of its shared library, has of a file; None where it rejects it."""
    libraries = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
        "/usr/lib/systemd/libsystemd-shared-*"
    )
    if not libraries:
        pytest.skip("systemd's shared library is not installed here")
    library, libc = ctypes.CDLL(libraries[0]), ctypes.CDLL(None)
    result = ctypes.POINTER(ctypes.c_char_p)()
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(os.fsencode(path), b"re"))
    if library.load_env_file(stream, b"env", ctypes.byref(result)) < 0:
        return None
    read, position = {}, 0
    while result and result[position]:
        name, value = result[position].decode().split("=", 1)
        read[name] = value
        position += 1
    return read


@pytest.mark.parametrize("package", DOTENVS or [None])
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


@pytest.mark.parametrize("node", NODES or [None])
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
def test_shells_read_what_was_written_for_systemd(tmp_path, shell):
    values = written(tmp_path / "env", "systemd", b"")
    values.pop("LATER")
    done = subprocess.run(
        [shutil.which(shell), "-c", "set -a; . ./env && env -0"], cwd=tmp_path, capture_output=True, check=True, env={}
    )
    read = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line)
    assert {name: read.get(name) for name in values} == values
    assert done.stderr == b""
    assert set(read) - set(values) <= {"PWD", "SHLVL", "_", "OLDPWD"}


def test_systemd_reads_what_was_written(tmp_path):
    values = written(tmp_path / "env", "systemd")
    assert by_systemd(tmp_path / "env") == values


def test_what_readers_make_of_other_peoples_files_is_what_we_read(tmp_path):
    """Random lines, not of our making: our reading is npm dotenv's."""
    packages = [package for package in DOTENVS if "/dotenv/" in package]
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
        except CollectionError:
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
    assert "World access was removed (mode 0600)" in json.dumps(result["warnings"])
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
    tmp_path.chmod(0o755)
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
        ({"variables": {"SECRET": True}}, "SECRET: the value is a boolean. Write it as a string, in quotes."),
        ({"variables": {"SECRET": None}}, "SECRET: the value is empty"),
        ({"variables": {"SECRET": ["hush"]}}, "SECRET: the value is a list"),
        ({"variables": {"A-B": "hush"}}, "'A-B' is not a valid variable name"),
        ({"mode": "u=rw"}, "mode: 'u=rw' is not an octal number"),
        ({"owner": "no-such-user"}, "owner: the user 'no-such-user' does not exist"),
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
    assert "Create the directory first" in result["msg"]


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


def said(result):
    return [text if isinstance(text, str) else text["event"]["msg"] for text in result.get("warnings", [])]


LINES = [
    "A=1", "   ", "\t", "", "", "some note", "; comment", "set -a", "use flake", "B: 2", "# fine", "  # indented", "A=",
    "A= ", "export A=1", "export  B=2", "B='1\n2'", 'B="x" y', "A=x # c", "HOST\t=\told", "\tHOST=old", "HOST=old",
    "HOST = old", "export HOST='old'", "\ufeffHOST=old", "\xa0HOST=old", "=", "= x", "C=`a`", "D=a=b",
]  # fmt: skip


@pytest.mark.skipif(not NODES, reason="there is no node")
def test_a_file_that_some_node_misreads_gets_a_warning_with_its_release_and_no_other_does(tmp_path):
    """Random files, each changed by us, then read by every Node: their answer against our warnings."""
    dice = random.Random(16)
    texts = ["\n".join(dice.choices(LINES, k=dice.randrange(1, 6))) + "\n" for _unused in range(1500)]
    changed = []
    for text in texts:
        try:
            changed.append(env_file.set_variables(text.encode(), {"HOST": "new"}, "dotenv"))
        except CollectionError:
            continue
    assert len(changed) > 1200
    (tmp_path / "texts").write_text(json.dumps([data.decode() for data in changed]))
    script = """const texts = JSON.parse(require('fs').readFileSync(process.argv[1]));
        console.log(JSON.stringify(texts.map(text => require('util').parseEnv(text).HOST ?? null)))"""
    lost = 0
    for node in NODES:
        done = subprocess.run([node, "-e", script, tmp_path / "texts"], capture_output=True, check=True)
        words = ("Node 20 ",) if release(node) < 22 else ("Node 20 and", "Node 22 and")
        for data, read in zip(changed, json.loads(done.stdout)):
            warned = [
                text for text in env_file.warnings(data, ["HOST"], "dotenv") if any(word in text for word in words)
            ]
            assert bool(warned) is (read != "new"), (release(node), data, read, warned)
            lost += read != "new"
    assert lost > 100


@pytest.mark.parametrize("node", NODES or [None])
@pytest.mark.parametrize(
    ("text", "loses"),
    [
        ("A=1\n   \n", 20),
        ("A=1\nsome note\n", 20),
        ("HOST\t=\told\n", 20),
        ("A= \n", 22),
        ("\ufeffHOST=x\n", 0),
        ("A=1\n", -1),
    ],
)
def test_node_reads_the_variable_where_the_module_does_not_warn(run_module, tmp_path, node, text, loses):
    if node is None:
        pytest.skip("there is no node")
    path = tmp_path / ".env"
    path.write_text(text)
    warnings = said(run_module("backstage_env_file", path=str(path), variables={"HOST": "new"}))
    number = release(node)
    lost = loses == 0 or (loses == 20 and number < 22) or (loses == 22 and number >= 22)
    assert (by_program([node, f"--env-file={path}"], ["HOST"])["HOST"] == "new") is not lost
    assert [f"Node {loses or 20}" in text for text in warnings if "Node" in text] == [True] * (loses >= 0)


@pytest.mark.skipif(not (MODULES / "dotenv-cli").exists(), reason="DEVPORTAL_BACKEND has no dotenv-cli and env-cmd")
def test_dotenv_cli_and_env_cmd_read_the_variables_that_the_module_does_not_warn_of(run_module, tmp_path):
    path = tmp_path / ".env"
    path.write_text("export E=old\nF='x # y'\n")
    values = {
        "A": "p$w$HOME",
        "B": "a b#c",
        "C": "one\ntwo",
        "D": "plain",
        "E": "new",
        "F": "x # y",
        "G": "a\\nb",
        "H": "5$",
    }
    warnings = said(run_module("backstage_env_file", path=str(path), variables=values))
    commands = {
        "dotenv-cli": ["node", str(MODULES / "dotenv-cli" / "cli.js"), "-e", str(path), "--", "node"],
        "env-cmd": ["node", str(MODULES / "env-cmd" / "bin" / "env-cmd.js"), "-f", str(path), "--", "node"],
    }
    for program, command in commands.items():
        [warning] = [text for text in warnings if program in text]
        warned = warning.split(": ")[1].split(", ")
        read = by_program(command, values, {"HOME": "/root"})
        wrong = [name for name in values if read[name] != values[name]]
        assert set(wrong) <= set(warned), (program, read)
        assert set(warned) - set(wrong) <= {"H"}, (program, read)  # older releases expand a lone $ too
    assert {name: by_program([NODES[0], f"--env-file={path}"], values)[name] for name in values} == values


@pytest.mark.parametrize(
    ("data", "line"), [(b"TITEL=Gr\xfc\xdfe\nA=1\n", 1), (b"A=1\nexport B=\xe4\n", 2), (b"A=1\nB='\xff'\n", 2)]
)
def test_a_file_that_systemd_rejects_is_refused_with_the_line(run_module, tmp_path, data, line):
    path = tmp_path / "environment"
    path.write_bytes(data)
    assert by_systemd(path) is None
    for check in (True, False):
        result = run_module("backstage_env_file", check=check, path=str(path), format="systemd", variables={"A": "2"})
        assert result["failed"]
        assert result["msg"].startswith(f"{path}: line {line}: contains bytes that are not UTF-8")
        assert path.read_bytes() == data
    assert run_module("backstage_env_file", path=str(path), variables={"A": "2"})["changed"]  # dotenv takes it


def test_shell_is_no_format(run_module, tmp_path):
    result = run_module("backstage_env_file", path=str(tmp_path / "env"), format="shell", variables={"A": "2"})
    assert "must be one of: dotenv, systemd" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    ("group", "modes", "tightened"),
    [
        ("users", (0o640, None, 0o600), True),
        ("users", (0o660, None, 0o600), True),
        ("nogroup", (0o440, None, 0o600), True),
        ("users", (0o644, None, 0o600), True),
        ("users", (0o600, None, 0o600), False),
        ("daemon", (0o640, None, 0o640), False),
        ("users", (0o640, "0640", 0o640), False),
        ("users", (0o640, "0400", 0o400), True),
    ],
)
def test_a_group_that_everybody_is_in(run_module, tmp_path, group, modes, tightened):
    mode, asked, becomes = modes
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    shutil.chown(path, group=group)
    path.chmod(mode)
    result = run_module("backstage_env_file", path=str(path), variables={"POSTGRES_PASSWORD": "new"}, mode=asked)
    assert (stat.S_IMODE(path.stat().st_mode), result["tightened"]) == (becomes, tightened)
    assert path.group() == group
    assert not run_module("backstage_env_file", path=str(path), variables={"POSTGRES_PASSWORD": "new"}, mode=asked)[
        "changed"
    ]
