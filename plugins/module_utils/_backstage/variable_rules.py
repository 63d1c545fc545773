# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a variable of the roles means beyond its type: names, paths, numbers, and what PostgreSQL and Docker take.

Each rule takes a value of the right type, and yields what is wrong and what to do, without the variable's name.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.connection_settings import verified_tls
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.supported_versions import SUPPORTED_MAJORS
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import authentication, scram
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import access_rules
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import (
    MAX_PORT,
    NAME_BYTES,
    PORT_RANGE,
    is_long,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portals import checked_portal
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import normal_settings

Rule = Callable[[Any], Iterable[str]]

_RESERVED_USERS = ("public", "none", "current_user", "current_role", "session_user")
_TEMPLATES = ("template0", "template1")
_FLAGS = ("SUPERUSER", "CREATEDB", "CREATEROLE", "INHERIT", "LOGIN", "REPLICATION", "BYPASSRLS")
_IMAGE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")


def pattern(expression: str, words: str, empty: bool = False) -> Rule:
    """A rule for a string that has to match as a whole.

    Args:
        expression: a regular expression.
        words: the sentences for one that does not.
        empty: whether an empty string is allowed, too.
    """
    compiled = re.compile(expression, re.ASCII)

    def rule(value: Any) -> Iterable[str]:
        if not ((empty and value == "") or compiled.fullmatch(str(value))):
            yield words

    return rule


def number(low: int, high: int) -> Rule:
    """A rule for a whole number, given as one or as its digits."""

    def rule(value: Any) -> Iterable[str]:
        if not low <= int(value) <= high:
            yield f"must be from {low} to {high}. Choose another number."

    return rule


def path(value: Any) -> Iterable[str]:
    """An absolute path of the host."""
    if not value.strip():
        yield "is empty. Set a path."
    elif not value.startswith(("/", "~")):
        yield "is not an absolute path. Begin it with a slash."
    elif ".." in value.split("/"):
        yield "has .. in it. Write the path without."
    elif len(value.encode("utf-8", "replace")) > 4095 or any(len(part.encode()) > 255 for part in value.split("/")):
        yield "is longer than a path can be. Choose a shorter one."


def file_name(value: Any) -> Iterable[str]:
    """A path that may start from the app's directory."""
    if not value.strip():
        yield "is empty. Set a path."
    elif value.endswith("/"):
        yield "ends with a slash. Name a file."


def identifier(value: Any) -> Iterable[str]:
    """A name in PostgreSQL."""
    text = str(value)
    if not text.strip():
        yield "is empty. Set a name."
    elif text != text.strip():
        yield "begins or ends with white space. Remove it."
    elif is_long(text):
        yield f"has more than {NAME_BYTES} bytes. Choose a shorter name."


def require_auth(value: Any) -> Iterable[str]:
    """Sentences about a list of authentication methods."""
    try:
        authentication.methods(str(value))
    except CollectionError as error:
        yield f"has an {error.message.partition(': ')[2].rstrip('.')}. {error.remedy}"


def database_user(value: Any) -> Iterable[str]:
    """A database user or the NOLOGIN owner role."""
    yield from identifier(value)
    if str(value).lower() in _RESERVED_USERS or str(value).startswith("pg_"):
        yield "is a name that PostgreSQL reserves. Choose another."


def owner_role(value: Any) -> Iterable[str]:
    """The NOLOGIN owner role, or nothing."""
    if value != "":
        yield from database_user(value)
    if value == "postgres":
        yield "is the superuser. Choose a role of its own."


def dropped_users(value: Sequence[Any]) -> Iterable[str]:
    """Names of database users to drop."""
    for name in value:
        yield from (f"a database user {problem}" for problem in database_user(name))
        if name == "postgres":
            yield "has postgres, the superuser. Remove it."


def superuser(value: Any) -> Iterable[str]:
    """The superuser who configures the cluster, or nothing."""
    if value != "":
        yield from identifier(value)


def portal(value: Any) -> Iterable[str]:
    """The name of a portal."""
    try:
        checked_portal(str(value))
    except CollectionError as error:
        yield f"is not a valid name. {error.remedy}"


def role_flags(value: Sequence[Any]) -> Iterable[str]:
    """Attributes of the database user."""
    seen: dict[str, str] = {}
    for given in value:
        flag = str(given).upper()
        base = flag[2:] if flag.startswith("NO") else flag
        if base not in _FLAGS:
            yield f"has an unknown attribute. Use {', '.join(_FLAGS)}, or one of these with NO before it."
        elif seen.setdefault(base, flag) != flag:
            yield f"has {base} and NO{base}. Keep one of them."
    if seen.get("LOGIN") == "NOLOGIN":
        yield "has NOLOGIN, but Backstage logs in as this user. Remove it."


def databases(value: Sequence[Any]) -> Iterable[str]:
    """Names of databases to create."""
    for name in value:
        yield from (f"a database {problem}" for problem in identifier(name))
        if name in _TEMPLATES:
            yield f"has {name}, which belongs to PostgreSQL. Remove it."
    if len(set(map(str, value))) != len(value):
        yield "names a database twice. Remove one."


def address(value: Any) -> Iterable[str]:
    """A host name or an IP address, without port."""
    text = str(value)
    if not text.strip():
        yield "is empty. Set a host name or an IP address."
    elif "://" in text:
        yield "is a URL. Set the host name or IP address alone."
    elif re.fullmatch(r"[^:\s]+:[0-9]+", text):
        yield "has a port in it. Set backstage_postgresql_port to that."
    elif re.fullmatch(r"[0-9.]+", text) or ":" in text:
        yield from _ip_address(text)
    elif not _HOST_NAME.fullmatch(text):
        yield "is not a host name. Use letters, digits, dots and hyphens, or an IP address."


def _ip_address(text: str) -> Iterable[str]:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        yield "is not an IP address. Correct it."


def server_address(value: Any) -> Iterable[str]:
    """Where an app host finds the database: an address or the directory of a socket."""
    yield from path(value) if str(value).startswith("/") else address(value)


def listen_addresses(value: Sequence[Any]) -> Iterable[str]:
    """What the server listens on."""
    if not value:
        yield "is empty, so nobody could connect over TCP. Add an address, such as localhost."
    for item in value:
        if item != "*":
            yield from (f"an address {problem}" for problem in address(item))


def version(value: Any) -> Iterable[str]:
    """A major version of PostgreSQL, or nothing."""
    text = str(value)
    if text and not re.fullmatch("[0-9]+", text, re.ASCII):
        yield "is not a major version. Use a number, such as 17."
    elif text and int(text) not in SUPPORTED_MAJORS:
        yield f"is not a version that Backstage supports. Use one from {SUPPORTED_MAJORS[0]} to {SUPPORTED_MAJORS[-1]}."


def environment(value: Mapping[Any, Any]) -> Iterable[str]:
    """Environment variables, name to value."""
    for name, item in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name), re.ASCII):
            yield "has a name that is not allowed for an environment variable. Use letters, digits and underscores."
        elif item is None or isinstance(item, (Mapping, list, tuple)):
            yield f"{name} is not a string. Put its value in quotes."
        elif "\0" in str(item):
            yield f"{name} has a NUL character. Remove it."


