# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of Backstage as a rotation sees: ready when it can log in with its variables, and become its role.

It shows the client certificate that app-config names.

A password with the word Broken in it works on the server, and still this never becomes ready.
"""

from __future__ import annotations

import http.server
import os
import re

import psycopg2


def ready():
    password = os.environ["POSTGRES_PASSWORD"]
    with open("app-config.yaml", encoding="utf-8") as stream:
        text = stream.read()
    # Unlike Backstage, it reads them for each connection.
    shown = {f"ssl{key}": path for key, path in re.findall(r"^ +(cert|key):\n +\$file: (\S+)", text, re.M)}
    connection = psycopg2.connect(
        host=os.environ["POSTGRES_HOST"],
        port=os.environ["POSTGRES_PORT"],
        user=os.environ["POSTGRES_USER"],
        password=password,
        dbname="postgres",
        **shown,
    )
    role = re.search(r"^    role: (\S+)", text, re.M)
    connection.cursor().execute(f"SET ROLE {role[1]}" if role else "SELECT 1")
    connection.close()
    return "Broken" not in password


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            code = 200 if ready() else 503
        except psycopg2.Error:
            code = 503
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


http.server.HTTPServer(("127.0.0.1", 7007), Handler).serve_forever()
