# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL clusters of a Debian host: found, made, started, asked through Debian's postgresql-common.

Sources: pg_lsclusters(1), pg_createcluster(1), pg_ctlcluster(1), postgres(1) and the manual's chapter
"Database File Layout" for postmaster.pid.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import fcntl
import glob
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import edit

SETTINGS_FILE = "zz-devportal-backstage.conf"  # PostgreSQL reads conf.d in the C locale's order; the last one counts.
DEFAULT_LOCALE = "C.UTF-8"
_BINARIES = "/usr/lib/postgresql"
_SERVICE = "postgresql"  # starts all clusters whose start.conf says auto
_STATE = "/var/lib/postgresql"
_PRELOADED = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
_CREATE_TIMEOUT = 300.0  # seconds
_SETTLE_TIMEOUT = 60.0  # seconds
_PROBE = "devportal_backstage.read"


class ClusterError(CollectionError):
    """A cluster cannot be found, made, checked or started; the text says why and what to do."""


class MissingTools(ClusterError):
    """This host has no pg_lsclusters."""


@dataclass(frozen=True)
class Postmaster:
    """What a running server wrote into its postmaster.pid."""

    pid: int
    port: int
    socket_directory: str
    ready: bool


@dataclass(frozen=True)
class Cluster:
    """One cluster, as pg_lsclusters knows it.

    Attributes:
        port: what the files on disk say; a running server may still have another one, see `postmaster`.
        status: "online" or "down".
        start: auto, manual or disabled (start.conf).
        access_file: pg_hba.conf, wherever it is.
    """

    version: int
    name: str
    port: int
    status: str
    start: str
    owner: str
    uid: int
    gid: int
    data_directory: str
    config_directory: str
    socket_directory: str
    log_file: str
    access_file: str

    def __str__(self) -> str:
        return f"{self.version}/{self.name}"

    @property
    def settings_file(self) -> str:
        return os.path.join(self.config_directory, "conf.d", SETTINGS_FILE)

    def postmaster(self) -> Postmaster | None:
        """The running server, or None; a postmaster.pid that a crash left behind does not count."""
        try:
            with open(os.path.join(self.data_directory, "postmaster.pid"), encoding="utf-8") as stream:
                lines = stream.read().splitlines()
            ready = lines[7].strip() in ("ready", "standby")
            found = Postmaster(int(lines[0]), int(lines[3]), lines[4] or self.socket_directory, ready)
            # Not its cwd: in a container without CAP_SYS_PTRACE root may not read that of another user's process.
            with open(f"/proc/{found.pid}/cmdline", "rb") as stream:
                program = os.path.basename(stream.read().split(b"\0")[0])
            same_owner = os.stat(f"/proc/{found.pid}").st_uid == os.stat(self.data_directory).st_uid
            if same_owner and program.startswith(b"postgres"):
                return found
        except (OSError, ValueError, IndexError):
            pass
        return None

    def settled(self) -> Postmaster | None:
        """Like `postmaster`, once the server neither starts nor stops, as it may after a killed run.

        Raises:
            ClusterError: it still does after a minute.
        """
        deadline = time.monotonic() + _SETTLE_TIMEOUT
        while True:
            found = self.postmaster()
            if found is None or found.ready:
                return found
            if time.monotonic() > deadline:
                raise ClusterError(f"Cluster {self} is starting or stopping for too long; look at {self.log_file}.")
            time.sleep(0.05)


def clusters() -> list[Cluster]:
    """All clusters of this host, by version and name.

    Raises:
        MissingTools: there is no pg_lsclusters.
        ClusterError: it fails, for instance at a broken postgresql.conf.
    """
    if shutil.which("pg_lsclusters") is None:
        raise MissingTools(
            "This host has no pg_lsclusters; install the packages postgresql and postgresql-common (Debian, Ubuntu)."
        )
    done = _run(["pg_lsclusters", "--json"])
    if done.returncode:
        raise ClusterError(f"pg_lsclusters fails: {_one_line(done.stderr)}; repair what it names.")
    found = [_cluster(entry) for entry in json.loads(done.stdout) if entry.get("pgdata")]
    return sorted(found, key=lambda one: (one.version, one.name))


