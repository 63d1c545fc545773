# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd knows of a service: its state, its processes, its log, and whether it accepts a unit file.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import tcp_ports
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned, programs

_LINES = 200  # of the log; a failed start writes about 40
_PROPERTIES = ("ActiveState", "SubState", "Job", "NRestarts", "InvocationID", "ExecMainStartTimestamp", "MainPID")


@dataclass
class Unit:
    """The state of a service; properties as in org.freedesktop.systemd1(5).

    Attributes:
        name: with its suffix.
        active: ActiveState; empty where it has a job to do first.
        restarts: NRestarts, how often systemd restarted it by itself.
        invocation: InvocationID of the present or last run.
        ending: whether that run is over, or is about to be.
        began: ExecMainStartTimestamp of a run that goes on and is not about to end, in seconds of the Unix time.
        main: MainPID, 0 for none.
    """

    name: str
    active: str = ""
    restarts: int = 0
    invocation: str = ""
    ending: bool = False
    began: float | None = None
    main: int = 0

    def look(self) -> Unit:
        """The same unit as it is now."""
        properties = ",".join(_PROPERTIES)
        text = _output("systemctl", "show", "--timestamp=us+utc", f"--property={properties}", "--", self.name)
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        restarts, main = found.get("NRestarts", ""), found.get("MainPID", "")
        active, state = found.get("ActiveState", ""), found.get("SubState", "")
        has_job = found.get("Job", "0") not in ("", "0")
        # The job of a start goes on until ExecStartPost has ended.
        starting = state in ("start", "start-post")
        over = active in ("deactivating", "inactive", "failed") or state.startswith("auto-restart")
        ending = over or (has_job and not starting)
        goes_on = not ending and (starting or state == "running")
        return Unit(
            self.name,
            "" if active in ("inactive", "failed") and has_job else active,
            int(restarts) if restarts.isdigit() else 0,
            found.get("InvocationID", ""),
            ending,
            seconds(found.get("ExecMainStartTimestamp", "")) if goes_on else None,
            int(main) if main.isdigit() else 0,
        )

    @property
    def is_up(self) -> bool:
        """Whether it runs, or is about to."""
        return self.active in ("active", "activating", "reloading")

    def start(self, again: bool) -> None:
        """Have systemd start the unit, without waiting for it.

        Args:
            again: whether it is restarted, with its unit file as it is now.

        Raises:
            CollectionError: systemd rejects that.
        """
        commands = [["daemon-reload"], ["--no-block", "restart", "--", self.name]] if again else []
        for command in commands or [["--no-block", "start", "--", self.name]]:
            done = _run("systemctl", *command)
            if done.returncode:
                said = " ".join(done.stderr.decode("utf-8", "replace").split())
                raise CollectionError(f"{self.name}: systemd cannot start it: {said}", "Correct the unit.")

    def outdated(self, files: Iterable[str]) -> list[str]:
        """Those of the files that were written after the present run began, so that it may not know what they say.

        Empty where no run goes on, or systemd has been told to start another. Files that are not there do not count.
        """
        began, now = self.look().began, time.time()
        # A time to come tells nothing: the file would be newer than any run.
        return [] if began is None else [path for path in files if began < _written(path) <= now]

    def processes(self) -> list[int]:
        """The main process and those beside it, a wrapper's child for instance; as of the last look."""
        return tcp_ports.processes_beside(self.main) if self.main else []

    def log(self) -> str:
        """What this run of the service wrote, and systemd about it."""
        if not self.invocation:
            return ""
        match = (f"_SYSTEMD_INVOCATION_ID={self.invocation}", "+", f"INVOCATION_ID={self.invocation}")
        return _output("journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={_LINES}", *match)


def verify(units: Mapping[str, str]) -> None:
    """Have `systemd-analyze verify` read units; where systemd is not installed, nothing is verified.

    Args:
        units: the text of each by its file name.

    Raises:
        CollectionError: systemd would ignore a line, or could not start a program.
    """
    if not shutil.which("systemd-analyze", path=_environment()["PATH"]):
        return
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        for name, text in units.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
                stream.write(text)
        done = _run(
            "systemd-analyze", "--no-pager", "--man=no", "verify", *(os.path.join(folder, name) for name in units)
        )
    said = (done.stderr + done.stdout).decode("utf-8", "replace").replace(folder + "/", "").splitlines()
    faults = [line.strip() for line in said if line.startswith(tuple(units))]
    if faults:
        raise CollectionError(
            f"systemd rejects the unit: {' '.join(faults)}", "Correct the variable that this line of the unit is from."
        )


def seconds(timestamp: str) -> float | None:
    """The Unix time of what `systemctl --timestamp=us+utc` prints; None for an event that has not been."""
    try:
        # Without the day's name, which strptime wants in the locale's language.
        found = datetime.datetime.strptime(timestamp.partition(" ")[2], "%Y-%m-%d %H:%M:%S.%f %Z")
    except ValueError:
        return None
    return found.replace(tzinfo=datetime.timezone.utc).timestamp()


def _written(path: str) -> float:
    try:
        with owned.place(path) as found:
            info = found.status()
    except OSError:
        return 0.0
    return info.st_mtime if info else 0.0


def _output(*command: str) -> str:
    """What a program prints; empty where it is not installed or does not end."""
    try:
        done = _run(*command)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return programs.completed(command, timeout=30, cwd="/", env=_environment())


def _environment() -> dict[str, str]:
    return programs.environment(PATH="/usr/sbin:/usr/bin:/sbin:/bin")
