# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two hosts of the scenario, and what can be asked of them."""

from __future__ import annotations

import json
import shlex
import time

from ansible_collections.devportal.backstage.molecule.shared.tests.plugin import ask, play

# Generous, since other things may keep the cores busy: a start takes about 5 s of one.
PATIENCE = 240
FILES = "/etc/backstage-postgresql-tls"
READINESS = "/.backstage/health/v1/readiness"
ENTITIES = {"api:default/example-api", "component:default/example-website", "system:default/examples"}
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


class Portal:
    """Backstage on the host `app`, with its data on the host `database`; `server` has the database's variables."""

    def __init__(self, hosts):
        self.app, self.wanted = hosts["portal"]
        self.database, self.server = hosts["database"]

    def run(self, playbook="devportal.backstage.site", *options, **variables):
        """Run a playbook, which has to succeed, with further options and variables."""
        done = play(playbook, *options, **variables)
        assert done.returncode == 0, done.stdout[-6000:]
        return done

    def fails(self, playbook, **variables):
        """Run a playbook, which has to fail."""
        done = play(playbook, **variables)
        assert done.returncode != 0, done.stdout[-3000:]
        return done

    def start(self, program, login, flag):
        """Start a Python program on the app host that has the login and a file; return once it has created the file."""
        words = " ".join(shlex.quote(word) for word in ("python3", "-c", program, json.dumps(login), flag))
        self.app.check_output("setsid sh -c %s >/tmp/session.log 2>&1 &", words)
        deadline = time.monotonic() + PATIENCE
        while not self.app.file(flag).exists:
            assert time.monotonic() < deadline, self.app.file("/tmp/session.log").content_string
            time.sleep(0.5)

    def stop(self, flag):
        """Remove the file, and return the number that the program has written then."""
        self.app.check_output("rm %s", flag)
        deadline = time.monotonic() + PATIENCE
        while not self.app.file(f"{flag}.done").exists or not self.app.file(f"{flag}.done").size:
            assert time.monotonic() < deadline, self.app.file("/tmp/session.log").content_string
            time.sleep(0.5)
        return int(self.app.file(f"{flag}.done").content_string)

    def get(self, path):
        """What Backstage answers; an empty list where it does not."""
        done = self.app.run("python3 -c %s %s", GET, f"http://127.0.0.1:7007{path}")
        return json.loads(done.stdout or "[]") if done.rc == 0 else []

    def wait(self):
        """Until Backstage is ready."""
        deadline = time.monotonic() + PATIENCE
        while self.get(READINESS) != {"status": "ok"}:
            assert time.monotonic() < deadline, self.app.run("journalctl -u backstage -n 40 -o cat").stdout
            time.sleep(1)

    def sql(self, query, database="backstage_plugin_catalog", **certificate):
        """The rows of a query, as text: from the database host, or with a client certificate from the app host."""
        if not certificate:
            return ask(self.database, self.server, query, dbname=database)
        login = {"host": self.server["ansible_host"], "sslmode": "require", "application_name": "the test"}
        return ask(self.app, self.server, query, dbname=database, **login, **certificate)

    def uids(self, **certificate):
        """The entities of the catalog file by reference, with their uids, once Backstage and the database agree."""
        self.wait()
        deadline = time.monotonic() + PATIENCE
        query = "SELECT entity_ref, entity_id FROM refresh_state WHERE entity_ref NOT LIKE 'location:%'"
        while True:
            entities = [each for each in self.get("/api/catalog/entities") if each["kind"] != "Location"]
            found = {
                f"{each['kind']}:{each['metadata']['namespace']}/{each['metadata']['name']}".lower(): each["metadata"][
                    "uid"
                ]
                for each in entities
            }
            if found.keys() == ENTITIES and found == dict(row.split("|") for row in self.sql(query, **certificate)):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(1)


def serial(portal):
    """Of the certificate that the server presents, seen from the app host."""
    server = portal.server["ansible_host"]
    command = f"openssl s_client -starttls postgres -connect {server}:5432 -CAfile {FILES}/ca.crt -verify_return_error"
    command += f" -verify_hostname {server} </dev/null | openssl x509 -noout -serial"
    done = portal.app.run(command)
    assert done.stdout.startswith("serial="), done.stderr
    return done.stdout.strip()
