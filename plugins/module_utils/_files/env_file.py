# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and change files of environment variables; every byte outside the changed values is kept.

Private to this collection: its interface may change in any release.

Formats, each with readers that agree on all that is written here:

* ``dotenv``: the npm package dotenv, ``node --env-file`` and the ``env_file`` of Docker Compose. The three differ
  on escapes and on ``$``, so a value is written only in a form that all of them take as it stands.
* ``systemd``: ``EnvironmentFile=`` of systemd.exec(5).
* ``shell``: a file of assignments that sh(1) sources.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError

FORMATS = ("dotenv", "systemd", "shell")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)

# What String.prototype.trim removes (ECMA-262: WhiteSpace and LineTerminator); Python's str.strip removes more.
JS_SPACE = "\t\n\v\f\r \xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
_JS_SPACE = f"[{re.escape(JS_SPACE)}]"
_JS_LINE_END = "[\\n\\r\\u2028\\u2029]"

# What is an assignment to the npm package dotenv since its version 15 (lib/main.js).
_DOTENV_LINE = re.compile(
    rf"""^{_JS_SPACE}*(?P<export>export{_JS_SPACE}+)?(?P<name>[A-Za-z0-9_.-]+)
    (?P<separator>{_JS_SPACE}*={_JS_SPACE}*?|:{_JS_SPACE}+?)
    (?P<value>{_JS_SPACE}*'(?:\\'|[^'])*'|{_JS_SPACE}*"(?:\\"|[^"])*"|{_JS_SPACE}*`(?:\\`|[^`])*`|[^\#\r\n]+)?
    {_JS_SPACE}*(?:\#[^\n\r\u2028\u2029]*)?(?={_JS_LINE_END}|\Z)""",
    re.MULTILINE | re.VERBOSE,
)

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+\Z")
_SHELL_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=", re.ASCII)
_SHELL_COMPOUND = re.compile(r"(if|then|elif|else|fi|for|while|until|do|done|case|esac|select|function|\{|\}|!|\[\[)\Z")


class EnvFileError(CollectionError):
    """A value or a file that a format cannot hold; the text names the variable or the line, and a way out."""


@dataclass(frozen=True)
class Assignment:
    """One assignment in a file.

    Attributes:
        name: the variable.
        value: what the format's readers make of it; None where only running the file as a program would tell.
        line: 1-based.
        agreed: whether all readers of the format read this value.
        start, end: where the separator and the value stand in the text.
        first, last: the whole of the lines it takes.
        alone: whether nothing else stands on these lines, a comment apart.
    """

    name: str
    value: str | None
    line: int
    agreed: bool
    start: int
    end: int
    first: int
    last: int
    alone: bool


def read(data: bytes, form: str) -> dict[str, str | None]:
    """Return the variables that `data` sets, as the format's readers see them; the last assignment wins.

    A value is None where only running the file as a program would tell (``shell``: ``$(...)``, ``$NAME``).

    Raises:
        EnvFileError: the file is not of this format.
    """
    return {found.name: found.value for found in assignments(data, form)}


