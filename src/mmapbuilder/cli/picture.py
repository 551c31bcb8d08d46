"""The picture that `layout` draws: a treemap by the path of fields, and a strip of each segment.

It is one SVG that follows the light or dark scheme of the reader, and needs nothing else.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from ..usage import UsageRow
from .sizes import counted, in_bytes
from .treemap import Box, squarify

WIDTH = 1120
_MARGIN = 24
_MAP_HEIGHT = 470
_STRIP_HEIGHT = 22
_STRIP_STEP = 46
_MOST_STRIPS = 24
_HEAD = 18  # pixels, of the name of a group
_FONT = 12
# Of a fixed-width font: the widest of those that systems have.
_CHARACTER = 0.62

KINDS = {
    "data": "numbers and Data",
    "text": "Text",
    "pointers": "pointers",
    "padding": "padding",
    "far": "landing pads",
    "unreachable": "unreachable",
    "table": "table",
}

_LIGHT = {
    "paper": "#ffffff", "ink": "#1b2330", "soft": "#5a6577", "frame": "#8391a6",
    "group": "#eef1f6", "data": "#9cc4f2", "text": "#a5dcb4", "pointers": "#f5d28b",
    "padding": "#d9dee6", "far": "#d8b9ee", "unreachable": "#f3b0a9", "table": "#b8c2d0",
    "reached": "#5b9be0", "unused": "#f3b0a9", "hole": "#e6e9ef",
}  # fmt: skip
_DARK = {
    "paper": "#12161d", "ink": "#e6ecf5", "soft": "#a3afc0", "frame": "#55617a",
    "group": "#1c232e", "data": "#23518a", "text": "#226542", "pointers": "#77571a",
    "padding": "#39424f", "far": "#5b3f79", "unreachable": "#7d322c", "table": "#4a576a",
    "reached": "#4d8bd0", "unused": "#a1463e", "hole": "#2a3240",
}  # fmt: skip


class Strip(NamedTuple):
    """A segment, or a file of messages, from its first byte to its last, in equal parts."""

    title: str
    start: int
    """In the file, in bytes."""
    bytes: int
    reached: list[float]
    """The share of each part that a pointer leads to."""
    holes: list[float]
    """The share of each part that has no blocks on the disk."""


class _Node:
    """A field with what is in it."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self.own: dict[str, int] = {}
        self.children: dict[str, _Node] = {}
        self.count = 0

    @property
    def bytes(self) -> int:
        return sum(self.own.values()) + sum(child.bytes for child in self.children.values())


def _tree(rows: list[UsageRow]) -> _Node:
    """Put the rows into each other: a list and its elements are one."""
    root = _Node("", "")
    for row in rows:
        node = root
        path = row.path.replace("[]", "")
        for step in re.findall(r"\([a-z]+\)|[^.]+", path):
            node = node.children.setdefault(
                step, _Node(step, f"{node.path}.{step}" if node.path else step)
            )
        node.count = max(node.count, row.count)
        for kind in KINDS:
            size = getattr(row, kind)
            if size:
                node.own[kind] = node.own.get(kind, 0) + size
    return root


# ---- the treemap --------------------------------------------------------------------------


def _fits(text: str, width: float, font: float = _FONT) -> bool:
    return len(text) * font * _CHARACTER <= width - 8


def _fitted(text: str, width: float, font: float = _FONT) -> str:
    """Cut a text to what fits, or leave it out."""
    most = int((width - 8) / (font * _CHARACTER))
    if len(text) <= most:
        return text
    return text[: most - 1] + "…" if most >= 4 else ""


def _label(text: str, x: float, y: float, width: float, style: str, font: float = _FONT) -> str:
    shown = _fitted(text, width, font)
    if not shown:
        return ""
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" font-size="{font:g}" '
        f'data-room="{width:.1f}">{escape(shown)}</text>'
    )


def _rect(box: Box, style: str, title: str) -> str:
    return (
        f'<rect class="{style}" x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" '
        f'height="{box.height:.2f}"><title>{escape(title)}</title></rect>'
    )


