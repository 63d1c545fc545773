# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the throw-away hosts: Debian with systemd and Python, and nothing else that a bare host lacks.

They come from the registry's debian:RELEASE where a pull works, else from the Debian mirror that this machine's own apt
uses, by mmdebstrap. Either way apt works in them as it does on this machine: same mirror, proxy and certificates.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import time

import common
import engine

RELEASES = ("bullseye", "bookworm", "trixie", "forky")
# Without updates: testing has none, and the oldest release, an app host with the oldest Python, has no more.
_MAIN_ONLY = ("bullseye", "forky")
# Everything that the tests make in the engine carries this label; `make clean` finds it by that.
LABEL = "devportal.backstage"
_PACKAGES = ("systemd", "systemd-sysv", "python3", "ca-certificates")
NO_REGISTRY = common.CACHE / "no-registry"
# The names of the images that a registry gave: those carry no label.
PULLED = common.CACHE / "pulled"
_CREDENTIALS = pathlib.Path("/etc/apt/auth.conf.d")
_DOCKERFILE = """\
FROM {base}
COPY etc /etc
ARG DEBIAN_FRONTEND=noninteractive
RUN rm -f /etc/apt/apt.conf.d/docker-clean \\
    && (dpkg -s {packages} >/dev/null 2>&1 \\
        || (apt-get -q update && apt-get -qy install --no-install-recommends {packages})) \\
    && rm -rf /var/lib/apt/lists/* \\
    && : >/etc/machine-id \\
    && echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io
LABEL {label}={recipe}
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""


def name(release: str) -> str:
    """The tag of a release's image."""
    return f"devportal-test:{release}"


def digest(*parts: str) -> str:
    """What tells one recipe from another."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def contents(folder: pathlib.Path) -> list[str]:
    """The names and texts of a recipe's files, for `digest`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [text for path in paths for text in (str(path.relative_to(folder)), path.read_text(encoding="utf-8"))]


def recipe(image: str) -> str:
    """What an image was made from, or nothing."""
    label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
    return common.output(["docker", "image", "inspect", "--format", label, image]).stdout.strip()


def _os_release() -> dict[str, str]:
    try:
        text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {key: value.strip('"') for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M)}


def _mirrors(release: str) -> list[str]:
    """sources.list lines for a release from this machine's own; none where this machine's mirror is not Debian's."""
    system = _os_release()
    codename = system.get("VERSION_CODENAME", "")
    if system.get("ID") != "debian" or not codename:
        return []
    listed = common.output(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    ).stdout.splitlines()
    uri = {suite: place for place, suite in (line.split() for line in listed if len(line.split()) == 2)}
    lines = [f"deb {uri[codename]} {release} main"] if codename in uri else []
    if lines and release not in _MAIN_ONLY:
        lines += [
            f"deb {uri[codename + suffix]} {release}{suffix} main"
            for suffix in ("-updates", "-security")
            if codename + suffix in uri
        ]
    return lines


def _apt_settings(release: str) -> str:
    """What this machine's apt needs to reach its mirror, as lines of apt.conf."""
    wanted = re.compile(r"Acquire::(https?::|Check-Valid-Until|Check-Date|Retries)", re.I)
    dump = common.output(["apt-config", "dump"]).stdout.splitlines()
    # A certificate or key that a setting names is a file of this machine, not of the image.
    lines = [line for line in dump if wanted.match(line) and not re.search(r"CAInfo|SslCert|SslKey|CRL", line, re.I)]
    for scheme in ("http", "https"):
        proxy = os.environ.get(f"{scheme}_proxy") or (os.environ.get("HTTPS_PROXY") if scheme == "https" else None)
        if proxy:
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    if release == "forky":
        # A mirror that is a snapshot, or a day behind, has a testing whose Release file has run out.
        lines.append('Acquire::Check-Valid-Until "false";')
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def etc(folder: pathlib.Path, release: str) -> None:
    """The files of /etc that make apt work in the image as it does here."""
    apt = folder / "etc" / "apt"
    (apt / "apt.conf.d").mkdir(parents=True)
    (apt / "apt.conf.d" / "90machine").write_text(_apt_settings(release))
    if lines := _mirrors(release):
        (apt / "sources.list").write_text("\n".join(lines) + "\n")
        # The registry's image has its own mirror here.
        (apt / "sources.list.d").mkdir()
        (apt / "sources.list.d" / "debian.sources").touch()
        (apt / "auth.conf.d").mkdir()
        for path in _CREDENTIALS.glob("*"):
            # Some may be for root's eyes only, as Ubuntu Pro's are.
            if os.access(path, os.R_OK) and path.is_file():
                shutil.copy(path, apt / "auth.conf.d")
    bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    if any("https:" in line for line in lines) and bundle.exists():
        (folder / "etc" / "ssl" / "certs").mkdir(parents=True)
        shutil.copy(bundle, folder / "etc" / "ssl" / "certs")