def _cluster(entry: Mapping[str, Any]) -> Cluster:
    uid = int(entry["owneruid"]) if entry.get("owneruid") is not None else -1
    try:
        owner = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        owner = ""
    directory = str(entry["configdir"])
    return Cluster(
        version=int(float(entry["version"])),
        name=str(entry["cluster"]),
        port=int(entry.get("port") or 5432),
        status="online" if entry.get("running") else "down",
        start=str(entry.get("start", "auto")),
        owner=owner,
        uid=uid,
        gid=int(entry.get("ownergid") or 0),
        data_directory=str(entry["pgdata"]),
        config_directory=directory,
        socket_directory=str(entry.get("socketdir") or "/var/run/postgresql"),
        log_file=str(entry.get("logfile") or ""),
        access_file=str(entry.get("config", {}).get("hba_file") or os.path.join(directory, "pg_hba.conf")),
    )


def installed_versions() -> list[int]:
    """Major versions whose server programs are installed, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(
            int(entry)
            for entry in os.listdir(_BINARIES)
            if entry.isdigit() and os.path.exists(os.path.join(_BINARIES, entry, "bin", "initdb"))
        )
    return []


def choose(
    found: Sequence[Cluster],
    installed: Sequence[int],
    version: int | None,
    name: str,
    create: bool | None,
) -> Cluster | int:
    """The cluster that is meant, or the version for which one is to be made.

    Args:
        found: `clusters()`.
        installed: `installed_versions()`.
        version: the major version that is asked for; None takes the only one.
        name: the cluster's name.
        create: True makes a missing one also beside others, None only for a version without any, False never.

    Raises:
        ClusterError: several match, or none does and none may be made.
    """
    same_name = [one for one in found if one.name == name and version in (None, one.version)]
    if len(same_name) == 1:
        (one,) = same_name
        if one.uid < 0 or not one.owner:
            raise ClusterError(
                f"Cluster {one}: its data directory {one.data_directory} is missing or its owner is unknown; "
                f"mount or repair it, or remove the cluster with pg_dropcluster."
            )
        return one
    known = ", ".join(f"{one} (port {one.port}, {one.status})" for one in found)
    if same_name:
        raise ClusterError(f"Several clusters are named {name}: {known}; say which one with version.")
    beside = [one for one in found if version in (None, one.version)]
    if create is False or (create is None and beside):
        have = f"this host has {known}" if found else "this host has none"
        asked = f"{version}/{name}" if version else f"of the name {name}"
        raise ClusterError(f"There is no cluster {asked}: {have}; correct version and cluster, or set create to true.")
    if version is None and installed:
        return installed[-1]
    if version is None or version not in installed:
        package = f"postgresql-{version}" if version else "postgresql"
        have = f" (installed: {', '.join(map(str, installed))})" if installed else ""
        raise ClusterError(f"The server programs for a new cluster are not there{have}; install the package {package}.")
    return version


def create(version: int, name: str, locale: str, options: Sequence[str]) -> None:
    """Make a cluster with encoding UTF8; it is not started.

    A mark outside the cluster says that it is unfinished: what a killed run left is cleared away before the next try.

    Args:
        version: a major version whose programs are installed.
        name: the cluster's name.
        locale: of a UTF-8 kind, such as C.UTF-8.
        options: for initdb(1), such as --data-checksums.

    Raises:
        ClusterError: pg_createcluster fails; it leaves nothing behind.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name):
        # A dash would break the name of the systemd unit (pg_createcluster(1)).
        raise ClusterError(f'"{name}" is no good name for a cluster; use letters, digits, "_" and ".".')
    path = _unfinished_mark(version, name)
    with _unfinished(version, name) as mark:
        if os.path.exists(os.path.join(_configuration_root(), str(version), name, "postgresql.conf")):
            os.unlink(path)
            return  # Another run has made it meanwhile.
        os.write(mark, b"unfinished")
        # A boot must not start it before it is whole: it becomes `auto` afterwards.
        done = _run(
            [
                *("pg_createcluster", "--encoding", "UTF8", "--locale", locale, "--start-conf", "manual"),
                *(str(version), name, "--", *options),
            ],
            pass_fds=(mark,),
        )
        os.unlink(path)
        if done.returncode:
            raise ClusterError(f"pg_createcluster cannot make {version}/{name}: {_one_line(done.stderr)}")


