# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbooks while an app's user, a database user and a network peer attack them, and looks what they got.

Environment: HOSTILE_INVENTORY and HOSTILE_HOST (the container), from verify.yml.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import shutil
import subprocess
import time

import pytest

CONTAINER = os.environ["HOSTILE_HOST"]
COLLECTION = "devportal.backstage"
CANARY = "Canary-8841"
CANARIES = (
    "/etc/canary.yaml",
    "/root/canary.yaml",
    "/home/alice/canary.yaml",
    "/root/app/app-config.yaml",
    "/root/app/.env",
)
HOME = "/home/portal/"
APP = f"{HOME}backstage"
FIRST, SECOND = "First-pw-7712", "Second-pw-7713"


def inside(*command, check=True, **options):
    command = ["docker", "exec", "-i", CONTAINER, *command]
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


def sql(query, check=True):
    return inside("runuser", "-u", "postgres", "--", "psql", "-XAtq", input=query.encode(), check=check)


class Run:
    """One run of a playbook, with a time limit that a hung one does not survive."""

    def __init__(self, playbook, password, check=False, python="/usr/local/bin/traced-python"):
        command = [
            shutil.which("ansible-playbook"),
            f"--inventory={os.environ['HOSTILE_INVENTORY']}",
            "--diff",
            "-vvv",
            *(["--check"] if check else []),
            f"{COLLECTION}.{playbook}",
        ]
        began = time.monotonic()
        done = subprocess.run(
            command,
            env={**os.environ, "HOSTILE_PASSWORD": password, "HOSTILE_PYTHON": python, "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        self.seconds = time.monotonic() - began
        self.code, self.output = done.returncode, done.stdout

    def message(self):
        """What the task that failed reports."""
        fatal = self.output.rpartition("fatal: ")[2]
        return " ".join(re.findall(r'^ *"?msg"?: (.*(?:\n      .*)*)', fatal, re.M))


def state():
    """Content, owner, mode and time of each canary."""
    paths = " ".join(CANARIES)
    return inside(
        "sh", "-c", f"sha256sum {paths}; stat -c '%n %U %a %s %Y %i' {paths}; ls -A /root/app /etc | sha256sum"
    )


@contextlib.contextmanager
def attacked(how):
    """The attacks go on within this: `loud`, which a run may fail because of, or `silent`."""
    processes = [
        subprocess.Popen(["docker", "exec", CONTAINER, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (
            ("runuser", "-u", "backstage", "--", "/usr/local/bin/attack.sh", how),
            ("python3", "/usr/local/bin/peer.py", "6666"),
        )
    ]
    try:
        yield
        assert [process.poll() for process in processes] == [None, None], "the attacks ended"
    finally:
        inside("pkill", "-9", "-f", "attack[.]sh", check=False)
        inside("pkill", "-9", "-f", "peer[.]py", check=False)
        for process in processes:
            process.wait(30)
        inside(
            "sh",
            "-c",
            f"cd {HOME}; [ -d real ] && rm -f backstage && mv real backstage; cd backstage; rm -rf .git; "
            "rm -f app-config.local.yaml postgres-password app-config.yaml.tmp .new; "
            "if [ -L .env ] || [ -p .env ]; then rm .env; fi",
        )


@pytest.fixture(scope="module")
def runs():
    """A whole site first; then every playbook under attack, for real and in check mode."""
    before = Run("site", FIRST, python="/usr/bin/python3")
    assert before.code == 0, before.output[-3000:]
    # As after an upgrade from PostgreSQL 14: everybody may create functions where an unqualified name is looked for.
    sql(
        "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE mallory LOGIN;"
        "SET ROLE mallory; CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$"
        "BEGIN ALTER ROLE mallory SUPERUSER; RETURN 'SELECT 1'; END $$;"
        "CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$"
        "BEGIN ALTER ROLE mallory SUPERUSER; RETURN 'SELECT 1'; END $$;"
        "CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$"
        "BEGIN ALTER ROLE mallory SUPERUSER; RETURN 'x'; END $$;"
    )
    found = {"state": state(), "quiet": Run("site", FIRST)}
    with attacked("loud"):
        for playbook, password, check in (
            ("site", FIRST, True),
            ("site", FIRST, False),
            ("verify", FIRST, False),
            ("rotate_password", SECOND, True),
        ):
            found["loud", playbook, check] = Run(playbook, password, check)
    with attacked("silent"):
        for playbook in ("site", "rotate_password", "verify"):
            found["silent", playbook, False] = Run(playbook, FIRST if playbook == "site" else SECOND)
    return found


def attacked_runs(runs):
    return {key: run for key, run in runs.items() if isinstance(key, tuple)}


def test_every_run_ends_within_a_minute(runs):
    """On a machine where a run that nobody attacks takes a few seconds."""
    limit = max(60, 3 * runs["quiet"].seconds)
    assert {key: round(run.seconds) for key, run in attacked_runs(runs).items() if run.seconds > limit} == {}


def test_silent_attacks_stop_no_run(runs):
    assert {key: run.message() for key, run in attacked_runs(runs).items() if key[0] == "silent" and run.code} == {}


def test_every_failure_is_a_sentence(runs):
    for key, run in attacked_runs(runs).items():
        for word in ("Traceback (most recent", "MODULE FAILURE", "Unexpected failure", "rc=137"):
            assert word not in run.output, (key, run.output[-3000:])
        if run.code:
            assert re.search(r"[a-z)`'\"]\.", run.message()), (key, run.output[-3000:])


def test_nothing_of_the_canaries_is_printed(runs):
    for key, run in attacked_runs(runs).items():
        assert CANARY not in run.output, key
        for password in (FIRST, SECOND):
            assert password not in run.output, key


def test_nothing_is_sent(runs):
    received = inside("sh", "-c", "cat /var/log/peer || true")
    for secret in (CANARY, FIRST, SECOND):
        assert secret not in received


def test_nothing_is_changed_or_removed(runs):
    assert state() == runs["state"]
    assert (
        inside("sh", "-c", f"grep -rl {CANARY} {HOME} /tmp /var/tmp /var/log /var/lib/devportal-backstage || true")
        == ""
    )


def test_git_ran_nothing_as_root(runs):
    assert inside("sh", "-c", "cat /tmp/git-ran-as 2>/dev/null | sort -u").split() in (
        [],
        [inside("id", "-u", "backstage").strip()],
    )
    assert inside("sh", "-c", "ls /tmp/stolen 2>/dev/null || true") == ""


def test_the_database_user_gained_nothing(runs):
    assert (
        sql("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = 'mallory'").strip()
        == "f|f|f"
    )


# Arguments of a program, and what a link leads to, follow the path.
FIRST_PATH = ("execve", "readlink", "readlinkat")
CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
CHILD = re.compile(r"^(\d+) +(?:<\.\.\. )?(?:clone3?|v?fork)(?:\(| resumed>).* = (\d+)")
BEGUN = re.compile(r"^(\d+) +(?:clone3?|v?fork)\(.*<unfinished")
IDS = re.compile(r"^(\d+) +(setuid|setreuid|setresuid)\(([^)]*)\) += 0")
PATH = re.compile(r'(?:AT_FDCWD<([^>]*)>|\d+<([^>]*)>)?,? ?"((?:[^"\\]|\\.)*)"')


def touched(text):
    """Of a record: how many calls there were, and those that root's ids made below the app's home."""
    uids, pending, count, found = {}, [], 0, collections.Counter()
    for line in text.splitlines():
        pid = line.partition(" ")[0]
        if pid not in uids:
            # A child may speak before its parent's call is over.
            uids[pid] = uids.get(pending[-1], 0) if pending else 0
        if BEGUN.match(line):
            pending.append(pid)
        elif child := CHILD.match(line):
            uids.setdefault(child[2], uids[pid])
            pending = [other for other in pending if other != pid]
        elif ids := IDS.match(line):
            effective = ids[3].split(", ")[{"setuid": 0, "setreuid": 1, "setresuid": 1}[ids[2]]]
            if effective != "-1":
                uids[pid] = int(effective)
        elif call := CALL.match(line):
            for base, held, name in PATH.findall(call[3])[: 1 if call[2] in FIRST_PATH else None]:
                path = os.path.normpath(os.path.join(base or held or "/", name)) if name else ""
                if path.startswith(HOME):
                    count += 1
                    if uids[pid] == 0:
                        found[f"{call[2]} {path}"] += 1
                if path in CANARIES:
                    found[f"{call[2]} {path} as {uids[pid]}"] += " = -1 E" not in line
    return count, +found


def test_no_process_of_roots_goes_below_the_home_of_the_app(runs):
    records = inside("sh", "-c", "ls /var/log/record").split()
    assert len(records) > 30, "the record"
    count, found = 0, collections.Counter()
    for record in records:
        calls, roots = touched(inside("cat", f"/var/log/record/{record}"))
        count += calls
        found += roots
    assert count > 200, "the runs looked at the app's files"
    assert dict(found) == {}


def test_the_record_shows_a_process_of_roots():
    """That the test above can fail."""
    for code, calls in (
        (f"open('{APP}/backend.py')", {f"openat {APP}/backend.py"}),
        (f"import os; os.seteuid(65534); os.seteuid(0); os.stat('{APP}/backend.py')", {f"newfstatat {APP}/backend.py"}),
        (f"import os; os.open('backstage', 0, dir_fd=os.open('{HOME}', 0))", {f"openat {APP}"}),
        (f"import subprocess as s; s.run(['cat', '{APP}/backend.py'], stdout=s.DEVNULL)", {f"openat {APP}/backend.py"}),
        ("open('/root/canary.yaml')", {"openat /root/canary.yaml as 0"}),
    ):
        inside("rm", "-rf", "/var/log/record")
        inside("traced-python", "-c", code)
        assert set(touched(inside("sh", "-c", "cat /var/log/record/*"))[1]) == calls, code


def test_the_site_works_again_once_the_attack_is_over(runs):
    again = Run("site", SECOND, python="/usr/bin/python3")
    assert again.code == 0, again.output[-3000:]
    assert Run("verify", SECOND, python="/usr/bin/python3").code == 0
