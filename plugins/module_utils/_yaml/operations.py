# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patches of the module yaml_patch, carried out on a YAML text.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.faults import SharedError
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.layout import Key, Path
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.patch import (
    MISSING,
    Document,
    Rules,
    YamlPatchError,
)
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.scalars import equal
from ansible_collections.devportal.backstage.plugins.module_utils._yaml.writer import checked

OPERATIONS = ("set", "delete", "merge", "add", "insert")
Step = Union[str, int, "dict[str, Any]"]


class PatchError(CollectionError):
    """A patch is invalid, or cannot be applied to this file; the text says which, where and what to do."""


@dataclass(frozen=True)
class Patch:
    """One patch as the user gave it.

    Attributes:
        op: one of OPERATIONS.
        at: keys, indexes from 0 (from -1 at the end), and dictionaries that an item of a list has to contain.
        value: what is set, merged, added or inserted.
        before, after: an index or a dictionary, for `insert`: the item that the new one comes before or after.
        contains: for `insert`: what an item has to be or contain so that nothing is inserted; None for `value`.
    """

    op: str
    at: tuple[Step, ...]
    value: Any = None
    before: Any = None
    after: Any = None
    contains: Any = None


@dataclass(frozen=True)
class Options:
    """How a text is patched: the module's options of the same names."""

    version: str = "1.2"
    document: Any = None
    shared_anchors: bool = False
    keep_tags: bool = True


@dataclass(frozen=True)
class Result:
    """The new text, and the numbers (from 1) of the patches that changed something."""

    data: bytes
    applied: list[int]


def patched(data: bytes, patches: Sequence[Patch], options: Options) -> Result:
    """Apply patches to a YAML text: one parse, one proof.

    Raises:
        PatchError: one of them cannot be applied; nothing is changed then.
    """
    try:
        rules = Rules(options.version, several=True, unique=False)
        document = Document(data, rules, options.shared_anchors, options.keep_tags)
        numbers = _documents(document, options.document)
    except YamlPatchError as error:
        raise PatchError(f"{error}.") from error
    applied = []
    for number, patch in enumerate(patches, 1):
        try:
            changes = [_apply(document, index, patch, options.version) for index in numbers]
        except (YamlPatchError, PatchError) as error:
            raise PatchError(f"patch {number} ({describe(patch)}): {_sentence(error)}") from error
        if any(changes):
            applied.append(number)
    try:
        return Result(document.data, applied if document.changed else [])
    except YamlPatchError as error:
        raise _blamed(data, patches, options, numbers, error) from error


def _blamed(
    data: bytes, patches: Sequence[Patch], options: Options, numbers: Sequence[int], error: YamlPatchError
) -> PatchError:
    """The error with the patch that it comes from: they are tried one by one."""
    rules = Rules(options.version, several=True, unique=False)
    for number, patch in enumerate(patches, 1):
        document = Document(data, rules, options.shared_anchors, options.keep_tags)
        try:
            for index in numbers:
                _apply(document, index, patch, options.version)
            data = document.data
        except (YamlPatchError, PatchError) as own:
            return PatchError(f"patch {number} ({describe(patch)}): {_sentence(own)}")
    return PatchError(_sentence(error))


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, SharedError):
        text = f"{text.rpartition('; ')[0]}. Set anchors to edit, which changes the value for all its aliases"
    return text if text.endswith(".") else f"{text}."


def describe(patch: Patch) -> str:
    """A patch's operation and place, without its value."""
    return f"{patch.op} {'.'.join(map(_shown, patch.at)) or 'the document'}"


def _shown(step: Step) -> str:
    if isinstance(step, dict):
        return "{" + ", ".join(f"{key}: {value}" for key, value in step.items()) + "}"
    return str(step)


# -- which documents --------------------------------------------------------------------------------------------------


