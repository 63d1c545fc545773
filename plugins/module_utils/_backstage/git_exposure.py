# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the secrets of an app out of its git repository.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import git

# Beside an app-config file these are for secrets, by the .gitignore of create-app.
PRIVATE_NAMES = ("app-config.local.yaml", ".env")


@dataclass(frozen=True)
class Exposure:
    """What git tracks of an app's files, and what it would track next.

    Attributes:
        tracked: the files in git's index.
        exposed: those for secrets that are neither tracked nor ignored.
        warnings: sentences for the user.
    """

    tracked: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def exposure(
    app_config: str, holders: Sequence[str], env_file: str | None, backup: str | None, allow_tracked: bool
) -> Exposure:
    """Look at the files of an app with git.

    Args:
        app_config: the app-config file.
        holders: the files that are to hold a secret.
        env_file: the env file, if there is one.
        backup: the name of a backup with a secret in it that is about to be created.
        allow_tracked: whether a holder may be a file that git tracks.

    Raises:
        CollectionError: git tracks a holder.
    """
    private = [os.path.join(os.path.dirname(app_config), name) for name in PRIVATE_NAMES]
    private += [env_file] if env_file else []
    found = git.look(dict.fromkeys([app_config, *holders, *private, *([backup] if backup else [])]))
    result = Exposure(found.tracked, [path for path in found.exposed if path in {*holders, *private}])
    for path in holders:
        if path in found.tracked and not allow_tracked:
            raise CollectionError(
                f"{path}: git tracks this file, and it would contain a secret.",
                "Use `credentials: env` or a file that git ignores (app-config.local.yaml), or set "
                "`allow_tracked: true`.",
            )
        if path in found.unknown:
            result.warnings.append(
                f"{path}: contains a secret, and git cannot be queried ({found.unknown[path]}). "
                "Make sure that git does not track it."
            )
    for path in result.exposed:
        result.warnings.append(
            f"{path}: is for secrets, and no .gitignore covers it, so the next `git add` would take it. "
            "Add it to .gitignore."
        )
    if backup in found.exposed:
        result.warnings.append(
            f"{app_config}: its backups contain secrets, and no .gitignore covers them. Add a line with *~ there."
        )
    for path in found.tracked:
        if path in private and path not in holders:
            result.warnings.append(f"{path}: is for secrets, and git tracks it. Remove it from the repository.")
    return result
