"""One synthetic person in one field of view, made into a `Scene`: what lies where on a grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.synthetic.anatomy.axes import Axes, Box, carried
from femseg.synthetic.anatomy.field_of_view import drawn_field_of_view
from femseg.synthetic.anatomy.metal import Implant, drawn_implant
from femseg.synthetic.anatomy.neighbours import Neighbours, neighbours
from femseg.synthetic.anatomy.people import SIDES, Leg, Person, person
from femseg.synthetic.anatomy.shapes import union_mm
from femseg.synthetic.anatomy.soft_tissue import SoftTissue, soft_tissue
from femseg.synthetic.anatomy.surfaces import FAR_MM, SignedDistance, inside_any
from femseg.synthetic.scene import (
    ALONG,
    BONE_MM,
    CHANNELS,
    FEMUR_MM,
    NEUTRAL,
    STEP_MM,
    TISSUE,
    TRABECULAE,
    FieldOfView,
    Scene,
    SceneFacts,
    Tissue,
    distance_codes,
)
from femseg.synthetic.settings import SyntheticSettings
from femseg.volumes.grid import VoxelGrid

Bytes = NDArray[np.uint8]

_LATTICE_MM = 5.0  # of what is smooth
_DISTANCES_MM = 4.0  # lattice of distances far from bones
_AROUND_MM = 40.0  # how far both reach beyond the field of view
_PARTS_MM = 8.0  # how far around the bones without a mesh their distance is told exactly
_OF_CAVITY = (Tissue.GAS, Tissue.STOOL, Tissue.BOWEL, Tissue.BLADDER, Tissue.ORGAN, Tissue.LUNG)
_OF_LEG = {"femur": Tissue.FEMUR, "patella": Tissue.PATELLA, "tibia": Tissue.TIBIA, "fibula": Tissue.FIBULA}


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """A person with all that was drawn, before any voxel is made.

    Attributes:
        box: what is scanned; the outermost voxels' edges touch its lowest corner.
        cartilage_mm: how far it reaches from the bones of a joint.
        knee_gap_mm: least distance of a femur from the bones below it.
    """

    index: int
    person: Person
    around: Neighbours
    implant: Implant | None
    field_of_view: FieldOfView
    box: Box
    cartilage_mm: float
    knee_gap_mm: float


def patient(settings: SyntheticSettings, index: int) -> Patient:
    """All that settings, seed and number decide. Raises: Refusal, as `scene`."""
    who = person(settings, index)
    implants, scans, others, joints = (np.random.default_rng((settings.seed, index, use)) for use in (1, 2, 3, 4))
    name, box = drawn_field_of_view(scans, settings.fields_of_view, who)
    return Patient(
        index=index,
        person=who,
        around=neighbours(others, who),
        implant=drawn_implant(implants, settings.metal, who),
        field_of_view=name,
        box=box,
        cartilage_mm=float(joints.uniform(1.5, 4.0)),
        knee_gap_mm=float(joints.uniform(0.8, 3.0)),
    )


def scene(settings: SyntheticSettings, index: int, spacing_mm_zyx: tuple[float, float, float]) -> Scene:
    """The cohort's person of this number as scanned, on a grid of any spacing.

    Person, pose, implant and field of view follow from the settings' seed and the index alone.

    Raises: Refusal CFG-02 if the shapes' wheel is not installed; SC-01 if its statistics are more than arrays.
    """
    return scene_of(patient(settings, index), settings.seed, spacing_mm_zyx)


def scene_of(patient: Patient, seed: int, spacing_mm_zyx: tuple[float, float, float]) -> Scene:
    """A drawn patient on a grid; the seed draws the soft tissue."""
    grid = _grid(patient.box, spacing_mm_zyx)
    axes = Axes.of_grid(grid)
    reach = patient.box[0] - _AROUND_MM, patient.box[1] + _AROUND_MM
    fine = Axes.lattice(reach, _DISTANCES_MM)
    bones = patient.person.bones
    femora = SignedDistance([bones[f"{side}_femur"] for side in SIDES], fine)
    others = SignedDistance([bone for name, bone in bones.items() if not name.endswith("femur")], fine)
    solids = [shape for _, shape in patient.around.bones]
    np.maximum(others.lattice_mm, union_mm(solids, fine, margin_mm=FAR_MM, outside_mm=-FAR_MM), out=others.lattice_mm)
    fields = np.zeros((len(CHANNELS), *axes.shape), dtype=np.uint8)
    labels = np.zeros(axes.shape, dtype=np.uint8)
    _put_soft_tissue(fields[TISSUE], axes, *_soft_tissue(seed, patient, femora, others))
    _put_distances(fields, labels, axes, patient, femora, others)
    _put_bones(fields, labels, axes, patient)
    _put_implant(fields, labels, axes, patient.implant)
    for side, label in zip(SIDES, (1, 2), strict=True):
        _put_along(fields, labels == label, axes, patient.person, patient.person.legs[side], label)
    return Scene(grid=grid, fields_czyx=fields, femora_zyx=labels, facts=_facts(patient))


def _grid(box: Box, spacing_mm_zyx: tuple[float, float, float]) -> VoxelGrid:
    """The grid that fills a box from its lowest corner."""
    spacing = np.array(spacing_mm_zyx[::-1])
    x, y, z = np.maximum(np.rint((box[1] - box[0]) / spacing), 1).astype(int).tolist()
    origin = (box[0] + spacing / 2).tolist()
    return VoxelGrid(
        shape_zyx=(z, y, x), spacing_mm_zyx=spacing_mm_zyx, origin_mm_xyz=(origin[0], origin[1], origin[2])
    )


def _soft_tissue(
    seed: int, patient: Patient, femora: SignedDistance, others: SignedDistance
) -> tuple[SoftTissue, Axes]:
    """Soft tissue on a lattice that covers what is scanned."""
    lattice = Axes.lattice((patient.box[0] - _AROUND_MM, patient.box[1] + _AROUND_MM), _LATTICE_MM)
    bones_mm = carried(np.maximum(femora.lattice_mm, others.lattice_mm), femora.lattice, lattice)
    rng = np.random.default_rng((seed, patient.index, 5))
    return soft_tissue(rng, patient.person, patient.around, bones_mm, lattice), lattice


def _put_soft_tissue(tissue: Bytes, axes: Axes, around: SoftTissue, lattice: Axes) -> None:
    for slab in axes.slabs():
        tissue[slab] = around.tissue(lattice, axes.part(slab))
    for kind, shape in around.solids:
        box = axes.within(shape.box)
        if tissue[box].size:
            within = shape.signed_mm(*axes.part(box).open()) > 0
            if kind in _OF_CAVITY:
                within &= carried(around.cavity_mm, lattice, axes.part(box)) > 0
            tissue[box][within & (tissue[box] >= Tissue.FAT)] = kind


def _put_distances(
    fields: Bytes, labels: Bytes, axes: Axes, patient: Patient, femora: SignedDistance, others: SignedDistance
) -> None:
    """Both distances, other bones carved where a femur is nearer than the joint's gap, and the femora's labels."""
    bones = patient.person.bones
    rest = [bone for name, bone in bones.items() if not name.endswith("femur")]
    for slab in axes.slabs():
        part = axes.part(slab)
        left, right = (inside_any([bones[f"{side}_femur"]], part) for side in SIDES)
        labels[slab][left], labels[slab][right] = 1, 2
        femur_mm = femora.at(part, left | right)
        bone_mm = others.at(part, inside_any(rest, part))
        solids = [shape for _, shape in patient.around.bones]
        np.maximum(bone_mm, union_mm(solids, part, margin_mm=_PARTS_MM, outside_mm=-FAR_MM), out=bone_mm)
        np.minimum(bone_mm, -femur_mm - _gap_mm(part, patient), out=bone_mm)
        fields[FEMUR_MM][slab], fields[BONE_MM][slab] = distance_codes(femur_mm), distance_codes(bone_mm)


def _gap_mm(axes: Axes, patient: Patient) -> NDArray[np.float32]:
    """The gap that a femur shall keep: the hip's above the middle of the thigh, the knee's below."""
    x, _, z = axes.open()
    legs = patient.person.legs
    middle = {side: (legs[side].head[2] + legs[side].knee[2]) / 2 for side in SIDES}
    left, right = (np.where(z > middle[side], legs[side].pose.gap_mm, patient.knee_gap_mm) for side in SIDES)
    return np.where(x > 0, left, right).astype(np.float32)


def _put_bones(fields: Bytes, labels: Bytes, axes: Axes, patient: Patient) -> None:
    """Flesh of hands, discs, cartilage, then bones by name."""
    tissue, is_bone = fields[TISSUE], fields[BONE_MM] >= NEUTRAL
    for shape in patient.around.discs:
        box = axes.within(shape.box)
        within = shape.signed_mm(*axes.part(box).open()) > 0
        tissue[box][within & (tissue[box] >= Tissue.FAT)] = Tissue.CARTILAGE
    near = np.uint8(NEUTRAL - np.ceil(patient.cartilage_mm / STEP_MM))
    tissue[(fields[FEMUR_MM] > near) & (fields[BONE_MM] > near)] = Tissue.CARTILAGE
    for kind, shape in patient.around.bones:
        box = axes.within(shape.box)
        within = shape.signed_mm(*axes.part(box).open()) > 0
        tissue[box][within & is_bone[box]] = kind
    for name, bone in patient.person.bones.items():
        kind = _OF_LEG.get(name.partition("_")[2], Tissue.SACRUM if name == "sacrum" else Tissue.PELVIS)
        if kind is not Tissue.FEMUR:
            box = axes.within(bone.box)
            tissue[box][inside_any([bone], axes.part(box)) & is_bone[box]] = kind
    tissue[labels > 0] = Tissue.FEMUR


def _put_implant(fields: Bytes, labels: Bytes, axes: Axes, implant: Implant | None) -> None:
    """Bone that was sawn off or milled out becomes muscle, which holds the joint then; metal lies in what is left."""
    if implant is None:
        return
    tissue = fields[TISSUE]
    x, y, z = axes.open()
    if implant.cut is not None:
        (px, py, pz), (nx, ny, nz) = implant.cut
        below = (np.float32(px) - x) * nx + (np.float32(py) - y) * ny + (np.float32(pz) - z) * nz
        own = labels == (1 if implant.side == "left" else 2)
        _cut(fields[FEMUR_MM], below, own)
        sawn = own & (fields[FEMUR_MM] < NEUTRAL)
        labels[sawn], tissue[sawn] = 0, Tissue.MUSCLE
    if implant.reamed is not None:
        (cx, cy, cz), radius = implant.reamed
        away = np.sqrt((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2 + (z - np.float32(cz)) ** 2) - radius
        milled = (fields[BONE_MM] >= NEUTRAL) & (away < 0)
        _cut(fields[BONE_MM], away, away < 8.0)
        tissue[milled] = Tissue.MUSCLE
    for shapes, kind in ((implant.liner, Tissue.FAT), (implant.metal, Tissue.METAL)):
        for shape in shapes:
            box = axes.within(shape.box)
            within = shape.signed_mm(*axes.part(box).open()) > 0
            tissue[box][within & (tissue[box] >= Tissue.FAT)] = kind


def _cut(codes: Bytes, inside_mm: NDArray[np.floating], where: NDArray[np.bool_]) -> None:
    """Take away what lies outside of another solid, given its signed distance."""
    codes[where] = np.minimum(codes[where], distance_codes(np.broadcast_to(inside_mm, codes.shape)[where]))


def _put_along(fields: Bytes, own: NDArray[np.bool_], axes: Axes, who: Person, leg: Leg, label: int) -> None:
    """Place along a femur and density of its spongiosa, in and near it."""
    femur = who.bones["left_femur" if label == 1 else "right_femur"]
    box = axes.within(femur.box, FAR_MM)
    near = fields[FEMUR_MM][box] > 0
    if not near.any():
        return
    x, y, z = (c - np.float32(m) for c, m in zip(axes.part(box).open(), leg.head, strict=True))
    axis = leg.head - leg.knee
    axis = axis / np.linalg.norm(axis)
    height = (femur.vertices_mm - leg.head) @ axis
    place = (x * axis[0] + y * axis[1] + z * axis[2] - height.min()) / (height.max() - height.min())
    other = (fields[ALONG][box] > 0) & ~own[box]  # nearer to the other femur, which came first
    near &= ~other | own[box]
    fields[ALONG][box][near] = np.rint(255 * np.clip(place, 0, 1)).astype(np.uint8)[near]
    fields[TRABECULAE][box][near] = _trabeculae(leg, x, y, z)[near]


def _trabeculae(leg: Leg, x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> Bytes:
    """Dense and thin spongiosa about the head, whose centre is the origin of x, y, z.

    The head is denser than the neck. The compressive band runs from its top to the calcar, the tensile one arches over
    to the outer cortex; between them lies Ward's triangle, and beyond them the greater trochanter, both thin.
    Source: Ward 1838; Singh et al. 1970.
    """
    size = leg.head_radius_mm / 23.0
    out, up = (x * v[0] + y * v[1] + z * v[2] for v in (leg.lateral, leg.up))
    ahead = x * leg.forward[0] + y * leg.forward[1] + z * leg.forward[2]
    across = out + 0.35 * up  # off the band, which leans outwards as it goes down
    band = np.exp(-(across**2 + 0.5 * ahead**2) / (9 * size) ** 2) * (up > -34 * size)
    head = 0.4 * np.exp(-(out**2 + ahead**2 + up**2) / (2 * (15 * size) ** 2))
    arch = np.exp(-(((np.hypot(out - 22 * size, up + 34 * size) - 38 * size) / (6 * size)) ** 2)) * (out > -8)
    ward = np.exp(-((out - 30 * size) ** 2 + ahead**2 + (up + 20 * size) ** 2) / (2 * (10 * size) ** 2))
    trochanter = 0.9 / (1 + np.exp((36 * size - out) / (4 * size))) * (up > -60 * size)
    density = np.clip(np.maximum(band, head) + 0.45 * arch - np.maximum(ward, trochanter), -1, 1)
    return np.asarray(np.rint(NEUTRAL + np.where(density > 0, 127, 128) * density).astype(np.uint8))


def _facts(patient: Patient) -> SceneFacts:
    who, implant = patient.person, patient.implant
    return SceneFacts(
        index=patient.index,
        people=who.people,
        scale=who.scale,
        elastic_mm=who.elastic_mm,
        left=who.legs["left"].pose,
        right=who.legs["right"].pose,
        field_of_view=patient.field_of_view,
        metal=(implant.kind, implant.side) if implant else None,
    )
