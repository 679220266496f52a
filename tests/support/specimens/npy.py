"""Arrays under .npy where a CT is meant: they hold no geometry, and may hold code."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from specimens.base import ct_hu, write_volume_study
from specimens.specimen import Make, Specimen, refused


def _array(path: Path) -> None:
    np.save(path, ct_hu())


def _big_endian(path: Path) -> None:
    np.save(path, ct_hu().astype(">i2"))


def _other_axis_order(path: Path) -> None:
    np.save(path, ct_hu().transpose(1, 2, 0))


def _objects(path: Path) -> None:
    np.save(path, np.array([{"voxels": 1}], dtype=object), allow_pickle=True)


def _pickled_code(path: Path) -> None:
    path.write_bytes(b"cbuiltins\nprint\n(Vcode ran\ntR.")  # a pickle that would print, without any NPY header


def _cut(path: Path) -> None:
    _array(path)
    path.write_bytes(path.read_bytes()[:-5000])


def _with_header(header: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        text = header.encode().ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + ct_hu().tobytes())

    return write


def _npy(write: Callable[[Path], None]) -> Make:
    def make(folder: Path) -> None:
        study = write_volume_study(folder / "study")
        (study / "ct.nii.gz").unlink()
        write(study / "ct.npy")

    return make


_PLAIN = "{'descr': '<i2', 'fortran_order': False, 'shape': %s, }"

SPECIMENS: tuple[Specimen, ...] = (
    refused("npy", "IN-25", "an array without spacing", _npy(_array), "ct.npy: is an array int16", truth="none"),
    refused("npy-big-endian", "IN-25", "big-endian", _npy(_big_endian), "in big-endian", truth="none"),
    refused("npy-axis-order", "IN-25", "(y, x, z)", _npy(_other_axis_order), "(24, 26, 14) without", truth="none"),
    refused(
        "npy-objects",
        "IN-25",
        "Python objects",
        _npy(_objects),
        "(a pickle)",
        exit_code=9,
        faults=("SC-01",),
        truth="none",
    ),
    refused(
        "npy-pickle",
        "IN-25",
        "a pickle of code",
        _npy(_pickled_code),
        "is a pickle",
        exit_code=9,
        faults=("SC-01",),
        truth="none",
    ),
    refused("npy-cut", "IN-25", "an array without its end", _npy(_cut), "12472 bytes", "needs 17472", truth="none"),
    refused(
        "npy-negative-shape",
        "IN-25",
        "a negative size",
        _npy(_with_header(_PLAIN % "(14, -24, 26)")),
        "(14, -24, 26) is not made of whole numbers",
        truth="none",
    ),
    refused(
        "npy-absurd-shape",
        "IN-25",
        "4 PB",
        _npy(_with_header(_PLAIN % "(2000000000, 1000, 1000)")),
        "needs 4000000000000000",
        truth="none",
    ),
    refused(
        "npy-expression",
        "IN-25",
        "an expression in the header",
        _npy(_with_header(_PLAIN % "(print('code ran'), 24, 26)")),
        "no readable NPY header",
        truth="none",
    ),
)
