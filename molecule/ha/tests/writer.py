# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one row after the other until a file appears, each its own commit, and records what was acknowledged.

writer.py LOGIN STOP RECORD: LOGIN is a JSON object for psycopg2. RECORD gets a line for each acknowledged row: its
number, when the writer began and when it was acknowledged (time.time(), one clock for all containers of a machine), and
the timeline of the server.
"""

import json
import os
import sys
import time
import uuid

import psycopg2

PAUSE = 0.05
INSERT = "INSERT INTO public.drill VALUES (%s, %s) RETURNING pg_walfile_name(pg_current_wal_insert_lsn())"


def connect(login):
    connection = psycopg2.connect(
        **login, connect_timeout=4, keepalives_idle=2, keepalives_interval=1, keepalives_count=2, tcp_user_timeout=4000
    )
    connection.autocommit = True
    cursor = connection.cursor()
    # A commit that waits for a replica which is gone is given up, as a client with a time-out does.
    cursor.execute("SET statement_timeout = '8s'")
    return connection, cursor


def main(login, stop, record):
    login, run, number, connection = json.loads(login), str(uuid.uuid4()), 0, None
    with open(record, "a", buffering=1, encoding="utf-8") as sink:
        while not os.path.exists(stop):
            begin = time.time()
            try:
                if connection is None:
                    connection, cursor = connect(login)
                cursor.execute(INSERT, (run, number))
                timeline = cursor.fetchone()[0][:8]
                sink.write(f"{run} {number} {begin} {time.time()} {timeline}\n")
            except psycopg2.Error as error:
                sink.write(f"# {time.time()} {str(error).strip()!r}\n")
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.2)
            number += 1
            time.sleep(PAUSE)


main(*sys.argv[1:])