def _documents(document: Document, wanted: Any) -> list[int]:
    count = max(len(document), 1)
    if wanted is None:
        if count > 1:
            raise PatchError(
                f"the file has {count} documents. Set document to an index from 0, to `all`, "
                "or to a condition such as {kind: Deployment}."
            )
        return [0]
    if wanted == "all":
        return list(range(count))
    if isinstance(wanted, int):
        if not -count <= wanted < count:
            raise PatchError(f"document {wanted}: the file has {count}. Count from 0.")
        return [wanted % count]
    found = [index for index in range(count) if _fulfills(document, index, wanted)]
    if not found:
        raise PatchError(f"document {_shown(wanted)}: none of the {count} documents of the file has these values.")
    return found


def _fulfills(document: Document, index: int, condition: Mapping[str, Any]) -> bool:
    """Whether a document has the values of a condition; a key may be a path with dots."""
    for key, value in condition.items():
        try:
            found = document.value((key,), index)
            if found is MISSING:
                found = document.value(tuple(key.split(".")), index)
        except YamlPatchError:
            return False
        if found is MISSING or not equal(found, value):
            return False
    return True


# -- where ------------------------------------------------------------------------------------------------------------


def _resolved(document: Document, index: int, steps: Sequence[Step]) -> tuple[Path, dict[str, Any] | None]:
    """Keys and indexes for the steps of a path.

    Returns:
        The path, as far as it can be told; and the last step, where that is a dictionary that no item contains.
    """
    path: list[Key] = []
    for number, step in enumerate(steps):
        kind = document.kind(tuple(path), index)
        here = document.value(tuple(path), index) if kind == "sequence" else []
        if isinstance(step, dict):
            if kind not in ("sequence", None):
                raise PatchError(f"{_dotted(path)} is not a list, so it has no item with {_shown(step)}.")
            found = [at for at, item in enumerate(here) if contains(item, step)]
            if len(found) > 1:
                raise PatchError(
                    f"{_dotted(path)} has {len(found)} items with {_shown(step)}. Name more fields, or an index."
                )
            if not found:
                path.append(len(here))
                if number < len(steps) - 1:
                    raise PatchError(f"{_dotted(path[:-1])} has no item with {_shown(step)}.")
                return tuple(path), step
            path.append(found[0])
        else:
            path.append(_plain_step(step, kind, len(here)))
    return tuple(path), None


def _plain_step(step: str | int, kind: str | None, count: int) -> Key:
    if isinstance(step, int) and kind == "mapping":
        return str(step)  # 8080 as a key
    if isinstance(step, str) and kind == "sequence" and step.lstrip("-").isdigit():
        step = int(step)  # what a template made of an index
    if isinstance(step, int) and step < 0:
        if count < -step:
            raise PatchError(f"item {step} does not exist here. Use an index from 0.")
        return count + step
    return step


def _dotted(path: Sequence[Key]) -> str:
    return ".".join(map(str, path)) or "the document"


def contains(item: Any, wanted: Any) -> bool:
    """Whether a value equals another one, or, for dictionaries, has all that the other one has."""
    if isinstance(item, dict) and isinstance(wanted, dict):
        return all(key in item and contains(item[key], value) for key, value in wanted.items())
    return equal(item, wanted)


# -- what -------------------------------------------------------------------------------------------------------------


def _apply(document: Document, index: int, patch: Patch, version: str) -> bool:
    """Queue one patch for one document; whether it changes anything."""
    value = checked(patch.value)
    if patch.op == "insert":
        return _insert(document, index, patch, value, version)
    if patch.op == "delete":
        return _delete(document, index, patch.at, version)
    path, missing = _resolved(document, index, patch.at)
    old = document.value(path, index) if missing is None else MISSING
    if missing is not None:
        if not isinstance(value, dict):
            raise PatchError(
                f"{_dotted(path[:-1])} has no item with {_shown(missing)}, and the value is not a dictionary. "
                "Set value to a dictionary."
            )
        value = {**checked(missing), **value}
    elif patch.op == "add" and old is not MISSING:
        return False
    inherited = _inherited(document, index, path) if version == "1.1" else None
    if inherited is not None:
        return _over_inherited(document, index, path, Patch(patch.op, path, value), inherited)
    if patch.op == "merge" and isinstance(old, dict):
        return _merge(document, index, path, value, version)
    if patch.op == "merge" and not path:
        if old is not MISSING and old is not None:
            raise PatchError("the document is not a mapping, so nothing can be merged into it. Correct document or at.")
        return _merge(document, index, path, value, version)
    if old is not MISSING and equal(old, value) and type(old) is type(value):
        return False
    document.set(path, value, index)
    return True


