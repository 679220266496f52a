"""Masks as DICOM-SEG and RTSTRUCT lie where they lay, by readers that share no code with ours, in every orientation."""

from collections import Counter
from itertools import permutations, product
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map
from matplotlib.path import Path as Outline
from object_maker import enhanced_ct, place_mm, saved
from pydicom.dataset import Dataset
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from study_maker import SHAPE_ZYX, ct_hu, ct_slices, write_series

from femseg import __version__
from femseg.errors import Refusal
from femseg.formats.dicom.writing import segmentation, structure_set
from femseg.formats.dicom.writing.reference import CtReference, MadeBy, ct_reference
from femseg.formats.dicom.writing.segmentation import write_segmentation
from femseg.formats.dicom.writing.structure_set import write_structure_set
from femseg.inference.femora import STRUCTURES
from femseg.intake.single_ct import inspect_study
from femseg.volumes.grid import LabelVolume

PACKAGE = "0123456789abcdef" * 4
MADE_BY = MadeBy(package_sha256=PACKAGE, verdict="review")
WRITERS = {"seg": write_segmentation, "rtstruct": write_structure_set}
ORIENTATIONS = [
    tuple(float(value) for axis, sign in zip(axes, signs, strict=True) for value in np.eye(3)[axis] * sign)
    for axes, signs in product(permutations(range(3), 2), product((1, -1), repeat=2))
]  # a row's direction, then a column's; the slices' normal follows, so that 24 are all there are
OBLIQUE = [
    tuple(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()[:, :2].T.ravel().tolist())
    for degrees in ((8, 0, 0), (-20, 15, 30), (120, -70, 200))
]
UPRIGHT = ORIENTATIONS[0]


def two_femora() -> np.ndarray:
    """1 and 2, no two axes alike; 1 with a hole, an island in it and a neighbour at a corner."""
    values = np.zeros(SHAPE_ZYX, np.uint8)
    values[1:7, 2:9, 1:7] = 1
    values[3:5, 3:8, 2:6] = 0
    values[3:5, 5, 4] = 1
    values[2:4, 9:11, 7:9] = 1
    values[2:8, 6:10, 10:13] = 2
    values[7, 6:8, 10] = 0
    return values


def points_mm(values: np.ndarray, label: int, orientation: tuple[float, ...]) -> np.ndarray:
    """Where the voxels of a label lie, by the standard's formula."""
    return np.concatenate(
        [place_mm(k, np.argwhere(slice_yx == label), orientation) for k, slice_yx in enumerate(values)]
    )


def reference_of(ct: list[Dataset], folder: Path, *, backwards: bool = False) -> CtReference:
    write_series(folder, ct[::-1] if backwards else ct)
    case, _ = inspect_study(folder, id_key=bytes(32))
    return ct_reference(case.ct, folder, case.grid, name="ct")


def on_grid(values: np.ndarray, ct: CtReference, orientation: tuple[float, ...]) -> LabelVolume:
    """The same voxels by their place on the grid that intake has found."""
    grid = ct.planes.grid
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for label in (1, 2):
        labels[tuple(np.round(grid.indices_zyx(points_mm(values, label, orientation))).astype(int).T)] = label
    return LabelVolume(labels_zyx=labels, grid=grid)


def bony(values: np.ndarray, orientation: tuple[float, ...] = UPRIGHT) -> list[Dataset]:
    return ct_slices(ct_hu(values > 0), orientation=orientation)


def segments_of(path: Path) -> dict[str, np.ndarray]:
    """Points of each segment by highdicom's volumes, whose affine goes to LPS."""
    read = hd.seg.segread(path)
    found = {}
    for number in read.segment_numbers:
        volume = read.get_volume(segment_numbers=[number], combine_segments=True)
        found[read.get_segment_description(number).segment_label] = volume.map_indices_to_reference(
            np.argwhere(volume.array)
        )
    return found


