"""What is found on a femur before anything is measured: its ends, axes, points, directions, or why they are missing.

Everything is found from the bone itself, so that nothing depends on how the patient lay in the scanner.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from femseg.measurements.bone import Bone, furthest
from femseg.measurements.canal import CanalSection, canal_section
from femseg.measurements.head import Head, found_head
from femseg.measurements.knee import Knee, found_knee, touching_points
from femseg.measurements.lines import Array, Line, square_to, unit
from femseg.measurements.neck import Neck, first_joined_cut, middle_of_neck, narrowest_section
from femseg.measurements.shaft import (
    LEAST_SHAFT_MM,
    LesserTrochanter,
    centres_between,
    lesser_trochanter,
    narrow_part,
    shaft_line,
)
from femseg.volumes.grid import CtVolume

Side = Literal["left", "right"]

PROXIMAL_SHAFT_MM = (20.0, 80.0)  # below the tip of the lesser trochanter
DIAPHYSIS_FROM = 0.25  # of the way from the lowest point of the knee to the top of the head
_TROCHANTER_MEDIAL = 0.3  # how far medial of the shaft's axis the greater trochanter may reach, of the head's offset
_STRIP_MM, _SADDLE_MM = 2.0, 2.0  # the ridge from its top to the neck, followed in strips until it has fallen so far
_CLEAR_OF_HEAD = 1.25  # radii from the head's centre

ISTHMUS_FROM_MM = 20.0  # below the lesser trochanter
_ISTHMUS_STEP_MM = 5.0
_LONGEST_CANAL_MM = 230.0  # below it a knee's marrow begins
_CLEAR_OF_END_MM = 6.0


class NotSeen(Exception):
    """Why a mask does not hold what a measurement needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoronalPlane:
    """The plane of the mechanical axis and the posterior condylar line.

    Attributes:
        knee_centre: middle of the transepicondylar line.
        up: unit vector along the mechanical axis, from the knee's centre to the head's.
        medial: unit vector along the posterior condylar line, square to `up`.
        anterior: square to both.
        distal_points: where a line seen along `anterior` touches the condyles from below, medial first, shape (2, 3).
    """

    knee_centre: Array
    up: Array
    medial: Array
    anterior: Array
    distal_points: Array


