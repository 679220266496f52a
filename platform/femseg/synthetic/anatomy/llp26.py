"""The 26 people of the shape model LLP26, read out of the wheel `musculoskeletal-models` without running a pickle.

The wheel's surfaces are piecewise parametric: Lagrange polynomials of degree three or four on quadrilaterals and
triangles, whose nodes neighbours share. Its statistics are a pickle of NumPy arrays, and nothing else is admitted.
Source: the wheel is MPL-2.0 and stays where it is installed; the shapes are of 26 people of the Melbourne femur
collection (Zhang et al. 2016, "Predictive statistical models of lower-limb bones").
"""

import functools
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy._core.multiarray import _reconstruct  # NumPy's own way to unpickle an array
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, vstack
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from femseg.errors import Refusal

Floats = NDArray[np.float64]
Faces = NDArray[np.int64]

PEOPLE = 26
WHEEL = "musculoskeletal-models 0.2.4"


class _Part(NamedTuple):
    """One of the wheel's surfaces: its mesh, and the bones in it from the patient's right to the left."""

    mesh: str
    subdivisions: int
    bones: tuple[str, ...]


_PARTS = (  # in the order of the statistics' parameters
    _Part("pelvis_combined_cubic_flat", 6, ("right_hip_bone", "sacrum", "left_hip_bone")),
    _Part("femur_left_quartic_flat", 12, ("femur",)),
    _Part("patella_11_left", 7, ("patella",)),
    _Part("tibia_fibula_left_cubic_flat", 7, ("tibia", "fibula")),
)


@dataclass(frozen=True, slots=True, eq=False)
class BoneShapes:
    """One bone of all people, closed and with its faces turned outwards.

    Attributes:
        vertices_mm: shape (26, V, 3), in LPS; a vertex is at the same place of every person's bone.
        faces: shape (F, 3), into the vertices.
    """

    vertices_mm: Floats
    faces: Faces


class _OnlyArrays(pickle.Unpickler):
    """Admits what a pickled NumPy array is made of."""

    _ADMITTED: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ADMITTED:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return self._ADMITTED[module, name]


def read_arrays(stream: BinaryIO, *, file: object) -> dict[str, Floats]:
    """The arrays of a pickled dictionary; what is no array is left out.

    Raises: Refusal SC-01 if it asks for anything beside NumPy arrays, or is no such pickle; nothing of it has run then.
    """
    try:
        content = _OnlyArrays(stream).load()
        return {str(name): value for name, value in content.items() if isinstance(value, np.ndarray)}
    except Exception as error:  # a hostile pickle fails in many ways
        problem = f"is a pickle that holds more than NumPy arrays ({error})"
        raise Refusal.of("SC-01", file, problem, f"install {WHEEL} from PyPI") from None


def wheel_folder() -> Path:
    """Where the wheel keeps its models. Raises: Refusal CFG-02 (exit 2) if it is not installed."""
    try:
        spec = find_spec("musculoskeletal.models")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        problem = f"synthetic people are made from the shapes of {WHEEL}, which is not installed"
        raise Refusal.of("CFG-02", "synthetic", problem, "pip install 'femseg[shapes]'")
    return Path(spec.origin).parent


@functools.cache
def llp26() -> Mapping[str, BoneShapes]:
    """All people's bones: hip bones of both sides, sacrum, and femur, patella, tibia, fibula of the left leg.

    Raises: Refusal, of `wheel_folder` or `read_arrays`.
    """
    folder = wheel_folder()
    statistics = folder / "shape_models" / "LLP26_rigid.pc"
    with statistics.open("rb") as stream:
        arrays = read_arrays(stream, file=statistics)
    nodes = (arrays["mean"][:, None] + arrays["modes"] @ arrays["projectedWeights"]).T.reshape(PEOPLE, 3, -1)
    first, bones = 0, {}
    for part in _PARTS:
        surface = json.loads((folder / "atlas_meshes" / f"{part.mesh}.mesh").read_text(encoding="utf-8"))
        weights, faces = evaluation(surface, part.subdivisions)
        own = nodes[:, :, first : first + weights.shape[1]].transpose(0, 2, 1)
        weights, faces = _welded(weights, faces, own.mean(axis=0))
        bones.update(_separate(part.bones, np.stack([weights @ person for person in own]), faces))
        first += weights.shape[1]
    return bones


def evaluation(surface: Mapping[str, Any], subdivisions: int) -> tuple[csr_array, Faces]:
    """How a piecewise parametric surface becomes triangles.

    Args:
        surface: of a `.mesh` file: kind of every element, and which of their nodes are one.
        subdivisions: of every element's edge.
    Returns: the weight of every node for every vertex, shape (V, N), and faces, shape (F, 3); elements are not welded.
    """
    kinds = {int(number): text.split()[1] for number, text in surface["elements"].items()}
    global_nodes = _global_nodes(surface["connectivity"])
    count = max(global_nodes.values()) + 1
    weights, faces, vertices = [], [], 0
    for element, kind in sorted(kinds.items()):
        basis, triangles = _lattice(kind, subdivisions)
        nodes = [global_nodes[element, n] for n in range(basis.shape[1])]
        weights.append(
            csr_array(basis) @ csr_array((np.ones(len(nodes)), (range(len(nodes)), nodes)), (len(nodes), count))
        )
        faces.append(triangles + vertices)
        vertices += len(basis)
    return vstack(weights, format="csr"), np.concatenate(faces)


