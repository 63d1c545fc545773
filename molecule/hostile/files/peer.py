# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network peer that speaks PostgreSQL: asks for the password in clear, or says nothing after it, and keeps it all."""

import itertools
import socket
import sys
import threading

ASK_FOR_CLEAR, ASK_FOR_MD5 = b"R\0\0\0\x08\0\0\0\x03", b"R\0\0\0\x0c\0\0\0\x05salt"
LET_IN = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"


def serve(connection, answers):
    with connection, open("/var/log/peer", "ab", buffering=0) as log:
        try:
            while data := connection.recv(65536):
                log.write(data + b"\n")
                if len(data) == 8:  # TLS?
                    connection.sendall(b"N")
                elif answers:
                    connection.sendall(answers.pop(0))
        except OSError:
            pass


listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for answers in itertools.cycle(([ASK_FOR_CLEAR], [ASK_FOR_MD5], [], [LET_IN], [ASK_FOR_CLEAR, LET_IN])):
    threading.Thread(target=serve, args=(listening.accept()[0], list(answers)), daemon=True).start()
