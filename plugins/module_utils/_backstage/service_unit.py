# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of a Backstage backend: the service, and the one that restarts it after a start that failed.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import systemd_syntax
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.backend_log import ESC, START_FAILED
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import acting_as, named

PREFIX = "backstage_service_"  # of the role's variables, which the errors name
_GLOB = "*?[\\"  # systemd takes EnvironmentFile= for a pattern

# In the first line of what this role writes, that of version 1.0.0 included.
_OURS = b"devportal.backstage"
# Where packages have their units (systemd.unit(5)).
_PACKAGED = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")

_SERVICE = """\
# Managed by Ansible, role devportal.backstage.backstage_service.
[Unit]
Description=Backstage developer portal
Documentation=https://backstage.io/docs
Wants=network-online.target {name}-recovery.service
# A database on this host starts first.
After=network-online.target postgresql.service
# However long the database is away, systemd goes on restarting.
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={directory}
ExecStart={command}
{environment}EnvironmentFile=-{env_file}
Restart=always
RestartSec=5
# On SIGTERM Backstage finishes a running migration of its database; SIGKILL would leave the migration lock behind.
TimeoutStopSec=30min
UMask=0077
CapabilityBoundingSet=
LockPersonality=true
NoNewPrivileges=true
PrivateDevices=true
PrivateTmp=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectSystem=full
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""

_RECOVERY = """\
# Managed by Ansible, role devportal.backstage.backstage_service.
# A Backstage whose start failed, for want of its database for instance, does not end and never becomes ready. This
# service reads the log of each start, and restarts Backstage when it has a line that only a failed start writes.
[Unit]
Description=Restart Backstage after a failed start
After={name}.service
BindsTo={name}.service

[Service]
Type=exec
ExecStart={command}
CapabilityBoundingSet=
NoNewPrivileges=true
PrivateDevices=true
PrivateTmp=true
ProtectHome=true
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX
"""
_PAUSE = 20  # seconds between a failed start and the next
_WATCH = """\
run=$(systemctl show --property=InvocationID --value {name}.service); \
journalctl --quiet --follow --lines=all --output=cat _SYSTEMD_INVOCATION_ID=$run | \
{{ grep --quiet --extended-regexp --max-count=1 "$(printf '{failed}')" && sleep {pause} && \
systemctl --no-block restart {name}.service; }}"""


@dataclass(frozen=True)
class ServiceSettings:
    """What the units of one Backstage are made from.

    Attributes:
        name: of the unit, without its suffix.
        user: the OS user of the process.
        directory: the app's directory, in which the process starts.
        command: the command line, split as a shell does; nothing in it is expanded.
        env_file: read by systemd as root.
        config_files: the `--config` options, relative to the directory.
        environment: further variables of the process.
    """

    name: str
    user: str
    directory: str
    command: str
    env_file: str
    config_files: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def units(self) -> dict[str, str]:
        """The text of each unit by its file name. Raises: CollectionError."""
        name = systemd_syntax.unit_name(self.name, PREFIX + "name")
        directory = systemd_syntax.path(self.directory, PREFIX + "directory")
        option = PREFIX + "command"
        command = [systemd_syntax.command_line(systemd_syntax.words(self.command, option), option)]
        for file in self.config_files:
            if not file:
                raise CollectionError(f"{PREFIX}config_files: a name is empty.", "Remove it.")
            arguments = ["--config", os.path.join(self.directory, file)]
            command.append(systemd_syntax.command_line(arguments, PREFIX + "config_files"))
        variables = systemd_syntax.environment(self.environment, PREFIX + "environment")
        service = _SERVICE.format(
            name=name,
            user=systemd_syntax.user_name(self.user, PREFIX + "user"),
            directory=directory,
            command=" ".join(command),
            environment="".join(f"Environment={word}\n" for word in variables),
            env_file=systemd_syntax.path(self.env_file, PREFIX + "env_file", _GLOB),
        )
        # printf turns these into an ESC and a backslash.
        failed = START_FAILED.replace("\\", "\\\\").replace(ESC, "\\033")
        watch = _WATCH.format(name=name, failed=failed, pause=_PAUSE)
        recovery = _RECOVERY.format(
            name=name, command=systemd_syntax.command_line(["/bin/sh", "-c", watch], PREFIX + "name")
        )
        return {f"{name}.service": service, f"{name}-recovery.service": recovery}

    @property
    def program(self) -> str:
        """The program that the command starts. Raises: CollectionError."""
        return systemd_syntax.words(self.command, PREFIX + "command")[0]


def require_entry(directory: str, user: str) -> None:
    """Reject a directory that the service's user may not enter; one that is missing passes.

    Args:
        directory: the app's directory.
        user: the OS user, who may be created later; then the permissions of everybody count.

    Raises:
        CollectionError: he may not; the text names the directory that keeps him out.
    """
    ids = named(user)
    with acting_as(ids):
        parts = [part for part in os.path.realpath(directory).split("/") if part]
    for count in range(len(parts) + 1):
        here = "/" + "/".join(parts[:count])
        try:
            with acting_as(ids):
                info = os.stat(here)
        except OSError:
            return
        if ids or user == "root":
            with acting_as(ids):
                enters = os.access(here, os.X_OK, effective_ids=True)
        else:
            enters = bool(info.st_mode & 0o001)
        if not enters:
            raise CollectionError(
                f"{PREFIX}directory: the OS user {user} may not enter {here} (mode {stat.S_IMODE(info.st_mode):04o}).",
                f"Run for example: chmod 0755 {shlex.quote(here)}",
            )


def require_own(name: str, text: bytes | None, folders: Sequence[str] = _PACKAGED) -> None:
    """Reject a unit that somebody else has written: it would be overwritten, or masked.

    Args:
        name: of the unit, with its suffix.
        text: of the unit that the administrator has; None for none.
        folders: where packages have theirs.

    Raises:
        CollectionError: it is not one of this role's.
    """
    there = "" if text is None or _OURS in text.partition(b"\n")[0] else f"/etc/systemd/system/{name}"
    there = there or next((path for path in (f"{folder}/{name}" for folder in folders) if os.path.lexists(path)), "")
    if there:
        raise CollectionError(
            f"{PREFIX}name: {there} exists, and was not written by this role.",
            f"Set {PREFIX}name to another name, or remove that unit.",
        )


def require_root_owned(file: str, option: str) -> None:
    """Reject a path that somebody besides root could change: systemd reads it as root.

    Args:
        file: the path; what of it does not exist yet passes.
        option: what named it, for the error.

    Raises:
        CollectionError: it, or a directory above it, is not root's alone.
    """
    parts = [part for part in os.path.abspath(file).split("/") if part]
    for count in range(len(parts) + 1):
        here = "/" + "/".join(parts[:count])
        try:
            info = os.lstat(here)
        except OSError:
            return
        if info.st_uid != 0 or (not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o022):
            raise CollectionError(
                f"{option}: systemd reads {file} as root, and {here} can be changed by other users.",
                "Use a path of root's, such as /etc/backstage/backstage.env.",
            )
        if stat.S_ISLNK(info.st_mode):
            rest = parts[count:]
            require_root_owned(os.path.join(os.path.dirname(here), os.readlink(here), *rest), option)
            return
