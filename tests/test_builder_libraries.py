"""A Builder where libraries want a binary file: byte for byte what a plain file would hold."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mmapbuilder import Builder

np = pytest.importorskip("numpy")

Writes = Callable[[Any], object]


@pytest.fixture
def same(target: Path, tmp_path: Path) -> Callable[[Writes], bytes]:
    """Let something write into a builder and into a file, and compare."""

    def check(write: Writes, before: bytes | None = None) -> bytes:
        plain = tmp_path / "plain" / target.name  # some write the name down
        plain.parent.mkdir(exist_ok=True)
        mode = "w"
        if before is not None:
            mode = "r+"
            target.write_bytes(before)
            plain.write_bytes(before)
        with open(plain, "w+b" if before is None else "r+b") as file:
            write(file)
        with Builder(target, mode) as b:
            write(b)
        written = target.read_bytes()
        assert written == plain.read_bytes()
        return written

    return check


# ---- the standard library ------------------------------------------------------------


def write_zip(file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(3):
            info = zipfile.ZipInfo(f"member {n}")
            archive.writestr(info, bytes([n]) * 1000 * n)


def test_zip(same) -> None:
    written = same(write_zip)
    assert zipfile.ZipFile(io.BytesIO(written)).testzip() is None


def test_zip_appended_to(same) -> None:
    def append(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(zipfile.ZipInfo("new"), b"new member")

    before = io.BytesIO()
    write_zip(before)
    archive = zipfile.ZipFile(io.BytesIO(same(append, before.getvalue())))
    assert archive.namelist() == ["member 0", "member 1", "member 2", "new"]
    assert archive.testzip() is None


@pytest.mark.parametrize("mode", ["w", "w:gz", "w|", "w|xz"])
def test_tar(same, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode.endswith("xz"):
        pytest.importorskip("lzma")  # a Python can be built without
    monkeypatch.setattr("time.time", lambda: 1e9)  # gzip writes it down

    def write(file: BinaryIO) -> None:
        with tarfile.open("name", mode, fileobj=file) as archive:
            for n in range(3):
                info = tarfile.TarInfo(f"member {n}")
                info.size = 1000 * n
                archive.addfile(info, io.BytesIO(bytes(info.size)))

    written = same(write)
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        assert len(archive.getnames()) == 3


def test_gzip(same, target: Path) -> None:
    def write(file: BinaryIO) -> None:
        with gzip.GzipFile("name", "wb", fileobj=file, mtime=0) as packed:
            packed.write(b"content" * 10_000)

    same(write)
    with Builder(target, "r+") as b, gzip.GzipFile(fileobj=b) as packed:
        assert packed.read() == b"content" * 10_000


def test_pickle(same, target: Path) -> None:
    objects = [np.arange(1000), {"key": ["value"] * 100}, bytes(100_000)]

    def write(file: BinaryIO) -> None:
        for each in objects:
            pickle.dump(each, file, protocol=5)

    same(write)
    with Builder(target, "r+") as b:
        assert (pickle.load(b) == objects[0]).all()
        assert [pickle.load(b), pickle.load(b)] == objects[1:]


def test_text(same, target: Path) -> None:
    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="\r\n")
        csv.writer(text, lineterminator="\n").writerows([["ä", n, "x,y"] for n in range(5000)])
        text.flush()
        text.seek(0)
        assert text.readline() == 'ä,0,"x,y"\r\n'
        text.seek(0, os.SEEK_END)
        print("end", file=text)
        text.detach()

    same(write)
    with Builder(target, "r+") as b:
        assert len(list(csv.reader(io.TextIOWrapper(b, "utf-8")))) == 5001


def test_buffered(same) -> None:
    def write(file: BinaryIO) -> None:
        buffered = io.BufferedRandom(file)  # type: ignore[type-var]
        for n in range(1000):
            buffered.write(b"%d\n" % n)
        buffered.seek(10)
        assert buffered.readline() == b"5\n"
        buffered.seek(0)
        buffered.write(b"X")
        buffered.flush()
        buffered.detach()

    same(write)


def test_copyfileobj(same) -> None:
    def write(file: BinaryIO) -> None:
        shutil.copyfileobj(io.BytesIO(bytes(300_000)), file)
        file.seek(100_000)
        copy = io.BytesIO()
        shutil.copyfileobj(file, copy)
        assert copy.getvalue() == bytes(200_000)

    same(write)


def test_a_subprocess_is_refused_and_not_misled(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"ours")
        with pytest.raises(io.UnsupportedOperation):
            subprocess.run([sys.executable, "-c", "print(1)"], stdout=b, check=True)
    assert target.read_bytes() == b"ours"


# ---- NumPy -----------------------------------------------------------------------------


def test_numpy_save_and_load(same, target: Path) -> None:
    array = np.arange(100_000, dtype="f8")
    array[-1000:] = 0

    def write(file: BinaryIO) -> None:
        np.save(file, array)
        np.save(file, array[:5])

    same(write)
    with Builder(target, "r+") as b:
        assert (np.load(b) == array).all()
        assert (np.load(b) == array[:5]).all()


@pytest.mark.parametrize("save", ["savez", "savez_compressed"])
def test_numpy_savez(same, target: Path, save: str) -> None:
    same(lambda file: getattr(np, save)(file, a=np.zeros(1000), b=np.ones(3)))
    with Builder(target, "r+") as b, np.load(b) as arrays:
        assert arrays["a"].tolist() == [0] * 1000
        assert arrays["b"].tolist() == [1, 1, 1]


def test_numpy_savetxt(same, target: Path) -> None:
    same(lambda file: np.savetxt(file, np.eye(5)))
    with Builder(target, "r+") as b:
        assert (np.loadtxt(b) == np.eye(5)).all()


def test_numpy_tofile_is_refused_and_not_misled(target: Path) -> None:
    with Builder(target) as b:
        with pytest.raises(io.UnsupportedOperation):
            np.zeros(1000).tofile(b)
        b.write(np.zeros(1000))
    assert target.stat().st_size == 8000


# ---- others ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "json", "lines"])
def test_pandas(same, target: Path, kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"number": range(1000), "text": ["ä", "b"] * 500})

    def write(file: BinaryIO) -> None:
        if kind == "csv":
            frame.to_csv(file, index=False)
        elif kind == "csv.gz":
            frame.to_csv(file, index=False, compression={"method": "gzip", "mtime": 1})
        else:
            frame.to_json(file, orient="records", lines=kind == "lines")

    same(write)
    with Builder(target, "r+") as b:
        if kind.startswith("csv"):
            back = pandas.read_csv(b, compression="gzip" if kind == "csv.gz" else None)
        else:
            back = pandas.read_json(b, lines=kind == "lines")
    assert back.equals(frame)


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream", "csv"])
def test_pyarrow(same, target: Path, kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("ssl")  # what parquet imports does, and a Python can be built without
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet

    table = pa.table({"number": range(10_000), "zero": [0] * 10_000})

    def write(file: BinaryIO) -> None:
        if kind == "parquet":
            pyarrow.parquet.write_table(table, file)
        elif kind == "feather":
            pyarrow.feather.write_feather(table, file)
        elif kind == "csv":
            pyarrow.csv.write_csv(table, file)
        else:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)

    same(write)
    with Builder(target, "r+") as b:
        if kind == "parquet":
            back = pyarrow.parquet.read_table(b)
        elif kind == "feather":
            back = pyarrow.feather.read_table(b)
        elif kind == "csv":
            back = pyarrow.csv.read_csv(b)
        else:
            with pa.ipc.open_stream(b) as reader:
                back = reader.read_all()
    assert back.equals(table)


def pillow_formats() -> list[str]:
    try:
        from PIL import Image
    except ImportError:
        return ["PNG"]
    Image.init()
    # Those that need a program or a library which is not everywhere are left out.
    return sorted(set(Image.SAVE) - {"WMF", "GRIB", "HDF5", "BUFR", "FITS", "MPEG"})


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", pillow_formats())
def test_pillow(same, target: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pytest.importorskip("PIL.Image")
    monkeypatch.setattr("time.time", lambda: 1e9)  # PDF writes it down
    monkeypatch.setattr("time.gmtime", lambda *_: time.struct_time((2001, 1, 1, 1, 1, 1, 1, 1, 0)))
    for mode in ("RGB", "P", "L", "1"):
        image = images.new(mode, (64, 64))  # of zeros, up to the end of the file
        try:
            image.save(io.BytesIO(), kind)
        except (OSError, KeyError, ValueError) as error:
            reason = error
            continue
        written = same(lambda file, image=image: image.save(file, kind))
        break
    else:
        pytest.skip(f"Pillow cannot write it here: {reason}")
    if kind in ("PDF", "EPS", "PALM", "XBM"):
        return  # Pillow only writes these, or needs a program to read them
    with Builder(target, "r+") as b, images.open(b) as back:
        back.load()
        assert back.size[0] > 0
    assert written
