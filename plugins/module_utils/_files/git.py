# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether git tracks a file, or would at the next `git add`.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_TIMEOUT = 60  # seconds; a large index takes one or two


@dataclass
class Findings:
    """What git says about some files.

    Attributes:
        tracked: those in the index of a repository.
        exposed: those in a working tree that are neither tracked nor ignored.
        unknown: for those in a working tree about which git could not be asked, the reason.
    """

    tracked: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)


def look(paths: Iterable[str]) -> Findings:
    """Ask git about files, present or not; working trees, worktrees and submodules (gitrepository-layout(5)).

    Git runs as the owner of the repository, so that neither does it refuse (safe.directory in git-config(1)) nor does
    the repository's configuration run anything as root.
    """
    findings = Findings()
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        by_directory.setdefault(os.path.dirname(os.path.realpath(path)), []).append(path)
    for directory, members in by_directory.items():
        top = _top(directory)
        if top is not None:
            _ask(directory, top, members, findings)
    return findings


def _top(directory: str) -> str | None:
    while not os.path.lexists(os.path.join(directory, ".git")):
        if directory == "/":
            return None
        directory = os.path.dirname(directory)
    return directory


def _ask(directory: str, top: str, paths: list[str], findings: Findings) -> None:
    git = shutil.which("git")
    if git is None:
        findings.unknown.update(dict.fromkeys(paths, f"{top} is a git working tree, and git is not installed here"))
        return
    names = {os.path.basename(os.path.realpath(path)): path for path in paths}
    try:
        tracked = _run(git, directory, top, "--literal-pathspecs", "ls-files", "-z", "--", *names)
        # check-ignore takes no pathspecs but plain paths.
        paths_in = b"".join(os.fsencode(f"./{name}") + b"\0" for name in names)
        ignored = _run(git, directory, top, "check-ignore", "-z", "--stdin", stdin=paths_in)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None)
        reason = said.decode("utf-8", "replace").strip().split("\n")[0] if said else str(error)
        findings.unknown.update(dict.fromkeys(paths, f"{top} is a git working tree, and git fails there: {reason}"))
        return
    findings.tracked.extend(names[name] for name in names if name in tracked)
    findings.exposed.extend(names[name] for name in names if name not in tracked and f"./{name}" not in ignored)


def _run(git: str, directory: str, top: str, *arguments: str, stdin: bytes = b"") -> set[str]:
    owner = os.stat(os.path.join(top, ".git"))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": _home(owner.st_uid),
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "core.fsmonitor",
        "GIT_CONFIG_VALUE_1": "false",
    }
    other: dict[str, Any] = {}
    if os.geteuid() == 0 and owner.st_uid != 0:
        other = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    done = subprocess.run(
        [git, "-C", directory, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        cwd="/",
        env=environment,
        timeout=_TIMEOUT,
        **other,
    )
    if done.returncode not in ((0, 1) if "check-ignore" in arguments else (0,)):
        raise subprocess.CalledProcessError(done.returncode, "git", done.stdout, done.stderr)
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"
