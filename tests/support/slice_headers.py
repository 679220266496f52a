"""Headers of slices that need no files, for tests of geometry alone."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from femseg.formats.dicom.headers import SliceHeader


def slice_header(
    number: int,
    position_mm_xyz: ArrayLike,
    orientation: ArrayLike = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    *,
    rows: int = 8,
    columns: int = 9,
    spacing_mm_yx: tuple[float, float] = (0.8, 0.7),
) -> SliceHeader:
    """A CT slice `study/<number>.dcm` at a place."""
    return SliceHeader(
        path=Path(f"study/{number:03d}.dcm"),
        patient_id="p",
        manufacturer="",
        model="",
        sex="",
        age="",
        laterality="",
        study_uid="1",
        series_uid="1",
        frame_of_reference_uid="1",
        sop_class="",
        modality="CT",
        series_description="",
        image_type=(),
        transfer_syntax="1.2.840.10008.1.2.1",
        photometric="MONOCHROME2",
        burned_in=False,
        rows=rows,
        columns=columns,
        samples=1,
        bits_allocated=16,
        frames=1,
        images_in_acquisition=None,
        spacing_mm_yx=spacing_mm_yx,
        position_mm_xyz=tuple(np.asarray(position_mm_xyz, float).tolist()),
        orientation=tuple(np.asarray(orientation, float).tolist()),
        slope=1.0,
        intercept=0.0,
        pixel_offset=0,
        stored_bytes=rows * columns * 2,
    )
