#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_config
short_description: Makes a PostgreSQL cluster, and sets its settings and access rules
version_added: 1.0.0
description:
  - Finds the cluster on a Debian or Ubuntu host, makes it when there is none, has it start at boot (its C(start.conf)
    says V(auto), and the service C(postgresql) is enabled), starts it, and brings its settings and access rules to what
    is asked.
  - The settings go to a file of their own in the cluster's C(conf.d), the access rules to a marked block at the top of
    C(pg_hba.conf), where the first match wins. Every other byte of C(pg_hba.conf) is kept.
  - Both are checked by PostgreSQL before they count. When it refuses something, or does not start with it, the files
    are put back, the server runs as before, and the module fails with PostgreSQL's own reason.
  - The server is reloaded where a reload is enough, and restarted only when a setting of this module waits for it.
  - A setting that another file or C(ALTER SYSTEM) overrides is refused, with the place.
options:
  version:
    description:
      - The major version, for example V(17).
      - Left out, the only cluster called O(cluster) is taken; a new one is made with the newest version installed.
    type: int
  cluster:
    description: The cluster's name, as C(pg_lsclusters) shows it.
    type: str
    default: main
  create:
    description:
      - Whether to make the cluster when it is missing.
      - Left out, it is made only when the version has no cluster at all, so that a wrong name is no second server.
      - V(true) makes it beside others too, V(false) never.
    type: bool
  locale:
    description: The locale of a cluster that is made, of a UTF-8 kind; its encoding is always UTF8.
    type: str
    default: C.UTF-8
  initdb_options:
    description: Options for C(initdb) of a cluster that is made, such as V(--data-checksums).
    type: list
    elements: str
    default: []
  settings:
    description:
      - The server's settings, name to value. Booleans, numbers, texts (with units such as V(64MB)) and lists, which
        become comma-separated items. A setting that is V(null) is left out.
      - The file holds these and no others; V({}) removes it. Left out, it stays as it is.
      - The values are shown in the module's output. Keep secrets out of them.
    type: dict
  access_rules:
    description:
      - The rules to put before all others of C(pg_hba.conf), in this order.
      - The block holds these and no others; V([]) removes it. Left out, it stays as it is.
    type: list
    elements: dict
    suboptions:
      type:
        description: How the client connects.
        type: str
        required: true
        choices: [local, host, hostssl, hostnossl, hostgssenc, hostnogssenc]
        aliases: [contype]
      databases:
        description:
          - Names of databases, or PostgreSQL's words V(all), V(sameuser), V(samerole), V(replication).
          - A name that is one of these words is written in double quotes of its own, as in V('"all"').
        type: list
        elements: str
        default: [all]
      users:
        description:
          - Names of roles, V(all), or V(+group) for the members of a role; quoted like O(access_rules[].databases).
        type: list
        elements: str
        default: [all]
      address:
        description:
          - A network such as V(10.0.0.0/8) or V(fd00::/8), a host name, V(all), V(samehost) or V(samenet).
          - Needed for all types but V(local).
        type: str
        aliases: [source]
      method:
        description: How the client proves who it is.
        type: str
        default: scram-sha-256
        choices:
          - scram-sha-256
          - md5
          - password
          - peer
          - ident
          - cert
          - ldap
          - radius
          - gss
          - sspi
          - pam
          - bsd
          - oauth
          - trust
          - reject
      options:
        description: The method's options, name to value.
        type: dict
        default: {}
      secret_options:
        description: Options whose values are never shown, such as C(ldapbindpasswd) and C(radiussecrets).
        type: dict
        default: {}
  minimum_version:
    description: Refuse a server older than this major version, before anything is changed.
    type: int
    default: 14
  restart:
    description:
      - Whether to restart the server when a setting needs it.
      - V(false) reloads only; RV(pending_restart) then says what waits.
    type: bool
    default: true
  state:
    description:
      - V(absent) removes the settings file and the block of access rules, and loads what is left. The cluster stays.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - postgresql-common
  - python3-psycopg2
notes:
  - Run it as root, or as the owner of the cluster where nothing has to be made or enabled.
  - Comparing with what the server has loaded, it also heals what a killed run has left half done.
extends_documentation_fragment:
  - devportal.backstage.attributes
author:
  - The devportal.backstage maintainers (@devportal)
