#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller, by the action plugin of this name.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backstage_preflight
short_description: Validate variables and hosts before anything changes
version_added: 1.0.0
description:
  - Checks on the controller, without a call to the host, what the roles of this collection are given.
  - Reports all problems in one failure, each in one sentence that names the variable.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes.info_module
  - action_common_attributes.flow
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
options:
  scope:
    description:
      - Part of the configuration that is about to change.
      - V(host) validates the variables of all roles, and queries the host. The other values also validate what one role
        is to do there.
    type: str
    choices: [host, database, container, app, tls]
    required: true
  password:
    description: The password of the database user; for the database's side also a SCRAM-SHA-256 verifier.
    type: str
  user:
    description: The database user. Required unless O(scope=host).
    type: str
  host:
    description: Where the app finds the database. Of use with O(scope=app).
    type: str
  port:
    description: The server's TCP port; without it the cluster's own is used.
    type: raw
  credentials:
    description: How Backstage gets the password. Of use with O(scope=app).
    type: str
    choices: [env, literal, file]
    default: env
  variables:
    description: What the env file is to hold, name to value. Of use with O(scope=app).
    type: dict
    default: {}
  env_format:
    description: The format of the env file. Of use with O(scope=app).
    type: str
    default: dotenv
  iterations:
    description: Iterations of the password's verifier. Of use with O(scope=database) and O(scope=app).
    type: int
  version:
    description: The major version of PostgreSQL asked for, or an empty text. Of use with O(scope=database).
    type: str
    default: ""
  repository:
    description: Where PostgreSQL's packages come from. Of use with O(scope=database).
    type: str
    choices: [distribution, pgdg]
    default: distribution
  repository_url:
    description: Base URL of a mirror of O(repository=pgdg).
    type: str
    default: ""
  repository_key:
    description: The text of the key that signs the packages of O(repository=pgdg).
    type: str
    default: ""
  listen_addresses:
    description:
      - The addresses that the server is to listen on. Of use with O(scope=database) and O(scope=container).
      - Loopback alone is rejected if the group C(backstage) has hosts that must reach the server from elsewhere.
    type: list
    elements: str
  cluster:
    description: Name of the cluster. Of use with O(scope=database).
    type: str
    default: main
  create:
    description:
      - Whether a second cluster is meant if O(version) is newer than the version of an existing O(cluster), which is
        rejected otherwise. Of use with O(scope=database).
    type: bool
    default: false
  tls:
    description: What the role C(backstage_postgresql_tls) is given. Required with O(scope=tls).
    type: dict
    suboptions:
      certificate:
        description: Certificate of the server, as PEM text or as the path of a file on the control node.
        type: str
        default: ""
      private_key:
        description: Its private key, in the same form.
        type: str
        default: ""
      ca:
        description: CA certificates that clients trust, in the same form.
        type: str
        default: ""
      ca_directory:
        description: Directory on the control node with the CA.
        type: str
        required: true
      ca_passphrase:
        description: Passphrase of the CA's private key.
        type: str
        default: ""
      names:
        description: Host names and addresses by which clients reach the server.
        type: list
        elements: str
        required: true
      days:
        description: Days that a certificate is valid.
        type: int
        required: true
      renew_days:
        description: A certificate that ends within this many days is renewed.
        type: int
        required: true
      clients:
        description: App hosts of which the server demands a client certificate.
        type: list
        elements: dict
        default: []
        suboptions:
          host:
            description: Inventory name of the app host.
            type: str
            required: true
          certificate:
            description: Client certificate that the user gives, as PEM text or as a file on the control node.
            type: str
            default: ""
          private_key:
            description: Its private key, in the same form.
            type: str
            default: ""
  probe:
    description: Value of RV(probe) from another task of the same run, so that the host is not queried again.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Validate the variables of all roles, and query the host
  devportal.backstage.backstage_preflight:
    scope: host
  register: preflight

- name: Validate the app host
  devportal.backstage.backstage_preflight:
    scope: app
    credentials: env
    host: db1.example.com
    port: 5432
    user: backstage
    password: "{{ backstage_postgresql_password }}"
"""

RETURN = r"""
queried:
  description: Whether this task queried the host. It does not where O(probe) has the answer.
  returned: when the variables are valid
  type: bool
  sample: true
probe:
  description: Answer of the host to the query for its system, PostgreSQL, packages and the user that tasks run as.
  returned: when the variables are valid
  type: str
  sample: "devportal:uid 0"
problems:
  description: What is wrong, a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
packages:
  description: The packages that the host lacks for this O(scope).
  returned: when nothing is wrong
  type: list
  elements: str
  sample: [postgresql, python3-psycopg2]
repository:
  description: Where the packages of O(repository=pgdg) are.
  returned: with O(repository=pgdg), when nothing is wrong
  type: dict
  sample:
    url: https://apt.postgresql.org/pub/repos/apt
    suite: trixie-pgdg
    library: true
package_manager:
  description: What installs packages on the host, for M(devportal.backstage.backstage_packages); empty if unknown.
  returned: always
  type: str
  sample: apt
"""