def regions_of(path: Path, ct: list[Dataset]) -> dict[str, np.ndarray]:
    """Points of each region: pixels of the slice that a contour names whose centres lie in it, by matplotlib.

    Contours of one region on one slice toggle (an island lies in a hole that a keyhole leaves out).
    """
    read = pydicom.dcmread(path)
    by_uid = {one.SOPInstanceUID: one for one in ct}
    names = {region.ROINumber: region.ROIName for region in read.StructureSetROISequence}
    found = {}
    for region in read.ROIContourSequence:
        inside: dict[str, np.ndarray] = {}
        for contour in region.ContourSequence:
            (image,) = contour.ContourImageSequence
            slice_ = by_uid[image.ReferencedSOPInstanceUID]
            origin = np.array(slice_.ImagePositionPatient, float)
            axes = np.array(slice_.ImageOrientationPatient, float).reshape(2, 3)
            offsets = np.array(contour.ContourData, float).reshape(-1, 3) - origin
            assert np.abs(offsets @ np.cross(*axes)).max() < 1e-3  # in its plane
            xy = offsets @ axes.T / np.array(slice_.PixelSpacing, float)[::-1]
            assert np.abs(xy - 0.5 - np.round(xy - 0.5)).max() < 1e-3  # along edges of voxels
            centres = np.indices((slice_.Rows, slice_.Columns))[::-1].reshape(2, -1).T
            mask = Outline(np.concatenate([xy, xy[:1]]), closed=True).contains_points(centres)
            inside[slice_.SOPInstanceUID] = inside.get(slice_.SOPInstanceUID, False) ^ mask
        points = []
        for uid, mask in inside.items():
            slice_ = by_uid[uid]
            rows, columns = np.divmod(np.flatnonzero(mask), slice_.Columns)
            axes = np.array(slice_.ImageOrientationPatient, float).reshape(2, 3)
            steps = np.stack([columns, rows], axis=1) * np.array(slice_.PixelSpacing, float)[::-1]
            points.append(np.array(slice_.ImagePositionPatient, float) + steps @ axes)
        found[names[region.ReferencedROINumber]] = np.concatenate(points)
    return found


def assert_same_places(found: dict[str, np.ndarray], values: np.ndarray, orientation: tuple[float, ...]) -> None:
    assert list(found) == ["left femur", "right femur"]
    for label, points in enumerate(found.values(), start=1):
        expected = points_mm(values, label, orientation)
        assert len(points) == len(expected)
        assert cKDTree(points).query(expected)[0].max() < 1e-3
        assert cKDTree(expected).query(points)[0].max() < 1e-3


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("orientation", [*ORIENTATIONS, *OBLIQUE])
def test_every_voxel_is_where_the_patient_has_it(tmp_path, orientation, backwards):
    values = two_femora()
    slices = bony(values, orientation)
    ct = reference_of(slices, tmp_path / "ct", backwards=backwards)
    labels = on_grid(values, ct, orientation)
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    assert_same_places(segments_of(tmp_path / "seg.dcm"), values, orientation)
    assert_same_places(regions_of(tmp_path / "rtstruct.dcm", slices), values, orientation)


@pytest.fixture
def written(tmp_path) -> dict[str, Dataset]:
    """Both objects of one mask, with their CT's slices under "ct"."""
    values = two_femora()
    slices = bony(values)
    for one in slices:
        one.SpecificCharacterSet = "ISO_IR 100"
        one.PatientName, one.PatientID, one.StudyDescription = "Müller^Jörg", "4711", "Hüfte"
        one.PatientBirthDate, one.StudyDate, one.AccessionNumber = "19500203", "20200102", "A1"
    ct = reference_of(slices, tmp_path / "ct")
    labels = on_grid(values, ct, UPRIGHT)
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    return {"ct": slices, **{kind: pydicom.dcmread(tmp_path / f"{kind}.dcm") for kind in WRITERS}}