"""

EXAMPLES = r"""
- name: Let the app hosts of one network log in with a password
  devportal.backstage.postgresql_config:
    settings:
      listen_addresses: [localhost, 10.20.0.5]
      password_encryption: scram-sha-256
      max_connections: 200
    access_rules:
      - type: host
        users: [backstage]
        address: 10.20.0.0/16
  register: database

- name: Set what needs a restart, and restart later
  devportal.backstage.postgresql_config:
    version: 17
    settings:
      shared_buffers: 1GB
      shared_preload_libraries: [pg_stat_statements]
      pg_stat_statements.track: all
    restart: false

- name: Take our settings and rules away
  devportal.backstage.postgresql_config:
    state: absent
"""

RETURN = r"""
cluster:
  description: The cluster; in check mode, for one that is yet to be made, what is known of it.
  returned: success
  type: dict
  contains:
    version:
      description: Major version.
      type: int
    name:
      description: Its name.
      type: str
    port:
      description: The port the server listens on.
      type: int
    status:
      description: V(online) or V(down).
      type: str
    owner:
      description: The OS user who owns it, and the name of its superuser.
      type: str
    data_directory:
      description: Where its data are.
      type: str
    config_directory:
      description: Where its configuration is.
      type: str
    socket_directory:
      description: Where its Unix socket is.
      type: str
  sample:
    version: 17
    name: main
    port: 5432
    status: online
    owner: postgres
    data_directory: /var/lib/postgresql/17/main
    config_directory: /etc/postgresql/17/main
    socket_directory: /var/run/postgresql
host:
  description: An address at which a client of the same machine reaches the server; null when it listens on none.
  returned: success
  type: str
  sample: 127.0.0.1
port:
  description: The port the server listens on.
  returned: success
  type: int
  sample: 5432
created:
  description: Whether the cluster was made.
  returned: success
  type: bool
started:
  description: Whether the server was down and has been started.
  returned: success
  type: bool
reloaded:
  description: Whether the server was reloaded.
  returned: success
  type: bool
restarted:
  description: Whether the server was restarted.
  returned: success
  type: bool
pending_restart:
  description: Names of the settings that wait for a restart, whoever wrote them.
  returned: success
  type: list
  elements: str
