# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import backend_log, systemd
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.service_unit import (
    ServiceSettings,
    require_entry,
    require_own,
    require_root_owned,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of another owner take root")


def settings(**changes):
    given = {
        "name": "portal",
        "user": "app",
        "directory": "/opt/portal",
        "command": "/bin/echo packages/backend",
        "env_file": "/etc/backstage/portal.env",
        "config_files": ["app-config.yaml", "/etc/portal/app-config.production.yaml"],
        "environment": {"NODE_ENV": "production"},
    }
    return ServiceSettings(**{**given, **changes})


def service(**changes):
    return settings(**changes).units()["portal.service"].splitlines()


def test_the_two_units():
    units = settings().units()
    assert list(units) == ["portal.service", "portal-recovery.service"]
    lines = service()
    for line in (
        "User=app",
        "WorkingDirectory=/opt/portal",
        "ExecStart=/bin/echo packages/backend --config /opt/portal/app-config.yaml"
        " --config /etc/portal/app-config.production.yaml",
        "Environment=NODE_ENV=production",
        "EnvironmentFile=-/etc/backstage/portal.env",
        "Wants=network-online.target portal-recovery.service",
    ):
        assert line in lines
    assert "BindsTo=portal.service" in units["portal-recovery.service"]


def test_no_limit_ends_a_start():
    """A migration of the catalog may take hours; killed, it leaves its lock behind."""
    assert not [line for line in service() if line.startswith(("TimeoutStartSec", "TimeoutSec", "RuntimeMaxSec"))]
    assert "Type=exec" in service()  # the start ends when the program runs, so that no default limit applies
    assert "TimeoutStopSec=30min" in service()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", "x\n[Service]"),
        ("user", "app\nUser=root"),
        ("user", "root %u"),
        ("directory", "/opt/x\nExecStartPre=+/bin/touch /tmp/P"),
        ("directory", "/opt/x\\"),
        ("directory", "opt"),
        ("command", "/bin/echo x\nExecStartPre=+/bin/touch /tmp/P"),
        ("command", "+/bin/echo"),
        ("env_file", "/opt/x\nExecStartPre=+/bin/touch /tmp/P"),
        ("env_file", "/etc/backstage/*.env"),
        ("config_files", ["a\nb"]),
        ("config_files", [""]),
        ("environment", {"A": "a\0b"}),
        ("environment", {"A\nUser": "b"}),
    ],
)
def test_a_value_that_would_break_out_is_rejected(option, value):
    with pytest.raises(CollectionError, match=f"^backstage_service_{option}"):
        settings(**{option: value}).units()


VALUES = {
    "directory": '/opt/a b%h"q',
    "command": '/bin/echo \'a "b" $HOME ${X} %t \\\\\' ; "it\'s"',
    "config_files": ['a "b" %h $c \\.yaml'],
    "environment": {"A": 'x"\\ %h $HOME\ny', "B": ""},
    "env_file": "/etc/backstage/a b%h.env",
}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("changes", [{}, VALUES, *({key: value} for key, value in VALUES.items())])
def test_systemd_accepts_the_units(changes):
    systemd.verify(settings(**changes).units())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Type=exec", "Typ=exec", "portal.service:12: Unknown key"),
        ("RestartSec=5", "RestartSec=soon", "Failed to parse"),
        ("/bin/echo", "/no/such/program", "/no/such/program is not executable"),
    ],
)
def test_systemd_rejects_a_unit(old, new, words):
    units = settings().units()
    units["portal.service"] = units["portal.service"].replace(old, new)
    with pytest.raises(CollectionError, match=r"^systemd rejects the unit: ") as caught:
        systemd.verify(units)
    assert words in str(caught.value)
    assert "/tmp" not in str(caught.value)


GIVEN_UP = [
    '{"level":"error","message":"Unhandled rejection Backend startup failed due to the following errors:\\n  Plugin"}',
    '{"code":"EADDRINUSE","level":"error","message":"Unhandled rejection listen EADDRINUSE: address already in use"}',
    "\x1b[34mbackstage\x1b[39m \x1b[31merror\x1b[39m Unhandled rejection Backend startup failed due to the",
    '{"level":"error","message":"Unhandled rejection Plugin \'auth\' startup failed; caused by Error: x"}',
]
# A client chooses what stands in its request's line, and must not have Backstage restarted.
HARMLESS = [
    '{"level":"info","message":"GET / \\"Unhandled rejection Backend startup failed due to the following errors\\""}',
    '{"level":"info","message":"GET / \\"message\\":\\"Unhandled rejection Backend startup failed due to\\""}',
    '{"level":"info","message":"GET / \'message\':\'Unhandled rejection Backend startup failed due to the\'"}',
    "\x1b[34mrootHttpRouter\x1b[39m \x1b[32minfo\x1b[39m GET / error Unhandled rejection Backend startup failed due to",
    "GET / [39m Unhandled rejection Backend startup failed due to",
    '{"level":"error","message":"Unhandled rejection something else"}',
]


