# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users get it: the built tarball, and that tarball installed offline."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import common

# RFC 2606: no such name exists, so that nobody takes it for the project's.
NO_PROJECT_URL = "https://devportal-backstage.invalid"


def build() -> str:
    """The collection's tarball in .cache/build; its path. PROJECT_URL is the project's public address."""
    folder = common.CACHE / "build"
    folder.mkdir(exist_ok=True)
    # Of its own, for two runs may build at the same time.
    source = pathlib.Path(tempfile.mkdtemp(prefix="source-", dir=folder)) / "source"
    shutil.copytree(common.TREE, source, ignore=shutil.ignore_patterns(".git"), symlinks=True)
    metadata = source / "galaxy.yml"
    url = (os.environ.get("PROJECT_URL") or NO_PROJECT_URL).rstrip("/")
    pages = {"repository": url, "documentation": f"{url}/docs", "homepage": url, "issues": f"{url}/issues"}
    lines = "".join(f"{name}: {page}\n" for name, page in pages.items())
    metadata.write_text(metadata.read_text(encoding="utf-8").replace('repository: ""\n', lines), encoding="utf-8")
    done = common.output(
        ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(folder), str(source)],
        env=common.environment(),
    )
    shutil.rmtree(source.parent)
    if done.returncode:
        raise common.Problem(f"ansible-galaxy collection build: {done.stderr.strip()}")
    return str(max(folder.glob("*.tar.gz"), key=os.path.getmtime))


def install() -> None:
    """The tarball installed offline into an otherwise empty collections folder, less all that is not run."""
    tarball = build()
    shutil.rmtree(common.INSTALLED, ignore_errors=True)
    command = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "--collections-path"]
    # Looking into the tree, it would find the collection installed already.
    env = common.environment(ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED))
    done = common.output([*command, str(common.INSTALLED), tarball], env=env)
    if done.returncode:
        raise common.Problem(f"ansible-galaxy collection install: {done.stderr.strip()}")
    for path in (common.INSTALLED / "ansible_collections" / "devportal" / "backstage").iterdir():
        if path.name not in ("meta", "plugins", "roles", "playbooks"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
