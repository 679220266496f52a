"""The NPY store: one folder per kind of array, `<case_id>.npy` and an index that knows every file's SHA-256.

The index is written last. A folder without one is unfinished; running its stage again gives the same bytes. An entry of
the index is read when it is asked for, so that an open store is as small with 60 000 cases as with 60.
"""

import hashlib
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case_lines import CASE_ID, CaseLines, integrity, write_case_lines
from femseg.cohorts.places import PLACES_SHAPE
from femseg.errors import Refusal
from femseg.files.durable import write_bytes_durably
from femseg.formats.npy import MAGIC, npy_header
from femseg.settings import as_plain, checked
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe
from femseg.volumes.resample import Box

Shape = tuple[int, int, int]
ArrayKind = Literal["raw", "gradient", "both", "mask", "places", "tissue"]
TISSUE_FIELDS = 5  # of a synthetic scene, which training paints

FORMAT = 2
INDEX_NAME = "index.json"
_FIXED_DTYPES: dict[str, np.dtype[Any]] = {"mask": np.dtype("?"), "places": np.dtype("<i2"), "tissue": np.dtype("u1")}
_INPUT_DTYPES = (np.dtype("<f4"), np.dtype("<f2"))
_NPY_HEADER_BYTES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """What the index says of one case.

    Attributes:
        sha256: of the NPY file's bytes.
        shape_zyx: of the network grid, and so of the array; one of kind "both" has shape (2, Z, Y, X), one of kind
            "tissue" (5, Z, Y, X).
        network_grid: where the array's voxels lie.
        ct_grid: the CT's own grid as read, to which a segmentation returns.
        remarks: what was noticed on the way, each starting with its matrix id.
    """

    sha256: str
    shape_zyx: tuple[int, int, int]
    network_grid: VoxelGrid
    ct_grid: VoxelGrid
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    format: int
    kind: ArrayKind
    recipe: InputRecipe


def bytes_needed(recipe: InputRecipe, kind: ArrayKind, network_shapes_zyx: Iterable[Shape]) -> int:
    """Disk that cases of these network grids will take, without the index: for `durable.require_free_space`."""
    itemsize = _dtype(kind, recipe).itemsize
    return sum(math.prod(_shape(kind, shape)) * itemsize + _NPY_HEADER_BYTES for shape in network_shapes_zyx)


def _dtype(kind: ArrayKind, recipe: InputRecipe) -> np.dtype[Any]:
    return _FIXED_DTYPES.get(kind, recipe.dtype)


def _shape(kind: ArrayKind, network_shape_zyx: Shape) -> tuple[int, ...]:
    """Of the array of a case."""
    if kind == "places":
        return PLACES_SHAPE
    channels = {"both": (2,), "tissue": (TISSUE_FIELDS,)}.get(kind, ())
    return (*channels, *network_shape_zyx)


def write_array(
    folder: Path,
    case_id: str,
    array: NDArray[Any],
    *,
    kind: ArrayKind,
    network_grid: VoxelGrid,
    ct_grid: VoxelGrid,
    remarks: Iterable[str] = (),
) -> StoredArray:
    """Write one case's array durably; equal arrays give equal bytes. Safe to call from several processes.

    Returns: the entry for `write_index`.
    Raises: ValueError if id, dtype or shape do not fit; Refusal (exit 5) if the disk is full.
    """
    if not CASE_ID.fullmatch(case_id):
        raise ValueError(f"case id: expected letters, digits, '-' and '_', got {case_id!r}")
    if array.dtype not in (dtypes := [_FIXED_DTYPES[kind]] if kind in _FIXED_DTYPES else _INPUT_DTYPES):
        wanted = " or ".join(map(str, dtypes))
        raise ValueError(f"{kind} array of {case_id}: expected dtype {wanted}, got {array.dtype}")
    expected = _shape(kind, network_grid.shape_zyx)
    if array.shape != expected:
        raise ValueError(f"{case_id}: array shape {array.shape} does not match {expected}, the grid's")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return StoredArray(
        sha256=write_bytes_durably(_array_path(folder, case_id), stream.getvalue()),
        shape_zyx=network_grid.shape_zyx,
        network_grid=network_grid,
        ct_grid=ct_grid,
        remarks=tuple(remarks),
    )


