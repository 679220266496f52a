"""The `cohort:` section of params.yaml: where studies lie and which femur of a scan is wanted."""

import re
from dataclasses import dataclass, field
from typing import Literal

from femseg.cohorts.case import Femur
from femseg.cohorts.store import ArrayKind
from femseg.errors import Refusal
from femseg.formats.source import Mend
from femseg.paths import OWN_STUDIES, PARAMS
from femseg.settings import read_section
from femseg.volumes.grid import Triple
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import GradientOf, InputMode, InputRecipe, refuse_recipe_of_painted

PAPER_SHAPE_ZYX = (512, 64, 64)
HU_RANGE = Scaling(kind="window", low=-1024.0, high=3071.0)

Scale = Literal["find", "refine"]  # where the femora are; and the finer one that cuts them out
CohortSource = Literal["phantom", "synthetic", "dicom", "volumes", "totalsegmentator", "nnunet", "msd"]
MADE_HERE: tuple[CohortSource, ...] = ("phantom", "synthetic")  # by the stage `cohort`, of nobody
_TITLES = {
    "phantom": "Phantom cohort",
    "synthetic": "Synthetic cohort",
    "dicom": "Cohort of DICOM studies",
    "volumes": "Cohort of volume files",
    "totalsegmentator": "TotalSegmentator cohort",
    "nnunet": "nnU-Net cohort",
    "msd": "Decathlon cohort",
}
MaskUse = Literal["required", "ignored"]  # a study without mask is refused, as for training; or CTs alone are looked at


