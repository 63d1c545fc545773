# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Which cluster of the host is meant; goes with _postgresql.cluster.cluster_argument_spec.
    DOCUMENTATION = r"""
options:
  version:
    description:
      - Major version of the cluster, for example V(17).
      - "Default: the version of the only cluster named O(cluster), or of the only one of that name that is online."
    type: int
  cluster:
    description: Name of the cluster, as C(pg_lsclusters) shows it.
    type: str
    default: main
  login_user:
    description:
      - Database user with the SUPERUSER attribute, with whom the module queries the server through its socket.
      - "Default: the name of the cluster's owner."
    type: str
  login_password:
    description: Password of O(login_user), if C(pg_hba.conf) requires one on the socket.
    type: str
  variable_prefix:
    description:
      - Prefix of option names in error messages. A role sets it so that messages name the role's variables.
    type: str
    default: ""
requirements:
  - python3-psycopg2
notes:
  - Run it as root.
"""
