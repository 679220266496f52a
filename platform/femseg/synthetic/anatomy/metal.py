"""Implants: nails, plates and screws in a femur, and hip prostheses, which take its head away."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from femseg.synthetic.anatomy.people import SIDES, Floats, Leg, Person
from femseg.synthetic.anatomy.shapes import Block, Bowl, Ellipsoid, RoundCone, Shape, frame_about, rod_along
from femseg.synthetic.scene import Metal, Side

KINDS: tuple[Metal, ...] = ("nail", "plate", "screws", "arthroplasty")


@dataclass(frozen=True, slots=True, eq=False)
class Implant:
    """What was put in, and what was taken away for it.

    Attributes:
        metal: solids of metal.
        liner: the plastic between cup and ball.
        cut: a point of the plane above which the femur was sawn off, and the plane's upward normal.
        reamed: the ball of the pelvis that was milled out: centre and radius.
    """

    kind: Metal
    side: Side
    metal: list[Shape]
    liner: list[Shape] = field(default_factory=list)
    cut: tuple[Floats, Floats] | None = None
    reamed: tuple[Floats, float] | None = None


def drawn_implant(rng: np.random.Generator, share: float, person: Person) -> Implant | None:
    """An implant in one femur, or none."""
    if rng.random() >= share:
        return None
    side, kind = SIDES[int(rng.integers(2))], KINDS[int(rng.integers(len(KINDS)))]
    leg, scale = person.legs[side], person.scale
    if kind == "nail":
        return Implant(kind, side, _nail(rng, leg, scale))
    if kind == "plate":
        return Implant(kind, side, _plate(rng, person, side))
    if kind == "screws":
        return Implant(kind, side, _neck_screws(rng, leg, int(rng.integers(1, 4))))
    return _arthroplasty(rng, leg, side, scale)


def _neck_base(leg: Leg) -> Floats:
    """Where the neck's axis meets the shaft's, somewhat below the height of the head's centre."""
    below = 1.65 * leg.head_radius_mm
    return np.asarray(leg.shaft[-1] + ((leg.head - leg.shaft[-1]) @ leg.up - below) * leg.up)


def _into_head(leg: Leg, offset: Floats, radius_mm: float) -> RoundCone:
    """A screw from the outer side of the shaft through the neck towards the top of the head."""
    neck = leg.head - _neck_base(leg)
    entry = leg.head - 1.4 * neck + offset
    return RoundCone(
        entry, leg.head + 0.45 * leg.head_radius_mm * neck / np.linalg.norm(neck) + offset, radius_mm, radius_mm
    )


def _nail(rng: np.random.Generator, leg: Leg, scale: float) -> list[Shape]:
    """Down the marrow from the top of the trochanter, with a screw into the head and one or two at its lower end."""
    last = int(rng.integers(1, len(leg.shaft) - 4)) if rng.random() < 0.6 else len(leg.shaft) - 5
    path = np.array([*leg.shaft[last:], leg.trochanter + rng.normal(0, 4, 3) - 6 * leg.lateral])
    thin, thick = scale * rng.uniform(4.5, 6.0), scale * rng.uniform(6.5, 8.5)
    metal = rod_along(path, [*np.linspace(thin, thin + 0.5, len(path) - 2), thick, thick])
    metal.append(_into_head(leg, np.zeros(3), rng.uniform(3.5, 5.5)))
    for up in (12.0, 32.0)[: int(rng.integers(1, 3))]:
        at = leg.shaft[last] + up * leg.up
        metal.append(RoundCone(at - 20 * leg.lateral, at + 22 * leg.lateral, 2.5, 2.5))
    return metal


def _plate(rng: np.random.Generator, person: Person, side: Side) -> list[Shape]:
    """On the outer side of the shaft, held by screws; a sliding screw into the head now and then."""
    leg = person.legs[side]
    upper = bool(rng.random() < 0.7)
    lower = int(rng.integers(3, 9)) if upper else 0
    levels = leg.shaft[lower:] if upper else leg.shaft[: int(rng.integers(5, 10))]
    femur = person.bones[f"{side}_femur"].vertices_mm
    surface = []
    for level in levels:
        ring = femur[np.abs((femur - level) @ leg.up) < 9] - level
        surface.append(level + leg.lateral * (ring @ leg.lateral).max())
    thick, wide = rng.uniform(1.8, 3.0), rng.uniform(6, 9)
    metal: list[Shape] = []
    for start, end in pairwise(surface):
        middle = (start + end) / 2 + leg.lateral * thick
        frame = frame_about(end - start, leg.lateral)
        metal.append(Block(middle, (thick, wide, float(np.linalg.norm(end - start)) / 2 + 1), frame))
    radius = rng.uniform(1.8, 2.6)
    for at, level in zip(surface, levels, strict=True):
        metal.append(RoundCone(at + leg.lateral * thick, level - leg.lateral * rng.uniform(8, 16), radius, radius))
    return [*metal, _into_head(leg, np.zeros(3), rng.uniform(3.5, 6.0))] if upper else metal


def _neck_screws(rng: np.random.Generator, leg: Leg, count: int) -> list[Shape]:
    radius = rng.uniform(2.2, 3.6)
    offsets = ((0, 7), (6, -5), (-6, -5)) if count > 1 else ((0, 0),)
    return [_into_head(leg, a * leg.forward + b * leg.up, radius) for a, b in offsets[:count]]


def _arthroplasty(rng: np.random.Generator, leg: Leg, side: Side, scale: float) -> Implant:
    """Cup, liner, ball, neck and stem; with half of the cups left out (hemiarthroplasty) the ball fills the socket."""
    outward = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
    neck = _neck_base(leg) - leg.head
    opening = outward * 0.7 + np.array([0, -0.25, -0.65])
    opening /= np.linalg.norm(opening)
    resection = leg.head + 0.42 * neck
    normal = leg.head - resection
    stem = [resection, leg.shaft[-1], *leg.shaft[-2 : -int(rng.integers(5, 8)) : -1]]
    metal = rod_along(np.array(stem), scale * np.linspace(rng.uniform(7, 9), rng.uniform(3.5, 5), len(stem)))
    metal.append(RoundCone(stem[0], leg.head, 5.5, 6.0))
    liner: list[Shape] = []
    reamed = None
    if rng.random() < 0.75:
        outer = leg.head_radius_mm + rng.uniform(1.5, 5)
        ball = rng.choice([11.0, 14.0, 16.0, 18.0])
        wall = rng.uniform(2.5, 5.0)
        metal += [Bowl(leg.head, outer, outer - wall, opening), Ellipsoid(leg.head, (ball, ball, ball))]
        liner.append(Bowl(leg.head, outer - wall, ball, opening))
        reamed = (leg.head, outer)
    else:
        ball = leg.head_radius_mm
        metal.append(Ellipsoid(leg.head, (ball, ball, ball)))
    return Implant("arthroplasty", side, metal, liner, (resection, normal / np.linalg.norm(normal)), reamed)
