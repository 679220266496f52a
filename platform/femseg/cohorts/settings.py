"""The `cohort:` section of params.yaml: where studies lie and which femur of a scan is wanted."""

from dataclasses import dataclass, field
from typing import Literal

from femseg.cohorts.case import Femur

CohortSource = Literal["phantom", "dicom", "volumes"]
MaskUse = Literal["required", "ignored"]  # a study without mask is refused, as for training; or CTs alone are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """What the values of a mask mean. Left empty: 0 is background and 1 is femur.

    Attributes:
        femur: values that are femur, of either side.
        left, right: values that are the femur of that side.
        other: values that are known to be something else; a value in none of these lists is refused.
    """

    femur: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    other: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        values = [*self.femur, *self.left, *self.right, *self.other]
        if 0 in values or len(values) != len(set(values)):
            raise ValueError(f"labels: expected different values other than 0 (background), got {sorted(values)}")

    @property
    def known(self) -> tuple[int, ...]:
        """Every value that has a meaning, background left out."""
        return (*self.femur, *self.left, *self.right, *self.other)

    def of_femur(self, femur: Femur) -> tuple[int, ...]:
        """Values that make up the wanted femur; the side of plain `femur` values is told by their place."""
        if not self.known:
            return (1,)
        if femur == "all":
            return (*self.femur, *self.left, *self.right)
        return self.of_side(femur) or self.femur

    def of_side(self, side: Literal["left", "right"]) -> tuple[int, ...]:
        """Values that say themselves which side they are."""
        return self.left if side == "left" else self.right


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings:
    """Which studies make the cohort.

    Attributes:
        source: "phantom" (synthetic), "dicom" (series), or "volumes" (NIfTI, NRRD, MHA).
        folder: folder of the studies, one folder for each; see `dicom_pairs` and `volume_pairs`.
        femur: both femora of a scan as one foreground, or the one of a side.
        labels: what the values of a mask mean.
        mask: name of the mask's file or folder inside each study, where it has none of the usual names.
        series: SeriesInstanceUIDs to prefer in studies that hold several.
        accept_hu: take Hounsfield units as they are, however odd.
    """

    source: CohortSource = "phantom"
    folder: str = "data/source"
    femur: Femur = "all"
    labels: LabelMap = field(default_factory=LabelMap)
    mask: str = ""
    series: tuple[str, ...] = ()
    accept_hu: bool = False

    def __post_init__(self) -> None:
        if not self.folder:
            raise ValueError("folder: expected a folder's path, got ''")
        if self.mask.startswith("/") or ".." in self.mask.split("/"):
            raise ValueError(f"mask: expected a name inside the study's folder, got {self.mask!r}")

    @property
    def side_by_place(self) -> bool:
        """Whether only its place tells the wanted femur from the other."""
        return self.femur != "all" and not self.labels.of_side(self.femur)
