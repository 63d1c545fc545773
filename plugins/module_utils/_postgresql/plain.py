# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is a systemd unit and a data directory: Red Hat's family, Fedora, and the PostgreSQL project's rpms.

Nothing is assumed of where things are: the units are asked for their data directory and program, the program for the
rest.

Sources: systemctl(1), systemd.exec(5), journalctl(1), postgres(1), initdb(1), postgresql-setup(1), restorecon(8).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Cluster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.host_guards import (
    check_selinux_port,
    firewall_advice,
    relabel,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import DEFAULT_PORT
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import NOT_INSTALLED
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.programs import as_user, one_line, run
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_log import LogTail, troubles
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.unfinished import Unfinished

_NAME = "main"
_SOCKETS = "/run/postgresql"
_PROPERTIES = "LoadState,Environment,EnvironmentFiles,ExecStart,User,UnitFileState"
# What distributions call the data directory, in the unit's environment or in the files that it names.
_DATA_VARIABLES = ("PGDATA", "POSTGRES_DATADIR")
_INITDB = ("--encoding=UTF8", "--auth-local=peer", "--auth-host=scram-sha-256", "--data-checksums")
# A set-up script may have given initdb a password that is public, such as the first line of a file of the package.
_NO_PASSWORDS = (
    "DO $$DECLARE name text; BEGIN FOR name IN SELECT rolname FROM pg_catalog.pg_authid"
    " WHERE rolsuper AND rolpassword IS NOT NULL"
    " LOOP EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD NULL', name); END LOOP; END$$"
)


@dataclass(frozen=True)
class _Unit:
    """A systemd unit that runs a PostgreSQL server.

    Attributes:
        name: without ".service".
        data: the data directory.
        program: the server's, as the unit starts it.
        options: further options of the program, such as -c config_file=...
        enabled: whether it starts with the host.
        user: who runs it.
    """

    name: str
    data: str
    program: str
    options: tuple[str, ...]
    enabled: bool
    user: str

    @property
    def binaries(self) -> str:
        return os.path.dirname(self.program)

    @property
    def cluster(self) -> str:
        """The cluster's name: what the unit's name has beyond that of the package's own unit."""
        found = re.fullmatch(r"postgresql(?:-?\d+)?(?:-(.+))?", self.name)
        return (found.group(1) if found else None) or _NAME

    def version(self) -> int | None:
        """Of the data directory; of the program where that is empty."""
        with contextlib.suppress(OSError, ValueError), open(f"{self.data}/PG_VERSION", encoding="ascii") as stream:
            return int(stream.read())
        return self.program_version()

    def program_version(self) -> int | None:
        with contextlib.suppress(CollectionError):
            found = re.search(r"\) (\d+)", run([self.program, "-V"]).stdout)
            return int(found.group(1)) if found else None
        return None

    def exists(self) -> bool:
        return os.path.exists(os.path.join(self.data, "PG_VERSION"))


class Plain:
    """The clusters of the units that packages brought along."""

    def clusters(self) -> list[Cluster]:
        units = _units()
        if not units:
            raise CollectionError(
                "This host has no systemd unit of a PostgreSQL server.",
                "Install the distribution's package of the PostgreSQL server.",
                NOT_INSTALLED,
            )
        found = [_cluster(unit) for unit in units if unit.exists() and not _unfinished(unit).interrupted()]
        return sorted(found, key=lambda cluster: (cluster.version, cluster.name))

    def installed_versions(self) -> list[int]:
        return sorted({version for unit in _units() for version in (unit.program_version(),) if version})

    def predicted(self, version: int | None, name: str) -> Cluster:
        unit = _unit_of(version, name) or _Unit("postgresql", "$PGDATA", "/usr/bin/postgres", (), False, "postgres")
        return _described(unit, version or unit.program_version() or 0)

    def check_new(self, name: str) -> None:
        if name != _NAME:
            raise CollectionError(
                f'cluster: "{name}" cannot be created: on this distribution each version has one cluster, "{_NAME}".',
                "Use that name.",
            )

    def create(self, version: int, name: str, locale: str, options: Sequence[str]) -> None:
        self.check_new(name)
        unit = _unit_of(version, name)
        if unit is None:
            raise CollectionError(f"Cluster {version}/{name}: no systemd unit runs PostgreSQL {version}.")
        mark = _unfinished(unit)
        with mark.held() as file:
            if mark.interrupted():
                self._clear(unit)
            elif unit.exists():
                return  # Another run has created it meanwhile.
            mark.creating()
            _initialize(unit, locale, options, file)
            relabel([os.path.dirname(unit.data)])
            if not any(option.startswith(("--pwfile", "-W", "--pwprompt")) for option in options):
                _clear_passwords(unit, file)
            mark.whole()

    def _clear(self, unit: _Unit) -> None:
        """Empty the data directory, which itself may be the package's, or a mount point."""
        info = os.stat(unit.data)
        command = ["find", unit.data, "-xdev", "-mindepth", "1", "-delete"]
        run(command, **as_user(info.st_uid, info.st_gid))

    def control(self, cluster: Cluster, action: str) -> str | None:
        log = self.watch(cluster)
        if action != "stop":
            # Else systemd may refuse a unit that has failed too often.
            run(["systemctl", "reset-failed", cluster.unit])
        done = run(["systemctl", action, cluster.unit])
        if (cluster.settled() is not None) == (action != "stop"):
            return None
        return "; ".join(log.reasons()) or one_line(done.stderr or done.stdout)

    def starts_at_boot(self, cluster: Cluster) -> bool:
        return cluster.start == "auto"

    def start_at_boot(self, cluster: Cluster) -> None:
        done = run(["systemctl", "enable", "--quiet", cluster.unit])
        if done.returncode:
            raise CollectionError(
                f"Unit {cluster.unit}: cannot be enabled ({one_line(done.stderr)}), so the server would not start at "
                "boot.",
                "Unmask or repair the unit.",
            )
        if cluster.unfinished:
            Unfinished(os.path.dirname(cluster.data_directory), cluster.unit, cluster.data_directory).clear()

    def watch(self, cluster: Cluster) -> UnitLog:
        return UnitLog(cluster.unit, cluster.data_directory, cluster.owner)

    def check_port(self, port: int) -> None:
        check_selinux_port(port)

    def wrote(self, paths: Sequence[str]) -> None:
        relabel(paths)

    def advice(self, port: int, listen_addresses: str) -> list[str]:
        return firewall_advice(port, listen_addresses)


class UnitLog:
    """What a unit's server logs from now on: in the journal until its own collector has started, then in its files."""

    def __init__(self, unit: str, data_directory: str, owner: str) -> None:
        self._unit = unit
        self._owner = owner
        self._data = data_directory
        shown = run(["journalctl", "--quiet", "--lines=0", "--show-cursor"]).stdout
        found = re.search(r"-- cursor: (\S+)", shown)
        self._cursor = found.group(1) if found else ""
        self._before = {path: LogTail(path, self._owner) for path in self._files()}

    def _files(self) -> list[str]:
        with contextlib.suppress(OSError), open(f"{self._data}/current_logfiles", encoding="utf-8") as stream:
            words = [line.split(None, 1) for line in stream.read().splitlines()]
            return [os.path.join(self._data, word[1]) for word in words if len(word) == 2 and word[0] == "stderr"]
        return []

    def _journal(self) -> list[str]:
        since = [f"--after-cursor={self._cursor}"] if self._cursor else []
        return run(["journalctl", "--quiet", "--output=cat", f"--unit={self._unit}", *since]).stdout.splitlines()

    def _collected(self) -> list[str]:
        now = {path: self._before.get(path) or LogTail(path, self._owner, 0) for path in self._files()}
        return [line for tail in {**self._before, **now}.values() for line in tail.lines()]

    def lines(self) -> list[str]:
        return [*self._journal(), *self._collected()]

    def reasons(self) -> list[str]:
        """A server that does not start says so in the journal; the files' last lines are those of the one before it."""
        journal = self._journal()
        return list(troubles(journal)) or list(troubles(self._collected())) or journal[-3:]


def _units() -> list[_Unit]:
    """The units of PostgreSQL servers whose programs are installed."""
    if shutil.which("systemctl") is None:
        return []
    listed = run(["systemctl", "list-unit-files", "--type=service", "--no-legend", "--no-pager", "postgresql*"])
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.split()]
    units = [_unit(name[: -len(".service")]) for name in names if "@" not in name]
    return [unit for unit in units if unit is not None]


