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
  supervisor:
    description:
      - The cluster manager that runs the cluster. The repository is then one that all its members share, and members
        other than the leader neither create the stanza nor take backups.
      - Without it, a cluster that a manager runs is rejected.
    type: str
    choices: [patroni]
requirements:
  - pgBackRest 2.45 or later
"""
