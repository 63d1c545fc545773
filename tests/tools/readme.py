# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types the README's smallest project into an empty folder and runs it against two bare hosts over SSH.

The hosts have the names and addresses that the README has, in a network of their own. With --write, the README shows
the output of this run.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import common
import engine
import images
import tarball
import venvs

FOLDER = common.CACHE / "readme"
README = common.ROOT / "README.md"
NETWORK, SUBNET = "devportal-readme", "10.0.0.0/24"
HOSTS = {"db.example.com": "10.0.0.5", "portal.example.com": "10.0.0.7"}
IMAGE = "devportal-test:ssh"
_BOOT_TIMEOUT = 120  # seconds
_BLOCK = re.compile(r"^```(?:ini|yaml)\n# (\S+\.(?:ini|yml))\n(.*?)^```$", re.M | re.S)
_OUTPUT = re.compile(r"(<!-- output -->\n).*?(<!-- end of output -->)", re.S)
# A server as its admin gets it from an installer: an SSH server, sudo, and an account that may use it.
_DOCKERFILE = f"""\
FROM {images.name("trixie")}
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy install --no-install-recommends openssh-server sudo \\
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --shell /bin/bash admin \\
    && echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
LABEL {images.LABEL}=ssh
"""
_APP_CONFIG = common.ROOT / "molecule" / "shared" / "files" / "app-config.yaml"


def _docker(*command: str, **options: str) -> str:
    done = common.output(["docker", *command], **options)
    if done.returncode:
        raise common.Problem(f"docker {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _name(host: str) -> str:
    return f"devportal-readme-{host.partition('.')[0]}"


def remove() -> None:
    """The hosts and their network."""
    common.output(["docker", "rm", "--force", "--volumes", *map(_name, HOSTS)])
    common.output(["docker", "network", "rm", NETWORK])


def _wait_for_ssh(host: str, address: str) -> None:
    """Wait until the host is up, as those of the README's reader are."""
    deadline = time.monotonic() + _BOOT_TIMEOUT
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=5):
            return
        if time.monotonic() > deadline:
            raise common.Problem(f"{host}: its SSH server did not start within {_BOOT_TIMEOUT} s.")
        time.sleep(0.5)


def _start(key: pathlib.Path) -> None:
    folder = FOLDER / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    _docker("build", "--quiet", "--tag", IMAGE, str(folder), env={**os.environ, "DOCKER_BUILDKIT": "0"})
    remove()
    _docker("network", "create", "--label", images.LABEL, "--subnet", SUBNET, NETWORK)
    cgroup = "/sys/fs/cgroup/unified" if pathlib.Path("/sys/fs/cgroup/unified").is_dir() else "/sys/fs/cgroup"
    for host, address in HOSTS.items():
        # As molecule/shared/create.yml starts its hosts.
        _docker(
            *("run", "--detach", "--name", _name(host), "--hostname", host, "--label", images.LABEL),
            *("--network", NETWORK, "--ip", address, "--network-alias", host, "--env", "container=docker"),
            *("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"),
            *("--security-opt", "apparmor=unconfined", "--cgroupns", "host", "--volume", f"{cgroup}:/sys/fs/cgroup:rw"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", IMAGE),
        )
        script = (
            "mkdir -p /home/admin/.ssh && cat >/home/admin/.ssh/authorized_keys && chown -R admin: /home/admin/.ssh"
        )
        command = ["docker", "exec", "--interactive", _name(host), "sh", "-c", script]
        subprocess.run(command, input=key.with_suffix(".pub").read_bytes(), check=True)
    for host, address in HOSTS.items():
        _wait_for_ssh(host, address)
    # The Backstage that the README's reader has.
    portal = _name("portal.example.com")
    _docker("exec", portal, "mkdir", "-p", "/opt/backstage")
    _docker("cp", str(_APP_CONFIG), f"{portal}:/opt/backstage/app-config.yaml")


def _project() -> dict[str, str]:
    """The files of the README's smallest project, by name."""
    files = {match[1]: match[2] for match in _BLOCK.finditer(README.read_text(encoding="utf-8"))}
    wanted = {"inventory.ini", "group_vars/all.yml", "site.yml"}
    if files.keys() != wanted:
        raise common.Problem(f"README.md: the smallest project has {sorted(files)}, not {sorted(wanted)}.")
    return files


def _run(*command: str, env: dict[str, str]) -> str:
    done = common.output(list(command), cwd=FOLDER / "project", env=env)
    if done.returncode:
        raise common.Problem(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _vault(env: dict[str, str]) -> None:
    """What the README's reader types: the password into group_vars/all.yml, encrypted."""
    command = ["ansible-vault", "encrypt_string", "--name", "vault_backstage_password"]
    done = common.output([*command, "a password of the test"], cwd=FOLDER / "project", env=env)
    with (FOLDER / "project" / "group_vars" / "all.yml").open("a", encoding="utf-8") as stream:
        stream.write(done.stdout)


def _play(program: str, env: dict[str, str]) -> str:
    return _run(program, "-i", "inventory.ini", "site.yml", env=env)


def main() -> int:
    """The README's smallest project over SSH, with the oldest ansible-core too; a second run changes nothing."""
    engine.ensure()
    images.ensure("trixie")
    tarball.install()
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "project" / "group_vars").mkdir(parents=True)
    key = FOLDER / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (FOLDER / "vault").write_text("of the test")
    for name, text in _project().items():
        (FOLDER / "project" / name).write_text(text, encoding="utf-8")
    addresses = FOLDER / "ssh_config"
    lines = [f"Host {host}\n  HostName {address}\n  User admin\n" for host, address in HOSTS.items()]
    lines.append(f"Host *\n  IdentityFile {key}\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")
    addresses.write_text("".join(lines))
    env = common.environment(
        ANSIBLE_COLLECTIONS_PATH=str(common.INSTALLED),
        ANSIBLE_SSH_ARGS=f"-F {addresses} -o ControlMaster=auto -o ControlPersist=60s",
        ANSIBLE_VAULT_PASSWORD_FILE=str(FOLDER / "vault"),
        ANSIBLE_NOCOLOR="1",
    )
    oldest = str(venvs.oldest().parent / "ansible-playbook")
    try:
        _start(key)
        _vault(env)
        first = _play(oldest, env)
        again = _play(oldest, env)
        second = _play("ansible-playbook", env)
    finally:
        if not os.environ.get("KEEP"):
            remove()
    common.say(first)
    for output in (again, second):
        common.say(output[output.rindex("PLAY RECAP") :])
        if re.search(r"changed=[1-9]", output):
            raise common.Problem("A second run changed something.")
    if "--write" in sys.argv[1:]:
        changed = re.findall(r"^TASK \[(?:[^\]]* : )?([^\]]+)\][^\n]*\n((?:(?!TASK|PLAY)[^\n]*\n)*)", first, re.M)
        tasks = [
            f"TASK [{name}] ***\n{line}" for name, lines in changed for line in lines.split("\n") if "changed:" in line
        ]
        recaps = [
            re.sub(r" \*{3,}", " ***", output[output.rindex("PLAY RECAP") :].strip()) for output in (first, second)
        ]
        lines = "\n".join([*tasks, recaps[0], "", "# and once more:", recaps[1]]).split("\n")
        shown = "\n".join(line.rstrip() for line in lines)
        text = README.read_text(encoding="utf-8")
        README.write_text(_OUTPUT.sub(rf"\1```text\n{shown}\n```\n\2", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    common.main(main)
