"""One growth fault, followed from the entry of the handler to its return.

The C sources are compiled so that each function notes when it is entered. docs/internals/walks.md
tells of the same walk.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.floors import CSRC
from support.requirements import tool
from support.tools import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walk is that on Linux")

PROGRAM = """
#include "mmb_map.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

extern _Atomic int hops_on;
extern _Atomic unsigned hops_count;
extern uintptr_t hops[];
enum { MIB = 1 << 20 };

__attribute__((no_instrument_function)) int main(int count, char **names)
{
    mmb_options options = {.capacity = 1 << 30, .max_growth = 2 * MIB};
    mmb_map *map = NULL;
    unsigned char *memory = NULL;
    int fd = open(names[count - 1], O_RDWR | O_CREAT, 0600);
    if (mmb_map_open(fd, &options, &map, NULL) != 0 || mmb_map_memory(map, &memory) != 0) {
        return 1;
    }
    volatile unsigned char *bytes = memory;
    bytes[3 * MIB] = 1; /* the first growth is not like the others */
    hops_on = 1;
    bytes[5 * MIB] = 1;
    hops_on = 0;
    for (unsigned i = 0; i < hops_count; i++) {
        printf("%lu\\n", (unsigned long)hops[i]);
    }
    return 0;
}
"""


@pytest.mark.slow
def test_a_growth_walks_through_four_files(tmp_path: Path) -> None:
    tool("gcc", "gcc"), tool("addr2line", "binutils")
    hops = load("count_hops")
    main, program = tmp_path / "main.c", tmp_path / "program"
    main.write_text(PROGRAM)
    floors = ("os", "file", "map")
    sources = [path for floor in floors for path in sorted((CSRC / floor).glob("*.c"))]
    folders = (CSRC, CSRC / "file", CSRC / "map")
    hops.compile_recording([*sources, main], program, "-no-pie", *(f"-I{at}" for at in folders))
    out = subprocess.run(
        [program, tmp_path / "file"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    notes = [int(line) for line in out.split()]
    names = hops.names_of(program, sorted({note >> 1 for note in notes}))
    entered = [names[note >> 1] for note in notes if note & 1]
    assert entered[0][0].startswith("entry_")
    # Headers hold what is a line long; the calls of the system are leaves of the walk.
    files = {file for _, file in entered if file.endswith(".c") and not file.startswith("os/")}
    assert files == {"map/handler.c", "map/registry.c", "file/growth.c", "file/file.c"}
