# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's and Ubuntu's clusters, through postgresql-common.

Sources: pg_lsclusters(1), pg_createcluster(1), pg_ctlcluster(1), systemctl(1), update-rc.d(8).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from subprocess import CompletedProcess
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import ids_of
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import edit
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster, serves
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.host_guards import (
    check_selinux_port,
    firewall_advice,
    relabel,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import in_use
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import NOT_INSTALLED
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import LogTail
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.unfinished import Unfinished

_PROGRAMS = "/usr/lib/postgresql"
_SERVICE = "postgresql"  # starts all clusters whose start.conf says auto
_STATE = "/var/lib/postgresql"
_SOCKETS = "/var/run/postgresql"
_LOGS = "/var/log/postgresql"
_LIST_TIMEOUT = 2.0  # seconds
_RESTART_PAUSE = 3.0  # seconds


class Debian:
    """The clusters that postgresql-common manages."""

    def clusters(self) -> list[Cluster]:
        if shutil.which("pg_lsclusters") is None:
            raise CollectionError(
                "This host has no pg_lsclusters.",
                "Install the packages postgresql and postgresql-common (Debian, Ubuntu).",
                NOT_INSTALLED,
            )
        done = _list_clusters()
        found = [_cluster(entry) for entry in json.loads(done.stdout) if entry.get("pgdata")]
        whole = [cluster for cluster in found if not _is_interrupted(cluster)]
        return sorted(whole, key=lambda cluster: (cluster.version, cluster.name))

    def installed_versions(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(
                int(entry)
                for entry in os.listdir(_PROGRAMS)
                if entry.isdigit() and os.path.exists(os.path.join(_PROGRAMS, entry, "bin", "initdb"))
            )
        return []

    def predicted(self, version: int | None, name: str) -> Cluster:
        shown = str(version or "VERSION")
        entry = {
            "version": version or 0,
            "cluster": name,
            "configdir": f"{_configuration_root()}/{shown}/{name}",
            "pgdata": _default_data_directory(shown, name),
            "logfile": f"{_LOGS}/postgresql-{shown}-{name}.log",
            "port": _next_port(),
        }
        return _cluster(entry)

    def check_new(self, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]+", name):
            # A dash would break the name of the systemd unit (pg_createcluster(1)).
            raise CollectionError(f'O(cluster): "{name}" is not a valid name.', 'Use letters, digits, "_" and ".".')

    def create(self, version: int, name: str, locale: str, options: Sequence[str]) -> None:
        # A mark outside the cluster shows how far it is: what a killed run left is cleared before the next try, and a
        # cluster that is whole still has to be started at boot.
        self.check_new(name)
        mark = _unfinished(version, name)
        with mark.held() as file:
            _clear_interrupted(version, name, mark)
            if os.path.exists(os.path.join(_configuration_root(), str(version), name, "postgresql.conf")):
                return  # Another run has created it meanwhile.
            mark.creating()
            # A boot must not start it before it is whole: it becomes `auto` afterwards.
            done = run(
                [
                    *("pg_createcluster", "--encoding", "UTF8", "--locale", locale, "--start-conf", "manual"),
                    *(str(version), name, "--", *options),
                ],
                pass_fds=(file,),
            )
            if done.returncode:
                mark.clear()
                raise CollectionError(
                    f"Cluster {version}/{name}: pg_createcluster cannot create it: {one_line(done.stderr)}.",
                    "Correct what it names.",
                )
            mark.whole()

    def control(self, cluster: Cluster, action: str) -> str | None:
        disabled = action == "start" and cluster.start == "disabled"
        if disabled:
            set_start(cluster, "manual")  # else pg_ctlcluster rejects it
        log, begin = self.watch(cluster), time.time()
        try:
            for pause in (_RESTART_PAUSE, 0.0):
                done = run(["pg_ctlcluster", *_redirection(cluster), str(cluster.version), cluster.name, action])
                # The exit code does not tell: under systemd a unit starts even when its server does not, and a start
                # may fail because that of a killed run goes on.
                if (cluster.settled() is not None) == (action != "stop"):
                    return None
                if action == "stop" or done.returncode or log.reasons():
                    break
                # Nothing went wrong, yet there is no server: the packages' scripts restart the service, as they do
                # where the apt-get of a killed run is not at its end.
                time.sleep(pause)
        finally:
            if disabled:
                set_start(cluster, "disabled")
        said = done.stderr.strip() or done.stdout.strip() or _journal(cluster, begin)
        fallback = f"see {cluster.log_file} or `journalctl -u {cluster.unit}`"
        return "; ".join(log.reasons()) or (one_line(said) if said else fallback)

    def starts_at_boot(self, cluster: Cluster) -> bool:
        return cluster.start == "auto" and _service_enabled()

    def start_at_boot(self, cluster: Cluster) -> None:
        if cluster.start != "auto":
            set_start(cluster, "auto")
        if not _service_enabled():
            _enable_service()
        if cluster.unfinished:
            _unfinished(cluster.version, cluster.name).clear()

    def watch(self, cluster: Cluster) -> LogTail:
        return LogTail(cluster.log_file, cluster.owner)

    def check_port(self, port: int) -> None:
        check_selinux_port(port)

    def wrote(self, paths: Sequence[str]) -> None:
        relabel(paths)

    def advice(self, port: int, listen_addresses: str) -> list[str]:
        return firewall_advice(port, listen_addresses)


def _list_clusters() -> CompletedProcess[str]:
    """pg_lsclusters, which fails on the half-written files of a cluster that somebody creates or drops meanwhile."""
    deadline = time.monotonic() + _LIST_TIMEOUT
    while True:
        done = run(["pg_lsclusters", "--json"])
        if not done.returncode:
            return done
        if time.monotonic() > deadline:
            raise CollectionError(f"pg_lsclusters: {one_line(done.stderr)}.", "Repair the file that it names.")
        time.sleep(0.2)


def _cluster(entry: Mapping[str, Any]) -> Cluster:
    """A cluster of pg_lsclusters' JSON."""
    uid = int(entry["owneruid"]) if entry.get("owneruid") is not None else -1
    try:
        owner = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        owner = ""
    version, name, directory = int(float(entry["version"])), str(entry["cluster"]), str(entry["configdir"])
    config = entry.get("config", {})
    return Cluster(
        version=version,
        name=name,
        port=int(entry.get("port") or DEFAULT_PORT),
        status="online" if entry.get("running") else "down",
        start=str(entry.get("start", "auto")),
        owner=owner,
        uid=uid,
        gid=int(entry.get("ownergid") or 0),
        data_directory=str(entry["pgdata"]),
        config_directory=directory,
        socket_directory=str(entry.get("socketdir") or _SOCKETS),
        log_file=str(entry.get("logfile") or ""),
        access_file=str(config.get("hba_file") or os.path.join(directory, "pg_hba.conf")),
        ident_file=str(config.get("ident_file") or os.path.join(directory, "pg_ident.conf")),
        include_file=_include_file(directory, str(entry.get("supervisor") or "")),
        settings_directory=os.path.join(directory, "conf.d"),
        binaries=f"{_PROGRAMS}/{version}/bin",
        libraries=f"{_PROGRAMS}/{version}/lib",
        unit=f"postgresql@{version}-{name}",
        supervisor=str(entry.get("supervisor") or ""),
        unfinished=_unfinished(version, name).created(),
    )


def _journal(cluster: Cluster, begin: float) -> str:
    """The last line that the unit has logged since a time; the unit ignores that its server does not start."""
    if shutil.which("journalctl") is None:
        return ""
    since = [f"--unit={cluster.unit}", f"--since=@{begin:.6f}"]
    return run(["journalctl", "--quiet", "--output=cat", "--lines=1", *since]).stdout.strip()


def _include_file(directory: str, supervisor: str) -> str:
    """The file that includes conf.d: postgresql.conf, or where Patroni writes that, the one that it was before."""
    base = os.path.join(directory, "postgresql.base.conf")
    return base if supervisor == "patroni" and os.path.exists(base) else os.path.join(directory, "postgresql.conf")


def _is_interrupted(cluster: Cluster) -> bool:
    """Whether the cluster's creation was interrupted or is going on."""
    data = _unfinished(cluster.version, cluster.name).creating_data()
    return bool(data) and not _reasons_to_keep(cluster.version, cluster.name, data)


def _clear_interrupted(version: int, name: str, mark: Unfinished) -> None:
    """Remove what an interrupted creation left.

    Args:
        version, name: of the cluster.
        mark: its mark, which is held.

    Raises:
        CollectionError: it may hold data.
    """
    data, configuration = mark.creating_data(), os.path.join(_configuration_root(), str(version), name)
    if not data:
        return
    reasons = _reasons_to_keep(version, name, data)
    if reasons:
        raise CollectionError(
            f"Cluster {version}/{name}: its creation was interrupted, yet {reasons[0]}.",
            f"Remove {mark.path} to keep the cluster, or drop it with pg_dropcluster.",
        )
    # As the owner, because the path lies under directories that the owner can rearrange.
    info = os.stat(_STATE)
    run(["rm", "-rf", "--one-file-system", "--", data], **as_user(info.st_uid, info.st_gid))
    shutil.rmtree(configuration, ignore_errors=True)
    mark.nothing()


def _reasons_to_keep(version: int, name: str, data: str) -> list[str]:
    """Why what is there is not, or not only, what an interrupted creation left.

    Args:
        version, name: of the cluster.
        data: the data directory that was being created.
    """
    reasons = []
    with contextlib.suppress(OSError):
        path = os.path.join(_configuration_root(), str(version), name, "postgresql.conf")
        with open(path, encoding="utf-8", errors="replace") as stream:
            configured = re.findall(r"^\s*data_directory\s*=?\s*'([^']+)'", stream.read(), re.MULTILINE)
        if configured and os.path.realpath(configured[-1]) != os.path.realpath(data):
            reasons.append(f"its data directory is {configured[-1]}, not {data}")
    with contextlib.suppress(OSError):
        if os.stat(os.path.join(data, "PG_VERSION")).st_mtime < os.stat(_unfinished(version, name).path).st_mtime - 1:
            reasons.append(f"{data} is older than that")
    if os.path.lexists(os.path.join(data, "postmaster.opts")) or _locked_by_server(data):
        reasons.append(f"a server has run in {data} since")
    if serves(data):
        reasons.append(f"a server runs in {data}")
    return reasons


def _locked_by_server(data: str) -> bool:
    """Whether a postmaster.pid is there that is not the one of initdb.

    initdb's own single-user server writes its process ID as a negative number (CreateLockFile of PostgreSQL's
    miscinit.c), and leaves the file where it is killed.
    """
    path = os.path.join(data, "postmaster.pid")
    if not os.path.lexists(path):
        return False
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii") as stream:
            return not re.fullmatch(r"(-[0-9]+)?", stream.readline(32).strip())
    return True


def _unfinished(version: int, name: str) -> Unfinished:
    return Unfinished(_STATE, f"{version}-{name}", _default_data_directory(str(version), name))


def _next_port() -> int:
    """The port that pg_createcluster gives to a new cluster."""
    taken = set()
    if shutil.which("pg_lsclusters"):
        listed = run(["pg_lsclusters", "--no-header"]).stdout.split("\n")
        taken = {line.split()[2] for line in listed if len(line.split()) > 2}
    port = DEFAULT_PORT
    while str(port) in taken or in_use("localhost", port) or in_use(None, port):
        port += 1
    return port


def _configuration_root() -> str:
    return os.environ.get("PG_CLUSTER_CONF_ROOT", "/etc/postgresql")


def _default_data_directory(version: str, name: str) -> str:
    pattern = f"{_STATE}/%v/%c"
    with contextlib.suppress(OSError), open("/etc/postgresql-common/createcluster.conf", encoding="utf-8") as stream:
        for found in re.finditer(r"^\s*data_directory\s*=?\s*'([^']+)'", stream.read(), re.MULTILINE):
            pattern = found.group(1)
    return pattern.replace("%v", version).replace("%c", name)


def set_start(cluster: Cluster, mode: str) -> None:
    """Set start.conf to auto, manual or disabled, and reload systemd, which reads it through a generator."""
    with edit(os.path.join(cluster.config_directory, "start.conf")) as edited:
        old = (edited.data or b"").decode()
        new, count = re.subn(r"^(\s*)(auto|manual|disabled)\b", rf"\g<1>{mode}", old, flags=re.MULTILINE)
        edited.replace((new if count else f"{old}{mode}\n").encode(), mode=0o644 if edited.mode is None else None)
    if _systemd_runs():
        run(["systemctl", "daemon-reload"])


def _systemd_runs() -> bool:
    return os.path.isdir("/run/systemd/system")


def _redirection(cluster: Cluster) -> list[str]:
    """The option that keeps pg_ctlcluster from leaving the server to systemd, where systemd would wait for ever.

    The unit waits for a file with the process id in the socket directory, which the cluster's owner has to write there.
    """
    try:
        place, owner = os.stat(_SOCKETS), ids_of(cluster.uid)
    except OSError:
        return []
    in_group = place.st_gid in (owner.gid, *owner.groups) and place.st_mode & stat.S_IWGRP
    writable = place.st_uid == owner.uid or in_group or place.st_mode & stat.S_IWOTH
    return [] if writable else ["--skip-systemctl-redirect"]


def _service_enabled() -> bool:
    """Whether the init system starts the clusters whose start.conf says auto."""
    if _systemd_runs():
        return run(["systemctl", "is-enabled", "--quiet", _SERVICE]).returncode == 0
    return bool(glob.glob("/etc/rc[2-5].d/S[0-9][0-9]postgresql"))


def _enable_service() -> None:
    if _systemd_runs():
        commands = [["systemctl", "enable", "--quiet", _SERVICE]]
    else:
        commands = [["update-rc.d", _SERVICE, "defaults"], ["update-rc.d", _SERVICE, "enable"]]
    for command in commands:
        done = run(command)
        if done.returncode:
            raise CollectionError(
                f"Service {_SERVICE}: cannot be enabled ({' '.join(command)}: {one_line(done.stderr or done.stdout)}), "
                "so no cluster would start at boot.",
                "Unmask or repair the service.",
            )
