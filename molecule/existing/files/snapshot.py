"""Prints what is not the collection's: each file below /etc/postgresql less its own, and each server's start time."""

import hashlib
import json
import os
import re
import subprocess

OURS = re.compile(
    rb"\n?# BEGIN devportal\.backstage (?:include|access rules)[^\n]*\n.*?# END devportal\.backstage [^\n]*\n", re.S
)

state = {}
for folder, _folders, names in os.walk("/etc/postgresql"):
    for name in names:
        path = os.path.join(folder, name)
        if re.fullmatch(r"zz-backstage-.*\.conf", name):
            continue
        info = os.lstat(path)
        with open(path, "rb") as stream:
            data = OURS.sub(lambda found: b"\n" if found[0].startswith(b"\n") else b"", stream.read())
        link = os.readlink(path) if os.path.islink(path) else ""
        digest = hashlib.sha256(data.rstrip(b"\n")).hexdigest()
        state[path] = [digest, oct(info.st_mode), info.st_uid, info.st_gid, link]
listed = json.loads(subprocess.run(["pg_lsclusters", "--json"], check=True, capture_output=True).stdout)
for cluster in listed:
    pid_file = os.path.join(cluster["pgdata"], "postmaster.pid")
    started = "stopped"
    if os.path.exists(pid_file):
        with open(pid_file, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
        started = [lines[2], lines[3], lines[5] if lines[5] else ""]
    state[f"server of {cluster['cluster']}"] = started
print(json.dumps(state, sort_keys=True, indent=1))
