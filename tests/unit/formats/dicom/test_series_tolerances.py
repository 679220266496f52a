"""How far a slice may lie from where the others put it: millimetres at the far corner, not cosines (decision 17)."""

from dataclasses import replace

import numpy as np
import pytest
from slice_headers import slice_header

from femseg.errors import Refusal
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.series import check_series

COUNT, STEP_MM, PIXEL_MM, SIZE = 400, 1.0, 0.8, 512
OBLIQUE = (0.9961946980917455, 0.08715574274765817, 0.0, -0.08715574274765817, 0.9961946980917455, 0.0)


def leg(orientation: tuple[float, ...] = (1.0, 0, 0, 0, 1.0, 0)) -> list[SliceHeader]:
    """400 slices of 512 × 512 pixels: the far corner lies 578 mm from the first pixel of its slice."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [
        replace(
            slice_header(
                k, k * STEP_MM * normal, orientation, rows=SIZE, columns=SIZE, spacing_mm_yx=(PIXEL_MM, PIXEL_MM)
            ),
            images_in_acquisition=COUNT,
        )
        for k in range(COUNT)
    ]


def turned(header: SliceHeader, degrees: float) -> SliceHeader:
    """The slice turned within its own plane."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    row, column = np.array(header.orientation).reshape(2, 3)
    return replace(header, orientation=(*(c * row + s * column).tolist(), *(c * column - s * row).tolist()))


def leaned(headers: list[SliceHeader], degrees: float) -> list[SliceHeader]:
    shear = np.tan(np.radians(degrees))
    return [replace(h, position_mm_xyz=(0.0, k * STEP_MM * shear, k * STEP_MM)) for k, h in enumerate(headers)]


def rounded(headers: list[SliceHeader], decimals: int) -> list[SliceHeader]:
    return [
        replace(
            h,
            orientation=tuple(np.round(h.orientation, decimals).tolist()),
            position_mm_xyz=tuple(np.round(h.position_mm_xyz, decimals).tolist()),
        )
        for h in headers
    ]


def with_one(headers: list[SliceHeader], k: int, changed: SliceHeader) -> list[SliceHeader]:
    return [*headers[:k], changed, *headers[k + 1 :]]


def remarks(headers: list[SliceHeader]) -> tuple[str, ...]:
    return check_series(headers, "ct", str).remarks


def fault_lines(headers: list[SliceHeader]) -> list[str]:
    with pytest.raises(Refusal) as caught:
        check_series(headers, "ct", str)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(leg(), id="as it should be"),
        pytest.param(
            [replace(h, orientation=(1.0, 1e-8 * (k % 3), 0, 0, 1.0, 1e-8 * (k % 2))) for k, h in enumerate(leg())],
            id="IN-07 orientation jitters in the 8th decimal",
        ),
        pytest.param(rounded(leg(OBLIQUE), 6), id="IN-13 orientation and position in 6 decimals"),
        pytest.param(
            [replace(h, spacing_mm_yx=(0.8, 0.80001 if k % 2 else 0.8)) for k, h in enumerate(leg())],
            id="IN-08 pixel spacing rounded in the 5th decimal",
        ),
        pytest.param(leaned(leg(), 0.005), id="IN-09 0.03 mm over the leg"),
    ],
)
def test_rounding_below_a_tenth_of_a_voxel_is_not_worth_a_word(headers):
    assert remarks(headers) == ()


@pytest.mark.parametrize(
    ("headers", "remark"),
    [
        pytest.param(
            with_one(leg(), 7, turned(leg()[7], 0.02)),
            "IN-07: slices are turned by up to 0.20 mm at their far corner; read as parallel",
            id="IN-07",
        ),
        pytest.param(
            with_one(leg(), 7, replace(leg()[7], spacing_mm_yx=(0.8, 0.8005))),
            "IN-08: PixelSpacing differs by up to 0.26 mm over a slice; read as the first",
            id="IN-08",
        ),
        pytest.param(
            leaned(leg(), 0.04), "IN-09: slices lie up to 0.28 mm sideways over 399.0 mm; read as upright", id="IN-09"
        ),
    ],
)
def test_between_a_tenth_and_half_a_voxel_is_remarked(headers, remark):
    assert remarks(headers) == (remark,)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param(with_one(leg(), 7, turned(leg()[7], 0.06)), ["IN-07", "study/007.dcm", "0.61 mm"], id="IN-07"),
        pytest.param(
            with_one(leg(), 0, turned(leg()[0], 0.06)),
            ["IN-07", "study/000.dcm", "0.61 mm"],
            id="IN-07 the first slice is no localizer for that",
        ),
        pytest.param(
            with_one(leg(), 7, replace(leg()[7], spacing_mm_yx=(0.8, 0.801))),
            ["IN-08", "study/007.dcm", "0.51 mm apart at the far corner"],
            id="IN-08",
        ),
        pytest.param(leaned(leg(), 0.3), ["IN-09", "0.30°", "2.1 mm sideways over 399.0 mm"], id="IN-09 0.3 degrees"),
        pytest.param(
            with_one(leg(), 7, replace(leg()[7], position_mm_xyz=(0.6, 0.0, 7.0))),
            ["IN-09", "study/007.dcm", "0.60 mm beside the line"],
            id="IN-09 one slice",
        ),
        pytest.param(
            with_one(leg(), COUNT - 1, replace(leg()[-1], position_mm_xyz=(3.0, 0.0, COUNT - 1.0))),
            ["IN-09", "study/399.dcm", "3.00 mm beside the line"],
            id="IN-09 the last slice, which is no tilt",
        ),
        pytest.param(
            [replace(h, orientation=(1.0, 0, 0, 0.0015, 1.0, 0)) for h in leg()],
            ["IN-13", "not two perpendicular unit vectors (400 of 400"],
            id="IN-13",
        ),
    ],
)
def test_more_than_half_a_voxel_is_refused_with_the_millimetres(headers, says):
    line = fault_lines(headers)[0]
    for words in says:
        assert words in line


def test_the_same_angle_is_nothing_on_a_hand_and_too_much_on_a_leg_IN_09():
    assert remarks([replace(h, images_in_acquisition=60) for h in leaned(leg()[:60], 0.04)]) == ()
    assert remarks(leaned(leg(), 0.04)) != ()


def test_two_phases_under_one_series_are_refused_in_ten_lines_not_in_hundreds_IN_04(tmp_path):
    headers = [replace(h, rows=8, columns=8, spacing_mm_yx=(8.0, 8.0)) for h in leg()[:60]]
    for number in range(len(headers)):
        (tmp_path / f"{number}").write_bytes(b"one")
        (tmp_path / f"{number}b").write_bytes(b"two")
    twice = [replace(h, path=tmp_path / f"{k}{phase}") for k, h in enumerate(headers) for phase in ("", "b")]
    lines = [line for line in fault_lines(twice) if "IN-04" in line]
    assert len(lines) == 10
    assert "(and 50 more such pairs)" in lines[0]
