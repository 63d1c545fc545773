# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS between a real Backstage and its database, in the order of this file."""

from __future__ import annotations

import os
import pathlib
import re

import pytest
from ansible_collections.devportal.backstage.molecule.day_two.tests.portal import ENTITIES, FILES, Portal, serial
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import ask
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

CA_DIRECTORY = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "ca"
BLOCK = """
      ssl:
        ca:
          $file: /etc/backstage-postgresql-tls/ca.crt
        rejectUnauthorized: true
"""
SESSIONS = """
SELECT a.pid, s.ssl, s.version FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
WHERE a.usename = 'backstage' AND a.client_addr IS NOT NULL AND a.pid <> pg_backend_pid()
"""
# A session that works without a break until its file goes, and then reports how it went.
CLIENT = """
import json, os, psycopg2, sys, time
connection = psycopg2.connect(**json.loads(sys.argv[1]))
connection.autocommit = True
count = 0
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_backend_pid()")
    first = cursor.fetchone()
    open(sys.argv[2], "w").close()
    while os.path.exists(sys.argv[2]):
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == first
        count += 1
        time.sleep(0.05)
print(count, file=open(sys.argv[2] + ".done", "w"))
"""


@pytest.fixture(scope="module")
def portal(hosts):
    return Portal(hosts)


def sessions(portal):
    """The sessions of Backstage, by process ID."""
    rows = (row.split("|") for row in portal.sql(SESSIONS))
    return {pid: (encrypted, version) for pid, encrypted, version in rows}


def changed(done):
    return [int(count) for count in re.findall(r"changed=(\d+)", done.stdout.partition("PLAY RECAP")[2])]


def test_the_catalog_is_in_the_database(portal):
    assert portal.uids().keys() == ENTITIES


