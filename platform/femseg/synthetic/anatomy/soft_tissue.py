"""What lies about the bones: outline, skin, fat, muscle, the belly and what it holds, vessels, clothes, table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.synthetic.anatomy.axes import Axes, carried
from femseg.synthetic.anatomy.neighbours import Neighbours, lungs
from femseg.synthetic.anatomy.people import SIDES, Floats, Leg, Person
from femseg.synthetic.anatomy.shapes import Ellipsoid, RoundCone, Shape, rod_along, union_mm, vector
from femseg.synthetic.scene import Tissue

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SoftTissue:
    """Fields on a lattice, and solids to be put into them, in this order.

    Attributes:
        body_mm: distance to the body's outline, positive inside.
        muscle_mm: the same of muscle, which fat covers and runs through.
        cavity_mm: the same of the belly's cavity.
        solids: muscles, organs, bowel, bladder and vessels with their tissue.
        skin_mm: thickness of the skin.
        clothes_mm: nearest and furthest from the body, with a lower and an upper end; None without clothes.
        table: y where it begins, thickness of its shell, of its mattress, sag per mm² sideways, and +1 behind or -1 in
            front of the person; None without a table.
    """

    body_mm: Field
    muscle_mm: Field
    cavity_mm: Field
    solids: list[tuple[Tissue, Shape]]
    skin_mm: float
    clothes_mm: tuple[float, float, float, float] | None
    table: tuple[float, float, float, float, float] | None

    def tissue(self, lattice: Axes, axes: Axes) -> NDArray[np.uint8]:
        """Tissue without bones and solids at voxels, shape (Z, Y, X)."""
        body, muscle, cavity = (carried(f, lattice, axes) for f in (self.body_mm, self.muscle_mm, self.cavity_mm))
        found = np.full(axes.shape, Tissue.AIR, dtype=np.uint8)
        x, y, z = axes.open()
        if self.table is not None:
            top, shell, foam, sag, side = self.table
            depth = np.broadcast_to(side * y - top + sag * x**2, found.shape)
            found[(depth > 0) & (depth < foam + 2 * shell)] = Tissue.TABLE
            found[(depth > shell) & (depth < foam + shell)] = Tissue.MATTRESS
        if self.clothes_mm is not None:
            nearest, furthest, low, high = self.clothes_mm
            found[(body < -nearest) & (body > -furthest) & (z > low) & (z < high)] = Tissue.CLOTHES
        found[body > 0] = Tissue.SKIN
        deep = body > self.skin_mm
        found[deep] = Tissue.FAT
        found[deep & (muscle > 0) & (cavity < 0)] = Tissue.MUSCLE
        return found


def smooth_noise(rng: np.random.Generator, lattice: Axes, wavelength_mm: float) -> Field:
    """Normal noise whose values lie a wavelength apart, linear between them."""
    coarse = Axes.lattice(lattice.box, wavelength_mm)
    return carried(rng.standard_normal(coarse.shape), coarse, lattice)


def soft_tissue(
    rng: np.random.Generator, person: Person, around: Neighbours, bones_mm: Field, lattice: Axes
) -> SoftTissue:
    """Soft tissue about a person's bones.

    Args:
        bones_mm: signed distance to all bones on the lattice, positive inside.
    """
    fat = rng.uniform(3, 12) if rng.random() < 0.5 else rng.uniform(10, 34)
    girth = person.scale * (0.78 + 0.013 * fat + rng.normal(0, 0.04))
    body = _outline(rng, person, girth, lattice)
    body = _smooth_union(body, bones_mm + np.float32(rng.uniform(6, 11)), 20.0)
    body += 2.5 * smooth_noise(rng, lattice, 45.0)
    x, y, _ = lattice.open()
    table = _table(rng, person, girth)
    if table is not None:
        top, _, _, sag, side = table
        body = -_smooth_union(-body, side * y - (top - 1.5) + sag * x**2, 12.0)
    elsewhere = union_mm(around.flesh, lattice, margin_mm=15.0, outside_mm=-60.0)
    body = np.maximum(body, elsewhere)
    near_knee = np.maximum(*(_nearness(lattice, leg.knee, 55.0) for leg in person.legs.values()))
    cover = fat * (1 - 0.55 * near_knee) * np.clip(1 + 0.3 * smooth_noise(rng, lattice, 60.0), 0.3, 2.0)
    infiltrated = rng.uniform(-1.6, -0.4) + 0.9 * near_knee
    septa = smooth_noise(rng, lattice, rng.uniform(11, 22)) - infiltrated
    muscle = np.minimum(body - cover, 4.0 * septa)
    wall = rng.uniform(8, 22)
    cavity = np.minimum(_cavity(person, around, girth, lattice), np.minimum(body - cover - wall, -bones_mm - 7.0))
    return SoftTissue(
        body_mm=body,
        muscle_mm=muscle,
        cavity_mm=cavity,
        solids=list(_solids(rng, person, around, girth)),
        skin_mm=float(rng.uniform(1.2, 2.6)),
        clothes_mm=_clothes(rng) if rng.random() < 0.5 else None,
        table=table if rng.random() < 0.9 else None,
    )


def _nearness(lattice: Axes, point: Floats, reach_mm: float) -> Field:
    """1 at a point, falling off about it as a Gaussian does."""
    x, y, z = (axis - np.float32(middle) for axis, middle in zip(lattice.open(), point, strict=True))
    return np.asarray(np.exp(-(x * x + y * y + z * z) / np.float32(reach_mm**2)))


def _smooth_union(one: Field, other: Field, width_mm: float) -> Field:
    """The larger of two signed distances, with the corner between them rounded."""
    near = np.maximum(width_mm - np.abs(one - other), 0)
    return np.asarray(np.maximum(one, other) + near * near / (4 * width_mm), dtype=np.float32)


def _outline(rng: np.random.Generator, person: Person, girth: float, lattice: Axes) -> Field:
    """Thighs, calves, buttocks, hips and trunk, run together."""
    body = np.full(lattice.shape, -400.0, dtype=np.float32)
    for leg in person.legs.values():
        for shape in _leg_outline(rng, leg, girth, person.scale):
            body = _smooth_union(body, shape.signed_mm(*lattice.open()), 30.0)
    x, y, z = lattice.open()
    half = max(abs(person.legs[side].trochanter[0]) for side in SIDES)
    hips = Ellipsoid(np.array([0.0, 12.0, 25.0]), (half + 45 * girth, 112 * girth, 125.0))
    body = _smooth_union(body, hips.signed_mm(x, y, z), 30.0)
    wide, deep = girth * rng.uniform(148, 172), girth * rng.uniform(94, 112)
    across = (1 - np.sqrt((x / wide) ** 2 + ((y - rng.uniform(-8, 6)) / deep) ** 2)) * np.float32(deep)
    trunk = np.minimum(across, z - 20)
    return _smooth_union(body, np.broadcast_to(trunk, lattice.shape), 40.0)


def _leg_outline(rng: np.random.Generator, leg: Leg, girth: float, scale: float) -> Iterator[Shape]:
    knee_mm = scale * rng.uniform(48, 55) * (0.6 + 0.4 * girth)
    thigh = leg.head - 55 * leg.up + 6 * leg.lateral - 12 * leg.forward
    yield RoundCone(thigh, leg.knee + 25 * leg.up, girth * rng.uniform(78, 94), knee_mm)
    shank = leg.ankle - leg.knee
    behind = leg.forward - (leg.forward @ shank) * shank / (shank @ shank)
    yield RoundCone(leg.knee, leg.knee + 0.1 * shank, knee_mm, knee_mm)
    yield RoundCone(
        leg.knee + 0.22 * shank - 14 * behind, leg.ankle, girth * rng.uniform(52, 62), scale * rng.uniform(32, 38)
    )
    yield Ellipsoid(leg.head + vector(0, 42, -5), (82 * girth, 72 * girth, 95 * girth))  # buttock


def _table(rng: np.random.Generator, person: Person, girth: float) -> tuple[float, float, float, float, float] | None:
    side = -1.0 if rng.random() < 0.06 else 1.0  # lying on the belly now and then
    bones = max((side * bone.vertices_mm[:, 1]).max() for bone in person.bones.values())
    top = max(bones + rng.uniform(6, 14), girth * rng.uniform(92, 104))
    sag = rng.uniform(0, 0.0011) if rng.random() < 0.6 else 0.0
    return top, rng.uniform(1.5, 4.0), rng.uniform(15, 60), sag, side


def _clothes(rng: np.random.Generator) -> tuple[float, float, float, float]:
    nearest = rng.uniform(1.0, 7.0)
    low = rng.uniform(-700, 60)
    return nearest, nearest + rng.uniform(0.7, 2.2), low, low + rng.uniform(80, 900)


def _cavity(person: Person, around: Neighbours, girth: float, lattice: Axes) -> Field:
    """Between the pelvic floor and the diaphragm, before the spine; the true pelvis is narrower."""
    x, y, z = lattice.open()
    socket = min(abs(person.legs[side].hinge[0]) for side in SIDES)
    width, back = (
        np.interp(lattice.z, heights, values).astype(np.float32)[:, None, None]
        for heights, values in (
            ([-40, 0, 70, 110, 200], [12, socket - 24, socket - 12, 105 * girth, 138 * girth]),
            ([-40, 0, 60, *around.spine[::3, 2]], [20, 48, 62, *around.spine[::3, 1] - 4]),
        )
    )
    front = -125 * girth
    off = np.sqrt((x / width) ** 2 + ((y - (back + front) / 2) / ((back - front) / 2)) ** 2)
    return np.asarray(np.minimum((1 - off) * np.minimum(width, (back - front) / 2), z + 40), dtype=np.float32)


def _solids(
    rng: np.random.Generator, person: Person, around: Neighbours, girth: float
) -> Iterator[tuple[Tissue, Shape]]:
    """Muscles beside the spine, organs, bowel, bladder, then vessels."""
    lumbar = around.spine[:5]
    for side in SIDES:
        leg, outward = person.legs[side], 1.0 if side == "left" else -1.0
        psoas = np.array(
            [
                *(lumbar[::-2] + vector(outward * 36, 4, 0)),
                leg.head + vector(-outward * 8, -30, 25),
                leg.shaft[-1] + 40 * leg.up,
            ]
        )
        for shape in rod_along(psoas, rng.uniform(0.8, 1.1) * np.array([13, 18, 20, 18, 10])):
            yield Tissue.MUSCLE, shape
        for level in range(0, len(around.spine) - 1, 2):
            beside = around.spine[level : level + 3] + vector(outward * 30, 48, 0)
            for shape in rod_along(beside, [20.0] * len(beside)):
                yield Tissue.MUSCLE, shape
    yield from _organs(rng, around, person.scale, girth)
    yield from _bowel(rng, girth)
    depth = rng.uniform(-45, -10)
    size = rng.uniform(18, 48, 3) * (1, 0.85, 0.85)
    yield Tissue.BLADDER, Ellipsoid(np.array([rng.normal(0, 6), depth, rng.uniform(5, 30) + size[2] / 2]), tuple(size))
    for tissue, path, radii in _vessels(rng, person, around):
        for shape in rod_along(path, radii):
            yield tissue, shape


def _organs(rng: np.random.Generator, around: Neighbours, scale: float, girth: float) -> Iterator[tuple[Tissue, Shape]]:
    for shape in lungs(around.spine, scale):
        yield Tissue.LUNG, shape
    upper = around.spine[-4]
    yield Tissue.ORGAN, Ellipsoid(upper + vector(-62 * girth, -60, -20), (72 * girth, 75 * girth, 95 * scale))  # liver
    yield Tissue.ORGAN, Ellipsoid(upper + vector(88 * girth, -20, 10), (32 * scale, 42 * scale, 52 * scale))  # spleen
    for outward in (-1, 1):
        kidney = around.spine[4] + vector(outward * rng.uniform(58, 72), 12, rng.uniform(-10, 25))
        yield Tissue.ORGAN, Ellipsoid(kidney, (24 * scale, 26 * scale, 52 * scale))
    if rng.random() < 0.8:  # womb or prostate
        yield (
            Tissue.ORGAN,
            Ellipsoid(np.array([rng.normal(0, 5), 8.0, rng.uniform(0, 35)]), tuple(rng.uniform(16, 34, 3))),
        )


def _bowel(rng: np.random.Generator, girth: float) -> Iterator[tuple[Tissue, Shape]]:
    """Loops that wander through the cavity: a wall, and gas, stool or fluid in it; the rectum in the pelvis."""
    starts = [np.array([rng.normal(0, 6), rng.uniform(35, 55), rng.uniform(-15, 10)])]
    starts += [rng.uniform((-95, -95, 10), (95, -5, 330)) * (girth, 1, 1) for _ in range(int(rng.integers(10, 34)))]
    for number, start in enumerate(starts):
        heading = vector(0.0, 0.2, 1.0) if number == 0 else rng.normal(size=3)
        path = [start]
        for _ in range(int(rng.integers(4, 12))):
            heading = heading / np.linalg.norm(heading) + 0.7 * rng.normal(size=3)
            path.append(path[-1] + 24 * heading / np.linalg.norm(heading))
        lumen = rng.uniform(6, 19) * np.clip(1 + 0.3 * rng.normal(size=len(path)), 0.5, 1.7)
        for shape in rod_along(np.array(path), lumen + rng.uniform(1.5, 3.5)):
            yield Tissue.BOWEL, shape
        content = rng.choice([Tissue.GAS, Tissue.STOOL, Tissue.BOWEL], p=[0.35, 0.35, 0.3])
        if content != Tissue.BOWEL:
            for shape in rod_along(np.array(path), lumen):
                yield Tissue(int(content)), shape


def _vessels(
    rng: np.random.Generator, person: Person, around: Neighbours
) -> Iterator[tuple[Tissue, Floats, Sequence[float] | Floats]]:
    """Aorta and vena cava, which fork before the spine and follow each leg down to the calf."""
    size = person.scale * rng.uniform(0.8, 1.3)
    for tissue, across, behind, wider in ((Tissue.ARTERY, 8, 0, 1.0), (Tissue.VEIN, -14, 6, 1.25)):
        trunk = around.spine[1:] + vector(across, -26 + behind, 0)
        yield tissue, trunk[::-1], [9.0 * size * wider] * len(trunk)
        for side in SIDES:
            leg, outward = person.legs[side], 1.0 if side == "left" else -1.0
            apart = 0.0 if tissue == Tissue.ARTERY else -9.0
            inner = -leg.lateral
            groin = leg.head + vector(-outward * 4, -38 + behind, 0) + inner * -apart
            path = [
                trunk[0],
                trunk[0] * 0.45 + groin * 0.55 + vector(-outward * 12, 26, -12),
                groin,
                *(
                    leg.shaft[level] + inner * (24 - 0.6 * apart) + leg.forward * forward
                    for level, forward in ((-2, 26), (7, 14), (3, -6))
                ),
                leg.knee - leg.forward * (34 - 0.5 * apart) + 25 * leg.up,
                0.7 * leg.knee + 0.3 * leg.ankle - leg.forward * (26 - 0.5 * apart),
                0.2 * leg.knee + 0.8 * leg.ankle - leg.forward * (18 - 0.5 * apart),
            ]
            yield tissue, np.array(path), size * wider * np.array([6.5, 5.5, 4.5, 4.0, 3.5, 3.2, 2.9, 2.0, 1.5])
            deep = [groin, leg.shaft[-1] + inner * 16 + leg.forward * 4, leg.shaft[5] + inner * 6 - leg.forward * 24]
            yield tissue, np.array(deep), size * wider * np.array([3.2, 2.5, 1.5])
