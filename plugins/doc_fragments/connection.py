# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Goes with connection_argument_spec() in module_utils/_postgresql/connection.py.
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name or address of the server.
      - Left empty, the connection goes through the server's Unix-domain socket. A path is the directory of the socket.
    type: str
    default: ""
  login_port:
    description: Port of the server, also in the name of its socket.
    type: int
    default: 5432
  login_user:
    description: Role to log in as.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user).
    type: str
  login_unix_socket:
    description:
      - Directory of the server's socket, for an empty O(login_host).
      - Left out, it is C(/var/run/postgresql), or C(/tmp) where only that has a socket of O(login_port).
    type: path
  login_db:
    description: Database to connect to.
    type: str
    default: postgres
  ssl_mode:
    description: How TLS is used, as libpq's C(sslmode). V(verify-full) with O(ca_cert) is the one that is safe.
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File on the host with the certificates of the authorities that the server's certificate may come from.
    type: path
  connect_timeout:
    description: Seconds to wait for a connection, for each address of O(login_host).
    type: int
    default: 15
  os_user:
    description:
      - OS user to be for the server's peer authentication. Only the connect call runs as this user.
      - It counts when the module runs as root and connects through the socket.
      - Left out, it is the OS user of the same name as O(login_user), where there is one.
    type: str
notes:
  - The environment variables of libpq (C(PGHOST), C(PGPASSWORD) and so on), password files and service files are not
    read.
requirements:
  - psycopg2 (Debian's package C(python3-psycopg2))
"""
