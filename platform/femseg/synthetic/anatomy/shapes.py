"""Simple solids: bones that no shape model knows, vessels, organs and implants are put together from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from femseg.synthetic.anatomy.axes import Axes, Box

Floats = NDArray[np.float64]
Coordinates = NDArray[np.float32]  # broadcast against one another to (Z, Y, X)


class Shape(Protocol):
    """A solid whose distance can be told."""

    @property
    def box(self) -> Box:
        """A box that holds it."""

    def signed_mm(self, x: Coordinates, y: Coordinates, z: Coordinates) -> Coordinates:
        """Distance to the surface, positive inside; near the surface within some tenths of a mm."""


@dataclass(frozen=True, slots=True, eq=False)
class RoundCone:
    """A rod with round ends whose radius changes evenly from one end to the other."""

    start: Floats
    end: Floats
    start_radius_mm: float
    end_radius_mm: float

    @property
    def box(self) -> Box:
        thick = max(self.start_radius_mm, self.end_radius_mm)
        return np.minimum(self.start, self.end) - thick, np.maximum(self.start, self.end) + thick

    def signed_mm(self, x: Coordinates, y: Coordinates, z: Coordinates) -> Coordinates:
        along = self.end - self.start
        length = max(float(along @ along), 1e-6)
        x, y, z = (axis - np.float32(first) for axis, first in zip((x, y, z), self.start, strict=True))
        share = np.clip((x * along[0] + y * along[1] + z * along[2]).astype(np.float32) / np.float32(length), 0, 1)
        dx, dy, dz = (axis - share * np.float32(step) for axis, step in zip((x, y, z), along, strict=True))
        radius = self.start_radius_mm + share * np.float32(self.end_radius_mm - self.start_radius_mm)
        return np.asarray(radius - np.sqrt(dx * dx + dy * dy + dz * dz), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """An ellipsoid; `frame` has its axes as rows, the patient's if none is given."""

    centre: Floats
    radii_mm: tuple[float, float, float]
    frame: Floats | None = None

    @property
    def box(self) -> Box:
        frame = np.eye(3) if self.frame is None else self.frame
        reach = np.sqrt(((frame * np.array(self.radii_mm)[:, None]) ** 2).sum(axis=0))
        return self.centre - reach, self.centre + reach

    def signed_mm(self, x: Coordinates, y: Coordinates, z: Coordinates) -> Coordinates:
        local = _local(self.centre, self.frame, x, y, z)
        scaled = sum((axis / np.float32(radius)) ** 2 for axis, radius in zip(local, self.radii_mm, strict=True))
        slope = sum((axis / np.float32(radius**2)) ** 2 for axis, radius in zip(local, self.radii_mm, strict=True))
        level, steep = np.sqrt(scaled), np.sqrt(slope)  # first-order distance: a level set over its gradient
        return np.asarray(
            np.where(level < 0.1, min(self.radii_mm), level * (1 - level) / np.maximum(steep, 1e-6)), dtype=np.float32
        )


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A box with rounded edges, or an elliptic drum along its third axis; `frame` has its axes as rows."""

    centre: Floats
    halves_mm: tuple[float, float, float]
    frame: Floats
    drum: bool = False

    @property
    def box(self) -> Box:
        reach = (np.abs(self.frame) * np.array(self.halves_mm)[:, None]).sum(axis=0)
        return self.centre - reach, self.centre + reach

    def signed_mm(self, x: Coordinates, y: Coordinates, z: Coordinates) -> Coordinates:
        u, v, w = _local(self.centre, self.frame, x, y, z)
        a, b, c = (np.float32(half) for half in self.halves_mm)
        ends = c - np.abs(w)
        if self.drum:
            sides = (1 - np.sqrt((u / a) ** 2 + (v / b) ** 2)) * min(a, b)
        else:
            sides = np.minimum(a - np.abs(u), b - np.abs(v))
        return np.asarray(np.minimum(sides, ends), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Bowl:
    """Half of a hollow sphere; `opening` points out of it."""

    centre: Floats
    outer_mm: float
    inner_mm: float
    opening: Floats

    @property
    def box(self) -> Box:
        return self.centre - self.outer_mm, self.centre + self.outer_mm

    def signed_mm(self, x: Coordinates, y: Coordinates, z: Coordinates) -> Coordinates:
        x, y, z = (axis - np.float32(middle) for axis, middle in zip((x, y, z), self.centre, strict=True))
        away = np.sqrt(x * x + y * y + z * z)
        height = x * np.float32(self.opening[0]) + y * np.float32(self.opening[1]) + z * np.float32(self.opening[2])
        wall = np.minimum(np.float32(self.outer_mm) - away, away - np.float32(self.inner_mm))
        return np.asarray(np.minimum(wall, -height), dtype=np.float32)


def _local(
    centre: Floats, frame: Floats | None, x: Coordinates, y: Coordinates, z: Coordinates
) -> tuple[Coordinates, Coordinates, Coordinates]:
    x, y, z = (axis - np.float32(middle) for axis, middle in zip((x, y, z), centre, strict=True))
    if frame is None:
        return x, y, z
    u, v, w = (x * np.float32(row[0]) + y * np.float32(row[1]) + z * np.float32(row[2]) for row in frame)
    return u, v, w


def rod_along(points: Floats, radii_mm: Sequence[float] | Floats) -> list[Shape]:
    """A bent rod through points (N, 3), with the radius at each."""
    return [
        RoundCone(start, end, first, last)
        for start, end, first, last in zip(points[:-1], points[1:], radii_mm[:-1], radii_mm[1:], strict=True)
    ]


def vector(x: float, y: float, z: float) -> Floats:
    """A step in mm, leftwards, backwards and upwards."""
    return np.array([x, y, z], dtype=np.float64)


def frame_about(axis: Floats, towards: Floats) -> Floats:
    """Unit vectors as rows: one as near to `towards` as can be, one across, and the axis as the third."""
    third = axis / np.linalg.norm(axis)
    first = towards - (towards @ third) * third
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third])


def union_mm(shapes: Sequence[Shape], axes: Axes, *, margin_mm: float, outside_mm: float) -> NDArray[np.float32]:
    """Signed distance to the union of some shapes, right up to a margin about each and `outside_mm` beyond."""
    signed = np.full(axes.shape, outside_mm, dtype=np.float32)
    for shape in shapes:
        box = axes.within(shape.box, margin_mm)
        if signed[box].size:
            np.maximum(signed[box], shape.signed_mm(*axes.part(box).open()), out=signed[box])
    return signed
