"""Bones that LLP26 does not have, put together from simple solids: spine, ribs, and hands upon the thighs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from femseg.synthetic.anatomy.people import SIDES, Floats, Person
from femseg.synthetic.anatomy.shapes import Block, Ellipsoid, RoundCone, Shape, frame_about, rod_along, vector
from femseg.synthetic.scene import Side, Tissue

VERTEBRAE = 12  # from the fifth lumbar one upwards


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Solids of bone with their tissue, and what goes with them.

    Attributes:
        bones: each with what it is.
        discs: of the spine, of cartilage.
        flesh: about the bones of a hand.
        spine: middle of each vertebral body from below upwards, shape (K, 3).
    """

    bones: list[tuple[Tissue, Shape]]
    discs: list[Shape]
    flesh: list[Shape]
    spine: Floats


def neighbours(rng: np.random.Generator, person: Person) -> Neighbours:
    """What stands beside the bones of LLP26."""
    spine, discs, middles = _spine(rng, person)
    bones: list[tuple[Tissue, Shape]] = [(Tissue.SPINE, shape) for shape in spine]
    bones += [(Tissue.RIB, shape) for shape in _ribs(rng, middles[5:], person.scale)]
    flesh: list[Shape] = []
    for side in SIDES:
        if rng.random() < 0.12:
            hand = list(_hand(rng, person, side))
            bones += [(Tissue.HAND, shape) for shape in hand]
            flesh += [RoundCone(s.start, s.end, s.start_radius_mm + 7, s.end_radius_mm + 6) for s in hand]
    return Neighbours(bones, discs, flesh, middles)


def _spine(rng: np.random.Generator, person: Person) -> tuple[list[Shape], list[Shape], Floats]:
    """Vertebrae with their processes upon the sacrum, which lean forward first and then back."""
    sacrum = person.bones["sacrum"].vertices_mm
    plateau = sacrum[sacrum[:, 2] > sacrum[:, 2].max() - 14].mean(axis=0)
    front = sacrum[sacrum[:, 2] > sacrum[:, 2].max() - 40]
    at = plateau + vector(0, 0.5 * (front[:, 1].min() - plateau[1]), 4)
    bones: list[Shape] = []
    discs: list[Shape] = []
    middles = []
    lean, across = rng.uniform(-0.35, -0.15), rng.normal(0, 0.03)
    width, deep, high = person.scale * rng.uniform((22, 15, 12), (27, 19, 14.5))
    disc = rng.uniform(5, 12) * person.scale
    for number in range(VERTEBRAE):
        size = 1 - 0.022 * number
        up = np.array([across + rng.normal(0, 0.02), lean, 1.0])
        frame = frame_about(up, np.array([1.0, 0.0, 0.0]))
        up = frame[2]
        discs.append(Block(at + up * disc / 2, (width * size, deep * size, disc / 2), frame, drum=True))
        middle = at + up * (disc + high * size)
        bones += _vertebra(rng, middle, frame, (width * size, deep * size, high * size))
        middles.append(middle)
        at = middle + up * high * size
        lean += rng.uniform(0.03, 0.09)
    return bones, discs, np.array(middles)


def _vertebra(
    rng: np.random.Generator, middle: Floats, frame: Floats, halves_mm: tuple[float, float, float]
) -> Iterator[Shape]:
    """Body with lipped ends, pedicles, arch, spinous and transverse processes, and joints."""
    side, back, up = frame
    width, deep, high = halves_mm
    yield Block(middle, (0.9 * width, 0.9 * deep, high), frame, drum=True)
    for end in (-0.8, 0.8):
        yield Block(middle + end * high * up, (width, deep, 0.2 * high), frame, drum=True)
    arch = middle + back * (deep + 17) + up * 2
    yield RoundCone(arch, arch + back * rng.uniform(20, 30) - up * rng.uniform(4, 14), 4.5, 4.0)
    for outward in (-1, 1):
        joint = middle + side * outward * 16 + back * (deep + 11)
        yield RoundCone(middle + side * outward * 13 + back * 0.8 * deep + up * 4, joint, 5.5, 5.5)
        yield RoundCone(joint, arch, 4.5, 4.5)
        yield RoundCone(joint + up * 12, joint - up * 14, 5.5, 6.0)
        yield RoundCone(joint, joint + side * outward * rng.uniform(18, 30) + back * 3, 4.0, 2.5)


def _ribs(rng: np.random.Generator, middles: Floats, scale: float) -> Iterator[Shape]:
    """Curved rods from the thoracic vertebrae round the chest, which slope downwards."""
    wide, deep = scale * rng.uniform(115, 140), scale * rng.uniform(80, 100)
    for number, middle in enumerate(middles):
        reach = np.linspace(0, np.pi * min(0.9, 0.3 + 0.12 * number), 9)  # the lowest ribs end early
        radius = scale * rng.uniform(4.0, 5.5)
        for outward in (-1, 1):
            points = middle + np.column_stack(
                [
                    outward * (20 + (wide - 20) * np.sin(reach)),
                    20 - deep * (1 - np.cos(reach)),
                    -70 * (reach / np.pi) ** 1.2,
                ]
            )
            yield from rod_along(points, [radius] * len(points))


def _hand(rng: np.random.Generator, person: Person, side: Side) -> Iterator[RoundCone]:
    """Forearm, wrist and fingers: beside the thigh, or upon it."""
    leg = person.legs[side]
    outward = 1.0 if side == "left" else -1.0
    upon = rng.random() < 0.4
    away = np.array([outward * rng.uniform(-10, 30), -rng.uniform(115, 135), 0.0]) if upon else np.array(
        [outward * rng.uniform(125, 160), rng.uniform(-30, 30), 0.0]
    )  # fmt: skip
    wrist = leg.head + away + vector(0, 0, rng.uniform(-60, 60))
    along = np.array([rng.normal(0, 0.15), rng.normal(0, 0.08), -1.0])
    along /= np.linalg.norm(along)
    across = np.array([1.0, 0.0, 0.0]) if upon else np.array([0.15, 1.0, 0.0])
    for offset, radius in ((-14, 6.5), (14, 5.5)):  # radius and ulna
        start = wrist - along * 230 + across * 0.7 * offset
        yield RoundCone(start, wrist + across * offset * 0.9, radius, radius + 2.5)
    for finger in np.linspace(-1.5, 1.5, 4):
        knuckle = wrist + along * (82 - 4 * finger**2) + across * 17 * finger
        yield RoundCone(wrist + along * 14 + across * 11 * finger, wrist + along * 24 + across * 11 * finger, 7, 7)
        yield RoundCone(wrist + along * 28 + across * 11 * finger, knuckle, 4.0, 4.5)
        tip = knuckle + along * rng.uniform(30, 42)
        yield RoundCone(knuckle + along * 6, tip, 4.0, 3.2)
        yield RoundCone(tip + along * 5, tip + along * 24, 3.2, 2.6)
    thumb = wrist + across * 30 + along * 45
    yield RoundCone(wrist + across * 20 + along * 10, thumb, 4.5, 4.0)
    yield RoundCone(thumb + along * 5, thumb + along * 30 + across * 6, 3.8, 3.0)


def lungs(spine: Floats, scale: float) -> list[Shape]:
    """Both lungs, beside the upper half of the spine that is there."""
    top = spine[-1]
    return [
        Ellipsoid(top + vector(outward * 62 * scale, -55 * scale, 40), (48 * scale, 72 * scale, 150.0))
        for outward in (-1, 1)
    ]
