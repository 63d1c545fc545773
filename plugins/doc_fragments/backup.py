# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What the modules of backups have beside the options of `cluster`; goes with backup_options.backup_argument_spec.
    DOCUMENTATION = r"""
options:
  stanza:
    description: Name of the stanza, pgBackRest's name for the cluster.
    type: str
    default: backstage
requirements:
  - pgBackRest 2.45 or later
"""
