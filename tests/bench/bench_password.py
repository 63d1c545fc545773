# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU of a task that has nothing to do: postgresql_password beside community.postgresql's postgresql_user and a ping.

Run it with the collection's tree on PYTHONPATH and ANSIBLE_COLLECTIONS_PATH, psycopg2 (and no psycopg 3) installed:
    python tests/bench/bench_password.py [rounds] [tasks]

Each round runs one play of `tasks` equal tasks for each kind, in an order that changes, and an empty play; the CPU is
that of the controller and all of its children, without the server's. The table has the medians over the rounds.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "integration"))

from servers import Server

PASSWORD = "nothing to do here"


def kinds(server):
    """The tasks by the name they have in the table; None is the empty play."""
    login = {
        "login_host": server.host,
        "login_port": server.port,
        "login_user": server.user,
        "login_password": server.password,
        "login_db": "postgres",
    }
    socket = {"login_unix_socket": server.socket_directory, "login_port": server.port}
    return {
        "empty": None,
        "ping": {"ansible.builtin.ping": {}},
        "postgresql_ping": {"community.postgresql.postgresql_ping": login},
        "postgresql_user": {"community.postgresql.postgresql_user": {**login, "name": "app", "password": PASSWORD}},
        "postgresql_password": {
            "devportal.backstage.postgresql_password": {**login, "name": "app", "password": PASSWORD}
        },
        "postgresql_password, peer": {
            "devportal.backstage.postgresql_password": {**socket, "name": "app", "password": PASSWORD}
        },
    }


def play(folder, task, tasks):
    """The CPU and the wall time of one play, in seconds."""
    path = os.path.join(folder, "play.json")
    tasks = [] if task is None else [{"name": f"Task {number}", **task} for number in range(tasks)]
    with open(path, "w", encoding="utf-8") as stream:
        json.dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], stream)
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", "localhost,", "-c", "local", path],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or "changed: [" in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main():
    rounds, tasks = (int(argument) for argument in [*sys.argv[1:], "5", "10"][:2])
    server = Server()
    try:
        server.query(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
        with tempfile.TemporaryDirectory() as folder:
            todo = list(kinds(server).items())
            found = {name: [] for name, _task in todo}
            for _round in range(rounds):
                for name, task in todo:
                    found[name].append(play(folder, task, tasks))
                todo.append(todo.pop(0))
    finally:
        server.close()
    cpu = {name: statistics.median(pair[0] for pair in pairs) for name, pairs in found.items()}
    wall = {name: statistics.median(pair[1] for pair in pairs) for name, pairs in found.items()}
    # postgresql_ping is the ping that connects with psycopg2.
    head = f"{'task':28}{'CPU ms':>8}{'x ping':>8}{'x postgresql_ping':>19}{'wall ms':>9}{'x ping':>8}"
    print(f"{head}   ({rounds} rounds of {tasks} tasks)")
    for name in cpu:
        if name != "empty":
            own = [(times[name] - times["empty"]) / tasks * 1000 for times in (cpu, wall)]
            ping = [(times["ping"] - times["empty"]) / tasks * 1000 for times in (cpu, wall)]
            psycopg2 = (cpu["postgresql_ping"] - cpu["empty"]) / tasks * 1000
            ratios = f"{own[0] / ping[0]:8.2f}{own[0] / psycopg2:19.2f}"
            print(f"{name:28}{own[0]:8.0f}{ratios}{own[1]:9.0f}{own[1] / ping[1]:8.2f}")


if __name__ == "__main__":
    main()
