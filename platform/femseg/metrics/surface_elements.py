"""How much surface passes through each 2 × 2 × 2 neighbourhood of a mask, by marching cubes."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from femseg.metrics.masks import Mask

Corner = tuple[int, int, int]
CutEdge = frozenset[Corner]  # joins a corner inside the mask with one outside

CORNERS: tuple[Corner, ...] = tuple(product((0, 1), (0, 1), (0, 1)))
FULL_CODE = 0b1111_1111
_MOST_TRIANGLES = 4


def neighbourhood_codes(mask: Mask) -> NDArray[np.uint8]:
    """Which of the 8 voxels around each voxel corner are inside: bit i stands for `CORNERS[i]`.

    Args:
        mask: bool, shape (Z, Y, X), with a background rim of one voxel.
    Returns: shape (Z-1, Y-1, X-1); 0 is all outside, 255 all inside, anything else is surface.
    """
    codes: NDArray[np.uint8] = mask.view(np.uint8)
    for axis, bits in ((2, 1), (1, 2), (0, 4)):  # pairs along x, then their pairs along y, then theirs along z
        along = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis(along[1:] << np.uint8(bits) | along[:-1], 0, axis)
    return codes


def element_areas_mm2(spacing_mm_zyx: Sequence[float]) -> NDArray[np.float64]:
    """Area of the surface inside a neighbourhood of each of the 256 codes, in mm².

    The surface cuts the edges between inside and outside voxels in the middle. Voxels that meet only in a diagonal stay
    apart, on the side (inside or outside) that has fewer of them. A polygon that is not flat is cut into the triangles
    of largest total area on a cubic grid. With these rules the areas equal those of surface-distance (Nikolov et al.
    2018, arXiv:1809.04430), whose table is the convention in the field.
    """
    dz, dy, dx = spacing_mm_zyx
    lengths = np.linalg.norm(_triangle_normals() * (dy * dx, dz * dx, dz * dy), axis=2)
    return np.asarray(lengths.sum(axis=1))


@cache
def _triangle_normals() -> NDArray[np.float64]:
    """Normals of all triangles of each code, on a cubic grid, as long as the triangle's area: shape (256, 4, 3)."""
    normals = np.zeros((FULL_CODE + 1, _MOST_TRIANGLES, 3))
    for code in range(1, FULL_CODE):
        inside = {corner for bit, corner in enumerate(CORNERS) if code >> bit & 1}
        fewer = inside if len(inside) <= 4 else set(CORNERS) - inside
        triangles = np.concatenate([_largest_fan(_polygon(piece)) for piece in _pieces(fewer)])
        normals[code, : len(triangles)] = triangles
    normals.setflags(write=False)
    return normals


def _are_neighbours(a: Corner, b: Corner) -> bool:
    return sum(p != q for p, q in zip(a, b, strict=True)) == 1


def _pieces(corners: set[Corner]) -> Iterator[set[Corner]]:
    """The corners, grouped by what hangs together along the cube's edges."""
    left = sorted(corners)
    while left:
        piece = {left.pop(0)}
        while joined := [c for c in left if any(_are_neighbours(c, p) for p in piece)]:
            piece.update(joined)
            left = [c for c in left if c not in piece]
        yield piece


def _polygon(piece: set[Corner]) -> NDArray[np.float64]:
    """Middles of the edges that leave a piece of at most 4 corners, walked round face by face: shape (n, 3)."""
    cut_edges = [frozenset((a, b)) for a in sorted(piece) for b in CORNERS if b not in piece and _are_neighbours(a, b)]
    round_trip = [cut_edges[0]]
    while following := [e for e in cut_edges if e not in round_trip and _on_one_face(e, round_trip[-1])]:
        round_trip.append(following[0])
    return np.array([np.mean(sorted(edge), axis=0) for edge in round_trip])


def _on_one_face(a: CutEdge, b: CutEdge) -> bool:
    corners = np.array(sorted(a | b))
    return bool((corners == corners[0]).all(axis=0).any())


def _largest_fan(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area normals of the triangles spanned from one of the polygon's points: from the one that gives most area."""
    fans = []
    for first in range(len(polygon)):
        spokes = np.roll(polygon, -first, axis=0)[1:] - polygon[first]
        fans.append(np.cross(spokes[:-1], spokes[1:]) / 2)
    return max(fans, key=lambda fan: round(float(np.linalg.norm(fan, axis=1).sum()), 9))
