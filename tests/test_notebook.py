"""examples/notebook.ipynb in a real kernel: from top to bottom, and once more in any order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support import processes
from support.requirements import has, without

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "notebook.ipynb"

# Prints what the last run of each cell of code gave; the pictures by their type only.
RUN = """
import json, random, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], 4)
client = NotebookClient(notebook, timeout=120, kernel_name="python3")
cells = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
with client.setup_kernel():
    for number in cells:
        client.execute_cell(notebook.cells[number], number)
    again = cells[1:] * 3
    random.Random(7).shuffle(again)
    for number in again:
        client.execute_cell(notebook.cells[number], number)
outputs = [
    output.get("text") or sorted(output.data)
    for number in cells
    for output in notebook.cells[number].outputs
]
print(json.dumps(outputs))
"""


def test_cells_run_again_and_in_any_order(tmp_path: Path) -> None:
    wanted = ("nbclient", "ipykernel", "matplotlib", "capnp", "numpy")
    if lacking := [name for name in wanted if not has(name)]:
        without(*lacking)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK)],
        cwd=tmp_path,
        env=processes.environment(TMPDIR=str(tmp_path), MPLCONFIGDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    kept = [
        output.get("text", output.get("data"))
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
    ]
    expected = ["".join(k) if isinstance(k, list) else sorted(k) for k in kept]
    assert json.loads(done.stdout) == expected
    assert ["image/png", "text/plain"] in expected
