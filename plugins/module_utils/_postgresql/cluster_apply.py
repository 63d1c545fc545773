# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying a plan: write, let the server check and load, restart where that is needed; else roll everything back.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import Postmaster
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import ConfigResult
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.configuration_files import PlannedFile
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.listening import tcp_address
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import (
    CLOCK_GRAIN,
    ServerState,
    query_loaded,
    query_state,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.state_check import (
    reject_overridden,
    reject_rules,
)

if TYPE_CHECKING:
    from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import Plan

_LOAD_TIMEOUT = 15.0  # seconds until a reload must have happened


class Application:
    """One run of one plan, on a cluster that exists."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._cluster = plan.current.cluster
        self._platform = plan.current.platform
        steps = plan.steps
        self._result = ConfigResult(
            port=steps.port,
            changes=steps.changes,
            narrowed=steps.narrowed,
            differences=steps.differences,
            warnings=list(steps.warnings),
        )

    def run(self) -> ConfigResult:
        """Apply it.

        Raises:
            CollectionError: PostgreSQL rejects something; everything is rolled back.
        """
        plan, result = self._plan, self._result
        if plan.current.server is None and not plan.wanted.online:
            for planned in plan.files:
                planned.write()
            result.port, result.host = plan.steps.port, plan.steps.host
        else:
            try:
                self._run_with_it()
            except Exception as error:
                raise self._roll_back(error) from error
        self._platform.wrote([planned.held.real_path for planned in plan.files if planned.written and planned.new])
        # All that a rejection would have to undo comes before it.
        if plan.steps.at_boot:
            self._platform.start_at_boot(self._cluster)
            result.at_boot = True
        return result

    def _run_with_it(self) -> None:
        plan, result = self._plan, self._result
        state = self._load(plan.current.state) if plan.current.state else self._start()
        if plan.wanted.restart and plan.ours_pending(state):
            state = self._restart()
        result.pending_restart = state.pending()
        addresses = state.settings["listen_addresses"].value or ""
        result.host = tcp_address(addresses)
        result.port = self._server().port
        result.warnings += self._platform.advice(result.port, addresses)
        if state.encoding != "UTF8":
            result.warnings.append(
                f"Cluster {self._cluster} creates databases with encoding {state.encoding}, not UTF8, so that text "
                "may be rejected or garbled. Create a new cluster, or choose one that has UTF8."
            )

    def _start(self) -> ServerState:
        for planned in self._plan.files:
            planned.write()
        self._result.started = True
        self._control("start")
        state = self._state_after_rules()
        self._reject(state)
        return state

    def _load(self, state: ServerState) -> ServerState:
        plan = self._plan
        for planned in plan.setting_files:
            planned.write()
        if any(planned.written for planned in plan.setting_files):
            state = self._state()
            reject_overridden(plan, state)
        # First the settings alone: a rule of type hostssl is right only once ssl is on.
        if plan.stale_certificates(state) or any(plan.stale(planned, state) for planned in plan.setting_files):
            state = self._reload(state)
        plan.access.write()
        if plan.access.written:
            state = self._state()
        self._reject(state)
        if plan.stale(plan.access, state):
            state = self._reload(state)
        return state

    def _reject(self, state: ServerState) -> None:
        reject_overridden(self._plan, state)
        self._result.warnings = [*self._plan.steps.warnings, *reject_rules(self._plan, state)]

    def _restart(self) -> ServerState:
        self._result.restarted = True
        self._control("restart")
        return self._state_after_rules()

    def _control(self, action: str) -> None:
        log = self._platform.watch(self._cluster)
        reason = self._platform.control(self._cluster, action)
        if reason is None:
            # PostgreSQL goes on with the addresses that it could have.
            lost = re.findall(r'could not create listen socket for "([^"]+)"', "\n".join(log.lines()))
            if not lost:
                return
            reason = f"it cannot listen on {', '.join(lost)} ({'; '.join(log.reasons())})"
        raise CollectionError(f"Cluster {self._cluster}: its server does not {action} with these files: {reason}.")

    def _server(self) -> Postmaster:
        server = self._cluster.settled()
        if server is None:
            raise CollectionError(f"Cluster {self._cluster}: its server has stopped.", f"See {self._cluster.log_hint}.")
        return server

    def _state(self) -> ServerState:
        return query_state(self._cluster, self._server(), self._plan.current.choice.login)

    def _state_after_rules(self) -> ServerState:
        try:
            return self._state()
        except CollectionError as error:
            raise self._locked_out(error) from error

    def _locked_out(self, error: CollectionError) -> Exception:
        if error.reason not in ("password", "refused") or not self._plan.access.written:
            return error
        owner = self._plan.current.choice.login.user or self._cluster.owner
        return CollectionError(
            f"O(access_rules): they deny {owner} on the local socket, which maintenance jobs and this module need "
            f"({str(error).rstrip('.')}).",
            f"Put a rule of type local, users [{owner}], method peer before them.",
        )

    def _reload(self, state: ServerState) -> ServerState:
        log = self._platform.watch(self._cluster)
        server = self._server()
        self._result.reloaded = True
        _hang_up(server)
        deadline = time.monotonic() + _LOAD_TIMEOUT
        while self._loaded() <= state.loaded:
            if time.monotonic() > deadline:
                reason = "; ".join(log.reasons()) or f"no message within {_LOAD_TIMEOUT:g} s"
                raise CollectionError(f"Cluster {self._cluster}: its server does not load its files: {reason}.")
        if any("was not reloaded" in line for line in log.lines()):
            raise CollectionError(
                f"Cluster {self._cluster}: its server does not load its files: {'; '.join(log.reasons())}."
            )
        return self._state_after_rules()

    def _loaded(self) -> float:
        time.sleep(CLOCK_GRAIN)
        try:
            # A new session has what the server itself has loaded.
            return query_loaded(self._cluster, self._server(), self._plan.current.choice.login)
        except CollectionError as error:
            raise self._locked_out(error) from error

    def _roll_back(self, error: Exception) -> Exception:
        """Undo all of it; the error to raise, which says what became of the server."""
        written: list[PlannedFile] = [planned for planned in self._plan.files if planned.written]
        if not written:
            return error
        result = self._result
        for planned in reversed(written):
            planned.roll_back(keep_times=not (result.reloaded or result.restarted or result.started))
        reason = self._run_as_before()
        with_previous = "with the previous configuration"
        state = f"is running {with_previous}" if reason is None else f"does not start {with_previous}: {reason}"
        if result.started and reason is None:
            state = "is stopped, as it was"
        return CollectionError(f"{error} Changes were rolled back; the server {state}.")

    def _run_as_before(self) -> str | None:
        result, server = self._result, self._cluster.settled()
        if result.started:
            return self._platform.control(self._cluster, "stop") if server else None
        if server is None:
            return self._platform.control(self._cluster, "start")
        if result.restarted:
            return self._platform.control(self._cluster, "restart")
        if result.reloaded:
            _hang_up(server)
        return None


def _hang_up(server: Postmaster) -> None:
    """Have a server load its files, so late that the next run can tell from the time stamps that they are loaded."""
    time.sleep(2 * CLOCK_GRAIN)
    os.kill(server.pid, signal.SIGHUP)
