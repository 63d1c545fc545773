# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill -9 of ansible-playbook, or of the module's process on the host, at random points; then a plain re-run must work.

With the collection installed, and molecule's images built (make drills does both):
    python tests/drills/kills.py [--points 100] [--seed 1] [--only site,rotate,container]

Each point: give the inventory something to do, start the playbook, kill at a random moment of its usual length, run it
again, and look: the re-run ended well, the files' login works, the unit is ready, no journal is left. Every tenth point
of site.yml starts from a bare host, and after every tenth point a third run must change nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"
PLAYBOOK = "devportal.backstage.{}"
# Whose command line has this is a module that Ansible started; its children, such as apt-get, live on.
MODULE = "AnsiballZ_|ansible-tmp-"
USERS = ("backstage_a", "backstage_b")


def run(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done


def interpreter():
    """The Python that ansible-playbook runs with."""
    return PROGRAM.read_text(encoding="utf-8").splitlines()[0].lstrip("#! ")


def inventory(path, host, variables):
    """An inventory of one host that has the database and the app."""
    hosts = {host.name: {"ansible_host": host.name}}
    groups = {"backstage_database": {"hosts": hosts}, "backstage": {"hosts": hosts}}
    path.write_text(json.dumps({"all": {"children": groups, "vars": variables}}), encoding="utf-8")
    return path


def started(playbook, inventory, folder, log, variables=(), **environment):
    """A playbook of the collection that runs, with its output in the file."""
    command = [str(PROGRAM), "--inventory", str(inventory), PLAYBOOK.format(playbook)]
    command += ["--extra-vars", json.dumps(dict(variables))] if variables else []
    environment = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1", **environment}
    return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


class Report:
    """A drill's points, each with its seconds and its end; removes the hosts after the last, unless KEEP is set."""

    def __init__(self, seed, expected=0):
        self.seed, self.expected = seed, expected
        self.hosts, self.failed, self.done, self.hits = [], [], 0, 0

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="devportal-kills-"))
        return self

    def host(self, host):
        self.hosts.append(host)
        return host

    def point(self, label, run):
        """Run it: it returns where runs were killed, or fails."""
        start, killed, where = time.monotonic(), [], ""
        try:
            killed = run()
            state = f"ok  {len(killed)} killed"
        except (AssertionError, SystemExit, subprocess.TimeoutExpired) as error:
            state, where = "FAILED", f"  {error}"
            self.failed.append(self.done + 1)
        self.done += 1
        self.hits += len(killed)
        print(f"{self.done:4} {label:35} {time.monotonic() - start:4.0f} s  {state}{where}", flush=True)
        for each in killed:
            print(f"       {each}", flush=True)

    def code(self):
        return 1 if self.failed or not self.done or self.done < self.expected else 0

    def __exit__(self, *_error):
        failed = self.failed or "none"
        print(f"seed {self.seed}: {self.done} points, {self.hits} killed runs, failed: {failed}", flush=True)
        if not os.environ.get("KEEP"):
            for host in self.hosts:
                host.remove()
            shutil.rmtree(self.folder, ignore_errors=True)


