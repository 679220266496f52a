"""Every specimen. To add one: write its maker, and a line for it into `SPECIMENS` of the module of its carrier.

A maker is a function that writes a study into the empty folder it is given, `folder / "study"` as a rule; `base` holds
the right study to begin with, `dicom_change` and `nifti_file` small ways to make it wrong. A line is a call of
`refused`, `accepted`, `remarked` or `mended` (see `specimen`): kind, case of the matrix, what it is, maker, and the
words that femseg's answer must hold. One test runs over all of them; a new module needs a line below as well.
"""

from specimens import (
    compressed,
    datasets,
    dicom_geometry,
    dicom_odd,
    dicom_values,
    drawn,
    files,
    frames,
    many,
    masks,
    masks_misplaced,
    mendable,
    nifti,
    npy,
    text_volumes,
    volumes_odd,
    zipped,
)
from specimens.specimen import Specimen

CATALOGUE: tuple[Specimen, ...] = (
    *dicom_geometry.SPECIMENS,
    *dicom_values.SPECIMENS,
    *dicom_odd.SPECIMENS,
    *compressed.SPECIMENS,
    *frames.SPECIMENS,
    *mendable.SPECIMENS,
    *drawn.SPECIMENS,
    *masks.SPECIMENS,
    *masks_misplaced.SPECIMENS,
    *nifti.SPECIMENS,
    *text_volumes.SPECIMENS,
    *volumes_odd.SPECIMENS,
    *npy.SPECIMENS,
    *files.SPECIMENS,
    *many.SPECIMENS,
    *datasets.SPECIMENS,
    *zipped.SPECIMENS,
)
BY_KIND: dict[str, Specimen] = {specimen.kind: specimen for specimen in CATALOGUE}
