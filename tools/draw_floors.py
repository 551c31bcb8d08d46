"""Draw the floors of the project from its includes and imports: docs/internals/floors.svg.

    python tools/draw_floors.py            # draw it anew
    python tools/draw_floors.py --check    # exit with 1 if the drawing is out of date

Each floor is a band, each part a box. A box stands above all that it includes or imports on
its own floor; a line leads to each of these. What a floor uses of lower floors is written at its
right end.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.floors import FLOORS, Graph, c_parts, modules  # noqa: E402

PICTURE = ROOT / "docs" / "internals" / "floors.svg"

LETTER, BOX, ROW, GAP, LEFT, RIGHT, MARGIN = 6.6, 22, 46, 12, 110, 190, 16
WIDTH = 1180

STYLE = """
  :root { color-scheme: light dark; }
  .paper { fill: #ffffff; } .band { fill: #f3f5f9; } .box { fill: #ffffff; stroke: #7a8699; }
  .line { stroke: #9aa6b8; fill: none; } text { fill: #1c2430; font: 11px ui-monospace, monospace; }
  .floor { font: bold 14px system-ui, sans-serif; } .note { font: 11px system-ui, sans-serif; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #12161d; } .band { fill: #1b222d; } .box { fill: #12161d; stroke: #7a8699; }
    .line { stroke: #55617a; } text { fill: #dfe6f1; }
  }
"""


def height_of(name: str, graph: Graph, heights: dict[str, int]) -> int:
    """The length of the longest way down from a part on its own floor."""
    if name not in heights:
        heights[name] = max(
            (height_of(lower, graph, heights) + 1 for lower in graph[name]), default=0
        )
    return heights[name]


def rows_of(graph: Graph) -> list[list[str]]:
    """The parts of one floor by height, lowest first, in lines that fit the width."""
    heights: dict[str, int] = {}
    for name in graph:
        height_of(name, graph, heights)
    rows: list[list[str]] = []
    for height in range(max(heights.values(), default=-1) + 1):
        row: list[str] = []
        for name in sorted(name for name in graph if heights[name] == height):
            if row and span([*row, name]) > WIDTH - LEFT - RIGHT - 2 * MARGIN:
                rows.append(row)
                row = []
            row.append(name)
        rows.append(row)
    return rows


def label(name: str) -> str:
    return name.rpartition("/")[2]


def width(name: str) -> float:
    return len(label(name)) * LETTER + 14


def span(row: list[str]) -> float:
    return sum(width(name) + GAP for name in row) - GAP


def draw_floor(title: str, graph: Graph, uses: str, top: float) -> tuple[list[str], float]:
    """The band of one floor, and where it ends."""
    rows = rows_of(graph)
    bottom = top + len(rows) * ROW + 14
    places: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        x = LEFT + (WIDTH - LEFT - RIGHT - span(row)) / 2
        for name in row:
            places[name] = (x, bottom - 10 - (level + 1) * ROW + (ROW - BOX))
            x += width(name) + GAP
    out = [
        f'<rect class="band" x="{MARGIN}" y="{top:.0f}" width="{WIDTH - 2 * MARGIN}" '
        f'height="{bottom - top:.0f}" rx="8"/>',
        f'<text class="floor" x="{MARGIN + 14}" y="{(top + bottom) / 2 + 5:.0f}">'
        f"{escape(title)}</text>",
    ]
    for number, line in enumerate(uses.splitlines()):
        y = (top + bottom) / 2 + 15 * number - 4
        out.append(f'<text class="note" x="{WIDTH - RIGHT + 8}" y="{y:.0f}">{escape(line)}</text>')
    for upper in sorted(graph):
        for lower in sorted(graph[upper]):
            x, y = places[upper][0] + width(upper) / 2, places[upper][1] + BOX
            to_x, to_y = places[lower][0] + width(lower) / 2, places[lower][1]
            out.append(
                f'<path class="line" d="M{x:.0f} {y:.0f} C{x:.0f} {y + 14:.0f} '
                f'{to_x:.0f} {to_y - 14:.0f} {to_x:.0f} {to_y:.0f}"/>'
            )
    for name, (x, y) in sorted(places.items()):
        out.append(
            f'<rect class="box" x="{x:.0f}" y="{y:.0f}" width="{width(name):.0f}" '
            f'height="{BOX}" rx="4"/><text x="{x + 7:.0f}" y="{y + 15:.0f}">'
            f"{escape(label(name))}</text>"
        )
    return out, bottom


def picture() -> str:
    """The whole drawing."""
    graph = c_parts()
    python = modules()
    bands = [("package", python, "imports\n_core (py)")]
    for floor in reversed(FLOORS):
        inside = {
            name: {lower for lower in lowers if lower.startswith(f"{floor}/")}
            for name, lowers in graph.items()
            if name.startswith(f"{floor}/")
        }
        below = {lower.split("/")[0] for name in inside for lower in graph[name] - inside[name]} - {
            floor
        }
        used = ", ".join(sorted(below, key=FLOORS.index, reverse=True))
        bands.append((f"csrc/{floor}", inside, f"includes\n{used}" if used else ""))
    parts: list[str] = []
    y = float(MARGIN)
    for title, inside, uses in bands:
        drawn, y = draw_floor(title, inside, uses, y)
        parts += drawn
        y += 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN:.0f}">'
        f"<style>{STYLE}</style>"
        f'<rect class="paper" width="{WIDTH}" height="{y + MARGIN:.0f}"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def main() -> int:
    drawn = picture()
    if "--check" in sys.argv[1:]:
        if PICTURE.exists() and PICTURE.read_text() == drawn:
            return 0
        print(f"{PICTURE.relative_to(ROOT)} is out of date: python tools/draw_floors.py")
        return 1
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