def _global_nodes(connectivity: Mapping[str, str]) -> dict[tuple[int, int], int]:
    """Number of every element's every node: counted up in their order, but for those that are one with an earlier."""
    numbers: dict[tuple[int, int], int] = {}
    joined = {_pair(node): [_pair(other) for other in text.split()] for node, text in connectivity.items()}
    count = 0
    for node in sorted(joined):
        if node not in numbers:
            numbers.update(dict.fromkeys([node, *joined[node]], count))
            count += 1
    return numbers


def _pair(text: str) -> tuple[int, int]:
    element, node = text.split("_")
    return int(element), int(node)


@functools.cache
def _lattice(kind: str, subdivisions: int) -> tuple[Floats, Faces]:
    """Weights of an element's nodes at the points of a lattice, and the lattice's triangles.

    Args:
        kind: quad44, quad54, quad55 (nodes along each direction), tri10 or tri15 (nodes).
    """
    is_triangle = kind.startswith("tri")
    wide, high = {"tri10": (4, 4), "tri15": (5, 5)}.get(kind) or (int(kind[4]), int(kind[5]))

    def points(columns: int, rows: int) -> NDArray[np.int64]:
        return np.array([(i, j) for j in range(rows) for i in range(columns - j if is_triangle else columns)])

    nodes = points(wide, high) / (wide - 1, high - 1)
    powers = points(wide, high)

    def monomials(at: Floats) -> Floats:
        return np.asarray((at[:, None, :] ** powers).prod(axis=-1))

    lattice = points(subdivisions + 1, subdivisions + 1)
    number = {(int(i), int(j)): n for n, (i, j) in enumerate(lattice)}
    triangles = []
    for i, j in number:
        corners = [number.get(c) for c in ((i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1))]
        if None not in corners[:3]:
            triangles.append(corners[:3])
        if None not in corners[1:]:
            triangles.append([corners[1], corners[3], corners[2]])
    basis = monomials(lattice / subdivisions) @ np.linalg.inv(monomials(nodes))
    return basis, np.array(triangles, dtype=np.int64)


def _welded(weights: csr_array, faces: Faces, nodes_mm: Floats) -> tuple[csr_array, Faces]:
    """The same with vertices that coincide made one, and faces that have lost an edge left out."""
    vertices_mm = weights @ nodes_mm
    pairs = cKDTree(vertices_mm).query_pairs(1e-3, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(vertices_mm), len(vertices_mm)))
    number = connected_components(graph, directed=False)[1]
    first = np.unique(number, return_index=True)[1]
    faces = number[faces].astype(np.int64)
    distinct = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return weights[first], faces[distinct]


def _separate(names: tuple[str, ...], vertices_mm: Floats, faces: Faces) -> dict[str, BoneShapes]:
    """The connected pieces of a surface by name, which are given from the patient's right to the left."""
    count = vertices_mm.shape[1]
    graph = coo_array((np.ones(2 * len(faces)), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())), (count, count))
    found, piece = connected_components(graph, directed=False)
    if found != len(names):
        raise ValueError(f"{', '.join(names)}: expected {len(names)} separate surfaces, got {found}")
    order = np.argsort([vertices_mm[:, piece == p, 0].mean() for p in range(found)])  # +x is the patient's left
    bones = {}
    for name, p in zip(names, order, strict=True):
        number = np.cumsum(piece == p) - 1
        own = vertices_mm[:, piece == p]
        bones[name] = BoneShapes(own, _outwards(own.mean(axis=0), number[faces[piece[faces[:, 0]] == p]]))
    return bones


def _outwards(vertices_mm: Floats, faces: Faces) -> Faces:
    """A closed surface's faces, turned so that all normals point outwards."""
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    forward = edges[:, 0] < edges[:, 1]
    order = np.lexsort((edges.max(axis=1), edges.min(axis=1)))
    one, other = order[0::2], order[1::2]
    if len(order) % 2 or not np.array_equal(np.sort(edges[one]), np.sort(edges[other])):
        raise ValueError("the surface is not closed")
    agree = forward[one] != forward[other]  # neighbours that are turned alike run along their edge in opposite ways
    value = np.where(agree, 1, 2)
    graph = coo_array((value, (one // 3, other // 3)), (len(faces), len(faces))).tocsr()
    graph = graph.maximum(graph.T)
    sequence, before = breadth_first_order(graph, 0, directed=False)
    against = np.asarray(graph[before[sequence[1:]], sequence[1:]]).ravel() == 2
    turned = np.zeros(len(faces), dtype=bool)
    for face, differs in zip(sequence[1:], against, strict=True):
        turned[face] = turned[before[face]] ^ differs
    faces = np.where(turned[:, None], faces[:, ::-1], faces)
    return faces if volume_mm3(vertices_mm, faces) > 0 else faces[:, ::-1]


def volume_mm3(vertices_mm: Floats, faces: Faces) -> float:
    """Volume inside of a closed surface; negative if its faces are turned inwards."""
    a, b, c = vertices_mm[faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)