def _draw(node: _Node, box: Box, whole: int, depth: int) -> Iterator[str]:
    """Draw what is in a node."""
    parts: list[tuple[int, _Node | None, str]] = [
        (child.bytes, child, "") for child in node.children.values() if child.bytes
    ]
    parts += [(size, None, kind) for kind, size in node.own.items()]
    parts.sort(key=lambda part: -part[0])
    boxes = squarify([size for size, _, _ in parts], box)
    for (size, child, kind), place in zip(parts, boxes, strict=True):
        if place.width < 0.4 or place.height < 0.4:
            continue
        if child is None:
            yield from _cell(node, kind, size, place, whole)
        elif len(child.own) == 1 and not child.children:
            (only,) = child.own
            yield from _cell(child, only, size, place, whole, name=child.name)
        else:
            yield from _group(child, size, place, whole, depth)


def _group(node: _Node, size: int, box: Box, whole: int, depth: int) -> Iterator[str]:
    title = f"{node.path}: {counted(size, 'byte')}, {_share(size, whole)}"
    yield _rect(box, "group", title)
    if box.width < 34 or box.height < _HEAD + 12:
        yield from _draw(node, box.inside(1, 1), whole, depth + 1)
        return
    label = f"{node.name} {in_bytes(size)}"
    if not _fits(label, box.width):
        label = node.name
    yield _label(label, box.x + 5, box.y + 13, box.width, "name")
    yield from _draw(node, box.inside(3, _HEAD), whole, depth + 1)


def _cell(node: _Node, kind: str, size: int, box: Box, whole: int, name: str = "") -> Iterator[str]:
    path = node.path or "(root)"
    count = f", {counted(node.count, 'value')}" if node.count else ""
    yield _rect(
        box,
        f"cell {kind}",
        f"{path}: {KINDS[kind]}, {counted(size, 'byte')}, {_share(size, whole)}{count}",
    )
    if box.height < 16:
        return
    # A part of the name of a kind says no more than its colour.
    if name or _fits(KINDS[kind], box.width):
        yield _label(name or KINDS[kind], box.x + 5, box.y + 14, box.width, "inner")
    if box.height >= 32:
        second = f"{in_bytes(size)}" if not name else f"{KINDS[kind]}, {in_bytes(size)}"
        if not _fits(second, box.width, 11):
            second = in_bytes(size)
        if _fits(second, box.width, 11):
            yield _label(second, box.x + 5, box.y + 29, box.width, "inner size", 11)


def _share(size: int, whole: int) -> str:
    return f"{100 * size / whole:.1f} %" if whole else ""


# ---- strips -------------------------------------------------------------------------------


def _strip(strip: Strip, y: float, width: float) -> Iterator[str]:
    yield _label(strip.title, _MARGIN, y, width, "detail", 11)
    top = y + 6
    parts = len(strip.reached)
    step = width / parts
    yield _rect(
        Box(_MARGIN, top, width, _STRIP_HEIGHT),
        "unused",
        f"{strip.title}: nothing leads to these words",
    )
    # What is reached stands below, holes hang from above; equal neighbours are one rectangle.
    for style, shares, title in (
        ("hole", strip.holes, "a hole: no blocks on the disk"),
        ("reached", strip.reached, "words that a pointer leads to"),
    ):
        for start, end, share in _runs(shares):
            height = share * _STRIP_HEIGHT
            if height <= 0:
                continue
            place = top if style == "hole" else top + _STRIP_HEIGHT - height
            first = strip.start + strip.bytes * start // parts
            last = strip.start + strip.bytes * end // parts
            yield _rect(
                Box(_MARGIN + start * step, place, (end - start) * step, height),
                style,
                f"{title}: bytes {first:,} to {last:,}",
            )
    yield (
        f'<rect class="frame" x="{_MARGIN}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{_STRIP_HEIGHT}"/>'
    )


def _runs(shares: list[float]) -> Iterator[tuple[int, int, float]]:
    start = 0
    steps = [round(share * _STRIP_HEIGHT) / _STRIP_HEIGHT for share in shares]
    # A little is not nothing, and nearly all is not all.
    steps = [
        max(step, 1 / _STRIP_HEIGHT) if share > 0 else 0.0
        for step, share in zip(steps, shares, strict=True)
    ]
    for at in range(1, len(steps) + 1):
        if at == len(steps) or steps[at] != steps[start]:
            yield start, at, steps[start]
            start = at


# ---- all ----------------------------------------------------------------------------------


