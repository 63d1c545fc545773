# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of PostgreSQL that Backstage supports.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

# Backstage 1.55 supports the last five majors (docs/overview/versioning-policy.md of backstage/backstage).
SUPPORTED_MAJORS = (14, 15, 16, 17, 18)