def access(value: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Access rules, as pg_hba.conf takes them."""
    defaults = {"type": "host", "method": "scram-sha-256"}
    try:
        access_rules([{**defaults, "address": rule.get("source"), **rule} for rule in value])
    except CollectionError as error:
        yield re.sub(r"^O\(access_rules\), ", "", str(error))


def settings(value: Mapping[str, Any]) -> Iterable[str]:
    """Settings of the server."""
    try:
        normal_settings(value)
    except CollectionError as error:
        yield re.sub(r"^O\(settings\): ", "", str(error))


def password(value: Any) -> Iterable[str]:
    """A password or its verifier; whether Backstage's driver takes it is the roles' business."""
    if not value:
        yield "is empty. Set a password."
        return
    try:
        if value.startswith(scram.PREFIX):
            scram.parse(value)
        else:
            scram.check_password(value)
    except CollectionError:
        yield "is not a password or SCRAM-SHA-256 verifier that PostgreSQL takes. Choose another."


def command(value: Any) -> Iterable[str]:
    """A command line that begins with the absolute path of a program."""
    try:
        words = shlex.split(value)
    except ValueError:
        yield "has a quote that is not closed. Close it."
        return
    if not words:
        yield "is empty. Set the command that starts Backstage."
    elif not words[0].startswith("/"):
        yield "does not begin with the absolute path of a program. Begin it with a slash."


def url(value: Any) -> Iterable[str]:
    """An address of a web server."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", value):
        yield "is not a URL. Begin it with http:// or https:// and a host."


