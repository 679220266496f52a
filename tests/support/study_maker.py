"""The base study of the shipped specimens, for tests, and what a refusal must look like."""

from specimens.base import (
    ORIGIN_XYZ,
    SHAPE_ZYX,
    SPACING_ZYX,
    UPRIGHT,
    Change,
    affine_ras,
    ct_hu,
    ct_slices,
    femur_mask,
    slices,
    write_dicom_study,
    write_nifti,
    write_series,
    write_volume_study,
)

from femseg.errors import Fault
from femseg.faults import ExitCode

__all__ = [
    "ORIGIN_XYZ",
    "SHAPE_ZYX",
    "SPACING_ZYX",
    "UPRIGHT",
    "Change",
    "affine_ras",
    "assert_one_line_refusal",
    "ct_hu",
    "ct_slices",
    "femur_mask",
    "slices",
    "write_dicom_study",
    "write_nifti",
    "write_series",
    "write_volume_study",
]


def assert_one_line_refusal(
    faults: tuple[Fault, ...], fault_id: str, *says: str, exit_code: ExitCode = ExitCode.INPUT_REFUSED
) -> None:
    """Exactly this kind of fault was found, and its line has id, file, numbers and a fix, by the contract."""
    assert [fault.id for fault in faults] == [fault_id], "\n".join(map(str, faults))
    line = str(faults[0])
    assert line.startswith(f"error {fault_id}: ")
    assert "\n" not in line
    assert ". Fix: " in line
    assert len(faults[0].fix) > 10
    assert faults[0].exit_code == exit_code
    for words in says:
        assert words in line
