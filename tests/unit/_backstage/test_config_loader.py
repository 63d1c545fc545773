# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each case says what Backstage reads; where DEVPORTAL_BACKEND names a folder with node_modules, it judges too."""

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import config_loader, config_reader

REFUSED = "refused"

# Name: (files, environment, --config files, what is read, or REFUSED).
CASES = {
    "substitution": (
        {"app-config.yaml": "a: ${X}\nb: x${X}y${Y}\nc: ${N}\nd: x${N}\ne: [1, '${N}', 2]\n"},
        {"X": " v ", "Y": "${X}"},
        (),
        {"a": "v", "b": "xvy${X}", "e": [1, 2]},
    ),
    "defaults": (
        {"app-config.yaml": "a: '${N:- d }'\nb: '${E:-d}'\nc: '${E:-}'\nd: '${X:-d}'\ne: '${X:-${Y}}'\nf: '${ X }'\n"},
        {"X": "v", "E": "", "Y": "y"},
        (),
        {"a": "d", "b": "d", "d": "v", "e": "${X:-y}", "f": "v"},
    ),
    "an empty variable is a text": ({"app-config.yaml": "a: ${E}\n"}, {"E": "  "}, (), {"a": ""}),
    "escapes": (
        {"app-config.yaml": "a: $${X}\nb: $X\nc: $$X\nd: '$$${X}'\ne: '${X'\nf: 'a${{X}}'\n"},
        {"X": "v"},
        (),
        {"a": "${X}", "b": "$X", "c": "$$X", "d": "$${X}", "e": "${X", "f": "a${{X}}"},
    ),
    "no second expansion, and JavaScript's white space": (
        {"app-config.yaml": "a: ${X}\n"},
        {"X": "\ufeff\xa0${Y}\x1c\u2028"},
        (),
        {"a": "${Y}\x1c"},
    ),
    "file order": (
        {
            "app-config.yaml": "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\n",
            "app-config.x.yaml": "b: 2\nc: 2\nd: 2\ne: 2\n",
            "app-config.local.yaml": "c: 3\nd: 3\ne: 3\n",
            "app-config.x.local.yaml": "d: 4\ne: 4\n",
            "app-config.production.yaml": "a: 9\n",
        },
        {"BACKSTAGE_ENV": "x, y", "APP_CONFIG_e": "5", "NODE_ENV": "production"},
        (),
        {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
    ),
    "--config replaces the default files": (
        {"app-config.yaml": "a: 1\n", "app-config.local.yaml": "a: 2\n", "b.yaml": "b: 3\n"},
        {"BACKSTAGE_ENV": "x"},
        ("app-config.yaml", "b.yaml"),
        {"a": 1, "b": 3},
    ),
    "merging": (
        {
            "app-config.yaml": "a: {b: 1, c: [1, 2], d: {e: 1}, f: 1, g: x}\nh: {i: 1}\n",
            "app-config.local.yaml": "a: {b: 2, c: [3], d: {z: 2}, f: null, g: {y: 1}}\nh: text\n",
        },
        {},
        (),
        {"a": {"b": 2, "c": [3], "d": {"e": 1, "z": 2}, "g": {"y": 1}}, "h": "text"},
    ),
    "null hides, and is gone": (
        {"app-config.yaml": "a: {b: 1}\nc: ~\nd: {e: null}\nf: [null]\n", "app-config.local.yaml": "a: null\n"},
        {},
        (),
        {"d": {}, "f": [None]},
    ),
    "an empty file": ({"app-config.yaml": "a: 1\n", "app-config.local.yaml": "# none\n"}, {}, (), {"a": 1}),
    "YAML 1.2": (
        {"app-config.yaml": "a: yes\nb: 0o17\nc: 0777\nd: 2020-01-01\ne: ~\nf: .5\ng: 1_000\n1: x\n<<: {m: 1}\n"},
        {},
        (),
        {"a": "yes", "b": 15, "c": 777, "d": "2020-01-01", "f": 0.5, "g": "1_000", "1": "x", "<<": {"m": 1}},
    ),
    "references": (
        {
            "app-config.yaml": "a: {$env: X}\nb: {$file: sub/s.txt}\nc: {$include: sub/i.yaml#k.l}\n"
            "d: {$include: 'sub/j.json#n'}\ne: {$env: N}\nf: {$file: '${F}'}\ng: {$include: sub/i.yaml#gone}\n"
            "h: {$include: sub/i.yaml#text}\n",
            "sub/s.txt": " ${X} \n\t",
            "sub/i.yaml": "k: {l: {m: '${X}', s: {$file: s.txt}}}\ntext: '${X}!'\n",
            "sub/j.json": '{"n": [1, "${X}", null]}',
        },
        {"X": " v ", "F": "sub/s.txt"},
        (),
        {
            "a": "v",
            "b": " ${X}",
            "c": {"m": "v", "s": " ${X}"},
            "d": [1, "v", None],
            "f": " ${X}",
            "h": "v!",
        },
    ),
    "variables": (
        {"app-config.yaml": "a: {b: 1}\n"},
        {
            "APP_CONFIG_a_c": "12345",
            "APP_CONFIG_a_d": "text",
            "APP_CONFIG_a_e": '"12"',
            "APP_CONFIG_f": '{"g": [true]}',
            "APP_CONFIG_h": "",
            "APP_CONFIG_i": "NaN",
            "APP_CONFIG_j": " 7 ",
            "APP_CONFIG_a-b:c": "${X}",
        },
        (),
        {
            "a": {"b": 1, "c": 12345, "d": "text", "e": "12"},
            "f": {"g": [True]},
            "i": "NaN",
            "j": 7,
            "a-b:c": "${X}",
        },
    ),
    "aliases": ({"app-config.yaml": "a: &x {b: '${X}'}\nc: *x\n"}, {"X": "v"}, (), {"a": {"b": "v"}, "c": {"b": "v"}}),
    "a byte order mark and CRLF": (
        {"app-config.yaml": "\ufeffa: 1\r\nb: ${X}\r\n"},
        {"X": "v"},
        (),
        {"a": 1, "b": "v"},
    ),
    "no app-config.yaml": ({"app-config.local.yaml": "a: 1\n"}, {}, (), REFUSED),
    "a missing --config": ({"app-config.yaml": "a: 1\n"}, {}, ("b.yaml",), REFUSED),
    "a list at the root": ({"app-config.yaml": "- 1\n"}, {}, (), REFUSED),
    "a text at the root": ({"app-config.yaml": "text\n"}, {}, (), REFUSED),
    "duplicate keys": ({"app-config.yaml": "a: 1\na: 2\n"}, {}, (), REFUSED),
    "two documents": ({"app-config.yaml": "a: 1\n---\na: 2\n"}, {}, (), REFUSED),
    "a reference beside keys": ({"app-config.yaml": "a: {$env: X, b: 1}\n"}, {"X": "v"}, (), REFUSED),
    "a reference that is no text": ({"app-config.yaml": "a: {$env: [X]}\n"}, {"X": "v"}, (), REFUSED),
    "a reference by an unset variable": ({"app-config.yaml": "a: {$file: '${N}'}\n"}, {}, (), REFUSED),
    "a missing $file, though overridden": (
        {"app-config.yaml": "a: {$file: none}\n", "app-config.local.yaml": "a: 1\n"},
        {},
        (),
        REFUSED,
    ),
    "a missing $include": ({"app-config.yaml": "a: {$include: none.yaml}\n"}, {}, (), REFUSED),
    "an $include of another kind": ({"app-config.yaml": "a: {$include: s.txt}\n", "s.txt": ""}, {}, (), REFUSED),
    "an $include into a text": (
        {"app-config.yaml": "a: {$include: i.yaml#b.c}\n", "i.yaml": "b: x\n"},
        {},
        (),
        REFUSED,
    ),
    "bad JSON in an $include": ({"app-config.yaml": "a: {$include: i.json}\n", "i.json": "{a: 1}"}, {}, (), REFUSED),
    "a null variable": ({"app-config.yaml": "a: 1\n"}, {"APP_CONFIG_a": "null"}, (), REFUSED),
    "a variable that is no key": ({"app-config.yaml": "a: 1\n"}, {"APP_CONFIG_a__b": "1"}, (), REFUSED),
    "variables below a plain one": ({"app-config.yaml": ""}, {"APP_CONFIG_a": "1", "APP_CONFIG_a_b": "1"}, (), REFUSED),
    "variables above one": ({"app-config.yaml": ""}, {"APP_CONFIG_a_b": "1", "APP_CONFIG_a": "{}"}, (), REFUSED),
}

_JUDGE = """
const { ConfigSources } = require(process.argv[1] + '/node_modules/@backstage/config-loader');
(async () => {
  const out = [];
  for (const { dir, env, files } of JSON.parse(require('fs').readFileSync(0))) {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, env);
    try {
      const argv = files.flatMap(file => ['--config', dir + '/' + file]);
      const source = ConfigSources.default({ argv, rootDir: dir, watch: false });
      const config = await ConfigSources.toConfig(source);
      out.push({ read: config.getOptional() ?? {} });
    } catch (error) {
      out.push({ refused: String(error) });
    }
  }
  console.log(JSON.stringify(out));
  process.exit(0);
})();
"""


def laid_out(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return str(folder)


def ours(directory, environment, config_files):
    try:
        config = config_loader.load(directory, environment, config_files)
        value = config.root.optional()
    except config_reader.ConfigLoaderError as error:
        return REFUSED if len(str(error)) > 20 else str(error)
    if config.problems:
        return REFUSED
    return {} if value is config_reader.MISSING else value


def judged(calls):
    backend = os.environ.get("DEVPORTAL_BACKEND", "")
    if not os.path.isdir(f"{backend}/node_modules/@backstage/config-loader"):
        pytest.skip("DEVPORTAL_BACKEND names no folder with @backstage/config-loader")
    done = subprocess.run(
        ["node", "-e", _JUDGE, backend],
        input=json.dumps([{"dir": directory, "env": env, "files": files} for directory, env, files in calls]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [answer.get("read", REFUSED) for answer in json.loads(done.stdout)]


@pytest.mark.parametrize("name", CASES)
def test_what_is_read(tmp_path, name):
    files, environment, config_files, read = CASES[name]
    assert ours(laid_out(tmp_path, files), environment, config_files) == read


def test_backstage_reads_the_cases_so(tmp_path):
    calls, wanted = [], []
    for number, (files, environment, config_files, read) in enumerate(CASES.values()):
        calls.append((laid_out(tmp_path / str(number), files), environment, config_files))
        wanted.append(read)
    assert dict(zip(CASES, judged(calls))) == dict(zip(CASES, wanted))


def test_backstage_reads_random_files_as_we_do(tmp_path):
    dice = random.Random(3)
    scalars = ["${X}", "$${X}", "x${N}", "${N:-d}", "${E}", "${E:-}", "", "text", "$", "${", "}", 1, 2.5, True, None]
    scalars += [{"$env": "X"}, {"$env": "N"}, {"$file": "s.txt"}, {"$include": "i.yaml"}, {"$include": "i.yaml#p"}]
    # Rare ones, since each of them ends the whole reading.
    rare = [{"$file": "none"}, {"$env": "X", "a": 1}, {"$include": "i.yaml#p.q"}]

    def value(depth):
        if depth and dice.random() < 0.5:
            return {dice.choice("abcd"): value(depth - 1) for _unused in range(dice.randrange(4))}
        if depth and dice.random() < 0.2:
            return [value(depth - 1) for _unused in range(dice.randrange(3))]
        return dice.choice(rare if dice.random() < 0.01 else scalars)

    calls = []
    for number in range(400):
        files = {f"app-config{part}.yaml": json.dumps({"a": value(3), "b": value(3)}) for part in ("", ".local", ".x")}
        files.update({"s.txt": " s \n", "i.yaml": "p: '${X}'\nr: {$file: s.txt}\n"})
        environment = {"X": " v ", "E": ""}
        if dice.random() < 0.5:
            environment.update({"BACKSTAGE_ENV": "x", "APP_CONFIG_a_b": dice.choice(["1", '{"c": null}', "[2]", "t"])})
        calls.append((laid_out(tmp_path / str(number), files), environment, ()))
    theirs = judged(calls)
    assert [ours(*call) for call in calls] == theirs
    assert theirs.count(REFUSED) < 200


def database(tmp_path, text, environment=(), **more):
    folder = laid_out(tmp_path, {"app-config.yaml": text, **more.pop("files", {})})
    return config_loader.load(folder, dict(environment), **more)


def test_values_know_where_they_come_from(tmp_path):
    config = database(
        tmp_path,
        "backend:\n  database:\n    client: pg\n    connection:\n      host: ${H}\n      user: u\n      port: 1\n",
        {"H": "h", "APP_CONFIG_backend_database_connection_port": "5"},
        files={
            "app-config.local.yaml": "backend: {database: {connection: {user: {$include: i.yaml#u}}}}\n",
            "i.yaml": "\nu: v",
        },
    )
    place = str(tmp_path / "app-config.yaml")
    assert str(config.origin("backend.database.connection.host")) == f"{place}:5 (H)"
    assert str(config.origin("backend.database.connection.port")) == "APP_CONFIG_backend_database_connection_port"
    assert str(config.origin("backend.database.connection.user")) == f"{tmp_path / 'i.yaml'}:2"
    assert config.origin("backend.database.connection.password") is None


def test_dropped_keys_know_their_variable(tmp_path):
    text = "backend:\n  database:\n    connection:\n      password: ${P}\n      user: ${U}\n"
    config = database(tmp_path, text, {})
    dropped = config.dropped("backend.database.connection.password")
    assert (dropped.variable, dropped.place) == ("P", f"{tmp_path / 'app-config.yaml'}:4")
    assert config.dropped("backend.database.connection.user").variable == "U"


def test_an_error_never_shows_a_value(tmp_path):
    for text in ("a: {$env: secret, b: secret}", "a: {$file: [secret]}", "secret\n", "a: secret\n b: c\n"):
        try:
            told = " ".join(database(tmp_path, text).problems)
        except config_reader.ConfigLoaderError as error:
            told = str(error)
        assert told
        assert "secret" not in told


def test_a_fault_elsewhere_leaves_the_database_readable(tmp_path):
    config = database(tmp_path, "a: [{$include: none.yaml}]\nbackend: {database: {client: pg}}\n")
    assert config.root.string("backend.database.client") == "pg"
    assert [problem.split(": ")[1] for problem in config.problems] == ["a.0"]
    for text in ("backend: {$include: none.yaml}", "backend: {database: {connection: {$file: none}}}"):
        with pytest.raises(config_reader.ConfigLoaderError, match="there is no such file"):
            database(tmp_path, text)


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "x: !!binary aGk=\n", "x: &a [*a]\n"])
def test_what_no_configuration_has_is_told(tmp_path, text):
    (tmp_path / "app-config.yaml").write_text(text)
    with pytest.raises(config_reader.ConfigLoaderError, match=r"app-config\.yaml: line 1"):
        config_loader.load(str(tmp_path), {})
