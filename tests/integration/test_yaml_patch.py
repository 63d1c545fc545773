# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module yaml_patch on files: what it writes, keeps, rejects and hides. The edits are in tests/unit/_yaml."""

from __future__ import annotations

import os
import stat

import pytest

COMPOSE = """\
services:
  web:
    image: nginx:1.25 # pinned
    ports: ["80:80"]
  db:
    environment:
      POSTGRES_PASSWORD: old-secret-1
"""
IMAGE = {"at": ["services", "web", "image"], "value": "nginx:1.27"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE)
    return path


def test_one_line_changes_and_a_second_run_changes_nothing(run_module, file):
    result = run_module("yaml_patch", diff=True, path=str(file), patches=[IMAGE])
    assert result["changed"], result
    assert result["applied"] == [1]
    assert file.read_text() == COMPOSE.replace("nginx:1.25", "nginx:1.27")
    assert "-    image: nginx:1.25 # pinned\n+    image: nginx:1.27 # pinned\n" in result["diff"]["prepared"]
    before = os.stat(file)
    result = run_module("yaml_patch", path=str(file), patches=[IMAGE])
    assert not result["changed"]
    assert result["msg"] == f"{file} is up to date."
    assert os.stat(file).st_ino == before.st_ino


def test_check_mode_writes_nothing_and_says_the_same(run_module, file):
    would = run_module("yaml_patch", check=True, diff=True, path=str(file), patches=[IMAGE])
    assert file.read_text() == COMPOSE
    does = run_module("yaml_patch", diff=True, path=str(file), patches=[IMAGE])
    assert (would["changed"], would["applied"], would["diff"]) == (True, does["applied"], does["diff"])


def test_all_patches_or_none(run_module, file):
    result = run_module("yaml_patch", path=str(file), patches=[IMAGE, {"at": ["services", "web", "image", "x"]}])
    assert result["failed"]
    assert result["msg"] == (
        f"{file}: patch 2 (set services.web.image.x): 'x' cannot be set in a value that an earlier edit wrote; "
        "that is no mapping."
    )
    assert file.read_text() == COMPOSE


def test_a_secret_is_in_no_output(run_module, file):
    path = ["services", "db", "environment", "POSTGRES_PASSWORD"]
    result = run_module("yaml_patch", diff=True, path=str(file), patches=[{"at": path, "value": "new-secret-2"}])
    assert "new-secret-2" in file.read_text()
    assert "********" in result["diff"]["prepared"]
    assert not [secret for secret in ("old-secret-1", "new-secret-2") if secret in str(result)]
    merge = {"op": "merge", "at": ["services", "db"], "value": {"environment": {"API_TOKEN": "third-secret-3"}}}
    result = run_module("yaml_patch", diff=True, path=str(file), patches=[merge])
    assert "third-secret-3" in file.read_text()
    assert "third-secret-3" not in str(result)


def test_a_message_about_the_options_can_be_read(run_module, file):
    """Ansible masks in its messages what stands in a parameter that may be secret."""
    result = run_module("yaml_patch", path=str(file), patches=[{"path": ["a"], "value": "x"}])
    assert "missing required arguments: at found in patches" in result["msg"]
    result = run_module("yaml_patch", path=str(file), patches=[{"op": "replace", "at": ["a"], "value": 1}])
    assert "one of: set, delete, merge, add, insert, got: replace" in result["msg"]
    result = run_module("yaml_patch", path=str(file), patches=[{"at": ["x"], "token": "a-secret-1"}])
    assert "token" in result["msg"]
    assert "a-secret-1" not in str(result)


def test_a_missing_file(run_module, tmp_path):
    path = tmp_path / "new.yaml"
    result = run_module("yaml_patch", path=str(path), patches=[{"at": ["a", "b"], "value": [1, {"c": "x"}]}])
    assert result["msg"] == f"{path}: the file does not exist. Correct path, or set create to true."
    arguments = {"path": str(path), "create": True, "patches": [{"at": ["a", "b"], "value": [1, {"c": "x"}]}]}
    assert run_module("yaml_patch", check=True, **arguments)["changed"]
    assert not path.exists()
    assert run_module("yaml_patch", **arguments)["changed"]
    assert path.read_text() == "a:\n  b:\n    - 1\n    - c: x\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not run_module("yaml_patch", **arguments)["changed"]
    elsewhere = {**arguments, "path": str(tmp_path / "no" / "such.yaml")}
    assert run_module("yaml_patch", check=True, **elsewhere)["changed"]


