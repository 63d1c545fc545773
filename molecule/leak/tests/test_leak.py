# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One story: a host from bare, through every kind of rotation, to the search for what must not have been written down.

The tests are in the order of the story, and need what those above them did.
"""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from conftest import ENV_FILE, HERE, Search, needles, verifier_needles

SITE, ROTATE = "devportal.backstage.site", "devportal.backstage.rotate_password"
# Ten marked passwords; characters that base64 and URLs write otherwise, and that need no quotes in an env file.
MARKS = [f"Mk{number}@q/Zw+7%Lk:{number}" for number in range(10)]
FIRST, SECOND, BROKEN, THIRD, FOURTH, DENIED, FIFTH, SIXTH, *_unused = MARKS
BROKEN += "Broken"
MARKS[2] = BROKEN
SINGLE = ("backstage", SECOND, "")
A, B = ("backstage_a", THIRD, "backstage"), ("backstage_b", FOURTH, "backstage")
# Where a run can be killed: when a task begins, for the first or the second time (some are in the preflight too).
BOUNDARIES = {
    "before anything": ("Run rotation step begin", 1),
    "the journal is written": ("Configure the PostgreSQL cluster", 1),
    "the other user is made": ("Set connection facts", 1),
    "before the switch": ("Run rotation step switch", 1),
    "the new login was tried": ("Set backend.database in app-config and its variables", 2),
    "before the restart": ("Create the systemd units", 1),
    "Backstage is restarted": ("Wait until Backstage is ready on the first host", 1),
    "Backstage is ready": ("Run rotation step ready", 1),
    "before the retirement": ("Remove the passwords of retired users", 1),
    "the former user is retired": ("Run rotation step finish", 2),
}
# What TLS and backups keep secret besides.
PASSPHRASE, CA_PASSPHRASE, OPTION = (f"Mk{name}@q/Zw+7%Lk:{name}" for name in ("Repository", "Authority", "Option"))
BACKUP_SECRETS = "/etc/backstage-postgresql-backup/conf.d/secrets.conf"
DEFAULT_KILLS = ["before the restart", "before the retirement"]


def kills():
    asked = os.environ.get("LEAK_KILLS", "")
    return list(BOUNDARIES) if asked == "all" else DEFAULT_KILLS


@pytest.fixture(scope="module")
def samples(controller):
    """What the sampler saw in all of the runs."""
    return []


@pytest.fixture
def sampled(controller, samples):
    with controller.host.watch("sampler.py", "backstage") as lines:
        yield
    rounds = int(lines[0].split()[1])
    assert rounds > 20, "the sampler was not there"
    samples += lines[1:]


def said(controller):
    text = controller.host.run("cat", ENV_FILE).decode()
    return tuple(re.search(rf'^POSTGRES_{name}="?(.*?)"?$', text, re.M)[1] for name in ("USER", "PASSWORD"))


def lets_in(controller, login):
    user, password = login[:2]
    query = (
        f"import psycopg2; psycopg2.connect(host='localhost', dbname='postgres', user={user!r}, password={password!r})"
    )
    return controller.host.run("sh", "-c", "python3 - 2>&1 || true", stdin=query.encode()) == b""


def is_ready(controller):
    url = "http://127.0.0.1:7007/.backstage/health/v1/readiness"
    code = f"import urllib.request as u; print(u.urlopen({url!r}).status)"
    return controller.host.run("python3", "-c", code, check=False).strip() == b"200"


def works(controller, login):
    assert said(controller) == login[:2]
    assert lets_in(controller, login)
    assert is_ready(controller)
    assert b"rotation" not in controller.host.run("sh", "-c", "ls /var/lib/devportal-backstage 2>&1 || true")


def test_site_from_bare(controller, sampled):
    # Without pipelining each module, with its arguments, is a file on the host for a moment.
    output = controller.play(SITE, ("backstage", FIRST, ""), ANSIBLE_PIPELINING="0")
    assert controller.code == 0, output[-3000:]
    controller.host.sql("CREATE EXTENSION pg_stat_statements;")
    works(controller, ("backstage", FIRST))


def test_a_single_user_gets_another_password(controller, sampled):
    output = controller.play(ROTATE, SINGLE)
    assert controller.code == 0, output[-3000:]
    works(controller, SINGLE)
    assert not lets_in(controller, ("backstage", FIRST))


def test_what_does_not_come_up_is_put_back(controller, sampled):
    before = controller.host.run("cat", ENV_FILE)
    output = controller.play(ROTATE, ("backstage", BROKEN, ""))
    assert controller.code != 0
    assert "The old password is back, on the server and in the files" in " ".join(output.split())
    assert controller.host.run("cat", ENV_FILE) == before
    works(controller, SINGLE)
    assert not lets_in(controller, ("backstage", BROKEN))


def test_a_run_that_fails_early(controller, sampled):
    controller.play(SITE, ("backstage", SIXTH, "backstage"))
    assert controller.code != 0, "owner and user are the same"
    works(controller, SINGLE)


def test_the_first_of_two_users_takes_over_from_the_single_one(controller, sampled):
    controller.host.sql("CREATE DATABASE backstage_plugin_catalog OWNER backstage;")
    with controller.host.watch("client.py", ENV_FILE) as answers:
        output = controller.play(ROTATE, A)
    assert controller.code == 0, output[-3000:]
    assert re.fullmatch(r"ok \d{2,} failed 0", answers[-1]), answers
    works(controller, A)
    assert controller.host.sql("SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'backstage';") == ["f|"]


def test_the_second_takes_over_from_the_first(controller, sampled):
    with controller.host.watch("client.py", ENV_FILE) as answers:
        output = controller.play(ROTATE, B)
    assert controller.code == 0, output[-3000:]
    assert re.fullmatch(r"ok \d{2,} failed 0", answers[-1]), answers
    works(controller, B)
    assert not lets_in(controller, A)


def test_what_the_server_denies(controller, sampled):
    output = controller.play(str(HERE / "denied.yml"), B, LEAK_DENIED=DENIED)
    assert controller.code != 0
    assert "permission denied" in output


@pytest.mark.parametrize("boundary", kills())
def test_a_killed_run_is_finished_by_the_next(controller, boundary):
    user = {"backstage_a": "backstage_b", "backstage_b": "backstage_a"}[said(controller)[0]]
    login = (user, FIFTH, "backstage")
    with controller.host.watch("client.py", ENV_FILE) as answers:
        assert controller.kill(ROTATE, login, *BOUNDARIES[boundary]), "the task did not come"
        assert lets_in(controller, said(controller)), "what the files say does not work"
        output = controller.play(ROTATE, login)
    assert controller.code == 0, output[-3000:]
    assert re.fullmatch(r"ok \d{2,} failed 0", answers[-1]), answers
    works(controller, login)
    (former,) = {"backstage_a", "backstage_b"} - {user}
    assert controller.host.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{former}';") == [""]


def test_site_agrees(controller, sampled):
    login = (said(controller)[0], FIFTH, "backstage")
    output = controller.play(SITE, login)
    assert (controller.code, controller.changed()) == (0, [0]), output[-3000:]
    controller.play(ROTATE, login)
    assert (controller.code, controller.changed()) == (0, [0])


@pytest.fixture(scope="module")
def ca_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("outside") / "ca"


def test_tls_and_backups(controller, sampled, ca_directory):
    controller.variables = ca_directory.parent / "variables.json"
    wish = {
        "backstage_postgresql_tls": True,
        "backstage_postgresql_tls_client_certificates": True,
        "backstage_postgresql_tls_ca_directory": str(ca_directory),
        "backstage_postgresql_tls_ca_passphrase": CA_PASSPHRASE,
        "backstage_postgresql_backup": True,
        "backstage_postgresql_backup_passphrase": PASSPHRASE,
        "backstage_postgresql_backup_secret_options": {"repo1-s3-key-secret": OPTION},
    }
    controller.variables.write_text(json.dumps(wish))
    login = (said(controller)[0], FIFTH, "backstage")
    for playbook in ("site", "backup", "restore_test", "renew_certificates", "verify"):
        renewed = {"backstage_postgresql_tls_renew": playbook == "renew_certificates"}
        controller.variables.write_text(json.dumps({**wish, **renewed}))
        output = controller.play(f"devportal.backstage.{playbook}", login, ANSIBLE_PIPELINING="0")
        assert controller.code == 0, output[-3000:]
    assert said(controller) == login[:2]
    assert is_ready(controller)


def test_no_secret_of_tls_and_backups_is_anywhere_else(controller, samples, ca_directory):
    secrets = (PASSPHRASE, CA_PASSPHRASE, OPTION)
    wanted = {f"{secret} ({way})": needle for secret in secrets for way, needle in needles(secret).items()}
    # The longest line of each key; the CA's also as it is without the passphrase.
    key, ca_key = "/etc/backstage-postgresql-tls/server.key", ca_directory / "ca.key"
    client_key = key.replace("server", "client")
    texts = {"server's key": controller.host.run("cat", key), "CA's key": ca_key.read_bytes()}
    texts["client's key"] = controller.host.run("cat", client_key)
    command = ["openssl", "pkey", "-in", str(ca_key), "-passin", "stdin"]
    texts["CA's plain key"] = subprocess.run(
        command, input=CA_PASSPHRASE.encode(), capture_output=True, check=True
    ).stdout
    for name, text in texts.items():
        lines = [line for line in text.splitlines() if re.fullmatch(rb"[A-Za-z0-9+/=]+", line)]
        wanted[name] = max(lines, key=len)
    assert Search(controller, wanted, samples).found == {
        (BACKUP_SECRETS, f"{PASSPHRASE} (clear)"),
        (BACKUP_SECRETS, f"{OPTION} (clear)"),
        (key, "server's key"),
        (client_key, "client's key"),
    }
    assert controller.host.run("stat", "-c", "%a %U", BACKUP_SECRETS).decode().split() == ["600", "postgres"]
    assert controller.host.run("stat", "-c", "%a %U", key).decode().split() == ["600", "postgres"]
    assert controller.host.run("stat", "-c", "%a %U", client_key).decode().split() == ["600", "backstage"]
    assert b"ENCRYPTED" in ca_key.read_bytes()
    assert ca_key.stat().st_mode & 0o777 == 0o600


def test_no_password_is_anywhere_but_in_the_env_file(controller, samples):
    wanted = {f"{mark} ({way})": needle for mark in MARKS for way, needle in needles(mark).items()}
    found = Search(controller, wanted, samples).found
    # Only the one in force, and only as it stands.
    assert found == {(ENV_FILE, f"{FIFTH} (clear)")}
    assert controller.host.run("stat", "-c", "%a %U", ENV_FILE).decode().split() == ["600", "root"]


def test_no_verifier_is_anywhere_but_in_pg_authid(controller, samples):
    wanted = {needle.decode(): needle for needle in verifier_needles(controller.verifiers)}
    assert len(wanted) >= 15, "the verifiers of this story"
    controller.host.sql("CHECKPOINT;")  # so that the present one is in the table's file, and the search has to find it
    found = Search(controller, wanted, samples).found
    # Tables and write-ahead log: where the server keeps the rows of pg_authid. An autovacuum that comes by copies
    # samples of them to pg_statistic (2619) of the database it is in, or to its TOAST table (2840).
    place = re.compile(r"/var/lib/postgresql/\d+/main/(?:(global|pg_wal)/.*|base/\d+/(2619|2840))")
    places = {(match[1] or match[2]) if (match := place.fullmatch(path)) else path for path, _what in found}
    assert places <= {"global", "pg_wal", "2619", "2840"}
    assert "global" in places
    assert controller.host.sql("SELECT has_table_privilege('backstage', 'pg_statistic', 'SELECT');") == ["f"]


@pytest.mark.parametrize(
    ("way", "place"),
    [
        ("LEAK_ARGV", "sampled process or session"),
        ("LEAK_PRINTED", "ansible's output"),
        ("LEAK_SENT", "/var/log/postgresql/"),
        ("LEAK_SENT", "pg_stat_statements"),
        ("LEAK_LEFT", "/root/.psql_history"),
    ],
)
def test_the_search_finds_a_leak_that_was_planted(planted, way, place):
    assert [found for found, what in planted.found if found.startswith(place) and way in what]


@pytest.fixture(scope="module")
def planted(controller):
    marks = {way: f"Pl@nted/{way}+9%" for way in ("LEAK_ARGV", "LEAK_PRINTED", "LEAK_SENT", "LEAK_LEFT")}
    with controller.host.watch("sampler.py", "backstage") as lines:
        output = controller.play(str(HERE / "planted.yml"), B, **marks)
    assert controller.code == 0, output[-3000:]
    wanted = {f"{name} {way}": needle for name, mark in marks.items() for way, needle in needles(mark).items()}
    return Search(controller, wanted, lines)
