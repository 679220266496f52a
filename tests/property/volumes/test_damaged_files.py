"""Whatever happens to a file's bytes: it is read as before, or refused in a sentence; never a crash."""

from pathlib import Path

import numpy as np
import pytest
from study_maker import ct_hu, ct_slices, write_nifti, write_series

from femseg.cohorts.check import inspect_study
from femseg.errors import Refusal
from femseg.volumes.files.dicom_headers import read_slice_header


def mutated(content: bytes, rng: np.random.Generator, header_bytes: int) -> bytes:
    """One to four bytes of the header changed, or the file cut."""
    if rng.random() < 0.2:
        return content[: int(rng.integers(len(content)))]
    raw = bytearray(content)
    for at in rng.integers(0, header_bytes, int(rng.integers(1, 5))):
        raw[at] = int(rng.integers(256))
    return bytes(raw)


def survives(path: Path, content: bytes) -> bool:
    """Whether the file is still read; anything but a refusal is a crash and passes through."""
    path.write_bytes(content)
    try:
        inspect_study(path.parent if path.suffix == ".dcm" else path, id_key=b"key")
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_slice_is_read_or_refused_SC_14(tmp_path, seed):
    paths = write_series(tmp_path, ct_slices())
    content = paths[5].read_bytes()
    rng = np.random.default_rng(seed)
    read = [survives(paths[5], mutated(content, rng, len(content) - 1248)) for _ in range(25)]
    assert not all(read)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_mutated_nifti_is_read_or_refused_SC_14(tmp_path, name):
    path = write_nifti(tmp_path / name, ct_hu().astype(np.float32))
    content = path.read_bytes()
    rng = np.random.default_rng(7)
    read = [survives(path, mutated(content, rng, 352)) for _ in range(60)]
    assert not all(read)


def test_a_slice_cut_anywhere_is_refused_IN_14(tmp_path):
    (path, *_) = write_series(tmp_path, ct_slices())
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(Refusal, match="IN-14"):
            read_slice_header(path)
