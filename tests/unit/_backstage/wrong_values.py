# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of wrong values: each variable of the roles with what it must not be. Right ones stand beside them."""

from __future__ import annotations

NEVER_STRINGS = [{}, {"a": 1}, [], ["a"], True, 1.5, None]
CHARACTERS = ["a\nb", "a\0b", "a\u202eb", "a\u2066b", "a\ud800b", "a\x1bb", "a\u2028b"]
LONG = "x" * 64
WIDE = "ü" * 32  # 64 bytes

_NAMES = ["", "  ", " a", "a ", LONG, WIDE]
_PATHS = ["", "relative/path", "/a/../b", "/" + "x" * 300, "/" + "x/" * 2100]
_FILES = ["", "folder/"]
_NOT_LISTS = ["a,b", {"a": 1}, 5, True, None]
_NOT_DICTIONARIES = ["a", ["a"], 5, True, None]
_NOT_BOOLS = ["maybe", "", 2, [], {}, None, 1.5]
_NOT_INTS = ["abc", "", 1.5, True, [], {}, None, "1e3", "٣"]
_OS_NAMES = ["", "a b", "a:b", "../a", "-a", "x" * 40, "a/b"]
_VARIABLES = ["", "1A", "A-B", "A B", "A.B", "Ä"]
_HOSTS = ["", "  ", "http://db", "db:5432", "a b", "300.1.1.1", "1.2.3", "db_ä", "-db", "::g", "relative/socket/"]
_DOCKER = ["", "a", "-a", "a/b", "a b", "ä" * 3]
_ENVIRONMENT = [*_NOT_DICTIONARIES, {"A B": "x"}, {"1A": "x"}, {"A": None}, {"A": {"b": 1}}, {"A": ["b"]}, {"": "x"}]

