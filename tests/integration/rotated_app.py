# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app whose password is rotated, and what the playbook does with it and with the database host."""

from __future__ import annotations

import itertools
import os
import re
import types

import psycopg2
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import (
    rotation_journal,
)
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.modules import backstage_rotation

APP_CONFIG = "app:\n  title: x # kept\nbackend:\n  database:\n    client: better-sqlite3\n    connection: ':memory:'\n"
STAGES = ["begin", "switch", "ready", "finish"]
_numbers = itertools.count()


class App:
    """An app's files on this machine, and what the playbook does with them."""

    def __init__(self, server, run_module, directory, credentials):
        self.server, self.run_module, self.directory, self.credentials = server, run_module, str(directory), credentials
        self.user = f"rotated{next(_numbers)}"
        self.password = "the first secret"
        server.query(f"CREATE ROLE {self.user} LOGIN CREATEDB PASSWORD '{self.password}'")
        self.name = "app-config.local.yaml" if credentials == "literal" else "app-config.yaml"
        self.write("app-config.yaml", APP_CONFIG)
        self.write("app-config.local.yaml", "backend: {} # nothing yet\n")
        self.write(".env", "OTHER=kept # by hand\n")
        self.configure()

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def snapshot(self):
        found = {}
        for name in sorted(os.listdir(self.directory)):
            with open(os.path.join(self.directory, name), "rb") as stream:
                found[name] = stream.read(), os.fstat(stream.fileno()).st_mode
        return found

    def password_file(self, user):
        return os.path.join(self.directory, f"postgres-password-{user}")

    def call(self, module, **arguments):
        result = self.run_module(module, **arguments)
        assert not result["failed"], result
        return result

    def configure(self, user=None, password=None):
        """What the role backstage_app_config does."""
        self.user, self.password = user or self.user, password or self.password
        if self.credentials == "env":
            variables = {"POSTGRES_HOST": self.server.host, "POSTGRES_PORT": self.server.port}
            variables.update(POSTGRES_USER=self.user, POSTGRES_PASSWORD=self.password)
            self.call("backstage_env_file", path=os.path.join(self.directory, ".env"), variables=variables)
        connection = {"host": self.server.host, "port": str(self.server.port)}
        own = {"password_file": self.password_file(self.user)} if self.credentials == "file" else {}
        self.call(
            "backstage_app_config", path=os.path.join(self.directory, self.name), credentials=self.credentials,
            user=self.user, password=self.password, **connection, **own,
        )  # fmt: skip

    def stage(self, stage, password, user=None, process=False, run_id=None):
        """One call of the module; in a process of its own only where that is asked for, since there are many."""
        user = user or self.user
        asked = {
            "stage": stage, "directory": self.directory, "credentials": self.credentials, "user": user,
            "password": password, "path": os.path.join(self.directory, self.name),
            "env_file": os.path.join(self.directory, ".env"),
            "password_file": self.password_file(user), "run_id": run_id,
        }  # fmt: skip
        if process:
            return self.run_module("backstage_rotation", **asked)
        defaults = {"config_files": [], "env_format": "dotenv", "password_variable": "POSTGRES_PASSWORD"}
        defaults.update(iterations=None, connect_timeout=15, environment={}, require_auth="scram-sha-256")
        module = types.SimpleNamespace(
            params={**defaults, **asked}, check_mode=False, warn=print, no_log_values={password}
        )
        try:
            return {"failed": False, **backstage_rotation._run(module)}
        except CollectionError as error:
            return {"failed": True, "changed": False, "msg": str(error)}

    def rotate(self, password, stages=tuple(STAGES), process=False):
        results = [self.stage(stage, password, process=process) for stage in stages]
        assert not [result for result in results if result["failed"]], results
        return results

    def said(self):
        """User and password by a reading of its own: what a client would take."""

        def read(name):
            with open(os.path.join(self.directory, name), encoding="utf-8") as stream:
                return stream.read()

        if self.credentials == "env":
            found = re.search(r"POSTGRES_USER=(\S+)\nPOSTGRES_PASSWORD='?(.*?)'?\n", read(".env"))
            return found.groups()
        text = read(self.name)
        user = re.search(r"user: (\S+)", text)[1]
        if self.credentials == "literal":
            return user, re.search(r"password: '?\"?(.*?)\"?'?\n", text)[1]
        return user, read(re.search(r"\$file: (\S+)", text)[1]).rstrip()

    def lets_in(self, user=None, password=None):
        said = self.said()
        try:
            self.server.connect(user=user or said[0], password=password or said[1]).close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error) or "not permitted to log in" in str(error):
                return False
            raise
        return True

    def has_journal(self):
        return os.path.exists(rotation_journal.journal_path(self.directory))


def prepare(app, owner, user, password):
    """What the role backstage_postgresql does."""
    return app.call(
        "postgresql_password", name=user, password=password, owner=owner, create=True,
        role_attr_flags=["LOGIN", "CREATEDB"], login_unix_socket=app.server.socket_directory,
        login_port=app.server.port, os_user=app.server.os_user,
    )  # fmt: skip


def retire(app, owner, user):
    return app.call(
        "postgresql_password", name=user, state="absent", owner=owner, role_attr_flags=["NOLOGIN"],
        login_unix_socket=app.server.socket_directory, login_port=app.server.port, os_user=app.server.os_user,
    )  # fmt: skip


def turn(app, owner, user, password):
    """The playbook's order for another user."""
    former = app.user
    begun = app.stage("begin", password, user)
    assert (begun["other_user"], begun["previous_users"]) == (True, [former]), begun
    prepare(app, owner, user, password)
    switched = app.stage("switch", password, user)
    assert switched["changed"], switched
    app.configure(user, password)
    ready = app.stage("ready", password, user)
    assert ready["ready"], ready
    retire(app, owner, former)
    app.stage("finish", password, user)
