# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # How every module here behaves; a module adds what it alone has.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Reports what would change and changes nothing.
    support: full
  diff_mode:
    description: Shows what has changed or would change, with secrets masked.
    support: full
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
"""
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Read-only; always idempotent.
    support: full
"""
