#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_config
short_description: Creates a PostgreSQL cluster, and sets its settings and access rules
version_added: 1.0.0
description:
  - Finds the cluster of a host, creates it if it is missing, starts it, and sets its settings and access rules.
  - Manages only what is given. No setting, rule or start mode of an existing cluster is changed otherwise.
  - The settings go to a file of their own in the directory of settings files (C(conf.d)), the access rules to a marked
    block at the top of C(pg_hba.conf), where the first match takes precedence. Every other byte of C(pg_hba.conf) is
    kept. If C(postgresql.conf) includes no such directory, a marked block at its end does.
  - PostgreSQL checks both before they take effect. If it rejects something, or does not start with it, the files are
    rolled back, the server runs as before, and the module fails with PostgreSQL's own reason.
  - The server is reloaded where a reload is enough, and restarted only when a setting of this module waits for it.
  - A setting that another file or C(ALTER SYSTEM) overrides is rejected, with the place.
  - A standby, and a cluster that Patroni or another manager supervises, are rejected, and nothing is changed.
  - With C(--check --diff), the diff shows for every setting the value in force, where it comes from, the new value, and
    whether it takes a reload or a restart. It also shows the rules that new ones narrow.
options:
  portal:
    description:
      - Name of the portal whose settings and access rules these are. Several portals can share a cluster.
      - The settings file (C(zz-backstage-NAME.conf)) and the block of C(pg_hba.conf) carry it, and a run changes those
        of its own portal only. The file and the block of version 1.0.0, which named no portal, are adopted.
      - Two portals with different values of one setting are rejected.
    type: str
    default: backstage
  version:
    description:
      - Major version, for example V(17).
      - "Default: the version of the only cluster named O(cluster); for a new cluster, the newest version installed."
    type: int
  create:
    description:
      - Whether to create the cluster if it is missing.
      - V(true) creates it also beside others, V(false) never.
      - "Default: only if the version has no cluster at all, so that a mistyped name creates no second server, and if
        the name has no older version, so that no empty cluster takes the place of one that is to be upgraded. A port in
        O(settings) that no older cluster has is that of a second cluster."
    type: bool
  locale:
    description: Locale of a new cluster, of a UTF-8 kind. Its encoding is always UTF8.
    type: str
    default: C.UTF-8
  initdb_options:
    description: Options of C(initdb) for a new cluster, such as V(--data-checksums).
    type: list
    elements: str
    default: []
  settings:
    description:
      - Server settings, name to value. A value is a boolean, a number, a string (with a unit such as V(64MB)) or a
        list, which becomes comma-separated items. A setting with the value V(null) is left out.
      - The file holds these settings and no others. V({}) removes the file.
      - "Default: the file is not changed."
      - The values are shown in the module's output. Keep secrets out of them.
    type: dict
  access_rules:
    description:
      - Rules before all others of C(pg_hba.conf), in this order.
      - The block holds these rules and no others. V([]) removes the block.
      - "Default: the block is not changed."
    type: list
    elements: dict
    suboptions:
      type:
        description: Type of the connection.
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
          - Names of database users, V(all), or V(+group) for the members of a group. Quoted like
            O(access_rules[].databases).
        type: list
        elements: str
        default: [all]
      address:
        description:
          - A network such as V(10.0.0.0/8) or V(fd00::/8), a host name, V(all), V(samehost) or V(samenet).
          - Required for all types but V(local).
        type: str
        aliases: [source]
      method:
        description: Authentication method.
        type: str
        default: scram-sha-256
        choices:
          [scram-sha-256, md5, password, peer, ident, cert, ldap, radius, gss, sspi, pam, bsd, oauth, trust, reject]
      options:
        description: Options of the method, name to value.
        type: dict
        default: {}
      secret_options:
        description: Options whose values are never shown, such as C(ldapbindpasswd) and C(radiussecrets).
        type: dict
        default: {}
  password_user:
    description:
      - Database user that logs in over TCP from the server's own host with a password.
      - Where the first rule of C(pg_hba.conf) that matches it there has the method V(ident) or V(trust), rules with
        V(scram-sha-256) for this user follow those of O(access_rules). Without O(access_rules) nothing is added.
    type: str
  encrypted_users:
    description:
      - Database users, and with C(+) before them roles with their members, who are to connect with TLS only.
      - With it, O(access_rules) of the type V(host) become V(hostssl), and a last rule rejects unencrypted connections
        of these users. A V(host) rule that is in force stays until O(require_encryption=true), since apps may need it.
    type: list
    elements: str
  require_encryption:
    description:
      - Whether rules that are in force change as well, see O(encrypted_users). They do not, and a warning names the
        clients, while one of O(encrypted_users) is connected without TLS, or without O(client_certificates).
    type: bool
    default: false
  client_certificates:
    description:
      - What V(host) rules demand of clients besides the password, as PostgreSQL's option C(clientcert). Of use with
        O(encrypted_users).
      - On a running server it comes into force with O(require_encryption=true). From then on the rules of this portal
        alone count for O(encrypted_users), with one more for the server's own host; other addresses are rejected. It
        does not come into force, and a warning names the clients, while one is connected from such an address.
    type: str
    choices: [verify-ca, verify-full]
  start_at_boot:
    description:
      - Whether the server is to start with the host. V(true) sets C(start.conf) to V(auto) and enables the service.
        V(false) changes nothing.
      - "Default: V(true) for a new cluster; an existing one is not changed."
    type: bool
  login_db:
    description: Database to connect to.
    type: str
    default: postgres
  minimum_version:
    description: Oldest major version that is accepted. An older server is rejected before anything is changed.
    type: int
    default: 14
  supervisor:
    description:
      - Cluster manager that may run the cluster. A cluster that another one manages is rejected.
      - Where it does run the cluster, only O(settings) can be set, and they are reloaded. Starting, restarting, the
        start with the host and access rules are left to the manager.
    type: str
    choices: [patroni]
  restart:
    description:
      - Whether to restart the server when a setting requires it.
      - V(false) only reloads it. RV(pending_restart) then lists the settings that wait for a restart.
    type: bool
    default: true
  state:
    description:
      - V(absent) removes the portal's settings file and its block of access rules, and loads what is left. The cluster
        and its databases stay.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - postgresql-common
