# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import certificates, tls_variables


class FilterModule:
    """See the .yml files of the filters for their documentation."""

    def filters(self) -> dict[str, Any]:
        return {
            "certificate_problems": certificates.problems,
            "certificate_is_from": certificates.is_from,
            "pem_text": tls_variables.pem_text,
        }
