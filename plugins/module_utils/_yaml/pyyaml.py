# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host has PyYAML, without which no YAML file can be read.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

try:
    import yaml

    HAS_YAML = bool(yaml)
except ImportError:
    HAS_YAML = False

MISSING_YAML = (
    "PyYAML: this Python library is missing on the host. Install the package python3-yaml (Debian) or python3-pyyaml "
    "(Red Hat)."
)
