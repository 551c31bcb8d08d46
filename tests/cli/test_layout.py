"""mmapbuilder layout: the picture, as a browser shows it in both schemes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mmapbuilder import MessageBuilder
from mmapbuilder.cli.treemap import Box, squarify
from support.command import BOOK, PERSON, fails, lines, run
from support.readers import KINDS
from support.requirements import missing

pytest.importorskip("capnp")

SVG = "{http://www.w3.org/2000/svg}"
KINDS_OPTION = f"{KINDS.file}:Kinds"


def test_rectangles_are_as_large_as_numbers() -> None:
    box = Box(3, 5, 640, 360)
    sizes = [6000, 3000, 2000, 1000, 500, 500, 100, 7, 1]
    found = squarify(sizes, box)
    whole = box.width * box.height
    for size, place in zip(sizes, found, strict=True):
        assert place.width * place.height == pytest.approx(whole * size / sum(sizes))
        assert place.x >= box.x - 1e-9
        assert place.y >= box.y - 1e-9
        assert place.x + place.width <= box.x + box.width + 1e-6
        assert place.y + place.height <= box.y + box.height + 1e-6
    for number, a in enumerate(found):  # none covers another one
        for b in found[:number]:
            width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
            height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
            assert width < 1e-6 or height < 1e-6
    assert max(max(p.width / p.height, p.height / p.width) for p in found[:4]) < 3
    assert squarify([], box) == []
    assert squarify([1], Box(0, 0, 0, 10)) == [Box(0, 0, 0, 0)]


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """A message of several segments, with holes and unreachable words."""
    path = tmp_path / "segments.bin"
    with MessageBuilder(path, segment_words=1 << 14, capacity=8 << 20) as b:
        root = b.init_root(KINDS.schema)
        for _ in range(3):
            root.init("float64s", 9000)  # the last one is kept, the others are lost
        root.init("inners", 200)[7].text = "x" * 5000
        root.group.right = "<&\"'> " * 50
    return path


def test_the_picture_is_valid_and_says_what_is_there(tmp_path: Path, segmented: Path) -> None:
    shown = run("layout", segmented, "--schema", KINDS_OPTION, "--svg", "x.svg", where=tmp_path)
    assert "x.svg: drawn" in shown.ok().out
    tree = ElementTree.parse(tmp_path / "x.svg").getroot()
    titles = [title.text or "" for title in tree.iter(f"{SVG}title")]
    assert any(title.startswith("float64s: numbers and Data, 72,000 bytes") for title in titles)
    assert any("unreachable" in title for title in titles)
    strips = [text.text for text in tree.iter(f"{SVG}text") if "segment " in (text.text or "")]
    assert len(strips) > 2
    style = next(tree.iter(f"{SVG}style")).text or ""
    assert "prefers-color-scheme: dark" in style


def test_areas_are_in_the_ratio_of_bytes(tmp_path: Path, message: Path) -> None:
    run("layout", message, "--schema", BOOK, "--svg", "x.svg", where=tmp_path).ok()
    tree = ElementTree.parse(tmp_path / "x.svg").getroot()
    found = {}
    for rect in tree.iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is None or "cell" not in rect.get("class", ""):
            continue
        size = re.search(r"([\d,]+) bytes", title.text or "")
        assert size is not None
        bytes_ = int(size[1].replace(",", ""))
        found[title.text] = float(rect.get("width", 0)) * float(rect.get("height", 0)) / bytes_
    assert max(found.values()) < 2.5 * min(found.values())  # frames and heads take some


def test_logs_and_messages_without_a_schema(tmp_path: Path, message: Path, log: Path) -> None:
    for path, options in ((log, ["--schema", PERSON]), (log, []), (message, [])):
        arguments = ("--svg", "x.svg", "--html", "x.html", "--json")
        found = lines(run("layout", path, *options, *arguments, where=tmp_path))
        assert [each["written"] for each in found] == ["x.svg", "x.html"]
        assert found[0]["size"] == path.stat().st_size
        assert "<table>" in (tmp_path / "x.html").read_text()
    shown = run("layout", message, "--svg", "-", where=tmp_path).ok().out
    assert shown.startswith("<svg ")
    assert shown.endswith("</svg>\n")


def test_what_cannot_be_drawn(tmp_path: Path, message: Path, unfinished: Path) -> None:
    fails(run("layout", unfinished, "--svg", "x.svg", where=tmp_path), 1, "died.bin")
    fails(run("layout", message, "--svg", "no/x.svg", where=tmp_path), 3, "no/x.svg")
    assert not (tmp_path / "x.svg").exists()


# ---- in a browser --------------------------------------------------------------------------


def browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing("there is no Chromium (Debian: chromium)")
    return found


def in_browser(page: Path, *options: str) -> str:
    profile = page.parent / "profile"
    done = subprocess.run(
        [
            *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={profile}", "--window-size=1140,900", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOME": str(page.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MEASURE = """
