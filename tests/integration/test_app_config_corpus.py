# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real app-config files, and two other readers of what comes out.

CORPUS names a folder with app-config files (*.yaml); without it a few of our own stand in. DEVPORTAL_BACKEND names a
folder with node_modules, in it @backstage/config-loader and @backstage/backend-defaults: Backstage's own reader.
"""

from __future__ import annotations

import difflib
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import ruamel.yaml
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import connection_settings, database_block
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

OWN = {
    "template": b"""\
backend:
  # kept
  database:
    client: better-sqlite3
    connection: ':memory:'
  # workingDirectory: /tmp
app: {title: x}
""",
    "crlf": b"""\
backend:\r
  database:\r
    client: pg\r
    connection:\r
      host: 'localhost' # kept\r
      port: 5432\r
      user: postgres\r
      password: secret\r
      ssl: {rejectUnauthorized: false}\r
app: 1""",
    "flow": b"backend: {database: {client: sqlite3, connection: {directory: /x}, prefix: a_}}\n",
    "broken": b"backend:\n<<<<<<< HEAD\n  a: 1\n=======\n  a: 2\n>>>>>>> x\n",
}
MODES = {
    "env": connection_settings.by_variable(connection_settings.VARIABLES),
    "literal": connection_settings.by_literal("db.example.com", 5433, "backstage", "12345"),
    "file": connection_settings.by_file("db.example.com", 5433, "backstage", "postgres-password"),
}
IN_FILE = "the password in the file"
SECRETS = [
    *("12345", "0", "-1", "1e3", "0x1F", "0o17", "0777", "1_000", ".5", ".inf", ".NaN", "12:30:45", "2026-05-01"),
    *("true", "False", "yes", "NO", "on", "off", "null", "Null", "~", "y", "n"),
    *("${X}", "a${X}b", "$${X}", "$$${X}", "${X:-y}", "${", "$X", "$$", "${{X}}", "${X${Y}}", "}${X}"),
    *(
        "it's",
        'say "hi"',
        "'",
        '"',
        "\\",
        "back\\slash",
        "\\n",
        "'\"\\",
        "''",
        "%",
        "&a",
        "*a",
        "!t",
        "|",
        ">",
        "@",
        "`",
    ),
    *(
        "#",
        "a #b",
        "a: b",
        ": ",
        "a:",
        "- a",
        "-",
        "?",
        "? a",
        "[a]",
        "{a}",
        ", ",
        "<<",
        "=",
        "---",
        "...",
        "# ",
        "a\tb",
    ),
    *(" lead", "trail ", "  ", "\ttab", "two\nlines", "\n", "a\r\nb", "\u2028", "\x85", "\ufeff", "\x7f", "\x1b"),
    *("密碼-пароль-ünïcödé", "😀 emoji 👩‍👩‍👧", "e\u0301", "\u200b", "x" * 4096, "long words " * 400 + "end"),
]

# Reads {path, ...}: [{path}], gives [{data} or {error}]; a variable's value is <NAME>.
_JUDGE = """
const { createRequire } = require('module');
process.chdir(process.argv[1]);
const { FileConfigSource, loadConfigSchema } = createRequire(process.argv[1] + '/')('@backstage/config-loader');
(async () => {
  const schema = await loadConfigSchema({ dependencies: ['@backstage/backend-defaults'] });
  if (schema.serialize().schemas.length === 0) throw new Error('there is no schema');
  const answers = [];
  for (const path of JSON.parse(require('fs').readFileSync(0))) {
    try {
      const substitutionFunc = async name => /DIVISION_?MODE/i.test(name) ? 'schema' : `<${name}>`;
      const source = FileConfigSource.create({ path, watch: false, substitutionFunc });
      const { configs } = (await source.readConfigData().next()).value;
      const data = configs[0].data;
      let wrong = [];
      try {
        schema.process([{ context: 'x', data: structuredClone(data) }]);
      } catch (error) { wrong = error.messages ?? [`${error}`]; }
      answers.push({ data, wrong: wrong.filter(message => message.includes('/backend/database')) });
    } catch (error) { answers.push({ error: `${error}` }); }
  }
  console.log(JSON.stringify(answers));
})();
"""


def corpus():
    folder = os.environ.get("CORPUS")
    if not folder:
        return OWN
    found = {path.stem: path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.yaml"))}
    assert found, f"CORPUS is {folder}, where there is no *.yaml"
    return found


FILES = corpus()


def patched(data, wanted):
    """The new content, or None where it is refused."""
    try:
        return database_block.present(data, wanted).data
    except CollectionError:
        return None


def block_lines(text):
    """The lines of backend.database, by indentation alone."""
    lines = text.split("\n")
    start = indent = None
    in_backend = False
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            in_backend = bare.startswith("backend:")
        if start is not None and depth <= indent:
            return range(start, number)
        if start is None and in_backend and (bare.startswith("database:") or (depth == 0 and "{" in bare)):
            start, indent = number, depth
    return range(start, len(lines))


@pytest.mark.parametrize("name", FILES)
def test_only_lines_of_the_database_block_differ(name):
    data = FILES[name]
    for wanted in MODES.values():
        if b"<<<<<<<" in data:
            with pytest.raises(CollectionError, match="conflict markers"):
                database_block.present(data, wanted)
            continue
        first = database_block.present(data, wanted)
        assert database_block.present(first.data, wanted).data == first.data
        before, after = data.decode().split("\n"), first.data.decode().split("\n")
        allowed = block_lines(data.decode())
        for kind, start, stop, to, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind != "equal":
                assert start in allowed
                assert stop - 1 in allowed or stop == start
                lost = [line for line in before[start:stop] if line.strip().startswith("#")]
                assert [line for line in after[to:end] if line.strip().startswith("#")] == lost
        assert [line.endswith("\r") for line in before[:1]] == [line.endswith("\r") for line in after[:1]]
        assert len({line.endswith("\r") for line in after[:-1]}) == len({line.endswith("\r") for line in before[:-1]})


def without_database(tree):
    return {**tree, "backend": {key: value for key, value in tree["backend"].items() if key != "database"}}


def check_trees(before, after, wanted, removed):
    """`after` has the wanted database, less what was removed, and else what `before` has."""
    assert without_database(before) == without_database(after)
    database = dict(after["backend"]["database"])
    old = before["backend"]["database"]
    connection = dict(database.pop("connection"))
    old_connection = old.get("connection") if isinstance(old.get("connection"), dict) else {}
    assert database.pop("client") == "pg"
    for key, value in wanted.items():
        assert str(connection.pop(key)) == str(value)
    assert {f"backend.database.connection.{key}" for key in old_connection} == {
        f"backend.database.connection.{key}" for key in connection
    } | {name for name in removed if name.count(".") == 3} | {
        f"backend.database.connection.{key}" for key in wanted if key in old_connection
    }
    assert connection == {key: value for key, value in old_connection.items() if key in connection}
    assert database == {
        key: value
        for key, value in old.items()
        if key not in ("client", "connection") and f"backend.database.{key}" not in removed
    }


@pytest.mark.parametrize("name", FILES)
def test_ruamel_reads_the_same(name):
    reader = ruamel.yaml.YAML(typ="safe", pure=True)
    for wanted in MODES.values():
        if patched(FILES[name], wanted) is None:
            continue
        result = database_block.present(FILES[name], wanted)
        before, after = (reader.load(data.decode()) for data in (FILES[name], result.data))
        check_trees(before, after, wanted, result.removed)


def references(value):
    """The files that a tree refers to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("$file", "$include") and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def lay_out(folder, data):
    """Write a file, and stand-ins for those that it refers to."""
    folder.mkdir(parents=True)
    (folder / "postgres-password").write_text(IN_FILE + "\n")
    (folder / "app-config.yaml").write_bytes(data)
    for reference in references(database_block.Document(data).tree):
        target = folder / reference.partition("#")[0]
        assert folder in target.resolve().parents or not target.is_absolute(), reference
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_text("{}")
    return str(folder / "app-config.yaml")


