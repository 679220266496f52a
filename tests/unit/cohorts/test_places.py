import numpy as np
import pytest

from femseg.cohorts.places import NO_PLACE, PLACE_KINDS, PLACES_SHAPE, find_places

SHAPE, SPACING = (40, 30, 50), (1.0, 1.0, 1.0)


@pytest.fixture
def scan():
    """A bright ball, the femur, beside a bright block, another bone, in soft tissue with air around."""
    z, y, x = np.ogrid[:40, :30, :50]
    femur = (z - 20) ** 2 + (y - 15) ** 2 + (x - 15) ** 2 < 81
    hu = np.full(SHAPE, 40.0)
    hu[:, :3] = -1000.0
    other = np.zeros(SHAPE, bool)
    other[10:30, 8:22, 27:40] = True
    hu[other | femur] = 800.0
    return femur, hu, other


def of_kind(places, kind):
    return tuple(places[PLACE_KINDS.index(kind)].T)


def test_every_place_is_of_its_kind(scan):
    femur, hu, other = scan
    places = find_places(femur, hu, SPACING)
    assert (places.shape, places.dtype) == (PLACES_SHAPE, np.int16)
    assert femur[of_kind(places, "inside")].all()
    assert femur[of_kind(places, "surface")].all()
    assert other[of_kind(places, "other_bone")].all()
    background = of_kind(places, "background")
    assert not (femur | other)[background].any()
    assert (hu[background] > -300).all()


def test_surface_places_have_a_neighbour_outside_and_inside_places_have_none(scan):
    femur, hu, _ = scan
    places = find_places(femur, hu, SPACING)

    def neighbours_inside(kind):
        z, y, x = of_kind(places, kind)
        return [
            femur[z + dz, y + dy, x + dx] for dz, dy, dx in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
        ]

    assert np.all(neighbours_inside("inside"))
    assert not np.all(neighbours_inside("surface"), axis=0).any()


def test_joint_places_lie_within_8_mm_of_another_bone(scan):
    femur, hu, other = scan
    for spacing in (SPACING, (1.0, 1.0, 2.0)):
        joint = np.stack(of_kind(find_places(femur, hu, spacing), "joint"), axis=1) * spacing
        bone = np.argwhere(other) * spacing
        gaps = [np.linalg.norm(bone - place, axis=1).min() for place in joint[:50]]
        if spacing == SPACING:
            assert max(gaps) <= 8.0
        else:
            assert (joint < 0).all() or max(gaps) <= 8.0


def test_a_scan_without_a_femur_has_no_places_of_it(scan):
    femur, hu, _ = scan
    places = find_places(np.zeros_like(femur), hu, SPACING)
    for kind in ("surface", "inside", "joint"):
        assert (places[PLACE_KINDS.index(kind)] == NO_PLACE).all()
    assert (places[PLACE_KINDS.index("other_bone")] != NO_PLACE).all()


def test_air_alone_has_no_places():
    places = find_places(np.zeros(SHAPE, bool), np.full(SHAPE, -1000.0), SPACING)
    assert (places == NO_PLACE).all()


def test_the_same_scan_gives_the_same_places(scan):
    femur, hu, _ = scan
    assert np.array_equal(find_places(femur, hu, SPACING), find_places(femur.copy(), hu.copy(), SPACING))
