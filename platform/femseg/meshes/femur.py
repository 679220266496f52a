"""From a femur's mask to a solid that can be printed, with its measured deviation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Refusal
from femseg.meshes.decimation import decimated
from femseg.meshes.deviation import Deviation, deviation_by_vertex
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.solid import flaws, without_slivers
from femseg.meshes.surface import SOFTENED_MM, mask_surface, smoothed, surface
from femseg.volumes.grid import MaskVolume

_FEMUR_FROM = 0.5
_KEEPS_VOLUME = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """How a surface is made.

    Attributes:
        softened_mm: standard deviation of the blur of a mask; a probability is taken as it is.
        smoothing: iterations of Taubin's smoothing.
        tolerance_mm: how far fewer triangles may lie from all of them; 0 keeps all.
    """

    softened_mm: float = SOFTENED_MM
    smoothing: int = 0
    tolerance_mm: float = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class FemurMesh:
    """A proven solid, how far it lies from its mask, and from the same surface with all triangles (mm).

    Attributes:
        vertices_off_mm: of each vertex the distance to the mask's surface.
    """

    mesh: TriangleMesh
    deviation: Deviation
    vertices_off_mm: NDArray[np.float64]
    decimation_mm: float


def femur_mesh(
    mask: MaskVolume,
    settings: MeshSettings,
    *,
    probability_zyx: NDArray[np.floating[Any]] | None = None,
    name: str = "mask",
) -> FemurMesh:
    """The solid of a mask.

    Args:
        mask: one femur.
        probability_zyx: what the mask was cut from at one half, on its grid; without it the mask is softened.
        name: what a refusal names.
    Raises: Refusal MS-01 (exit 3) if what comes out is no solid, or smoothing would change its volume.
    """
    if not mask.femur_zyx.any():
        raise Refusal.of("IN-22", name, "shows no femur", "give a mask that is not empty")
    try:
        if probability_zyx is None:
            whole = mask_surface(mask, settings.softened_mm)
        else:
            whole = surface(probability_zyx, mask.grid, _FEMUR_FROM)
    except ValueError as error:
        raise _no_solid(name, f"nothing is left of it: {error}") from None
    rough_mm3 = whole.volume_mm3
    if settings.smoothing:
        whole = smoothed(whole, settings.smoothing)
    drift = whole.volume_mm3 / rough_mm3 - 1.0
    if abs(drift) > _KEEPS_VOLUME:
        raise _no_solid(name, f"smoothing would change its volume by {drift:+.1%} (tolerated {_KEEPS_VOLUME:.1%})")
    mesh, decimation_mm = decimated(whole, settings.tolerance_mm)
    if mesh is whole and (found := flaws(mesh := without_slivers(whole))):
        raise _no_solid(name, "; ".join(found))
    measured, off_mm = deviation_by_vertex(mesh, mask)
    return FemurMesh(mesh=mesh, deviation=measured, vertices_off_mm=off_mm, decimation_mm=decimation_mm)


def _no_solid(name: str, why: str) -> Refusal:
    return Refusal.of("MS-01", name, f"gives no solid: {why}", "look at the mask; mend it, or soften it otherwise")
