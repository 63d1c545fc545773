# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Backstage on what site.yml made, in the order of this file: the later tests change what the earlier ones saw.

VERIFY_TABLE may name a file for what playbooks/verify.yml prints, from which the README's picture is made.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest
from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import ask, play

SERVICE = pathlib.Path(__file__).parents[1] / "service.yml"
# Generous, since other things may keep the cores busy: a start takes about 5 s of one.
PATIENCE = 240
ENTITIES = {"api:default/example-api", "component:default/example-website", "system:default/examples"}
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


class Site:
    """The two hosts, and what can be asked of them."""

    def __init__(self, hosts):
        self.portal, self.wanted = hosts["portal"]
        self.database, self.server = hosts["database"]
        self.storage = {"dbname": "backstage_plugin_catalog"}

    def become(self, **variables):
        """Run the main playbook with other variables; the tests that follow see that site."""
        done = play("devportal.backstage.site", **variables)
        assert done.returncode == 0, done.stdout[-6000:]
        assert "failed=0" in done.stdout
        return done

    def active(self):
        return self.portal.run("systemctl is-active backstage").stdout.strip()

    def wait(self):
        """Until systemd counts Backstage as started, which is when it is ready."""
        deadline = time.monotonic() + PATIENCE
        while self.active() != "active":
            assert time.monotonic() < deadline, self.portal.run("journalctl -u backstage -n 40 -o cat").stdout
            time.sleep(1)

    def get(self, path):
        done = self.portal.run("python3 -c %s %s", GET, "http://127.0.0.1:7007" + path)
        return json.loads(done.stdout) if done.rc == 0 else []

    def from_backstage(self):
        """The entities of the catalog file by reference, with their uids, as Backstage answers."""
        return {
            f"{each['kind']}:{each['metadata']['namespace']}/{each['metadata']['name']}".lower(): each["metadata"][
                "uid"
            ]
            for each in self.get("/api/catalog/entities")
            if each["kind"] != "Location"
        }

    def from_database(self):
        """The same as the database has them."""
        query = "SELECT entity_ref, entity_id FROM refresh_state WHERE entity_ref NOT LIKE 'location:%'"
        rows = ask(self.database, self.server, query, **self.storage)
        return dict(row.split("|") for row in rows)

    def uids(self):
        """Both, when they agree and are complete."""
        self.wait()
        deadline = time.monotonic() + PATIENCE
        while (found := self.from_backstage()).keys() != ENTITIES:
            assert time.monotonic() < deadline, found
            time.sleep(1)
        assert found == self.from_database()
        return found


@pytest.fixture(scope="module")
def site(hosts):
    return Site(hosts)


@pytest.fixture(scope="module")
def uids(site):
    """The uids before anything was restarted."""
    return site.uids()


def test_backstage_is_ready_and_comes_back_after_a_boot(site):
    assert site.portal.run("systemctl is-enabled backstage").stdout.strip() == "enabled"
    assert site.get("/.backstage/health/v1/readiness") == {"status": "ok"}
    assert site.portal.check_output("stat -c %U /proc/$(systemctl show -P MainPID backstage)") == "backstage"


def test_the_catalog_file_is_in_the_database(uids):
    assert uids.keys() == ENTITIES