def _unit(name: str) -> _Unit | None:
    shown = run(["systemctl", "show", f"--property={_PROPERTIES}", f"{name}.service"]).stdout
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    environment = dict(word.partition("=")[::2] for word in shlex.split(values.get("Environment", "")))
    for path in re.findall(r"(\S+) \(ignore_errors=\w+\)", values.get("EnvironmentFiles", "")):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
            environment.update(word.partition("=")[::2] for word in shlex.split(stream.read(), comments=True))
    found = re.search(r"path=(\S+) ; argv\[\]=(.*?) ;", values.get("ExecStart", ""))
    if not found or values.get("LoadState") != "loaded":
        return None
    words = found.group(2).split()[1:]
    data = _data_directory(words, environment, values.get("User", ""))
    program = found.group(1)
    if os.path.basename(program) not in ("postgres", "postmaster"):
        program = shutil.which("postgres") or ""
    if not data or not os.path.exists(program):
        return None
    options = tuple(option for flag, option in zip(words, words[1:]) if flag == "-c")
    enabled = values.get("UnitFileState", "") in ("enabled", "enabled-runtime", "static", "alias", "generated")
    return _Unit(name, data, program, options, enabled, values.get("User") or "postgres")


def _data_directory(words: Sequence[str], environment: dict[str, str], user: str) -> str:
    given = words[list(words).index("-D") + 1] if "-D" in words[:-1] else ""
    variable = re.fullmatch(r"\$\{?(\w+)\}?", given)
    if variable:
        given = environment.get(variable.group(1), "")
    for name in _DATA_VARIABLES:
        given = given or environment.get(name, "")
    if not given and "PGROOT" in environment:
        given = f"{environment['PGROOT']}/data"
    if given.startswith("~"):
        given = os.path.expanduser(given.replace("~", f"~{user}", 1) if given.startswith("~/") else given)
    return given.rstrip("/") if os.path.isabs(given) else ""