WRONG = {
    "backstage_app_config_directory": [*NEVER_STRINGS, 5, *CHARACTERS, *_PATHS],
    "backstage_app_config_ca": [*NEVER_STRINGS, "a\nb", "a\0b", " ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN X"],
    "backstage_app_config_credentials": [*NEVER_STRINGS, "vault", "ENV", ""],
    "backstage_app_config_path": [*NEVER_STRINGS, *CHARACTERS],
    "backstage_app_config_files": [*_NOT_LISTS, [1], [None], [["a"]], ["a\nb"], [""]],
    "backstage_app_config_env_file": [*NEVER_STRINGS, *CHARACTERS, *_PATHS],
    "backstage_app_config_password_file": [*NEVER_STRINGS, *CHARACTERS, *_FILES],
    "backstage_app_config_env_format": [*NEVER_STRINGS, "toml"],
    "backstage_app_config_environment": _ENVIRONMENT,
    "backstage_app_config_require_auth": ["scram", "SCRAM-SHA-256", "scram-sha-256 md5", "md5,x", ["md5"], {"a": 1}],
    "backstage_app_config_plugins": [*_NOT_LISTS, ["a b"], [""], [{}], ["a\n"]],
    "backstage_app_config_owner": [*NEVER_STRINGS, *CHARACTERS, *_OS_NAMES],
    "backstage_app_config_group": [*NEVER_STRINGS, *_OS_NAMES],
    "backstage_app_config_host_variable": [*NEVER_STRINGS, *_VARIABLES],
    "backstage_app_config_port_variable": _VARIABLES,
    "backstage_app_config_user_variable": _VARIABLES,
    "backstage_app_config_password_variable": _VARIABLES,
    "backstage_app_config_host": [*NEVER_STRINGS, *CHARACTERS, *_HOSTS],
    "backstage_app_config_port": ["abc", "", 0, 65536, -1, 1.5, True, [], {}, None, "5432x"],
    "backstage_app_config_user": [*NEVER_STRINGS, *CHARACTERS, *_NAMES, "pg_read_all_data", "public"],
    "backstage_app_config_password": [*NEVER_STRINGS, 12345, *CHARACTERS, ""],
    "backstage_app_config_database": [*_NOT_DICTIONARIES, {1: "a"}, {"a": "\u202e"}, {"a\n": 1}],
    "backstage_app_config_backup": _NOT_BOOLS,
    "backstage_app_config_allow_tracked": _NOT_BOOLS,
    "backstage_app_config_lock_timeout": [*_NOT_INTS, -1],
    "backstage_database_provider": [*NEVER_STRINGS, "docker", "package", ""],
    "backstage_postgresql_host": [*NEVER_STRINGS, *CHARACTERS, *_HOSTS],
    "backstage_postgresql_password": [*NEVER_STRINGS, 12345, *CHARACTERS, "", "SCRAM-SHA-256$x"],
    "backstage_postgresql_user": [*NEVER_STRINGS, *CHARACTERS, *_NAMES, "pg_monitor", "none"],
    "backstage_postgresql_owner": [*NEVER_STRINGS, *CHARACTERS, "  ", LONG, WIDE, "pg_monitor", "postgres"],
    "backstage_postgresql_role_attr_flags": [
        *_NOT_LISTS, ["LOGINN"], [{}], ["NOLOGIN"], ["LOGIN", "NOLOGIN"], ["CREATEDB", "NOCREATEDB"], ["PASSWORD 'x'"],
    ],
    "backstage_postgresql_iterations": [*_NOT_INTS, 0, -1, 10**9],
    "backstage_postgresql_ha": _NOT_BOOLS,
    "backstage_postgresql_ha_address": [*NEVER_STRINGS, "", "db1.example.com", "10.0.0.300", "10.0.0.1/24"],
    "backstage_postgresql_ha_network": [*NEVER_STRINGS, "10.0.0.1/24", "10.0.0.0/33", "lan"],
    "backstage_postgresql_ha_replication_password": [*NEVER_STRINGS, *CHARACTERS, " a", "a "],
    "backstage_postgresql_ha_rewind_password": [*NEVER_STRINGS, *CHARACTERS, " a", "a "],
    "backstage_postgresql_ha_api_password": [*NEVER_STRINGS, *CHARACTERS, " a", "a "],
    "backstage_postgresql_ha_synchronous": _NOT_BOOLS,
    "backstage_postgresql_ha_ttl": [*_NOT_INTS, 0, 19, -1],
    "backstage_postgresql_ha_loop_wait": [*_NOT_INTS, 0, -1],
    "backstage_postgresql_ha_retry_timeout": [*_NOT_INTS, 0, 2, -1],
    "backstage_postgresql_ha_etcd_hosts": [*_NOT_LISTS, ["10.0.0.1"], ["http://10.0.0.1:2379"], [""], [{}]],
    "backstage_postgresql_proxy_port": [*_NOT_INTS, 0, 65536, -1],
    "backstage_postgresql_tls": _NOT_BOOLS,
    "backstage_postgresql_tls_ca_directory": [*NEVER_STRINGS, *CHARACTERS, *_PATHS],
    "backstage_postgresql_tls_ca_passphrase": [*NEVER_STRINGS, *CHARACTERS],
    "backstage_postgresql_tls_ca_days": [*_NOT_INTS, 0, -1],
    "backstage_postgresql_tls_days": [*_NOT_INTS, 0, -1],
    "backstage_postgresql_tls_renew_days": [*_NOT_INTS, -1],
    "backstage_postgresql_tls_names": [*_NOT_LISTS, [""], ["a b"], ["db:5432"], [{}]],
    "backstage_postgresql_tls_certificate": [*NEVER_STRINGS, "a\0b", "a\u202eb"],
    "backstage_postgresql_tls_private_key": [*NEVER_STRINGS, "a\0b"],
    "backstage_postgresql_tls_ca": [*NEVER_STRINGS, "a\0b"],
    "backstage_postgresql_tls_directory": [*NEVER_STRINGS, *CHARACTERS, *_PATHS],
    "backstage_postgresql_tls_owner": [*NEVER_STRINGS, *CHARACTERS, *_OS_NAMES],
    "backstage_postgresql_version": [*NEVER_STRINGS, "9.6", "13", "99", "seventeen", "17.2"],
    "backstage_postgresql_repository": ["debian", "", {}, None],
    "backstage_postgresql_repository_url": ["ftp://x", "example.com", {}, None],
    "backstage_postgresql_lock_timeout": [*_NOT_INTS, -1],
    "backstage_postgresql_cluster": [*NEVER_STRINGS, *CHARACTERS, "a-b", "a b", "../a", "", LONG],
    "backstage_postgresql_port": [*_NOT_INTS, 0, 65536, -1],
    "backstage_postgresql_listen_addresses": [
        *_NOT_LISTS, ["a b"], ["300.1.1.1"], ["localhost:5432"], [""], [{}], ["localhost\n"], ["a,b"],
    ],
    "backstage_postgresql_settings": [
        *_NOT_DICTIONARIES, {"no such": 1}, {"data_directory": "/x"}, {"include": "x"}, {"port": 0}, {"port": "abc"},
        {"work_mem": {"a": 1}}, {"a\n": 1}, {1: "a"}, {"work_mem": "\u202e"},
    ],
    "backstage_postgresql_access_rules": [
        *_NOT_LISTS, ["host all all"], [{"type": "hosts", "address": "all"}], [{"type": "host"}],
        [{"type": "host", "address": "10.0.0.0/33"}], [{"type": "host", "address": "all", "method": "scram"}],
        [{"type": "local", "address": "all"}], [{"type": "host", "address": "all", "usres": ["a"]}],
        [{"type": "host", "address": "all", "users": "a"}], [{"type": "host", "address": "all", "databases": [{}]}],
        [{"type": "host", "address": "all"}, {"type": "host", "address": "all"}],
    ],
    "backstage_postgresql_restart": _NOT_BOOLS,
    "backstage_postgresql_start_at_boot": _NOT_BOOLS,
    "backstage_postgresql_create": _NOT_BOOLS,
    "backstage_postgresql_portal": [*NEVER_STRINGS, *CHARACTERS, "", LONG, WIDE],
    "backstage_postgresql_login_user": [*NEVER_STRINGS, *CHARACTERS, "  ", LONG, WIDE],
    "backstage_postgresql_login_password": [*NEVER_STRINGS],
    "backstage_postgresql_databases": [*_NOT_LISTS, [""], [LONG], ["a", "a"], ["template1"], [{}], ["a\nb"]],
    "backstage_postgresql_container_mode": [*NEVER_STRINGS, "swarm"],
    "backstage_postgresql_container_image": [
        *NEVER_STRINGS, *CHARACTERS, "", "Postgres", "postgres:", "a b", "a@sha256:1",
    ],
    "backstage_postgresql_container_name": [*NEVER_STRINGS, *CHARACTERS, *_DOCKER],
    "backstage_postgresql_container_bind_address": [
        *NEVER_STRINGS, *CHARACTERS, "", "localhost", "300.1.1.1", "1.2.3.4:5",
    ],
    "backstage_postgresql_container_volume": [*NEVER_STRINGS, *_DOCKER],
    "backstage_postgresql_container_data_directory": [*NEVER_STRINGS, *_PATHS],
    "backstage_postgresql_container_directory": [*NEVER_STRINGS, *_PATHS],
    "backstage_postgresql_container_lock_timeout": [*_NOT_INTS, -1],
    "backstage_service_manage": _NOT_BOOLS,
    "backstage_service_name": [*NEVER_STRINGS, *CHARACTERS, "", "a b", "a/b", "backstage.service"],
    "backstage_service_directory": [*NEVER_STRINGS, *CHARACTERS, *_PATHS],
    "backstage_service_command": [*NEVER_STRINGS, *CHARACTERS, "", "node packages/backend", "/usr/bin/node 'a"],
    "backstage_service_config_files": [*_NOT_LISTS, [""], [1], ["a\nb"]],
    "backstage_service_user": [*NEVER_STRINGS, *CHARACTERS, *_OS_NAMES],
    "backstage_service_env_file": [*NEVER_STRINGS, *CHARACTERS, *_PATHS],
    "backstage_service_environment": _ENVIRONMENT,
    "backstage_service_readiness_url": [*NEVER_STRINGS, "", "127.0.0.1:7007", "ftp://x", "http://", "http://a b"],
    "backstage_service_readiness_path": [*NEVER_STRINGS, "", "health", "/a b", "http://x/"],
    "backstage_service_readiness_timeout": [*_NOT_INTS, 0, -1, 10**9],
    # Names that are nobody's.
    "backstage_app_config_values": ["env"],
    "backstage_app_config_pasword": ["x"],
    "backstage_postgresql_pasword": ["x"],
    "backstage_postgresql_listen_adresses": [["*"]],
    "backstage_postgresql_container_port": [5432],
    "backstage_service_mange": [True],
    "backstage_database_providers": ["packages"],
}  # fmt: skip

