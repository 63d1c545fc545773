# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  owner:
    description:
      - Name or number of the user that owns the file.
      - "Default: the current owner; for a new file, its directory's owner. Without root's rights a new file belongs to
        the user who creates it."
    type: str
  group:
    description:
      - Name or number of the file's group.
      - "Default: the current group; for a new file, its directory's group. Without root's rights and outside that
        group, a new file belongs to the group of the user who creates it."
    type: str
"""
