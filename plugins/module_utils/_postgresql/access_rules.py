# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access rules: checked, written as lines of pg_hba.conf, kept in a marked block of our own.

Source: the PostgreSQL manual, chapter "The pg_hba.conf File".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import NAME_BYTES, is_long

CONNECTION_TYPES = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
METHODS = (
    "scram-sha-256",
    "md5",
    "password",
    "peer",
    "ident",
    "cert",
    "ldap",
    "radius",
    "gss",
    "sspi",
    "pam",
    "bsd",
    "oauth",
    "trust",
    "reject",
)
# The argument spec of one rule.
ARGUMENT_SPEC: Mapping[str, Mapping[str, Any]] = {
    "type": {"type": "str", "required": True, "choices": list(CONNECTION_TYPES), "aliases": ["contype"]},
    "databases": {"type": "list", "elements": "str", "default": ["all"]},
    "users": {"type": "list", "elements": "str", "default": ["all"]},
    "address": {"type": "str", "aliases": ["source"]},
    "method": {"type": "str", "default": "scram-sha-256", "choices": list(METHODS)},
    "options": {"type": "dict", "default": {}},
    "secret_options": {"type": "dict", "default": {}, "no_log": True},
}
SECRET_OPTIONS = ("ldapbindpasswd", "radiussecrets")

