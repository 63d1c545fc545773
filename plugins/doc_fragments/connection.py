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
      - Host name or address of the server. A path is the directory of the server's Unix-domain socket.
      - "Default: the server's Unix-domain socket."
    type: str
    default: ""
  login_port:
    description: Port of the server, also in the name of its socket.
    type: int
    default: 5432
  login_user:
    description: Database user to log in as.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user).
    type: str
  login_unix_socket:
    description:
      - Directory of the server's socket, for an empty O(login_host).
      - "Default: C(/var/run/postgresql), or C(/tmp) where only that has a socket of O(login_port)."
      - The socket must belong to root, to C(postgres), to O(os_user), or to the owner of a directory in which not
        everybody can create files, and the server must run as that user.
    type: path
  login_db:
    description: Database to connect to.
    type: str
    default: postgres
  ssl_mode:
    description: How TLS is used, as libpq's C(sslmode). Only V(verify-full) with O(ca_cert) proves who the server is.
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File on the host with the certificates of the authorities that the server's certificate may come from.
    type: path
  ssl_cert:
    description: File on the host with the client certificate, for a server that demands one besides the password.
    type: path
  ssl_key:
    description:
      - File on the host with the private key of O(ssl_cert), without passphrase.
      - Only its owner may be able to read it. If root owns it, its group may, too.
    type: path
  require_auth:
    description:
      - Authentication methods that the server may use when O(login_password) is sent over TCP, as libpq's
        C(require_auth), separated by commas, such as V(scram-sha-256,md5). Known are V(scram-sha-256), V(md5),
        V(password), V(gss), V(sspi) and V(none). An empty string allows all.
      - With V(scram-sha-256) alone, the server has to prove that it has the user's verifier, and gets no password.
      - libpq before version 16, as on Debian 12 and Red Hat 9, cannot enforce this without TLS. The module then logs in
        once by itself first, and the server has to prove itself. Somebody in between who passes on this first login and
        answers the second one is not found, and a warning reports this for a server on another host. Set
        O(ssl_mode=verify-full) there.
    type: str
    default: scram-sha-256
  channel_binding:
    description:
      - Whether SCRAM is bound to the TLS connection, as libpq's C(channel_binding).
      - "Default: V(require) when TLS is required by O(ssl_mode) and O(require_auth=scram-sha-256), else V(prefer)."
      - A connection pooler or a TLS proxy in between needs V(prefer).
    type: str
    choices: [disable, prefer, require]
  connect_timeout:
    description: Seconds to wait for a connection, for each address of O(login_host).
    type: int
    default: 15
  os_user:
    description:
      - OS user for the server's peer authentication. Only the connect call runs as this user.
      - Used when the module runs as root and connects through the socket.
      - "Default: the OS user of the same name as O(login_user), if there is one."
    type: str
notes:
  - The environment variables of libpq (C(PGHOST), C(PGPASSWORD) and so on), password files and service files are not
    read.
requirements:
  - psycopg2 (Debian's package C(python3-psycopg2))
"""
