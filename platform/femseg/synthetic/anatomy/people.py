"""Who lies in the scanner: bones between and a little beyond those of 26 real people, with hips seated and legs posed.

Coordinates are LPS in mm; the origin lies midway between the centres of the two hips.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from femseg.synthetic.anatomy.llp26 import PEOPLE, llp26
from femseg.synthetic.anatomy.surfaces import Surface
from femseg.synthetic.scene import LegPose, Side
from femseg.synthetic.settings import Range, SyntheticSettings

Floats = NDArray[np.float64]
Vertices = dict[str, Floats]

SIDES: tuple[Side, Side] = ("left", "right")
LEG_BONES = ("femur", "patella", "tibia", "fibula")
_APART_MM = 14.0  # least distance of one leg's bones from the other's, across


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """Where one leg's landmarks lie, as (x, y, z) in mm.

    Attributes:
        pose: as drawn.
        head, head_radius_mm: sphere through the femoral head.
        hinge: centre of the socket's sphere.
        knee, ankle: middle of the condyles, and of the tibia's lower end.
        shaft: the marrow's axis from below upwards, shape (K, 3), from above the condyles to below the trochanters.
        trochanter: top of the greater trochanter.
        lateral, forward, up: unit vectors of the femur.
    """

    pose: LegPose
    head: Floats
    head_radius_mm: float
    hinge: Floats
    knee: Floats
    ankle: Floats
    shaft: Floats
    trochanter: Floats
    lateral: Floats
    forward: Floats
    up: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Bones by name ("left_femur", "right_hip_bone", "sacrum" …) and the legs' landmarks.

    Attributes:
        people, scale, elastic_mm: as in `SceneFacts`.
    """

    bones: Mapping[str, Surface]
    legs: Mapping[Side, Leg]
    people: tuple[float, ...]
    scale: float
    elastic_mm: float


def person(settings: SyntheticSettings, index: int) -> Person:
    """The cohort's person of this number. Raises: Refusal if LLP26 cannot be read."""
    rng = np.random.default_rng((settings.seed, index, 0))
    weights = _mixture(rng, settings.beyond)
    scale, in_mirror = float(rng.uniform(*settings.scale)), rng.random() < 0.5
    bones = {name: scale * np.tensordot(weights, bone.vertices_mm, 1) for name, bone in llp26().items()}
    hinges = {side: _socket(bones, side) for side in SIDES}
    poses = {side: _pose(rng, settings) for side in SIDES}
    placed = _uncrossed(bones, hinges, poses)
    middle = (hinges["left"] + hinges["right"]) / 2
    tilt = _rotation(*rng.normal(0, 4, 3))
    placed = {name: (vertices - middle) @ tilt.T for name, vertices in placed.items()}
    elastic_mm = float(rng.uniform(*settings.elastic_mm))
    placed = _deformed(rng, placed, elastic_mm)
    faces = {name: _faces(name) for name in placed}
    for side in SIDES:
        if rng.random() < settings.osteophytes:
            _grow_osteophytes(rng, placed, faces, side)
        _close_gap(placed, side, poses[side].gap_mm)
    legs = {side: _leg(placed, side, poses[side]) for side in SIDES}
    surfaces = {name: Surface(vertices, faces[name]) for name, vertices in placed.items()}
    who = Person(surfaces, legs, tuple(weights.tolist()), scale, elastic_mm)
    return _mirrored(who) if in_mirror else who


def _mixture(rng: np.random.Generator, beyond: Range) -> Floats:
    """Weights of the 26 people: few real ones mixed, then drawn away from the mean or towards it."""
    factor = rng.uniform(*beyond)
    return np.asarray(factor * rng.dirichlet(np.full(PEOPLE, 0.08)) + (1 - factor) / PEOPLE)


def _mirrored(who: Person) -> Person:
    """The person in a mirror."""
    flip = np.array([-1.0, 1.0, 1.0])
    other = {"left": "right", "right": "left"}

    def turned(name: str) -> str:
        side, _, bone = name.partition("_")
        return f"{other[side]}_{bone}" if bone else name

    bones = {turned(name): Surface(b.vertices_mm * flip, b.faces[:, ::-1]) for name, b in who.bones.items()}
    legs: dict[Side, Leg] = {}
    for side, leg in zip(SIDES, (who.legs["right"], who.legs["left"]), strict=True):
        points = {f.name: getattr(leg, f.name) * flip for f in fields(leg) if f.name not in ("pose", "head_radius_mm")}
        legs[side] = replace(leg, **points)
    return replace(who, bones=bones, legs=legs)


def _pose(rng: np.random.Generator, settings: SyntheticSettings) -> LegPose:
    """Mostly near the middle of what people do on a table, now and then near the ends of the ranges."""

    def angle(bounds: Range, usual: float) -> float:
        low, high = bounds
        return low if low == high else float(rng.triangular(low, min(max(usual, low), high), high))

    touches = rng.random() < settings.touching
    return LegPose(
        flexion_deg=angle(settings.flexion_deg, 2.0),
        abduction_deg=angle(settings.abduction_deg, 3.0),
        rotation_deg=angle(settings.rotation_deg, 6.0),
        knee_flexion_deg=angle(settings.knee_flexion_deg, 2.0),
        gap_mm=0.0 if touches else float(rng.uniform(*settings.gap_mm)),
    )


