# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Backstage backend is ready, and what its log says when it will not be.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import datetime
import http.client
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field

# packages/backend-app-api/src/wiring/BackendInitializer.ts. The process lives on after it, never to become ready.
_GIVEN_UP = "Backend startup failed due to the following errors"
_PAUSE = 1.0  # seconds between two looks; Backstage logs each
_LINES = 200  # of the log; a failed start writes about 40
_ERROR = re.compile(r"\b(?:[A-Z]\w*)?Error\b.*?: |^\S*: .*: (?:command not found|No such file or directory)$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Unit:
    """What systemd says of a service; properties as in org.freedesktop.systemd1(5).

    Attributes:
        name: with its suffix.
        active: ActiveState; empty where it has a job to do first.
        restarts: NRestarts, how often systemd restarted it by itself.
        invocation: InvocationID of the present or last run.
        ending: whether that run is over, or is about to be.
        began: ExecMainStartTimestamp of a run that goes on and is not about to end, in seconds of the Unix time.
    """

    name: str
    active: str = ""
    restarts: int = 0
    invocation: str = ""
    ending: bool = False
    began: float | None = None

    def look(self) -> Unit:
        """The same unit as it is now."""
        names = ("ActiveState", "SubState", "Job", "NRestarts", "InvocationID", "ExecMainStartTimestamp")
        text = _output("systemctl", "show", "--timestamp=us+utc", "--property=" + ",".join(names), "--", self.name)
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        restarts = found.get("NRestarts", "")
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
        )

    def outdated(self, files: Iterable[str]) -> list[str]:
        """Those of the files that were written after the present run began, so that it may not know what they say.

        Empty where no run goes on, or systemd has been told to start another. Files that are not there do not count.
        """
        began, now = self.look().began, time.time()
        # A time to come tells nothing: the file would be newer than any run.
        return [] if began is None else [path for path in files if began < _written(path) <= now]

    def log(self) -> str:
        """What this run of the service wrote, and systemd about it."""
        if not self.invocation:
            return ""
        match = (f"_SYSTEMD_INVOCATION_ID={self.invocation}", "+", f"INVOCATION_ID={self.invocation}")
        return _output("journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={_LINES}", *match)


@dataclass
class Outcome:
    """The end of a wait.

    Attributes:
        ready: whether it answered 200.
        seconds: how long that took.
        answer: the last answer, or why there was none.
        reason: what the service's log gives as the reason; empty where it says nothing.
        log: the end of that log.
    """

    ready: bool
    seconds: float
    answer: str
    reason: str = ""
    log: list[str] = field(default_factory=list)


def wait(url: str, timeout: float, service: str | None) -> Outcome:
    """Ask until the answer is 200, the service has given up, or the time is over.

    Args:
        url: of Backstage's readiness, http or https.
        timeout: seconds.
        service: the systemd unit that is watched meanwhile, if any.
    """
    start = time.monotonic()
    unit = first = Unit(service).look() if service else None
    while True:
        answer = ask(url)
        seconds = time.monotonic() - start
        over = seconds >= timeout
        if unit is None or first is None:
            if answer == "200" or over:
                return Outcome(answer == "200", seconds, answer)
        else:
            now = unit.look()
            # Neither the answer nor the log of a run that has ended, or is about to, is that of the next.
            goes_on = now.invocation == unit.invocation and not now.ending
            if answer == "200" and goes_on:
                return Outcome(True, seconds, answer)
            log = unit.log()
            # A restart by systemd means that the run before ended by itself; its log has the reason.
            ended = now.restarts > first.restarts or now.active in ("failed", "inactive")
            if over or ended or (_GIVEN_UP in log and goes_on):
                return Outcome(False, seconds, answer, reason(log), log.splitlines()[-30:])
            unit = now
        time.sleep(_PAUSE)


def seconds(timestamp: str) -> float | None:
    """The Unix time of what `systemctl --timestamp=us+utc` prints; None for an event that has not been."""
    try:
        # Without the day's name, which strptime wants in the locale's language.
        found = datetime.datetime.strptime(timestamp.partition(" ")[2], "%Y-%m-%d %H:%M:%S.%f %Z")
    except ValueError:
        return None
    return found.replace(tzinfo=datetime.timezone.utc).timestamp()


def ask(url: str) -> str:
    """The status of a GET as text, or why there was none. Proxies of the environment are not for this."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def reason(log: str) -> str:
    """The sentence of a backend's log that tells why it does not start; the last line where none does."""
    last = ""
    found = ""
    for line in _COLOUR.sub("", log).splitlines():
        text = _message(line)
        last = text or last
        if _GIVEN_UP in text or _ERROR.search(text) or " startup failed; caused by " in text:
            found = text
    # Each layer puts its own words before those of the one below; the innermost has the cause.
    parts = re.split(r"(?:, |caused by )\w*Error(?: \[\w+\])?: ", found)
    return (parts[-1] or last).strip()


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _message(line: str) -> str:
    if not line.startswith("{"):
        return "" if line.startswith(("    at ", "}")) else line.strip()
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict) or entry.get("level") not in (None, "error"):
        return ""
    return str(entry.get("message", ""))


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30, env={"LC_ALL": "C.UTF-8"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")