def test_the_password_is_not_in_what_anybody_may_read(site):
    password = site.wanted["backstage_postgresql_password"]
    # The unit's template escapes what it writes.
    forms = {password, *(json.dumps(password, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
    for command in (
        "systemctl show backstage; cat /etc/systemd/system/backstage.service",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    ):
        shown = site.portal.check_output(command)
        assert not [form for form in forms if form in shown]


def test_the_table_of_verify(site, uids):
    done = play("devportal.backstage.verify")
    if os.environ.get("VERIFY_TABLE"):
        pathlib.Path(os.environ["VERIFY_TABLE"]).write_text(done.stdout, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    assert "Backstage would start." in done.stdout
    assert "backstage_plugin_catalog: owner backstage" in done.stdout


def test_the_uids_are_the_same_after_a_restart_of_backstage(site, uids):
    site.portal.check_output("systemctl restart --no-block backstage")
    assert site.uids() == uids


def test_the_uids_are_the_same_after_a_restart_of_postgresql(site, uids):
    site.database.check_output("systemctl restart postgresql@17-main")
    assert site.uids() == uids


def test_the_uids_are_the_same_after_a_restart_of_both_hosts(site, uids):
    names = [site.server["ansible_host"], site.wanted["ansible_host"]]
    # The database's host stays away for a while: Backstage does not end when it finds none, and has to be restarted.
    subprocess.run(["docker", "stop", *names], check=True, capture_output=True)
    subprocess.run(["docker", "start", *reversed(names)], check=True, capture_output=True)
    assert site.uids() == uids


def test_a_backstage_older_than_its_files_is_restarted(site, uids):
    """As it is after a run that was killed between the files and the handlers."""
    env = site.wanted["backstage_app_config_directory"] + "/.env"
    site.wait()
    before = site.portal.check_output("systemctl show -P MainPID backstage")
    site.portal.check_output("echo '# by hand' >> %s", env)
    for changed in (2, 0):
        done = play(str(SERVICE))
        assert done.returncode == 0, done.stdout
        assert f"changed={changed} " in done.stdout, done.stdout
    assert site.portal.check_output("systemctl show -P MainPID backstage") != before
    assert site.uids() == uids


def test_a_wrong_password_fails_with_the_reason_of_postgresql(site):
    env = site.wanted["backstage_app_config_directory"] + "/.env"
    site.portal.check_output("cp -p %s /root/env", env)
    site.portal.check_output("sed -i 's/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=wrong/' %s", env)
    site.portal.check_output("systemctl restart --no-block backstage")
    done = play(str(SERVICE), backstage_service_readiness_timeout=PATIENCE)
    site.portal.check_output("mv /root/env %s && systemctl restart --no-block backstage", env)
    assert done.returncode == 2, done.stdout
    assert "backstage.service says: Failed to connect to the database" in done.stdout
    assert "error: password authentication failed for user" in done.stdout


def test_the_password_in_a_file(site, uids):
    # An app that root deployed, of which the service's user only reads what it is given.
    owned = "/srv/backstage /srv/backstage/app-config.yaml"
    site.portal.check_output(f"chown root:root {owned} && chmod go=rX {owned}")
    for changed in (True, False):
        done = site.become(backstage_app_config_credentials="file", backstage_postgresql_databases=["spare one"])
        recap = next(line for line in done.stdout.splitlines() if line.startswith("database ") and "ok=" in line)
        assert ("changed=0" not in recap) is changed
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'spare one'"
    assert ask(site.database, site.server, owner) == ["backstage"]
    text = site.portal.file("/srv/backstage/app-config.yaml").content_string
    assert "$file:" in text
    assert "${POSTGRES" not in text
    secret = site.portal.file("/srv/backstage/postgres-password")
    assert (secret.user, secret.mode) == ("backstage", 0o600)
    assert site.uids() == uids


def test_literal_values_one_database_with_schemas_and_the_superuser(site):
    site.become(
        backstage_app_config_credentials="literal",
        backstage_app_config_database={"pluginDivisionMode": "schema", "connection": {"database": "backstage"}},
        backstage_postgresql_user="postgres",
        backstage_postgresql_databases=["backstage"],
    )
    site.storage = {"dbname": "backstage", "user": "postgres", "options": "-csearch_path=catalog"}
    local = site.portal.file("/srv/backstage/app-config.local.yaml")
    assert (local.user, local.mode & 0o077) == ("backstage", 0)
    before = site.uids()
    site.portal.check_output("systemctl restart --no-block backstage")
    assert site.uids() == before
