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
      - Without it the owner is kept; a new file belongs to the owner of its directory, or, without root's rights,
        to the user who makes it.
    type: str
  group:
    description:
      - Name or number of the file's group.
      - Without it the group is kept; a new file belongs to the group of its directory, or, without root's rights
        and outside that group, to the group of the user who makes it.
    type: str
"""