def clear_unfinished(version: int, name: str) -> bool:
    """Remove a cluster whose making was broken off; whether there was one.

    Raises:
        ClusterError: a server has run on it since, so that it may hold data.
    """
    path = _unfinished_mark(version, name)
    if not os.path.exists(path):
        return False
    with _unfinished(version, name) as mark:
        if os.fstat(mark).st_size == 0:
            os.unlink(path)
            return False  # That run was only not done yet.
        data = _default_data_directory(version, name)
        if os.path.exists(os.path.join(data, "postmaster.opts")):
            raise ClusterError(
                f"The making of cluster {version}/{name} was broken off, yet a server has run in {data} since; "
                f"look at it, then remove {path} to keep it, or drop it with pg_dropcluster."
            )
        # As the owner, because the path lies under directories that the owner can rearrange.
        info = os.stat(_STATE)
        _run(["rm", "-rf", "--one-file-system", "--", data], **_as_user(info.st_uid, info.st_gid))
        shutil.rmtree(os.path.join(_configuration_root(), str(version), name), ignore_errors=True)
        os.unlink(path)
        return True


@contextlib.contextmanager
def _unfinished(version: int, name: str) -> Iterator[int]:
    """The mark that a cluster is being made, locked: by flock(2), which a child that outlives its run holds on to."""
    path = _unfinished_mark(version, name)
    deadline = time.monotonic() + _CREATE_TIMEOUT
    while True:
        try:
            mark = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterError(
                f"{path} cannot be written ({error.strerror}), so no cluster can be made; run with `become: true`, "
                "or install the package postgresql."
            ) from error
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(mark), os.stat(path)):
                break
        except BlockingIOError:
            pass
        except BaseException:
            os.close(mark)
            raise
        os.close(mark)
        if time.monotonic() > deadline:
            raise ClusterError(f"Another run is making cluster {version}/{name} for too long; look at {path}.")
        time.sleep(0.05)
    try:
        yield mark
    finally:
        os.close(mark)


def _unfinished_mark(version: int, name: str) -> str:
    return os.path.join(_STATE, f".devportal-backstage-unfinished-{version}-{name}")


def _configuration_root() -> str:
    return os.environ.get("PG_CLUSTER_CONF_ROOT", "/etc/postgresql")


def _default_data_directory(version: int, name: str) -> str:
    pattern = f"{_STATE}/%v/%c"
    with contextlib.suppress(OSError), open("/etc/postgresql-common/createcluster.conf", encoding="utf-8") as stream:
        for found in re.finditer(r"^\s*data_directory\s*=?\s*'([^']+)'", stream.read(), re.MULTILINE):
            pattern = found.group(1)
    return pattern.replace("%v", str(version)).replace("%c", name)


def set_start(cluster: Cluster, mode: str) -> None:
    """Set start.conf and tell systemd, which reads it through a generator.

    Args:
        mode: auto, manual or disabled.
    """
    with edit(os.path.join(cluster.config_directory, "start.conf")) as edited:
        old = (edited.data or b"").decode()
        new, count = re.subn(r"^(\s*)(auto|manual|disabled)\b", rf"\g<1>{mode}", old, flags=re.MULTILINE)
        edited.replace((new if count else f"{old}{mode}\n").encode(), mode=0o644 if edited.mode is None else None)
    if os.path.isdir("/run/systemd/system"):
        _run(["systemctl", "daemon-reload"])


def starts_at_boot() -> bool:
    """Whether the init system starts the clusters whose start.conf says auto."""
    if os.path.isdir("/run/systemd/system"):
        return _run(["systemctl", "is-enabled", "--quiet", _SERVICE]).returncode == 0
    return bool(glob.glob("/etc/rc[2-5].d/S[0-9][0-9]postgresql"))


def start_at_boot() -> None:
    """Have the init system do that.

    Raises:
        ClusterError: it refuses; a masked service for instance.
    """
    if os.path.isdir("/run/systemd/system"):
        commands = [["systemctl", "enable", "--quiet", _SERVICE]]
    else:
        commands = [["update-rc.d", _SERVICE, "defaults"], ["update-rc.d", _SERVICE, "enable"]]
    for command in commands:
        done = _run(command)
        if done.returncode:
            raise ClusterError(
                f"The service {_SERVICE} cannot be enabled, so no cluster would start at boot "
                f"({' '.join(command)}: {_one_line(done.stderr or done.stdout)})."
            )


def control(cluster: Cluster, action: str) -> str | None:
    """Start, stop or restart the server, through systemd where it runs.

    Returns:
        None when it worked, else the reason: the server's own log, or what pg_ctlcluster says.
    """
    log = LogTail(cluster.log_file)
    done = _run(["pg_ctlcluster", str(cluster.version), cluster.name, action])
    # The exit code does not tell: under systemd a unit starts even when its server does not, and a start may fail
    # because that of a killed run goes on.
    if (cluster.settled() is not None) == (action != "stop"):
        return None
    return (
        "; ".join(log.reasons())
        or _one_line(done.stderr or done.stdout)
        or f"look at {cluster.log_file} or `journalctl -u postgresql@{cluster.version}-{cluster.name}`"
    )