@pytest.fixture(scope="module")
def backstage():
    """A function that gives Backstage's reading of many files in one go."""
    backend = os.environ.get("DEVPORTAL_BACKEND")
    if not backend or not os.path.isdir(f"{backend}/node_modules/@backstage/backend-defaults"):
        pytest.skip("DEVPORTAL_BACKEND names no folder with @backstage/config-loader and @backstage/backend-defaults")
    assert shutil.which("node"), "there is no node on PATH"

    def read(paths):
        done = subprocess.run(
            ["node", "-e", _JUDGE, os.path.abspath(backend)],
            input=json.dumps(paths),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read


def read_by_backstage(wanted):
    """What Backstage makes of the four settings, where a variable's value is <NAME>."""
    texts = {
        key: value.replace("${", "<").replace("}", ">") if isinstance(value, str) else value
        for key, value in wanted.items()
    }
    return {**texts, **({"password": IN_FILE} if isinstance(wanted["password"], dict) else {})}


def test_backstage_reads_what_was_meant(tmp_path, backstage):
    cases = []
    for name, data in FILES.items():
        for mode, wanted in MODES.items():
            if patched(data, wanted) is not None:
                result = database_block.present(data, wanted)
                pair = [lay_out(tmp_path / name / mode / str(n), text) for n, text in enumerate((data, result.data))]
                cases.append((f"{name} {mode}", pair, wanted, result.removed))
    answers = iter(backstage([path for _unused, pair, _unused, _unused in cases for path in pair]))
    assert len(cases) >= 3 * (len(FILES) - 1)
    for case, _unused, wanted, removed in cases:
        before, after = next(answers), next(answers)
        assert "data" in before, (case, before)
        assert "data" in after, (case, after)
        assert after["wrong"] == [], case
        check_trees(before["data"], after["data"], read_by_backstage(wanted), removed)


def test_backstage_reads_every_secret(tmp_path, backstage):
    names = [name for name, data in FILES.items() if patched(data, MODES["env"]) is not None]
    cases = []
    for number, secret in enumerate(SECRETS):
        connection_settings.check_password(secret, "literal")
        wanted = connection_settings.by_literal("${HOST}", 5432, "true", secret)
        for name in (names[0], names[number % len(names)]):
            data = database_block.present(FILES[name], wanted).data
            assert database_block.present(data, wanted).data == data
            folder = tmp_path / "literal" / f"{number}-{len(cases)}"
            cases.append((secret, lay_out(folder, data)))
    answers = backstage([path for _unused, path in cases])
    for (secret, path), answer in zip(cases, answers):
        assert "data" in answer, (secret, path, answer)
        connection = answer["data"]["backend"]["database"]["connection"]
        found = {key: connection[key] for key in connection_settings.KEYS}
        # A port that stood there in quotes keeps them.
        assert {**found, "port": int(found["port"])} == {
            "host": "${HOST}",
            "port": 5432,
            "user": "true",
            "password": secret,
        }
        assert answer["wrong"] == []


def test_backstage_reads_every_secret_from_a_file(tmp_path, backstage):
    cases = []
    for number, secret in enumerate(SECRETS):
        try:
            connection_settings.check_password(secret, "file")
        except CollectionError:
            continue
        folder = tmp_path / str(number)
        name = "pass${X}word" if number % 2 else "postgres-password"
        wanted = connection_settings.by_file("h", 5432, "u", name)
        cases.append((secret, lay_out(folder, database_block.present(OWN["template"], wanted).data)))
        (folder / name).write_bytes(secret.encode() + b"\n")
    assert len(cases) > len(SECRETS) * 0.8
    for (secret, _unused), answer in zip(cases, backstage([path for _unused, path in cases])):
        assert answer["data"]["backend"]["database"]["connection"]["password"] == secret


@pytest.mark.parametrize("credentials", MODES)
def test_the_module_on_some(tmp_path, run_module, credentials):
    chosen = list(FILES)[:: max(1, len(FILES) // 5)]
    chosen += [name for name, data in FILES.items() if b"<<<<<<<" in data]
    for name in dict.fromkeys(chosen):
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(FILES[name])
        wish = {"host": "db.example.com", "port": 5433, "user": "backstage", "password": "12345"}
        expected = patched(FILES[name], MODES[credentials])
        for again in (False, True):
            result = run_module("backstage_app_config", path=str(path), credentials=credentials, **wish)
            if expected is None:
                assert result["failed"]
                assert "git's conflict markers" in result["msg"]
                assert path.read_bytes() == FILES[name]
            else:
                assert not result["failed"], result
                assert result["changed"] == (not again and (expected != FILES[name] or credentials == "file"))
                assert path.read_bytes() == expected
        (tmp_path / "postgres-password").unlink(missing_ok=True)
