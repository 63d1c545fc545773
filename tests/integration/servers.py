# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away PostgreSQL servers for the module tests: made by initdb as an unprivileged OS user, gone afterwards."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import psycopg2

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def binaries() -> dict[int, str]:
    """The PostgreSQL majors of this machine and the folder of each one's programs (Debian's places)."""
    found = {}
    for program in glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        major = program.split("/")[4]
        if major.isdigit():
            found[int(major)] = os.path.dirname(program)
    return found


def major() -> int:
    """The major version to test with: POSTGRESQL_MAJOR, else the newest of this machine."""
    return int(os.environ.get("POSTGRESQL_MAJOR") or max(binaries()))


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def self_signed(folder: pathlib.Path, names: str = "IP:127.0.0.1") -> tuple[pathlib.Path, pathlib.Path]:
    """The paths of a key and its certificate for `names` (a subjectAltName), made in this folder."""
    key, certificate = folder / "server.key", folder / "server.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, certificate


class Server:
    """One running server.

    Args:
        settings: lines of postgresql.conf, on top of a few that make it small and quick.
        rules: lines of pg_hba.conf before the usual ones (peer for the superuser, SCRAM for all else).
        version: a major version; `major` when left out.

    Attributes:
        user, password: the superuser `postgres`; by the socket, `os_user` gets in as `postgres` by peer.
        host, port, socket_directory: where it listens.
        os_user: who runs the server, an OS user without rights; the present one when that is not root.
        directory: everything of this server; `data` is below it, `log` is its log file.
    """

    user = "postgres"
    password = "the superuser's own"
    host = "127.0.0.1"

    def __init__(self, settings=None, rules=(), version=None):
        programs = binaries()
        if not programs:
            raise RuntimeError("no PostgreSQL server programs in /usr/lib/postgresql; install the package postgresql")
        self.version = version or major()
        self.programs = programs[self.version]
        self.port = free_port()
        self.os_user = _unprivileged_user()
        self.directory = tempfile.mkdtemp(prefix="devportal-pg-")
        self.socket_directory = self.directory
        self.data = os.path.join(self.directory, "data")
        self.log = os.path.join(self.directory, "log")
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.os_user)
        os.chmod(self.directory, 0o755)
        secret = self.write("superuser", self.password, 0o600)
        try:
            self.run(
                "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--auth=reject", "-U", self.user,
                f"--pwfile={secret}", "-D", self.data,
            )  # fmt: skip
            os.unlink(secret)
            self.write("data/pg_ident.conf", f"owner {self.os_user} {self.user}\n")
            self.configure(settings or {}, rules)
            self.start()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def lay_out_as_main(self, owner="root"):
        """What makes it the cluster `main` of postgresql-common, in the place of this machine's own.

        Not by pg_createcluster, which would remove the files of this machine's cluster `main` where it fails.

        Returns:
            The environment variables with which postgresql-common finds it.
        """
        config = pathlib.Path(self.directory, "etc", str(self.version), "main")
        (config / "conf.d").mkdir(parents=True)
        places = {
            "data_directory": self.data, "hba_file": f"{self.data}/pg_hba.conf", "port": self.port,
            "unix_socket_directories": self.socket_directory, "include_dir": "conf.d",
        }  # fmt: skip
        (config / "postgresql.conf").write_text("".join(f"{name} = '{value}'\n" for name, value in places.items()))
        (config / "start.conf").write_text("manual\n")
        for path in (config, config / "conf.d", config / "postgresql.conf"):
            shutil.chown(path, owner)
        return {"PG_CLUSTER_CONF_ROOT": f"{self.directory}/etc"}

    def write(self, name: str, text: str, mode: int = 0o600) -> str:
        """Put a file that belongs to the server's OS user below its directory; returns the path."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            shutil.chown(path, self.os_user)
        return path

    def configure(self, settings, rules=()) -> None:
        """Write the settings and the access rules; `start` or `restart` loads them."""
        own = {"port": self.port, "unix_socket_directories": self.socket_directory}
        lines = [f"{key} = '{value}'\n" for key, value in {**_SETTINGS, **own, **settings}.items()]
        self.write("data/postgresql.auto.conf", "".join(lines))
        usual = [
            f"local all {self.user} peer map=owner",
            "local all all scram-sha-256",
            "host all all 127.0.0.1/32 scram-sha-256",
        ]
        self.write("data/pg_hba.conf", "".join(f"{line}\n" for line in [*rules, *usual]))

    def account(self) -> pwd.struct_passwd:
        """The OS user that runs the server."""
        return pwd.getpwnam(self.os_user)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs as its OS user; returns what it wrote."""
        command = [os.path.join(self.programs, program), *arguments]
        if os.geteuid() == 0:
            account = self.account()
            command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *command]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/", env=environment
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}\n{self.read_log()}")
        return done.stdout

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-w", "-t", "60", "-s", "-D", self.data, *arguments)

    def start(self) -> None:
        self._control("-l", self.log, "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def restart(self) -> None:
        self._control("-m", "fast", "-l", self.log, "restart")

    def read_log(self) -> str:
        """All that the server has logged, from its beginning."""
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()

    def connect(self, **settings):
        """A psycopg2 connection in autocommit mode: over TCP as the superuser unless told otherwise."""
        own = {"host": self.host, "port": self.port, "user": self.user, "password": self.password, "dbname": "postgres"}
        connection = psycopg2.connect(**{**own, **settings})
        connection.autocommit = True
        return connection

    def query(self, statement: str, values=None, **settings):
        """The rows of one statement, run over a connection of its own; None for a statement without rows."""
        connection = self.connect(**settings)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def close(self) -> None:
        """Stop the server and remove all of it."""
        with contextlib.suppress(RuntimeError):  # a test may have stopped it
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _unprivileged_user() -> str:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
