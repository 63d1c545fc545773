# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports everything that runs on a managed host with the Python of each Debian release that hosts have."""

from __future__ import annotations

import common
import engine
import images

# The oldest Python that hosts may have, and the newest that there is.
PYTHONS = {"bullseye": "3.9", "trixie": "3.13", "forky": "3.14"}
_PROGRAM = """
import importlib, pathlib, sys
sys.path[:0] = ["/collection", "/ansible"]
root = pathlib.Path("/collection/ansible_collections/devportal/backstage/plugins")
files = sorted([*root.glob("module_utils/**/*.py"), *root.glob("modules/*.py")])
for path in files:
    inside = path.relative_to("/collection").with_suffix("")
    importlib.import_module(".".join(inside.parts))
print("%d.%d: %d files imported" % (*sys.version_info[:2], len(files)))
"""


def main() -> int:
    """Modules and module_utils, imported by the oldest and the newest Python that a host may have."""
    engine.ensure()
    images.ensure(*PYTHONS)
    ansible = next(common.VENV.glob("lib/python3*/site-packages/ansible"))
    failed = 0
    for release, version in PYTHONS.items():
        mounts = ["--volume", f"{common.TREES}:/collection:ro", "--volume", f"{ansible}:/ansible/ansible:ro"]
        command = ["docker", "run", "--rm", "--network", "none", *mounts, "--label", images.LABEL]
        done = common.output([*command, images.name(release), "python3", "-B", "-c", _PROGRAM], timeout=120)
        text = (done.stdout or done.stderr).strip()
        common.say(f"  {release}: {text}")
        failed += done.returncode != 0 or not text.startswith(version)
    return 1 if failed else 0


if __name__ == "__main__":
    common.main(main)
