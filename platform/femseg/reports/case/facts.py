"""What the page of a case shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.measurements.sheet import Sheet
from femseg.meshes.mesh import TriangleMesh
from femseg.volumes.grid import CtVolume, LabelVolume, MaskVolume, Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """A femur's mesh.

    Attributes:
        off_mm: of each vertex the distance to the mask's surface.
        said: what was measured, in words.
    """

    mesh: TriangleMesh
    off_mm: NDArray[np.float64]
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFemur:
    """One femur.

    Attributes:
        name: such as "left femur".
        label: its value in the mask.
        told_by: what tells the side.
        look_at_mm_xyz: the place that the verdict names, in LPS.
        mask: its largest piece, of which the sheet is.
        sheet: None of a mask that is not written.
        solid: None where no mesh was made.
    """

    name: str
    label: int
    volume_ml: float
    pieces: int
    told_by: tuple[str, ...]
    mask: MaskVolume
    look_at_mm_xyz: Triple | None = None
    sheet: Sheet | None = None
    solid: Solid | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """All that a page is made of.

    Attributes:
        name: of the CT, as it was given.
        verdict: "usable", "review" or "reject", and the reasons in words.
        expected_dice: None where nothing tells it.
        caution: beside "usable", of a model that learnt from no patient; else "".
        remarks: what must be said of model and CT.
        labels: the mask, on the CT's grid.
        no_mesh: why there is no mesh; "" if there is one.
        model, lineage: what is known of them, by what it is.
    """

    name: str
    verdict: str
    reasons: tuple[str, ...]
    expected_dice: float | None
    caution: str
    remarks: tuple[str, ...]
    ct: CtVolume
    labels: LabelVolume
    femora: tuple[PageFemur, ...]
    no_mesh: str
    model: dict[str, str]
    lineage: dict[str, str]
