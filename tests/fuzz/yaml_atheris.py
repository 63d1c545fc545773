# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Coverage-guided search for input that makes the YAML patch raise anything but YamlPatchError, or break its promise.

    CORPUS=folder python -m ansible_collections.devportal.backstage.tests.fuzz.yaml_atheris --seconds 600

The files of the folder are the seeds; they are read, never written. The input is the document; its last bytes decide
what is done to it. Both of PyYAML's readers are run. Wants the package atheris, which the other tests do without.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile

import atheris

with atheris.instrument_imports():
    import yaml
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml import stream as yaml_stream
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError, equal
    from ansible_collections.devportal.backstage.tests.fuzz.yaml_text import Choices, path, value

READERS = (yaml.CLoader, yaml.SafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,)
DECIDING = 24  # bytes at the end of the input
SLOW = 2000  # bytes from which the pure reader is left out


def one_input(data: bytes) -> None:
    for reader in READERS:
        if reader is yaml.SafeLoader and len(data) > SLOW:
            continue
        yaml_stream.Parser = reader
        with contextlib.suppress(YamlPatchError):
            _edit(data)


def _edit(data: bytes) -> None:
    choices = Choices(data[-DECIDING:])
    document = Document(data)
    assert document.data == data
    steps, wanted = path(choices, document.tree), value(choices)
    if choices.chance(3):
        deleted = document.delete(steps)
        assert Document(document.text).find(steps) is None or isinstance(steps[-1], int) or not deleted
        return
    document.set(steps, wanted)
    result = Document(document.data)
    node = result.find(steps)
    assert node is not None
    assert equal(node.value, wanted), (document.text, steps, wanted)
    result.set(steps, wanted)
    assert not result.changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    arguments, rest = parser.parse_known_args()
    seeds = [os.environ["CORPUS"]] if os.environ.get("CORPUS") else []
    with tempfile.TemporaryDirectory() as found:
        # The first folder takes what is found, the others are only read.
        options = [f"-max_total_time={arguments.seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
        options.append(f"-artifact_prefix={tempfile.gettempdir()}/")
        atheris.Setup([sys.argv[0], *options, *rest, found, *seeds], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