notes:
  - Instead of root, the owner of the cluster is enough if nothing has to be created or enabled.
  - The module compares with what the server has loaded, so that it also repairs what a killed run left half done.
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.cluster
author:
  - The devportal.backstage maintainers (@devportal)
"""

EXAMPLES = r"""
- name: Allow the app hosts of one network to log in with a password
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

- name: Remove the settings and rules
  devportal.backstage.postgresql_config:
    state: absent
"""

RETURN = r"""
cluster:
  description: The cluster. For a cluster that does not exist yet, what is known of it.
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
      description: Data directory.
      type: str
    config_directory:
      description: Directory of the configuration files.
      type: str
    socket_directory:
      description: Directory of the Unix-domain socket.
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
  description: Address at which a client of the same host reaches the server; null if it does not listen on TCP.
  returned: success
  type: str
  sample: 127.0.0.1
port:
  description: The port the server listens on.
  returned: success
  type: int
  sample: 5432
created:
  description: Whether the cluster was created.
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
changes:
  description: The settings whose values in force change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: work_mem
      before: 4MB
      place: default
      after: 64MB
      effect: reload
unencrypted_rules:
  description: The access rules that stay until O(require_encryption=true), see O(encrypted_users).
  returned: with O(encrypted_users)
  type: list
  elements: str
pending_restart:
  description: Names of the settings that wait for a restart, whoever has set them.
  returned: success
  type: list
  elements: str
msg:
  description: What would be done on a host that has no such cluster.
  returned: in check mode, if the cluster is missing
  type: str
