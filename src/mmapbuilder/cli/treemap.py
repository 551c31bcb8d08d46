"""A treemap: rectangles whose areas are as large as numbers are.

*Squarified* after Bruls, Huizing and van Wijk: rows of rectangles are laid along the shorter side
of what is left, each as long as it makes its rectangles more like squares.
"""

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    def inside(self, margin: float, top: float) -> "Box":
        """Return what is left within a margin, and below a head."""
        return Box(
            self.x + margin,
            self.y + top,
            max(0.0, self.width - 2 * margin),
            max(0.0, self.height - top - margin),
        )


def squarify(sizes: list[int], box: Box) -> list[Box]:
    """Divide a rectangle; `sizes` are above zero, best from the largest to the smallest."""
    total = sum(sizes)
    if not total or box.width <= 0 or box.height <= 0:
        return [Box(box.x, box.y, 0.0, 0.0) for _ in sizes]
    scale = box.width * box.height / total
    areas = [size * scale for size in sizes]
    placed: list[Box] = []
    at = 0
    while at < len(areas):
        side = min(box.width, box.height)
        end = at + 1
        while end < len(areas) and _worst(areas[at : end + 1], side) <= _worst(areas[at:end], side):
            end += 1
        row, box = _lay(areas[at:end], box)
        placed += row
        at = end
    return placed


def _worst(row: list[float], side: float) -> float:
    """Return the ratio of the sides of the rectangle that is least like a square."""
    total = sum(row)
    if side <= 0 or total <= 0:
        return float("inf")
    thickness = total / side
    return max(max(thickness / (a / thickness), (a / thickness) / thickness) for a in row if a > 0)


def _lay(row: list[float], box: Box) -> tuple[list[Box], Box]:
    """Lay a row along the shorter side; return its rectangles, and what is left."""
    total = sum(row)
    upright = box.width >= box.height
    thickness = total / box.height if upright else total / box.width
    at = box.y if upright else box.x
    placed = []
    for area in row:
        length = area / thickness if thickness > 0 else 0.0
        if upright:
            placed.append(Box(box.x, at, thickness, length))
        else:
            placed.append(Box(at, box.y, length, thickness))
        at += length
    if upright:
        return placed, Box(box.x + thickness, box.y, max(0.0, box.width - thickness), box.height)
    return placed, Box(box.x, box.y + thickness, box.width, max(0.0, box.height - thickness))
