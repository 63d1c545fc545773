# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import ConfigLoaderError
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.process_environment import (
    process_environment,
)


def test_an_env_file_that_may_be_missing(tmp_path):
    optional = (f"-{tmp_path}/.env", "systemd", {"A": "1"})
    assert process_environment(*optional)[0] == {"A": "1"}
    (tmp_path / ".env").write_text("B=2\n")
    assert process_environment(*optional)[0] == {"A": "1", "B": "2"}
    with pytest.raises(ConfigLoaderError, match="cannot be read"):
        process_environment(f"{tmp_path}/none", "systemd", {})


def test_no_env_file():
    assert process_environment(None, "dotenv", {"A": "1"})[0] == {"A": "1"}
