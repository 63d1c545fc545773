# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Impostors of a PostgreSQL server: what they ask for, and what they get."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading

_REQUESTS = {
    "clear": struct.pack("!i", 3),
    "md5": struct.pack("!i", 5) + b"salt",
    "scram": struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0",
    "gss": struct.pack("!i", 7),
}
_SETTINGS = {
    "server_version": "17.2",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "server_encoding": "UTF8",
    "integer_datetimes": "on",
    "DateStyle": "ISO, MDY",
    "is_superuser": "on",
}


def _message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


class Impostor:
    """A server that is none.

    Args:
        how: what it asks for (`clear`, `md5`, `gss`, `scram`, `trust`), or where it stops answering (`silent`: before
            anything; `stall`: after the login; `stall_datestyle`: at the first statement of psycopg2 itself).
        path: of a socket to listen on; None: a port of the loopback.

    Attributes:
        got: everything that clients have sent after their start-up message, as one string of bytes.
    """

    def __init__(self, how, path=None):
        self.how, self.got, self._closed = how, b"", False
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            os.chmod(path, 0o777)
            self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self._closed = True
        self._listener.close()

    def _accept(self):
        while not self._closed:
            with contextlib.suppress(OSError):
                client, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError, struct.error), client:
            if self.how == "silent":
                client.recv(1)
                threading.Event().wait(600)
            self._start(client)
            if self.how in _REQUESTS:
                client.sendall(_message(b"R", _REQUESTS[self.how]))
                self.got += client.recv(4096)
            client.sendall(_message(b"R", struct.pack("!i", 0)))
            style = {"DateStyle": "German"} if self.how == "stall_datestyle" else {}
            for name, value in {**_SETTINGS, **style}.items():
                client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            client.sendall(_message(b"K", struct.pack("!ii", 1, 2)) + _message(b"Z", b"I"))
            while data := client.recv(4096):
                self.got += data
                if self.how.startswith("stall"):
                    threading.Event().wait(600)
                client.sendall(_message(b"C", b"OK\0") + _message(b"Z", b"T"))

    def _start(self, client):
        """Answer the start-up message, and say no to TLS and GSS."""
        while True:
            length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
            client.recv(length - 8, socket.MSG_WAITALL)
            if code not in (80877103, 80877104):
                return
            client.sendall(b"N")
