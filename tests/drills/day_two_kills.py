# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill -9 at every task boundary of TLS, backups, restores and upgrades, and in each module that changes something.

With the collection installed, and the image of the scenario recovery built:
    python tests/drills/day_two_kills.py [--seed 1] [--only site,upgrade] [--boundaries]

At a boundary the next task has not begun, and no module is running: the callback `boundaries` ends ansible-playbook
there. Between two tasks of which the first changed nothing, hosts and the CA's directory are as at the boundary before
it, and nothing else outlives the run. So the boundaries that differ are the first one and those after a task that
changed something, and a run is killed at each of them, in a cascade: a run is killed at the first boundary at which no
run of this cascade was killed yet, the next run begins with what that left, and so on until a run ends by itself. Each
boundary's state is what one whole run would have left there, and each is followed by a further run; the cascade loses
the notified handlers and registered results of all tasks before, where a single killed run loses those of one.
That a task reports its change is what this depends on. One does not, the tested restore, and the callback names it. For
the others, a playbook that changes nothing once it has ended runs again after the last run: no task reports a change,
and no file of the host outside of the server's data is written.

Modules: in a second round, each task that changed something is killed while its module runs, at a random moment of
its usual time; every second time together with the programs that the module has started.

After each cascade: the data is what it has to be, the version too, an unencrypted connection is rejected, and one
without a client certificate where they are demanded; no journal, scratch directory or partial file is left, verify.yml
succeeds, and site.yml changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

import kills

NAME = "devportal-daytwokills-host"
PASSPHRASE = "hush = canary # of the drill"
NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
# One after the other: each finds what the former left. The first begins with a bare host.
STEPS = (
    "site",
    "client_certificates_off",
    "client_certificates_on",
    "renew_certificates",
    "backup",
    "restore_test",
    "restore",
    "upgrade",
    "roll_back",
)
WAYS = ("boundaries", "modules")
# The playbooks that change nothing when they are run once more.
REPEATABLE = {"site", "client_certificates_off", "client_certificates_on", "restore_test", "upgrade", "roll_back"}
LOGIN = (
    "import json, psycopg2, sys;"
    "psycopg2.connect(host='127.0.0.1', user='backstage', password='secret', dbname='postgres',"
    " **json.loads(sys.argv[1]))"
)
TLS = "/etc/backstage-postgresql-tls"
CLIENT = {"sslcert": f"{TLS}/client.crt", "sslkey": f"{TLS}/client.key"}
# What a host writes by itself, and what a tested restore records.
FILES = (
    "find / -xdev -type f -newerct @{} -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/*'"
    " -not -path '/run/*' -not -path '/var/lib/postgresql/*/*/*' -not -path '/var/lib/pgbackrest/*'"
    " -not -path '/var/lib/systemd/*' -not -name restore_test.json"
)
KILLER = pathlib.Path(__file__).with_name("kill_module.py")


