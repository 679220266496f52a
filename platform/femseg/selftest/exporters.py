"""Every exporter that is installed, tried with the phantom in all orientations: how far off is what others read?"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from femseg.errors import Fault, Refusal, words_of
from femseg.formats.dicom.writing.reference import CtReference, MadeBy
from femseg.formats.dicom.writing.structure_set import write_structure_set
from femseg.formats.writing import write_labels
from femseg.inference.femora import STRUCTURES
from femseg.selftest import readers
from femseg.selftest.ct_series import ct_series
from femseg.selftest.phantom import SIDES, Sample, labels_at, samples

TOLERATED_MM = 1e-3
_GAP_MM = 2.5  # a voxel's edge and a little: where a surface is flat, a mesh leaves points out
_SAME_VOLUME = 0.25  # of voxels that are coarse; inside out, a volume is below 0
_NOBODY = MadeBy(package_sha256="0" * 64)
_SUFFIXES = {
    **{"NIfTI": ".nii.gz", "NRRD": ".nrrd", "MHA": ".mha"},
    **{"STL": ".stl", "PLY": ".ply", "3MF": ".3mf", "GLB": ".glb"},
}
_NEEDS = {  # packages of our extras
    "dicom": ("highdicom",),
    "mesh": ("skimage", "fast_simplification", "manifold3d", "trimesh", "lxml"),
}
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one exporter.

    Attributes:
        largest_mm: how far the worst point lies from its place, over all grids.
        reader: what read the files back.
        words: why it was skipped, or what failed.
    """

    exporter: str
    state: Literal["ok", "skipped", "failed"]
    largest_mm: float = 0.0
    grids: int = 0
    reader: str = ""
    words: str = ""

    @property
    def fault(self) -> Fault | None:
        """What is wrong, if it failed."""
        fix = "use no file that it wrote, and install femseg again"
        return Fault("ST-11", self.exporter, self.words, fix) if self.state == "failed" else None

    def __str__(self) -> str:
        if self.state == "ok":
            words = f"ok: largest error {self.largest_mm:.1e} mm, {self.grids} grids, read by {self.reader}"
        else:
            words = f"{'FAILED' if self.state == 'failed' else self.state}: {self.words}"
        return f"{self.exporter:<9} {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Exporters that share what they write.

    Attributes:
        extras: of each exporter the extra that it needs; "" for none.
        made: from the phantom and a folder, what they write.
        error_mm: writes by one exporter, reads back, and says how far the worst point lies off; ValueError for what is
            no distance.
    """

    extras: Mapping[str, str]
    made: Callable[[Sample, Path], Any]
    error_mm: Callable[[str, Any, Sample, Path], float]
    reader: Callable[[str], str]


def apart_mm(found: Mapping[int, Points], expected: Mapping[int, Points]) -> float:
    """The farthest of all points from the nearest that is expected, and the other way round. Raises: ValueError."""
    far = 0.0
    for label, side in SIDES.items():
        one, other = found[label], expected[label]
        if len(one) != len(other):
            raise ValueError(f"{len(one)} voxels of the {side} femur are read, {len(other)} were written")
        far = max(far, _farthest_mm(one, other), _farthest_mm(other, one))
    return far


def _farthest_mm(points: Points, others: Points) -> float:
    """How far the worst of some points lies from the nearest of the others."""
    return float(cKDTree(others).query(points)[0].max())


def _voxels(sample: Sample) -> dict[int, Points]:
    return {label: sample.voxels_mm(label) for label in SIDES}


def _volume_error_mm(name: str, made: None, sample: Sample, folder: Path) -> float:
    path = folder / f"mask{_SUFFIXES[name]}"
    write_labels(path, sample.labels(), list(STRUCTURES.values()))
    read = readers.by_nibabel if name == "NIfTI" and _has("nibabel") else readers.by_simpleitk
    return apart_mm(read(path), _voxels(sample))


def _volume_reader(name: str) -> str:
    return _named("nibabel" if name == "NIfTI" and _has("nibabel") else "SimpleITK")


def _dicom_error_mm(
    name: str, made: tuple[CtReference, Sequence[pydicom.Dataset]], sample: Sample, folder: Path
) -> float:
    reference, slices = made
    path, grid = folder / f"{name}.dcm", reference.planes.grid
    indices = np.moveaxis(np.indices(grid.shape_zyx), 0, -1)
    places_mm = grid.positions_mm_xyz(indices.reshape(-1, 3)).reshape(*grid.shape_zyx, 3)
    labels, structures = labels_at(places_mm, grid), list(STRUCTURES.values())
    if name == "RTSTRUCT":
        write_structure_set(path, labels, structures, reference, made_by=_NOBODY)
        return apart_mm(readers.regions(path, {one.SOPInstanceUID: one for one in slices}), _voxels(sample))
    from femseg.formats.dicom.writing.segmentation import write_segmentation  # the extra `dicom`

    write_segmentation(path, labels, structures, reference, made_by=_NOBODY)
    return apart_mm(readers.segments(path), _voxels(sample))


class _Solid(NamedTuple):
    """What is written of a femur, and what must come back."""

    mesh: Any  # a TriangleMesh, of the extra `mesh`
    surface_mm: Points
    volume_mm3: float


def _solids(sample: Sample, folder: Path) -> dict[int, _Solid]:
    from femseg.meshes.femur import MeshSettings, femur_mesh

    made = {}
    for label, side in SIDES.items():
        mask, probability = sample.mask(label), sample.probability(label)
        one = femur_mesh(mask, MeshSettings(tolerance_mm=0), probability_zyx=probability, name=f"{side} femur")
        volume_mm3 = float(np.count_nonzero(mask.femur_zyx) * np.prod(sample.spacing_mm_zyx))
        made[label] = _Solid(one.mesh, sample.crossings_mm(label), volume_mm3)
    return made


def _mesh_error_mm(name: str, made: Mapping[int, _Solid], sample: Sample, folder: Path) -> float:
    from femseg.meshes.files import write_mesh

    far = 0.0
    frames: tuple[Literal["LPS", "RAS"], ...] = ("LPS", "RAS")
    for (label, solid), frame in product(made.items(), frames):
        path = folder / f"{label}-{frame}{_SUFFIXES[name]}"
        write_mesh(path, solid.mesh, frame)
        points, volume_mm3 = readers.vertices(path, frame)
        far, there = max(far, _farthest_mm(points, solid.surface_mm)), f"the {SIDES[label]} femur in {frame}"
        if far <= TOLERATED_MM and (gap_mm := _farthest_mm(solid.surface_mm, points)) > _GAP_MM:
            raise ValueError(f"a part of {there} is missing: no vertex within {gap_mm:.3g} mm")
        if abs(volume_mm3 / solid.volume_mm3 - 1) > _SAME_VOLUME:
            raise ValueError(f"{there} encloses {volume_mm3:.0f} mm³, its voxels {solid.volume_mm3:.0f} mm³")
    return far


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _named(package: str) -> str:
    return f"{package} {version(package)}"


FAMILIES = (
    Family(
        extras=dict.fromkeys(("NIfTI", "NRRD", "MHA"), ""),
        made=lambda sample, folder: None,
        error_mm=_volume_error_mm,
        reader=_volume_reader,
    ),
    Family(
        extras={"DICOM-SEG": "dicom", "RTSTRUCT": ""},
        made=ct_series,
        error_mm=_dicom_error_mm,
        reader=lambda name: _named("pydicom") + (f", {_named('matplotlib')}" if name == "RTSTRUCT" else ""),
    ),
    Family(
        extras=dict.fromkeys(("STL", "PLY", "3MF", "GLB"), "mesh"),
        made=_solids,
        error_mm=_mesh_error_mm,
        reader=lambda name: f"{_named('trimesh')}, LPS and RAS",
    ),
)


def findings(grids: Iterable[Sample] | None = None) -> Iterator[Finding]:
    """Try every exporter on every grid; each family's findings once it is done.

    Args:
        grids: all that `samples` gives, unless some are chosen.
    """
    chosen = list(samples() if grids is None else grids)
    for family in FAMILIES:
        skipped = {name: extra for name, extra in family.extras.items() if not all(map(_has, _NEEDS.get(extra, ())))}
        errors: dict[str, list[float]] = {name: [] for name in family.extras if name not in skipped}
        failed: dict[str, str] = {}
        for sample in chosen if errors else ():
            _try(family, sample, errors, failed)
        for name in family.extras:
            if name in skipped:
                words = f"extra {skipped[name]} is not installed; pip install 'femseg[{skipped[name]}]'"
                yield Finding(exporter=name, state="skipped", words=words)
            elif name in failed:
                yield Finding(exporter=name, state="failed", words=failed[name])
            else:
                found = errors[name]
                reader = family.reader(name)
                yield Finding(
                    exporter=name, state="ok", largest_mm=max(found, default=0.0), grids=len(found), reader=reader
                )


def _try(family: Family, sample: Sample, errors: Mapping[str, list[float]], failed: dict[str, str]) -> None:
    """One grid by all exporters of a family that have not failed yet."""
    left = [name for name in errors if name not in failed]
    with TemporaryDirectory(prefix="femseg-selftest-") as folder:
        try:
            made = family.made(sample, Path(folder)) if left else None
        except (ValueError, OSError, Refusal) as error:
            failed |= dict.fromkeys(left, f"grid {sample.name}: {_words(error)}")
            return
        for name in left:
            try:
                error_mm = family.error_mm(name, made, sample, Path(folder))
            except Exception as error:  # whatever a reader makes of a wrong file
                failed[name] = f"grid {sample.name}: {_words(error)}"
            else:
                errors[name].append(error_mm)
                if error_mm > TOLERATED_MM:
                    words = f"a point lies {error_mm:.3g} mm off its place, tolerated {TOLERATED_MM:g} mm"
                    failed[name] = f"grid {sample.name}: {words}"


def _words(error: Exception) -> str:
    return error.faults[0].problem if isinstance(error, Refusal) else words_of(error)
