"""Studies that are refused until the user chooses what to do about them."""

from pydicom.dataset import Dataset

from specimens.dicom_change import all_with, dicom, dicom_both, move
from specimens.dicom_geometry import tilted
from specimens.specimen import Specimen, mended


def _one_lifted(datasets: list[Dataset]) -> None:
    move(datasets[5], 0, 0, 1.0)


def _tilted_and_lifted(datasets: list[Dataset]) -> None:
    tilted(datasets)
    _one_lifted(datasets)


SPECIMENS: tuple[Specimen, ...] = (
    mended(
        "tilted-both",
        "IN-09",
        "CT and mask with a gantry tilt of 15°, untilted by choice",
        dicom_both(tilted),
        "untilted by 15.0°",
        settings={"untilt": True},
        truth="stored",
    ),
    mended(
        "uneven-both",
        "IN-02",
        "CT and mask with one slice 1 mm too high, regularised by choice",
        dicom_both(_one_lifted),
        "14 slices 3 to 5 mm apart made 14 at an even 4 mm",
        settings={"regularise": True},
        truth="stored",
    ),
    mended(
        "tilted-and-uneven",
        "IN-09",
        "both at once, mended by choice",
        dicom_both(_tilted_and_lifted),
        "untilted by 15.0°",
        settings={"untilt": True, "regularise": True},
        truth="stored",
    ),
    mended(
        "mask-frame-accepted",
        "IN-06",
        "a mask of another frame of reference, taken by choice",
        dicom(mask=all_with("FrameOfReferenceUID", "1.2.3.999")),
        "mask taken by cohort.accept_frame",
        settings={"accept_frame": True},
        faulty="mask",
    ),
)