def repository_url(value: Any) -> Iterable[str]:
    """An address of packages; empty for the project's own. A mirror may lie on the host itself."""
    if value and not re.fullmatch(r"file:/\S*", value):
        yield from (problem.replace("http://", "file://, http://") for problem in url(value))


def url_path(value: Any) -> Iterable[str]:
    """The path of a URL."""
    if not re.fullmatch(r"/[!-~]*", value):
        yield "is not the path of a URL. Begin it with a slash, and leave out white space."


_PORT = number(1, MAX_PORT)
_OS_NAME = pattern(
    r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?|[0-9]{1,10}",
    "is not a name of an OS user or group. Use letters, digits, - and _.",
)
_VARIABLE = pattern(r"[A-Za-z_][A-Za-z0-9_]*", "is not an environment variable. Use letters, digits and underscores.")
_DOCKER_NAME = pattern(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}", "is not a name that Docker takes. Use letters, digits, - _ and dots."
)


def _each(rule: Rule) -> Rule:
    def every(value: Sequence[Any]) -> Iterable[str]:
        for item in value:
            yield from (f"an item {problem}" for problem in rule(item))

    return every


def authority(value: Any) -> Iterable[str]:
    """Certificates of an authority: empty, a path, or PEM text."""
    try:
        verified_tls(value or "ca.pem")
    except CollectionError as error:
        yield f"{error.message.partition(': ')[2]} {error.remedy}"


def network(value: Any) -> Iterable[str]:
    """A network in CIDR notation; empty where there is no cluster."""
    try:
        if value:
            ipaddress.ip_network(value)
    except ValueError:
        yield "is not a network. Write it in CIDR notation, such as 10.0.0.0/24."


def secret(value: Any) -> Iterable[str]:
    """A password that a file of one line a value has to hold; empty where there is no cluster."""
    if value != value.strip():
        yield "begins or ends with white space. Choose another password."


def monitor_address(value: Any) -> Iterable[str]:
    """The address of an access rule; empty for none."""
    if value:
        yield from access([{"type": "host", "address": value}])


def schedule(value: Any) -> Iterable[str]:
    """A calendar expression of systemd, whose own program checks the rest of it on the host."""
    if not value.strip():
        yield "is empty. Set a calendar expression of systemd, such as Sun *-*-* 01:00."


def _address_or_empty(value: Any) -> Iterable[str]:
    """An address; empty where the variable that it belongs to is."""
    if value != "":
        yield from address(value)


