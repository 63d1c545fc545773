# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be known to be wrong in the variables of a host, whatever role reads them.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.variable_rules import RULES
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.variable_types import (
    Option,
    nearest,
    type_problems,
)

PROVIDERS = ("packages", "container", "external")
# Variables that no role documents: of the playbooks, and what the roles report.
SHARED: Mapping[str, Option] = {
    "backstage_database_provider": {"type": "str", "choices": PROVIDERS},
    "backstage_postgresql_host": {"type": "str"},
    # Of the playbooks backup.yml, restore.yml and upgrade.yml.
    "backstage_postgresql_backup_kind": {"type": "str", "choices": ("full", "diff", "incr")},
    "backstage_postgresql_restore_time": {"type": "str"},
    "backstage_postgresql_restore_confirmed": {"type": "bool"},
    "backstage_postgresql_restore_remove_former": {"type": "bool"},
    "backstage_postgresql_upgrade_roll_back": {"type": "bool"},
    "backstage_postgresql_upgrade_dump": {"type": "path"},
}
_TLS = "backstage_postgresql_tls"
_TLS_SETTINGS = ("ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file")
REPORTED = ("backstage_database_connection", "backstage_app_config_check")


def prefixes(roles: Iterable[str]) -> tuple[str, ...]:
    """How the names begin that belong to this collection."""
    return (*(f"{role}_" for role in roles), "backstage_database_")


def is_on(value: Any) -> bool:
    """Whether a boolean variable, which may be a string of the command line, is true."""
    return str(value).lower() in ("true", "yes", "on", "1", "y", "t")


def is_result(value: Any) -> bool:
    """Whether a value is what a task registered, which a play may name as it likes."""
    return isinstance(value, Mapping) and ("changed" in value or "failed" in value or "skipped" in value)


def problems(values: Mapping[str, Any], options: Mapping[str, Option]) -> list[str]:
    """Sentences about the variables of a host; none where all are right.

    Args:
        values: those whose names begin with one of `prefixes`.
        options: all roles' entries in argument_specs, by name.
    """
    known = {**options, **SHARED}
    found: list[str] = []
    for name, value in sorted(values.items()):
        if name in REPORTED or is_result(value):
            continue
        if name not in known:
            found.append(f"{name}: unknown variable. {nearest(name, known)}")
            continue
        wrong = list(type_problems(name, value, known[name]))
        if not wrong and name in RULES:
            wrong = [f"{name}: {problem}" for problem in RULES[name](value)]
        found += wrong
    return found + list(_pairs(values))


def _client_certificate_pairs(values: Mapping[str, Any]) -> Iterable[str]:
    name = f"{_TLS}_client_certificates"
    if not is_on(values.get(name)):
        return
    if is_on(values.get("backstage_postgresql_ha")):
        yield f"{name}: is not supported with backstage_postgresql_ha. Set it to false."
    elif not is_on(values.get(_TLS)):
        yield f"{name}: client certificates need TLS. Set {_TLS} to true, or {name} to false."


def _pairs(values: Mapping[str, Any]) -> Iterable[str]:
    user, owner = values.get("backstage_postgresql_user"), values.get("backstage_postgresql_owner")
    if owner and user == owner:
        yield "backstage_postgresql_owner: is the database user. Choose another name for the NOLOGIN owner role."
    if values.get("backstage_postgresql_monitor_user"):
        if not values.get("backstage_postgresql_monitor_password"):
            yield "backstage_postgresql_monitor_user: has no password. Set backstage_postgresql_monitor_password."
        if values["backstage_postgresql_monitor_user"] in ("postgres", user, owner):
            yield "backstage_postgresql_monitor_user: is the superuser or Backstage's own. Choose another name."
    provider = values.get("backstage_database_provider", "packages")
    if is_on(values.get("backstage_postgresql_backup")) and provider != "packages":
        yield (
            f"backstage_postgresql_backup: is not supported with backstage_database_provider {provider}. "
            "Set it to false."
        )
    encrypted = is_on(values.get(_TLS))
    if encrypted and provider != "packages":
        yield (
            f"{_TLS}: the database of backstage_database_provider {provider} gets no certificate from this collection. "
            "Set it to false, and backstage_app_config_ca to the CA certificate of a server that has one."
        )
    yield from _client_certificate_pairs(values)
    settings = values.get("backstage_postgresql_settings")
    if encrypted and isinstance(settings, Mapping):
        for name in sorted({str(name).lower() for name in settings} & set(_TLS_SETTINGS)):
            yield f"backstage_postgresql_settings: {name} is set by {_TLS}. Remove it there."
    names = [value for key, value in sorted(values.items()) if key.endswith("_variable")]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"backstage_app_config_*_variable: {name} is there twice. Choose another name for one of them."