def write_index(folder: Path, kind: ArrayKind, recipe: InputRecipe, entries: Mapping[str, StoredArray]) -> str:
    """Complete a store once all its arrays are written; returns the index's SHA-256.

    Arrays that no entry names and unfinished files are removed: a killed run must not change what the next one leaves.
    """
    named = {_array_path(folder, case_id) for case_id in entries}
    for leftover in {*folder.glob("*.npy"), *folder.glob(".*.part*")} - named:
        leftover.unlink()
    head = _Head(format=FORMAT, kind=kind, recipe=recipe)
    plain = {case_id: as_plain(entry) for case_id, entry in entries.items()}
    return write_case_lines(folder / INDEX_NAME, as_plain(head), plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayStore:
    """A finished store, read-only. Every array is checked against the index before it is used.

    Attributes:
        folder: where the arrays lie.
        sha256: of the index, and so of all that it vouches for.
        kind: what the arrays show.
        recipe: how they were made.
        lines: the index's entries as JSON values, by case id, ascending.
        fetch: gives the proven bytes of a SHA-256; None reads the folder.
        fetch_file: gives a file of proven bytes, or None if there is no room for one.
    """

    folder: Path
    sha256: str
    kind: ArrayKind
    recipe: InputRecipe
    lines: CaseLines
    fetch: Callable[[str], bytes] | None = None
    fetch_file: Callable[[str], Path | None] | None = None
    _proven: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a store's index. Raises: Refusal (exit 4) if it is missing, torn or not ours."""
        path = folder / INDEX_NAME
        return cls._of(CaseLines(path), path)

    @classmethod
    def from_index(
        cls,
        path: Path,
        content: bytes,
        fetch: Callable[[str], bytes],
        fetch_file: Callable[[str], Path | None] | None = None,
    ) -> Self:
        """A store whose files lie elsewhere.

        Args:
            path: what the index is called in messages.
            content: the index's bytes.
            fetch: gives the bytes of a SHA-256, proven, or refuses.
            fetch_file: the same as a file, where there is room for it.
        Raises: Refusal (exit 4) if the index is not ours.
        """
        stream = tempfile.TemporaryFile()  # its lines are looked up where they lie  # noqa: SIM115
        stream.write(content)
        stream.seek(0)
        return replace(cls._of(CaseLines(path, stream), path), fetch=fetch, fetch_file=fetch_file)

    @classmethod
    def _of(cls, lines: CaseLines, path: Path) -> Self:
        if lines.head.get("format") != FORMAT:
            raise integrity(path, f"is no array index of format {FORMAT}")
        try:
            head = checked(_Head, lines.head, where="index", file=path)
        except Refusal as refusal:
            raise integrity(path, refusal.faults[0].problem) from None
        return cls(folder=path.parent, sha256=lines.sha256, kind=head.kind, recipe=head.recipe, lines=lines)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """All cases, ascending."""
        return tuple(self.lines)

    def entry(self, case_id: str) -> StoredArray:
        """What the index says of a case. Raises: Refusal (exit 4) if it has none of this id, or nothing that fits."""
        path = self.folder / INDEX_NAME
        try:
            return checked(StoredArray, self._line(case_id), where=case_id, file=path)
        except Refusal as refusal:
            raise integrity(path, refusal.faults[0].problem) from None

    def _line(self, case_id: str) -> dict[str, Any]:
        try:
            return self.lines[case_id]
        except KeyError:
            raise integrity(self.folder / INDEX_NAME, f"has no case {case_id}") from None

    def shares_grid(self, other: "ArrayStore", case_id: str) -> bool:
        """Whether two stores have a case's array on the same network grid; compared as written, which is quick.

        Raises: Refusal (exit 4) if one has no such case.
        """
        ours, theirs = (store._line(case_id).get("network_grid") for store in (self, other))
        return ours is not None and ours == theirs

    def load(self, case_id: str) -> NDArray[Any]:
        """A case's array, read-only: shape (Z, Y, X), channels before these as `StoredArray` says, or `PLACES_SHAPE`.

        Raises: Refusal (exit 4) naming the file if it is missing, its SHA-256 differs from the index, or it is no plain
            array of the expected dtype and shape; nothing in the file is ever run.
        """
        entry, path = self.entry(case_id), _array_path(self.folder, case_id)
        content = self.content(case_id)
        return _plain_array(content, _shape(self.kind, entry.shape_zyx), _dtype(self.kind, self.recipe), path)

    def part(self, case_id: str, box_zyx: Box) -> NDArray[Any]:
        """A box of a case's array, shape (…, Z, Y, X); only the slices of the box are read.

        The file is held against its hash when it is first read, and again once it is another file.

        Raises: Refusal (exit 4) as `load` does.
        """
        entry = self.entry(case_id)
        shape, dtype = _shape(self.kind, entry.shape_zyx), _dtype(self.kind, self.recipe)
        path = self.fetch_file(entry.sha256) if self.fetch_file else _array_path(self.folder, case_id)
        if path is None:
            return np.array(self.load(case_id)[(..., *box_zyx)])
        try:
            with path.open("rb") as stream:
                state = os.fstat(stream.fileno())
                version = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
                if self._proven.get(case_id) != version:
                    _require_hash(hashlib.file_digest(stream, "sha256").hexdigest(), entry.sha256, path)
                    self._proven[case_id] = version
                stream.seek(0)
                offset = _first_voxel(stream, state.st_size, shape, dtype, path)
                return np.array(np.memmap(stream, dtype, mode="r", offset=offset, shape=shape)[(..., *box_zyx)])
        except OSError as error:
            raise integrity(path, f"cannot be read: {error.strerror}") from error

    def content(self, case_id: str) -> bytes:
        """The bytes of a case's NPY file. Raises: Refusal (exit 4) as `load` does."""
        entry, path = self.entry(case_id), _array_path(self.folder, case_id)
        if self.fetch is not None:
            return self.fetch(entry.sha256)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise integrity(path, f"cannot be read: {error.strerror}") from error
        _require_hash(hashlib.sha256(content).hexdigest(), entry.sha256, path)
        return content


def _require_hash(found: str, expected: str, path: Path) -> None:
    if found != expected:
        raise integrity(path, f"SHA-256 is {found[:12]}…, expected {expected[:12]}…")


def _plain_array(content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> NDArray[Any]:
    """The array in NPY bytes, without a copy."""
    offset = _first_voxel(io.BytesIO(content), len(content), shape, dtype, path)
    return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def _first_voxel(stream: BinaryIO, size: int, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> int:
    """Where the voxels of an NPY file begin. The header is compared before anything is made of its numbers."""
    try:
        magic = stream.read(8)
        if magic.startswith(MAGIC) and (version := tuple(magic[6:8])) != (1, 0):
            raise integrity(path, f"is NPY version {version}, expected (1, 0)")
        stream.seek(0)
        found_shape, fortran_order, found_dtype = npy_header(stream)
    except ValueError as error:
        raise integrity(path, f"is no NPY file ({error})") from None
    if (found_shape, fortran_order, found_dtype) != (shape, False, dtype):
        order = "Fortran" if fortran_order else "C"
        found = f"{found_dtype} {found_shape} in {order} order"
        raise integrity(path, f"holds {found}, expected {dtype} {shape} in C order")
    voxels, expected = size - stream.tell(), math.prod(shape) * dtype.itemsize
    if voxels != expected:
        raise integrity(path, f"holds {voxels} bytes of voxels, expected {expected}")
    return stream.tell()


def _array_path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_id}.npy"
