# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the app's own YAML reader about a file that PyYAML cannot read.

Private to this collection: its interface may change in any release.

Backstage reads with the npm package yaml. Some text that this package takes PyYAML refuses, and where the app has its
packages on this host, the package itself can be asked.
"""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._files import owned, programs

_TIMEOUT = 20.0  # seconds
_SCRIPT = """
const { createRequire } = require('module');
const at = createRequire(process.argv[1]);
const own = () => createRequire(at.resolve('@backstage/config-loader'))('yaml');
let reader;
try { reader = own(); } catch { try { reader = at('yaml'); } catch { process.exit(3); } }
const plain = (key, value) => typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value;
try {
  const tree = reader.parse(require('fs').readFileSync(process.argv[1], 'utf8'), { logLevel: 'error' });
  process.stdout.write(JSON.stringify({ tree: tree ?? null }, plain));
} catch (error) {
  process.stdout.write(JSON.stringify({ invalid: true }));
}
"""


class UnknownError(Exception):
    """Backstage's reader could not be asked."""


class RefusedError(Exception):
    """Backstage's reader refuses the file as well."""


def read(file: owned.File) -> Any:
    """The tree that Backstage reads from a file; a program of the app's runs, with the ids of the file's owner.

    Raises:
        UnknownError: there is no node or no package.
        RefusedError: it refuses the file.
    """
    node = shutil.which("node")
    if node is None:
        raise UnknownError
    try:
        done = programs.run([node, "-e", _SCRIPT, file.path], _TIMEOUT, ids=file.ids)
        answer = json.loads(done.stdout, object_hook=_number) if done.code == 0 else {}
    except (OSError, ValueError):
        raise UnknownError from None
    if answer == {"invalid": True}:
        raise RefusedError
    if not isinstance(answer, dict) or "tree" not in answer:
        raise UnknownError
    return answer["tree"]


def _number(value: dict[str, Any]) -> Any:
    words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    return words.get(value["$number"], value) if value.keys() == {"$number"} else value
