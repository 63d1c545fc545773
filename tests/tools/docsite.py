# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the docs site in .cache/docs, without network: any warning is an error."""

from __future__ import annotations

import shutil
import zlib

import common

FOLDER = common.CACHE / "docs"
COLLECTION = "devportal.backstage"
ANSIBLE_DOCS = "https://docs.ansible.com/projects/ansible/devel/"
# The labels of Ansible's own pages that ours refer to, and where they are; Sphinx would fetch them from the network.
ANSIBLE_LABELS = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
    "filter_plugins": "plugins/filter.html",
    **{
        f"ansible_collections.ansible.builtin.{name}_module": f"collections/ansible/builtin/{name}_module.html"
        for name in ("apt", "lineinfile", "package")
    },
}


def _inventory() -> bytes:
    """An objects.inv as Sphinx writes it (sphinx.util.inventory, version 2)."""
    head = "# Sphinx inventory version 2\n# Project: Ansible\n# Version: devel\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = [f"{label} std:label -1 {page} {label}\n" for label, page in sorted(ANSIBLE_LABELS.items())]
    return head.encode() + zlib.compress("".join(lines).encode())


def main() -> int:
    """The whole site; 1 when it has a warning."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    env = common.environment()
    command = ["antsibull-docs", "sphinx-init", "--dest-dir", str(FOLDER), "--fail-on-error", "--use-current"]
    command += ["--squash-hierarchy", "--sphinx-theme", "sphinx_ansible_theme", "--project", COLLECTION]
    command += ["--title", f"Collection {COLLECTION}", "--copyright", "the devportal.backstage maintainers", COLLECTION]
    done = common.output(command, cwd=common.TREE, env=env)
    if done.returncode:
        raise common.Problem(f"antsibull-docs sphinx-init: {done.stdout}{done.stderr}")
    inventory = FOLDER / "ansible.inv"
    inventory.write_bytes(_inventory())
    with (FOLDER / "conf.py").open("a", encoding="utf-8") as conf:
        conf.write(f"\nintersphinx_mapping = {{'ansible_devel': ({ANSIBLE_DOCS!r}, {str(inventory)!r})}}\n")
        # antsibull-docs copies the pages only, and empties the folder first.
        images = (str(common.TREE / "docs" / "docsite" / "rst" / "images"), str(FOLDER / "rst" / "docsite" / "images"))
        conf.write(f"import shutil\nshutil.copytree(*{images!r}, dirs_exist_ok=True)\n")
    if common.run(["bash", "build.sh"], cwd=FOLDER, env=env):
        return 1
    common.say(f"\n{FOLDER / 'build' / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    common.main(main)
