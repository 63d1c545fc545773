# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patches of yaml_patch, case by case, each also a second time."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.devportal.backstage.plugins.module_utils._yaml import events, operations
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.operations import Options, PatchError, parsed

READERS = [yaml.SafeLoader, *([yaml.CLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(autouse=True, params=READERS, ids=lambda reader: reader.__name__)
def reader(request, monkeypatch):
    monkeypatch.setattr(events, "Parser", request.param)


def apply(text, *patches, **options):
    raw = [{"op": "set", **patch} for patch in patches]
    result = operations.patched(text.encode(), parsed(raw), Options(**options))
    again = operations.patched(result.data, parsed(raw), Options(**options))
    assert (again.data, again.applied) == (result.data, []), "a second run changes something"
    return result.data.decode()


LIST = """\
a:
- name: x # keep
  v: 1
# above y
- name: y # keep2
  v: 2
"""
SEVERAL = """\
a: 1 # first
---
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
...
---
kind: Deployment
metadata: {name: db}
"""


def test_an_item_by_its_name():
    assert apply(LIST, {"at": ["a", {"name": "y"}, "v"], "value": 3}) == LIST.replace("v: 2", "v: 3")
    assert apply(LIST, {"at": ["a", -1, "v"], "value": 3}) == LIST.replace("v: 2", "v: 3")
    assert apply(LIST, {"at": ["a", "1", "v"], "value": 3}) == LIST.replace("v: 2", "v: 3")


def test_a_list_that_differs_in_one_item_keeps_the_comments_of_all():
    new = [{"name": "x", "v": 1}, {"name": "y", "v": 5}]
    assert apply(LIST, {"at": ["a"], "value": new}) == LIST.replace("v: 2", "v: 5")


def test_a_list_that_is_set_keeps_what_is_equal():
    new = [{"name": "new"}, {"name": "y", "v": 2}]
    assert apply(LIST, {"at": ["a"], "value": new}) == "a:\n- name: new\n# above y\n- name: y # keep2\n  v: 2\n"


def test_insert_before_after_and_at_the_end():
    z = {"name": "z"}
    before = apply(LIST, {"op": "insert", "at": ["a"], "before": {"name": "y"}, "value": z})
    assert before == LIST.replace("# above y\n", "- name: z\n# above y\n")
    assert apply(LIST, {"op": "insert", "at": ["a"], "after": 0, "value": z}) == before
    assert apply(LIST, {"op": "insert", "at": ["a"], "before": 0, "value": z}) == LIST.replace(
        "a:\n", "a:\n- name: z\n"
    )
    assert apply(LIST, {"op": "insert", "at": ["a"], "value": z, "append": True}) == LIST + "- name: z\n"
    assert apply("", {"op": "insert", "at": ["a", "b"], "value": z}) == "a:\n  b:\n    - name: z\n"


def test_insert_what_is_there():
    for contains in (None, {"name": "y"}):
        value = {"name": "y", "v": 2}
        assert apply(LIST, {"op": "insert", "at": ["a"], "value": value, "contains": contains}) == LIST
    plugins = "plugins:\n  - search:\n      lang: en\n"
    assert apply(plugins, {"op": "insert", "at": ["plugins"], "value": "search", "contains": "search"}) == plugins


def test_several_edits_of_one_list():
    text = apply(
        LIST,
        {"op": "delete", "at": ["a", {"name": "x"}]},
        {"op": "add", "at": ["a", {"name": "q"}], "value": {"v": 9}},
        {"at": ["a", {"name": "y"}, "v"], "value": 3},
    )
    assert text == "a:\n# above y\n- name: y # keep2\n  v: 3\n- name: q\n  v: 9\n"


def test_flow_lists():
    branches = "on: {push: {branches: [main, dev]}}\n"
    at = ["on", "push", "branches"]
    assert apply(branches, {"op": "insert", "at": at, "before": "dev", "value": "v1"}).endswith("[main, v1, dev]}}\n")
    assert apply(branches, {"at": at, "value": ["main", "dev", "x"]}).endswith("[main, dev, x]}}\n")
    assert apply(branches, {"at": at, "value": ["dev"]}).endswith("[dev]}}\n")
    assert apply(branches, {"at": at, "value": ["a", "b", "c"]}).endswith("[a, b, c]}}\n")


def test_merge_and_add():
    text = "a:\n  b: 1 # one\n  c: {d: 2}\n"
    assert apply(text, {"op": "merge", "at": ["a"], "value": {"c": {"e": 3}, "f": 4}}) == (
        "a:\n  b: 1 # one\n  c: {d: 2, e: 3}\n  f: 4\n"
    )
    assert apply(text, {"op": "merge", "at": [], "value": {"a": {"b": 1}, "z": 1}}) == text + "z: 1\n"
    assert apply(text, {"op": "add", "at": ["a", "b"], "value": 5}) == text
    assert apply(text, {"op": "add", "at": ["a", "g"], "value": None}) == text + "  g: null\n"


def test_documents():
    patch = {"at": ["spec", "replicas"], "value": 2}
    one = SEVERAL.replace("replicas: 1", "replicas: 2")
    assert apply(SEVERAL, patch, document={"metadata.name": "web"}) == one
    assert apply(SEVERAL, patch, document=1) == one
    assert apply(SEVERAL, patch, document=-1) == SEVERAL + "spec:\n  replicas: 2\n"
    assert apply(SEVERAL, patch, document={"kind": "Deployment"}) == one + "spec:\n  replicas: 2\n"
    assert apply(SEVERAL, {"op": "delete", "at": ["kind"]}, document="all").count("kind") == 0
    for wanted, message in ((None, "has 3 documents"), (3, "has 3"), ({"kind": "X"}, "none of the 3 documents")):
        with pytest.raises(PatchError, match=message):
            apply(SEVERAL, patch, document=wanted)


def test_an_anchor_means_something_else_in_another_document():
    text = "a: &x 1\nb: *x\n---\na: &x 1\n"
    assert apply(text, {"at": ["a"], "value": 2}, document=1) == "a: &x 1\nb: *x\n---\na: 2\n"


@pytest.mark.parametrize(
    ("version", "text", "value", "result"),
    [
        ("1.2", "a: no\n", "no", "a: no\n"),
        ("1.1", "a: no\n", "no", "a: 'no'\n"),
        ("1.1", "a: yes\n", True, "a: yes\n"),
        ("1.2", "a: yes\n", True, "a: true\n"),
        ("1.1", "a: 2024-01-01\n", "2024-01-01", "a: '2024-01-01'\n"),
        ("1.2", "a: 2024-01-01\n", "2024-01-01", "a: 2024-01-01\n"),
        ("1.1", "a: 1:30\n", 90, "a: 1:30\n"),
        ("1.1", "a: 1:30\n", "1:30", "a: '1:30'\n"),
        ("1.1", "a: 0777\n", 0o777, "a: 0777\n"),
        ("1.2", "a: 0777\n", 777, "a: 0777\n"),
        ("1.1", "a: 1_000\n", 1000, "a: 1_000\n"),
        ("1.1", "a: 0o17\n", "0o17", "a: 0o17\n"),
        ("1.2", "a: 0o17\n", 15, "a: 0o17\n"),
        ("1.1", "a: y\n", "y", "a: y\n"),
        ("1.1", "a: 1e3\n", "1e3", "a: 1e3\n"),
        ("1.1", "a: =\n", "=", "a: =\n"),
    ],
)
def test_versions(version, text, value, result):
    assert apply(text, {"at": ["a"], "value": value}, version=version) == result


def test_a_key_that_is_true_in_yaml_1_1():
    for version in ("1.1", "1.2"):
        text = apply("on: {push: 1}\n", {"at": ["on", "push"], "value": 2}, version=version)
        assert text == "on: {push: 2}\n"


MERGED = """\
base: &b
  env: {A: 1}
  ports: [80]
web:
  <<: *b # shared
"""


@pytest.mark.parametrize(
    "patch",
    [
        {"at": ["web", "env", "B"], "value": 2},
        {"at": ["web", "env", "A"], "value": 2},
        {"op": "add", "at": ["web", "env", "B"], "value": 2},
        {"op": "merge", "at": ["web", "env"], "value": {"B": 2}},
        {"op": "merge", "at": ["web"], "value": {"env": {"B": 2}}},
        {"op": "merge", "at": [], "value": {"web": {"env": {"A": 2}}}},
        {"op": "insert", "at": ["web", "ports"], "value": 81},
        {"at": ["web", "ports", 0], "value": 81},
    ],
)
def test_a_key_that_would_hide_what_is_merged_in(patch):
    with pytest.raises(PatchError, match=r"web\.(env|ports) comes from `<<`"):
        apply(MERGED, patch, version="1.1")


@pytest.mark.parametrize(
    "patch",
    [
        {"at": ["web", "env", "A"], "value": 1},
        {"op": "add", "at": ["web", "env", "A"], "value": 2},
        {"op": "add", "at": ["web", "ports"], "value": []},
        {"op": "merge", "at": ["web"], "value": {"env": {"A": 1}}},
        {"op": "insert", "at": ["web", "ports"], "value": 80},
        {"at": ["web", "ports", 0], "value": 80},
        {"op": "delete", "at": ["web", "env", "B"]},
    ],
)
def test_what_is_merged_in_already_changes_nothing(patch):
    assert apply(MERGED, patch, version="1.1") == MERGED


def test_the_whole_value_may_be_set_over_what_is_merged_in():
    patch = {"at": ["web", "env"], "value": {"A": 1, "B": 2}}
    assert yaml.safe_load(apply(MERGED, patch, version="1.1"))["web"] == {"env": {"A": 1, "B": 2}, "ports": [80]}


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ('{"a": {"b": "c"}}\n', {"at": ["a"], "value": {"host": "${HOST}", "port": 5432, "on": True, "none": None}}),
        ('{\n  "a": 1,\n  "b": "x"\n}\n', {"at": ["c", "d"], "value": ["x", 'q"\\ \n', "é"]}),
        ('{\n  "a": 1,\n  "b": "x"\n}\n', {"at": ["a"], "value": "text"}),
        ('["a"]', {"op": "insert", "at": [], "value": {"k": "v"}}),
    ],
)
def test_json_stays_json(text, patch):
    before, after = json.loads(text), json.loads(apply(text, patch))
    assert after != before
    assert json.dumps(patch["value"]) in json.dumps(after)


def test_merge_keys_of_yaml_1_1():
    text = "base: &b {a: 1}\nx:\n  <<: *b\n  c: 2\n"
    at = ["x", "a"]
    assert apply(text, {"at": at, "value": 1}, version="1.1") == text
    assert apply(text, {"at": at, "value": 3}, version="1.1") == text + "  a: 3\n"
    assert apply(text, {"at": at, "value": 1}) == text + "  a: 1\n"
    with pytest.raises(PatchError, match=r"delete x\.a\): x\.a comes from `<<`"):
        apply(text, {"op": "delete", "at": at}, version="1.1")
    with pytest.raises(PatchError, match=r"delete x\.d\.e\): x\.d comes from `<<`"):
        apply("x: {<<: {d: {e: 1}}}\n", {"op": "delete", "at": ["x", "d", "e"]}, version="1.1")
    with pytest.raises(PatchError, match=r"line 1, column 7: \*b repeats what would be changed\. Set anchors to edit"):
        apply(text, {"at": ["base", "a"], "value": 5})


@pytest.mark.parametrize("text", ["", "# a comment\n", "---\n", "null\n"])
def test_merged_into_an_empty_document(text):
    if text == "null\n":
        with pytest.raises(PatchError):
            apply(text, {"op": "merge", "at": [], "value": {"a": {"b": 1}}})
        return
    assert apply(text, {"op": "merge", "at": [], "value": {"a": {"b": 1}}}) == text + "a:\n  b: 1\n"


def test_merged_into_a_list():
    with pytest.raises(PatchError, match="the document is not a mapping"):
        apply("- a\n", {"op": "merge", "at": [], "value": {"a": 1}})


def test_anchors_edit():
    text = "a: &x {b: 1} # c\nc: *x\nd: &y 5\ne: *y\n"
    patches = {"at": ["c", "b"], "value": 2}, {"at": ["d"], "value": 6}
    assert apply(text, *patches, shared_anchors=True) == "a: &x {b: 2} # c\nc: *x\nd: &y 6\ne: *y\n"
    with pytest.raises(PatchError, match="c is an alias; edit what"):
        apply(text, patches[0])


def test_tags():
    text = "a: !Ref x # c\nb: !vault |\n  old\nc: [!Sub 'q', !If [a, b]]\n"
    patches = (
        {"at": ["a"], "value": "new"},
        {"at": ["b"], "value": "1\n2\n"},
        {"at": ["c", 0], "value": 5},
        {"at": ["c", 1, 0], "value": "z"},
    )
    assert apply(text, *patches) == "a: !Ref new # c\nb: !vault |\n  1\n  2\nc: [!Sub 5, !If [z, b]]\n"
    assert apply(text, patches[0], keep_tags=False).startswith("a: new # c\n")


def test_tags_with_a_handle_and_verbatim_ones():
    head = "%TAG !e! tag:example.com,2000:\n---\n"
    patches = ({"at": ["a"], "value": "new"}, {"at": ["b"], "value": "new"}, {"at": ["c"], "value": "new"})
    text = head + "a: !e!foo x # c\nb: !<tag:example.com,2000:y> x\nc: !!str x\n"
    after = head + "a: !e!foo new # c\nb: !<tag:example.com,2000:y> new\nc: new\n"
    assert apply(text, *patches) == after
    assert apply(text, patches[1], keep_tags=False).endswith("b: new\nc: !!str x\n")


def test_duplicate_keys_count_on_the_path_only():
    text = "a: 1\nd: {x: 1, x: 2}\nb: {c: 1}\n"
    assert apply(text, {"at": ["b", "c"], "value": 5}) == text.replace("c: 1", "c: 5")
    with pytest.raises(PatchError, match=r"set d\.x\): line 2, column 11: the key \"x\" is there twice"):
        apply(text, {"at": ["d", "x"], "value": 5})


def test_block_scalars_keep_their_style():
    text = 'a: >\n   one two\n   three\nb: |\n  x\nc: >-\n  y\nd: "1\\n2"\n'
    patches = (
        {"at": ["a"], "value": "four five\nsix\n"},
        {"at": ["b"], "value": "one line"},
        {"at": ["c"], "value": "long " * 20 + "end"},
        {"at": ["d"], "value": "3\n4"},
    )
    wrapped = "  long long long long long long long long\n" * 2 + "  long long long long end\n"
    assert apply(text, *patches) == (f'a: >\n   four five\n\n   six\nb: |-\n  one line\nc: >-\n{wrapped}d: "3\\n4"\n')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: {{ foo }}\n", 1),
        ("a: 1\n{{- if .Values.x }}\nb: 2\n{{- end }}\n", 2),
        ("a: 1\n{% if x %}\nb: 2\n{% endif %}\n", 2),
        ("a: 1\nb: {{ .Values.x | quote }}\n", 2),
        ("<% if x %>\na: 1\n", 1),
    ],
)
def test_a_template_is_named(text, line):
    with pytest.raises(PatchError, match=f"line {line}, column [0-9]+: a template stands here that is not rendered"):
        apply(text, {"op": "merge", "at": ["a"], "value": {"x": 1}})


