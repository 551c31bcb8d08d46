"""Reads a file of the struct Blocks by capnpy: python read_capnpy.py SCHEMA FILE."""

import sys

import capnpy

schema, path = sys.argv[1:]
samples = capnpy.load_schema(filename=schema, pyx=False)
with open(path, "rb") as file:
    root = capnpy.load(file, samples.Blocks)
blocks = root.blocks or []
last = blocks[len(blocks) - 1] if len(blocks) else None
values = (last.values or []) if last is not None else []
for part in (
    (root.label or b"").decode(),
    len(blocks),
    sum(block.index for block in blocks),
    (last.note or b"").decode() if last is not None else "",
    values[len(values) - 1] if len(values) else "",
):
    print(part)
