"""NumPy files where a volume is meant: refused by kind, and nothing in them runs."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from study_maker import ct_hu, write_volume_study

from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.single_ct import inspect_study


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def header(text: str, version: bytes = b"\1\0") -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(line)) + line


def saved(array: np.ndarray, **kwargs: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **kwargs)  # type: ignore[arg-type]
    return stream.getvalue()


def refusal_of(path: Path, id_: str = "IN-25") -> Refusal:
    with pytest.raises(Refusal, match=f"^error {id_}: ") as refused:
        inspect_study(path, id_key=b"key")
    return refused.value


PLAIN = [
    pytest.param(saved(ct_hu().astype("f4")), "array float32 (14, 24, 26) without spacing", id="IN-25 plain"),
    pytest.param(saved(ct_hu().astype(">i2")), "in big-endian", id="IN-25 big-endian"),
    pytest.param(saved(np.asfortranarray(ct_hu())), "in Fortran order", id="IN-25 Fortran order"),
    pytest.param(saved(ct_hu().transpose(1, 2, 0).copy()), "(24, 26, 14)", id="IN-25 wrong axis order"),
    pytest.param(saved(ct_hu())[:-100], "17372 bytes of values where its shape needs 17472", id="IN-25 truncated"),
    pytest.param(
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4, 4), }"), "whole numbers", id="IN-25 negative"
    ),
    pytest.param(
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 4), }"), "no readable", id="IN-25 expression"
    ),
    pytest.param(
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }"),
        "no readable",
        id="IN-25 call",
    ),
    pytest.param(
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 1000000), }"),
        "needs 8000000000000000",
        id="IN-25 absurd",
    ),
    pytest.param(header("(" * 117), "no readable", id="IN-25 parentheses"),
    pytest.param(b"\x93NUMPY\1\0\xff\xff" + b"{" * 70000, "no readable", id="IN-25 header too long"),
    pytest.param(b"\x93NUMPY\7\0", "NPY version (7, 0)", id="IN-25 version"),
    pytest.param(b"\x93NUMPY", "no readable", id="IN-25 magic alone"),
    pytest.param(b"", "is no NumPy file", id="IN-25 empty"),
    pytest.param(b"hello", "is no NumPy file", id="IN-25 text"),
]


@pytest.mark.parametrize(("content", "says"), PLAIN)
def test_an_array_without_geometry_is_refused_with_exit_3(tmp_path, content, says):
    path = tmp_path / "ct.npy"
    path.write_bytes(content)
    refused = refusal_of(path)
    assert refused.exit_code == ExitCode.INPUT_REFUSED
    assert says in str(refused)
    assert "nii.gz" in refused.faults[0].fix


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("carrier", ["bare", "object array", "npz", "npz of a bare one"])
def test_a_pickle_is_refused_with_exit_9_and_does_not_run_IN_25_SC_01(tmp_path, protocol, carrier):
    flag = tmp_path / "it ran"
    payload = pickle.dumps(Touch(flag), protocol)
    objects = header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + payload
    content = objects if carrier in ("object array", "npz") else payload
    path = tmp_path / ("ct.npz" if carrier.startswith("npz") else "ct.npy")
    if path.suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("plain.npy", saved(ct_hu()))
            archive.writestr("ct.npy", content)
    else:
        path.write_bytes(content)
    refused = refusal_of(path, "SC-01")
    assert refused.exit_code == ExitCode.SECURITY
    assert "run" in str(refused)
    assert not flag.exists()
    pickle.loads(payload)  # noqa: S301 - our own: the payload is live
    assert flag.exists()


def test_an_archive_is_refused_by_its_members(tmp_path):
    np.savez_compressed(tmp_path / "ct.npz", ct=ct_hu())
    assert "archive of arrays (ct.npy)" in str(refusal_of(tmp_path / "ct.npz"))
    content = (tmp_path / "ct.npz").read_bytes()
    (tmp_path / "ct.npz").write_bytes(content[:-30])
    assert "cut short" in str(refusal_of(tmp_path / "ct.npz"))
    (tmp_path / "ct.npz").write_bytes(content[:-12] + struct.pack("<H", 60000) + content[-10:])
    assert "60000 members" in str(refusal_of(tmp_path / "ct.npz"))


def test_a_study_of_arrays_is_refused_by_name_IN_25(tmp_path):
    study = write_volume_study(tmp_path / "study")
    for name in ("ct", "mask"):
        np.save(study / f"{name}.npy", ct_hu())
        (study / f"{name}.nii.gz").unlink()
    faults = check_cohort(tmp_path, CohortSettings(source="volumes"), id_key=b"key").faults
    assert [(fault.id, Path(fault.file).name) for fault in faults] == [("IN-25", "ct.npy"), ("IN-25", "mask.npy")]
