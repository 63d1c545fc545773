# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment variables of a Backstage process: those of its env file, and those it is started with.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.devportal.backstage.plugins.module_utils._backstage.config_reader import ConfigLoaderError
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import accounts, env_file, owned


def process_environment(
    path: str | None, env_format: str, given: Mapping[str, str], os_user: str | None = None
) -> tuple[dict[str, str], accounts.Ids]:
    """The variables of the process, and whose word they are.

    Args:
        path: the env file; with a `-` before it, as in systemd's `EnvironmentFile=`, it may be missing; None for none.
        env_format: its format.
        given: the variables that the process is started with besides.
        os_user: the OS user of the process.

    Returns:
        The variables, and the ids of whoever may have written the env file.

    Raises:
        ConfigLoaderError: the env file cannot be read.
    """
    if not path:
        return dict(given), accounts.ROOT
    try:
        # systemd reads it before it becomes the user of the service.
        file = owned.read(path.removeprefix("-"), None if env_format == "systemd" else accounts.named(os_user))
    except CollectionError as error:
        raise ConfigLoaderError(str(error)) from error
    except OSError as error:
        if path.startswith("-") and isinstance(error, FileNotFoundError):
            return dict(given), accounts.ROOT
        remedy = f" {error.remedy}" if isinstance(error, owned.DeniedError) else ""
        raise ConfigLoaderError(f"{path}: the env file cannot be read: {error.strerror}.{remedy}") from error
    try:
        found = env_file.read(file.data, env_format)
    except CollectionError as error:
        raise ConfigLoaderError(f"{path}: {error}") from error
    return env_file.environment(found, env_format, given), file.ids