def _unit_of(version: int | None, name: str) -> _Unit | None:
    units = [unit for unit in _units() if unit.cluster == name]
    for unit in sorted(units, key=lambda unit: unit.program_version() or 0, reverse=True):
        if version in (None, unit.program_version()):
            return unit
    return None


def _cluster(unit: _Unit) -> Cluster:
    """The cluster of a unit whose data directory has been initialized."""
    version = unit.version() or 0
    described = _described(unit, version)
    if not described.owner:
        return described
    names = ("config_file", "hba_file", "ident_file", "data_directory", "port", "unix_socket_directories")
    values = {name: _setting(unit, described, name) for name in names}
    config = values["config_file"]
    sockets = [item.strip().strip('"') for item in values["unix_socket_directories"].split(",")]
    cluster = replace(
        described,
        port=int(values["port"] or DEFAULT_PORT),
        data_directory=values["data_directory"],
        config_directory=os.path.dirname(config),
        socket_directory=sockets[0] or _SOCKETS,
        access_file=values["hba_file"],
        ident_file=values["ident_file"],
        include_file=config,
        settings_directory=os.path.join(os.path.dirname(config), "conf.d"),
        unfinished=_unfinished(unit).created(),
        supervisor="patroni" if os.path.exists(f"{values['data_directory']}/patroni.dynamic.json") else "",
    )
    return replace(cluster, status="online" if cluster.postmaster() else "down")


def _setting(unit: _Unit, cluster: Cluster, name: str) -> str:
    options = [word for option in unit.options for word in ("-c", option)]
    done = run([unit.program, "-D", unit.data, "-C", name, *options], **as_user(cluster.uid, cluster.gid))
    if done.returncode:
        raise CollectionError(
            f"Cluster {cluster}: its server cannot read its files: {one_line(done.stderr)}.", "Repair the file."
        )
    return done.stdout.rstrip("\n")