_ENDPOINT = pattern(r"[A-Za-z0-9.-]+:[0-9]{1,5}", "is not an address of etcd. Write it as host:port.")
RULES: Mapping[str, Rule] = {
    "backstage_app_config_ca": authority,
    "backstage_app_config_client_certificate": lambda value: path(value) if value else (),
    "backstage_app_config_client_key": lambda value: path(value) if value else (),
    "backstage_app_config_credentials": lambda value: (),
    "backstage_app_config_database": lambda value: (),
    "backstage_app_config_directory": path,
    "backstage_app_config_env_file": path,
    "backstage_app_config_environment": environment,
    "backstage_app_config_files": _each(file_name),
    "backstage_app_config_group": _OS_NAME,
    "backstage_app_config_host": server_address,
    "backstage_app_config_host_variable": _VARIABLE,
    "backstage_app_config_lock_timeout": number(0, 86400),
    "backstage_app_config_owner": _OS_NAME,
    "backstage_app_config_password": password,
    "backstage_app_config_password_file": file_name,
    "backstage_app_config_password_variable": _VARIABLE,
    "backstage_app_config_plugins": _each(
        pattern(r"[A-Za-z0-9][A-Za-z0-9_-]*", "is not a plugin's ID. Use letters, digits and hyphens.")
    ),
    "backstage_app_config_port": pattern(
        r"0*([1-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])",
        f"is not a TCP port. Use a number from {PORT_RANGE}.",
    ),
    "backstage_app_config_port_variable": _VARIABLE,
    "backstage_app_config_require_auth": require_auth,
    "backstage_app_config_user": database_user,
    "backstage_app_config_user_variable": _VARIABLE,
    "backstage_postgresql_access_rules": access,
    "backstage_postgresql_backup_max_age": number(0, 87600),
    "backstage_postgresql_backup_max_test_age": number(0, 36500),
    "backstage_postgresql_backup_passphrase": secret,
    "backstage_postgresql_backup_repository": path,
    "backstage_postgresql_backup_repository_address": _address_or_empty,
    "backstage_postgresql_backup_repository_host": pattern(
        r"\S+", "is not the name of a host of the inventory. Correct it, or leave it empty.", empty=True
    ),
    "backstage_postgresql_backup_repository_user": _OS_NAME,
    "backstage_postgresql_backup_retention_full": number(1, 9999999),
    "backstage_postgresql_backup_schedule_diff": schedule,
    "backstage_postgresql_backup_schedule_full": schedule,
    "backstage_postgresql_backup_stanza": pattern(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", 'is not a name of a stanza. Use letters, digits, "-" and "_".'
    ),
    "backstage_postgresql_backup_test_directory": lambda value: path(value) if value else (),
    "backstage_postgresql_backup_timeout": number(1, 864000),
    "backstage_postgresql_cluster": pattern(
        r"[A-Za-z0-9_.]{1,63}", 'is not a name of a cluster. Use letters, digits, "_" and ".".'
    ),
    "backstage_postgresql_container_bind_address": _ip_address,
    "backstage_postgresql_container_data_directory": path,
    "backstage_postgresql_container_directory": path,
    "backstage_postgresql_container_image": lambda value: (
        () if _IMAGE.fullmatch(value) else ("is not a reference of an image. Write it as name:tag.",)
    ),
    "backstage_postgresql_container_lock_timeout": number(0, 86400),
    "backstage_postgresql_container_name": _DOCKER_NAME,
    "backstage_postgresql_container_volume": _DOCKER_NAME,
    "backstage_postgresql_databases": databases,
    "backstage_postgresql_drop_users": dropped_users,
    "backstage_postgresql_ha_address": _ip_address,
    "backstage_postgresql_ha_api_password": secret,
    "backstage_postgresql_ha_etcd_hosts": _each(_ENDPOINT),
    "backstage_postgresql_ha_loop_wait": number(1, 3600),
    "backstage_postgresql_ha_network": network,
    "backstage_postgresql_ha_replication_password": secret,
    "backstage_postgresql_ha_retry_timeout": number(3, 3600),
    "backstage_postgresql_ha_rewind_password": secret,
    "backstage_postgresql_ha_ttl": number(20, 3600),
    "backstage_postgresql_host": server_address,
    "backstage_postgresql_iterations": number(1, scram.NODE_PG_MAX_ITERATIONS),
    "backstage_postgresql_listen_addresses": listen_addresses,
    "backstage_postgresql_lock_timeout": number(0, 86400),
    "backstage_postgresql_login_user": superuser,
    "backstage_postgresql_monitor_address": monitor_address,
    "backstage_postgresql_monitor_password": lambda value: password(value) if value else (),
    "backstage_postgresql_monitor_user": lambda value: database_user(value) if value else (),
    "backstage_postgresql_owner": owner_role,
    "backstage_postgresql_password": password,
    "backstage_postgresql_port": _PORT,
    "backstage_postgresql_portal": portal,
    "backstage_postgresql_proxy_port": _PORT,
    "backstage_postgresql_repository_url": repository_url,
    "backstage_postgresql_role_attr_flags": role_flags,
    "backstage_postgresql_settings": settings,
    "backstage_postgresql_tls_ca_days": number(1, 36500),
    "backstage_postgresql_tls_ca_directory": path,
    "backstage_postgresql_tls_days": number(1, 36500),
    "backstage_postgresql_tls_directory": path,
    "backstage_postgresql_tls_names": _each(server_address),
    "backstage_postgresql_tls_owner": _OS_NAME,
    "backstage_postgresql_tls_renew_days": number(0, 36500),
    "backstage_postgresql_tls_usages": _each(
        pattern("serverAuth|clientAuth", "is not a usage. Use serverAuth and clientAuth.")
    ),
    "backstage_postgresql_user": database_user,
    "backstage_postgresql_version": version,
    "backstage_service_command": command,
    "backstage_service_config_files": _each(file_name),
    "backstage_service_directory": path,
    "backstage_service_env_file": path,
    "backstage_service_environment": environment,
    "backstage_service_name": pattern(
        r"(?!.*\.service$)[A-Za-z0-9:_.@-]{1,240}",
        "is not a name of a unit. Leave out .service, slashes and white space.",
    ),
    "backstage_service_readiness_path": url_path,
    "backstage_service_readiness_timeout": number(1, 86400),
    "backstage_service_readiness_url": url,
    "backstage_service_user": _OS_NAME,
}