def test_backup_mode_and_link(run_module, file, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to("compose.yaml")
    file.chmod(0o644)
    result = run_module("yaml_patch", path=str(link), patches=[IMAGE], backup=True, mode="0640")
    assert result["changed"], result
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    with open(result["backup_file"], encoding="utf-8") as backup:
        assert backup.read() == COMPOSE
    result = run_module("yaml_patch", path=str(link), patches=[IMAGE], mode="0600")
    assert result["changed"]
    assert result["msg"] == f"{link} was changed (owner or permissions)."


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_owner(run_module, file):
    os.chown(file, 65534, 65534)
    assert run_module("yaml_patch", path=str(file), patches=[IMAGE])["changed"]
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)
    assert run_module("yaml_patch", path=str(file), patches=[IMAGE], owner="root")["changed"]
    assert not run_module("yaml_patch", path=str(file), patches=[IMAGE], owner="root")["changed"]
    assert file.stat().st_uid == 0


def test_validate(run_module, file):
    arguments = {"path": str(file), "patches": [IMAGE]}
    result = run_module("yaml_patch", validate="grep -q 1.28 %s", **arguments)
    assert result["failed"]
    assert "the validate command exited with 1 on the new content. The file was not changed." in result["msg"]
    assert file.read_text() == COMPOSE
    assert os.listdir(file.parent) == ["compose.yaml"]
    assert run_module("yaml_patch", validate="grep -q 1.27 %s", **arguments)["changed"]
    result = run_module("yaml_patch", validate="true", **arguments)
    assert result["msg"] == 'validate: "%s" is missing. Put it where the command takes the path of the file.'


def test_documents_by_condition(run_module, tmp_path):
    path = tmp_path / "k8s.yaml"
    path.write_text("kind: Service\nspec: {a: 1}\n---\nkind: Deployment\nspec:\n  replicas: 1 # few\n")
    patches = [{"at": ["spec", "replicas"], "value": 3}]
    result = run_module("yaml_patch", path=str(path), patches=patches)
    assert "the file has 2 documents. Set document to an index" in result["msg"]
    assert run_module("yaml_patch", path=str(path), patches=patches, document={"kind": "Deployment"})["changed"]
    assert path.read_text().endswith("spec:\n  replicas: 3 # few\n")
    assert not run_module("yaml_patch", path=str(path), patches=patches, document=1)["changed"]
    result = run_module("yaml_patch", path=str(path), patches=patches, document={"kind": "Job"})
    assert "none of the 2 documents of the file has these values" in result["msg"]


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([], "patches is empty. Give at least one patch."),
        ([{"at": [], "value": 1}], "patch 1: at is empty. Name a key; only merge and insert take the whole document."),
        ([{"at": [1.5], "value": 1}], "patch 1: 1.5 in at is not a key, index or dictionary. Write keys as strings."),
        (
            [{"at": [True], "value": 1}],
            "patch 1: at has a boolean, to which Ansible converts on, off, yes and no. Write the key in quotes.",
        ),
        ([{"at": ["a"], "before": 1}], "patch 1: before is for op: insert. Remove it."),
        ([{"op": "merge", "at": ["a"], "value": 1}], "patch 1: the value of merge is not a dictionary. Use op: set."),
        (
            [{"op": "insert", "at": ["a"], "before": 1, "after": 1}],
            "patch 1: before, after and append exclude each other. Give one.",
        ),
    ],
)
def test_invalid_patches(run_module, file, patches, message):
    assert run_module("yaml_patch", path=str(file), patches=patches)["msg"] == message


def test_a_template_is_named(run_module, tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text("a: 1\n{{- if .Values.b }}\nb: 2\n{{- end }}\n")
    result = run_module("yaml_patch", path=str(path), patches=[{"at": ["a"], "value": 2}])
    assert f"{path}: line 2, column" in result["msg"]
    assert "a template stands here that is not rendered" in result["msg"]