def _merge(document: Document, index: int, path: Path, value: Mapping[str, Any], version: str) -> bool:
    changed = False
    for key, item in value.items():
        below = document.value((*path, key), index)
        op = "merge" if isinstance(item, dict) and (below is MISSING or isinstance(below, dict)) else "set"
        changed |= _apply(document, index, Patch(op, (*path, key), item), version)
    return changed


def _delete(document: Document, index: int, at: Sequence[Step], version: str) -> bool:
    try:
        path, missing = _resolved(document, index, at)
    except PatchError:
        if any(isinstance(step, dict) for step in at):
            return False  # the item is not there, so what is below it is not either
        raise
    if missing is not None or not path:
        return False
    if version == "1.1" and (inherited := _inherited(document, index, path)) is not None:
        if inherited.value is MISSING:
            return False
        raise PatchError(f"{_dotted(inherited.path)} comes from `<<`. Delete in the mapping that is merged in.")
    return document.delete(path, index)


def _insert(document: Document, index: int, patch: Patch, value: Any, version: str) -> bool:
    path, missing = _resolved(document, index, patch.at)
    if missing is not None:
        raise PatchError(f"{_dotted(path[:-1])} has no item with {_shown(missing)}.")
    inherited = _inherited(document, index, path) if version == "1.1" else None
    if inherited is not None:
        if isinstance(inherited.value, list) and any(
            _is_there(item, patch.contains, value) for item in inherited.value
        ):
            return False
        raise PatchError(
            f"{_dotted(inherited.path)} comes from `<<`. Set all of it here, or edit the mapping that is merged in."
        )
    items = document.value(path, index)
    items = [] if items is MISSING or items is None else items
    if not isinstance(items, list):
        raise PatchError(f"{_dotted(path)} is not a list. Use op: set, or the path of a list.")
    if any(_is_there(item, patch.contains, value) for item in items):
        return False
    document.insert(path, _place(path, items, patch), value, index)
    return True


def _is_there(item: Any, wanted: Any, value: Any) -> bool:
    """Whether an item is the one that would be inserted."""
    if wanted is None:
        return equal(item, value)
    if isinstance(wanted, str) and isinstance(item, dict):
        return wanted in item  # `- search: {lang: en}`, for contains: search
    return contains(item, wanted)


def _place(path: Path, items: Sequence[Any], patch: Patch) -> int | None:
    """The index that an item is inserted at, None for the end."""
    reference = patch.after if patch.before is None else patch.before
    if reference is None:
        return None
    if isinstance(reference, int) and not isinstance(reference, bool):
        found = [reference + len(items) if reference < 0 else reference]
        found = [at for at in found if 0 <= at < len(items)]
    else:
        found = [at for at, item in enumerate(items) if contains(item, reference)]
    if len(found) != 1:
        raise PatchError(
            f"{_dotted(path)} has {len(found) or 'no'} items with {_shown(reference)}. Name one that it has."
        )
    at = found[0] + (0 if patch.before is not None else 1)
    return None if at == len(items) else at


# -- YAML 1.1's merge key ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inherited:
    """What a path has through `<<` alone: the first part of it that does, and the value at its end, or MISSING."""

    path: Path
    value: Any


def _inherited(document: Document, index: int, path: Path) -> _Inherited | None:
    """Whether a path, or what is above it, is not in the text but merged in."""
    for end in range(1, len(path) + 1):
        if not isinstance(path[end - 1], str) or document.value(path[:end], index) is not MISSING:
            continue
        merged = document.value((*path[: end - 1], "<<"), index)
        value = MISSING if merged is MISSING else _from_merge({"<<": merged}, path[end - 1])
        if value is MISSING:
            return None
        for step in path[end:]:
            value = _below(value, step)
        return _Inherited(path[:end], value)
    return None