def cohort_title(source: str, name: str = "") -> str:
    """What report and card call a cohort: the name it was given, else after `cohort.source`.

    A cohort of patients is no "Phantom cohort", though an older params.yaml, copied from the demo, says so.
    """
    if name and (source == "phantom" or name != _TITLES["phantom"]):
        return name
    return _TITLES.get(source, "Cohort")


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

    @property
    def meanings(self) -> tuple[tuple[int, ...], ...]:
        """Values that are femur; those that mean the same together."""
        return tuple(same for same in (self.femur, self.left, self.right) if same)

    def of_femur(self, femur: Femur) -> tuple[int, ...]:
        """Values that make up the wanted femur; the side of plain `femur` values is told by their place."""
        if not self.known:
            return (1,)
        return (*self.femur, *self.left, *self.right) if femur == "all" else self.of_side(femur) or self.femur

    def of_side(self, side: Literal["left", "right"]) -> tuple[int, ...]:
        """Values that say themselves which side they are."""
        return self.left if side == "left" else self.right

    def side_by_place(self, femur: Femur) -> bool:
        """Whether only its place tells the wanted femur from the other."""
        return femur != "all" and not self.of_side(femur)


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureNames:
    """Names of what is femur, where a mask names its structures instead of numbering them.

    Segments of a DICOM-SEG, regions of interest of an RTSTRUCT, labels of a dataset.json, files of a TotalSegmentator
    study. Compared without regard to case. A structure in none of these lists is not femur.

    Attributes:
        femur: names of what is femur, of either side.
        left, right: names of what is the femur of that side.
    """

    femur: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    right: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [name.casefold() for name in (*self.femur, *self.left, *self.right)]
        if "" in names or len(names) != len(set(names)):
            raise ValueError(f"structures: expected different names, got {sorted(names)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings:
    """Which studies make the cohort.

    Attributes:
        source: "phantom", "synthetic" (people over real bone shapes, painted anew while training), "dicom" (series),
            "volumes" (NIfTI, NRRD, MHA), or a dataset in the layout of TotalSegmentator ("totalsegmentator"), nnU-Net
            v2 ("nnunet") or the Medical Segmentation Decathlon ("msd").
        folder: folder of the studies, laid out as the module of that source says.
        femur: both femora of a scan as one foreground, or the one of a side.
        labels: what the values of a mask mean.
        structures: names of what is femur, where a mask names its structures.
        mask: name of the mask's file or folder inside each study, where it has none of the usual names.
        series: UIDs, numbers or descriptions of the series to prefer in studies that hold several.
        patients: whose a study is: a .csv file (study, patient), or a pattern of its name whose first group is.
        split: a JSON file of study names by part (train, validation, test) that the stage `split` takes as given, or
            nnU-Net's splits_final.json.
        split_fold: which fold of that file, from 0; None where it holds one split.
        accept_hu: take Hounsfield units as they are, however odd.
        accept_frame: take a mask whose FrameOfReferenceUID is not its CT's, if it lies on the CT's grid all the same.
        regularise: resample unevenly spaced slices to an even spacing.
        untilt: resample a series with gantry tilt to an upright stack.
        quarantine: leave faulty studies out, listed in quarantine.json, instead of refusing the cohort.
    """

    source: CohortSource = "phantom"
    folder: str = str(OWN_STUDIES)
    femur: Femur = "all"
    labels: LabelMap = field(default_factory=LabelMap)
    structures: StructureNames = field(default_factory=StructureNames)
    mask: str = ""
    series: tuple[str, ...] = ()
    patients: str = ""
    split: str = ""
    split_fold: int | None = None
    accept_hu: bool = False
    accept_frame: bool = False
    regularise: bool = False
    untilt: bool = False
    quarantine: bool = False

    def __post_init__(self) -> None:
        if not self.folder:
            raise ValueError("folder: expected a folder's path, got ''")
        if self.mask.startswith("/") or ".." in self.mask.split("/"):
            raise ValueError(f"mask: expected a name inside the study's folder, got {self.mask!r}")
        if not self.patients.lower().endswith(".csv"):
            try:
                re.compile(self.patients)
            except re.error as error:
                problem = f"expected a .csv file or a pattern of names, got {self.patients!r} ({error})"
                raise ValueError(f"patients: {problem}") from None

    @property
    def mends(self) -> tuple[Mend, ...]:
        """What may be done to a CT's voxels to make its slices a regular stack."""
        chosen: list[tuple[Mend, bool]] = [("untilt", self.untilt), ("regularise", self.regularise)]
        return tuple(mend for mend, wanted in chosen if wanted)


def read_arrays(scale: Scale) -> "ArraySettings":
    """The `arrays:` section of a scale. Raises: Refusal (exit 2)."""
    return read_section(ArraySettings, "refine.arrays" if scale == "refine" else "arrays")


def refuse_unpaintable(scale: Scale) -> None:
    """Before hours of work: can training paint what the arrays of a scale ask for? Raises: Refusal CFG-02 (exit 2)."""
    below = "refine." if scale == "refine" else ""
    for mode in read_section(tuple[InputMode, ...], f"{below}input_modes"):
        try:
            refuse_recipe_of_painted(read_arrays(scale).recipe(mode))
        except ValueError as error:
            fix = f"write it under `{below}arrays`; nothing is painted with `share: 0.0` under `synthetic`"
            raise Refusal.of("CFG-02", PARAMS, f"{below}{error}", fix) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySettings:
    """What every input mode's recipe has in common; see `InputRecipe`. Without shape and spacing it is the paper's."""

    shape_zyx: tuple[int, int, int] | None = None
    spacing_mm_zyx: Triple | None = None
    anti_aliasing: bool = False
    raw_scaling: Scaling = field(default_factory=Scaling)
    gradient_scaling: Scaling = field(default_factory=Scaling)
    gradient_of: GradientOf = "ct"

    def recipe(self, kind: ArrayKind) -> InputRecipe:
        """The recipe of one kind of array; it holds only what these arrays depend on."""
        shape_zyx = self.shape_zyx if self.shape_zyx or self.spacing_mm_zyx else PAPER_SHAPE_ZYX
        if kind == "mask" or kind == "places" or kind == "tissue":
            hu = HU_RANGE if self.spacing_mm_zyx else Scaling()
            return InputRecipe(
                input_mode="raw", shape_zyx=shape_zyx, spacing_mm_zyx=self.spacing_mm_zyx, raw_scaling=hu
            )
        return InputRecipe(
            input_mode=kind,
            shape_zyx=shape_zyx,
            spacing_mm_zyx=self.spacing_mm_zyx,
            anti_aliasing=self.anti_aliasing,
            raw_scaling=Scaling() if kind == "gradient" else self.raw_scaling,
            gradient_scaling=Scaling() if kind == "raw" else self.gradient_scaling,
            gradient_of="ct" if kind == "raw" else self.gradient_of,
        )