@pytest.mark.parametrize("kind", WRITERS)
def test_patient_and_study_stand_as_in_the_ct_and_the_series_is_named(written, kind):
    first, made = written["ct"][0], written[kind]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDescription"):
        assert str(made[keyword].value) == str(first[keyword].value), keyword
    for keyword in ("StudyInstanceUID", "StudyDate", "AccessionNumber", "FrameOfReferenceUID"):
        assert made[keyword].value == first[keyword].value
    assert made.SeriesInstanceUID != first.SeriesInstanceUID
    assert (made.Manufacturer, made.SoftwareVersions) == ("femseg", __version__)
    assert made.DeviceSerialNumber == PACKAGE
    assert made.SeriesDescription == "Femur by femseg, verdict review, not reviewed"
    named = {one.SOPInstanceUID for one in written["ct"]}
    if kind == "seg":
        (series,) = made.ReferencedSeriesSequence
        images = series.ReferencedInstanceSequence
    else:
        study = made.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        assert study.ReferencedSOPInstanceUID == first.StudyInstanceUID
        (series,) = study.RTReferencedSeriesSequence
        images = series.ContourImageSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert {image.ReferencedSOPInstanceUID for image in images} == named
    assert {image.ReferencedSOPClassUID for image in images} == {first.SOPClassUID}


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", "19500230"),
        ("StudyTime", "noon"),
        ("StudyID", "x" * 40),
        ("PatientSex", "F\\M"),
        ("PatientSex", "W"),
    ],
)
def test_what_no_reader_could_take_is_left_empty(tmp_path, keyword, value):
    slices = bony(two_femora())
    for one in slices:
        tag = pydicom.tag.Tag(keyword)
        one[tag] = pydicom.DataElement(tag, "UN", value.encode())  # as it stands, unchecked
    ct = reference_of(slices, tmp_path / "ct")
    labels = LabelVolume(labels_zyx=two_femora(), grid=ct.planes.grid)
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
        made = pydicom.dcmread(tmp_path / f"{kind}.dcm")
        assert made[keyword].is_empty
        assert made.PatientID == slices[0].PatientID


def test_segments_are_coded_with_their_sides_and_say_who_made_them(written):
    seg = written["seg"]
    assert (seg.SegmentationType, seg.Modality) == ("BINARY", "SEG")
    for segment, side in zip(seg.SegmentSequence, [("7771000", "left"), ("24028007", "right")], strict=True):
        category, (kind,) = segment.SegmentedPropertyCategoryCodeSequence[0], segment.SegmentedPropertyTypeCodeSequence
        assert (category.CodingSchemeDesignator, category.CodeValue) == ("SCT", "123037004")
        assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "71341001")
        (modifier,) = kind.SegmentedPropertyTypeModifierCodeSequence
        assert (modifier.CodingSchemeDesignator, modifier.CodeValue) == ("SCT", side[0])
        assert segment.SegmentLabel == f"{side[1]} femur"
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "femseg")
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("femseg", __version__)
        assert PACKAGE in algorithm.AlgorithmParameters


def test_regions_are_coded_with_their_sides_and_say_who_made_them(written):
    made = written["rtstruct"]
    sides = [("7771000", "left"), ("24028007", "right")]
    for region, observed, side in zip(made.StructureSetROISequence, made.RTROIObservationsSequence, sides, strict=True):
        assert (region.ROIName, region.ROIGenerationAlgorithm) == (f"{side[1]} femur", "AUTOMATIC")
        assert PACKAGE[:12] in region.ROIGenerationDescription
        assert observed.ReferencedROINumber == region.ROINumber
        (femur,) = observed.RTROIIdentificationCodeSequence
        assert (femur.CodingSchemeDesignator, femur.CodeValue) == ("SCT", "71341001")
        assert femur.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side[0]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_attribute_that_the_standard_demands_is_there(written, kind):
    """Types 1 and 2 of all mandatory modules, by the tables of PS3.3 that highdicom carries.

    Of functional groups the table tells not which stand once for all frames and which in each.
    """
    made = written[kind]
    iod = {"seg": "segmentation", "rtstruct": "rt-structure-set"}[kind]
    attributes = get_module_attribute_map()
    for module in (module for module in get_iod_module_map()[iod] if module["usage"] == "M"):
        for attribute in attributes[module["key"]]:
            if attribute["type"] not in ("1", "2") or "FunctionalGroupsSequence" in "".join(attribute["path"]):
                continue
            for item in items_at(made, attribute["path"]):
                assert attribute["keyword"] in item, (module["key"], *attribute["path"], attribute["keyword"])
                if attribute["type"] == "1":
                    assert item[attribute["keyword"]].value not in (None, "", []), attribute