class Femur:
    """Parts of one femur; asking for one that the mask does not hold raises `NotSeen`.

    Args:
        stated_side: which femur it is, where somebody said; tells the condyles apart where the hip is not seen.
        ct: for the canal.
    """

    def __init__(self, bone: Bone, stated_side: Side | None = None, ct: CtVolume | None = None) -> None:
        self.bone = bone
        self.stated_side = stated_side
        self.ct = ct

    @cached_property
    def _head(self) -> Head | None:
        return found_head(self.bone)

    @property
    def head(self) -> Head:
        """The ball of the hip."""
        if self._head is None:
            raise NotSeen("the mask holds no whole femoral head")
        apart = np.linalg.norm(self.bone.cut_off - self._head.centre, axis=1)
        if len(apart) and float(apart.min()) < _CLEAR_OF_HEAD * self._head.radius_mm:
            raise NotSeen("the scan cuts the head off")
        return self._head

    @cached_property
    def axis(self) -> Line:
        """Of the shaft's narrow part, pointing to the hip."""
        surface = self.bone.surface
        has_length = len(surface) and np.linalg.norm(np.ptp(surface, axis=0)) > LEAST_SHAFT_MM
        found = narrow_part(self.bone, self._towards_hip()) if has_length else None
        if found is None:
            raise NotSeen("the mask shows less than 50 mm of the shaft")
        return found

    def _towards_hip(self) -> Array:
        """From the bone's middle to the head, or, where that is not seen, away from the wider end."""
        middle = self.bone.surface.mean(axis=0)
        if self._head is not None:
            return np.asarray(self._head.centre - middle)
        along = unit(np.linalg.svd(self.bone.surface[::50] - middle, full_matrices=False)[2][0])
        height = (self.bone.surface - middle) @ along
        ends = (height < np.percentile(height, 15), height > np.percentile(height, 85))
        low, high = (float(np.linalg.norm(self.bone.surface[end].std(axis=0))) for end in ends)
        return np.asarray(along if low > high else -along)

    @cached_property
    def neck(self) -> Neck:
        """Its narrowest section."""
        found = narrowest_section(self.bone, self.head)
        if found is None:
            raise NotSeen("the mask holds no neck")
        return found

    @cached_property
    def lesser(self) -> LesserTrochanter:
        """The lesser trochanter."""
        found = lesser_trochanter(self.bone, self.head, self.axis)
        if found is None:
            raise NotSeen("no lesser trochanter stands out of the mask")
        self._require_clear_above(found.tip - PROXIMAL_SHAFT_MM[0] * self.axis.direction, "the trochanters")
        return found

    def _require_clear_above(self, point: Array, what: str) -> None:
        above = (self.bone.cut_off - point) @ self.axis.direction > 0.0
        if above.any():
            raise NotSeen(f"the scan cuts {what} off")

    @cached_property
    def greater_tip(self) -> Array:
        """The greater trochanter's highest point along the shaft; beyond the saddle a steep neck may be higher."""
        shaft, head = self.proximal_shaft, self.head
        to_head = shaft.from_it(head.centre[None])[0]
        height = (self.bone.surface - self.lesser.tip) @ shaft.direction
        medial = shaft.from_it(self.bone.surface) @ unit(to_head)
        clear = np.linalg.norm(self.bone.surface - head.centre, axis=1) > _CLEAR_OF_HEAD * head.radius_mm
        place = (medial < _TROCHANTER_MEDIAL * np.linalg.norm(to_head)) & clear & (height > 0.0)
        strips = ((medial[place] - medial[place].min()) / max(_STRIP_MM, self.bone.coarsest_mm)).astype(int)
        tops = np.full(strips.max() + 1, -np.inf)
        np.maximum.at(tops, strips, height[place])
        beyond = np.flatnonzero(np.maximum.accumulate(tops) - tops > _SADDLE_MM)
        hill = strips < (beyond[0] if beyond.size else tops.size)
        return furthest(self.bone.surface[place][hill], shaft.direction)

    @cached_property
    def proximal_shaft(self) -> Line:
        """The line through the shaft's centres from 20 to 80 mm below the lesser trochanter's tip."""
        high, low = (self.lesser.tip - below * self.axis.direction for below in PROXIMAL_SHAFT_MM)
        if float(((self.bone.surface - low) @ self.axis.direction).min()) > -2.0:
            raise NotSeen("the shaft is seen to less than 80 mm below the lesser trochanter")
        return shaft_line(self.bone, self.axis, low, high)

    @cached_property
    def _knee(self) -> Knee | str:
        return found_knee(self.bone, self.axis)

    @property
    def knee(self) -> Knee:
        """The condyles and what joins them; medial first where the hip is seen."""
        if isinstance(self._knee, str):
            raise NotSeen(self._knee)
        return self._knee

    @cached_property
    def diaphysis_ends(self) -> tuple[Array, Array]:
        """Points at the lower and the upper end of what counts as diaphysis."""
        along, head = self.axis.direction, self.head
        knee = self.knee.distal_points.mean(axis=0)
        length_mm = float((head.centre - knee) @ along) + head.radius_mm
        low = self.axis.nearest(knee) + DIAPHYSIS_FROM * length_mm * along
        return low, self.axis.nearest(self.lesser.tip) - PROXIMAL_SHAFT_MM[0] * along

    @cached_property
    def diaphysis(self) -> Line:
        """The anatomical axis: the line through the shaft's centres between these ends."""
        return shaft_line(self.bone, self.axis, *self.diaphysis_ends)

    @cached_property
    def diaphysis_centres(self) -> Array:
        """These centres, upwards, shape (n, 3)."""
        low, high = (float((end - self.diaphysis.point) @ self.diaphysis.direction) for end in self.diaphysis_ends)
        return centres_between(self.bone, self.diaphysis, low, high)

    @cached_property
    def posterior_line(self) -> Array:
        """Where the posterior condylar line, seen along the anatomical axis, touches both condyles; medial first."""
        points = touching_points(self.knee.surface, self.knee.across, self.knee.posterior, self.diaphysis.direction)
        return self._medial_first(points)

    def _medial_first(self, points: Array) -> Array:
        medial = self.axis.from_it(self.head.centre[None])[0]
        return points if (points[0] - points[1]) @ medial > 0 else points[::-1]

    @cached_property
    def coronal(self) -> CoronalPlane:
        """The plane of the mechanical axis and the posterior condylar line."""
        knee_centre = self.knee.epicondyles.mean(axis=0)
        up = unit(self.head.centre - knee_centre)
        first, second = self.posterior_line
        medial = square_to(first - second, up)
        anterior = np.cross(up, medial)
        anterior = anterior if anterior @ self.knee.posterior < 0 else -anterior
        distal = touching_points(self.knee.surface, self.knee.across, -up, anterior)
        return CoronalPlane(
            knee_centre=knee_centre, up=up, medial=medial, anterior=anterior, distal_points=self._medial_first(distal)
        )

    @cached_property
    def knee_medial(self) -> Array:
        """Along the posterior condylar line seen along the distal shaft, towards the medial condyle."""
        across = self.knee.across
        if self._head is not None:
            medial = self.axis.from_it(self._head.centre[None])[0]
            return across if across @ medial > 0 else -across
        if self.stated_side is None:
            raise NotSeen("without the hip or a stated side, medial and lateral are not known")
        seen = float(np.cross(across, -self.knee.posterior) @ self.axis.direction) > 0
        return across if seen == (self.stated_side == "left") else -across

    @cached_property
    def side(self) -> Side:
        """Which femur it is, by its shape alone: where medial and anterior lie, seen from above."""
        medial = self.axis.from_it(self.head.centre[None])[0]
        try:
            posterior = self.knee.posterior
        except NotSeen:
            posterior = self.lesser.posterior
        return "left" if float(np.cross(medial, -posterior) @ self.axis.direction) > 0 else "right"

    @cached_property
    def lee(self) -> Array:
        """Centre of the neck where it first joins the greater trochanter, from above (Lee et al. 2006)."""
        cut = first_joined_cut(self.bone, self.head, self.neck, self.proximal_shaft, self.greater_tip)
        centre = middle_of_neck(cut, self.head, self.neck, self.proximal_shaft) if cut else None
        if centre is None:
            raise NotSeen("no section shows neck and greater trochanter joined")
        return centre

    @cached_property
    def reikeras(self) -> Array:
        """Centre of the neck in the section square to the shaft at its narrowest place (Reikerås et al. 1983)."""
        radius_mm = self.head.radius_mm
        cut = self.bone.cut(self.neck.centre, self.proximal_shaft.direction, reach_mm=3.5 * radius_mm, step_mm=0.75)
        centre = middle_of_neck(cut, self.head, self.neck, self.proximal_shaft) if cut else None
        if centre is None:
            raise NotSeen("no section square to the shaft shows the neck")
        return centre

    @cached_property
    def murphy(self) -> Array:
        """Centre of the section square to the shaft just above the lesser trochanter (Murphy et al. 1987)."""
        shaft = self.proximal_shaft
        level = shaft.nearest(self.lesser.tip) + self.lesser.width_mm * shaft.direction
        cut = self.bone.cut(level, shaft.direction)
        if cut is None:
            raise NotSeen("no section shows the base of the neck")
        return cut.centre

    def canal_at(self, above_trochanter_mm: float) -> CanalSection:
        """The canal in the section square to the shaft, so far above the lesser trochanter's tip."""
        if self.ct is None:
            raise NotSeen("needs the CT")
        level = self.lesser.tip + above_trochanter_mm * self.axis.direction
        if float(((self.bone.surface - level) @ self.axis.direction).min()) > -_CLEAR_OF_END_MM:
            raise NotSeen("the scan ends above it")
        found = canal_section(self.bone, self.ct, self.axis, self.axis.nearest(level))
        if found is None:
            raise NotSeen("no cortex stands out of the CT there")
        return found

    @cached_property
    def isthmus(self) -> tuple[float, CanalSection]:
        """How far below the lesser trochanter's tip the canal is narrowest, and the canal there."""
        lowest = -float(((self.bone.surface - self.lesser.tip) @ self.axis.direction).min())
        levels = np.arange(ISTHMUS_FROM_MM, min(lowest - _CLEAR_OF_END_MM, _LONGEST_CANAL_MM), _ISTHMUS_STEP_MM)
        canals = [self.canal_at(-float(level)) for level in levels]
        if not canals:
            raise NotSeen("the scan ends above it")
        diameters = np.convolve(
            np.pad([canal.diameter_mm for canal in canals], 1, mode="edge"), np.ones(3) / 3, "valid"
        )
        narrowest = int(np.argmin(diameters))
        if narrowest >= len(canals) - 2:
            raise NotSeen("the canal still narrows where the scan ends")
        return float(levels[narrowest]), canals[narrowest]
