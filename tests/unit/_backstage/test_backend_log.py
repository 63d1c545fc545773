# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs are those of Backstage 1.55 under systemd 257, shortened."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import backend_log

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
    assert backend_log.reason(log) == reason


def test_a_line_of_the_log_does_not_reach_the_terminal_of_the_reader():
    log = '{"level":"error","message":"Error: \\u001b]0;owned\\u0007 \\u202egone"}\n\x1b[2JError: \x9b31m\n'
    assert backend_log.reason(log.splitlines()[0]) == r"Error: \x1b]0;owned\x07 \u202egone"
    assert backend_log.progress(log) == r"\x1b[2JError: \x9b31m"