def items_at(dataset: Dataset, path: list[str]) -> list[Dataset]:
    items = [dataset]
    for keyword in path:
        items = [inner for item in items for inner in item.get(keyword) or ()]
    return items


def test_an_enhanced_ct_is_named_with_its_frames(tmp_path):
    """Its frames are stored in another order than they lie in."""
    values = two_femora()
    slices = bony(values)
    order = np.random.default_rng(3).permutation(len(slices)).tolist()
    path = saved(enhanced_ct(slices, order=order), tmp_path / "ct" / "enhanced.dcm")
    case, _ = inspect_study(path.parent, id_key=bytes(32))
    ct = ct_reference(case.ct, path.parent, case.grid, name="ct")
    labels = on_grid(values, ct, UPRIGHT)
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    assert_same_places(segments_of(tmp_path / "seg.dcm"), values, UPRIGHT)
    uid = pydicom.dcmread(path).SOPInstanceUID
    places = {frame: slices[k].ImagePositionPatient[2] for frame, k in enumerate(order, start=1)}
    for group in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        assert image.ReferencedSOPInstanceUID == uid
        assert group.PlanePositionSequence[0].ImagePositionPatient[2] == places[image.ReferencedFrameNumber]
    read = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    volumes = Counter()
    for region in read.ROIContourSequence:
        for contour in region.ContourSequence:
            (image,) = contour.ContourImageSequence
            assert image.ReferencedSOPInstanceUID == uid
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert np.abs(points[:, 2] - float(places[image.ReferencedFrameNumber])).max() < 1e-3
            x, y = points[:, 0], points[:, 1]
            volumes[region.ReferencedROINumber] += abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 * 4.0
    for label in (1, 2):
        assert volumes[label] == pytest.approx((values == label).sum() * 30.0, rel=1e-6)


def test_slices_that_wobble_within_what_intake_takes_keep_their_own_places(tmp_path):
    values = two_femora()
    slices = bony(values)
    for k, one in enumerate(slices):
        one.ImagePositionPatient = [f"{float(v) + 0.004 * (-1) ** k:.6f}" for v in one.ImagePositionPatient]
        one.ImageOrientationPatient = [1, 0.00001 * k, 0, -0.00001 * k, 1, 0]
    ct = reference_of(slices, tmp_path / "ct")
    labels = LabelVolume(labels_zyx=values, grid=ct.planes.grid)
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    heights = {round(float(one.ImagePositionPatient[2]), 6) for one in slices}
    for group in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence:
        assert round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]), 6) in heights
    for region in pydicom.dcmread(tmp_path / "rtstruct.dcm").ROIContourSequence:
        for contour in region.ContourSequence:
            assert {round(float(z), 5) for z in contour.ContourData[2::3]} <= {round(height, 5) for height in heights}


def without(keyword: str):
    def change(slices: list[Dataset]) -> None:
        for one in slices:
            delattr(one, keyword)

    return change


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_ct_without_a_uid_to_refer_to_is_refused_DC_01(tmp_path, keyword):
    slices = bony(two_femora())
    without(keyword)(slices)
    with pytest.raises(Refusal, match=keyword) as refused:
        reference_of(slices, tmp_path / "ct")
    assert [fault.id for fault in refused.value.faults] == ["DC-01"]