class LogTail:
    """What a server writes to its log from now on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._start = os.path.getsize(path) if os.path.exists(path) else 0

    def lines(self) -> list[str]:
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(self._start)
            return stream.read(1 << 20).decode("utf-8", "replace").splitlines()
        return []

    def reasons(self) -> list[str]:
        """The lines that tell of trouble, without time stamps; in an unknown language the last few lines."""
        lines = self.lines()
        return list(_troubles(lines)) or [line.strip() for line in lines[-3:]]


_MESSAGE = re.compile(r"\b(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT):\s+(.*)")
_TROUBLE = re.compile(r"could not|cannot|invalid|unrecognized|syntax error|not reloaded|errors|outside the valid")


def _troubles(lines: Iterable[str]) -> Iterator[str]:
    follows = False
    for line in lines:
        found = _MESSAGE.search(line)
        if not found:
            continue
        kind, text = found.group(1), found.group(2).rstrip(".")
        if kind in ("DETAIL", "HINT", "CONTEXT"):
            if follows:
                yield text
            continue
        follows = kind in ("ERROR", "FATAL", "PANIC") or bool(_TROUBLE.search(text))
        if follows:
            yield text


def check_settings(cluster: Cluster, settings: Mapping[str, str], text: bytes | None) -> None:
    """Have PostgreSQL read the configuration as it would be with our file, in a place of its own.

    Neither the live files nor the running server notice.

    Args:
        settings: what our file says, for the error's text.
        text: our file as it would be; None for no file.

    Raises:
        ClusterError: what PostgreSQL refuses, by setting.
    """
    with _staged(cluster, text) as config:
        done = _postgres(cluster, config, _PROBE)
        if done.returncode:
            _explain(cluster, settings, done.stderr, os.path.dirname(config))
        for name in _PRELOADED:
            _check_libraries(cluster, config, name, settings.get(name, ""))


def effective_settings(cluster: Cluster, text: bytes | None, names: Iterable[str]) -> dict[str, str]:
    """The values that these settings would have after a restart with our file, as pg_settings.setting shows them."""
    with _staged(cluster, text) as config:
        return {name: _postgres(cluster, config, name).stdout.rstrip("\n") for name in names}


@contextlib.contextmanager
def _staged(cluster: Cluster, text: bytes | None) -> Iterator[str]:
    """A copy of the cluster's configuration directory, made of links, with our file as it would be."""
    stage = tempfile.mkdtemp(prefix="devportal-backstage-", dir="/tmp")
    try:
        included = os.path.join(stage, "conf.d")
        os.mkdir(included, 0o700)
        for source, target in ((cluster.config_directory, stage), (os.path.dirname(cluster.settings_file), included)):
            with contextlib.suppress(FileNotFoundError):
                for entry in os.listdir(source):
                    if entry not in ("conf.d", "postgresql.conf", SETTINGS_FILE):
                        os.symlink(os.path.join(source, entry), os.path.join(target, entry))
        live = os.path.join(cluster.config_directory, "postgresql.conf")
        with open(live, "rb") as stream:
            main = stream.read()
        # An absolute path to the live conf.d would read the file that is to be replaced.
        main = main.replace(os.path.dirname(cluster.settings_file).encode(), included.encode())
        config = os.path.join(stage, "postgresql.conf")
        probe = f"{_PROBE} = 'yes'\n".encode()
        for path, data in ((config, main), (os.path.join(included, SETTINGS_FILE), (text or b"") + probe)):
            with open(path, "wb") as stream:
                stream.write(data)
        if os.geteuid() == 0:
            for path in (os.path.join(included, SETTINGS_FILE), config, included, stage):
                os.chown(path, cluster.uid, cluster.gid)
        yield config
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _postgres(cluster: Cluster, config: str, name: str) -> subprocess.CompletedProcess[str]:
    return _run(
        [
            f"{_BINARIES}/{cluster.version}/bin/postgres",
            *("-C", name, "-c", f"config_file={config}", "-c", f"data_directory={cluster.data_directory}"),
            *("-c", "lc_messages=C", "-c", "log_destination=stderr"),
        ],
        **_as_user(cluster.uid, cluster.gid),
    )