def _style(colours: dict[str, str]) -> str:
    cells = " ".join(
        f".{kind} {{ fill: {colours[kind]}; }}"
        for kind in (*KINDS, "group", "reached", "unused", "hole", "paper")
    )
    return (
        f"{cells} .frame {{ fill: none; stroke: {colours['frame']}; }} "
        f".group {{ stroke: {colours['frame']}; }} .cell {{ stroke: {colours['paper']}; }} "
        f"text {{ fill: {colours['ink']}; }} .detail, .soft {{ fill: {colours['soft']}; }} "
        f".inner {{ fill: {colours['ink']}; }}"
    )


def _legend(kinds: list[str], y: float, names: dict[str, str]) -> Iterator[str]:
    x = float(_MARGIN)
    for kind in kinds:
        yield f'<rect class="{kind}" x="{x:.1f}" y="{y - 10:.1f}" width="12" height="12" rx="2"/>'
        yield _label(names[kind], x + 18, y, 400, "detail", 11)
        x += 18 + len(names[kind]) * 11 * _CHARACTER + 22


def draw(title: str, subtitle: str, rows: list[UsageRow], strips: list[Strip]) -> str:
    """Draw the picture; return it as SVG."""
    width = WIDTH - 2 * _MARGIN
    root = _tree(rows)
    whole = root.bytes
    used = [kind for kind in KINDS if any(getattr(row, kind) for row in rows)]
    body = [
        _label(title, _MARGIN, 34, width, "title", 18),
        _label(subtitle, _MARGIN, 54, width, "soft", _FONT),
    ]
    y = 68.0
    body += _draw(root, Box(_MARGIN, y, width, _MAP_HEIGHT), whole, 0)
    body.append(
        f'<rect class="frame" x="{_MARGIN}" y="{y}" width="{width}" height="{_MAP_HEIGHT}"/>'
    )
    y += _MAP_HEIGHT + 24
    body += _legend(used, y, KINDS)
    y += 34
    shown = strips[:_MOST_STRIPS]
    for strip in shown:
        body += _strip(strip, y, width)
        y += _STRIP_STEP
    if len(strips) > len(shown):
        rest = f"and {len(strips) - len(shown):,} more segments"
        body.append(_label(rest, _MARGIN, y, width, "soft", _FONT))
        y += 20
    if shown:
        names = {
            "reached": "words that a pointer leads to",
            "unused": "words that nothing leads to",
            "hole": "holes: no blocks on the disk",
        }
        y += 8
        body += _legend(["reached", "unused", "hole"], y, names)
        y += 12
    height = y + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace">\n'
        f"<title>{escape(title)}: {escape(subtitle)}</title>\n"
        f"<style>:root {{ color-scheme: light dark; }} {_style(_LIGHT)} "
        ".name, .title { font-weight: 600; } .cell { stroke-width: 1; } .size { opacity: 0.78; } "
        f"@media (prefers-color-scheme: dark) {{ {_style(_DARK)} }}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>\n'
        + "\n".join(part for part in body if part)
        + "\n</svg>\n"
    )


def page(title: str, picture: str, rows: list[UsageRow]) -> str:
    """Return a page of HTML with the picture, and the rows as a table."""
    shown = [kind for kind in KINDS if any(getattr(row, kind) for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("path", "count", *shown, "bytes"))
    lines = []
    for row in sorted(rows, key=lambda row: -row.bytes):
        numbers = "".join(
            f"<td>{number:,}</td>"
            for number in (row.count, *(getattr(row, kind) for kind in shown), row.bytes)
        )
        lines.append(f"<tr><th>{escape(row.path)}</th>{numbers}</tr>")
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; max-width: {WIDTH}px; padding: 8px; color: {_LIGHT["ink"]};
       background: {_LIGHT["paper"]}; font: 13px ui-monospace, Menlo, Consolas, monospace; }}
svg {{ max-width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 16px 24px; }}
th, td {{ padding: 3px 10px; text-align: right; border-bottom: 1px solid {_LIGHT["hole"]}; }}
th:first-child {{ text-align: left; font-weight: normal; }}
thead th {{ color: {_LIGHT["soft"]}; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: {_DARK["ink"]}; background: {_DARK["paper"]}; }}
  th, td {{ border-color: {_DARK["hole"]}; }}
  thead th {{ color: {_DARK["soft"]}; }}
}}
</style>
</head>
<body>
{picture}<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{chr(10).join(lines)}
</tbody>
</table></div>
</body>
</html>
"""
