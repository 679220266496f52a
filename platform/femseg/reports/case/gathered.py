"""What a page shows, out of a CT, its mask, and where both come from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from femseg import __version__
from femseg.comparison.wording import input_name
from femseg.inference.femora import STRUCTURES, FemurSide
from femseg.measurements.sheet import Sheet
from femseg.reports.case.facts import CasePage, PageFemur, Solid
from femseg.reports.case.segmented import Segmented

if TYPE_CHECKING:
    from femseg.meshes.femur import FemurMesh  # needs the extra "mesh"

_TRAINED_ON = {
    "phantom": "phantoms alone: no patient",
    "synthetic": "CTs painted over real bone shapes: no patient",
    "": "its package does not say",
}


def gathered(
    made: Segmented,
    solids: Mapping[str, "FemurMesh"],
    sheets: Mapping[FemurSide, Sheet],
    *,
    no_mesh: str,
    mask_sha256: str,
) -> CasePage:
    """The page's content.

    Args:
        solids: by side, "" where none is told.
        sheets: by side; none of a mask that is not written.
        no_mesh: why there are none, in a sentence.
        mask_sha256: of the mask's file; "" of a mask that was rejected and not written.
    """
    verdict = made.facts["verdict"]
    return CasePage(
        name=made.name,
        verdict=verdict["word"],
        reasons=tuple(verdict["reasons"]),
        expected_dice=verdict["expected_dice"],
        caution=verdict["caution"],
        remarks=tuple(made.facts["remarks"]),
        ct=made.ct,
        labels=made.femora.labels,
        femora=tuple(_femora(made, solids, sheets)),
        no_mesh=no_mesh if mask_sha256 else "None is made of a mask that is not written.",
        model=_model(made),
        lineage=_lineage(made, mask_sha256),
    )


def _femora(
    made: Segmented, solids: Mapping[str, "FemurMesh"], sheets: Mapping[FemurSide, Sheet]
) -> Sequence[PageFemur]:
    """Each femur with its sheet, which is of its largest piece."""
    found = []
    for side, femur in made.femora.by_side.items():
        meant = STRUCTURES[side]
        solid = solids.get("" if side == "unknown" else side)
        found.append(
            PageFemur(
                name=meant.name,
                label=meant.value,
                volume_ml=femur.volume_ml,
                pieces=len(femur.pieces_ml),
                told_by=femur.told_by,
                mask=made.largest_piece(side),
                look_at_mm_xyz=made.facts["verdict"]["look_at_mm_xyz"].get(side),
                sheet=sheets.get(side),
                solid=Solid(mesh=solid.mesh, off_mm=solid.vertices_off_mm, said=_said(solid)) if solid else None,
            )
        )
    return found


def _said(solid: "FemurMesh") -> tuple[str, ...]:
    off, back = solid.deviation.to_mask, solid.deviation.to_mesh
    return (
        f"{len(solid.mesh.triangles)} triangles, closed and outward",
        f"mesh to mask: mean {off.mean_mm:.2f}, 95 % {off.p95_mm:.2f}, max {off.max_mm:.2f} mm",
        f"mask to mesh: mean {back.mean_mm:.2f}, 95 % {back.p95_mm:.2f}, max {back.max_mm:.2f} mm",
        f"{solid.deviation.vertices_near:.1%} of vertices within 0.25 mm",
        f"volume {solid.deviation.volume_drift:+z.2%}",
    )


def _model(made: Segmented) -> dict[str, str]:
    """What whoever looks at a mask should know of the model."""
    source = made.model.cohort_source
    told = {
        "model": made.record.options["model"],
        "trained on": _TRAINED_ON.get(source, f"a cohort of CTs with masks ({source})"),
        "input": f"{made.model.input_mode}, {'two scales' if made.model.refine else 'one scale'}",
        "in its validation": str(made.model.metrics),
    }
    if seen := made.model.training_range:
        for what, (least, most) in (("spacing", seen.spacing_mm_zyx), ("field of view", seen.extent_mm_zyx)):
            axes = (f"{a:.3g} to {b:.3g}" if a != b else f"{a:.3g}" for a, b in zip(least, most, strict=True))
            told[f"trained for, {what}"] = f"{' × '.join(axes)} mm (feet to head, front to back, right to left)"
    return told


def _lineage(made: Segmented, mask_sha256: str) -> dict[str, str]:
    """By which each part is found again."""
    git = made.lineage.git
    options = [f"{name} {value}" for name, value in made.record.options.items() if name != "model"]
    packages = {f"package of the model ({input_name(name)})": sha256 for name, sha256 in made.record.models.items()}
    return {
        "mask": mask_sha256 or "not written",
        "CT series": made.record.cts["ct"],
        **packages,
        "git commit of the training": (git.commit or "none") + (", with changes" if git.modified else ""),
        "options": ", ".join(options) or "none",
        "femseg": __version__,
    }