def environment(
    found: Mapping[str, str | None], form: str, given: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return what a process has that reads an env file, and the names whose values cannot be told.

    Args:
        found: the file's variables, as `read` returns them.
        form: the file's format; dotenv leaves alone what is set already, systemd and a shell do not.
        given: variables that the process is started with.
    """
    known = {name: value for name, value in found.items() if value is not None}
    first, second = (known, given) if form == "dotenv" else (given, known)
    return {**first, **second}, [name for name in found if found[name] is None and name not in given]


def assignments(data: bytes, form: str) -> list[Assignment]:
    """Return every assignment in file order. Raises: EnvFileError."""
    scan = {"dotenv": _scan_dotenv, "systemd": _scan_systemd, "shell": _scan_shell}[form]
    return list(scan(_decode(data)))


def set_variables(data: bytes, variables: Mapping[str, str], form: str) -> bytes:
    """Return `data` with each variable set: in place where it is assigned, else in a new line at the end.

    All assignments of a variable get the value, so that no old secret stays in the file.

    Raises:
        EnvFileError: a name or a value that the format cannot hold, or a file that is not of this format.
    """
    for name, value in variables.items():
        check(name, value, form)
    text, present = _decode(data), assignments(data, form)
    result = text
    for found in reversed(present):
        if found.name in variables and not (found.agreed and found.value == variables[found.name]):
            written = _written(found, text, variables[found.name], form)
            result = result[: found.start] + written + result[found.end :]
    end = "\r\n" if form != "shell" and text.partition("\n")[0].endswith("\r") else "\n"
    missing = [name for name in variables if name not in {found.name for found in present}]
    if missing and result and not result.endswith("\n"):
        result += end
    for name in missing:
        result += f"{'export ' if form == 'shell' else ''}{name}={_writings(variables[name], form)[0]}{end}"
    return _proved(result, {**read(data, form), **variables}, form)


def remove_variables(data: bytes, names: Iterable[str], form: str) -> bytes:
    """Return `data` without the lines that assign these variables. Raises: EnvFileError."""
    gone = frozenset(names)
    text = _decode(data)
    for found in reversed(assignments(data, form)):
        if found.name in gone:
            if not found.alone:
                raise EnvFileError(
                    f"line {found.line} holds more than the assignment of {found.name}; give it a line of its own."
                )
            text = text[: found.first] + text[found.last :]
    return _proved(text, {name: value for name, value in read(data, form).items() if name not in gone}, form)


def masked(data: bytes, form: str, changed: Iterable[str] = ()) -> str:
    """Return the names that `data` assigns, one a line, without a value: fit for a diff. Raises: EnvFileError."""
    marked = frozenset(changed)
    return "".join(
        f"{found.name}=********{' (changed)' if found.name in marked else ''}\n" for found in assignments(data, form)
    )


def check(name: str, value: str, form: str) -> None:
    """Raise EnvFileError where `form` has no faithful writing for this variable."""
    if not NAME.match(name):
        raise EnvFileError(
            f"{name!r} is not a variable's name: use letters, digits and underscores, and no digit at the start."
        )
    reason = None
    if "\0" in value:
        reason = "holds a NUL character, which no environment variable can hold; choose another value."
    elif any("\ud800" <= character <= "\udfff" for character in value):
        reason = "is not valid Unicode text; choose another value."
    elif not _writings(value, form):
        reason = {
            "dotenv": "cannot be written so that npm's dotenv, `node --env-file` and Docker Compose all read it alike; "
            "choose a value without the quote ' (or without \" $ # \\), or take the format systemd or shell.",
            "systemd": "holds a control character, which systemd.exec(5) does not pass on; "
            "choose a value without it, or take the format shell.",
        }.get(form)
    if reason:
        raise EnvFileError(f"{name}: the value {reason}")


def _writings(value: str, form: str) -> list[str]:
    """Return the ways to write a value that all readers of the format take alike, best first."""
    if form == "shell":
        return [value] if _PLAIN.match(value) else ["'" + value.replace("'", "'\\''") + "'"]
    if form == "systemd":
        return _systemd_writings(value)
    if "\r" in value:
        return []
    ways = [value] if _PLAIN.match(value) else []
    # An escape before the closing quote is one to npm's dotenv and Compose, and none to Node.
    if "'" not in value and not value.endswith("\\"):
        ways.append(f"'{value}'")
    if not re.search(r'["\\$]', value):
        ways.append(f'"{value}"')
    if (
        value
        and not ways
        and not re.search(r"[#$\n]", value)
        and value[0] not in "'\"`"
        and value.strip(JS_SPACE) == value
    ):
        ways.append(value)
    return ways


def _systemd_writings(value: str) -> list[str]:
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        return []
    ways = [value] if _PLAIN.match(value) else []
    # systemd before 246 reads a backslash within single quotes as an escape.
    if "'" not in value and "\\" not in value:
        ways.append(f"'{value}'")
    ways.append('"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"')
    return ways


def _written(found: Assignment, text: str, value: str, form: str) -> str:
    """Return the separator and the value, in the quotes that stand there where they fit."""
    separator, old = re.match(r"(\s*=\s*|:\s+|)(.*)", text[found.start : found.end], re.DOTALL).groups()  # type: ignore[union-attr]
    ways = _writings(value, form)
    ways.sort(key=lambda way: _quote(way) != _quote(old))
    tail = " " if text[found.end : found.end + 1] == "#" else ""
    return ("=" if separator.startswith(":") else separator) + ways[0] + tail


def _quote(written: str) -> str:
    return written[:1] if written[:1] in ("'", '"') else ""


def _proved(text: str, wanted: Mapping[str, str | None], form: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if read(data, form) != wanted:
        raise EnvFileError(
            f"the file cannot be changed without changing what its other lines mean as {form}; "
            "look for a quote that is not closed, or write these variables into a file of their own."
        )
    return data


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _unclosed(text: str, position: int) -> EnvFileError:
    line = text.count("\n", 0, position) + 1
    return EnvFileError(f"line {line} opens a quote that is not closed, so the lines after it are unsure; close it.")


def _lines(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span of the whole lines, with their line end, that hold text[start:end]."""
    newline = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if newline < 0 else newline + 1


def _scan_dotenv(text: str) -> Iterator[Assignment]:
    stray = re.search(r"\r(?!\n)", text)
    if stray:
        raise EnvFileError(
            f"line {text.count(chr(10), 0, stray.start()) + 1} holds a carriage return without a line feed, "
            "which npm's dotenv takes as a line end and Node leaves out; remove it."
        )
    # The readers make every line end a line feed first; `place` leads back to the file's own bytes.
    plain = text.replace("\r\n", "\n")
    returns = [match.start() - number for number, match in enumerate(re.finditer("\r\n", text))]

    def place(position: int) -> int:
        return position + bisect.bisect_left(returns, position)

    for match in _DOTENV_LINE.finditer(plain):
        raw = match["value"] or ""
        start = match.end("separator")
        start += len(raw) - len(raw.lstrip(JS_SPACE))
        raw = raw.strip(JS_SPACE)
        end = start + len(raw)
        quoted = raw[:1] in ("'", '"', "`")
        if quoted and raw.count(raw[0]) == 1:
            raise _unclosed(plain, start)
        value = raw[1:-1] if quoted and raw[-1] == raw[0] else raw
        if raw.startswith('"'):
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        clear = re.match(r"[ \t]*(\n|\Z)|[ \t]+#", plain[end:])
        first, last = _lines(text, place(match.start("name")), place(end))
        yield Assignment(
            name=match["name"],
            value=value,
            line=plain.count("\n", 0, match.start("name")) + 1,
            agreed=bool(clear) and "=" in match["separator"] and raw in _writings(value, "dotenv"),
            start=place(match.start("separator")),
            end=place(end),
            first=first,
            last=last,
            alone=True,
        )


def _scan_systemd(text: str) -> Iterator[Assignment]:
    """Follow load_env_file() of systemd's src/basic/env-file.c."""
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        line_end = _find_any(text, "\r\n", position)
        if text[position] in "#;":
            if text[position:line_end].endswith("\\"):
                raise EnvFileError(
                    f"line {text.count(chr(10), 0, position) + 1} is a comment that ends with a backslash: systemd "
                    "before version 254 takes the next line as a comment too; remove the backslash."
                )
            position = line_end
            continue
        equals = text.find("=", position, line_end)
        if equals < 0:
            position = line_end
            continue
        name = text[position:equals].rstrip(" \t")
        value, end = _systemd_value(text, equals + 1)
        if NAME.match(name):
            first, last = _lines(text, position, end)
            yield Assignment(
                name=name,
                value=value,
                line=text.count("\n", 0, position) + 1,
                agreed=True,
                start=equals,
                end=end,
                first=first,
                last=last,
                alone=True,
            )
        position = end


def _find_any(text: str, characters: str, position: int) -> int:
    while position < len(text) and text[position] not in characters:
        position += 1
    return position


def _systemd_value(text: str, position: int) -> tuple[str, int]:
    """Return the value that starts here, and where its line ends."""
    value, kept, bare = "", 0, False
    while position < len(text) and text[position] not in "\r\n":
        character = text[position]
        if not bare and character in "'\"":
            quoted, position = _systemd_quoted(text, position)
            value += quoted
            kept = len(value)
            continue
        if character == "\\":
            bare = True
            position += 1
            if position == len(text):
                raise EnvFileError("the last line ends with a backslash; remove it.")
            if text[position] not in "\r\n":
                value += text[position]
            kept = len(value)
        elif character not in " \t":
            bare = True
            value += character
            kept = len(value)
        elif bare:
            value += character
        position += 1
    return value[:kept], position


def _systemd_quoted(text: str, position: int) -> tuple[str, int]:
    start, quote = position, text[position]
    value = ""
    position += 1
    while position < len(text):
        character = text[position]
        if character == quote:
            return value, position + 1
        if character == "\\" and quote == '"':
            position += 1
            escaped = text[position : position + 1]
            if escaped and escaped in '"\\`$':
                value += escaped
            elif escaped != "\n":
                value += "\\" + escaped
        else:
            value += character
        position += 1
    raise _unclosed(text, start)


def _scan_shell(text: str) -> Iterator[Assignment]:
    """Follow the assignments of a script's top level (POSIX, Shell Command Language 2.3 and 2.9.1)."""
    position = 0
    while position < len(text):
        if text[position] in " \t\n;":
            position += 1
        elif text[position] == "#":
            position = _find_any(text, "\n", position)
        else:
            words = _shell_words(text, position)
            yield from _shell_assignments(text, words)
            position = words[-1].end


@dataclass(frozen=True)
class _Word:
    text: str
    value: str | None
    start: int
    end: int


def _shell_assignments(text: str, words: list[_Word]) -> Iterator[Assignment]:
    line = text.count("\n", 0, words[0].start) + 1
    if _SHELL_COMPOUND.match(words[0].text) or any(word.text in ("(", "<<") for word in words):
        raise EnvFileError(
            f"line {line} is more than an assignment or a plain command, so the file is a program; "
            "write these variables into a file of their own."
        )
    exported = words[0].text == "export"
    named = [(word, match) for word in words if (match := _SHELL_NAME.match(word.text))]
    if not exported and len(named) < len(words):
        return
    first, last = _lines(text, words[0].start, words[-1].end)
    rest = text[words[-1].end : last].strip(" \t\n")
    alone = not text[first : words[0].start].strip() and (not rest or rest.startswith("#"))
    for word, match in named:
        yield Assignment(
            name=match[1],
            value=None if word.value is None else word.value[match.end() :],
            line=text.count("\n", 0, word.start) + 1,
            agreed=word.value is not None,
            start=word.start + match.end() - 1,
            end=word.end,
            first=first,
            last=last,
            alone=alone and len(words) == 1 + exported,
        )


def _shell_words(text: str, position: int) -> list[_Word]:
    """Return the words and operators up to the end of the command."""
    words: list[_Word] = []
    while position < len(text) and text[position] not in "\n;":
        if text.startswith("\\\n", position):
            position += 2
        elif text[position] in " \t":
            position += 1
        elif text[position] == "#":
            break
        else:
            start = position
            if text[position] in "|&()<>":
                value: str | None = None
                position += 2 if text.startswith("<<", position) else 1
            else:
                value, position = _shell_word(text, position)
            words.append(_Word(text[start:position], value, start, position))
    return words


def _shell_word(text: str, position: int) -> tuple[str | None, int]:
    """Return what the word that starts here means (None: an expansion is in it), and where it ends."""
    value, literal = "", True
    while position < len(text) and text[position] not in " \t\n;|&()<>":
        character = text[position]
        if character == "'":
            end = _find_closing(text, position, position + 1, "'")
            value += text[position + 1 : end]
            position = end + 1
        elif character == '"':
            inner, position = _shell_double_quoted(text, position)
            literal = literal and inner is not None
            value += inner or ""
        elif character == "\\":
            value += text[position + 1 : position + 2].replace("\n", "")
            position += 2
        elif character in "$`" or (character == "~" and value[-1:] in ("", "=", ":")) or character in "*?[":
            literal = False
            position = _shell_expansion(text, position)
        else:
            value += character
            position += 1
    return (value if literal else None), min(position, len(text))


def _shell_double_quoted(text: str, start: int) -> tuple[str | None, int]:
    value, literal, position = "", True, start + 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return (value if literal else None), position + 1
        if character == "\\":
            escaped = text[position + 1 : position + 2]
            value += escaped.replace("\n", "") if escaped in ("$", "`", '"', "\\", "\n") else "\\" + escaped
            position += 2
        elif character in "$`":
            end = _shell_expansion(text, position)
            if end == position + 1:
                value += character
            else:
                literal = False
            position = end
        else:
            value += character
            position += 1
    raise _unclosed(text, start)


def _shell_expansion(text: str, position: int) -> int:
    """Return where the expansion that starts here ends; right after the character when it is none."""
    if text[position] == "`":
        return _find_closing(text, position, position + 1, "`") + 1
    opened = text[position + 1 : position + 2]
    if text[position] != "$" or opened not in ("(", "{"):
        name = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])", re.ASCII).match(text, position)
        return name.end() if name else position + 1
    closing = {"(": ")", "{": "}"}[opened]
    start, depth, position = position, 0, position + 1
    while position < len(text):
        character = text[position]
        if character in (opened, closing):
            depth += 1 if character == opened else -1
            if depth == 0:
                return position + 1
            position += 1
        elif character == "'":
            position = _find_closing(text, position, position + 1, "'") + 1
        elif character == '"':
            position = _shell_double_quoted(text, position)[1]
        else:
            position += 2 if character == "\\" else 1
    raise _unclosed(text, start)


def _find_closing(text: str, opened: int, position: int, quote: str) -> int:
    end = text.find(quote, position)
    if end < 0:
        raise _unclosed(text, opened)
    return end