class Host:
    """A throw-away container, with systemd unless it shares the engine of this machine."""

    def __init__(self, name, engine=False):
        self.name, self.engine = name, engine
        self.place = f"/srv/{name}"

    def create(self, image="devportal-test:trixie"):
        self.remove()
        command = ["docker", "run", "--detach", "--name", self.name, "--label", "devportal.backstage=test"]
        # Packages that were downloaded once are not downloaded again.
        command += ["--volume", f"devportal-apt-{self.name}:/var/cache/apt/archives"]
        if self.engine:
            root = run("docker", "info", "--format", "{{.DockerRootDir}}").stdout.strip()
            self.place = f"{root}/volumes/{self.name}/_data"
            command += ["--network", "host", "--init", "--volume", "/var/run/docker.sock:/var/run/docker.sock"]
            command += ["--volume", f"{self.name}:{self.place}", image, "sleep", "infinity"]
        else:
            cgroup = "/sys/fs/cgroup" + ("/unified" if os.path.exists("/sys/fs/cgroup/unified") else "")
            command += ["--volume", f"{cgroup}:/sys/fs/cgroup:rw", "--cap-add", "SYS_ADMIN", "--cgroupns", "host"]
            command += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
            command += ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--env", "container=docker"]
            command += [image, "/sbin/init"]
        run(*command)
        for _second in range(60):
            if self.engine or self.shell("systemctl is-system-running", check=False).stdout.strip() in (
                "running",
                "degraded",
            ):
                break
            time.sleep(1)
        shared = ROOT / "molecule"
        if self.engine:
            # The role drives the engine by the docker command, which the host has to have.
            self.shell("apt-get -q update && apt-get -qy install --no-install-recommends docker-cli docker-compose")
        self.shell("mkdir -p /srv/backstage")
        self.copy(shared / "shared" / "files" / "app-config.yaml", "/srv/backstage/app-config.yaml")
        self.copy(shared / "leak" / "files" / "backend.py", "/srv/backstage/backend.py")

    def copy(self, source, target):
        with open(source, "rb") as stream:
            subprocess.run(["docker", "exec", "-i", self.name, "tee", target], stdin=stream, stdout=-3, check=True)

    def shell(self, script, check=True):
        return run("docker", "exec", self.name, "sh", "-c", script, check=check)

    def kill_module(self):
        """Whether there was one."""
        return self.shell(f"pkill -9 -f '{MODULE}'", check=False).returncode == 0

    def remove(self):
        run("docker", "rm", "--force", "--volumes", self.name, check=False)
        if self.engine:
            run("docker", "rm", "--force", "--volumes", f"{self.name}-postgres", check=False)
            run("docker", "volume", "rm", "--force", self.name, f"{self.name}-data", check=False)


