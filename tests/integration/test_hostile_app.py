# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of an app's directory attacks the run, which is root's: none of root's files is read, sent or changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the run is root's")

APP = 65534  # nobody
CANARY = "canary-7f3a9c"
APP_CONFIG = "app:\n  title: x # kept\nbackend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"
CONNECTION = """backend:
  database:
    client: pg
    connection:
      host: 127.0.0.1
      port: {port}
      user: {user}
      password: {password}
"""


class Listener:
    """A network peer that records what it is sent, and refuses every login."""

    def __init__(self):
        self.received = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _peer = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    while data := connection.recv(65536):
                        self.received += data
                        # No TLS; then for the password in clear.
                        connection.sendall(b"N" if len(data) == 8 else b"R\0\0\0\x08\0\0\0\x03")
                except OSError:
                    pass

    def close(self):
        self._socket.close()


class Host:
    """The directory of the app, and one of root's with canaries that nobody else may read."""

    def __init__(self, top, run_module):
        self.run_module = run_module
        self.listener = Listener()
        os.chmod(top, 0o755)
        self.app, self.root, self.shared = (os.path.join(top, name) for name in ("app", "root", "shared"))
        for path, mode in ((self.app, 0o755), (self.root, 0o700), (self.shared, 0o1777)):
            os.mkdir(path)
            os.chmod(path, mode)
        self.secret = os.path.join(self.root, "secret")
        texts = {
            "secret": f"{CANARY}\n",
            "secret.yaml": f"a: &a {CANARY}\nb: {{{CANARY}: 1\n",
            "secret.json": json.dumps({"user": CANARY}),
            ".env": f"SECRET_USER={CANARY}\nPOSTGRES_PASSWORD={CANARY}\n",
            "app-config.yaml": CONNECTION.format(port=self.listener.port, user=CANARY, password=CANARY),
        }
        for name, text in texts.items():
            with open(os.path.join(self.root, name), "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(stream.name, 0o600)
        self.put("app-config.yaml", APP_CONFIG)
        self.give()
        self.before = self.state()

    def put(self, name, text):
        with open(os.path.join(self.app, name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def local(self, user="x", password="y"):
        self.put("app-config.local.yaml", CONNECTION.format(port=self.listener.port, user=user, password=password))

    def give(self):
        for base, directories, names in os.walk(self.app):
            for name in (".", *directories, *names):
                os.chown(os.path.join(base, name), APP, APP, follow_symlinks=False)

    def state(self):
        found = {}
        for name in sorted(os.listdir(self.root)):
            path = os.path.join(self.root, name)
            with open(path, "rb") as stream:
                info = os.fstat(stream.fileno())
                digest = hashlib.sha256(stream.read()).hexdigest()
            found[name] = (digest, info.st_mode, info.st_uid, info.st_mtime_ns, info.st_ino)
        return found

    def runs(self, check=True, **more):
        """Each module that looks at an app, with `check` one of them in check mode first; all that was said."""
        env = os.path.join(self.app, ".env")
        path = os.path.join(self.app, "app-config.yaml")
        wanted = {"path": path, "host": "db", "env_file": env, "credentials": "file", "password": "new-secret"}
        rotation = {"stage": "begin", "directory": self.app, "env_file": env, "path": path, "user": "x"}
        calls = [
            ("backstage_app_config", wanted),
            ("backstage_database_info", {"directory": self.app, "connect_timeout": 3, "env_file": f"-{env}"}),
            ("backstage_rotation", {**rotation, "password": "new-secret"}),
            ("backstage_env_file", {"path": env, "variables": {"POSTGRES_PASSWORD": "new"}}),
            ("backstage_app_config", wanted),
        ]
        results = []
        for number, (name, arguments) in enumerate(calls):
            if number == 0 and not check:
                continue
            began = time.monotonic()
            result = self.run_module(name, check=number == 0, diff=True, **arguments, **more)
            assert time.monotonic() - began < 40, name
            results.append((name, result))
        return results

    def check(self, results):
        assert self.state() == self.before
        assert CANARY.encode() not in self.listener.received
        for name, result in results:
            assert CANARY not in json.dumps(result), name
            if result["failed"]:
                assert result["msg"].endswith("."), result
        for base, _directories, names in os.walk(self.app):
            for name in names:
                path = os.path.join(base, name)
                if not os.path.islink(path) and os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                    with open(path, encoding="utf-8", errors="replace") as stream:
                        assert CANARY not in stream.read(), path


@pytest.fixture
def host(run_module):
    top = tempfile.mkdtemp()  # pytest's own directories let nobody else in
    made = Host(top, run_module)
    yield made
    made.listener.close()
    shutil.rmtree(top)


def link(host, target, name):
    os.symlink(target, os.path.join(host.app, name))


NAMED = {
    "user_and_password": lambda host: host.local(f"{{$file: {host.secret}}}", f"{{$file: {host.secret}}}"),
    "relative": lambda host: host.local("{$file: ../root/secret}"),
    "by_a_variable_of_the_env_file": lambda host: (
        host.put(".env", f"WHERE={host.secret}\n"),
        host.local("{$file: '${WHERE}'}"),
    ),
    "by_a_link": lambda host: (link(host, host.secret, "x"), host.local("{$file: x}")),
    "by_a_linked_directory": lambda host: (link(host, host.root, "x"), host.local("{$file: x/secret}")),
    "included_yaml": lambda host: host.local(f"{{$include: {host.root}/secret.yaml}}"),
    "included_json": lambda host: host.local(f"{{$include: '{host.root}/secret.json#user'}}"),
    "included_twice": lambda host: (
        host.put("x.yaml", f"user: {{$file: {host.secret}}}\n"),
        host.local("{$include: 'x.yaml#user'}"),
    ),
    "beside_the_database": lambda host: host.put("app-config.local.yaml", f"app: {{title: {{$file: {host.secret}}}}}"),
    "certificate_in_a_url": lambda host: host.put(
        "app-config.local.yaml",
        "backend: {database: {client: pg, connection: 'postgres://x:y@127.0.0.1:"
        f"{host.listener.port}/?sslrootcert={host.secret}'}}}}\n",
    ),
    "authority": lambda host: host.put(
        "app-config.local.yaml",
        CONNECTION.format(port=host.listener.port, user="x", password="y")
        + f"      ssl: {{ca: {{$file: {host.secret}}}}}\n",
    ),
    "env_file": lambda host: (link(host, f"{host.root}/.env", ".env"), host.local("'${SECRET_USER}'")),
    "app_config_file": lambda host: link(host, f"{host.root}/app-config.yaml", "app-config.local.yaml"),
    "app_config_file_that_is_none": lambda host: link(host, f"{host.root}/secret.yaml", "app-config.local.yaml"),
    "password_file": lambda host: (link(host, host.secret, "postgres-password"), host.local()),
    "environment_of_the_run": lambda host: host.local("{$file: /proc/self/environ}"),
    "input_of_the_run": lambda host: host.local("{$file: /proc/self/fd/0}"),
    "root_of_the_run": lambda host: host.local(f"{{$file: /proc/self/root{host.secret}}}"),
}


@pytest.mark.parametrize("way", NAMED)
def test_a_file_of_roots_is_named(host, way):
    NAMED[way](host)
    host.give()
    host.check(host.runs(env={"CANARY": CANARY}))


STALLS = {
    "fifo_as_app_config": lambda host: os.mkfifo(f"{host.app}/app-config.local.yaml"),
    "fifo_as_env_file": lambda host: os.mkfifo(f"{host.app}/.env"),
    "fifo_as_password_file": lambda host: os.mkfifo(f"{host.app}/postgres-password"),
    "fifo_as_file": lambda host: (os.mkfifo(f"{host.app}/x"), host.local("{$file: x}")),
    "fifo_included": lambda host: (os.mkfifo(f"{host.app}/x.yaml"), host.local("{$include: x.yaml}")),
    "endless": lambda host: host.local("{$file: /dev/zero}"),
    "endless_app_config": lambda host: link(host, "/dev/zero", "app-config.local.yaml"),
    "endless_env_file": lambda host: link(host, "/dev/zero", ".env"),
    "terminal": lambda host: host.local("{$file: /dev/tty}"),
    "huge": lambda host: (host.put("x", ""), os.truncate(f"{host.app}/x", 1 << 40), host.local("{$file: x}")),
    "huge_env_file": lambda host: (host.put(".env", ""), os.truncate(f"{host.app}/.env", 1 << 40)),
    "aliases": lambda host: host.put(
        "app-config.local.yaml",
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
    ),
    "aliases_of_mappings": lambda host: host.put(
        "app-config.local.yaml",
        "backend:\n  a0: &a0 {a: x, b: x}\n"
        + "".join(f"  a{i}: &a{i} {{a: *a{i - 1}, b: *a{i - 1}}}\n" for i in range(1, 30)),
    ),
    "includes": lambda host: (
        [host.put(f"i{i}.yaml", f"a: {{$include: i{i + 1}.yaml}}\nb: {{$include: i{i + 1}.yaml}}\n") for i in range(24)]
        + [host.put("i24.yaml", "x: 1\n"), host.put("app-config.local.yaml", "app: {$include: i0.yaml}\n")]
    ),
    "include_of_itself": lambda host: (
        host.put("x.yaml", "a: {$include: x.yaml}\n"),
        host.put("app-config.local.yaml", "backend: {$include: x.yaml}\n"),
    ),
    "deep": lambda host: (host.put("x.json", "[" * 90000), host.local("{$include: x.json}")),
    "long_work": lambda host: host.put(
        "app-config.local.yaml", "".join(f"k{i}: {{a: [1, 2, 3], b: {{c: d}}}}\n" for i in range(200000))
    ),
}


# What only the time limit ends, of ten seconds a run; check mode reads the same files.
LONG = ("includes", "long_work")


@pytest.mark.parametrize("way", STALLS)
def test_a_run_ends(host, way):
    STALLS[way](host)
    host.give()
    results = host.runs(check=way not in LONG)
    host.check(results)
    assert any(result["failed"] or result.get("would_start") is False for _name, result in results)


@pytest.mark.parametrize("module", ["backstage_env_file", "backstage_app_config", "backstage_database_info"])
def test_a_directory_that_is_swapped_all_the_time(host, module):
    """The parent of the app's directory is the app's, too, which a run walks through at any moment."""
    home = os.path.join(host.app, "home")
    os.mkdir(home)
    bs = os.path.join(home, "bs")
    os.mkdir(bs)
    for name, text in (("app-config.yaml", APP_CONFIG), (".env", "A=1\n")):
        with open(os.path.join(bs, name), "w", encoding="utf-8") as stream:
            stream.write(text)
    host.give()
    script = f"cd {home} && while :; do mv bs real; ln -s {host.root} bs; rm bs; mv real bs; done"
    arguments = {
        "backstage_env_file": {"path": f"{bs}/.env", "variables": {"POSTGRES_PASSWORD": "new"}},
        "backstage_app_config": {
            "path": f"{bs}/app-config.yaml",
            "host": "db",
            "credentials": "literal",
            "password": "p",
        },
        "backstage_database_info": {"directory": bs, "connect_timeout": 2, "env_file": f"{bs}/.env"},
    }[module]
    with subprocess.Popen(
        ["sh", "-c", script], user=APP, stderr=subprocess.DEVNULL, start_new_session=True
    ) as swapping:
        try:
            results = [(module, host.run_module(module, diff=True, **arguments)) for _turn in range(8)]
        finally:
            os.killpg(swapping.pid, 9)
    host.check(results)


ROTATED = {
    "absolute": lambda host: host.secret,
    "relative": lambda host: "../root/secret",
    "link": lambda host: (link(host, host.secret, "old"), "old")[1],
    "directory": lambda host: (link(host, host.root, "old"), "old/secret")[1],
}


@pytest.mark.parametrize("way", ROTATED)
@pytest.mark.parametrize("readable", [True, False])
def test_a_rotation_removes_nothing_of_roots(host, postgres_server, way, readable):
    user = f"hostile_{way}_{readable}".lower()
    postgres_server.query(f"CREATE ROLE {user} LOGIN CREATEDB PASSWORD 'the first secret'")
    if readable:
        os.chmod(host.root, 0o711)
        os.chmod(host.secret, 0o644)
    with open(host.secret, "w", encoding="utf-8") as stream:
        stream.write("the first secret")
    host.before = host.state()
    path = os.path.join(host.app, "app-config.yaml")
    host.put(
        "app-config.yaml",
        f"backend:\n  database:\n    client: pg\n    connection:\n      host: {postgres_server.host}\n"
        f"      port: {postgres_server.port}\n      user: {user}\n      password: {{$file: {ROTATED[way](host)}}}\n",
    )
    host.give()
    results = []
    for stage in ("begin", "switch", "ready", "finish"):
        arguments = {"directory": host.app, "path": path, "user": user, "password": "the second secret"}
        arguments.update(credentials="file", password_file=os.path.join(host.app, "new"), stage=stage)
        results.append((stage, host.run_module("backstage_rotation", **arguments)))
        if stage == "switch":
            host.put("app-config.yaml", "backend: {database: {connection: {password: {$file: new}}}}\n")
    host.check(results)


def attack(host, directory):
    """A repository that has git run a payload to fetch an object; returns the file that the payload writes."""
    proof = os.path.join(host.shared, "ran-as")
    payload = os.path.join(host.shared, "payload")
    script = f"""
set -e
export HOME={host.shared} GIT_CONFIG_NOSYSTEM=1
git init -q {directory}; cd {directory}
echo x > .gitignore; git add .gitignore
git -c user.name=a -c user.email=a@a commit -qm a
git update-index --skip-worktree .gitignore
blob=$(git rev-parse :.gitignore)
rm -f .gitignore .git/objects/$(echo $blob | cut -c1-2)/$(echo $blob | cut -c3-)
git config core.repositoryformatversion 1
git config extensions.partialClone origin
git config remote.origin.promisor true
git config remote.origin.url 'ext::sh {payload}'
git config protocol.ext.allow always
git config core.fsmonitor 'sh {payload}'
git config core.sshCommand 'sh {payload}'
git config core.pager 'sh {payload}'
git config filter.x.clean 'sh {payload}'
git config filter.x.smudge 'sh {payload}'
git config filter.x.process 'sh {payload}'
git config diff.external 'sh {payload}'
git config core.hooksPath {host.shared}/hooks
git config credential.helper '!sh {payload}'
echo '* filter=x' > .git/info/attributes
mkdir -p {host.shared}/hooks
for hook in post-index-change fsmonitor-watchman query-watchman; do cp {payload} {host.shared}/hooks/$hook; done
"""
    with open(payload, "w", encoding="utf-8") as stream:
        stream.write(f"#!/bin/sh\nid -u >> {proof}\n")
    os.chmod(payload, 0o755)
    subprocess.run(["sh", "-c", script], check=True, capture_output=True, user=APP, group=APP, cwd="/")
    return proof


def spread(host, source):
    """Lay the parts of a repository into the directory that root owns and all may write to."""
    subprocess.run(["sh", "-c", f"cp -r {source}/.git/* {host.shared}/"], check=True, user=APP, group=APP, cwd="/")


GIT = {
    "link_to_a_directory_of_roots": lambda host: (spread(host, host.w), link(host, host.shared, ".git")),
    "file_to_a_directory_of_roots": lambda host: (spread(host, host.w), host.put(".git", f"gitdir: {host.shared}\n")),
    "own": lambda host: shutil.copytree(f"{host.w}/.git", f"{host.app}/.git"),
    "common_directory": lambda host: (
        spread(host, host.w),
        os.mkdir(f"{host.app}/.git"),
        host.put(".git/HEAD", "ref: refs/heads/x\n"),
        host.put(".git/commondir", f"{host.shared}\n"),
    ),
    "include": lambda host: (
        subprocess.run(["git", "init", "-q", host.app], check=True),
        host.put(".git/config", f"[core]\nrepositoryformatversion = 0\n[include]\npath = {host.w}/.git/config\n"),
    ),
    "include_of_roots": lambda host: (
        subprocess.run(["git", "init", "-q", host.app], check=True),
        host.put(".git/config", f"[include]\npath = {host.secret}\n[core]\nexcludesFile = {host.secret}\n"),
    ),
    "work_tree": lambda host: (
        shutil.copytree(f"{host.w}/.git", f"{host.app}/.git"),
        subprocess.run(["git", "config", "-f", f"{host.app}/.git/config", "core.worktree", host.root], check=True),
    ),
}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("way", GIT)
def test_git_runs_nothing_as_root(host, way):
    host.w = os.path.join(host.shared, "w")
    proof = attack(host, host.w)
    host.give()
    GIT[way](host)
    host.give()
    arguments = {"path": f"{host.app}/app-config.yaml", "host": "db", "credentials": "literal", "password": "p"}
    results = [
        ("backstage_app_config", host.run_module("backstage_app_config", check=check, **arguments))
        for check in (True, False)
    ]
    host.check(results)
    assert not os.path.exists(proof)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_repository_of_another_user_above_is_left_alone(host):
    """Another user owns a directory above the app's, with a repository that has git run something."""
    host.w = os.path.join(host.shared, "w")
    proof = attack(host, host.w)
    inner = os.path.join(host.w, "app")
    os.mkdir(inner)
    shutil.copy(f"{host.app}/app-config.yaml", inner)
    for path in (inner, f"{inner}/app-config.yaml"):
        os.chown(path, 1, 1)
    arguments = {"path": f"{inner}/app-config.yaml", "host": "db", "credentials": "literal", "password": "p"}
    result = host.run_module("backstage_app_config", **arguments)
    assert not result["failed"], result
    assert not os.path.exists(proof)