def test_backstage_reads_the_block_and_uses_tls(portal):
    text = portal.app.file("/srv/backstage/app-config.production.yaml").content_string
    assert text.count(BLOCK) == 1
    found = sessions(portal)
    assert found
    assert {encrypted for encrypted, _version in found.values()} == {"True"}
    assert {version for _encrypted, version in found.values()} <= {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("place", ["app", "database"])
def test_a_plain_connection_is_rejected(portal, place):
    address = portal.server["ansible_host"] if place == "app" else "127.0.0.1"
    plain = {"host": address, "sslmode": "disable"}
    with pytest.raises(AssertionError, match=r"pg_hba\.conf rejects connection .* no encryption"):
        ask(getattr(portal, place), portal.server, "SELECT 1", **plain)
    ca = f"{FILES}/ca.crt"
    login = {"sslmode": "verify-full", "sslrootcert": ca, "channel_binding": "require"}
    login["host"] = portal.server["ansible_host"]
    assert ask(portal.app, portal.server, "SELECT 1", **login) == ["1"]


def test_an_old_protocol_is_not_allowed(portal):
    query = "runuser -u postgres -- psql -XAtc 'SHOW ssl_min_protocol_version'"
    assert portal.database.check_output(query) == "TLSv1.2"


def test_only_the_rules_of_the_portal_changed(portal):
    text = portal.database.check_output("cat /etc/postgresql/*/main/pg_hba.conf")
    block = [line for line in text.splitlines() if not line.startswith("#")][:2]
    assert block == ["hostssl\tall\tall\tsamenet\tscram-sha-256", "hostnossl\tall\tbackstage\tall\treject"]


@pytest.mark.parametrize(
    ("place", "name", "owner", "mode"),
    [
        ("database", "server.key", "postgres", 0o600),
        ("database", "server.crt", "root", 0o644),
        ("database", "ca.crt", "root", 0o644),
        ("app", "ca.crt", "root", 0o644),
    ],
)
def test_files_have_their_owner_and_mode(portal, place, name, owner, mode):
    file = getattr(portal, place).file(f"{FILES}/{name}")
    assert (file.user, file.mode) == (owner, mode)


def test_the_key_of_the_ca_stays_on_the_control_node_and_that_of_the_server_on_its_host(portal):
    key, certificate = CA_DIRECTORY / "ca.key", CA_DIRECTORY / "ca.crt"
    assert {path.name: path.stat().st_mode & 0o777 for path in CA_DIRECTORY.iterdir()} == {
        "ca.key": 0o600,
        "ca.crt": 0o644,
    }
    assert CA_DIRECTORY.stat().st_mode & 0o777 == 0o700
    # The second line of a key is in no other file; that of the certificate shows that the search finds what is there.
    ca_line, found_line = key.read_text().splitlines()[1], certificate.read_text().splitlines()[1]
    server_line = portal.database.file(f"{FILES}/server.key").content_string.splitlines()[1]
    for host, there, foreign in (
        (portal.database, [server_line, found_line], [ca_line]),
        (portal.app, [found_line], [ca_line, server_line]),
    ):
        for line in [*there, *foreign]:
            command = "grep -rlF --devices=skip -e %s /etc /var /root /srv /home /run /tmp /opt 2>/dev/null"
            places = host.run(command, line).stdout.split()
            assert bool(places) == (line in there), places
        journal = host.run("journalctl --all --output=export --no-pager").stdout
        assert ca_line not in journal
        assert server_line not in journal
    for path in CA_DIRECTORY.parent.rglob("*"):
        if path.is_file() and path != key:
            data = path.read_bytes()
            assert ca_line.encode() not in data
            assert server_line.encode() not in data


def test_a_certificate_is_renewed_and_no_connection_is_dropped(portal):
    before, since = serial(portal), portal.app.check_output("date '+%Y-%m-%d %H:%M:%S'")
    process = portal.app.check_output("systemctl show -P MainPID backstage")
    login = {
        "host": portal.server["ansible_host"],
        "user": "backstage",
        "password": portal.server["backstage_postgresql_password"],
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": f"{FILES}/ca.crt",
    }
    flag = "/tmp/session"
    portal.start(CLIENT, login, flag)
    done = portal.run("devportal.backstage.renew_certificates", backstage_postgresql_tls_renew=True)
    assert sum(changed(done)) > 0
    assert "PRIVATE KEY" not in done.stdout
    assert serial(portal) != before
    assert portal.stop(flag) > 0
    # Backstage's pools close what was idle, so that its process IDs do not show it; its log would.
    assert "onnection terminated" not in portal.app.check_output("journalctl -u backstage -o cat --since %s", since)
    assert portal.app.check_output("systemctl show -P MainPID backstage") == process
    assert portal.uids().keys() == ENTITIES


def test_a_certificate_that_lacks_a_name_is_issued_anew(portal):
    names = [portal.server["ansible_host"], "127.0.0.1", "db.example.com"]
    done = portal.run("devportal.backstage.renew_certificates", backstage_postgresql_tls_names=names)
    assert sum(changed(done)) > 0
    text = portal.database.check_output(f"openssl x509 -noout -ext subjectAltName -in {FILES}/server.crt")
    assert "db.example.com" in text


def test_a_certificate_of_another_ca_is_not_replaced_by_accident(portal, tmp_path):
    before = serial(portal)
    other = {"backstage_postgresql_tls_ca_directory": str(tmp_path / "another")}
    done = portal.fails("devportal.backstage.renew_certificates", **other)
    assert "did not issue the certificate /etc/backstage-postgresql-tls/server.crt of database" in done.stdout
    assert serial(portal) == before


CERTIFIED = {"backstage_postgresql_tls_client_certificates": True}
SHOWN = {"sslcert": f"{FILES}/client.crt", "sslkey": f"{FILES}/client.key"}
SERIALS = """
SELECT DISTINCT s.client_serial FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
WHERE a.usename LIKE 'backstage%' AND a.client_addr IS NOT NULL AND a.application_name <> 'the test'
"""


# Whether it may log in, and its verifier.
FORMER = "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'backstage_a'"


def rules(portal):
    """The rules of the portal's block."""
    text = portal.database.check_output("cat /etc/postgresql/*/main/pg_hba.conf")
    block = text.partition("# BEGIN devportal.backstage")[2].partition("# END")[0]
    return [line for line in block.splitlines()[1:] if line and not line.startswith("#")]


def serials(portal):
    """Those of the certificates that Backstage showed in its sessions."""
    query = "runuser -u postgres -- psql -XAtc %s"
    return set(portal.database.check_output(query, " ".join(SERIALS.split())).splitlines())


def client_serial(portal):
    """Of the certificate in the file, as PostgreSQL shows it."""
    text = portal.app.check_output(f"openssl x509 -noout -serial -in {FILES}/client.crt")
    return str(int(text.partition("=")[2], 16))


def state(portal):
    """What turning client certificates on changes."""
    files = portal.app.check_output(f"ls -l --full-time {FILES} /srv/backstage/app-config.production.yaml")
    return rules(portal), files, portal.app.check_output("systemctl show -P MainPID backstage"), serial(portal)


def test_check_mode_shows_client_certificates_and_changes_nothing(portal):
    before = state(portal)
    done = portal.run("devportal.backstage.site", "--check", "--diff", **CERTIFIED)
    assert state(portal) == before
    for shown in (f"$file: {FILES}/client.crt", f"$file: {FILES}/client.key"):
        assert re.search(rf"^\+ +{re.escape(shown)}", done.stdout, re.M), shown
    demand = (
        r"ends with a demand of TLS and a client certificate \(clientcert=verify-ca\) in these access rules.*samenet"
    )
    assert re.search(demand, done.stdout)
    assert all(count > 0 for count in changed(done))


def test_client_certificates_are_demanded_once_every_app_has_one(portal):
    done = portal.run(**CERTIFIED)
    assert "PRIVATE KEY" not in done.stdout
    text = portal.app.file("/srv/backstage/app-config.production.yaml").content_string
    shown = f"        cert:\n          $file: {FILES}/client.crt\n        key:\n          $file: {FILES}/client.key\n"
    assert text.count(BLOCK + shown) == 1
    demanded = "scram-sha-256\tclientcert=verify-ca"
    assert rules(portal) == [
        f"hostssl\tall\tall\tsamenet\t{demanded}",
        f"hostssl\tall\tbackstage\tsamehost\t{demanded}",
        "hostnossl\tall\tbackstage\tall\treject",
        "hostssl\tall\tbackstage\tall\treject",
    ]
    key = portal.app.file(f"{FILES}/client.key")
    assert (key.user, key.mode) == ("backstage", 0o600)
    portal.wait()
    assert serials(portal) == {client_serial(portal)}
    assert portal.uids(**SHOWN).keys() == ENTITIES
    # The key was created on the app host and is nowhere else.
    line = key.content_string.splitlines()[1]
    for host, there in ((portal.app, True), (portal.database, False)):
        command = "grep -rlF --devices=skip -e %s /etc /var /root /srv /home /run /tmp /opt 2>/dev/null"
        assert bool(host.run(command, line).stdout) is there
    assert not [
        path for path in CA_DIRECTORY.parent.rglob("*") if path.is_file() and line.encode() in path.read_bytes()
    ]


def test_a_client_without_a_certificate_is_rejected(portal):
    login = {"host": portal.server["ansible_host"], "sslmode": "verify-full", "sslrootcert": f"{FILES}/ca.crt"}
    assert ask(portal.app, portal.server, "SELECT 1", **login, **SHOWN) == ["1"]
    for machine, address in ((portal.app, login["host"]), (portal.database, "127.0.0.1")):
        with pytest.raises(AssertionError, match="requires a valid client certificate"):
            ask(machine, portal.server, "SELECT 1", **{**login, "host": address})
    # The server's own certificate is not one for clients.
    own = {"sslcert": f"{FILES}/server.crt", "sslkey": f"{FILES}/server.key", "host": "127.0.0.1"}
    with pytest.raises(AssertionError, match="alert unsupported certificate"):
        ask(portal.database, portal.server, "SELECT 1", **{**login, **own})


def test_a_second_run_with_client_certificates_changes_nothing(portal):
    assert set(changed(portal.run(**CERTIFIED))) == {0}


def test_a_client_certificate_is_renewed_and_no_connection_is_dropped(portal):
    before, since = client_serial(portal), portal.app.check_output("date '+%Y-%m-%d %H:%M:%S'")
    process = portal.app.check_output("systemctl show -P MainPID backstage")
    done = portal.run("devportal.backstage.renew_certificates", backstage_postgresql_tls_renew=True, **CERTIFIED)
    assert "reads its client certificate at its start" in done.stdout
    assert client_serial(portal) != before
    assert "onnection terminated" not in portal.app.check_output("journalctl -u backstage -o cat --since %s", since)
    assert portal.app.check_output("systemctl show -P MainPID backstage") == process
    # Backstage has read the former certificate at its start, and shows it in new connections, too.
    assert portal.uids(**SHOWN).keys() == ENTITIES
    assert serials(portal) <= {before}
    # site.yml restarts a Backstage that is older than its files.
    portal.run(**CERTIFIED)
    assert portal.app.check_output("systemctl show -P MainPID backstage") != process
    assert portal.uids(**SHOWN).keys() == ENTITIES
    assert serials(portal) == {client_serial(portal)}


def test_client_certificates_are_turned_off_again(portal):
    portal.run()
    assert rules(portal) == ["hostssl\tall\tall\tsamenet\tscram-sha-256", "hostnossl\tall\tbackstage\tall\treject"]
    assert portal.app.file("/srv/backstage/app-config.production.yaml").content_string.count(BLOCK) == 1
    assert portal.app.check_output(f"ls {FILES}").split() == ["ca.crt"]
    assert portal.uids().keys() == ENTITIES
    assert set(changed(portal.run())) == {0}


@pytest.fixture(scope="module")
def given(portal, tmp_path_factory):
    """The variables of certificates of the user's own, of the server and of the app host, as files and as text."""
    folder = tmp_path_factory.mktemp("given")
    authority = Authority("Given")
    server, client = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [portal.server["ansible_host"], "database", "localhost", "127.0.0.1", "::1"]
    certificate = pem(authority.sign("db", server, names, usages=[ExtendedKeyUsageOID.SERVER_AUTH]))
    shown = pem(authority.sign("portal", client, [], usages=[ExtendedKeyUsageOID.CLIENT_AUTH]))
    files = {"server.crt": certificate, "server.key": key_pem(server), "ca.crt": authority.pem, "client.crt": shown}
    for name, text in files.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(text)
    prefix = "backstage_postgresql_tls"
    return {
        **CERTIFIED,
        f"{prefix}_ca_directory": str(folder / "created"),
        f"{prefix}_certificate": str(folder / "server.crt"),
        f"{prefix}_private_key": str(folder / "server.key"),
        f"{prefix}_ca": str(folder / "ca.crt"),
        f"{prefix}_client_certificate": str(folder / "client.crt"),
        f"{prefix}_client_private_key": key_pem(client),
    }


def test_certificates_of_the_user_take_the_place_of_those_of_the_ca(portal, given):
    before = serial(portal)
    done = portal.run(**given)
    assert "PRIVATE KEY" not in done.stdout
    assert serial(portal) != before
    issuer = portal.app.check_output(f"openssl x509 -noout -issuer -in {FILES}/client.crt")
    assert issuer.endswith("Given")
    assert portal.uids(**SHOWN).keys() == ENTITIES
    assert serials(portal) == {client_serial(portal)}
    verified = portal.run("devportal.backstage.verify", **given)
    assert re.search(r"ok +tls +TLSv1\.[23], the certificate of the server is valid until 20[0-9-]+", verified.stdout)
    # No CA was created for them, and they are as they were given.
    assert not pathlib.Path(given["backstage_postgresql_tls_ca_directory"]).exists()
    for machine, name in ((portal.database, "server.key"), (portal.database, "server.crt"), (portal.app, "client.crt")):
        text = pathlib.Path(given["backstage_postgresql_tls_ca"]).with_name(name).read_text()
        assert machine.file(f"{FILES}/{name}").content_string.endswith(text)


def test_two_users_take_turns_with_client_certificates(portal, given):
    uids = portal.uids(**SHOWN)
    for user in ("backstage_a", "backstage_b"):
        login = {"backstage_postgresql_user": user, "backstage_postgresql_owner": "backstage"}
        done = portal.run("devportal.backstage.rotate_password", **given, **login)
        assert "PRIVATE KEY" not in done.stdout
        assert portal.uids(user=user, **SHOWN) == uids
        assert serials(portal) == {client_serial(portal)}
        bare = {"host": portal.server["ansible_host"], "sslmode": "require", "user": user}
        with pytest.raises(AssertionError, match="requires a valid client certificate"):
            ask(portal.app, portal.server, "SELECT 1", **bare)
    former = portal.database.check_output("runuser -u postgres -- psql -XAtc %s", FORMER)
    assert former.splitlines() == ["backstage_a|f|"]
    # Nor are the certificates that were given changed by a second run.
    assert set(changed(portal.run(**given, **login))) == {0}
