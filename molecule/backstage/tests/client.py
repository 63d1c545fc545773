# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A visitor: reads the catalog ten times a second until a file appears, and writes down what went wrong.

client.py URL STOP: prints a JSON object with the number of requests, the failures and the longest gap in seconds.
"""

import json
import os
import sys
import time
import urllib.request

PAUSE = 0.1


def fetch(url):
    """Why the catalog could not be read; empty where it could."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            # Without its database Backstage may answer 200 with an empty body.
            found = json.loads(answer.read())
        return "" if len(found) >= 3 else f"{len(found)} entities"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def main(url, stop):
    requests, failures, longest, last = 0, [], 0.0, time.monotonic()
    while not os.path.exists(stop):
        begin = time.monotonic()
        wrong = fetch(url)
        requests += 1
        if wrong:
            failures.append(wrong)
        else:
            longest = max(longest, time.monotonic() - last)
            last = time.monotonic()
        time.sleep(max(0.0, PAUSE - (time.monotonic() - begin)))
    print(json.dumps({"requests": requests, "failures": failures, "longest_gap": round(longest, 3)}))


main(*sys.argv[1:])
