# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the scenario ha under load: what is done to it, and what must hold meanwhile.

Through the proxy of an app host a writer commits rows one by one, and a visitor reads Backstage's catalog. On each
database host another writer tries the server there, leader or not. After a drill:

- each row that was acknowledged to a writer is in the database;
- no row was acknowledged on an older timeline after one on a newer: two leaders never took writes at once;
- the gap without an acknowledged write is at most twice Patroni's ttl;
- the visitor reads the catalog again, with the same uids.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
WRITER = HERE / "writer.py"
VISITOR = HERE.parents[1] / "backstage" / "tests" / "client.py"
PREFIX = "devportal-ha-"
DATABASES = ("db1", "db2", "db3")
PORTALS = ("portal", "portal2")
SUBNET_NETWORK = "devportal-ha"
CATALOG = "http://127.0.0.1:7007/api/catalog/entities"
READINESS = "http://127.0.0.1:7007/.backstage/health/v1/readiness"
TLS = "/etc/backstage-postgresql-tls"
# What conftest.py shows at the end.
FIGURES = []
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


def shell(host, script, *arguments, check=True, timeout=300):
    """Run a script in the container of a host; its output."""
    command = ["docker", "exec", PREFIX + host, "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=timeout, stdin=-3, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{host}: {script}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def figure(text):
    """Keep what a drill measured, with the load of the machine."""
    FIGURES.append(f"{text} (load {os.getloadavg()[0]:.0f})")
    print(FIGURES[-1])


def docker(*command):
    """Run a command of the engine."""
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait(condition, seconds, what):
    """Until a condition holds; what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {seconds} s: {what() if callable(what) else what}"
        time.sleep(1)
    return found


class Cluster:
    """The hosts of the scenario, by the variables of its inventory."""

    def __init__(self, wanted):
        self.ttl = int(wanted["backstage_postgresql_ha_ttl"])
        self.password = wanted["backstage_postgresql_password"]
        self.size = len(DATABASES)

    def login(self, host="127.0.0.1", database="postgres"):
        return {"host": host, "port": 5432, "user": "backstage", "password": self.password, "dbname": database}

    def members(self):
        """What a member that answers says of all (GET /cluster)."""
        for host in DATABASES:
            text = shell(host, "curl -sk --max-time 5 https://$(hostname -I | cut -d' ' -f1):8008/cluster", check=False)
            with contextlib.suppress(ValueError):
                members = json.loads(text).get("members", [])
                if members:
                    return {member["name"]: member for member in members}
        return {}

    def leader(self):
        """The name of the leader; empty without one."""
        return next((name for name, member in self.members().items() if member["role"] == "leader"), "")

    def synchronous(self):
        return next((name for name, member in self.members().items() if member["role"] == "sync_standby"), "")

    def is_healthy(self):
        members = self.members()
        roles = sorted(member["role"] for member in members.values())
        streaming = [name for name, member in members.items() if member["state"] == "streaming"]
        replicas = self.size - 1
        return roles == ["leader", *["replica"] * (replicas - 1), "sync_standby"] and len(streaming) == replicas

    def wait_healthy(self, seconds=300):
        """Until one leads and all others stream, one of them synchronously."""
        wait(self.is_healthy, seconds, self.members)

    def sql(self, query, host="", database="postgres"):
        """The rows of a query on a database host, by default the leader, as the superuser."""
        script = 'runuser -u postgres -- psql -XAtd "$2" -c "$1"'
        return shell(host or wait(self.leader, 120, self.members), script, query, database).splitlines()

    def uids(self, portals=PORTALS):
        """The uids of the catalog's entities, as Backstage answers on the app hosts; empty while it does not."""
        found = []
        for portal in portals:
            text = shell(portal, 'python3 -c "$1" "$2"', GET, CATALOG, check=False)
            try:
                answer = json.loads(text)
            except ValueError:
                return {}
            found.append(
                {each["metadata"]["name"]: each["metadata"]["uid"] for each in answer if each["kind"] != "Location"}
            )
        return found[0] if all(each == found[0] for each in found) and len(found[0]) == 3 else {}

    def wait_uids(self, seconds=300, portals=PORTALS):
        return wait(lambda: self.uids(portals), seconds, "the catalog cannot be read")

    def prepare(self):
        """The table of the writers."""
        for statement in (
            "CREATE TABLE IF NOT EXISTS public.drill (run uuid, number int, PRIMARY KEY (run, number))",
            "ALTER TABLE public.drill OWNER TO backstage",
        ):
            self.sql(statement)


class Writers:
    """Writers through the proxy and on each database host, and a visitor; use as a context."""

    def __init__(self, cluster, visitor=True, sslmode="prefer"):
        self.cluster, self.visitor, self.sslmode, self.processes = cluster, visitor, sslmode, {}
        self.acknowledged, self.by_proxy, self.visits, self.errors = [], [], {}, []

    def __enter__(self):
        self.cluster.prepare()
        for host in ("portal", *DATABASES):
            shell(host, f"rm -f /var/tmp/drill.{host}")
            self.start(host)
        if self.visitor:
            shell("portal", "rm -f /var/tmp/visitor.stop")
            command = ["docker", "exec", f"{PREFIX}portal", "python3", "-c", VISITOR.read_text(encoding="utf-8")]
            self.processes["visitor"] = subprocess.Popen(
                [*command, CATALOG, "/var/tmp/visitor.stop"], stdout=subprocess.PIPE, text=True
            )
        wait(lambda: self._written() > 10, 60, "no write works")
        return self

    @staticmethod
    def _written():
        """How many writes were acknowledged through the proxy."""
        return int(shell("portal", "grep -vc '^#' /var/tmp/drill.portal", check=False) or 0)

    def start(self, host):
        """A writer on a host; one that was there ended with its container."""
        shell(host, "rm -f /var/tmp/drill.stop")
        login = json.dumps({**self.cluster.login(), "sslmode": self.sslmode})
        program = WRITER.read_text(encoding="utf-8")
        record = f"/var/tmp/drill.{host}"
        docker("exec", "--detach", PREFIX + host, "python3", "-c", program, login, "/var/tmp/drill.stop", record)

    def __exit__(self, kind, error, trace):
        if kind is None:
            # A gap counts when it has ended; what members report may be older than what was done to them.
            enough = max(60, self._written() + 10)
            wait(lambda: self._written() > enough, 4 * self.cluster.ttl, "no write works any more")
        for host in ("portal", *DATABASES):
            shell(host, "touch /var/tmp/drill.stop", check=False)
        shell("portal", "touch /var/tmp/visitor.stop", check=False)
        if "visitor" in self.processes:
            self.visits = json.loads(self.processes["visitor"].communicate(timeout=60)[0] or "{}")
        time.sleep(9)  # longer than a writer's statement may take
        for host in ("portal", *DATABASES):
            for line in shell(host, f"cat /var/tmp/drill.{host}", check=False).splitlines():
                words = line.split()
                if line.startswith("#") or len(words) != 5:
                    self.errors.append(f"{host}: {line}")
                    continue
                row = (float(words[3]), words[4], words[0], int(words[1]), host, float(words[2]))
                self.acknowledged.append(row)
                if host == "portal":
                    self.by_proxy.append(row)
        self.acknowledged.sort()
        self.by_proxy.sort()

    def gap(self, after=0.0, before=float("inf")):
        """The longest time in seconds without a write acknowledged through the proxy, of those that end in a span."""
        moments = [row[0] for row in self.by_proxy]
        return max((late - early for early, late in zip(moments, moments[1:]) if after < late <= before), default=1e9)

    def seen(self):
        """What the visitor saw."""
        failures, requests, gap = (self.visits[name] for name in ("failures", "requests", "longest_gap"))
        return f"catalog: {len(failures)} of {requests} reads failed, gap {gap:.1f} s"

    def lost(self):
        """The acknowledged rows that are not in the database."""
        runs = sorted({row[2] for row in self.acknowledged})
        listed = ",".join(f"'{run}'" for run in runs)
        rows = self.cluster.sql(f"SELECT run, number FROM public.drill WHERE run IN ({listed})")
        stored = {tuple(row.split("|")) for row in rows}
        return [row for row in self.acknowledged if (row[2], str(row[3])) not in stored]

    def overlaps(self):
        """Rows whose write began after one was acknowledged on a newer timeline, and that were acknowledged as well."""
        found, newest, since = [], "", 0.0
        for row in self.acknowledged:
            if row[1] > newest:
                newest, since = row[1], row[0]
            elif row[1] < newest and row[5] > since:
                found.append(row)
        return found

    def check(self, seconds=None):
        """What must hold after a drill; the longest gap."""
        gap = self.gap()
        assert len(self.by_proxy) > 50, self.errors[-5:]
        assert self.lost() == []
        assert self.overlaps() == []
        assert gap <= (2 * self.cluster.ttl if seconds is None else seconds), self.errors[-5:]
        return gap


def kill_leader(cluster):
    """The host of the leader is gone at once; the name of it."""
    leader = cluster.leader()
    docker("kill", PREFIX + leader)
    return leader


def start_host(host):
    """A host that was gone boots again."""
    docker("start", PREFIX + host)


def cut_off(host):
    docker("network", "disconnect", SUBNET_NETWORK, PREFIX + host)


def reconnect(host, address):
    docker("network", "connect", "--ip", address, "--alias", host, SUBNET_NETWORK, PREFIX + host)


def _command(playbook, inventory, variables):
    program = str(pathlib.Path(sys.executable).with_name("ansible-playbook"))
    return [program, playbook, f"--inventory={inventory}", "--extra-vars", json.dumps(variables)]


def run_playbook(playbook, inventory):
    """Run a playbook with an inventory of its own; all output is in the result's stdout."""
    command = _command(playbook, inventory, {})
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


# Tasks that change something and do not report it.
_SILENT = ("Grant the functions of pg_rewind",)


def killed_playbook(playbook, inventory, stop, **variables):
    """Kill a playbook and all its processes after a task.

    Args:
        playbook, inventory: what runs where.
        stop: a function of a task's name with the play's, and whether it changed something, that chooses the task.
        variables: of the playbook.

    Returns:
        The name of that task; None where the playbook came to its end.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen(_command(playbook, inventory, variables), **options) as process:
        play, task, changed, lines = "", "", False, []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(("TASK [", "RUNNING HANDLER [", "PLAY ")):
                if stop(task, changed):
                    os.killpg(process.pid, signal.SIGKILL)
                    return task
                play = line.strip(" *\n") if line.startswith("PLAY ") else play
                task, changed = f"{play} {line.strip(' *' + chr(10))}", False
            elif line.startswith("changed: [") or (line.startswith("ok: [") and any(name in task for name in _SILENT)):
                changed = True
    assert process.returncode == 0, "".join(lines)[-6000:]
    return None
