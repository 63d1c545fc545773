"""Writes a row every 10 ms until it is terminated, over one connection; what was acknowledged goes to a file."""

import json
import signal
import time

import psycopg2

ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))


def connected():
    connection = psycopg2.connect(host="127.0.0.1", user="shop", password="shop", dbname="shop")
    connection.autocommit = True
    return connection


connection, dropped, acknowledged = connected(), 0, 0
cursor = connection.cursor()
cursor.execute("CREATE TABLE written (number int)")
while not ends:
    try:
        connection.cursor().execute("INSERT INTO written VALUES (%s)", [acknowledged])
        acknowledged += 1
    except psycopg2.Error:
        dropped += 1
        connection = connected()
    time.sleep(0.01)
cursor = connection.cursor()
cursor.execute("SELECT count(*) FROM written")
with open("/var/tmp/written.json", "w", encoding="ascii") as stream:
    json.dump({"acknowledged": acknowledged, "stored": cursor.fetchone()[0], "dropped": dropped}, stream)