RIGHT = {
    "backstage_app_config_ca": ["", "/etc/ssl/ca.pem", "-----BEGIN CERTIFICATE-----\nM\n-----END CERTIFICATE-----"],
    "backstage_app_config_directory": ["/opt/backstage", "/srv/ü b", "~backstage/app"],
    "backstage_app_config_path": ["", "app-config.local.yaml", "/etc/x.yaml"],
    "backstage_app_config_files": [[], ["app-config.yaml", "/etc/x.yaml"]],
    "backstage_app_config_environment": [{}, {"NODE_ENV": "production", "N": 1, "DEBUG": True}],
    "backstage_app_config_port": [5432, "5432", 1, 65535],
    "backstage_app_config_owner": ["backstage", "svc_backstage", "1000"],
    "backstage_app_config_database": [{}, {"prefix": "x_", "knexConfig": {"pool": {"min": 1}}}],
    "backstage_app_config_backup": [True, False, "yes", "false", 1, 0],
    "backstage_postgresql_host": ["db1.example.com", "10.0.0.5", "fd00::1", "/var/run/postgresql", "db_1"],
    "backstage_postgresql_password": ["correct horse", "ünï", "a'b\"c$d\\e", "12345"],
    "backstage_postgresql_user": ["backstage", "Backstage User", "bäckstage"],
    "backstage_postgresql_owner": ["", "backstage"],
    "backstage_postgresql_portal": ["backstage", "My portal", "bäckstage"],
    "backstage_postgresql_login_user": ["", "postgres"],
    "backstage_postgresql_role_attr_flags": [["LOGIN", "CREATEDB"], ["login", "noinherit"]],
    "backstage_postgresql_version": ["", "17", 17],
    "backstage_postgresql_port": [5432, "5433"],
    "backstage_postgresql_repository_url": ["", "https://mirror.example.com/pgdg", "file:/srv/mirror"],
    "backstage_postgresql_listen_addresses": [["*"], ["localhost", "10.0.0.5", "::"]],
    "backstage_postgresql_settings": [
        {}, {"work_mem": "64MB", "max_connections": 50, "log_connections": True, "x.y": None},
    ],
    "backstage_postgresql_access_rules": [[], [{"type": "host", "address": "samenet", "users": ["backstage"]}]],
    "backstage_postgresql_ha_address": ["10.0.0.1", "fd00::1"],
    "backstage_postgresql_ha_network": ["", "10.0.0.0/24", "fd00::/64"],
    "backstage_postgresql_ha_api_password": ["", "a secret"],
    "backstage_postgresql_ha_etcd_hosts": [[], ["10.0.0.1:2379"]],
    "backstage_postgresql_proxy_port": [5000],
    "backstage_postgresql_tls_names": [["db.example.com", "10.0.0.5"]],
    "backstage_postgresql_tls_certificate": ["", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"],
    "backstage_postgresql_databases": [[], ["one", "the ü'\"other"]],
    "backstage_postgresql_container_image": [
        "postgres:17.0-bookworm", "registry.example.com:5000/team/postgres:17@sha256:" + "a" * 64, "postgres",
    ],
    "backstage_postgresql_container_bind_address": ["127.0.0.1", "0.0.0.0", "::"],
    "backstage_service_name": ["backstage", "backstage-2", "portal@a"],
    "backstage_service_command": ["/usr/bin/node packages/backend"],
    "backstage_service_user": ["backstage"],
    "backstage_app_config_check": [{"would_start": True}],
    "backstage_app_config_result_of_mine": [{"changed": False, "failed": False}],
}  # fmt: skip
