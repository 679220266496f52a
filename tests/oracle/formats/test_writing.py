import os
import subprocess
import sys
import time
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file
from femseg.formats import writing as mask_writing
from femseg.formats.writing import SUFFIXES, Structure, write_labels, write_mask
from femseg.volumes.grid import LabelVolume, MaskVolume, VoxelGrid

DIRECTIONS = [
    *(np.eye(3)[:, list(axes)] * signs for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))),
    *(Rotation.from_euler("xyz", angles).as_matrix() for angles in ((0.3, 0, 0), (-1, 0.7, 2))),
]


def _mask(direction=DIRECTIONS[0], seed=0):
    grid = VoxelGrid(
        shape_zyx=(9, 8, 7),
        spacing_mm_zyx=(0.6251234, 0.712345678, 1.23456789),
        origin_mm_xyz=(-251.1234567, -133.3333333, -1021.987654321),
        direction_xyz=tuple(direction.ravel().tolist()),
    )
    return MaskVolume(femur_zyx=np.random.default_rng(seed).random(grid.shape_zyx) > 0.5, grid=grid)


@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda suffix: f"IF-02{suffix}")
def test_voxels_and_geometry_come_back_in_every_orientation(tmp_path, suffix):
    """NIfTI-1 keeps its geometry in single precision: half a unit in the last place of 1022 mm is 3e-5 mm."""
    tolerance_mm = 1e-4 if "nii" in suffix else 1e-6
    path = tmp_path / f"femur{suffix}"
    for seed, direction in enumerate(DIRECTIONS):
        mask = _mask(direction, seed)
        write_mask(path, mask)
        image = sitk.ReadImage(str(path))
        assert image.GetPixelID() == sitk.sitkUInt8
        assert np.array_equal(sitk.GetArrayFromImage(image), mask.femur_zyx)
        assert mask.grid.largest_offset_mm(VoxelGrid.of_image(image)) < tolerance_mm
        again = MaskVolume(femur_zyx=mask.femur_zyx, grid=VoxelGrid.of_image(image))
        write_mask(path, again)  # what came from such a file goes back to it exactly
        assert again.grid.largest_offset_mm(VoxelGrid.of_image(sitk.ReadImage(str(path)))) < 1e-6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("direction", DIRECTIONS[::7] + DIRECTIONS[-2:])
def test_nibabel_finds_each_voxel_at_the_same_place_of_the_patient(tmp_path, direction):
    mask = _mask(direction)
    write_mask(tmp_path / "femur.nii.gz", mask)
    theirs = nibabel.load(tmp_path / "femur.nii.gz")
    assert np.array_equal(np.asarray(theirs.dataobj).T, mask.femur_zyx)
    for z, y, x in product((0, 8), (0, 7), (0, 6)):
        ras = nibabel.affines.apply_affine(theirs.affine, (x, y, z))
        np.testing.assert_allclose(ras * (-1, -1, 1), mask.grid.position_mm_xyz((z, y, x)), atol=1e-4)


def test_the_same_mask_gives_the_same_bytes_at_another_time(tmp_path):
    for name in ("one", "two"):
        for suffix in SUFFIXES:
            write_mask(tmp_path / f"{name}{suffix}", _mask())
        time.sleep(1.1)  # gzip headers hold whole seconds
    for suffix in SUFFIXES:
        assert sha256_of_file(tmp_path / f"one{suffix}") == sha256_of_file(tmp_path / f"two{suffix}")


STRUCTURES = [
    Structure(value=1, name="left femur", code=("71341001", "Femur"), modifier=("7771000", "Left")),
    Structure(value=3, name="femur", code=("71341001", "Femur")),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_come_back_with_their_values_and_what_they_mean_where_the_format_keeps_it(tmp_path, suffix):
    mask = _mask()
    labels = LabelVolume(labels_zyx=np.where(mask.femur_zyx, 3, 1).astype(np.uint8), grid=mask.grid)
    for name in ("one", "two"):
        write_labels(tmp_path / f"{name}{suffix}", labels, STRUCTURES)
    assert sha256_of_file(tmp_path / f"one{suffix}") == sha256_of_file(tmp_path / f"two{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"one{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(image), labels.labels_zyx)
    if "nii" in suffix:
        return
    assert (image.GetMetaData("Segment0_Name"), image.GetMetaData("Segment0_LabelValue")) == ("left femur", "1")
    assert image.GetMetaData("Segment1_LabelValue") == "3"
    assert image.GetMetaData("Segment0_Tags") == (
        "TerminologyEntry:Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
        "~SCT^71341001^Femur~SCT^7771000^Left~Anatomic codes - DICOM master list~^^~^^|"
    )
    assert "~SCT^71341001^Femur~^^~" in image.GetMetaData("Segment1_Tags")


def test_a_mask_without_meanings_is_the_same_file_as_its_labels(tmp_path):
    mask = _mask()
    write_mask(tmp_path / "mask.nrrd", mask)
    write_labels(tmp_path / "labels.nrrd", LabelVolume(labels_zyx=mask.femur_zyx.astype(np.uint8), grid=mask.grid))
    assert (tmp_path / "mask.nrrd").read_bytes() == (tmp_path / "labels.nrrd").read_bytes()


@pytest.mark.parametrize("name", ["femur.stl", "femur", "femur.gz", "femur.nii.zip", "femur.dcm"])
def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(Refusal, match=r"\.nii, \.nii\.gz, \.nrrd, \.mha") as caught:
        write_mask(tmp_path / name, _mask())
    assert caught.value.exit_code == ExitCode.USAGE
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut_bytes", [1, 7, 60])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_ends_too_early_never_gets_its_name(tmp_path, suffix, cut_bytes, monkeypatch):
    """As on a full disk, where SimpleITK's NIfTI writer leaves half a file and says nothing."""
    path = tmp_path / f"femur{suffix}"
    write_mask(path, _mask())
    before = path.read_bytes()
    written = sitk.WriteImage

    def torn(image, name, **options):
        written(image, name, **options)
        os.truncate(name, Path(name).stat().st_size - cut_bytes)

    monkeypatch.setattr(mask_writing.sitk, "WriteImage", torn)
    empty = MaskVolume(femur_zyx=np.zeros_like(_mask().femur_zyx), grid=_mask().grid)  # a lost end would read as zeros
    with pytest.raises(Refusal, match="ST-06") as caught:
        write_mask(path, empty)
    assert caught.value.exit_code == ExitCode.RESOURCE
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


PROGRAM = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from femseg.errors import Refusal
from femseg.formats.writing import write_mask
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.grid import MaskVolume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
grid = VoxelGrid(shape_zyx=(64, 64, 64), spacing_mm_zyx=(1, 1, 1))
femur_zyx = np.random.default_rng(0).random(grid.shape_zyx) > 0.5
try:
    write_mask(Path(sys.argv[1]), MaskVolume(femur_zyx=femur_zyx, grid=grid))
except Refusal as refusal:
    sys.exit(int(refusal.exit_code))
"""


@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda suffix: f"IF-05{suffix}")
def test_a_disk_that_takes_only_the_first_four_kilobytes_leaves_no_file(tmp_path, suffix):
    path = tmp_path / f"femur{suffix}"
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == ExitCode.RESOURCE, run.stderr
    assert not list(tmp_path.iterdir())
