# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs are those of Backstage 1.55 under systemd 257, shortened."""

from __future__ import annotations

import http.server
import os
import threading

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import readiness

CHAIN = (
    "Failed to instantiate service 'core.httpRouter' for 'catalog' because the factory function threw an error, "
    "Error: Failed to instantiate service 'core.auth' for 'catalog' because the factory function threw an error, "
    "Error: "
)
WRONG_PASSWORD = (
    "Failed to connect to the database to make sure that 'backstage_plugin_catalog' exists, "
    'error: password authentication failed for user "backstage"'
)
ESCAPED = WRONG_PASSWORD.replace('"', '\\"')
PRODUCTION = f"""\
Starting backstage.service - Backstage developer portal...
Loading config from MergedConfigSource{{FileConfigSource{{path="/srv/backstage/app-config.yaml"}}}}
{{"level":"info","message":"Listening on :7007","service":"rootHttpRouter"}}
{{"level":"warn","message":"backend.baseUrl is set to a localhost URL, Error: or so","service":"backstage"}}
Acquire connection error: error: password authentication failed for user "backstage"
    at parseErrorMessage (/srv/backstage/node_modules/pg-protocol/dist/parser.js:306:11)
{{"level":"error","message":"Plugin 'catalog' threw an error during startup. {CHAIN}{ESCAPED}","service":"backstage"}}
{{"level":"info","message":"Plugin initialization complete","service":"backstage","type":"initialization"}}
{{"level":"error","message":"Unhandled rejection Backend startup failed due to the following errors:\\n  \
Plugin 'catalog' startup failed; caused by Error: {CHAIN}{ESCAPED}","name":"BackendStartupError"}}
{{"level":"info","message":"[2026-11-22] \\"GET /.backstage/health/v1/readiness\\" 503","type":"incomingRequest"}}
"""
DEVELOPMENT = f"""\
\x1b[2m2026-11-22T21:56:08.953Z\x1b[22m \x1b[34mbackstage\x1b[39m \x1b[31merror\x1b[39m Unhandled rejection Backend \
startup failed due to the following errors:
  Plugin 'catalog' startup failed; caused by Error: {CHAIN}{WRONG_PASSWORD}
    at #doStart (/srv/backstage/node_modules/@backstage/backend-app-api/dist/wiring/BackendInitializer.cjs.js:370:13)
"""
NO_PACKAGE = """\
            throw new NoPkgJsonFound(cwd);
                  ^

NoPkgJsonFound [Error]: No package.json could be found upwards from the directory /srv/backstage
    at _callee4$ (/srv/backstage/node_modules/@manypkg/find-root/dist/find-root.cjs.dev.js:217:19)
  directory: '/srv/backstage'
}

Node.js v20.19.2
backstage.service: Main process exited, code=exited, status=1/FAILURE
"""
NO_MODULE = """\
Error: Cannot find module '/srv/backstage/packages/backend'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {
  code: 'MODULE_NOT_FOUND',
Node.js v20.19.2
"""
NO_PROGRAM = """\
backstage.service: Unable to locate executable '/usr/bin/nod': No such file or directory
backstage.service: Failed at step EXEC spawning /usr/bin/nod: No such file or directory
backstage.service: Failed with result 'exit-code'.
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (PRODUCTION, WRONG_PASSWORD),
        (DEVELOPMENT, WRONG_PASSWORD),
        (
            NO_PACKAGE,
            "NoPkgJsonFound [Error]: No package.json could be found upwards from the directory /srv/backstage",
        ),
        (NO_MODULE, "Error: Cannot find module '/srv/backstage/packages/backend'"),
        (
            NO_PROGRAM,
            "backstage.service: Failed at step EXEC spawning /usr/bin/nod: No such file or directory",
        ),
        ("only this\n", "only this"),
        ("", ""),
        ('{"level":"error"}\n{broken\n[1]\n', "[1]"),
    ],
)
def test_the_reason_is_the_innermost_sentence(log, reason):
    assert readiness.reason(log) == reason


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ("Mon 2026-11-23 01:22:32.250000 UTC", 1795396952.25),
        ("Mon 2026-11-23 01:22:32 UTC", None),  # without --timestamp=us+utc
        ("n/a", None),
        ("", None),
    ],
)
def test_the_time_of_an_event(printed, wanted):
    assert readiness.seconds(printed) == wanted


def test_files_that_a_run_does_not_know(tmp_path, monkeypatch):
    old, new = (tmp_path / name for name in ("old", "new"))
    for path, time in ((old, 99), (new, 101)):
        path.touch()
        os.utime(path, (time, time))
    files = [str(old), str(new), str(tmp_path / "missing")]
    unit = readiness.Unit("backstage.service")
    _unit(monkeypatch, [readiness.Unit("backstage.service", "active", began=100.0)], "")
    assert unit.outdated(files) == [str(new)]
    _unit(monkeypatch, [readiness.Unit("backstage.service", "activating")], "")
    assert unit.outdated(files) == []
    os.utime(new, (2**40, 2**40))
    _unit(monkeypatch, [readiness.Unit("backstage.service", "active", began=100.0)], "")
    assert unit.outdated(files) == []


def _systemctl(monkeypatch, *states):
    """Let systemctl tell these states one after the other, the last one for ever; the list of those left."""
    left = [state.replace(" ", "\n") for state in states]
    started = "\nExecMainStartTimestamp=Mon 2026-11-23 01:22:32.250000 UTC\n"
    monkeypatch.setattr(
        readiness,
        "_output",
        lambda program, *_rest: (left.pop(0) if len(left) > 1 else left[0]) + started if program == "systemctl" else "",
    )
    return left


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        ("ActiveState=active SubState=running Job=0", True),
        ("ActiveState=active SubState=running Job=7", False),  # to be stopped
        ("ActiveState=activating SubState=start-post Job=7", True),  # not ready yet
        ("ActiveState=activating SubState=auto-restart Job=0", False),
        ("ActiveState=deactivating SubState=stop-sigterm Job=7", False),
        ("ActiveState=inactive SubState=dead Job=0", False),
    ],
)
def test_when_a_run_goes_on(monkeypatch, state, goes_on):
    _systemctl(monkeypatch, state)
    assert (readiness.Unit("backstage.service").look().began is not None) is goes_on


class _Backend(http.server.BaseHTTPRequestHandler):
    statuses: list[int]

    def do_GET(self):
        self.send_response(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])
        self.end_headers()

    def log_message(self, format, *args):
        pass


@pytest.fixture
def backend():
    """A function that starts a server which answers with the given statuses, the last one for ever; its URL."""
    servers = []

    def start(*statuses):
        handler = type("Handler", (_Backend,), {"statuses": list(statuses)})
        server = http.server.HTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/ready"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(readiness, "_PAUSE", 0.01)
    # A proxy of the environment must not be asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


def test_it_waits_until_the_answer_is_200(backend):
    outcome = readiness.wait(backend(503, 503, 200), 10, None)
    assert (outcome.ready, outcome.answer) == (True, "200")


def test_the_last_answer_is_told(backend):
    outcome = readiness.wait(backend(503), 0, None)
    assert (outcome.ready, outcome.answer) == (False, "503")


def test_nobody_there_is_told():
    assert "refused" in readiness.wait("http://127.0.0.1:1/", 0, None).answer


def _unit(monkeypatch, states, log):
    monkeypatch.setattr(readiness.Unit, "look", lambda self: states.pop(0) if len(states) > 1 else states[0])
    monkeypatch.setattr(readiness.Unit, "log", lambda self: log)


@pytest.mark.parametrize(
    "end",
    [
        readiness.Unit("backstage.service", "activating", restarts=3),
        readiness.Unit("backstage.service", "failed", restarts=2),
        readiness.Unit("backstage.service", "inactive", restarts=2),
    ],
    ids=["restarted by systemd", "failed", "stopped"],
)
def test_a_service_that_ended_is_not_waited_for(backend, monkeypatch, end):
    running = readiness.Unit("backstage.service", "activating", restarts=2)
    _unit(monkeypatch, [running, running, running, end], NO_MODULE)
    outcome = readiness.wait(backend(503), 60, "backstage.service")
    assert not outcome.ready
    assert outcome.reason == "Error: Cannot find module '/srv/backstage/packages/backend'"
    assert outcome.log[0] == outcome.reason


def test_a_backend_that_gave_up_and_lives_on_is_not_waited_for(backend, monkeypatch):
    _unit(monkeypatch, [readiness.Unit("backstage.service", "activating")], PRODUCTION)
    assert readiness.wait(backend(503), 60, "backstage.service").reason == WRONG_PASSWORD


def test_what_the_run_before_wrote_does_not_count(backend, monkeypatch):
    stopping = readiness.Unit("backstage.service", "deactivating", ending=True)
    next_one = readiness.Unit("backstage.service", "activating", invocation="b")
    states = [*[stopping] * 3, next_one]
    monkeypatch.setattr(readiness.Unit, "look", lambda self: states.pop(0) if len(states) > 1 else states[0])
    monkeypatch.setattr(readiness.Unit, "log", lambda self: "" if self.invocation else PRODUCTION)
    assert readiness.wait(backend(503, 503, 503, 200), 60, "backstage.service").ready


RUNNING = "ActiveState=active SubState=running Job=0 InvocationID=a"


@pytest.mark.parametrize(
    "after",
    [
        "ActiveState=active SubState=running Job=7 InvocationID=a",  # a restart waits
        "ActiveState=deactivating SubState=stop-sigterm Job=7 InvocationID=a",
        "ActiveState=activating SubState=auto-restart Job=0 InvocationID=a",
        "ActiveState=inactive SubState=dead Job=7 InvocationID=a",
        "ActiveState=failed SubState=failed Job=0 InvocationID=a",  # another process has its port
        "ActiveState=activating SubState=start-post Job=7 InvocationID=b",
        "ActiveState=active SubState=running Job=0 InvocationID=b",
    ],
)
def test_the_answer_of_a_run_that_ends_is_not_that_of_the_next(backend, monkeypatch, after):
    left = _systemctl(monkeypatch, RUNNING, after)
    outcome = readiness.wait(backend(200), 0, "backstage.service")
    assert (outcome.ready, outcome.answer, len(left)) == (False, "200", 1)


@pytest.mark.parametrize(
    "state",
    [
        RUNNING,
        "ActiveState=activating SubState=start-post Job=7 InvocationID=a",
        "ActiveState=active SubState=exited Job=0 InvocationID=a",  # a unit of type oneshot that starts a container
        "",  # no systemd
    ],
)
def test_the_answer_of_a_run_that_goes_on_counts(backend, monkeypatch, state):
    _systemctl(monkeypatch, state)
    assert readiness.wait(backend(200), 0, "backstage.service").ready


def test_the_next_run_is_awaited(backend, monkeypatch):
    after = "ActiveState=activating SubState=start-post Job=7 InvocationID=b"
    to_start = "ActiveState=failed SubState=failed Job=7 InvocationID=a"
    left = _systemctl(monkeypatch, RUNNING, to_start, after, after, "ActiveState=failed Job=0 InvocationID=b")
    assert readiness.wait(backend(200, 503, 200), 60, "backstage.service").ready
    assert len(left) == 1  # one look at each answer
