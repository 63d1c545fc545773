# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._files import git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
NOBODY = 65534
OPTIONS = [
    option
    for setting in ("user.name=t", "user.email=t@t", "safe.directory=*", "protocol.file.allow=always")
    for option in ("-c", setting)
]


def run(directory, *arguments):
    subprocess.run(["git", "-C", str(directory), *OPTIONS, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    top = tmp_path / "repository"
    top.mkdir()
    run(top, "init", "-q")
    (top / ".gitignore").write_text("*.local.yaml\n.env\n")
    (top / "app-config.yaml").write_text("a: 1\n")
    (top / "loose.yaml").write_text("a: 1\n")
    (top / ":(x).yaml").write_text("a: 1\n")
    run(top, "add", ".gitignore", "app-config.yaml")
    run(top, "commit", "-qm", "first")
    return top


def check(top):
    """The three kinds of file in one directory; the last two need not exist."""
    names = ["app-config.yaml", "loose.yaml", ":(x).yaml", "app-config.local.yaml", ".env"]
    found = git.look(str(top / name) for name in names)
    assert found.tracked == [str(top / "app-config.yaml")]
    assert found.exposed == [str(top / "loose.yaml"), str(top / ":(x).yaml")]
    assert found.unknown == {}


def test_a_repository(repository):
    check(repository)


def test_a_worktree(repository):
    run(repository, "worktree", "add", "-q", "../second")
    check(repository.parent / "second")


def test_a_submodule(repository, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    run(outer, "init", "-q")
    run(outer, "submodule", "--quiet", "add", str(repository), "inner")
    assert (outer / "inner" / ".git").is_file()
    check(outer / "inner")


def test_a_directory_below_and_a_link_into_it(repository, tmp_path):
    below = repository / "below"
    below.mkdir()
    (below / "app-config.yaml").write_text("a: 1\n")
    run(repository, "add", "below")
    (tmp_path / "link.yaml").symlink_to(below / "app-config.yaml")
    found = git.look([str(tmp_path / "link.yaml"), str(below / "app-config.local.yaml"), str(below / "new")])
    assert found.tracked == [str(tmp_path / "link.yaml")]
    assert found.exposed == [str(below / "new")]


def test_tracked_counts_although_a_rule_would_ignore_it(repository):
    (repository / ".env").write_text("A=1\n")
    run(repository, "add", "-f", ".env")
    assert git.look([str(repository / ".env")]).tracked == [str(repository / ".env")]


def test_no_repository(tmp_path):
    assert git.look([str(tmp_path / "app-config.yaml")]) == git.Findings()


@pytest.mark.skipif(os.geteuid() != 0, reason="changing owners takes root")
def test_a_repository_of_another_user_runs_nothing_as_root(repository):
    proof = repository / "proof"
    hook = repository / "hook"
    hook.write_text(f"#!/bin/sh\nid -u > {proof}\n")
    hook.chmod(0o755)
    run(repository, "config", "core.fsmonitor", str(hook))
    for directory in repository.parents:
        if str(directory) in ("/", "/tmp"):
            break
        directory.chmod(0o755)
    for base, directories, names in os.walk(repository):
        for name in (".", *directories, *names):
            os.chown(os.path.join(base, name), NOBODY, NOBODY)
    found = git.look([str(repository / "app-config.yaml"), str(repository / "app-config.local.yaml")])
    assert found.tracked == [str(repository / "app-config.yaml")]
    assert not proof.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="changing owners takes root")
def test_git_runs_as_the_owner(repository, tmp_path, monkeypatch):
    tmp_path.chmod(0o777)
    (tmp_path / "git").write_text(f"#!/bin/sh\nid -u >> {tmp_path}/uids\n")
    (tmp_path / "git").chmod(0o755)
    for directory in tmp_path.parents:
        if str(directory) in ("/", "/tmp"):
            break
        directory.chmod(0o755)
    os.chown(repository / ".git", NOBODY, NOBODY)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    git.look([str(repository / "app-config.yaml")])
    assert set((tmp_path / "uids").read_text().split()) == {str(NOBODY)}


def test_git_is_not_installed(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    path = str(repository / "app-config.yaml")
    assert git.look([path]).unknown == {path: f"{repository} is a git working tree, and git is not installed here"}


def test_git_fails(repository):
    (repository / ".git" / "index").write_bytes(b"rubbish")
    path = str(repository / "app-config.yaml")
    reason = git.look([path]).unknown[path]
    assert reason.startswith(f"{repository} is a git working tree, and git fails there: ")
    assert len(reason) > len(str(repository)) + 60
