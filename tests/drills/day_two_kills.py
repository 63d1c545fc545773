# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill -9 at task boundaries of TLS, backups, restores and upgrades; then the same run again must work.

With the collection installed, and the image of the scenario recovery built:
    python tests/drills/day_two_kills.py [--points 24] [--seed 1]

Each point: start a playbook, kill it when one of its tasks begins (or, every second time, the module's process on the
host while that task runs), run it again to its end, and look: the data is what it has to be, the version too, an
unencrypted connection is rejected, and one without a client certificate where they are demanded, no journal or scratch
directory is left, and verify.yml succeeds. The points of a playbook are spread evenly over its tasks. Every point of
site.yml turns the demand of client certificates on or off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import kills

NAME = "devportal-daytwokills-host"
PASSPHRASE = "hush = canary # of the drill"
NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
# One after the other: each finds what the former left.
STEPS = ("site", "renew_certificates", "backup", "restore_test", "restore", "upgrade", "roll_back")
LOGIN = (
    "import json, psycopg2, sys;"
    "psycopg2.connect(host='127.0.0.1', user='backstage', password='secret', dbname='postgres',"
    " **json.loads(sys.argv[1]))"
)
TLS = "/etc/backstage-postgresql-tls"
CLIENT = {"sslcert": f"{TLS}/client.crt", "sslkey": f"{TLS}/client.key"}
# Tasks of a playbook before it has run once; what is more than there are kills nothing.
GUESSES = {"renew_certificates": 45, "backup": 8, "restore_test": 8, "restore": 20, "upgrade": 60, "roll_back": 60}


