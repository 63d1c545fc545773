# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Backstage backend is ready.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._backstage import backend_log, tcp_ports
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.systemd import Unit

PATH = "/.backstage/health/v1/readiness"
_PAUSE = 1.0  # seconds between two looks; Backstage logs each
_TIMEOUT = 5.0  # seconds for one answer
_LOG_LINES = 30
# Of several answers, the one that tells most; a port of metrics answers 404.
_BEST = ("200", "503")


@dataclass
class Outcome:
    """The end of a wait.

    Attributes:
        ready: whether it answered 200.
        seconds: how long that took.
        answer: the last answer, or why there was none.
        starting: whether its start goes on, so that it may become ready yet.
        reason: why it is not ready, in the words of its log; while `starting`, the last thing that the log says.
        log: the end of that log.
    """

    ready: bool
    seconds: float
    answer: str
    starting: bool = False
    reason: str = ""
    log: list[str] = field(default_factory=list)


def wait(url: str, timeout: float) -> Outcome:
    """Query a URL until the answer is 200, or the time is over.

    Args:
        url: http or https.
        timeout: seconds.
    """
    start = time.monotonic()
    while True:
        answer = query(url)
        seconds = time.monotonic() - start
        if answer == "200" or seconds >= timeout:
            return Outcome(answer == "200", seconds, answer)
        time.sleep(_PAUSE)


def wait_for_service(service: str, timeout: float, path: str = PATH) -> Outcome:
    """Query the processes of a service until one answers 200, the start has failed, or the time is over.

    Only the sockets that these processes listen on are queried: another Backstage on the port says nothing.

    Args:
        service: the systemd unit.
        timeout: seconds.
        path: of the readiness on any of its ports.
    """
    start = time.monotonic()
    unit = first = Unit(service).look()
    while True:
        answer = _answer(unit, path)
        seconds = time.monotonic() - start
        now = unit.look()
        # Neither the answer nor the log of a run that has ended, or is about to, is that of the next.
        goes_on = now.invocation == unit.invocation and not now.ending
        if answer == "200" and goes_on:
            return Outcome(True, seconds, answer)
        log = unit.log()
        if now.restarts < first.restarts:
            first = now  # somebody has restarted it, which begins the count anew
        # A restart by systemd means that the run before ended by itself; its log has the reason.
        ended = now.restarts > first.restarts or now.active in ("failed", "inactive")
        failed = ended or (goes_on and backend_log.start_failed(log))
        # While another host migrates the tables, each start fails, and is repeated by the unit for recovery.
        locked = not ended and backend_log.migration_locked(log)
        starting = locked or not failed
        if not starting or seconds >= timeout:
            reason = _with_holder(backend_log.reason(log), unit) if failed or locked else backend_log.progress(log)
            return Outcome(False, seconds, answer, starting, reason, log.splitlines()[-_LOG_LINES:])
        unit = now
        time.sleep(_PAUSE)


def _answer(unit: Unit, path: str) -> str:
    everybody = tcp_ports.listeners()
    own = tcp_ports.listeners_of(unit.processes(), everybody)
    answers: Sequence[str] = [_query_socket(listener, everybody, path) for listener in own]
    found = sorted(answers, key=lambda answer: _BEST.index(answer) if answer in _BEST else len(_BEST))
    return found[0] if found else f"no process of {unit.name} listens on a TCP port"


def _query_socket(listener: tcp_ports.Listener, everybody: list[tcp_ports.Listener], path: str) -> str:
    address = listener.reached_at(everybody)
    host = f"[{address}]" if ":" in address else address
    answer = query(f"http://{host}:{listener.port}{path}")
    if answer.isdigit():
        return answer
    # With backend.https the port speaks TLS. The socket is the service's, so its certificate does not matter.
    secure = query(f"https://{host}:{listener.port}{path}", verify=False)
    return secure if secure.isdigit() else answer


def _with_holder(reason: str, unit: Unit) -> str:
    """Name the process that has the port, where that is why the backend cannot listen."""
    port = re.search(r"EADDRINUSE: .*:(\d+)$", reason)
    other = tcp_ports.holder(int(port[1]), "", unit.processes()) if port else None
    return f"{reason} ({other} has the port)" if other else reason


def query(url: str, verify: bool = True) -> str:
    """The status of a GET as text, or why there was none. Proxies of the environment are not used.

    Args:
        url: http or https.
        verify: whether the certificate has to be trusted.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect())
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=_TIMEOUT) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Take a redirect for an answer: it may lead to any host."""

    def redirect_request(self, *_arguments: object) -> None:
        return None
