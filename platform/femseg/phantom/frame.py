"""The two anatomical frames of a leg: the hip's, at rest with the body, and the femur's, which lies as the leg lies.

Both point lateral, posterior and superior, for either side: a right leg is a left leg seen in a mirror.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from femseg.phantom.patient import PhantomPatient, Side
from femseg.phantom.shapes import Points, Vector
from femseg.volumes.grid import VoxelGrid

Box = tuple[Vector, Vector]  # two opposite corners, in mm
Where = tuple[slice, slice, slice]
WHOLE: Where = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFrame:
    """Voxels of one grid as seen from one leg.

    Attributes:
        hip: points with the head's centre as origin.
        femur: points with the origin below the middle of the condyles, where z = 0 is their lowest height.
        head_centre: of the femoral head in the femur's frame.
        edge_mm: width over which a surface's partial volume spreads.
    """

    patient: PhantomPatient
    hip: Points
    femur: Points
    head_centre: Vector
    edge_mm: float

    def where_femur(self, box: Box, margin_mm: float = 4.0) -> Where:
        """The voxels that hold a box of the femur's frame."""
        corners = [self._in_hip((x, y, z)) for x, y, z in product(*zip(*box, strict=True))]
        low, high = np.min(corners, axis=0) - margin_mm, np.max(corners, axis=0) + margin_mm
        return self.where_hip((tuple(low.tolist()), tuple(high.tolist())))

    def where_hip(self, box: Box) -> Where:
        """The voxels that hold a box of the hip's frame."""
        axes = (self.hip.superior_mm, self.hip.posterior_mm, self.hip.lateral_mm)
        slices = []
        for axis, low, high in zip(axes, box[0][::-1], box[1][::-1], strict=True):
            inside = np.flatnonzero((axis.ravel() >= low) & (axis.ravel() <= high))
            slices.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        return (slices[0], slices[1], slices[2])

    def _in_hip(self, point: Vector) -> Vector:
        cos, sin, lateral_lean, posterior_lean = _pose(self.patient)
        x, y, z = (p - h for p, h in zip(point, self.head_centre, strict=True))
        return (cos * x - sin * y - lateral_lean * z, sin * x + cos * y - posterior_lean * z, z)


def _pose(patient: PhantomPatient) -> tuple[float, float, float, float]:
    turn = math.radians(patient.external_rotation_deg)  # outward: what points forward turns to the side
    return (
        math.cos(turn),
        math.sin(turn),
        math.tan(math.radians(patient.abduction_deg)),
        -math.tan(math.radians(patient.flexion_deg)),
    )


def neck_direction(patient: PhantomPatient) -> Vector:
    """Unit vector from the base of the neck to the head, in the femur's frame.

    The shaft leans: the head stands above the knee (mechanical axis), the shaft's top stands lateral of it.
    """
    lean = math.asin(0.75 * patient.neck_length_mm / patient.femur_length_mm)
    from_vertical = math.pi - lean - math.radians(patient.neck_shaft_angle_deg)
    forward = math.radians(patient.anteversion_deg)
    out = math.sin(from_vertical)
    return (-out * math.cos(forward), -out * math.sin(forward), math.cos(from_vertical))


def head_centre(patient: PhantomPatient) -> Vector:
    """Centre of the femoral head in the femur's frame."""
    forward = patient.neck_length_mm * neck_direction(patient)[1]
    return (0.0, forward, patient.femur_length_mm - patient.head_radius_mm)


def leg_frame(patient: PhantomPatient, side: Side, grid: VoxelGrid, part: Where = WHOLE) -> LegFrame:
    """Look at the voxels of an LPS-aligned grid, or a part of it, whose origin is the middle between the two heads."""
    axes = [
        np.array([grid.origin_mm_xyz[axis] + step * n for n in range(grid.shape_zyx[2 - axis])])
        for axis, step in enumerate(grid.spacing_mm_zyx[::-1])
    ]
    outward = 1.0 if side == "left" else -1.0  # +x is the patient's left
    hip = Points(
        lateral_mm=(outward * axes[0] - patient.hip_half_distance_mm).astype(np.float32)[None, None, :],
        posterior_mm=axes[1].astype(np.float32)[None, :, None],
        superior_mm=axes[2].astype(np.float32)[:, None, None],
    )[part]
    cos, sin, lateral_lean, posterior_lean = _pose(patient)
    centre = head_centre(patient)
    x = hip.lateral_mm + lateral_lean * hip.superior_mm
    y = hip.posterior_mm + posterior_lean * hip.superior_mm
    femur = Points(
        lateral_mm=cos * x + sin * y + centre[0],
        posterior_mm=cos * y - sin * x + centre[1],
        superior_mm=hip.superior_mm + centre[2],
    )
    return LegFrame(
        patient=patient, hip=hip, femur=femur, head_centre=centre, edge_mm=min(grid.spacing_mm_zyx[1:]) * 1.1
    )
