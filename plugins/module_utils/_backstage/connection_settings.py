# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four settings of a connection: whether Backstage and PostgreSQL can use them, and how app-config holds them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Union

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_assignment import NAME
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import (
    NAME_BYTES,
    PORT_RANGE,
    is_long,
    is_port,
)

KEYS = ("host", "port", "user", "password")
CREDENTIALS = ("env", "literal", "file")
VARIABLES = {key: f"POSTGRES_{key.upper()}" for key in KEYS}
PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")

_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")

Data = Union[None, bool, int, float, str, list[Any], dict[str, Any]]


def check_password(password: str | None, credentials: str) -> None:
    """Refuse a password that Backstage could not use as it stands.

    Args:
        password: in clear.
        credentials: env, literal or file; how Backstage gets it.

    Raises:
        CollectionError: it is missing, empty or not text, or what reads it would trim it.
    """
    if password is None:
        raise CollectionError("password is missing: give the database user's password, for instance from a vault.")
    if not password:
        raise CollectionError("password is empty: PostgreSQL rejects every login with an empty password.")
    if "\0" in password:
        raise CollectionError("password has a NUL in it: neither PostgreSQL nor an environment variable can hold one.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise CollectionError("password is not valid UTF-8 text: choose another.") from None
    if _VERIFIER.fullmatch(password):
        raise CollectionError("password is a SCRAM verifier: Backstage logs in with the clear text, so give that.")
    if credentials == "env" and password.strip(JS_SPACE) != password:
        raise CollectionError(
            "password begins or ends with white space, which Backstage trims from a variable: "
            "choose another, or use `credentials: literal`."
        )
    if credentials == "file" and password.rstrip(JS_SPACE) != password:
        raise CollectionError(
            "password ends with white space, which Backstage trims from a file: "
            "choose another, or use `credentials: literal`."
        )


def check_connection(host: str | None, port: str | int | None, user: str | None) -> None:
    """Refuse a host, port or user that no connection can have; None is not looked at.

    Raises:
        CollectionError: says which, and why.
    """
    if host is not None:
        if not host.strip():
            raise CollectionError("host is empty: give the name or the address of the database server.")
        if "://" in host:
            raise CollectionError("host is a URL: give the name or the address alone, and port and user beside it.")
        if re.fullmatch(r"[^:\s]+:\d+", host):
            raise CollectionError(f"host {host!r} has a port in it: give that as port.")
        if re.search(r"[\s\0]", host):
            raise CollectionError(f"host {host!r} has white space in it: give a name or an address.")
    if port is not None and not is_port(port):
        raise CollectionError(f"port is {port!r}: a TCP port is a number from {PORT_RANGE}.")
    if user is not None:
        if not user.strip():
            raise CollectionError("user is empty: name the PostgreSQL role that Backstage logs in as.")
        if user.strip(JS_SPACE) != user or "\0" in user:
            raise CollectionError(f"user {user!r} begins or ends with white space, or has a NUL in it.")
        if is_long(user):
            raise CollectionError(f"user has more than {NAME_BYTES} bytes: PostgreSQL cuts names there.")


def check_variables(variables: Mapping[str, str]) -> None:
    """Refuse names that are not environment variables, or one name for two values.

    Raises:
        CollectionError: says which.
    """
    for key, name in variables.items():
        if not NAME.match(name):
            raise CollectionError(
                f"{key}_variable is {name!r}: a variable's name has letters, digits and _, and no digit first."
            )
    for name in variables.values():
        users = [f"{key}_variable" for key in variables if variables[key] == name]
        if len(users) > 1:
            raise CollectionError(f"{' and '.join(users)} are both {name}: give each value a variable of its own.")


def escape(text: str) -> str:
    """Write `text` so that Backstage's substitution gives it back: `${X}` becomes `$${X}`.

    Only what the substitution would touch is changed (`sources/transform/substitution.ts` in `packages/config-loader`):
    a `${` that no `}` closes stays, and `$${X}` becomes `$$${X}`, which is read as `$${X}`.
    """
    return PLACEHOLDER.sub(lambda match: "$" + match.group(), text)


def by_variable(variables: Mapping[str, str]) -> dict[str, Data]:
    """The four connection settings as placeholders, plain as in Backstage's own template."""
    return {key: f"${{{variables[key]}}}" for key in KEYS}


def by_literal(host: str, port: int, user: str, password: str) -> dict[str, Data]:
    """The four connection settings themselves; strings escaped, the port a number."""
    return {"host": escape(host), "port": port, "user": escape(user), "password": escape(password)}


def verified_tls(ca: str, client: tuple[str, str] | None = None) -> dict[str, Data]:
    """Further settings of a connection: TLS, and the server's certificate has to be signed by an authority.

    Args:
        ca: certificates of the authority: PEM text, or the path of a file with them, as Backstage resolves it.
        client: paths of the client's certificate and its key, to show to the server.

    Raises:
        CollectionError: neither a certificate nor a path.
    """
    shown: dict[str, Data] = {}
    for key, path in zip(("cert", "key"), client or ()):
        shown[key] = {"$file": escape(path)}
    return {"ssl": {"ca": _authority(ca), "rejectUnauthorized": True, **shown}}


def _authority(ca: str) -> Data:
    if "PRIVATE KEY" in ca:
        raise CollectionError("ca: contains a private key.", "Give only the certificates of the authority.")
    if "-----BEGIN CERTIFICATE-----" in ca:
        return escape(ca)
    if not ca.strip() or "\n" in ca or "\0" in ca or "-----BEGIN" in ca:
        raise CollectionError(
            "ca: is neither the path of a file nor a PEM certificate.",
            "Give the path of the authority's certificate on the app host, or its text, which begins with "
            "-----BEGIN CERTIFICATE-----.",
        )
    return {"$file": escape(ca)}


def by_file(host: str, port: int, user: str, password_file: str) -> dict[str, Data]:
    """The connection with the password in a file; `password_file` as Backstage resolves it, from app-config's place."""
    return {"host": escape(host), "port": port, "user": escape(user), "password": {"$file": escape(password_file)}}