_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_.$:/*?^()|\[\]{}=<>!;&~-]+")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')
_HOST_NAME = re.compile(r"\.?(?=[^.])[A-Za-z0-9_.-]+")
_ADDRESS_WORDS = ("all", "samehost", "samenet")
_SECRET_TEXT = re.compile(rf"({'|'.join(SECRET_OPTIONS)})\s*=.*")


@dataclass(frozen=True)
class AccessRule:
    """One rule of pg_hba.conf; names as PostgreSQL has them, a name in double quotes is never a keyword."""

    type: str
    method: str
    databases: Sequence[str] = ("all",)
    users: Sequence[str] = ("all",)
    address: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The rule as a line of pg_hba.conf, without its line end."""
        options = [f"{name}={_quoted_if_needed(_option_text(value))}" for name, value in self.options.items()]
        return "\t".join(
            [
                self.type,
                ",".join(_name_token(name) for name in self.databases),
                ",".join(_name_token(name) for name in self.users),
                *([self.address] if self.address is not None else []),
                self.method,
                *options,
            ]
        )

    def matches(self) -> tuple[object, ...]:
        """What the rule matches: two rules with the same never both count, because the first one wins."""
        address: object = self.address
        if self.address is not None and "/" in self.address:
            address = ipaddress.ip_network(self.address, strict=False)
        return self.type, frozenset(self.databases), frozenset(self.users), address


def access_rules(rules: Sequence[Mapping[str, Any]], version: int | None = None) -> list[AccessRule]:
    """The rules, checked as far as this can be done without a server.

    Args:
        rules: mappings with type, databases, users, address, method, options, secret_options.
        version: the server's major version, where it is known.

    Raises:
        CollectionError: a rule that PostgreSQL would refuse, or that could never match.
    """
    seen: dict[tuple[object, ...], int] = {}
    result = []
    for number, given in enumerate(rules, 1):
        rule = _rule(f"O(access_rules), rule {number}", given, version)
        first = seen.setdefault(rule.matches(), number)
        if first != number:
            raise CollectionError(
                f"O(access_rules), rule {number}: matches the same connections as rule {first}, which comes first.",
                "Remove one of them.",
            )
        result.append(rule)
    return result


def _rule(where: str, given: Mapping[str, Any], version: int | None) -> AccessRule:
    kind, method, address = given["type"], given["method"], given.get("address")
    if kind not in CONNECTION_TYPES:
        raise CollectionError(f'{where}: type is "{kind}".', f"Choose one of {', '.join(CONNECTION_TYPES)}.")
    if method not in METHODS:
        raise CollectionError(f'{where}: method is "{method}".', f"Choose one of {', '.join(METHODS)}.")
    names = {}
    for key in ("databases", "users"):
        value = given.get(key)
        names[key] = ("all",) if value is None else tuple(str(name) for name in value)
        if not names[key]:
            raise CollectionError(f"{where}: {key} is empty.", 'Name them, or set it to "all".')
        for name in names[key]:
            _check_name(where, key, name, version)
    if kind == "local":
        if address is not None:
            raise CollectionError(f"{where}: type local has no address.", "Remove it, or choose type host.")
    elif address is None:
        raise CollectionError(
            f"{where}: type {kind} needs an address.", 'Add one, such as "10.0.0.0/8", "samenet" or "all".'
        )
    else:
        address = _address(where, str(address).strip())
    options = {**(given.get("options") or {}), **(given.get("secret_options") or {})}
    for option, value in options.items():
        if not re.fullmatch(r"[a-z_]+", str(option)):
            raise CollectionError(
                f'{where}: "{option}" is not a valid name of an option.', f"See PostgreSQL's manual of method {method}."
            )
        if not isinstance(value, (str, int)) or re.search(r"[\0\r\n]", str(value)):
            raise CollectionError(f"{where}: option {option} must be a string of one line, or a number.", "Correct it.")
    for option in SECRET_OPTIONS:
        if option in (given.get("options") or {}):
            raise CollectionError(
                f"{where}: {option} is a secret.", "Put it under secret_options, so that it is never shown."
            )
    return AccessRule(kind, method, names["databases"], names["users"], address, options)


def _check_name(where: str, key: str, name: str, version: int | None) -> None:
    if name == "" or re.search(r"[\0\r\n]", name):
        raise CollectionError(f"{where}: {key} has {name!r}.", "A name is a string of one line and not empty.")
    bare = name.strip('"') if name[:1] == '"' else name.lstrip("+")
    if name[0] not in "@/" and is_long(bare):
        raise CollectionError(
            f'{where}: "{name}" in {key} has more than {NAME_BYTES} bytes, and PostgreSQL has no such name.',
            "Correct it.",
        )
    if name.startswith("/") and version is not None and version < 16:
        raise CollectionError(
            f'{where}: "{name}" in {key} is a pattern, which PostgreSQL {version} does not know.',
            "Name them one by one.",
        )


def _address(where: str, address: str) -> str:
    if address in _ADDRESS_WORDS:
        return address
    if "/" in address:
        try:
            base, mask = address.split("/")
            if not mask.isdigit():
                raise ValueError
            return f"{base}/{ipaddress.ip_network(address, strict=False).prefixlen}"
        except ValueError:
            raise CollectionError(
                f'{where}: address "{address}" is not a network.', 'Write it as "10.0.0.0/8" or "fd00::/8".'
            ) from None
    try:
        single = ipaddress.ip_address(address)
    except ValueError:
        pass
    else:
        raise CollectionError(
            f'{where}: address "{address}" has no mask.',
            f'Write "{address}/{single.max_prefixlen}" for this host alone.',
        )
    if not _HOST_NAME.fullmatch(address) or re.fullmatch(r"[0-9.]+", address):
        raise CollectionError(
            f'{where}: address "{address}" is invalid.',
            f'Use a network such as "10.0.0.0/8", a host name, or one of {", ".join(_ADDRESS_WORDS)}.',
        )
    return address


def _name_token(name: str) -> str:
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return '"' + name[1:-1].replace('""', '"').replace('"', '""') + '"'
    if name[0] in "+@/":
        # +"my group" is how PostgreSQL's own file has it.
        rest = name[1:]
        inner = _QUOTED.fullmatch(rest) if name[0] != "/" else None
        return name[0] + _quoted_if_needed(inner.group(1).replace('""', '"') if inner else rest)
    return _quoted_if_needed(name)


def _option_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _quoted_if_needed(text: str) -> str:
    return text if _PLAIN_TOKEN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def shown(text: bytes) -> str:
    """The file's text as it may appear in a diff: what follows a secret option's name is masked."""
    return _SECRET_TEXT.sub(r"\1=********", text.decode("utf-8", "replace"))
