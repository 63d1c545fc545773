# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import database_url

URLS = {
    "postgresql://u:p@h:5433/d": {"user": "u", "password": "p", "host": "h", "port": "5433", "database": "d"},
    "postgres://u:p%40ss%3Aw%2Ford%231@h": {"user": "u", "password": "p@ss:w/ord#1", "host": "h"},
    "postgresql://u:p w@h/d": {"user": "u", "password": "p w", "host": "h", "database": "d"},
    "postgresql://u:50%@h/d": {"user": "u", "password": "50%", "host": "h", "database": "d"},
    "postgresql://u@h/d?sslmode=require": {"user": "u", "host": "h", "database": "d", "ssl": {}, "sslmode": "require"},
    "postgresql://u@h/?ssl=true": {"user": "u", "host": "h", "ssl": True},
    "postgresql://u@h/?ssl=0": {"user": "u", "host": "h", "ssl": False},
    "postgresql://u@h/?sslmode=disable": {"user": "u", "host": "h", "ssl": False, "sslmode": "disable"},
    "postgresql://u@h/?host=/run/x&port=6": {"user": "u", "host": "/run/x", "port": "6"},
    "postgresql://u@%2Frun%2Fx/d": {"user": "u", "host": "/run/x", "database": "d"},
    "postgresql://u@/d?host=/run/x": {"user": "u", "host": "/run/x", "database": "d"},
    "postgresql://[::1]:5/d": {"host": "::1", "port": "5", "database": "d"},
    "postgresql:///d": {"database": "d"},
    "/run/x d": {"host": "/run/x", "database": "d"},
    ":memory:": {"host": "base", "database": ":memory:"},
    "h": {"host": "base", "database": "h"},
    "postgresql://u:p@ss:w/ord#1@h/x": None,
    "postgresql://u:p@h:port/d": None,
    "postgresql://u:p@h:70000/d": None,
    "postgresql://u:%ff@h/d": None,
    "postgresql://u:p@h<x/d": None,
}

_JUDGE = """
const { parse } = require(process.argv[1] + '/node_modules/pg-connection-string');
process.removeAllListeners('warning');
console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(text => {
  try { return { ...parse(text) }; } catch (error) { return null; }
})));
"""


def ours(text):
    try:
        return {key: value for key, value in database_url.parse_url(text).items() if value not in ("", None)}
    except ValueError as error:
        return None if text not in str(error) else str(error)


def judged(texts):
    backend = os.environ.get("DEVPORTAL_BACKEND", "")
    if not os.path.isdir(f"{backend}/node_modules/pg-connection-string"):
        pytest.skip("DEVPORTAL_BACKEND names no folder with pg-connection-string")
    done = subprocess.run(
        ["node", "--no-warnings", "-e", _JUDGE, backend],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        answer and {key: value for key, value in answer.items() if value not in ("", None)}
        for answer in json.loads(done.stdout)
    ]


@pytest.mark.parametrize("text", URLS)
def test_connection_strings(text):
    assert ours(text) == URLS[text]


def test_node_reads_the_connection_strings_so():
    assert dict(zip(URLS, judged(list(URLS)))) == URLS


def test_node_reads_random_connection_strings_as_we_do():
    dice = random.Random(5)
    pieces = ["u", "p", "h", ":", "@", "/", "?", "#", "%", "%40", "%2f", " ", "5", "&", "=", "host", "ß", "[", "\\\\"]
    texts = ["postgresql://" + "".join(dice.choices(pieces, k=dice.randrange(1, 9))) for _unused in range(3000)]
    differing = [
        (text, mine, theirs) for text, mine, theirs in zip(texts, map(ours, texts), judged(texts)) if mine != theirs
    ]
    assert differing == []