@pytest.mark.parametrize("line", [*GIVEN_UP, *HARMLESS])
def test_the_recovery_restarts_after_a_failed_start_only(line, tmp_path):
    """The script of the unit is run as it is, with stand-ins for journalctl and systemctl."""
    for name, text in {
        "journalctl": f"cat {tmp_path}/log",
        "systemctl": f'[ "$1" = show ] && echo abc || echo "$*" >> {tmp_path}/restarted',
        "sleep": "true",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "log").write_text(f"Loading config\n{line}\nlast\n")
    unit = settings().units()["portal-recovery.service"]
    command = next(row for row in unit.splitlines() if row.startswith("ExecStart="))
    script = command.partition('-c "')[2][:-1].replace('\\"', '"').replace("\\\\", "\\").replace("$$", "$")
    subprocess.run(["/bin/sh", "-c", script], check=False, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    restarted = (tmp_path / "restarted").read_text() if (tmp_path / "restarted").exists() else ""
    assert restarted == ("--no-block restart portal.service\n" if line in GIVEN_UP else "")
    assert backend_log.start_failed(f"a\n{line}\nb") is (line in GIVEN_UP)


def test_a_unit_of_somebody_else_is_not_taken_over(tmp_path):
    ours = b"# Written by Ansible, role devportal.backstage.backstage_service.\n[Unit]\n"
    for text in (None, ours, ours.replace(b"Written", b"Managed")):
        require_own("portal.service", text, [str(tmp_path)])
    for text in (b"", b"[Unit]\nDescription=devportal.backstage\n"):
        with pytest.raises(CollectionError, match=r"backstage_service_name: /etc/systemd/system/portal.service"):
            require_own("portal.service", text, [str(tmp_path)])
    (tmp_path / "ssh.service").symlink_to("nowhere")
    with pytest.raises(CollectionError, match=rf"backstage_service_name: {tmp_path}/ssh.service"):
        require_own("ssh.service", None, [str(tmp_path)])


@needs_root
def test_what_systemd_reads_as_root_is_root_s(tmp_path):
    base = tmp_path / "etc"
    base.mkdir()
    # The test's own folder lies below /tmp, which everybody may write to.
    with pytest.raises(CollectionError, match="can be changed by other users"):
        require_root_owned(str(base / "x.env"), "env_file")
    require_root_owned("/etc/no-such-folder/x.env", "env_file")
    require_root_owned("/etc/passwd", "env_file")


@needs_root
@pytest.mark.parametrize("way", ["owner", "mode", "link"])
def test_a_directory_of_the_app_is_not_root_s(way):
    base = "/etc/devportal-backstage-test"
    os.mkdir(base, 0o755)
    try:
        path = f"{base}/x.env"
        require_root_owned(path, "env_file")
        if way == "owner":
            os.chown(base, 65534, 65534)
        elif way == "mode":
            os.chmod(base, 0o775)
        else:
            os.symlink("/tmp/x.env", path)
        with pytest.raises(CollectionError, match=r"^backstage_service_env_file: systemd reads"):
            require_root_owned(path, "backstage_service_env_file")
    finally:
        shutil.rmtree(base)


@needs_root
@pytest.mark.parametrize("user", ["nobody", "user-to-be"])
def test_a_directory_that_the_service_may_not_enter(tmp_path, user):
    app = tmp_path / "app"
    app.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0 and str(path) not in ("/", "/tmp"):
            path.chmod(path.stat().st_mode | 0o001)
    app.chmod(0o755)
    require_entry(str(app), user)
    require_entry(str(app / "missing"), user)
    app.chmod(0o700)  # as `tar` leaves it, since the first entry of a Backstage bundle is ./ with mode 0700
    with pytest.raises(CollectionError, match=f"the OS user {user} may not enter {app} .mode 0700."):
        require_entry(str(app), user)
