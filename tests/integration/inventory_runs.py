# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of site.yml against many hosts of one inventory, each with an input of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess


def rejected(folder, inventory):
    """The report of a run that has to fail, as the callback ansible.posix.json writes it, and the finished run.

    The inventory is a program's output: YAML holds no NUL character.
    """
    (folder / "inventory.json").write_text(json.dumps(inventory))
    path = folder / "inventory"
    path.write_text(f"#!/bin/sh\ncat {folder}/inventory.json\n")
    path.chmod(0o755)
    done = subprocess.run(
        ["ansible-playbook", "-i", str(path), "--forks=4", "devportal.backstage.site"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
        env={
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_COLLECTIONS_PATH": os.environ.get("PYTHONPATH", ""),
        },
    )
    assert done.returncode != 0
    return json.loads(done.stdout[done.stdout.index("{\n") :]), done


def assert_only_validated(output):
    """That a playbook run came to no play that changes something."""
    plays = re.findall(r"^PLAY \[([^\]]*)\]", output, re.MULTILINE)
    assert plays, output
    assert [name for name in plays if not name.startswith(("Require hosts", "Validate "))] == [], output