def _described(unit: _Unit, version: int) -> Cluster:
    """What the unit alone tells."""
    uid, gid, owner = -1, 0, ""
    with contextlib.suppress(OSError, KeyError):
        info = os.stat(unit.data)
        uid, gid, owner = info.st_uid, info.st_gid, pwd.getpwuid(info.st_uid).pw_name
    return Cluster(
        version=version,
        name=unit.cluster,
        port=DEFAULT_PORT,
        status="down",
        start="auto" if unit.enabled else "manual",
        owner=owner or unit.user,
        uid=uid,
        gid=gid,
        data_directory=unit.data,
        config_directory=unit.data,
        socket_directory=_SOCKETS,
        log_file="",
        access_file=os.path.join(unit.data, "pg_hba.conf"),
        ident_file=os.path.join(unit.data, "pg_ident.conf"),
        include_file=os.path.join(unit.data, "postgresql.conf"),
        settings_directory=os.path.join(unit.data, "conf.d"),
        binaries=unit.binaries,
        libraries=_libraries(unit.binaries),
        unit=unit.name,
    )


def _libraries(binaries: str) -> str:
    """The directory of the server's own libraries; one of them is always there."""
    prefix = os.path.dirname(binaries)
    for pattern in ("lib*/plpgsql.so", "lib*/*/plpgsql.so", "lib*/*/lib*/plpgsql.so"):
        for path in sorted(glob.glob(os.path.join(prefix, pattern))):
            return os.path.dirname(path)
    return ""


def _unfinished(unit: _Unit) -> Unfinished:
    # Beside the data directory, where only root and the server's user can write.
    return Unfinished(os.path.dirname(unit.data), unit.name, unit.data)


def _initialize(unit: _Unit, locale: str, options: Sequence[str], mark: int) -> None:
    """By the distribution's own script, which knows its log directory, its SELinux types and its unit."""
    # A script that outlives this run holds on to the mark's lock.
    held = {"pass_fds": (mark,)}
    words = [*_INITDB, f"--locale={locale}", *options]
    given = ["env", f"PGSETUP_INITDB_OPTIONS={' '.join(map(shlex.quote, words))}"]
    # Red Hat's script takes the unit as an option, the PostgreSQL project's, one a version, as a word.
    common, own = f"{unit.binaries}/postgresql-setup", f"{unit.binaries}/{unit.name}-setup"
    if os.path.exists(common):
        done = run([*given, common, "--initdb", f"--unit={unit.name}"], **held)
    elif os.path.exists(own):
        done = run([*given, own, "initdb", unit.name], **held)
    else:
        account = pwd.getpwnam(unit.user)
        command = [f"{unit.binaries}/initdb", "--pgdata", unit.data, *words]
        done = run(command, **held, **as_user(account.pw_uid, account.pw_gid))
    if done.returncode or not unit.exists():
        reasons = "; ".join(_initdb_errors(unit)) or one_line(done.stderr or done.stdout)
        raise CollectionError(f"Cluster {unit.version()}/{unit.cluster}: it cannot be created: {reasons}.")


def _initdb_errors(unit: _Unit) -> list[str]:
    beside = os.path.dirname(unit.data)
    for path in (f"{beside}/initdb_{unit.name}.log", f"{beside}/initdb.log"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            return [line.strip() for line in stream.read().splitlines() if "error:" in line][-3:]
    return []


def _clear_passwords(unit: _Unit, mark: int) -> None:
    """No superuser has a password that nobody chose."""
    info = os.stat(unit.data)
    script = 'printf "%s\\n" "$1" | exec "$2" --single -D "$3" postgres'
    command = ["sh", "-c", script, "sh", _NO_PASSWORDS, unit.program, unit.data]
    done = run(command, pass_fds=(mark,), **as_user(info.st_uid, info.st_gid))
    if done.returncode or "ERROR" in done.stderr:
        raise CollectionError(
            f"Cluster {unit.version()}/{unit.cluster}: the passwords that its creation left cannot be removed: "
            f"{one_line(done.stderr)}."
        )
