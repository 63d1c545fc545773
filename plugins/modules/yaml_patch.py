#!/usr/bin/python
# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: yaml_patch
short_description: Change keys and list items of a YAML file and nothing else
version_added: 1.0.0
description:
  - Sets, deletes, merges, adds and inserts values in any YAML file. Comments, blank lines, quotes, indentation,
    anchors, tags and line endings of everything else stay as they are, byte for byte.
  - The result is parsed again and compared with what was asked for before it is written. An edit that cannot be proven
    is rejected with the line and the reason, and the file stays as it was.
  - All patches are applied or none.
author:
  - The devportal.backstage maintainers (@devportal)
extends_documentation_fragment:
  - devportal.backstage.attributes
  - devportal.backstage.ownership
attributes:
  check_mode: {}
  diff_mode:
    description: Shows the changed lines. Values of keys that look like a secret, such as C(password) or C(token), are
      masked.
  idempotent: {}
requirements:
  - PyYAML on the host
options:
  path:
    description:
      - Path of the YAML file. A symbolic link is followed and stays a link.
    type: path
    required: true
  patches:
    description:
      - The changes, applied in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      op:
        description:
          - V(set) sets the value at O(patches[].at) to O(patches[].value). Parents that are missing are created.
            A dictionary set on a mapping, or a list set on a list, changes only what differs in it.
          - V(delete) deletes the key or list item.
          - V(merge) merges a dictionary into a mapping, in depth. Keys that it does not have stay; lists are replaced.
          - V(add) sets the value only if there is none.
          - V(insert) inserts an item into the list at O(patches[].at), if the list does not contain it.
        type: str
        choices: [set, delete, merge, add, insert]
        default: set
      at:
        description:
          - Path of the value, as a list of steps.
          - >-
            A string is a key, an integer an index (V(-1) is the last item), and a dictionary such as C({name: web})
            the one item of a list that has these values.
          - V(set) and V(add) create an item that is addressed by a dictionary in the last step.
        type: list
        elements: raw
        required: true
      value:
        description:
          - The value for V(set), V(merge), V(add) and V(insert). Default is C(null).
        type: raw
      before:
        description:
          - Item of the list that V(insert) inserts in front of, as an index, a value, or a dictionary of some of the
            item's values.
        type: raw
      after:
        description:
          - Item of the list that V(insert) inserts behind, written as for O(patches[].before).
        type: raw
      append:
        description:
          - Whether V(insert) inserts at the end of the list. It does so by default where neither O(patches[].before)
            nor O(patches[].after) is set.
        type: bool
        default: false
      contains:
        description:
          - What marks an item as already there, so that V(insert) inserts nothing. A dictionary of some of the item's
            values, a string (the item, or a key of the item), or another value.
          - Default is the whole O(patches[].value).
        type: raw
  document:
    description:
      - The document of the file that is changed, for files with several.
      - >-
        An index from 0, V(all), or a condition such as C({kind: Deployment, metadata.name: web}). A condition selects
        every document that has these values.
      - Required for a file with more than one document.
    type: raw
  version:
    description:
      - YAML version of the programs that read the file. It decides what a value without quotes means.
      - V(1.2) is right for Backstage and programs that use C(yaml) from npm. V(1.1) is right for Ansible and programs
        that use PyYAML; there C(yes) is a boolean, C(0777) an octal number, C(1:30) the number 90 and C(2024-01-01) a
        date.
      - Strings are always written so that both versions read the same.
    type: str
    choices: ["1.1", "1.2"]
    default: "1.2"
  anchors:
    description:
      - What happens where an alias (C(*name) or C(<<)) repeats what a patch changes.
      - V(reject) rejects the patch with the line. V(edit) changes the anchored value, and with it all its aliases.
    type: str
    choices: [reject, edit]
    default: reject
  tags:
    description:
      - Whether a value that replaces one with a tag, such as C(!Ref) or C(!vault), keeps the tag.
    type: str
    choices: [keep, remove]
    default: keep
  create:
    description:
      - Whether a missing file is created. Its directory must exist.
    type: bool
    default: false
  backup:
    description:
      - Whether to keep the previous content beside the file.
    type: bool
    default: false
  validate:
    description:
      - Command that checks the new content before it replaces the file. C(%s) stands for the path of the new content.
      - The command is not run through a shell.
    type: str
  mode:
    description:
      - Permissions of the file as an octal number in quotes.
      - Default is to keep them, and V(0600) for a new file.
    type: raw