class Drill:
    """One host, and how many tasks each playbook has begun in a whole run."""

    def __init__(self, host, folder):
        self.host, self.folder, self.tasks, self.rows = host, folder, {}, 0
        self.certified = False

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
        host = {NAME: {"ansible_host": NAME}}
        groups = {"backstage_database": {"hosts": host}, "backstage": {"hosts": host}}
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"children": groups, "vars": variables}}), encoding="utf-8")
        return path

    def start(self, playbook, variables):
        command = [str(kills.PROGRAM), "--inventory", str(self.inventory()), kills.PLAYBOOK.format(playbook)]
        command += ["--extra-vars", json.dumps(variables)]
        environment = {**os.environ, "ANSIBLE_HOME": str(self.folder / "home"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def complete(self, step, playbook, variables):
        """Run it to its end; its output."""
        process = self.start(playbook, variables)
        text = process.communicate(timeout=1800)[0]
        if process.returncode:
            raise AssertionError(f"{step} ended with {process.returncode}:\n{text[-3000:]}")
        self.tasks[step] = len(_tasks(text))
        return text

    def kill(self, playbook, variables, boundary, module):
        """Kill it when its task of this number begins; the task."""
        process, task, count = self.start(playbook, variables), None, 0
        for line in process.stdout:
            if not _tasks(line):
                continue
            count += 1
            if count == boundary:
                task = line.strip(" *\n")
                if not module:
                    os.killpg(process.pid, signal.SIGKILL)
                    break
                # Some tasks have no module; the run goes on then, and ends by itself.
                deadline = time.monotonic() + 3
                while not self.host.kill_module() and time.monotonic() < deadline:
                    time.sleep(0.02)
        process.stdout.read()
        process.wait()
        process.stdout.close()
        return task

    def sql(self, query):
        command = ["docker", "exec", NAME, "runuser", "-u", "postgres", "--", "psql", "-XAtqc", query, "backstage_data"]
        return kills.run(*command).stdout.strip()

    def write(self, count=100):
        self.sql(
            f"INSERT INTO kept SELECT n, md5(n::text) FROM generate_series({self.rows} + 1, {self.rows + count}) n"
        )
        self.rows += count

    def point(self, step, share, module):
        """Kill it at this share of its tasks, run it again, look; where it was killed."""
        self.write()
        playbook, variables = step, {}
        if step == "site":
            self.certified = not self.certified
        elif step == "renew_certificates":
            variables = {"backstage_postgresql_tls_renew": True}
        elif step == "restore":
            moment = self.sql(NOW)
            self.sql("INSERT INTO kept VALUES (-1, 'after')")
            variables = {
                "backstage_postgresql_restore_time": moment,
                "backstage_postgresql_restore_confirmed": True,
            }
        elif step in ("upgrade", "roll_back"):
            playbook, variables = "upgrade", {"backstage_postgresql_version": "17"}
            variables |= {"backstage_postgresql_upgrade_roll_back": True} if step == "roll_back" else {}
        if step == "roll_back":
            # What was written since the upgrade stays in the new cluster.
            self.rows = self.rows_before_upgrade
        elif step == "upgrade":
            self.rows_before_upgrade = self.rows
        last = self.tasks.get(step) or GUESSES[step]
        boundary = 1 + int(share * last)
        task = self.kill(playbook, variables, boundary, module)
        text = self.complete(step, playbook, variables)
        if step == "roll_back":
            self.host.shell("pg_dropcluster --stop 17 main")
            self.complete("site", "site", {})
        if step == "restore":
            self.complete("remove", "restore", {"backstage_postgresql_restore_remove_former": True})
        self.look(step)
        where = f"{'module' if module else 'ansible-playbook'} at {boundary} of {last}: {task or 'its end'}"
        return where, task is not None, text

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
        places = "/var/lib/postgresql/* /var/lib/backstage-postgresql-backup /etc/postgresql-common/pg_upgradecluster.d"
        left = self.host.shell(f"ls -A {places} 2>/dev/null || true").stdout
        _equal("left", re.findall(r"\S*(?:before-restore|restore-test$|restore\.json|\.part|devportal)\S*", left), [])
        self.host.shell("systemctl is-active --quiet backstage")
        self.complete("verify", "verify", {})

    def login(self, **options):
        """What a login of Backstage's user is answered; nothing where it works."""
        command = ["docker", "exec", NAME, "python3", "-c", LOGIN, json.dumps(options)]
        return kills.run(*command, check=False).stderr


def _tasks(text):
    return re.findall(r"^(?:TASK|RUNNING HANDLER) \[", text, re.M)


def _equal(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


class Host(kills.Host):
    """The image of a host that was upgraded from Debian 12 to 13, with PostgreSQL 15 and 17."""

    def create(self):
        super().create(image="devportal-test:upgraded")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=int(os.environ.get("KILLS") or "24"))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DEVPORTAL_SEED") or "1"))
    asked = parser.parse_args()
    rounds = -(-asked.points // len(STEPS))
    # Where within its share of the tasks each point is.
    chance = random.Random(asked.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="devportal-daytwokills-"))
    host = Host(NAME)
    drill = Drill(host, folder)
    failed, hits, done = [], 0, 0
    try:
        host.create()
        drill.complete("site", "site", {})
        host.shell("runuser -u postgres -- createdb backstage_data")
        drill.sql("CREATE TABLE kept (n int, v text)")
        for number in range(1, asked.points + 1):
            turn, index = divmod(number - 1, len(STEPS))
            start = time.monotonic()
            step = STEPS[index]
            try:
                where, hit, _text = drill.point(step, (turn + chance.random()) / rounds, (turn + index) % 2 == 1)
                hits, state = hits + hit, "ok"
            except (AssertionError, SystemExit, subprocess.TimeoutExpired) as error:
                where, state = str(error), "FAILED"
                failed.append(number)
            done = number
            print(f"{number:4} {step:20}{time.monotonic() - start:4.0f} s  {state}  {where}", flush=True)
            if failed:
                # The next steps need what this one should have left.
                break
    finally:
        print(
            f"seed {asked.seed}: {done} points, {hits} killed before their end, failed: {failed or 'none'}", flush=True
        )
        if not os.environ.get("KEEP"):
            host.remove()
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed or done < asked.points else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
