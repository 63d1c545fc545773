# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller learns of a host by one command, which needs no Python there: system, PostgreSQL, packages.

Sources: os-release(5), dpkg-query(1), rpm(8).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.platforms import (
    PLATFORMS,
    Platform,
    number,
    platform_of,
)
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.supported_versions import SUPPORTED_MAJORS
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import (
    older_of_the_name,
    upgrade_hint,
)

OLDEST_PYTHON = (3, 9)
_APT = "https://apt.postgresql.org/pub/repos/apt"
_YUM = "https://download.postgresql.org/pub/repos/yum"
_DEB822 = "python3-debian"  # what ansible.builtin.deb822_repository needs
_FIELD = re.compile(r"""^([A-Z_]+)=(["']?)(.*?)\2\s*$""", re.MULTILINE)
_FOUND = re.compile(r"^devportal:(\w+) (.*?)\s*$", re.MULTILINE)
_SCRIPT = r"""
echo "devportal:uid $(id -u)"
cat /etc/os-release 2>/dev/null
for program in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres /usr/bin/postgres; do
  [ -x "$program" ] && echo "devportal:server $("$program" -V 2>/dev/null)"
done
command -v pg_lsclusters >/dev/null \
  && pg_lsclusters --no-header 2>/dev/null | while read -r version name port status _; do
  echo "devportal:cluster $version $port $status $name"
done
{python} -c '{in_python}' 2>/dev/null
if command -v dpkg-query >/dev/null; then
  dpkg-query -W -f='${{db:Status-Status}} devportal:package ${{Package}}\n' {packages} 2>/dev/null \
    | sed -n 's/^installed //p'
else
  for package in {packages}; do
    rpm -q --quiet --whatprovides "$package" 2>/dev/null && echo "devportal:package $package"
  done
fi
true
"""
_VERSION = 'import sys; print("devportal:python %d.%d" % sys.version_info[:2])'
# Without the current directory, which Python puts first. A distribution's packages are for its own python3.
_LIBRARIES = """
sys.path = [place for place in sys.path if place]
import importlib.util, os
if sys.prefix != "/usr" or os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
    print("devportal:foreign " + sys.executable)
for name in {libraries}:
    if getattr(importlib.util.find_spec(name), "origin", None):
        print("devportal:library " + name)
"""


class Listed(NamedTuple):
    """A cluster of a host that has pg_lsclusters(1)."""

    version: int
    port: int
    status: str
    name: str


@dataclass(frozen=True)
class Host:
    """What was found.

    Attributes:
        name: the distribution as people call it.
        distribution: its ID.
        release: VERSION_ID.
        platform: None for a distribution that the roles do not know.
        python: of the interpreter that the modules will have; None where there is none yet.
        servers: the major versions of PostgreSQL whose server programs are there.
        packages: of the libraries that the modules and roles need, those that are there.
        libraries: those that the interpreter finds, by Python's name.
        foreign: the interpreter, where the distribution's packages are for another one.
        codename: VERSION_CODENAME.
        uid: the effective user that the command ran as.
        clusters: those that pg_lsclusters(1) lists.
    """

    name: str
    distribution: str
    release: str
    platform: Platform | None
    python: tuple[int, ...] | None
    servers: frozenset[int]
    packages: frozenset[str]
    codename: str = ""
    uid: int = 0
    clusters: tuple[Listed, ...] = ()
    libraries: frozenset[str] = frozenset()
    foreign: str = ""


def command(python: str) -> str:
    """The shell command whose output `parse` reads.

    Args:
        python: the interpreter that the modules will have: a path, or "python3" where Ansible looks for one.
    """
    packages = sorted({_DEB822, *(name for entry in PLATFORMS for name in entry.libraries.values())})
    libraries = sorted({name for entry in PLATFORMS for name in entry.libraries})
    # Another than this one may be the first that Ansible finds.
    in_python = _VERSION + (_LIBRARIES.format(libraries=json.dumps(libraries)) if python.startswith("/") else "")
    script = _SCRIPT.format(python=shlex.quote(python), packages=" ".join(packages), in_python=in_python)
    return "sh -c " + shlex.quote(script)


