# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws a terminal's text as an SVG: python tests/tools/picture.py TITLE <text >picture.svg

With the title as a prompt's command. Nothing of the text is changed but that Ansible's lists of lines lose their
quotes, and that long lines are wrapped.
"""

from __future__ import annotations

import html
import json
import re
import sys
import textwrap

_COLUMNS = 116
_LINE = 18
_STYLE = "font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre"


def lines(text: str) -> list[str]:
    """The lines to draw; of a list as Ansible prints it, the items."""
    found: list[str] = []
    for line in text.strip().splitlines():
        item = re.match(r'\s+(".*"),?$', line)
        shown = json.loads(item[1]) if item else line.rstrip()
        indent = " " * (len(shown) - len(shown.lstrip()) + 26 if item and shown.startswith(" ") else 2)
        found += textwrap.wrap(shown, _COLUMNS, subsequent_indent=indent, drop_whitespace=False) or [""]
    return found


def _colour(line: str) -> str:
    if re.match(r"(ok|skipping):|  ok ", line) or "would start" in line:
        return "#7ee787"
    if "FAILED" in line or line.startswith("fatal"):
        return "#ff7b72"
    return "#8b949e" if line.startswith(("PLAY", "TASK", "$")) else "#e6edf3"


def svg(title: str, text: str) -> str:
    """The picture."""
    drawn = [f"$ {title}", "", *lines(text)]
    width, height = _COLUMNS * 8 + 32, len(drawn) * _LINE + 32
    rows = [
        f'<text x="16" y="{28 + number * _LINE}" fill="{_colour(line)}" xml:space="preserve">{html.escape(line)}</text>'
        for number, line in enumerate(drawn)
        if line
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" style="{_STYLE}">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>', *rows, "</svg>", ""])


if __name__ == "__main__":
    sys.stdout.write(svg(sys.argv[1], sys.stdin.read()))
