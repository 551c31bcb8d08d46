"""Check the built site: tools/check_site.py DIRECTORY.

Every link inside the site leads to a page and a place that are there. Every public name of
the package is in the reference, and so is every public method and property of a class.
Nothing is asked of the network.
"""

from __future__ import annotations

import inspect
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mmapbuilder


class Page(HTMLParser):
    """The links of a page, and the places that others can link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if value and key in ("href", "src"):
                self.links.add(value)
            elif value and (key == "id" or (tag == "a" and key == "name")):
                self.places.add(value)


def broken_links(site: Path) -> list[str]:
    """The links of the site that lead nowhere."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}: no such page")
            elif place and target in pages and place not in pages[target].places:
                broken.append(f"{path.relative_to(site)}: {link}: no such place")
    return sorted(broken)


def public_members(kind: type) -> set[str]:
    """The public methods and properties of a class, inherited ones included."""
    names = {
        name
        for cls in kind.__mro__
        if cls.__module__ not in ("builtins", "collections.abc")  # told in Python's documents
        for name in vars(cls)
        if not name.startswith("_")
    }
    told = {name: inspect.getdoc(getattr(kind, name)) or "" for name in names}
    # Fields of named tuples of which Python knows the number only are told in the class.
    return {name for name, text in told.items() if text and not text.startswith("Alias for field")}


def undocumented(site: Path) -> list[str]:
    """The public names that the reference lacks."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]  # behind a head of four lines
    known = {line.split()[0].decode() for line in zlib.decompress(content).splitlines()}
    wanted = set()
    for name in mmapbuilder.__all__:
        thing = getattr(mmapbuilder, name)
        wanted.add(f"mmapbuilder.{name}")
        if inspect.isclass(thing):
            wanted |= {f"mmapbuilder.{name}.{member}" for member in public_members(thing)}
    return sorted(wanted - known)


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    problems = broken_links(site)
    problems += [f"{name} is not in the reference" for name in undocumented(site)]
    if problems:
        sys.exit("\n".join(problems))
    print(f"site: {len(list(site.rglob('*.html')))} pages, all links lead somewhere: {site}")


if __name__ == "__main__":
    main()