def parse(text: str) -> Host:
    """What the output of `command` says."""
    fields = {name: value for name, _quote, value in _FIELD.findall(text)}
    found: dict[str, list[str]] = {}
    for key, value in _FOUND.findall(text):
        found.setdefault(key, []).append(value)
    ids = (fields.get("ID", "linux"), *fields.get("ID_LIKE", "").split())
    release = fields.get("VERSION_ID", "")
    versions = (re.search(r"\) (\d+)", line) for line in found.get("server", []))
    return Host(
        name=fields.get("PRETTY_NAME") or "A system without /etc/os-release",
        distribution=ids[0],
        release=release,
        platform=platform_of(ids, release),
        python=number(found["python"][-1]) if "python" in found else None,
        servers=frozenset(int(match.group(1)) for match in versions if match),
        packages=frozenset(found.get("package", ())),
        codename=fields.get("VERSION_CODENAME", ""),
        uid=int(found.get("uid", ["0"])[-1]),
        clusters=tuple(_listed(found.get("cluster", ()))),
        libraries=frozenset(found.get("library", ())),
        foreign=found.get("foreign", [""])[-1],
    )


def _listed(lines: Iterable[str]) -> Iterable[Listed]:
    for line in lines:
        version, port, status, name = line.split(None, 3)
        if version.isdigit() and port.isdigit():
            yield Listed(int(version), int(port), status, name)


@dataclass(frozen=True)
class Request:
    """What is asked of the host.

    Attributes:
        database: whether PostgreSQL itself is to be installed there.
        version: a major version, or empty for the one that is there, or the distribution's.
        pgdg: whether it comes from the PostgreSQL project's repository.
        key: whether the user gave the repository's key.
        libraries: what the modules need, by Python's name.
        cluster: name of the cluster.
        port: of the cluster; None for any.
        create: whether a second cluster is meant where one of the name exists.
    """

    libraries: tuple[str, ...]
    database: bool = False
    version: str = ""
    pgdg: bool = False
    key: bool = False
    cluster: str = "main"
    port: int | None = None
    create: bool = False


def host_problems(host: Host, request: Request) -> Iterable[str]:
    """Sentences about a host that cannot have what is asked of it."""
    entry = host.platform
    if host.python is not None and host.python < OLDEST_PYTHON:
        yield (
            f"{host.name}: its Python {'.'.join(map(str, host.python))} is older than 3.9, the oldest that the modules "
            "run on. Use a newer release, or set ansible_python_interpreter to a newer Python."
        )
    if entry is None:
        known = "; ".join(platform.name for platform in PLATFORMS)
        yield (
            f"{host.name}: not supported. Use one of these: {known}. Or install PostgreSQL elsewhere, and set "
            "backstage_postgresql_host to its address."
        )
        return
    oldest = entry.oldest if request.database or not entry.oldest_app else entry.oldest_app
    if host.distribution in entry.ids and number(host.release) and number(host.release) < number(oldest):
        yield f"{host.name}: too old. Use {entry.name}."
        return
    yield from _interpreter_problems(host, request)
    if request.database:
        yield from _version_problems(host, entry, request)
        yield from _cluster_problems(host, request)


def _interpreter_problems(host: Host, request: Request) -> Iterable[str]:
    missing = [name for name in request.libraries if name not in host.libraries]
    if host.foreign and missing:
        yield (
            f"ansible_python_interpreter: {host.foreign} does not find what the modules need ({', '.join(missing)}), "
            "and the distribution's packages of it are not for this interpreter. Set it to /usr/bin/python3, or "
            f"install that for {host.foreign}."
        )


def root_problems(host: Host, request: Request) -> Iterable[str]:
    """A sentence where the run has not the rights of root, and needs them."""
    if host.uid and (request.database or missing_packages(host, request)):
        yield (
            "become: the tasks on this host do not run as root. Set become: true in the play, or ansible_become: true "
            "for the host."
        )


def unreachable_problems(name: str, answer: str) -> Iterable[str]:
    """A sentence about a host that did not answer the command.

    Args:
        name: the host's, in the inventory.
        answer: what came instead, such as the shell's error.
    """
    last = answer.strip().splitlines()[-1].strip() if answer.strip() else "no answer"
    if "sudo" in last and "not found" in last:
        yield (
            f"become: {name} has no sudo. For a login as root, set ansible_user: root or ansible_become: false for "
            "this host. Otherwise install sudo, or set ansible_become_method."
        )
    else:
        yield f"{name}: a command on the host failed: {last}. Check ansible_user, ansible_become and their passwords."