class Drill:
    """One playbook, on one host, with something to do each time."""

    def __init__(self, kind, host, folder):
        self.kind, self.host, self.folder, self.number = kind, host, folder, 0
        self.password, self.user, self.seconds = "", USERS[0], 60.0

    def wish(self):
        """Something to do for the next run."""
        self.number += 1
        if self.host.engine and self.number % 8 == 0:
            # What the role's error names before docker run and Compose can take turns; the volume stays.
            run("docker", "rm", "--force", f"{self.host.name}-postgres")
        self.password = f"secret of point {self.number} {os.urandom(4).hex()}"
        if self.kind == "rotate" and self.number % 2 == 0:
            self.user = USERS[(self.number // 2) % 2]

    def inventory(self):
        variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "backstage_postgresql_password": self.password,
            "backstage_app_config_directory": "/srv/backstage",
        }
        if self.host.engine:
            variables |= {
                "backstage_database_provider": "container",
                "backstage_postgresql_port": 15439,
                "backstage_postgresql_container_mode": "run" if self.number % 16 < 8 else "compose",
                "backstage_postgresql_container_name": f"{self.host.name}-postgres",
                "backstage_postgresql_container_volume": f"{self.host.name}-data",
                "backstage_postgresql_container_directory": f"{self.host.place}/postgresql",
            }
        else:
            variables |= {
                "backstage_postgresql_user": self.user,
                "backstage_postgresql_owner": "backstage",
                "backstage_postgresql_databases": [f"extra_{self.number % 7}"],
                "backstage_postgresql_settings": {"work_mem": f"{4 + self.number % 5}MB"},
                "backstage_service_manage": True,
                "backstage_service_user": "root",
                "backstage_service_command": "/usr/bin/python3 /srv/backstage/backend.py",
                "backstage_service_readiness_timeout": 60,
            }
        return inventory(self.folder / f"{self.kind}.json", self.host, variables)

    def start(self):
        name = "rotate_password" if self.kind == "rotate" else "site"
        self.log = (self.folder / f"{self.kind}.log").open("w+", encoding="utf-8")
        return started(name, self.inventory(), self.folder, self.log)

    def complete(self):
        """Run it to its end; what it said."""
        start = time.monotonic()
        process = self.start()
        try:
            code = process.wait(timeout=900)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "no end"
        self.seconds = time.monotonic() - start
        text = self.said()
        if code:
            raise AssertionError(f"ended with {code}:\n{text[-3000:]}")
        return text

    def said(self):
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        return text

    def kill(self, moment, module):
        """Where it was when it was killed; None where it had ended before."""
        process = self.start()
        end = time.monotonic() + moment
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        hit = process.poll() is None
        if hit and module:
            deadline = time.monotonic() + 20
            while not self.host.kill_module() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            process.wait(timeout=900)
        elif hit:
            process.send_signal(signal.SIGKILL)
            process.wait()
        text = self.said()
        tasks = [line for line in text.splitlines() if line.startswith(("TASK [", "RUNNING HANDLER ["))]
        return (tasks or ["before the first task"])[-1].rstrip(" *") if hit else None

    def look(self):
        """What the app's files say works."""
        path = "/srv/backstage/.env" if self.host.engine else "/etc/backstage/backstage.env"
        script = (
            f"import re, psycopg2; v = dict(re.findall(r'^(\\w+)=(.*)$', open('{path}').read(), re.M));"
            "g = lambda n: v['POSTGRES_' + n].strip('\\'\"');"
            "psycopg2.connect(host=g('HOST'), port=g('PORT'), user=g('USER'), password=g('PASSWORD'),"
            " dbname='postgres').close(); print(g('USER'), g('PASSWORD'))"
        )
        done = run("docker", "exec", self.host.name, "python3", "-c", script, check=False)
        if done.returncode:
            raise AssertionError(f"what the files say does not work: {done.stderr[-500:]}")
        if not done.stdout.strip().endswith(self.password):
            raise AssertionError(f"another password is in force: {done.stdout}")
        if self.kind == "rotate" and self.host.shell("ls /var/lib/devportal-backstage 2>/dev/null", check=False).stdout:
            raise AssertionError("a journal is left")
        if not self.host.engine:
            self.host.shell("systemctl is-active --quiet backstage")

    def point(self, chance, bare, thrice):
        """Kill, run again, look, and run again where that must change nothing; where it was killed."""
        if bare:
            self.host.create()
        self.wish()
        module = chance.random() < 0.5
        where = self.kill(chance.uniform(0.02, 1.0) * (self.seconds * (3 if bare else 1)), module)
        killed = f"{'module' if module else 'ansible-playbook'} at {where or 'its end'}"
        try:
            self.complete()
            self.look()
            changed = _changed(self.complete()) if thrice else []
        except AssertionError as error:
            raise AssertionError(f"killed: {killed}; {error}") from error
        if changed:
            raise AssertionError(f"killed: {killed}; a third run changes {'; '.join(changed)}")
        return [killed] if where else []


def _changed(text):
    """The tasks of a run that changed something, with what Ansible said of it."""
    found, task = [], ""
    for line in text.splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.rstrip(" *")
        elif line.startswith("changed: "):
            found.append(f"{task} {line[:300]}")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=int(os.environ.get("KILLS") or "100"))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DEVPORTAL_SEED") or "1"))
    parser.add_argument("--bare", type=int, default=10, help="each how many points site.yml starts from a bare host")
    parser.add_argument("--only", default="site,rotate,container")
    asked = parser.parse_args()
    kinds = asked.only.split(",")
    chance = random.Random(asked.seed)
    with Report(asked.seed, asked.points) as report:
        hosts = {"host": Host("devportal-kills-host"), "engine": Host("devportal-kills-engine", engine=True)}
        drills = {
            kind: Drill(kind, hosts["engine" if kind == "container" else "host"], report.folder) for kind in kinds
        }
        for host in {drill.host for drill in drills.values()}:
            report.host(host).create()
        for kind, drill in drills.items():
            if kind == "rotate" and "site" not in drills:
                drills["site"] = Drill("site", drill.host, report.folder)
            first = drills["site"] if kind == "rotate" else drill
            first.wish()
            first.complete()
            if kind == "rotate":
                drill.password, drill.user = first.password, first.user
                drill.seconds = first.seconds * 1.5
        for number in range(1, asked.points + 1):
            kind = kinds[number % len(kinds)]
            drill = drills[kind]
            bare = kind == "site" and number % asked.bare == 0
            thrice = (number % 10 == 0 and kind != "rotate") or bare
            label = f"{kind}{' bare' if bare else ''}"
            report.point(label, lambda d=drill, b=bare, t=thrice: d.point(chance, b, t))
            # The hosts' other playbook goes on from here.
            for other in drills.values():
                if other.host is drill.host:
                    other.password, other.user = drill.password, drill.user
    return report.code()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
