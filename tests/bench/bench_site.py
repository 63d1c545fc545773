# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second run of site.yml on two hosts: its tasks, and its time beside pings of the same hosts.

With the collection installed, and molecule's image of Debian 13 built (make bench does both):
    python tests/bench/bench_site.py [rounds]

The rounds take turns, so that a busy machine slows both. The table has the medians, and the ratio of the medians: to as
many pings as the run may have tasks, and to as many as it has.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "drills"))

from kills import PROGRAM, Host  # noqa: E402

MOST_TASKS = 7
MOST_RATIO = 1.5


def run(folder, playbook, **variables):
    """The seconds of a run, and what the callback host_tasks recorded of it."""
    record = folder / "record.jsonl"
    record.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_CALLBACKS_ENABLED": "host_tasks",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE.parent / "tools" / "callback"),
        "ANSIBLE_PIPELINING": "1",
        "HOST_TASKS_FILE": str(record),
        **variables,
    }
    command = [str(PROGRAM), "--inventory", str(folder / "inventory.json"), str(playbook)]
    start = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, json.loads(record.read_text(encoding="utf-8"))["hosts"]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    hosts = [Host(f"devportal-bench-{number}") for number in (1, 2)]
    names = {host.name: {"ansible_host": host.name} for host in hosts}
    variables = {
        "ansible_connection": "community.docker.docker",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "backstage_postgresql_user": "backstage",
        "backstage_postgresql_password": "a password for the bench",
        "backstage_app_config_directory": "/srv/backstage",
    }
    groups = {group: {"hosts": names} for group in ("backstage_database", "backstage")}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        (folder / "inventory.json").write_text(json.dumps({"all": {"children": groups, "vars": variables}}))
        try:
            for host in hosts:
                host.create()
            site = "devportal.backstage.site"
            first, _hosts = run(folder, site)
            _seconds, counted = run(folder, site)
            tasks = max(counts["tasks"] for counts in counted.values())
            changed = sum(counts["changed"] for counts in counted.values())
            numbers = sorted({tasks, MOST_TASKS})
            for count in numbers:
                pings = [{"name": f"Ping {number}", "ansible.builtin.ping": {}} for number in range(count)]
                play = [{"hosts": "backstage", "gather_facts": False, "become": True, "tasks": pings}]
                (folder / f"{count}.json").write_text(json.dumps(play))
            times = {site: [], **{count: [] for count in numbers}}
            for _round in range(rounds):
                times[site].append(run(folder, site)[0])
                for count in numbers:
                    times[count].append(run(folder, folder / f"{count}.json")[0])
        finally:
            for host in hosts:
                host.remove()
    ours = statistics.median(times.pop(site))
    print(f"first run of site.yml on two bare hosts {first:.1f} s")
    print(f"second run: {tasks} tasks a host (wanted {MOST_TASKS}), changed={changed}, {ours:.2f} s")
    for count, found in times.items():
        pinged = statistics.median(found)
        print(
            f"{count} pings: {pinged:.2f} s; ratio {ours / pinged:.2f} (wanted {MOST_RATIO}), {rounds} rounds in turns"
        )
    return int(tasks > MOST_TASKS or changed > 0)


if __name__ == "__main__":
    sys.exit(main())