"""

from contextlib import contextmanager
from dataclasses import asdict, replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_block import with_block
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import (
    ARGUMENT_SPEC as RULE_SPEC,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.access_rules import (
    access_rules,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster import cluster_argument_spec
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_change import (
    WantedConfig,
    supervised,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.cluster_config import plan
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.current_config import (
    ClusterChoice,
    current_config,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.encrypted_rules import Encryption
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.encryption import encrypted
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.loopback_rules import loopback_rules
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.platform import detect
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.portals import (
    checked_portal,
    option_names,
)
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.server_state import Login
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import normal_settings

ARGUMENT_SPEC = {
    **cluster_argument_spec(),
    "portal": {"type": "str", "default": "backstage"},
    "create": {"type": "bool"},
    "locale": {"type": "str", "default": "C.UTF-8"},
    "initdb_options": {"type": "list", "elements": "str", "default": []},
    "settings": {"type": "dict"},
    "access_rules": {"type": "list", "elements": "dict", "options": RULE_SPEC},
    "password_user": {"type": "str", "no_log": False},
    "encrypted_users": {"type": "list", "elements": "str"},
    "require_encryption": {"type": "bool", "default": False},
    "client_certificates": {"type": "str", "choices": ["verify-ca", "verify-full"]},
    "start_at_boot": {"type": "bool"},
    "login_db": {"type": "str", "default": "postgres"},
    "minimum_version": {"type": "int", "default": 14},
    "restart": {"type": "bool", "default": True},
    "supervisor": {"type": "str", "choices": ["patroni"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_KEYS = ("created", "host", "port", "started", "reloaded", "restarted", "pending_restart")


def run(params, check):
    """What the module does: the result's keys, and the `ConfigResult`."""
    present = params["state"] == "present"
    wanted = _wanted(params, params["version"])
    choice = ClusterChoice(
        params["version"],
        params["cluster"],
        params["create"] if present else False,
        params["minimum_version"] if present else 0,
        params["supervisor"] or "",
        checked_portal(params["portal"]),
        int((wanted.settings or {}).get("port") or 0) or None,
        Login(params["login_user"], params["login_password"], params["login_db"]),
    )
    with current_config(detect(), choice, may_be_missing=not present, bare_host=check) as current:
        if current.exists:
            wanted = supervised(_wanted(params, current.cluster.version), current.cluster)
            wanted = _with_loopback(wanted, params["password_user"], params["portal"], current.files.access)
        encryption = Encryption(
            params["encrypted_users"] or (), params["require_encryption"], params["client_certificates"] or ""
        )
        wanted = encrypted(wanted, current, encryption, wait=not check)
        change = plan(current, wanted)
        done = change.preview() if check else change.apply()
        online = wanted.online if current.exists else present and not check
        status = "online" if online or current.cluster.postmaster() else "down"
        return {
            "changed": done.changed,
            "cluster": _shown(current.cluster, done, status),
            "changes": [asdict(change) for change in done.changes],
            **{name: getattr(done, name) for name in _KEYS},
            **({} if params["encrypted_users"] is None else {"unencrypted_rules": wanted.unencrypted}),
            **_message(current, check, present),
        }, done


def _wanted(params, version):
    if params["state"] == "absent":
        return WantedConfig({}, [], present=False, online=False, restart=params["restart"])
    settings, rules = params["settings"], params["access_rules"]
    return WantedConfig(
        None if settings is None else normal_settings(settings),
        None if rules is None else access_rules(rules, version),
        at_boot=params["start_at_boot"],
        restart=params["restart"],
        locale=params["locale"],
        initdb_options=params["initdb_options"],
    )


def _with_loopback(wanted, user, portal, access):
    if not wanted.present or wanted.rules is None or not user:
        return wanted
    rest = with_block(access.data or b"", portal, [], adopt=True, path=access.path)
    return replace(wanted, rules=[*wanted.rules, *loopback_rules(rest, user, wanted.rules)])


def _shown(cluster, done, status):
    names = ("name", "owner", "data_directory", "config_directory", "socket_directory")
    shown = {name: getattr(cluster, name) for name in names}
    return {"version": cluster.version or None, "port": done.port, "status": status, **shown}


def _message(current, check, present):
    if current.exists or not (check or not present):
        return {}
    cluster = current.cluster
    what = f"Cluster {cluster.version or 'of the newest version'}/{cluster.name}"
    return {"msg": f"{what} would be created, configured and started." if present else f"{what} does not exist."}


class _Module(AnsibleModule):
    def _log_invocation(self):
        # It logs the repr() of the rules, in which a value may be written otherwise than it is.
        self.no_log_values |= {repr(value)[1:-1] for value in self.no_log_values if isinstance(value, str)}
        super()._log_invocation()


@contextmanager
def _named(prefix):
    """Errors name options as O(x); a role's user knows them as variables with the role's prefix."""
    try:
        yield
    except CollectionError as error:
        raise CollectionError(option_names(str(error), prefix)) from error


def main():
    module = _Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    prefix = module.params["variable_prefix"]
    with reported_by(module), _named(prefix):
        result, done = run(module.params, module.check_mode)
    for warning in done.warnings:
        module.warn(option_names(warning, prefix))
    if module._diff:
        result["diff"] = done.shown("{version}/{name}".format(**result["cluster"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
