# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import os
import pathlib
import ssl
import subprocess
import sys
import threading

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import readiness, systemd
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.systemd import Unit

SERVICE = "backstage.service"
PRODUCTION = (
    '{"level":"error","message":"Unhandled rejection Backend startup failed due to the following errors:\\n  '
    "Plugin 'catalog' startup failed; caused by Error: Failed to connect, error: password authentication failed\"}\n"
)
WRONG_PASSWORD = "Failed to connect, error: password authentication failed"
NO_MODULE = "Error: Cannot find module '/srv/backstage/packages/backend'\n    at Module._resolveFilename\n"


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
    outcome = readiness.wait(backend(503, 503, 200), 10)
    assert (outcome.ready, outcome.answer) == (True, "200")


def test_the_last_answer_is_told(backend):
    outcome = readiness.wait(backend(503), 0)
    assert (outcome.ready, outcome.answer) == (False, "503")


def test_nobody_there_is_told():
    assert "refused" in readiness.wait("http://127.0.0.1:1/", 0).answer


def test_a_redirect_is_not_followed(backend):
    assert readiness.query(backend(302)) == "302"


def running(**changes):
    """The state of a unit whose main process is the one of these tests, and so are the servers."""
    return Unit(SERVICE, **{"active": "active", "invocation": "a", "main": os.getpid(), **changes})


@pytest.fixture
def watch(monkeypatch):
    """A function that waits for a service which has these states, the last one for ever, and this log."""

    def run(*states, log="", timeout=60):
        left = list(states)
        monkeypatch.setattr(Unit, "look", lambda self: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(Unit, "log", lambda self: log if isinstance(log, str) else log(self))
        monkeypatch.setattr(Unit, "processes", lambda self: [self.main] if self.main else [])
        outcome = readiness.wait_for_service(SERVICE, timeout)
        outcome.left = len(left)
        return outcome

    return run


def test_the_service_is_asked_on_whatever_port_it_has(backend, watch):
    backend(404)  # its metrics
    backend(503, 503, 200)
    assert watch(running()).ready


def test_the_service_is_asked_with_tls(watch, tmp_path):
    certificate = tmp_path / "both.pem"
    options = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 2"
    files = ["-keyout", str(certificate), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *options.split(), *files],
        check=True,
        capture_output=True,
    )
    with certificate.open("a") as stream:
        stream.write((tmp_path / "certificate.pem").read_text())
    server = http.server.HTTPServer(("127.0.0.1", 0), type("Handler", (_Backend,), {"statuses": [200]}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert watch(running()).ready
    finally:
        server.shutdown()
        server.server_close()


def test_the_answer_of_another_process_does_not_count(watch):
    """An old Backstage that still has the port."""
    command = [sys.executable, "-c", FOREIGN, str(pathlib.Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            url = other.stdout.readline().strip()
            assert readiness.query(url) == "200"
            outcome = watch(running(), timeout=0)
            assert not outcome.ready
            assert outcome.answer == f"no process of {SERVICE} listens on a TCP port"
            port = url.split(":")[2].split("/")[0]
            log = '{"level":"error","message":"Unhandled rejection listen EADDRINUSE: address already in use :::PORT"}'
            outcome = watch(running(), log=log.replace("PORT", port))
            assert not outcome.ready
            assert f"listen EADDRINUSE: address already in use :::{port} (process {other.pid} (python" in outcome.reason
        finally:
            other.kill()


FOREIGN = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}/ready", flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    "end",
    [
        Unit(SERVICE, "activating", restarts=3),
        Unit(SERVICE, "failed", restarts=2),
        Unit(SERVICE, "inactive", restarts=2),
    ],
    ids=["restarted by systemd", "failed", "stopped"],
)
def test_a_service_that_ended_is_not_waited_for(backend, watch, end):
    backend(503)
    now = running(active="activating", restarts=2)
    outcome = watch(now, now, now, end, log=NO_MODULE)
    assert (outcome.ready, outcome.starting) == (False, False)
    assert outcome.reason == "Error: Cannot find module '/srv/backstage/packages/backend'"
    assert outcome.log[0] == outcome.reason


def test_a_start_that_failed_is_not_waited_for(backend, watch):
    backend(503)
    outcome = watch(running(), log=PRODUCTION)
    assert (outcome.reason, outcome.starting) == (WRONG_PASSWORD, False)


LOCKED = PRODUCTION.replace(WRONG_PASSWORD, "MigrationLocked: Migration table is already locked")


def test_a_start_that_failed_while_another_host_migrates_is_repeated(backend, watch):
    backend(503, 503, 200)
    logs = {"a": LOCKED, "b": ""}
    states = [running()] * 4 + [running(active="", ending=True)] + [running(invocation="b")]
    assert watch(*states, log=lambda unit: logs[unit.invocation]).ready


def test_a_lock_that_stays_is_reported_in_the_end(backend, watch):
    backend(503)
    outcome = watch(running(), log=LOCKED, timeout=0)
    # The unit for recovery repeats the start, so the wait that is divided into several calls goes on as well.
    assert outcome.starting
    assert "Migration table is already locked" in outcome.reason
    restarting = watch(running(), running(active="", ending=True), log=LOCKED, timeout=0)
    assert (restarting.starting, restarting.reason) == (True, outcome.reason)


def test_a_long_migration_is_told_and_goes_on(backend, watch):
    backend(503)
    log = (
        '{"level":"info","message":"Performing database migration","service":"catalog"}\n'
        '{"level":"info","message":"[2026] GET /.backstage/health/v1/readiness","type":"incomingRequest"}\n'
    )
    outcome = watch(running(), log=log, timeout=0)
    assert (outcome.ready, outcome.starting) == (False, True)
    assert outcome.reason == "Performing database migration"


def test_what_the_run_before_wrote_does_not_count(backend, watch):
    backend(503, 503, 503, 200)
    stopping = running(active="deactivating", ending=True, invocation="")
    assert watch(*[stopping] * 3, running(), log=lambda unit: "" if unit.invocation else PRODUCTION).ready


@pytest.mark.parametrize(
    "after",
    [
        running(ending=True),
        running(active="deactivating", ending=True),
        running(active="failed", ending=True),
        running(invocation="b"),
    ],
    ids=["a restart waits", "stopping", "failed", "the next run"],
)
def test_the_answer_of_a_run_that_ends_is_not_that_of_the_next(backend, watch, after):
    backend(200)
    outcome = watch(running(), after, timeout=0)
    assert (outcome.ready, outcome.answer, outcome.left) == (False, "200", 1)


def test_the_next_run_is_awaited(backend, watch):
    backend(200, 503, 200)
    outcome = watch(running(), running(active="", ending=True), running(invocation="b"), running(invocation="b"))
    assert outcome.ready
    assert outcome.left == 1  # one look at each answer


def test_without_systemd_nothing_is_ready(watch):
    assert not watch(systemd.Unit(SERVICE), timeout=0).ready