def _over_inherited(document: Document, index: int, path: Path, patch: Patch, inherited: _Inherited) -> bool:
    """Set, add or merge where a value is merged in: written here it would hide all of it."""
    value, old = patch.value, inherited.value
    if old is not MISSING and (
        patch.op == "add" or equal(old, value) or (patch.op == "merge" and contains(old, value))
    ):
        return False
    if inherited.path != path or (patch.op == "merge" and isinstance(old, dict)):
        raise PatchError(
            f"{_dotted(inherited.path)} comes from `<<`, and a key of that name here would hide the rest of it. "
            "Set all of it here, or edit the mapping that is merged in."
        )
    document.set(path, value, index)
    return True


def _below(value: Any, step: Key) -> Any:
    if isinstance(value, list) and isinstance(step, int):
        return value[step] if -len(value) <= step < len(value) else MISSING
    if isinstance(value, dict) and isinstance(step, str):
        return value[step] if step in value else _from_merge(value, step)
    return MISSING


def _from_merge(mapping: Any, key: Any) -> Any:
    if not isinstance(mapping, dict):
        return MISSING
    merged = mapping.get("<<")
    for source in merged if isinstance(merged, list) else [merged]:
        if isinstance(source, dict):
            found = source[key] if key in source else _from_merge(source, key)
            if found is not MISSING:
                return found
    return MISSING


# -- what the user gave -----------------------------------------------------------------------------------------------


def parsed(raw: Sequence[Mapping[str, Any]]) -> list[Patch]:
    """Patches from the module's option.

    Raises:
        PatchError: one of them is invalid; says which, and why.
    """
    if not raw:
        raise PatchError("patches is empty. Give at least one patch.")
    return [_parsed(number, patch) for number, patch in enumerate(raw, 1)]


def _parsed(number: int, raw: Mapping[str, Any]) -> Patch:
    steps = raw["at"]
    for step in steps:
        if isinstance(step, bool):
            raise PatchError(
                f"patch {number}: at has a boolean, to which Ansible converts on, off, yes and no. "
                "Write the key in quotes."
            )
        good = isinstance(step, (str, int, dict)) and step != {}
        if not good:
            raise PatchError(
                f"patch {number}: {step!r} in at is not a key, index or dictionary. Write keys as strings."
            )
    op = raw["op"]
    if not steps and op not in ("merge", "insert"):
        raise PatchError(f"patch {number}: at is empty. Name a key; only merge and insert take the whole document.")
    for name in ("before", "after", "contains"):
        if raw.get(name) is not None and op != "insert":
            raise PatchError(f"patch {number}: {name} is for op: insert. Remove it.")
    if len([name for name in ("before", "after", "append") if raw.get(name) not in (None, False)]) > 1:
        raise PatchError(f"patch {number}: before, after and append exclude each other. Give one.")
    if op == "delete" and raw.get("value") is not None:
        raise PatchError(f"patch {number}: delete takes no value. Remove it.")
    if op == "merge" and not isinstance(raw.get("value"), dict):
        raise PatchError(f"patch {number}: the value of merge is not a dictionary. Use op: set.")
    return Patch(op, tuple(steps), raw.get("value"), raw.get("before"), raw.get("after"), raw.get("contains"))


def parsed_document(raw: Any) -> Any:
    """The documents that are wanted: None, an index, `all` or a condition.

    Raises:
        PatchError: it is none of these.
    """
    if isinstance(raw, str) and raw.lstrip("-").isdigit():
        return int(raw)
    if raw is None or raw == "all" or (isinstance(raw, int) and not isinstance(raw, bool)):
        return raw
    if isinstance(raw, dict) and raw:
        return raw
    raise PatchError(f"document is {raw!r}. Set it to an index from 0, to `all`, or to a condition.")
