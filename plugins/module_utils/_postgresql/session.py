# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every SQL session of this collection starts, and how one ends whose server has stopped answering.

Private to this collection: its interface may change in any release.

A database may hold functions and operators of anybody who may create there. With an empty search_path none of them can
stand in for one of pg_catalog's. The settings are local to a transaction, because a connection pooler gives the
server's session to another client afterwards.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

# The most that an honest server takes for one statement, and for a lock.
STATEMENT_TIMEOUT = "30s"
LOCK_TIMEOUT = "20s"
# What a whole session may take. The server does not have to keep to it: the client ends the connection.
SESSION_SECONDS = 60.0

_SAFE = (
    f"SET LOCAL search_path TO ''; SET LOCAL statement_timeout TO '{STATEMENT_TIMEOUT}'; "
    f"SET LOCAL lock_timeout TO '{LOCK_TIMEOUT}'"
)
# SET ROLE NONE: a user that has the setting `role` would otherwise not be the one that logged in.
_START = f"{_SAFE}; SET LOCAL ROLE NONE"
BEGIN = f"BEGIN; {_START}"
BEGIN_READ_ONLY = f"BEGIN READ ONLY; {_START}"
# For a user or server whose default_transaction_read_only is on. A standby rejects it.
BEGIN_READ_WRITE = f"BEGIN READ WRITE; {_START}"
# Ends a transaction and begins one of the same kind.
NEXT = f"COMMIT AND CHAIN; {_START}"
# For statements that a transaction may not hold.
OUTSIDE = _SAFE.replace("SET LOCAL", "SET") + "; SET ROLE NONE; SET default_transaction_read_only TO off"


def read_only(connection: Any) -> None:
    """Start the one read-only transaction of a connection that has run nothing yet, as the user that Backstage is."""
    connection.set_session(readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(_SAFE)


def limited(base: type, seconds: float) -> type:
    """A connection class that ends itself when the session takes longer than it may.

    libpq waits for an answer without a limit, and Python's signals do not interrupt it; a closed socket does.

    Args:
        base: psycopg2's connection class.
        seconds: what the session may take.
    """

    class Connection(base):  # type: ignore[misc]
        timed_out = False
        seconds_allowed = seconds

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._ended = threading.Event()
            threading.Thread(target=self._watch, daemon=True).start()
            try:
                super().__init__(*arguments, **options)
            except BaseException:
                self._ended.set()
                raise

        def close(self) -> None:
            self._ended.set()
            super().close()

        def _watch(self) -> None:
            # A socket that is still connecting has libpq's own limit, one for each address of the host.
            while not self._ended.wait(seconds):
                descriptor = self.info.socket
                if descriptor >= 0:
                    self.timed_out = True
                    with socket.socket(fileno=os.dup(descriptor)) as ended:
                        ended.shutdown(socket.SHUT_RDWR)
                    return

    return Connection
