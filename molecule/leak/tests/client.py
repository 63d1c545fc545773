# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the host: logs in every 10 ms by what the env file says, until standard input ends; then says how it went.

python3 client.py ENV_FILE
"""

from __future__ import annotations

import collections
import re
import select
import sys

import psycopg2

answers = collections.Counter()
while not select.select([sys.stdin], [], [], 0.01)[0]:
    with open(sys.argv[1], encoding="utf-8") as stream:
        said = dict(re.findall(r'^(?:export )?POSTGRES_(\w+)="?(.*?)"?$', stream.read(), re.M))
    try:
        psycopg2.connect(
            host=said["HOST"], port=said["PORT"], user=said["USER"], password=said["PASSWORD"], dbname="postgres"
        ).close()
        answers["ok"] += 1
    except psycopg2.Error as error:
        answers["failed"] += 1
        print(said["USER"], str(error).strip()[-120:])
print(f"ok {answers['ok']} failed {answers['failed']}")
