# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having PostgreSQL read a configuration before it counts: `postgres -C` on a copy of the files.

Source: postgres(1).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import MESSAGE

_PRELOADED = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
_PROBE = "devportal_backstage.read"
_NOT_LINKED = ("postmaster.pid", "postmaster.opts")


@dataclass(frozen=True)
class Staged:
    """The configuration as it is to be.

    Attributes:
        cluster: whose.
        path: of our settings file.
        text: what our settings file is to hold; None for no file.
        main: what postgresql.conf is to hold.
        gone: files that are not to be there any more.
    """

    cluster: Cluster
    path: str
    text: bytes | None
    main: bytes
    gone: tuple[str, ...] = ()


def check_settings(staged: Staged, settings: Mapping[str, str]) -> None:
    """Have PostgreSQL read the configuration; neither the live files nor the running server notice.

    Args:
        staged: the configuration.
        settings: what our file says, for the error's text.

    Raises:
        CollectionError: what PostgreSQL rejects, by setting.
    """
    with _files_of(staged) as config:
        # A setting of our own shows that our file is read.
        done = _postgres(staged.cluster, config, "port" if staged.text is None else _PROBE)
        if done.returncode:
            _explain(staged.cluster, settings, done.stderr, os.path.dirname(config))
        for name in _PRELOADED:
            _check_libraries(staged.cluster, config, name, settings.get(name, ""))


def effective_settings(staged: Staged, names: Iterable[str]) -> dict[str, str]:
    """The values that these settings would have after a restart, as pg_settings.setting shows them."""
    with _files_of(staged) as config:
        return {name: _postgres(staged.cluster, config, name).stdout.rstrip("\n") for name in names}


def configured(cluster: Cluster, name: str) -> str:
    """The value of a setting in the cluster's files as they are."""
    return _postgres(cluster, cluster.include_file, name).stdout.rstrip("\n")


def values_of(cluster: Cluster, settings: Mapping[str, str]) -> dict[str, str]:
    """These values as pg_settings.setting would show them, such as 65536 for 64MB; the cluster's files do not count."""
    return {
        name: _postgres(cluster, cluster.include_file, name, ("-c", f"{name}={value}")).stdout.rstrip("\n")
        for name, value in settings.items()
    }


def not_included(cluster: Cluster) -> CollectionError:
    """The error for a postgresql.conf that does not read the directory of settings files."""
    directory = os.path.basename(cluster.settings_directory)
    return CollectionError(
        f"{cluster.include_file}: does not read the directory {directory}.",
        f"Add the line \"include_dir = '{directory}'\" to it.",
    )


@contextlib.contextmanager
def _files_of(staged: Staged) -> Iterator[str]:
    """A copy of the cluster's configuration directory, made of links, with the files as they are to be."""
    cluster, (directory, name) = staged.cluster, os.path.split(staged.path)
    stage = tempfile.mkdtemp(prefix="devportal-backstage-", dir="/tmp")
    try:
        main_name, included = os.path.basename(cluster.include_file), os.path.basename(directory)
        target = os.path.join(stage, included)
        os.mkdir(target, 0o700)
        gone = {os.path.basename(path) for path in staged.gone}
        _link_all(cluster.config_directory, stage, {included, main_name, *_NOT_LINKED})
        _link_all(directory, target, {name, *gone})
        config = os.path.join(stage, main_name)
        # An absolute path to the live directory would read the file that is to be replaced.
        main = staged.main.replace(os.fsencode(directory), os.fsencode(target))
        ours = os.path.join(target, name)
        for path, data in ((config, main), (ours, (staged.text or b"") + f"{_PROBE} = 'yes'\n".encode())):
            with open(path, "wb") as stream:
                stream.write(data)
        if os.geteuid() == 0:
            for path in (ours, config, target, stage):
                os.chown(path, cluster.uid, cluster.gid)
        yield config
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _link_all(source: str, target: str, but: set[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(source):
            if entry not in but:
                os.symlink(os.path.join(source, entry), os.path.join(target, entry))


def _postgres(cluster: Cluster, config: str, name: str, more: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    settings = {
        "config_file": config,
        # A postgresql.conf in the data directory names none of the three.
        "data_directory": cluster.data_directory,
        "hba_file": cluster.access_file,
        "ident_file": cluster.ident_file,
        "lc_messages": "C",
        "log_destination": "stderr",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return run([f"{cluster.binaries}/postgres", "-C", name, *options, *more], **as_user(cluster.uid, cluster.gid))


def _explain(cluster: Cluster, settings: Mapping[str, str], stderr: str, stage: str) -> None:
    problems: list[str] = []
    for line in stderr.replace(stage, cluster.config_directory).splitlines():
        found = MESSAGE.search(line)
        if found and found.group(1) in ("HINT", "DETAIL") and problems:
            problems[-1] += f" ({found.group(2).rstrip('.')})"
        elif found and not (problems and found.group(1) == "FATAL"):
            problems.append(found.group(2))
    if any(f'"{_PROBE}"' in problem for problem in problems):
        raise not_included(cluster)
    if not problems:
        raise CollectionError(f"Cluster {cluster}: postgres cannot check the settings: {one_line(stderr)}.")
    sentences = [_problem_sentence(cluster, settings, problem) for problem in problems]
    raise CollectionError(" ".join(sentences), "No setting or rule was changed.")


def _problem_sentence(cluster: Cluster, settings: Mapping[str, str], problem: str) -> str:
    found = re.search(r'parameter "([^"]+)"', problem)
    name = found.group(1).lower() if found else ""
    if name not in settings:
        return f"PostgreSQL reports: {problem}."
    if problem.startswith("unrecognized"):
        listed = run([f"{cluster.binaries}/postgres", "--describe-config"]).stdout
        near = difflib.get_close_matches(name, [line.split("\t")[0].lower() for line in listed.splitlines()], 1)
        return f"O(settings): PostgreSQL {cluster.version} has no setting {name}" + (
            f"; did you mean {near[0]}?" if near else "."
        )
    if "cannot be changed" in problem:
        return f"O(settings): {name} is fixed when PostgreSQL is built or the cluster is created. Remove it."
    return f'O(settings): {name} = "{settings[name]}": PostgreSQL reports: {problem}.'


def _check_libraries(cluster: Cluster, config: str, name: str, value: str) -> None:
    """PostgreSQL looks for these files when it starts, and does not start without them."""
    for item in value.split(",") if value and cluster.libraries else []:
        library = item.strip().strip('"')
        if not library:
            raise CollectionError(
                f'O(settings): {name} = "{value}" has an empty name, with which the server does not start.',
                "Remove it.",
            )
        path = f"{cluster.libraries}/{library}{'' if library.endswith('.so') else '.so'}"
        if "/" in library or os.path.exists(path):
            continue
        if _postgres(cluster, config, "dynamic_library_path").stdout.strip() == "$libdir":
            raise CollectionError(
                f"O(settings): {name} names {library}, but there is no {path}.",
                "Install the package that has it, or remove the name.",
            )
