# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file beside an app-config file that holds the password (`$file:`).

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import contextlib
import os

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files.env_dotenv import JS_SPACE
from ansible_collections.devportal.backstage.plugins.module_utils._files.replacement import EditedFile

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import Document, YamlPatchError

PASSWORD = ("backend", "database", "connection", "password")


def password_file_in(path: str, data: bytes | None) -> str | None:
    """The password file that an app-config file of this content names."""
    try:
        node = Document(data or b"").find((*PASSWORD, "$file"))
    except YamlPatchError:
        return None
    name = node.value if node else None
    return os.path.join(os.path.dirname(path), name) if isinstance(name, str) else None


def password_in(data: bytes | None) -> str:
    """The password that a file holds: Backstage trims the end."""
    return (data or b"").decode("utf-8", "replace").rstrip(JS_SPACE)


def check_overwritten(path: str, file: EditedFile, password: str, app_config: str, data: bytes | None) -> None:
    """Reject a file that is there and holds something else than a password of this app.

    Args:
        path: the file as the user names it.
        file: the same, held by `edit`.
        password: what it is to hold.
        app_config: the app-config file.
        data: the content of that as it is.

    Raises:
        CollectionError: it is neither the one that the app-config file names, nor a former one beside it.
    """
    present = password_in(file.data)
    if present in ("", password):
        return
    named = password_file_in(app_config, data)
    if named and os.path.normpath(named) == path:
        return
    beside = os.path.dirname(path) == os.path.dirname(app_config)
    if beside and "\n" not in present and not (file.mode or 0) & 0o007:
        return
    raise CollectionError(
        f"{path}: exists, and is not the password file that {app_config} names, so that it is not overwritten.",
        "Remove it, or set password_file to another path.",
    )
