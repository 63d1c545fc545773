# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What settings name on the file system."""

from __future__ import annotations

import os
import pwd

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.setting_places import check_places
from clusters import make_cluster

# The owner of the cluster; where root runs the tests, a user who may not read what is root's.
USER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


@pytest.fixture
def cluster(tmp_path):
    os.chmod(tmp_path, 0o755)
    for above in tmp_path.parents[:2]:
        os.chmod(above, 0o755)
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, USER.pw_uid, USER.pw_gid)
    return make_cluster(15, uid=USER.pw_uid, owner=USER.pw_name, data_directory=str(data))


def check(cluster, ssl=True, collector=True, **settings):
    check_places(cluster, settings, ssl=ssl, collector=collector)


def rejected(cluster, **settings):
    with pytest.raises(CollectionError) as raised:
        check(cluster, **settings)
    return str(raised.value)


def test_directories_of_sockets(cluster):
    check(cluster, unix_socket_directories=f'/var/run/postgresql, "{cluster.data_directory}", @abstract')
    check(cluster, unix_socket_directories="")
    text = rejected(cluster, unix_socket_directories="/run/postgresql,/nowhere/sockets")
    assert "unix_socket_directories needs the directory /nowhere/sockets, which is missing." in text
    assert f"Create it for {USER.pw_name}" in text


def test_directory_of_logs(cluster):
    check(cluster, log_directory="log")
    check(cluster, log_directory="/nowhere/below/log", collector=False)
    assert "needs the directory /nowhere/below, which is missing" in rejected(
        cluster, log_directory="/nowhere/below/log"
    )
    assert f"needs the directory {cluster.data_directory}/a, which" in rejected(cluster, log_directory="a/b")


def test_certificates(cluster):
    check(cluster, ssl=False, ssl_cert_file="/nowhere/server.crt")
    assert "ssl_cert_file names /nowhere/server.crt, which is missing" in rejected(
        cluster, ssl_cert_file="/nowhere/server.crt"
    )
    assert f"ssl_key_file names {cluster.data_directory}/a.key" in rejected(cluster, ssl_key_file="a.key")


@pytest.mark.skipif(os.geteuid() != 0, reason="a file that the owner of the cluster may not read needs root")
def test_what_the_owner_of_the_cluster_may_not_open(cluster, tmp_path):
    key, closed = tmp_path / "server.key", tmp_path / "closed"
    key.touch(0o600)
    closed.mkdir(0o755)
    assert "which nobody may not read" in rejected(cluster, ssl_key_file=str(key))
    assert "which nobody may not write to" in rejected(cluster, unix_socket_directories=str(closed))


def test_group(cluster):
    check(cluster, unix_socket_group="root")
    check(cluster, unix_socket_group="4711")
    assert 'unix_socket_group = "no-such": this host has no such group.' in rejected(
        cluster, unix_socket_group="no-such"
    )