def test_a_placeholder_of_github_is_no_template():
    text = "a: ${{ secrets.X }}\nb: '{{ quoted }}'\n"
    assert apply(text, {"at": ["c"], "value": "${{ x }}"}) == text + "c: ${{ x }}\n"


def test_the_error_names_the_patch():
    with pytest.raises(PatchError, match=r"^patch 2 \(set b\.\{name: q\}\.c\): b has no item with \{name: q\}\.$"):
        apply("a: 1\nb: []\n", {"at": ["a"], "value": 2}, {"at": ["b", {"name": "q"}, "c"], "value": 2})
    with pytest.raises(PatchError, match=r"^patch 2 \(set a\): line 1, column 4: \*x needs the anchor that would go"):
        apply("a: &x 1\nb: *x\nc: 1\n", {"at": ["c"], "value": 2}, {"at": ["a"], "value": 2})


def test_what_one_patch_removes_is_not_in_the_way_of_the_next():
    text = "a: &x {b: 1}\nc: *x\n"
    assert apply(text, {"op": "delete", "at": ["c"]}, {"at": ["a", "b"], "value": 2}) == "a: &x {b: 2}\n"


def test_a_last_line_without_a_break():
    """YAML 1.1 takes the break away from a block scalar that the file ends with."""
    patch = {"at": ["b"], "value": "1\n2\n"}
    assert apply("a: 1", patch, version="1.1") == "a: 1\nb: |\n  1\n  2\n"
    assert apply("a: 1", patch) == "a: 1\nb: |\n  1\n  2"
