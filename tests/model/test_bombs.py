"""Small files that would unpack to gigabytes: refused, or never opened, in little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import DataError, ModelError, cluster
from tflite_cluster.model.label_file import class_names
from tflite_cluster.model.read import open_model

MODEL = FOLDER / "fully_connected_float32.tflite"
MEGABYTE = 1 << 20


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The test takes 16 MB at most."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 16 * MEGABYTE
    finally:
        tracemalloc.stop()


def archive(members: dict[str, int], header: bytes = b"") -> bytes:
    """A zip archive of members that are nothing but zeros behind the header: name and MB of each."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, megabytes in members.items():
            with bomb.open(name, "w") as member:
                member.write(header)
                for _ in range(megabytes):
                    member.write(bytes(MEGABYTE))
    return packed.getvalue()


@pytest.mark.usefixtures("little_memory")
def test_samples_that_name_the_same_bytes_many_times(tmp_path: Path) -> None:
    """Some 70 KB on the disk, and 4.7 GB unpacked."""
    path = tmp_path / "bomb.npz"
    path.write_bytes(archive({"x.npy": 64}))
    with zipfile.ZipFile(path, "a") as bomb:
        for number in range(69):
            again = copy(bomb.infolist()[0])
            again.filename = f"x{number}.npy"
            bomb.filelist.append(again)
        bomb.writestr("end", b"")  # without anything new, the directory would not be written anew
    assert path.stat().st_size < MEGABYTE
    with pytest.raises(DataError, match=r"4,697,620,480 bytes unpacked"):
        cluster(MODEL, data=path)


@pytest.mark.usefixtures("little_memory")
def test_samples_that_lie_about_their_length(tmp_path: Path) -> None:
    """No more is unpacked than the directory says."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (16 * MEGABYTE,)})
    path = tmp_path / "bomb.npz"
    whole = bytearray(archive({"x.npy": 64}, head.getvalue()))
    directory = whole.index(b"PK\x01\x02")
    struct.pack_into("<I", whole, directory + 24, 1000)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"not a \.npy or \.npz file"):
        cluster(MODEL, data=path)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("members", "names"), [({"labels.txt": 64}, 0), ({"labels.txt": 0, "associated.bin": 64}, 1)])
def test_an_archive_behind_a_model(members: dict[str, int], names: int) -> None:
    bomb = MODEL.read_bytes() + archive(members, b"one\n")
    model = open_model(bomb)
    assert len(class_names(model)) == names
    clustered = cluster(bomb, clusters=8, run=False, measure=False).model
    assert clustered is not None
    assert clustered.endswith(archive(members, b"one\n")[-22:])


def test_bytes_have_a_name_in_messages() -> None:
    with pytest.raises(ModelError, match=r"^the given bytes: not a \.tflite model"):
        cluster(b"")