notes:
  - A duplicate key is rejected only in mappings on the path of a patch.
  - A file with templates that are not rendered (C({{ ... }}), C({% ... %})) is not a valid YAML file, and is rejected.
seealso:
  - module: devportal.backstage.backstage_app_config
  - module: ansible.builtin.lineinfile
"""

EXAMPLES = r"""
- name: Set the image of a service in a Compose file
  devportal.backstage.yaml_patch:
    path: /opt/app/compose.yaml
    patches:
      - at: [services, web, image]
        value: nginx:1.27

- name: Set image and replicas of one Deployment in a file with several documents
  devportal.backstage.yaml_patch:
    path: /opt/app/k8s.yaml
    document:
      kind: Deployment
      metadata.name: web
    patches:
      - at: [spec, replicas]
        value: 3
      - at: [spec, template, spec, containers, {name: web}, image]
        value: registry.example.com/web:2.0

- name: Insert a Prometheus scrape job in front of another, and validate the result
  devportal.backstage.yaml_patch:
    path: /etc/prometheus/prometheus.yml
    validate: promtool check config %s
    backup: true
    patches:
      - op: insert
        at: [scrape_configs]
        before: {job_name: node}
        contains: {job_name: postgresql}
        value:
          job_name: postgresql
          static_configs:
            - targets: ["db.example.com:9187"]

- name: Merge Helm values and delete one
  devportal.backstage.yaml_patch:
    path: values.yaml
    patches:
      - op: merge
        at: [ingress]
        value:
          enabled: true
          className: nginx
      - op: delete
        at: [ingress, annotations]

- name: Set variables that Ansible reads
  devportal.backstage.yaml_patch:
    path: group_vars/all.yml
    version: "1.1"
    patches:
      - at: [backup_enabled]
        value: true
"""

RETURN = r"""
path:
  description: Path of the file.
  returned: success
  type: str
  sample: /opt/app/compose.yaml
applied:
  description: Numbers of the patches that changed something, from 1.
  returned: success
  type: list
  elements: int
  sample: [1, 3]
backup_file:
  description: Path of the backup.
  returned: changed, with O(backup=true) and outside of check mode
  type: str
  sample: /opt/app/compose.yaml.1234.2026-11-26@05:30:00~
msg:
  description: What was done, in a sentence.
  returned: always
  type: str
  sample: /opt/app/compose.yaml was changed (patches 1, 3).
