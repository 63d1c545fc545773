# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of PostgreSQL's settings and access rules: quoting, our own block, what may be shown.

Sources: the PostgreSQL manual, chapters "Setting Parameters" and "The pg_hba.conf File".

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

HEADER = (
    "# Managed by Ansible (devportal.backstage.postgresql_config): changes by hand are lost on its next run.\n"
    "# Put settings of your own into another file of this directory.\n"
)
BEGIN = b"# BEGIN devportal.backstage access rules (managed by Ansible: changes inside are lost on its next run)"
END = b"# END devportal.backstage access rules"
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
SECRET_OPTIONS = ("ldapbindpasswd", "radiussecrets")

# What pg_createcluster, pg_ctlcluster and the systemd unit rely on.
_PLACES = ("data_directory", "config_file", "hba_file", "ident_file", "external_pid_file")
_INCLUDES = ("include", "include_dir", "include_if_exists")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
_PLAIN_ITEM = re.compile(r"[a-z0-9_.:*/$%+@-]+")
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_.$:/*?^()|\[\]{}=<>!;&~-]+")
_HOST_NAME = re.compile(r"\.?(?=[^.])[A-Za-z0-9_.-]+")
_ADDRESS_WORDS = ("all", "samehost", "samenet")
_MARK = rb"^# %s devportal\.backstage access rules[^\n]*(?:\n|\Z)"
_MARKS = re.compile(_MARK % rb"(BEGIN|END)", re.MULTILINE)
_BLOCK = re.compile(_MARK % rb"BEGIN" + rb".*?" + _MARK % rb"END", re.DOTALL | re.MULTILINE)
_SECRET_TEXT = re.compile(rf"({'|'.join(SECRET_OPTIONS)})\s*=.*")


class PgConfigError(CollectionError):
    """A setting or an access rule that cannot be written; the text names it and says what to do."""


def normal_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as PostgreSQL's text, names in lower case, sorted; a None value leaves its setting out.

    Args:
        settings: name to value. bool becomes on or off, a list becomes comma-separated items.

    Raises:
        PgConfigError: a name or value that a configuration file cannot or must not hold.
    """
    result: dict[str, str] = {}
    for given, value in settings.items():
        name = str(given).lower()
        if not _NAME.fullmatch(name):
            raise PgConfigError(f'settings: "{given}" is not a name of a setting; use letters, digits, "_" and ".".')
        if name in result:
            raise PgConfigError(f"settings: {name} is there twice, in different case; keep one of them.")
        if name in _PLACES:
            raise PgConfigError(f"settings: {name} belongs to Debian's postgresql-common; leave it out.")
        if name in _INCLUDES:
            raise PgConfigError(f"settings: {name} is no setting; put the settings themselves here.")
        if value is not None:
            result[name] = _value_text(name, value)
    if "port" in result:
        port = result["port"]
        if not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
            raise PgConfigError(f'settings: port is "{port}"; give a whole number from 1 to 65535.')
    return dict(sorted(result.items()))


def _value_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        text = ",".join(_item_text(name, item) for item in value)
    elif isinstance(value, (int, float, str)):
        text = str(value)
    else:
        raise PgConfigError(
            f"settings: {name} is a {type(value).__name__}; give text, a number, true, false or a list of texts."
        )
    if "\0" in text:
        raise PgConfigError(f"settings: {name} has a NUL character, which PostgreSQL cannot hold; remove it.")
    return text


def _item_text(name: str, item: Any) -> str:
    if isinstance(item, (bool, float)) or not isinstance(item, (int, str)) or item == "":
        raise PgConfigError(f"settings: {name} has the list item {item!r}; give texts that are not empty.")
    text = str(item)
    return text if _PLAIN_ITEM.fullmatch(text) else '"' + text.replace('"', '""') + '"'


_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def settings_text(settings: Mapping[str, str]) -> bytes | None:
    """Our configuration file for these settings (as `normal_settings` gives them), or None where there are none."""
    if not settings:
        return None
    lines = [
        f"{name} = '" + "".join(_ESCAPES.get(letter, letter) for letter in value) + "'\n"
        for name, value in settings.items()
    ]
    return (HEADER + "".join(lines)).encode()


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
        PgConfigError: a rule that PostgreSQL would refuse, or that could never match.
    """
    seen: dict[tuple[object, ...], int] = {}
    result = []
    for number, given in enumerate(rules, 1):
        rule = _rule(f"access_rules, rule {number}", given, version)
        first = seen.setdefault(rule.matches(), number)
        if first != number:
            raise PgConfigError(
                f"access_rules, rule {number}: matches the same connections as rule {first}, "
                "and only the first one counts; remove one of them."
            )
        result.append(rule)
    return result


def _rule(where: str, given: Mapping[str, Any], version: int | None) -> AccessRule:
    kind, method, address = given["type"], given["method"], given.get("address")
    if kind not in CONNECTION_TYPES:
        raise PgConfigError(f'{where}: type is "{kind}"; give one of {", ".join(CONNECTION_TYPES)}.')
    if method not in METHODS:
        raise PgConfigError(f'{where}: method is "{method}"; give one of {", ".join(METHODS)}.')
    names = {}
    for key in ("databases", "users"):
        value = given.get(key)
        names[key] = ("all",) if value is None else tuple(str(name) for name in value)
        if not names[key]:
            raise PgConfigError(f'{where}: {key} is empty; name them, or give "all".')
        for name in names[key]:
            _check_name(where, key, name, version)
    if kind == "local":
        if address is not None:
            raise PgConfigError(f"{where}: type local has no address; remove it, or give type host.")
    elif address is None:
        raise PgConfigError(f'{where}: type {kind} needs an address, such as "10.0.0.0/8", "samenet" or "all".')
    else:
        address = _address(where, str(address).strip())
    options = {**(given.get("options") or {}), **(given.get("secret_options") or {})}
    for option, value in options.items():
        if not re.fullmatch(r"[a-z_]+", str(option)):
            raise PgConfigError(f'{where}: "{option}" is not a name of an option; see the manual of method {method}.')
        if not isinstance(value, (str, int)) or re.search(r"[\0\r\n]", str(value)):
            raise PgConfigError(f"{where}: option {option} must be text of one line, or a number.")
    for option in SECRET_OPTIONS:
        if option in (given.get("options") or {}):
            raise PgConfigError(f"{where}: put {option} under secret_options, so that it is not shown.")
    return AccessRule(kind, method, names["databases"], names["users"], address, options)


def _check_name(where: str, key: str, name: str, version: int | None) -> None:
    if name == "" or re.search(r"[\0\r\n]", name):
        raise PgConfigError(f"{where}: {key} has {name!r}; a name is one line of text and not empty.")
    if name.startswith("/") and version is not None and version < 16:
        raise PgConfigError(f'{where}: "{name}" in {key} is a pattern, which PostgreSQL {version} does not know yet.')


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
            raise PgConfigError(
                f'{where}: address "{address}" is not a network; write it as "10.0.0.0/8" or "fd00::/8".'
            ) from None
    try:
        single = ipaddress.ip_address(address)
    except ValueError:
        pass
    else:
        raise PgConfigError(
            f'{where}: address "{address}" has no mask; write "{address}/{single.max_prefixlen}" for this host alone.'
        )
    if not _HOST_NAME.fullmatch(address) or re.fullmatch(r"[0-9.]+", address):
        raise PgConfigError(
            f'{where}: address "{address}" is neither a network such as "10.0.0.0/8", nor a host name, '
            f"nor one of {', '.join(_ADDRESS_WORDS)}."
        )
    return address


def _name_token(name: str) -> str:
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return '"' + name[1:-1].replace('""', '"').replace('"', '""') + '"'
    if name[0] in "+@/":
        return name[0] + _quoted_if_needed(name[1:])
    return _quoted_if_needed(name)


def _option_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _quoted_if_needed(text: str) -> str:
    return text if _PLAIN_TOKEN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def with_block(data: bytes, rules: Sequence[AccessRule], path: str = "pg_hba.conf") -> bytes:
    """The file with our block of rules at its top, every other byte kept; no rules, no block.

    Args:
        data: the file as it is.
        rules: what the block holds.
        path: for the error's text.

    Raises:
        PgConfigError: one of the block's two marks is missing, or there are several blocks.
    """
    marks = _MARKS.findall(data)
    rest, count = _BLOCK.subn(b"", data)
    if marks not in ([], [b"BEGIN", b"END"]) or count * 2 != len(marks):
        raise PgConfigError(
            f'{path}: the lines "{BEGIN.decode()}" and "{END.decode()}" must be there once each, in this order, '
            "or not at all; repair or remove them."
        )
    if not rules:
        return rest
    lines = [BEGIN, *(rule.line().encode() for rule in rules), END, b""]
    return b"\n".join(lines) + rest


def shown(text: bytes) -> str:
    """The file's text as it may appear in a diff: what follows a secret option's name is masked."""
    return _SECRET_TEXT.sub(r"\1=********", text.decode("utf-8", "replace"))


def tcp_address(listen_addresses: str) -> str | None:
    """An address on which a client of the same machine reaches the server, or None where it has no TCP."""
    asked = [item.strip().strip('"') for item in listen_addresses.split(",") if item.strip()]
    for any_of, address in (
        (("*", "0.0.0.0", "localhost", "127.0.0.1"), "127.0.0.1"),
        (("::", "::1"), "::1"),
    ):
        if any(item in any_of for item in asked):
            return address
    return asked[0] if asked else None