def _version_problems(host: Host, entry: Platform, request: Request) -> Iterable[str]:
    variable = "backstage_postgresql_version"
    if request.pgdg and not entry.pgdg:
        yield (
            f"backstage_postgresql_repository: the PostgreSQL project has no repository for {host.name} that the role "
            "can set up. Set it to distribution."
        )
    elif request.pgdg and not request.version:
        yield f"{variable}: required with backstage_postgresql_repository pgdg. Set it to a major version, such as 17."
    elif request.pgdg and entry.manager == "rpm" and not request.key:
        yield (
            "backstage_postgresql_repository_key: required on this distribution with backstage_postgresql_repository "
            "pgdg. Set it to the text of the key, PGDG-RPM-GPG-KEY-RHEL or the like, that signs the packages."
        )
    if request.pgdg or (request.version and int(request.version) in host.servers) or host.servers & {*SUPPORTED_MAJORS}:
        return
    own = ", ".join(map(str, entry.versions))
    if not request.version and (not entry.default or 0 < entry.default_version < SUPPORTED_MAJORS[0]):
        default = f"whose default PostgreSQL is {entry.default_version}, older than Backstage supports" * bool(
            entry.default
        )
        yield (
            f"{variable}: required on {host.name}, {default or 'which has no default version'}. "
            f"Set it to one of {own}, or set backstage_postgresql_repository to pgdg and it to one of "
            f"{SUPPORTED_MAJORS[0]} to {SUPPORTED_MAJORS[-1]}."
        )
    elif request.version and entry.versions and int(request.version) not in entry.versions:
        yield (
            f"{variable}: {host.name} has {own}, not {request.version}. Use one of these, or set "
            "backstage_postgresql_repository to pgdg."
        )


def _cluster_problems(host: Host, request: Request) -> Iterable[str]:
    """A sentence where a new version would get an empty cluster beside the portal's."""
    if not request.version or request.create:
        return
    older = older_of_the_name(host.clusters, int(request.version), request.cluster, request.port)
    if older is not None and "patroni" in older.status.split(","):
        yield (
            f"backstage_postgresql_version: {request.version} is not the version of the cluster, {older.version}, and "
            "a cluster under Patroni is not upgraded. Keep the version, or dump the databases and restore them into a "
            "new cluster."
        )
    elif older is not None:
        wrong, remedy = upgrade_hint(int(request.version), older)
        yield (
            f"backstage_postgresql_version: {wrong}. {remedy} backstage_postgresql_cluster, or set "
            "backstage_postgresql_create to true."
        )


def missing_packages(host: Host, request: Request) -> list[str]:
    """The packages to install for a request that `host_problems` has nothing to say about."""
    entry = host.platform
    if entry is None:
        return []
    wanted: list[str] = []
    if request.database and request.version and int(request.version) not in host.servers:
        templates = entry.server_of_pgdg if request.pgdg else entry.server
        wanted += [template.format(version=request.version) for template in templates]
    elif request.database and not request.version and not host.servers:
        # Where a server of another version is, the distribution's own would be put beside it.
        wanted += entry.default
    libraries = (entry.libraries[name] for name in request.libraries if name not in host.libraries)
    return [*wanted, *(name for name in libraries if name not in host.packages)]


def pgdg_repository(host: Host, version: str, url: str) -> dict[str, object]:
    """Where the PostgreSQL project's packages for this host are.

    Args:
        host: one that the project has a repository for.
        version: a major version.
        url: of a mirror; empty for the project's own.

    Returns:
        For apt: url, suite, and whether the library that manages repositories is there. Else: url.
    """
    if host.platform is not None and host.platform.manager == "apt":
        return {"url": url or _APT, "suite": f"{host.codename}-pgdg", "library": _DEB822 in host.packages}
    major = host.release.split(".", 1)[0]
    system = f"fedora/fedora-{major}" if host.distribution == "fedora" else f"redhat/rhel-{major}"
    return {"url": f"{(url or _YUM).rstrip('/')}/{version}/{system}-$basearch"}