<script>
const found = [...document.querySelectorAll('svg text')].map(t => ({
  text: t.textContent, room: parseFloat(t.dataset.room), length: t.getComputedTextLength(),
  box: (b => [b.left, b.top, b.right, b.bottom])(t.getBoundingClientRect()),
  fill: getComputedStyle(t).fill,
}));
const paper = getComputedStyle(document.querySelector('.paper')).fill;
const cells = [...document.querySelectorAll('.cell')].map(c => getComputedStyle(c).fill);
const pre = document.createElement('pre');
pre.id = 'found';
pre.textContent = JSON.stringify({found, paper, cells});
document.body.appendChild(pre);
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_with_labels_that_fit(
    scheme: str, tmp_path: Path, message: Path, segmented: Path
) -> None:
    """The real text of a real font, in both schemes."""
    for path, schema in ((message, BOOK), (segmented, KINDS_OPTION)):
        run("layout", path, "--schema", schema, "--html", "x.html", where=tmp_path).ok()
        page = tmp_path / "x.html"
        page.write_text(page.read_text().replace("</body>", MEASURE + "</body>"))
        dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        shown = in_browser(page, "--dump-dom", *dark)
        text = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
        assert text is not None, shown[:2000]
        found = json.loads(text[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        labels = found["found"]
        assert len(labels) > 10
        for label in labels:
            assert label["length"] <= label["room"], label
        for number, a in enumerate(labels):  # and none lies over another one
            for b in labels[:number]:
                left, right = max(a["box"][0], b["box"][0]), min(a["box"][2], b["box"][2])
                top, bottom = max(a["box"][1], b["box"][1]), min(a["box"][3], b["box"][3])
                assert right - left < 1 or bottom - top < 4, (a, b)
        assert found["paper"] == ("rgb(18, 22, 29)" if scheme == "dark" else "rgb(255, 255, 255)")
        for label in labels:
            contrasts = [contrast(label["fill"], found["paper"])]
            if label["fill"] == labels[0]["fill"]:
                contrasts += [contrast(label["fill"], cell) for cell in found["cells"]]
            assert min(contrasts) >= 4.5, label  # what the WCAG want of text


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.slow
def test_the_picture_of_the_docs_is_shown(tmp_path: Path) -> None:
    """Alone, as in a page that shows it as an image: it is drawn, and fills its area."""
    image = pytest.importorskip("PIL.Image")
    source = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "layout.svg"
    page = tmp_path / "layout.html"
    page.write_text(f'<body style="margin: 0"><img src="{source.as_uri()}">')
    for dark in (False, True):
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        shot = tmp_path / f"{dark}.png"
        in_browser(page, f"--screenshot={shot}", *scheme)
        with image.open(shot) as picture:
            pixels = picture.convert("RGB")
            assert len(pixels.getcolors(1 << 20)) > 20
            corner = pixels.getpixel((4, 4))
            assert (sum(corner) < 120) == dark