def _explain(cluster: Cluster, settings: Mapping[str, str], stderr: str, stage: str) -> None:
    problems: list[str] = []
    for line in stderr.replace(stage, cluster.config_directory).splitlines():
        found = _MESSAGE.search(line)
        if found and found.group(1) in ("HINT", "DETAIL") and problems:
            problems[-1] += f" ({found.group(2).rstrip('.')})"
        elif found and not (problems and found.group(1) == "FATAL"):
            problems.append(found.group(2))
    if any(f'"{_PROBE}"' in problem for problem in problems):
        raise not_included(cluster)
    if not problems:
        raise ClusterError(f"postgres cannot check the settings: {_one_line(stderr)}")
    raise ClusterError(
        "Refused, and no setting or rule was changed: "
        + " ".join(_problem_sentence(cluster, settings, problem) for problem in problems)
    )


def not_included(cluster: Cluster) -> ClusterError:
    return ClusterError(
        f"{cluster.config_directory}/postgresql.conf does not read the directory conf.d; "
        "add the line \"include_dir = 'conf.d'\" to it."
    )


def _problem_sentence(cluster: Cluster, settings: Mapping[str, str], problem: str) -> str:
    found = re.search(r'parameter "([^"]+)"', problem)
    name = found.group(1).lower() if found else ""
    if name not in settings:
        return f"PostgreSQL says: {problem}."
    if problem.startswith("unrecognized"):
        listed = _run([f"{_BINARIES}/{cluster.version}/bin/postgres", "--describe-config"]).stdout
        near = difflib.get_close_matches(name, [line.split("\t")[0].lower() for line in listed.splitlines()], 1)
        return f"PostgreSQL {cluster.version} has no setting {name}" + (f"; is {near[0]} meant?" if near else ".")
    if "cannot be changed" in problem:
        return f"settings: {name} is fixed when PostgreSQL is built or the cluster is made; leave it out."
    return f'settings: {name} = "{settings[name]}": PostgreSQL says: {problem}.'


def _check_libraries(cluster: Cluster, config: str, name: str, value: str) -> None:
    """PostgreSQL looks for these files when it starts, and then refuses to."""
    for item in value.split(",") if value else []:
        library = item.strip().strip('"')
        if not library:
            raise ClusterError(
                f'settings: {name} = "{value}" has an empty name, with which the server does not start; remove it.'
            )
        path = f"{_BINARIES}/{cluster.version}/lib/{library}{'' if library.endswith('.so') else '.so'}"
        if "/" in library or os.path.exists(path):
            continue
        if _postgres(cluster, config, "dynamic_library_path").stdout.strip() == "$libdir":
            raise ClusterError(
                f"settings: {name} names {library}, but there is no {path}; "
                "install the package that has it, or remove the name."
            )


def check_port(port: int, listen_addresses: str, cluster: Cluster | None, found: Iterable[Cluster]) -> None:
    """Refuse a port that another cluster or process has.

    Args:
        port: the port that a server of ours does not have yet.
        listen_addresses: where it is to listen, as PostgreSQL writes it.
        cluster: ours, if it exists.
        found: all clusters.
    """
    for other in found:
        taken = other.status == "online" or other.start == "auto"
        if taken and other.port == port and str(other) != str(cluster):
            raise ClusterError(f"Port {port} is that of cluster {other} ({other.status}); give another port.")
    for item in listen_addresses.split(","):
        host = item.strip().strip('"')
        if host and _in_use(None if host == "*" else host, port):
            raise ClusterError(f"Port {port} is in use by {_listener(port)}; give another port, or stop that process.")


def _in_use(host: str | None, port: int) -> bool:
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False  # An unknown name is for PostgreSQL to tell.
    for family, kind, protocol, _name, place in places:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return True
    return False


def _listener(port: int) -> str:
    """The process that listens on a TCP port, for an error's text (proc(5))."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:
            for line in stream.read().splitlines()[1:]:
                part = line.split()
                if part[3] == "0A" and int(part[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{part[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{descriptor}") in inodes:
                        with open(f"/proc/{pid}/comm", encoding="utf-8") as stream:
                            return f"process {pid} ({stream.read().strip()})"
    return "another process"


def _as_user(uid: int, gid: int) -> dict[str, Any]:
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def _run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    kept = ("PG_CLUSTER_CONF_ROOT",)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("LC_", "LANG", "PG", "PERL"))
    }
    environment["LC_ALL"] = "C.UTF-8"
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            umask=0o022,
            **options,
        )
    except OSError as error:
        raise ClusterError(f"{command[0]} cannot be run: {error.strerror}; install postgresql-common anew.") from error


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".") or "it says nothing"
