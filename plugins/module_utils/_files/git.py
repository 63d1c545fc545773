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
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned, programs
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids

_TIMEOUT = 10.0  # seconds; a large index takes one or two
# What a repository's own configuration could have git run or read, and what it must not do at all for two questions.
_SETTINGS = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null", "core.sshCommand": "false"}
_VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}


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


@dataclass(frozen=True)
class _Tree:
    """A working tree: its top, whose ids git gets there, and whether only root could put another in its place."""

    top: str
    ids: Ids
    trusted: bool


def look(paths: Iterable[str]) -> Findings:
    """Ask git about files, present or not; working trees, worktrees and submodules (gitrepository-layout(5)).

    Git runs with the ids of the owner of the files' directory; where that is root's, of whoever may have written the
    repository's configuration. So nothing that a repository could have git do is done as somebody else.
    """
    findings = Findings()
    by_directory: dict[tuple[str, Ids], dict[str, str]] = {}
    for path in paths:
        try:
            with owned.place(path) as found:
                members = by_directory.setdefault((os.path.dirname(found.path), found.ids), {})
                members[found.name] = path
        except FileNotFoundError:
            continue  # no directory, no working tree
        except OSError as error:
            findings.unknown[path] = f"looking for a git working tree failed: {error.strerror}"
    for (directory, ids), names in by_directory.items():
        try:
            tree = _tree(directory, ids)
        except OSError as error:  # somebody moves what is above it
            reason = f"looking for a git working tree failed: {error.strerror}"
            findings.unknown.update(dict.fromkeys(names.values(), reason))
        except _UnknownError as error:
            findings.unknown.update(dict.fromkeys(names.values(), str(error)))
        else:
            if tree:
                _ask(directory, tree, names, findings)
    return findings


class _UnknownError(Exception):
    """Git is not asked; the text says why."""


def _tree(directory: str, ids: Ids) -> _Tree | None:
    """The working tree that a directory is in. Raises: _UnknownError: it is somebody else's."""
    top, device = directory, None
    while True:
        with owned.place(os.path.join(top, ".git")) as found:
            info, here = found.status(), os.fstat(found.directory)
        if device not in (None, here.st_dev):  # git goes no further, either
            return None
        if info:
            break
        if top == "/":
            return None
        top, device = os.path.dirname(top), here.st_dev
    ids = ids if ids.uid else _author(top)
    owners = {info.st_uid, here.st_uid}
    if not owners <= {0, ids.uid}:
        other = max(owners - {0, ids.uid})
        raise _UnknownError(f"{top} is a git working tree of user id {other}, and git is not run there as {ids}")
    return _Tree(top, ids, _owners_above(top) <= {0, ids.uid})


def _author(top: str) -> Ids:
    """Who may have written the configuration of a repository, or the file that tells where it is."""
    for path in (os.path.join(top, ".git", "config"), os.path.join(top, ".git")):
        try:
            return owned.read(path).ids
        except (CollectionError, OSError):
            continue
    raise _UnknownError(f"{top} is a git working tree without a configuration that can be read")


def _owners_above(directory: str) -> set[int]:
    owners = set()
    while directory != "/":
        with owned.place(directory) as found:
            info = found.status()
        owners.add(info.st_uid if info else 0)
        # In a directory that others may write to, any of them could rename this one; not so in /tmp.
        if info and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
            owners.add(-1)
        directory = os.path.dirname(directory)
    return owners


def _ask(directory: str, tree: _Tree, names: dict[str, str], findings: Findings) -> None:
    git = shutil.which("git")
    if git is None:
        reason = f"{tree.top} is a git working tree, and git is not installed here"
        findings.unknown.update(dict.fromkeys(names.values(), reason))
        return
    try:
        tracked = _run(git, directory, tree, "--literal-pathspecs", "ls-files", "-z", "--", *names)
        # check-ignore takes no pathspecs but plain paths.
        paths_in = b"".join(os.fsencode(f"./{name}") + b"\0" for name in names)
        ignored = _run(git, directory, tree, "check-ignore", "-z", "--stdin", stdin=paths_in)
    except (OSError, _UnknownError) as error:
        reason = f"{tree.top} is a git working tree, and git fails there: {error}"
        findings.unknown.update(dict.fromkeys(names.values(), reason))
        return
    findings.tracked.extend(names[name] for name in names if name in tracked)
    findings.exposed.extend(names[name] for name in names if name not in tracked and f"./{name}" not in ignored)


def _run(git: str, directory: str, tree: _Tree, *arguments: str, stdin: bytes = b"") -> set[str]:
    # Else git refuses a repository that root made in a directory of somebody else's (safe.directory in git-config(1)).
    settings = {**_SETTINGS, "safe.directory": "*"} if tree.trusted and tree.ids.uid else _SETTINGS
    variables = programs.environment(
        HOME=_home(tree.ids.uid),
        GIT_CEILING_DIRECTORIES=os.path.dirname(tree.top),
        GIT_CONFIG_COUNT=str(len(settings)),
        **_VARIABLES,
    )
    for index, (key, value) in enumerate(settings.items()):
        variables.update({f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value})
    done = programs.run([git, "-C", directory, *arguments], _TIMEOUT, tree.ids, stdin, variables)
    if done.code not in ((0, 1) if "check-ignore" in arguments else (0,)):
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        raise _UnknownError(said or f"it ended with {done.code}")
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"
