"""The measurement sheet of phantom femora at voxels of 1 mm against their exact anatomy.

Usage: python -m benchmarks.pipeline.measurements [--output FILE] [--patients 50] [--spacing 1] [--workers 1] [--mesh]

Each patient's femur is measured twice: as it lies, with a CT of bone, marrow and muscle (blur and noise of the
phantom's scanner), and turned at random in space. The truth comes of the phantom's formulas under the sheet's own
definitions: centres and directions as it was built, contact points and outlines on its exact surface. Where it has none
(the necks of Lee, Reikerås and Murphy), the two turns of one femur are compared. `against_what_was_drawn` holds the
sheet against numbers of the phantom's by which it means something else. `--mesh` measures the solids that `femseg mesh`
makes of these masks. `python -m benchmarks.readme` writes the result of the masks into the reference page.
"""

import argparse
import json
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmarks.pipeline.exact_femur import truth
from femseg.files.durable import write_json_durably
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.sheet import Sheet, measured
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.filled import MESH_VOXEL_MM, filled
from femseg.meshes.flat_ends import flat_ends
from femseg.phantom.femur import FemurVoxels, femur_voxels
from femseg.phantom.frame import LegFrame, leg_frame
from femseg.phantom.patient import PhantomPatient, draw_patient
from femseg.phantom.shapes import coverage, paint
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

_MARGIN_MM = 6.0
_PSF_MM, _NOISE_HU, _MUSCLE_HU = (1.0, 0.75, 0.75), 18.0, 55.0
BARS = {
    "head_diameter": 0.5,
    "neck_shaft_angle": 2.0,
    "version": 2.0,
    "mechanical_length": 1.0,
    "bicondylar_length": 1.0,
    "trochanteric_length": 1.0,
}
NO_TRUTH = ("version_lee", "version_reikeras", "version_murphy")


