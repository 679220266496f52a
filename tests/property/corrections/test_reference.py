"""Laws of the next reference: whatever values a cohort gives its femora, what was drawn is what is read again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.corrections.reading import coded, same_femora, wanted_femur
from femseg.corrections.reference import Reference, write_next
from femseg.formats.reading import read_checked_labels
from femseg.formats.volume_file import check_volume_file
from femseg.layouts.adapter import StudyFiles
from femseg.volumes.grid import CtVolume, LabelVolume, VoxelGrid

SHAPE = (8, 9, 10)
GRID = VoxelGrid(shape_zyx=SHAPE, spacing_mm_zyx=(8.0, 7.0, 6.0))
CT = CtVolume(hu_zyx=np.zeros(SHAPE, np.float32), grid=GRID)
codes = arrays(np.uint8, SHAPE, elements=st.integers(0, 3)).map(lambda a: LabelVolume(labels_zyx=a, grid=GRID))
values = st.lists(st.integers(1, 255), min_size=4, max_size=4, unique=True)
wanted = st.sampled_from(["all", "left", "right"])


@settings(max_examples=30, deadline=None)
@given(femora=codes, values=values, others=arrays(np.bool_, SHAPE))
def test_what_was_drawn_is_read_again_and_other_structures_stay_round_it(femora, values, others):
    left, right, femur, other = values
    labels = LabelMap(left=(left,), right=(right,), femur=(femur,), other=(other,))
    kept = np.where(others, np.uint8(other), np.uint8(0))
    before = Reference(files=(), femora=None, others_zyx=kept, labels=labels)
    with TemporaryDirectory() as folder:
        study = StudyFiles(name="s", location=Path(folder), folder=Path(folder), files=())
        (name,) = write_next(study, before, femora, CohortSettings(source="volumes"), Path(folder))
        read = read_checked_labels(check_volume_file(Path(folder) / name, "mask"))
    assert np.array_equal(coded(read, labels, CT).labels_zyx, femora.labels_zyx)
    drawn = femora.labels_zyx != 0
    assert np.array_equal((read == other) | drawn, others | drawn)
    assert not (read == other)[drawn].any()


@given(one=codes, other=codes, femur=wanted)
def test_being_the_same_is_reflexive_and_symmetric_and_means_equal_voxels(one, other, femur):
    assert same_femora(one, one, femur)
    assert same_femora(one, other, femur) == same_femora(other, one, femur)
    if same_femora(one, other, femur):
        assert np.array_equal(wanted_femur(one, femur), wanted_femur(other, femur))


@given(femora=codes)
def test_forgetting_the_sides_changes_no_femur(femora):
    unsided = LabelVolume(labels_zyx=np.where(femora.labels_zyx != 0, np.uint8(3), np.uint8(0)), grid=GRID)
    assert same_femora(femora, unsided, "all")