msg:
  description: What would be done on a host that has no cluster yet.
  returned: in check mode, when the cluster is missing
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import FileError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import (
    DEFAULT_LOCALE,
    SETTINGS_FILE,
    ClusterError,
    MissingTools,
    check_port,
    choose,
    clear_unfinished,
    clusters,
    create,
    installed_versions,
    set_start,
    start_at_boot,
    starts_at_boot,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import (
    Outcome,
    Wanted,
    configure,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.connection import PostgresqlError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.pg_config import (
    CONNECTION_TYPES,
    METHODS,
    PgConfigError,
    access_rules,
    normal_settings,
    settings_text,
    shown,
    tcp_address,
    with_block,
)

RULE_SPEC = {
    "type": {"type": "str", "required": True, "choices": list(CONNECTION_TYPES), "aliases": ["contype"]},
    "databases": {"type": "list", "elements": "str", "default": ["all"]},
    "users": {"type": "list", "elements": "str", "default": ["all"]},
    "address": {"type": "str", "aliases": ["source"]},
    "method": {"type": "str", "default": "scram-sha-256", "choices": list(METHODS)},
    "options": {"type": "dict", "default": {}},
    "secret_options": {"type": "dict", "default": {}, "no_log": True},
}
ARGUMENT_SPEC = {
    "version": {"type": "int"},
    "cluster": {"type": "str", "default": "main"},
    "create": {"type": "bool"},
    "locale": {"type": "str", "default": DEFAULT_LOCALE},
    "initdb_options": {"type": "list", "elements": "str", "default": []},
    "settings": {"type": "dict"},
    "access_rules": {"type": "list", "elements": "dict", "options": RULE_SPEC},
    "minimum_version": {"type": "int", "default": 14},
    "restart": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def run(params, check):
    """What the module does: the result's keys, without `diff`, and the `Outcome`."""
    name, version = params["cluster"], params["version"]
    present = params["state"] == "present"
    wanted = _wanted(params, version)
    installed = installed_versions()
    if present and not check:
        for one in [version] if version else installed:
            clear_unfinished(one, name)
    try:
        found = clusters()
    except MissingTools:
        if present and not check:
            raise
        return _without_cluster(params, wanted, version, found=None)
    if not present and not any(one.name == name and version in (None, one.version) for one in found):
        return _without_cluster(params, wanted, version, found)
    cluster = choose(found, installed, version, name, params["create"] if present else False)
    version = cluster if isinstance(cluster, int) else cluster.version
    if version < params["minimum_version"]:
        raise ClusterError(
            f"PostgreSQL {version} (cluster {version}/{name}) is older than {params['minimum_version']}, the oldest "
            "that will do; upgrade it with pg_upgradecluster, or name another version."
        )
    wanted = _wanted(params, version)
    created = isinstance(cluster, int)
    if created:
        if check:
            return _without_cluster(params, wanted, version, found)
        _check_new_port(wanted, found)
        create(version, name, params["locale"], params["initdb_options"])
        found = clusters()
        cluster = choose(found, installed, version, name, False)
    start, service = present and cluster.start != "auto", present and not starts_at_boot()
    # All that a refusal would have to undo comes last; but what is disabled pg_ctlcluster does not start.
    disabled = start and cluster.start == "disabled" and not check
    if disabled:
        set_start(cluster, "manual")
    try:
        outcome = configure(cluster, wanted, found, restart=params["restart"], check=check)
    except Exception:
        if disabled:
            set_start(cluster, "disabled")
        raise
    if start and not check:
        set_start(cluster, "auto")
    if service and not check:
        start_at_boot()
    return {
        "changed": created or start or service or outcome.changed,
        "created": created,
        "cluster": {
            "version": cluster.version,
            "name": cluster.name,
            "port": outcome.port,
            "status": "online" if wanted.online or cluster.postmaster() else "down",
            "owner": cluster.owner,
            "data_directory": cluster.data_directory,
            "config_directory": cluster.config_directory,
            "socket_directory": cluster.socket_directory,
        },
        **_done(outcome),
    }, outcome


def _wanted(params, version):
    if params["state"] == "absent":
        return Wanted({}, [], online=False)
    settings, rules = params["settings"], params["access_rules"]
    return Wanted(
        None if settings is None else normal_settings(settings),
        None if rules is None else access_rules(rules, version),
    )


def _check_new_port(wanted, found):
    settings = wanted.settings or {}
    if "port" in settings:
        check_port(int(settings["port"]), settings.get("listen_addresses", "localhost"), None, found)


def _without_cluster(params, wanted, version, found):
    """The result where there is no cluster and none is made now: check mode, or nothing to remove."""
    present = params["state"] == "present"
    if found is not None:
        _check_new_port(wanted, found)
    settings = wanted.settings or {}
    port = int(settings.get("port", 5432))
    outcome = Outcome(started=present, host=tcp_address(settings.get("listen_addresses", "localhost")), port=port)
    place = f"/etc/postgresql/{version or 'VERSION'}/{params['cluster']}"
    for path, text in (
        (f"{place}/conf.d/{SETTINGS_FILE}", settings_text(settings)),
        (f"{place}/pg_hba.conf", with_block(b"", wanted.rules or [])),
    ):
        if present and text:
            outcome.differences.append((path, "", shown(text)))
    what = f"Cluster {version or 'of the newest version'}/{params['cluster']}"
    return {
        "changed": present,
        "created": present,
        "cluster": {"version": version, "name": params["cluster"], "port": port, "status": "down"},
        "msg": f"{what} would be made, configured and started." if present else f"{what} is not there.",
        **_done(outcome),
    }, outcome


def _done(outcome):
    names = ("host", "port", "started", "reloaded", "restarted", "pending_restart")
    return {name: getattr(outcome, name) for name in names}


class _Module(AnsibleModule):
    def _log_invocation(self):
        # It logs the repr() of the rules, in which a value may be written otherwise than it is.
        self.no_log_values |= {repr(value)[1:-1] for value in self.no_log_values if isinstance(value, str)}
        super()._log_invocation()


def main():
    module = _Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result, outcome = run(module.params, module.check_mode)
    except (ClusterError, FileError, PgConfigError, PostgresqlError) as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    if module._diff:
        result["diff"] = [
            {"before": old, "after": new, "before_header": path, "after_header": path}
            for path, old, new in outcome.differences
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