"""

import contextlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError, reported_by
from ansible_collections.devportal.backstage.plugins.module_utils._files import (
    accounts,
    masked_diff,
    owned,
    secret_names,
    validate_command,
)
from ansible_collections.devportal.backstage.plugins.module_utils._files import replacement as files
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.pyyaml import HAS_YAML, MISSING_YAML

with contextlib.suppress(ImportError):  # pyyaml.HAS_YAML tells
    from ansible_collections.devportal.backstage.plugins.module_utils._yaml import operations


def _apply(module: AnsibleModule) -> dict:
    asked = module.params
    patches = operations.parsed(asked["patches"])
    options = operations.Options(
        asked["version"],
        operations.parsed_document(asked["document"]),
        asked["anchors"] == "edit",
        asked["tags"] == "keep",
    )
    rights = accounts.wanted_rights(asked["path"], asked, module.check_mode)
    if module.check_mode and asked["create"] and not owned.has_directory(asked["path"]):
        return {
            "changed": True,
            "applied": list(range(1, len(patches) + 1)),
            "msg": f"{asked['path']} would be created once its directory exists.",
        }
    with files.edit(asked["path"]) as file:
        if file.data is None and not asked["create"]:
            raise CollectionError(f"{asked['path']}: the file does not exist. Correct path, or set create to true.")
        try:
            result = operations.patched(file.data or b"", patches, options)
        except operations.PatchError as error:
            raise CollectionError(f"{asked['path']}: {error}") from error
        return _write(module, file, result, rights)


def _write(module: AnsibleModule, file: files.EditedFile, result: operations.Result, rights: dict) -> dict:
    asked, before = module.params, file.data or b""
    check = validate_command.check(
        asked["validate"], asked["path"], lambda words: module.run_command(words, handle_exceptions=False)[0]
    )
    has_rights = file.mode is not None and all(
        wanted in (None, now)
        for wanted, now in ((rights["mode"], file.mode), (rights["uid"], file.uid), (rights["gid"], file.gid))
    )
    changed = file.data is None or result.data != before or not has_rights
    outcome: dict = {"changed": changed, "applied": result.applied}
    rules = operations.Rules(asked["version"], several=True, unique=False)
    outcome["diff"] = {"prepared": masked_diff.masked_diff(before, result.data, asked["path"], rules)}
    outcome["msg"] = _sentence(asked["path"], result, changed, module.check_mode)
    if changed and not module.check_mode:
        backup = file.replace(result.data, backup=asked["backup"], check=check, **rights)
        if backup:
            outcome["backup_file"] = backup
    return outcome


def _sentence(path: str, result: operations.Result, changed: bool, check_mode: bool) -> str:
    if not changed:
        return f"{path} is up to date."
    numbers = ", ".join(map(str, result.applied))
    what = f"patch{'es' if len(result.applied) > 1 else ''} {numbers}" if numbers else "owner or permissions"
    return f"{path} {'would be' if check_mode else 'was'} changed ({what})."


def _hide_secrets_only(module: AnsibleModule) -> None:
    """Mask the values of keys that look like a secret; all others may be seen, or no message could be read."""
    secrets: set[str] = set()
    todo = []
    for patch in module.params["patches"]:
        names = tuple(str(step) for step in patch["at"] if isinstance(step, str))
        todo.append((names, [patch["value"], patch["contains"]]))
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            todo += [((*path, str(key)), item) for key, item in value.items()]
        elif isinstance(value, list):
            todo += [(path, item) for item in value]
        elif value is not None and secret_names.is_secret(path, str(value)):
            secrets.add(str(value))
    module.no_log_values = {value for value in module.no_log_values if value in secrets} | secrets


class _Module(AnsibleModule):
    """A module that masks nothing in messages about its options, and does not show the patches beside them."""

    has_options = False

    def fail_json(self, msg: str, **kwargs: object) -> None:
        if not self.has_options:
            self.no_log_values = set()
            patches = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
            kwargs["invocation"] = {"module_args": {**self.params, "patches": patches}}
        super().fail_json(msg, **kwargs)


def main() -> None:
    patch = {
        "op": {"type": "str", "choices": ["set", "delete", "merge", "add", "insert"], "default": "set"},
        "at": {"type": "list", "elements": "raw", "required": True},
        "value": {"type": "raw"},
        "before": {"type": "raw"},
        "after": {"type": "raw"},
        "append": {"type": "bool", "default": False},
        "contains": {"type": "raw"},
    }
    module = _Module(
        argument_spec={
            "path": {"type": "path", "required": True},
            "patches": {"type": "list", "elements": "dict", "required": True, "options": patch, "no_log": True},
            "document": {"type": "raw"},
            "version": {"type": "str", "choices": ["1.1", "1.2"], "default": "1.2"},
            "anchors": {"type": "str", "choices": ["reject", "edit"], "default": "reject"},
            "tags": {"type": "str", "choices": ["keep", "remove"], "default": "keep"},
            "create": {"type": "bool", "default": False},
            "backup": {"type": "bool", "default": False},
            "validate": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    module.has_options = True
    _hide_secrets_only(module)
    if not HAS_YAML:
        module.fail_json(msg=MISSING_YAML)
    with reported_by(module):
        result = _apply(module)
    owned.hide_attributes(module)
    module.exit_json(path=module.params["path"], **result)


if __name__ == "__main__":
    main()
