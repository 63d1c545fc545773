# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that hold the tests up: each test here shows that one of them can fail."""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted(path.stem for path in ROOT.glob("tests/bench/*.py")))
def test_a_benchmark_finds_what_it_measures(path):
    importlib.import_module(f"ansible_collections.devportal.backstage.tests.bench.{path}")


@pytest.mark.parametrize("hosts", ["[]", None])
def test_a_scenario_without_hosts_fails(hosts):
    env = {name: value for name, value in os.environ.items() if name != "VERIFY_HOSTS"}
    if hosts is not None:
        env["VERIFY_HOSTS"] = hosts
    tests = ROOT / "molecule" / "shared" / "tests"
    env["PYTHONPATH"] = os.pathsep.join([str(tests), env.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "plugin", str(tests)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is nothing to verify" in done.stderr


_REPORTED = """
import sys
sys.path.insert(0, sys.argv[1])
import failures, pathlib
print(*failures.of_junit(pathlib.Path(sys.argv[2])), *failures.of_log(sys.stdin.read()), sep="\\n")
"""


@pytest.mark.parametrize("item", ['    "{}",', "    - '{}'", "    - {}"])
def test_the_end_of_a_run_repeats_what_failed(tmp_path, item):
    (tmp_path / "test_x.py").write_text("def test_a():\n    assert 1 == 2\n\ndef test_b(): pass\n", encoding="utf-8")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", "test_x.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    listed = "".join(item.format(line) + "\n" for line in done.stdout.splitlines())
    log = f"TASK [Show the output]\n{listed}PLAY RECAP\n"
    command = [sys.executable, "-B", "-c", _REPORTED, str(ROOT / "tests" / "tools"), str(report)]
    shown = subprocess.run(command, input=log, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[0].startswith("test_x::test_a: assert 1 == 2")
    assert "E       assert 1 == 2" in shown
    assert shown[-1].startswith("FAILED test_x.py::test_a")
    assert not [line for line in shown if "test_b" in line or "RECAP" in line]


_NEWEST = """
import sys
sys.path.insert(0, sys.argv[1])
import pins
print(pins.newest_minor(sys.argv[2], sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("image", "builds", "newest"),
    [
        ("postgres:17.0-bookworm", ["17.9.0-beta.16", "17.10.0-beta.17", "18.4.0-beta.17"], "postgres:17.10-bookworm"),
        ("example.com:5000/postgres:17.10", ["17.2.0-beta.1"], "example.com:5000/postgres:17.10"),
    ],
)
def test_the_newest_minor_release_of_an_image(image, builds, newest):
    command = [sys.executable, "-B", "-c", _NEWEST, str(ROOT / "tests" / "tools"), image, *builds]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == newest


_NO_ENGINE = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
import common, engine, parts
def none():
    raise common.Skipped("no engine here")
engine.ensure = none
sys.exit(parts.main())
"""


@pytest.mark.parametrize(
    ("ci", "code", "said"), [("", 0, "SKIPPED: NOT TESTED (no engine here)"), ("true", 1, "FAILED")]
)
def test_without_an_engine_molecule_is_skipped_loudly_and_fails_in_ci(ci, code, said):
    command = [sys.executable, "-B", "-c", _NO_ENGINE, str(ROOT / "tests" / "tools"), "molecule"]
    done = subprocess.run(command, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """The tools as modules, by name, with a .cache of their own and no Docker engine."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "tools"))
    found = {name: importlib.import_module(name) for name in ("common", "images", "clean")}
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, place in (("CACHE", "."), ("PACKAGES", "packages")):
        monkeypatch.setattr(found["common"], name, cache / place)
    for name, place in (("NO_REGISTRY", "no-registry"), ("PULLED", "pulled")):
        monkeypatch.setattr(found["images"], name, cache / place)
    monkeypatch.setattr(found["clean"], "_engine", lambda: None)
    return found


@pytest.fixture
def registry(tools, monkeypatch):
    """A registry that answers while it is `up`, and what it was asked for."""
    state = types.SimpleNamespace(up=True, asked=[])

    def output(command, **_options):
        state.asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0 if state.up else 1, "", "no such host")

    monkeypatch.setattr(tools["common"], "output", output)
    return state


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("devportal-demo-portal", True),
        ("devportal-apt-devportal-demo-portal", True),
        ("devportal-apt-devportal-portal-host", True),
        ("devportal-apt-devportal-default-debian12", True),
        ("devportal-container-run", True),
        ("devportal-container-compose-data", True),
        ("devportal-pgdata", False),
        ("devportal-backstage-data", False),
        ("devportal-container-run-data-old", False),
        ("my-devportal-demo-portal", False),
    ],
)
def test_clean_takes_the_volumes_of_the_tests_hosts_only(tools, name, ours):
    assert bool(re.search(tools["clean"].volume_names(), name)) is ours


def test_clean_tells_which_pulled_images_stay(tools, registry, capsys):
    assert tools["images"].pull("debian:trixie", seconds=1)
    assert tools["clean"].main() == 0
    assert capsys.readouterr().out == "Images that were pulled stay: debian:trixie (docker rmi debian:trixie).\n"
    tools["clean"].main()
    assert capsys.readouterr().out == ""


def test_a_demo_that_cannot_be_taken_back_keeps_only_what_another_try_needs(tools, monkeypatch):
    common, clean, done = tools["common"], tools["clean"], []
    (common.CACHE / "demo" / "app").mkdir(parents=True)

    def playbook(*_arguments):
        raise common.Problem("sudo asks for a password")

    monkeypatch.setattr(importlib.import_module("demo"), "playbook", playbook)
    monkeypatch.setattr(clean, "_engine", lambda: done.append("engine"))
    with pytest.raises(common.Problem, match="sudo"):
        clean.main()
    assert done == ["engine"]
    assert (common.CACHE / "demo").exists()


def test_a_demo_without_npm_leaves_its_last_step_out(tools, monkeypatch, tmp_path):
    demo = importlib.import_module("demo")
    for name in ("DEVPORTAL_BACKEND", "APP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo._backend("container") == "npm, which installs a backend, is not on this machine"


def test_a_registry_that_does_not_answer_is_asked_again_after_an_hour(tools, registry):
    pull, mark = tools["images"].pull, tools["images"].NO_REGISTRY
    registry.up = False
    assert not pull("debian:trixie", seconds=1)
    registry.up = True
    assert not pull("debian:trixie", seconds=1)
    assert registry.asked == ["debian:trixie"]
    assert not tools["images"].PULLED.exists()
    an_hour_ago = time.time() - 3601
    os.utime(mark, (an_hour_ago, an_hour_ago))
    assert pull("debian:trixie", seconds=1)


@pytest.mark.parametrize(
    ("mirrors", "copied"), [(["deb https://mirror.example trixie main"], ["mirror.conf"]), ([], [])]
)
def test_credentials_of_apt_go_where_its_mirror_goes_if_they_can_be_read(tools, monkeypatch, tmp_path, mirrors, copied):
    images, credentials = tools["images"], tmp_path / "auth.conf.d"
    credentials.mkdir()
    (credentials / "mirror.conf").write_text("machine mirror.example login a password b\n")
    # Root may read any file, but not what is not there.
    (credentials / "root-only.conf").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(images, "_CREDENTIALS", credentials)
    monkeypatch.setattr(images, "_mirrors", lambda _release: mirrors)
    images.etc(tmp_path / "image", "trixie")
    assert [path.name for path in (tmp_path / "image").rglob("*.conf")] == copied


@pytest.mark.parametrize(("minor", "refused"), [(10, True), (11, False), (14, False), (15, True)])
def test_a_python_that_ansible_does_not_know_is_refused(minor, refused):
    program = "import runpy, sys; sys.version_info = (3, int(sys.argv[2]), 9); runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-B", "-c", program, str(ROOT / "tests" / "tools" / "setup.py"), str(minor)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "tools")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if refused else 0), done.stderr
    assert ("Python 3.11 to 3.14 is needed" in done.stderr) is refused


SPECS = """\
argument_specs:
  main:
    options:
      example_port:
        description: The port.
        type: int
        default: 5432
"""


def test_a_portal_that_was_built_in_part_goes_on_where_it_ended(tools, monkeypatch, tmp_path):
    portal = importlib.import_module("portal")
    done, faults = [], [tools["common"].Problem("the network is away")]

    def build():
        done.append("build")
        if faults:
            raise faults.pop()

    monkeypatch.setattr(portal, "FOLDER", tmp_path)
    monkeypatch.setattr(portal, "_building", lambda: {"create": lambda: done.append("create"), "build": build})
    with pytest.raises(tools["common"].Problem):
        portal.build(portal.Steps())
    portal.build(portal.Steps())
    portal.build(portal.Steps())
    assert done == ["create", "build", "build"]
    # With other pins it is another portal.
    (tmp_path / "app").mkdir()
    monkeypatch.setattr(portal, "SOURCES", tmp_path)
    (tmp_path / "package.json").write_text("{}")
    portal.build(portal.Steps())
    assert done[3:] == ["create", "build"]
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    ("defaults", "fault"),
    [
        ("example_port: 5432", None),
        ("example_port: 5433", "example_port: defaults/main.yml has 5433, argument_specs 5432"),
        ('example_port: "5432"', "example_port is of type int, its default '5432' is not"),
        ("", "example_port has a default in argument_specs and none in defaults"),
        ("example_port: 5432\nexample_host: a", "example_host is in defaults/main.yml and not in meta"),
        ('example_port: "{{ other }}"', "example_port has a template as default; its description needs a line"),
    ],
)
def test_role_variables_that_disagree_are_found(tmp_path, defaults, fault):
    shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
    role = tmp_path / "roles" / "example"
    for name, text in (("defaults", defaults), ("meta", SPECS), ("tasks", "- debug: {msg: '{{ example_port }}'}")):
        (role / name).mkdir(parents=True)
        (role / name / ("argument_specs.yml" if name == "meta" else "main.yml")).write_text(text)
    (role / "README.md").write_text("<!-- variables: example -->\n<!-- end of variables -->\n")
    command = [sys.executable, str(tmp_path / "tests" / "tools" / "role_variables.py")]
    stale = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "a table of variables is stale" in stale.stdout
    subprocess.run([*command, "--write"], capture_output=True, check=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if fault is None else 1)
    assert (fault or "agree") in done.stdout


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TARGET": "my-server"}, "TARGET: my-server is unknown."),
        ({"APP_CONFIG": "/nonexistent/app-config.yaml"}, "APP_CONFIG: /nonexistent/app-config.yaml is not a file."),
        ({"PATH": "/nonexistent"}, "git is missing"),
    ],
)
def test_wrong_arguments_are_reported_before_the_virtual_environment_is_created(tmp_path, variables, sentence):
    shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
    command = [sys.executable, "-B", str(tmp_path / "tests" / "tools" / "setup.py")]
    env = {**os.environ, **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / ".cache").exists()


def test_a_download_without_git_has_the_same_files(tmp_path):
    names = ["README.md", ".config/molecule/config.yml", "plugins/modules/a.py"]
    left_out = [".cache/venv/bin/python", "plugins/__pycache__/a.pyc"]
    for name in names + left_out:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
    program = "import setup; print(*setup._known_files(), sep='\\n')"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "tests" / "tools"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    found = [name for name in done.stdout.splitlines() if not name.startswith("tests/tools/")]
    assert found == sorted(names)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("README.md", "It makes a file.\n", 1),
        ("README.md", "Run `make test`, then\n\n```sh\nmake demo\n```\n", 0),
        ("roles/a/tasks/main.yml", "- name: Refuse what is wrong\n  debug:\n    msg: fine\n", 1),
        ("roles/a/tasks/main.yml", "# Refuse\n- name: Validate variables\n", 0),
        ("plugins/modules/a.py", '"""It tells all."""\nTEXT = "The server refuses it."\n', 1),
        ("docs/docsite/rst/guide.rst", "Text.\n\n.. code-block:: shell\n\n    make demo\n\nIt says so.\n", 1),
    ],
)
def test_words_that_are_not_the_fields_are_found(tmp_path, name, text, found):
    shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    command = [sys.executable, "-B", str(tmp_path / "tests" / "tools" / "words.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if found else 0), done.stdout
    assert f" {found} words" in done.stdout