class Killer:
    """kill_module.py, on the host or here."""

    def __init__(self, command, interpreter, mark):
        program = KILLER.read_text(encoding="utf-8")
        self.process = subprocess.Popen(
            [*command, "python3", "-c", program, interpreter, mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process.stdout.readline()

    def kill(self, seconds, children):
        print(seconds, int(children), file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.communicate()


class Drill:
    """One host, and what its playbooks have changed."""

    def __init__(self, host, folder, chance):
        self.host, self.folder, self.chance = host, folder, chance
        self.rows = self.rows_before_upgrade = self.kills = 0
        self.certified = True
        # Of each step: the seconds of each task that changed something.
        self.changes = {}
        self.record, self.done = folder / "record.jsonl", folder / "done.json"

    def inventory(self):
        variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "backstage_postgresql_user": "backstage",
            "backstage_postgresql_password": "secret",
            "backstage_postgresql_tls": True,
            "backstage_postgresql_tls_ca_directory": str(self.folder / "ca"),
            "backstage_postgresql_tls_client_certificates": self.certified,
            "backstage_postgresql_backup": True,
            "backstage_postgresql_backup_passphrase": PASSPHRASE,
            "backstage_postgresql_backup_schedule_full": "2099-01-01 01:00",
            "backstage_postgresql_backup_schedule_diff": "2099-01-02 01:00",
            "backstage_app_config_directory": "/srv/backstage",
            "backstage_service_manage": True,
            "backstage_service_command": "/usr/bin/python3 /srv/backstage/backend.py",
            "backstage_service_readiness_timeout": 120,
        }
        return kills.inventory(self.folder / "inventory.json", self.host, variables)

    def start(self, playbook, variables, boundary=False, done=()):
        self.done.write_text(json.dumps(list(done)), encoding="utf-8")
        self.record.write_text("", encoding="utf-8")
        with (self.folder / "run.log").open("w", encoding="utf-8") as log:
            return kills.started(
                playbook,
                self.inventory(),
                self.folder,
                log,
                variables,
                ANSIBLE_PIPELINING="1",
                ANSIBLE_CALLBACK_PLUGINS=str(kills.HERE / "callback"),
                ANSIBLE_CALLBACKS_ENABLED="boundaries",
                BOUNDARIES_RECORD=str(self.record),
                BOUNDARIES_DONE=str(self.done),
                BOUNDARIES_KILL=str(int(boundary)),
            )

    def said(self):
        return (self.folder / "run.log").read_text(encoding="utf-8")

    def events(self):
        return [json.loads(line) for line in self.record.read_text(encoding="utf-8").splitlines()]

    def complete(self, playbook, variables, unchanged=False):
        """Run it to its end."""
        code = self.start(playbook, variables).wait(timeout=1800)
        changed = [event["changed"] for event in self.events() if event.get("reported")]
        if code or (unchanged and changed):
            raise AssertionError(f"{playbook} ended with {code}, changed {changed}:\n{self.said()[-3000:]}")

    def nothing(self, _step, playbook, variables):
        """Kill no run."""
        self.complete(playbook, variables)
        return []

    def boundaries(self, step, playbook, variables):
        """Kill a run at each boundary that differs; after which tasks that was."""
        done = []
        while True:
            code = self.start(playbook, variables, True, done).wait(timeout=1800)
            begun = local = None
            for event in self.events():
                if "begins" in event:
                    begun, local = event["time"], event["local"]
                elif "changed" in event:
                    self.changes.setdefault(step, {})[event["changed"]] = (event["time"] - begun, local)
            if code != -9:
                break
            (killed,) = [event["killed"] for event in self.events() if "killed" in event]
            done.append(killed)
        if code:
            raise AssertionError(f"killed after {done[-1]}; the next run ended with {code}:\n{self.said()[-3000:]}")
        return done

    def modules(self, step, playbook, variables):
        """Kill each module that changed something in the cascade of the boundaries; in which tasks that was."""
        killers = {
            False: Killer(["docker", "exec", "-i", NAME], "/usr/bin/python3", ""),
            True: Killer([], kills.interpreter(), str(self.folder / "home")),
        }
        wanted, done, last = dict(self.changes[step]), [], "nothing"
        tries = dict.fromkeys(wanted, 0)
        try:
            while True:
                process, seen, hit = self.start(playbook, variables), 0, False
                while process.poll() is None:
                    for event in self.events()[seen:]:
                        seen += 1
                        task = event.get("begins")
                        if hit or task not in wanted or tries[task] > 2:
                            continue
                        seconds, local = wanted[task]
                        # Sooner where it had ended before.
                        delay = max(seconds - 0.3, 0.1) * self.chance.uniform(0.2, 0.9) / 2 ** tries[task]
                        tries[task] += 1
                        if killers[local].kill(delay, (len(done) + tries[task]) % 2) == "killed":
                            hit, last = True, task
                            done.append(task)
                            del wanted[task]
                    time.sleep(0.02)
                if process.returncode and not hit:
                    raise AssertionError(f"killed: {last}; then {process.returncode}:\n{self.said()[-3000:]}")
                if not hit:
                    break
        finally:
            for killer in killers.values():
                killer.stop()
        if not done:
            raise AssertionError(f"no module of {list(self.changes[step])} was killed")
        return done

    def sql(self, query):
        command = ["docker", "exec", NAME, "runuser", "-u", "postgres", "--", "psql", "-XAtqc", query, "backstage_data"]
        return kills.run(*command).stdout.strip()

    def write(self, count=100):
        self.sql(
            f"INSERT INTO kept SELECT n, md5(n::text) FROM generate_series({self.rows} + 1, {self.rows + count}) n"
        )
        self.rows += count

    def prepare(self, step):
        """The playbook of a step and its variables, with data that it has to keep."""
        if step == "site":
            self.host.create()
            self.certified, self.rows = True, 0
            return "site", {}
        self.write()
        if step.startswith("client_certificates"):
            self.certified = step.endswith("on")
            return "site", {}
        if step == "renew_certificates":
            return step, {"backstage_postgresql_tls_renew": True}
        if step == "restore":
            moment = self.sql(NOW)
            self.sql("INSERT INTO kept VALUES (-1, 'after')")
            return step, {
                "backstage_postgresql_restore_time": moment,
                "backstage_postgresql_restore_confirmed": True,
            }
        if step == "upgrade":
            self.rows_before_upgrade = self.rows
            return step, {"backstage_postgresql_version": "17"}
        if step == "roll_back":
            # What was written since the upgrade stays in the new cluster.
            self.rows = self.rows_before_upgrade
            return "upgrade", {"backstage_postgresql_version": "17", "backstage_postgresql_upgrade_roll_back": True}
        return step, {}

    def cascade(self, step, way):
        """Kill the step's playbook that way until it has ended by itself, and look; where it was killed."""
        playbook, variables = self.prepare(step)
        killed = getattr(self, way)(step, playbook, variables)
        if step in REPEATABLE:
            self.repeat(playbook, variables)
        if step == "site":
            self.host.shell("runuser -u postgres -- createdb backstage_data")
            self.sql("CREATE TABLE kept (n int, v text)")
        if step == "roll_back":
            self.host.shell("pg_dropcluster --stop 17 main")
            self.complete("site", {})
        if step == "renew_certificates":
            # Restarts a Backstage that started with the former client certificate.
            self.complete("site", {})
        if step == "restore":
            self.complete("restore", {"backstage_postgresql_restore_remove_former": True})
        self.look(step)
        return killed

    def repeat(self, playbook, variables):
        """A further run changes nothing, by its own report and by the host's files."""
        time.sleep(1)
        start = self.host.shell("date +%s").stdout.strip()
        self.complete(playbook, variables, unchanged=True)
        _equal(f"written by an unchanged {playbook}", self.host.shell(FILES.format(start)).stdout.split(), [])

    def look(self, step):
        """What has to be so after each step."""
        version = self.sql("SHOW server_version").split(".")[0]
        _equal("version", version, "17" if step == "upgrade" else "15")
        _equal(
            "rows", self.sql("SELECT count(*), count(*) FILTER (WHERE v <> md5(n::text)) FROM kept"), f"{self.rows}|0"
        )
        _equal("login", self.login(sslmode="require", **(CLIENT if self.certified else {})), "")
        _equal("plain login", "no encryption" in self.login(sslmode="disable"), True)
        bare = self.login(sslmode="require")
        _equal("login without a certificate", "valid client certificate" in bare, self.certified)
        files = self.host.shell(f"ls {TLS}").stdout.split()
        _equal("files", files, ["ca.crt", *["client.crt", "client.key"] * self.certified, "server.crt", "server.key"])
        _equal("CA", sorted(path.name for path in (self.folder / "ca").iterdir()), ["ca.crt", "ca.key"])
        places = "/var/lib/postgresql/* /var/lib/backstage-postgresql-backup /etc/postgresql-common/pg_upgradecluster.d"
        places += " /srv/backstage /etc/backstage /etc/backstage-postgresql-backup /etc/postgresql/*/*"
        left = self.host.shell(f"ls -A {places} 2>/dev/null || true").stdout
        _equal("left", re.findall(r"\S*(?:before-restore|restore-test$|restore\.json|\.part|devportal)\S*", left), [])
        self.host.shell("systemctl is-active --quiet backstage")
        self.complete("verify", {})
        if step not in REPEATABLE - {"roll_back"}:
            self.complete("site", {}, unchanged=True)

    def login(self, **options):
        """What a login of Backstage's user is answered; nothing where it works."""
        command = ["docker", "exec", NAME, "python3", "-c", LOGIN, json.dumps(options)]
        return kills.run(*command, check=False).stderr


def _equal(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


class Host(kills.Host):
    """The image of a host that was upgraded from Debian 12 to 13, with PostgreSQL 15 and 17."""

    def create(self):
        super().create(image="devportal-test:upgraded")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DEVPORTAL_SEED") or "1"))
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--boundaries", action="store_true", help="kill no modules")
    asked = parser.parse_args()
    with kills.Report(asked.seed) as report:
        host = report.host(Host(NAME))
        drill = Drill(host, report.folder, random.Random(asked.seed))
        steps, ways = asked.only.split(","), WAYS[:1] if asked.boundaries else WAYS
        if "site" not in steps:
            drill.cascade("site", "nothing")
        for way, step in ((way, step) for way in ways for step in STEPS if step in steps):
            report.point(f"{step}, {way}", lambda step=step, way=way: drill.cascade(step, way))
            if report.failed:
                # The next steps need what this one should have left.
                break
    return report.code()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