def fitted_sphere(points: Floats) -> tuple[Floats, float]:
    """Centre and radius of the sphere that fits points (N, 3) best, by linear least squares."""
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(matrix, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


@dataclass(frozen=True, slots=True, eq=False)
class _Landmarks:
    """Vertices that have a meaning; found on the mean person, and the same of all."""

    head: NDArray[np.int64]
    socket: Mapping[Side, NDArray[np.int64]]
    condyles: NDArray[np.int64]
    trochanter: int
    shaft: tuple[NDArray[np.int64], ...]
    ankle: NDArray[np.int64]


@functools.cache
def _landmarks() -> _Landmarks:
    means = {name: bone.vertices_mm.mean(axis=0) for name, bone in llp26().items()}
    femur = means["femur"]
    up = femur[:, 2] - femur[:, 2].min()
    length = up.max()
    upper = np.median(femur[up > length - 60, 0])
    centre, radius = fitted_sphere(femur[(up > length - 35) & (femur[:, 0] < upper - 5)])
    head = np.arange(0)
    for _ in range(20):
        off = np.linalg.norm(femur - centre, axis=1) - radius
        head = np.flatnonzero(np.abs(off) < 1.0)
        centre, radius = fitted_sphere(femur[head])
    levels = np.linspace(0.18, 0.74, 13) * length
    lateral = np.flatnonzero(femur[:, 0] > centre[0] + 1.2 * radius)
    return _Landmarks(
        head=head,
        socket={side: _socket_vertices(means, side, centre, radius) for side in SIDES},
        condyles=np.flatnonzero(up < 45),
        trochanter=int(lateral[femur[lateral, 2].argmax()]),
        shaft=tuple(np.flatnonzero(np.abs(up - level) < 9) for level in levels),
        ankle=np.flatnonzero(means["tibia"][:, 2] < means["tibia"][:, 2].min() + 20),
    )


def _socket_vertices(means: Vertices, side: Side, centre: Floats, radius: float) -> NDArray[np.int64]:
    """The vertices of a hip bone on the socket's sphere, looked for about the head."""
    hip_bone = means[f"{side}_hip_bone"]
    if side == "right":
        centre = centre * (-1, 1, 1) + (2 * means["sacrum"][:, 0].mean(), 0, 0)
    radius += 2
    socket = np.arange(0)
    for _ in range(20):
        socket = np.flatnonzero(np.abs(np.linalg.norm(hip_bone - centre, axis=1) - radius) < 2.0)
        centre, radius = fitted_sphere(hip_bone[socket])
    return socket


def _socket(bones: Vertices, side: Side) -> Floats:
    return fitted_sphere(bones[f"{side}_hip_bone"][_landmarks().socket[side]])[0]


def _rotation(about_x: float, about_y: float, about_z: float) -> Floats:
    """Rotation by degrees about z first, then y, then x."""
    (cx, sx), (cy, sy), (cz, sz) = (
        (math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (about_x, about_y, about_z)
    )
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(turn_x @ turn_y @ turn_z)


def _posed_leg(bones: Vertices, side: Side, hinge: Floats, pose: LegPose) -> Vertices:
    """One leg with its head in the socket: the knee bent first, then all of it turned about the hinge.

    A right leg is a left one in a mirror.
    """
    mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    marks = _landmarks()
    knee = bones["femur"][marks.condyles].mean(axis=0)
    head = fitted_sphere(bones["femur"][marks.head])[0]
    bend = {"tibia": 1.0, "fibula": 1.0, "patella": 0.6}  # the patella glides after
    turn = _rotation(-pose.flexion_deg, -pose.abduction_deg, pose.rotation_deg)
    posed = {}
    for name in LEG_BONES:
        bent = (bones[name] - knee) @ _rotation(bend.get(name, 0.0) * pose.knee_flexion_deg, 0, 0).T + knee
        posed[f"{side}_{name}"] = ((bent - head) @ turn.T) * mirror + hinge
    return posed


def _uncrossed(bones: Vertices, hinges: Mapping[Side, Floats], poses: dict[Side, LegPose]) -> Vertices:
    """All bones in place; legs that would meet are drawn apart, and their poses in `poses` corrected."""
    trunk = {name: vertices for name, vertices in bones.items() if name not in LEG_BONES}
    while True:
        left, right = (_posed_leg(bones, side, hinges[side], poses[side]) for side in SIDES)
        if _clearance_mm(np.concatenate(list(left.values())), np.concatenate(list(right.values()))) > _APART_MM:
            return trunk | left | right
        for side in SIDES:
            poses[side] = replace(poses[side], abduction_deg=poses[side].abduction_deg + 2.0)


def _clearance_mm(left: Floats, right: Floats) -> float:
    """Least distance across of two legs, over all heights."""
    heights = np.arange(min(left[:, 2].min(), right[:, 2].min()), max(left[:, 2].max(), right[:, 2].max()), 10.0)
    inner_left, inner_right = np.full(len(heights), np.inf), np.full(len(heights), -np.inf)
    np.minimum.at(inner_left, np.searchsorted(heights, left[:, 2]) - 1, left[:, 0])
    np.maximum.at(inner_right, np.searchsorted(heights, right[:, 2]) - 1, right[:, 0])
    return float((inner_left - inner_right).min())


def _deformed(rng: np.random.Generator, bones: Vertices, largest_mm: float) -> Vertices:
    """All bones moved by one smooth field, of which the largest displacement is given."""
    step_mm = 90.0
    every = np.concatenate(list(bones.values()))
    first = every.min(axis=0) - 2 * step_mm
    shape = np.ceil((every.max(axis=0) - first) / step_mm).astype(int) + 3
    knots = rng.normal(size=(3, *shape))
    places = ((every - first) / step_mm).T
    moved = np.stack([map_coordinates(axis, places, order=3, mode="nearest") for axis in knots], axis=-1)
    moved *= largest_mm / np.linalg.norm(moved, axis=1).max()
    ends = np.cumsum([len(vertices) for vertices in bones.values()])[:-1]
    return dict(zip(bones, np.split(every + moved, ends), strict=True))


def _faces(name: str) -> NDArray[np.int64]:
    """Faces of a bone, turned where the bone is a mirror image."""
    side, _, bone = name.partition("_")
    if bone in LEG_BONES:
        faces = llp26()[bone].faces
        return faces if side == "left" else faces[:, ::-1]
    return llp26()[name].faces


def _grow_osteophytes(
    rng: np.random.Generator, bones: Vertices, faces: Mapping[str, NDArray[np.int64]], side: Side
) -> None:
    """Bumps about the joint: on the border of the head, and on the rim of the socket."""
    head, radius = fitted_sphere(bones[f"{side}_femur"][_landmarks().head])
    for name, nearest, furthest in ((f"{side}_femur", 0.0, 1.35), (f"{side}_hip_bone", 1.1, 1.6)):
        vertices = bones[name]
        away = np.linalg.norm(vertices - head, axis=1) / radius
        border = np.flatnonzero((away > nearest) & (away < furthest) & (np.abs(away - 1) > 0.04))
        normals = Surface(vertices, faces[name]).normals()
        for centre in rng.choice(border, size=min(len(border), int(rng.integers(2, 8))), replace=False):
            squared = ((vertices - vertices[centre]) ** 2).sum(axis=1)
            bump = rng.uniform(1.0, 4.5) * np.exp(-0.5 * squared / rng.uniform(2.5, 6.0) ** 2)
            bones[name] = bones[name] + bump[:, None] * normals[centre]


def _close_gap(bones: Vertices, side: Side, gap_mm: float) -> None:
    """Move a leg towards its socket where the two are further apart than they shall be.

    Where they are nearer, the hip bone is carved when voxels are made.
    """
    femur, hip_bone = bones[f"{side}_femur"], bones[f"{side}_hip_bone"]
    normals = Surface(femur, _faces(f"{side}_femur")).normals()
    for _ in range(3):  # the nearest place changes a little with each move
        distance, nearest = cKDTree(femur).query(hip_bone)
        height = np.einsum("ij,ij->i", hip_bone - femur[nearest], normals[nearest])
        if (height[distance < 15.0] < 0).any() or distance.min() <= gap_mm:
            return
        closest = int(distance.argmin())
        towards = (hip_bone[closest] - femur[nearest[closest]]) * (1 - gap_mm / distance[closest])
        for name in LEG_BONES:
            bones[f"{side}_{name}"] = bones[f"{side}_{name}"] + towards
        femur = bones[f"{side}_femur"]


def _leg(bones: Vertices, side: Side, pose: LegPose) -> Leg:
    marks, femur = _landmarks(), bones[f"{side}_femur"]
    head, radius = fitted_sphere(femur[marks.head])
    condyles = femur[marks.condyles]
    knee = condyles.mean(axis=0)
    shaft = np.array([femur[ring].mean(axis=0) for ring in marks.shaft])
    up = _unit(shaft[-1] - shaft[0])
    lateral = _unit(femur[marks.trochanter] - head)
    lateral = _unit(lateral - (lateral @ up) * up)
    forward = np.cross(lateral, up) if side == "left" else np.cross(up, lateral)
    return Leg(
        pose=pose,
        head=head,
        head_radius_mm=radius,
        hinge=_socket(bones, side),
        knee=knee,
        ankle=bones[f"{side}_tibia"][marks.ankle].mean(axis=0),
        shaft=shaft,
        trochanter=femur[marks.trochanter],
        lateral=lateral,
        forward=forward,
        up=up,
    )


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