def pull(image: str, seconds: float) -> bool:
    """Whether the registry gave an image; one that does not answer is asked again after an hour only."""
    if NO_REGISTRY.exists() and time.time() - NO_REGISTRY.stat().st_mtime < 3600:
        return False
    done = common.output(["docker", "pull", "--quiet", image], timeout=seconds)
    if done.returncode:
        NO_REGISTRY.write_text(done.stderr)
        return False
    with PULLED.open("a", encoding="utf-8") as record:
        record.write(image + "\n")
    return True


def _pulled(release: str) -> str | None:
    """The registry's image, if it is here or can be had."""
    image = f"debian:{release}"
    here = common.output(["docker", "image", "inspect", image]).returncode == 0
    return image if here or pull(image, seconds=120) else None


def _bootstrapped(release: str, folder: pathlib.Path) -> str:
    archive = folder / "root.tar"
    settings = folder / "etc" / "apt" / "apt.conf.d" / "90machine"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(_PACKAGES)]
    command += [f"--aptopt={line}" for line in settings.read_text().splitlines()]
    # Documentation and translations are of no use in a host that lives for minutes.
    command += [f"--dpkgopt=path-exclude=/usr/share/{place}/*" for place in ("doc", "info", "locale", "man")]
    command += [release, *_mirrors(release)]
    base = f"devportal-base:{release}"
    wanted = digest(*command)
    if recipe(base) == wanted:
        return base
    # Its third operand and those after it are the mirrors; the second is where the result goes.
    place = len(command) - len(_mirrors(release))
    done = common.output([*command[:place], str(archive), *command[place:]])
    if done.returncode:
        raise common.Problem(f"mmdebstrap {release}: {done.stderr.strip()[-1000:]}")
    done = common.output(["docker", "import", "--change", f"LABEL {LABEL}={wanted}", str(archive), base])
    archive.unlink()
    if done.returncode:
        raise common.Problem(f"docker import of {release}: {done.stderr.strip()[-500:]}")
    return base


def build(tag: str, folder: pathlib.Path, recipe: str, dockerfile: str = "Dockerfile") -> None:
    """Build an image by a Dockerfile of this folder, labelled with what it was made from."""
    start = time.monotonic()
    command = ["docker", "build", "--quiet", "--tag", tag, "--label", f"{LABEL}={recipe}"]
    done = common.output(
        [*command, "--file", str(folder / dockerfile), str(folder)], env={**os.environ, "DOCKER_BUILDKIT": "0"}
    )
    if done.returncode:
        raise common.Problem(f"docker build of {tag}: {(done.stderr.strip() or done.stdout.strip())[-1500:]}")
    common.say(f"  {tag}: {time.monotonic() - start:.0f} s")


def identity(image: str) -> str:
    """The engine's id of an image, which changes with its content; empty where there is none."""
    return common.output(["docker", "image", "inspect", "--format", "{{.Id}}", image]).stdout.strip()


def _make(release: str) -> None:
    wanted = digest(_DOCKERFILE, *_PACKAGES, *_mirrors(release), _apt_settings(release))
    if recipe(name(release)) == wanted:
        return
    with tempfile.TemporaryDirectory(dir=common.CACHE, prefix="image-") as place:
        folder = pathlib.Path(place)
        etc(folder, release)
        base = _pulled(release) or _bootstrapped(release, folder)
        text = _DOCKERFILE.format(base=base, packages=" ".join(_PACKAGES), label=LABEL, recipe=wanted)
        (folder / "Dockerfile").write_text(text)
        build(name(release), folder, wanted)


def ensure(*releases: str) -> None:
    """Make the images that are missing or stale, two at a time."""
    wanted = releases or RELEASES
    common.CACHE.mkdir(exist_ok=True)
    if not shutil.which("mmdebstrap") and any(_pulled(release) is None for release in wanted):
        common.apt_install("mmdebstrap", "debian-archive-keyring", why="images of Debian without a registry")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(_make, wanted))


def main() -> int:
    """By hand: python tests/tools/images.py"""
    engine.ensure()
    ensure()
    return 0


if __name__ == "__main__":
    common.main(main)
