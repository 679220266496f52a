"""A synthetic cohort: each person as an ordinary study on disk, and as fields on a network's grid."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.files.durable import folder_written_durably
from femseg.synthetic.painting import painted
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.scene import Scene, Tissue
from femseg.volumes.grid import VoxelGrid

LEFT, RIGHT = 1, 2  # in a study's mask
SCENE_BYTES = 1 << 30  # that a person may take while it is made
_STUDY = "person-"
_LOOK_STREAM = 100  # anatomy draws from streams of lower numbers
_SOFT, _AIRY, _BONE = 0.0, -1000.0, 1000.0
_EMPTY = (Tissue.AIR, Tissue.CLOTHES, Tissue.TABLE, Tissue.MATTRESS, Tissue.GAS, Tissue.LUNG)


def study_name(index: int) -> str:
    """The folder of a person's study."""
    return f"{_STUDY}{index:05d}"


def index_of_study(path: str) -> int:
    """Whose study a file below the cohort's folder belongs to. Raises: ValueError if it is nobody's."""
    name = Path(path).parts[0]
    if not name.startswith(_STUDY):
        raise ValueError(f"{path}: expected a study of a synthetic cohort, {study_name(0)}/… and so on")
    return int(name.removeprefix(_STUDY))


def write_study(scene: Scene, painting: PaintingSettings, seed: int, folder: Path) -> None:
    """Write `folder/ct.nii.gz`, painted once for good and shown as a whole, and `folder/mask.nii.gz`, left and right.

    Raises: Refusal (exit 5) if the disk is full or unwritable.
    """
    generator = np.random.default_rng((seed, scene.facts.index, _LOOK_STREAM))
    hu_zyx = painted(scene.fields_czyx, scene.grid.spacing_mm_zyx, painting, generator)
    with folder_written_durably(folder) as unfinished:
        _write(unfinished / "ct.nii.gz", hu_zyx.astype(np.int16), scene.grid)
        _write(unfinished / "mask.nii.gz", scene.femora_zyx, scene.grid)


def _write(path: Path, array_zyx: NDArray[Any], grid: VoxelGrid) -> None:
    sitk.WriteImage(grid.image(array_zyx), str(path), useCompression=True, compressionLevel=1)


def on_grid(scene: Scene, grid: VoxelGrid) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A scene's fields and femora on an upright grid of its spacing and corner, which may end a voxel earlier or later.

    Each voxel is the nearest of the scene's; beyond these its edge goes on.
    Raises: ValueError if the spacings differ.
    """
    own = scene.grid
    if not np.allclose(own.spacing_mm_zyx, grid.spacing_mm_zyx, rtol=1e-6):
        raise ValueError(f"scene of spacing {own.spacing_mm_zyx} mm, expected {grid.spacing_mm_zyx}")
    corners = zip(grid.origin_mm_xyz[::-1], own.origin_mm_xyz[::-1], own.spacing_mm_zyx, strict=True)
    starts = [round((first - own_first) / spacing) for first, own_first, spacing in corners]
    z, y, x = (
        np.clip(np.arange(n) + start, 0, size - 1)
        for n, start, size in zip(grid.shape_zyx, starts, own.shape_zyx, strict=True)
    )
    femora_zyx = scene.femora_zyx.take(z, 0).take(y, 1).take(x, 2)
    return scene.fields_czyx.take(z, 1).take(y, 2).take(x, 3), femora_zyx


def rough_hu(tissue_zyx: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Air, soft tissue and bone or metal: enough to tell where patches lie. Tissue codes in, HU out, one shape."""
    hu = np.full(len(Tissue), _SOFT, np.float32)
    hu[list(_EMPTY)] = _AIRY
    hu[Tissue.FEMUR :] = _BONE
    return np.asarray(hu[tissue_zyx])
