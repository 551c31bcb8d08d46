"""Draw docs/pictures/layout.svg: the layout of a message that is made for it.

python tools/draw_layout.py
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import capnp

from mmapbuilder import MessageBuilder
from mmapbuilder.cli import main

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "examples" / "addressbook.capnp"


def build(path: str) -> None:
    """Make an address book of people with names, mails, phones and schools."""
    rng = random.Random(7)
    book = capnp.load(str(SCHEMA)).AddressBook
    names = ["Ada", "Charles", "Grace", "Alan", "Barbara", "Edsger", "Katherine", "Donald"]
    with MessageBuilder(path, segment_words=1 << 15, capacity=4 << 20) as b:
        root = b.init_root(book)
        root.init("people", 3000)  # which nothing leads to when it is made anew
        b.fill_rows(
            "people",
            [
                {
                    "id": number,
                    "name": f"{rng.choice(names)} {rng.choice(names)}son",
                    "email": f"{rng.choice(names).lower()}.{number}@example.com",
                    "phones": [
                        {"number": f"555-{rng.randrange(10_000):04}", "type": "mobile"}
                        for _ in range(rng.randrange(3))
                    ],
                    "employment": {"school": "Analytical Engine School"} if number % 3 else None,
                }
                for number in range(3000)
            ],
        )
        root.people[0].name = "x" * 40_000
        root.people[0].name = "Ada"  # and this leaves a gap


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/people.bin"
        build(path)
        target = ROOT / "docs" / "pictures" / "layout.svg"
        sys.exit(main(["layout", path, "--schema", f"{SCHEMA}:AddressBook", "--svg", str(target)]))