def upright(seed: int, index: int) -> PhantomPatient:
    """A patient whose leg is turned outward alone: leaning shears a phantom, which would be another bone."""
    return replace(draw_patient(seed, index), abduction_deg=0.0, flexion_deg=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A femur on a grid: how far each voxel lies outside of it."""

    frame: LegFrame
    voxels: FemurVoxels
    grid: VoxelGrid

    @property
    def mask(self) -> MaskVolume:
        """Voxels whose centre lies inside."""
        return MaskVolume(femur_zyx=np.asarray(self.voxels.distance_mm < 0.0), grid=self.grid)

    def ct(self, seed: int) -> CtVolume:
        """Bone, marrow and muscle as the phantom's scanner sees them."""
        edge, hu = self.frame.edge_mm, np.full(self.grid.shape_zyx, _MUSCLE_HU, np.float32)
        paint(hu, coverage(self.voxels.distance_mm, edge), self.frame.patient.cortical_hu)
        paint(hu, coverage(self.voxels.distance_mm + self.voxels.cortex_mm, edge), self.voxels.interior_hu)
        hu = ndimage.gaussian_filter(hu, [psf / s for psf, s in zip(_PSF_MM, self.grid.spacing_mm_zyx, strict=True)])
        noise = np.random.default_rng(seed).normal(0.0, _NOISE_HU, hu.shape).astype(np.float32)
        return CtVolume(hu_zyx=np.rint(hu + noise), grid=self.grid)

    def turned(self, turn: Rotation) -> MaskVolume:
        """The same femur turned about its middle, on voxels of the same size that do not turn with it."""
        matrix, spacing = turn.as_matrix(), self.grid.spacing_mm_zyx
        places = self.grid.positions_mm_xyz(np.argwhere(self.voxels.distance_mm < 2.0))
        middle = 0.5 * (places.min(0) + places.max(0))
        half = np.abs((places - middle) @ matrix.T).max(0) + 2.0
        shape_zyx = tuple(int(n) for n in np.ceil(2.0 * half / np.array(spacing[::-1]))[::-1])
        low = middle - half
        grid = VoxelGrid(shape_zyx=shape_zyx, spacing_mm_zyx=spacing, origin_mm_xyz=tuple(low.tolist()))
        scale = np.array(spacing)
        back = (matrix.T)[::-1, ::-1] * scale[None, :] / scale[:, None]
        offset = (matrix.T @ (low - middle) + middle - np.array(self.grid.origin_mm_xyz))[::-1] / scale
        distance = ndimage.affine_transform(
            self.voxels.distance_mm, back, offset, output_shape=shape_zyx, order=1, mode="nearest"
        )
        return MaskVolume(femur_zyx=distance < 0.0, grid=grid)


def shape_of(patient: PhantomPatient, spacing_mm: float, *, offset_mm: float = 0.31) -> Shape:
    """A patient's femur on cubic voxels of one size, in a box round it."""
    outward = 1.0 if patient.side == "left" else -1.0
    length, width = patient.femur_length_mm, patient.condyle_width_mm
    sizes = (2.1 * width, 1.9 * width, length + 2.0 * _MARGIN_MM)
    middle = (outward * (patient.hip_half_distance_mm + 0.14 * width), 6.0, patient.head_radius_mm - length / 2.0)
    x, y, z = (m - 0.5 * size + offset_mm for m, size in zip(middle, sizes, strict=True))
    nz, ny, nx = (math.ceil(size / spacing_mm) for size in sizes[::-1])
    grid = VoxelGrid(shape_zyx=(nz, ny, nx), spacing_mm_zyx=(spacing_mm,) * 3, origin_mm_xyz=(x, y, z))
    frame = leg_frame(patient, patient.side, grid)
    return Shape(frame=frame, voxels=femur_voxels(frame, frame.femur, np.zeros(grid.shape_zyx, np.float32)), grid=grid)


def drawn(patient: PhantomPatient) -> dict[str, float]:
    """What the patient was drawn with."""
    return {
        "neck_shaft_angle": patient.neck_shaft_angle_deg,
        "version": patient.anteversion_deg,
        "bicondylar_length": patient.femur_length_mm,
        "epicondylar_width": patient.condyle_width_mm,
        "bow_radius": patient.bow_radius_mm,
    }


def sheets(patient: PhantomPatient, spacing_mm: float, turn: Rotation, *, mesh: bool) -> tuple[Sheet, Sheet]:
    """A patient's femur as it lies, with its CT, and turned; of its mesh, or of its mask."""
    shape, measure = shape_of(patient, spacing_mm), measured_mesh if mesh else measured
    return measure(shape.mask, ct=shape.ct(0)), measure(shape.turned(turn))


def measured_mesh(mask: MaskVolume, *, ct: CtVolume | None = None) -> Sheet:
    """The sheet of the solid that `femseg mesh` makes of a mask, as `femseg measure` takes it."""
    corners_mm = femur_mesh(mask, MeshSettings()).mesh.corners_mm
    cuts = [end.points_mm for end in flat_ends(corners_mm) if end.is_cut]
    return measured(filled(corners_mm, MESH_VOXEL_MM), ct=ct, sawn_off=np.concatenate(cuts) if cuts else None)


def spread(errors: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, the limit that 95 in 100 keep, and the worst."""
    size = np.abs(errors)
    return {
        "mean": float(errors.mean()),
        "deviation": float(errors.std()),
        "within_95": float(np.percentile(size, 95)),
        "worst": float(size.max()),
        "count": len(errors),
    }


def page_part(result: Mapping[str, Any], of_meshes: Mapping[str, Any]) -> str:
    """What the reference page says of the masks' result, and of the meshes'."""
    return (
        f"Errors: {result['patients']} phantoms at {result['spacing_mm']:g} mm, upright and turned at random, against "
        "their exact anatomy (²: the two turns are compared).\n"
        f"Worst beyond goals (head 0.5 mm, angles 2°, lengths 1 mm): {_beyond(result)}; of the meshes of "
        f"{of_meshes['patients']} of them: {_beyond(of_meshes)}. Refused: {len(result['refused'])}.\n\n"
        f"{table(result['errors'])}\n"
    )


def _beyond(result: Mapping[str, Any]) -> str:
    worst = {key: result["errors"][key]["worst"] for key in BARS}
    missed = [f"{DEFINITIONS[key].title.lower()} {worst[key]:.2f}" for key, bar in BARS.items() if worst[key] > bar]
    return ", ".join(missed) or "none"


def table(errors_of: Mapping[str, Mapping[str, float]]) -> str:
    """Definitions and errors."""
    rows = ["|value|definition|mean|95 in 100|worst|", "|---|---|---|---|---|"]
    for key, meant in DEFINITIONS.items():
        if errors := errors_of.get(key):
            words = "" if key.startswith(("canal_", "cortex_")) and key != "canal_flare_index" else meant.words
            unit = {"1": ""}.get(meant.unit, f", {meant.unit}")
            numbers = f"{errors['mean']:+.2f}|{errors['within_95']:.2f}|{errors['worst']:.2f}"
            rows.append(f"|{meant.title}{unit}{' ²' if key in NO_TRUTH else ''}|{words}|{numbers}|")
    return "\n".join(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One patient's two sheets against the truth; errors by value."""

    errors: dict[str, list[float]]
    against_drawn: dict[str, list[float]]
    refused: dict[str, str]
    wrong_sides: int


def judged(seed: int, spacing_mm: float, mesh: bool, index: int) -> Judged:
    """Measure one patient and compare."""
    patient = upright(seed, index)
    true, stated = truth(patient), drawn(patient)
    pair = sheets(patient, spacing_mm, Rotation.random(random_state=index), mesh=mesh)
    found = {key: [sheet.value(key) for sheet in pair] for key in DEFINITIONS}
    known = {key: [value for value in values if value is not None] for key, values in found.items()}
    errors = {key: [value - true[key] for value in values] for key, values in known.items() if key not in NO_TRUTH}
    errors |= {key: [known[key][1] - known[key][0]] for key in NO_TRUTH if len(known[key]) == 2}
    return Judged(
        errors=errors,
        against_drawn={key: [value - stated[key] for value in known[key]] for key in stated},
        refused={f"{index} {value.key}": value.refused for value in pair[0].values if value.refused},
        wrong_sides=sum(sheet.side != patient.side for sheet in pair),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--spacing", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mesh", action="store_true", help="measure meshes of the masks")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
        patients = list(
            pool.map(partial(judged, arguments.seed, arguments.spacing, arguments.mesh), range(arguments.patients))
        )

    def together(name: str) -> dict[str, dict[str, float]]:
        keys = [key for key in DEFINITIONS if any(key in getattr(one, name) for one in patients)]
        return {key: spread(np.concatenate([getattr(one, name).get(key, []) for one in patients])) for key in keys}

    result = {
        "command": f"python -m benchmarks.pipeline.measurements --patients {arguments.patients}"
        + " --mesh" * arguments.mesh,
        "spacing_mm": arguments.spacing,
        "patients": arguments.patients,
        "wrong_sides": sum(one.wrong_sides for one in patients),
        "refused": {key: reason for one in patients for key, reason in one.refused.items()},
        "errors": together("errors"),
        "against_what_was_drawn": together("against_drawn"),
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
