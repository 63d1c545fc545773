# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage import git_exposure
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import git

APP, LOCAL, ENV = "/app/app-config.yaml", "/app/app-config.local.yaml", "/app/.env"


def answer(monkeypatch, tracked=(), exposed=(), unknown=None):
    def look(paths):
        asked = list(paths)
        return git.Findings(
            [path for path in asked if path in tracked],
            [path for path in asked if path in exposed],
            {path: why for path, why in (unknown or {}).items() if path in asked},
        )

    monkeypatch.setattr(git, "look", look)


def test_a_tracked_holder_is_rejected_unless_allowed(monkeypatch):
    answer(monkeypatch, tracked=[APP])
    with pytest.raises(CollectionError, match=f"^{APP}: git tracks this file"):
        git_exposure.exposure(APP, [APP], None, None, allow_tracked=False)
    assert git_exposure.exposure(APP, [APP], None, None, allow_tracked=True).warnings == []
    assert git_exposure.exposure(APP, [], None, None, allow_tracked=False).tracked == [APP]


def test_what_the_next_git_add_would_take(monkeypatch):
    answer(monkeypatch, exposed=[APP, LOCAL, ENV, "/app/backup~"])
    found = git_exposure.exposure(APP, [], ENV, None, allow_tracked=False)
    assert found.exposed == [LOCAL, ENV]  # app-config.yaml itself is no secret
    assert len(found.warnings) == 2
    found = git_exposure.exposure(APP, [APP], None, "/app/backup~", allow_tracked=False)
    assert any("its backups contain secrets" in text for text in found.warnings)


def test_git_that_cannot_be_queried(monkeypatch):
    answer(monkeypatch, unknown={APP: "git is not installed here"})
    [warning] = git_exposure.exposure(APP, [APP], None, None, allow_tracked=False).warnings
    assert warning.startswith(f"{APP}: contains a secret, and git cannot be queried (git is not installed here).")


def test_a_private_file_that_is_tracked(monkeypatch):
    answer(monkeypatch, tracked=[ENV])
    [warning] = git_exposure.exposure(APP, [], ENV, None, allow_tracked=False).warnings
    assert warning.startswith(f"{ENV}: is for secrets, and git tracks it.")
