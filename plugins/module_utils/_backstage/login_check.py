# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a login of Backstage fails, and what to change in its configuration or on the server.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.check_report import Report
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.database_target import Login, Target
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import scram
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import as_identifier
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_proof import offered_iterations


def login_options(login: Login) -> dict[str, Any]:
    """The connection options of module_utils/_postgresql/connection.py for a login."""
    certificate, key = (login.tls and login.tls.client_certificate) or (None, None)
    return {
        "login_host": login.host,
        "login_port": login.port,
        "login_user": login.user,
        "login_db": login.database,
        "login_password": login.password if login.text_password else None,
        "ssl_mode": "require" if login.tls else "disable",
        "ssl_cert": certificate,
        "ssl_key": key,
        # `tls_check` has seen that Backstage trusts the certificate, and a pooler has no channel binding.
        "channel_binding": "prefer",
    }


def login_failed(report: Report, login: Login, target: Target | None, error: CollectionError) -> None:
    reason, text = error.reason, str(error)
    where = f"{login.host} port {login.port}"
    key = "backend.database.connection"
    if reason == "library":
        report.library = False
        report.unknown("login", text)
    elif target is None:
        report.failed("login", text, "")
    elif reason == "password" and not login.text_password:
        report.failed(
            "login",
            f"The server at {where} wants a password, and {key}.password{target.place('connection.password')} "
            "is not a text.",
            "Put the password in quotes; a bare number or true is none to the server.",
        )
    elif reason == "password" and login.password is None:
        report.failed(
            "login",
            f"The server at {where} wants a password of {login.user}, "
            f"and {key}.password {target.explain('connection.password')}.",
            target.remedy("connection.password"),
        )
    elif reason == "password":
        report.failed(
            "login",
            f"The server at {where} rejects the password of {login.user}{target.password_place(login)}.",
            "Correct it there, or set that of the role; mind that Backstage trims what comes from a variable.",
        )
    elif reason == "no_connect":
        report.failed(
            "connect",
            f"{login.user} may not connect to the database {login.database} at {where}.",
            _login_remedy(login, reason, text).rstrip(".")
            + (", or set ensureExists to false." if target.mode == "schema" else "."),
        )
    else:
        report.failed("tls" if reason in ("tls", "client_certificate") else "login", *login_problem(login, error))


def check_iterations(report: Report, login: Login) -> None:
    """Report a verifier that libpq logs in with and Backstage's driver rejects."""
    if login.password is None:
        return
    count = offered_iterations(login_options(login))
    if count and count > scram.NODE_PG_MAX_ITERATIONS:
        report.failed(
            "login",
            f"The verifier of {login.user} has {count} iterations, and the npm package pg, which Backstage uses, "
            f"rejects more than {scram.NODE_PG_MAX_ITERATIONS}.",
            "Run site.yml, or set the password anew with a lower scram_iterations.",
        )


def login_problem(login: Login, error: CollectionError) -> tuple[str, str]:
    """What is wrong with a login, and what to do in Backstage's configuration or on the server; each a sentence."""
    # Most remedies name options of a module that nobody called.
    cause = error.message.replace(" in login_host", "")
    remedy = error.remedy if error.reason.startswith("method_") else _login_remedy(login, error.reason, str(error))
    return cause, remedy


def _login_remedy(login: Login, reason: str, text: str) -> str:
    if reason == "client_certificate":
        return (
            "Set ssl.cert and ssl.key of backend.database.connection to a valid client certificate of a CA that the "
            "server trusts, and its key."
        )
    if reason == "no_connect":
        return f"GRANT CONNECT ON DATABASE {as_identifier(login.database)} TO {as_identifier(login.user)}."
    if reason == "unreachable":
        return "Start the server, or correct host and port of backend.database.connection."
    if reason == "no_login":
        return f"ALTER ROLE {as_identifier(login.user)} LOGIN."
    if "peer authentication" in text:
        return "Give the host by name or address, so that Backstage logs in with its password."
    if reason == "peer":
        return "Give the directory of the server's own socket as the host."
    if "no free connection" in text:
        return f"End some connections, or raise max_connections or the CONNECTION LIMIT of {login.user}."
    if "no database" in text:
        return f"Create the database {login.database} with {login.user} as its owner, or correct its name."
    return "Correct the server, or backend.database.connection."