def test_a_ct_that_is_stored_as_an_mr_is_refused_DC_01(tmp_path):
    slices = bony(two_femora())
    for one in slices:
        one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    with pytest.raises(Refusal, match="is stored as MR Image Storage") as refused:
        reference_of(slices, tmp_path / "mr")
    assert [fault.id for fault in refused.value.faults] == ["DC-01"]


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO 2022 IR 87"])
def test_no_name_is_printed_or_logged_and_each_is_written_as_it_stands(tmp_path, caplog, capfd, charset):
    """highdicom warns of names without a caret by repeating them."""
    named = {"ISO_IR 100": "Jörg Müller", "ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう"}[charset]
    slices = bony(two_femora())
    for one in slices:
        one.SpecificCharacterSet = charset if charset == "ISO_IR 100" else ["", charset]
        one.PatientName = named
    ct = reference_of(slices, tmp_path / "ct")
    for kind, write in WRITERS.items():
        labels = on_grid(two_femora(), ct, UPRIGHT)
        write(tmp_path / f"{kind}.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
        assert str(pydicom.dcmread(tmp_path / f"{kind}.dcm").PatientName) == named
    said = "".join(capfd.readouterr()) + caplog.text + repr(ct)
    assert "Müller" not in said
    assert "Yamada" not in said


def test_slices_with_one_uid_are_refused_DC_01(tmp_path):
    slices = bony(two_femora())
    for one in slices:
        one.SOPInstanceUID = "1.2.3"
    with pytest.raises(Refusal, match="several slices have one SOPInstanceUID") as refused:
        reference_of(slices, tmp_path / "ct")
    assert [fault.id for fault in refused.value.faults] == ["DC-01"]


@pytest.mark.parametrize("kind", WRITERS)
def test_an_empty_mask_is_refused_IN_22(tmp_path, kind):
    ct = reference_of(bony(two_femora()), tmp_path / "ct")
    empty = LabelVolume(labels_zyx=np.zeros(ct.planes.grid.shape_zyx, np.uint8), grid=ct.planes.grid)
    with pytest.raises(Refusal, match="shows no femur") as refused:
        WRITERS[kind](tmp_path / "mask.dcm", empty, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    assert [fault.id for fault in refused.value.faults] == ["IN-22"]
    assert not (tmp_path / "mask.dcm").exists()


def test_more_contours_than_any_reader_takes_are_refused_DC_01(tmp_path, monkeypatch):
    monkeypatch.setattr("femseg.formats.dicom.rtstruct._CONTOURS_AT_MOST", 5)
    ct = reference_of(bony(two_femora()), tmp_path / "ct")
    labels = LabelVolume(labels_zyx=two_femora(), grid=ct.planes.grid)
    with pytest.raises(Refusal, match="could not be read again") as refused:
        write_structure_set(tmp_path / "rs.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    assert [fault.id for fault in refused.value.faults] == ["DC-01"]
    assert not (tmp_path / "rs.dcm").exists()


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_read_back_otherwise_gets_no_name_ST_06(tmp_path, monkeypatch, kind):
    """Planted: a writer that mirrors every slice."""
    if kind == "seg":
        monkeypatch.setattr(segmentation, "_as_stored", lambda values_zyx, ct: values_zyx[:, :, ::-1].copy())
    else:
        straight = structure_set.outlines
        monkeypatch.setattr(structure_set, "outlines", lambda mask_yx: straight(mask_yx[:, ::-1]))
    ct = reference_of(bony(two_femora()), tmp_path / "ct")
    labels = LabelVolume(labels_zyx=two_femora(), grid=ct.planes.grid)
    with pytest.raises(Refusal, match="cannot be written") as refused:
        WRITERS[kind](tmp_path / "mask.dcm", labels, [*STRUCTURES.values()], ct, made_by=MADE_BY)
    assert [fault.id for fault in refused.value.faults] == ["ST-06"]
    assert not list(tmp_path.glob("*.dcm"))
