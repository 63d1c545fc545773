#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done by the action plugin of this name.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backstage_packages
short_description: Install the packages that M(devportal.backstage.backstage_preflight) found missing
version_added: 1.0.0
description:
  - Installs packages by M(ansible.builtin.apt) or M(ansible.builtin.package).
  - In check mode the package manager is not called, so that it works on a bare host.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - action_common_attributes.flow
attributes:
  diff_mode:
    support: none
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
options:
  name:
    description: Names of packages; with V(rpm) also of module streams, such as V(@postgresql:16/server).
    type: list
    elements: str
    required: true
  manager:
    description: What installs packages on the host.
    type: str
    choices: [apt, rpm]
    required: true
  lock_timeout:
    description: Seconds to wait for another process that holds apt's lock. Of use with O(manager=apt).
    type: int
    default: 60
  refresh:
    description:
      - Whether to fetch the lists of packages even when they are fresh, after a repository was added.
      - Lists older than a day, and lists that do not have a package, are fetched anyway. Of use with O(manager=apt).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install PostgreSQL and Python libraries
  devportal.backstage.backstage_packages:
    name: "{{ preflight.packages }}"
    manager: "{{ preflight.package_manager }}"
"""

RETURN = r"""
msg:
  description: The packages that would be installed.
  returned: in check mode, when there are any
  type: str
  sample: Would install postgresql, python3-psycopg2.
"""
