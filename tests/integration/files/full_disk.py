"""A disk that is full after so many pages or files: an artefact is written onto it again and again, with more room.

unshare --user --map-root-user --mount python full_disk.py <artefact>

Prints, as JSON, how often the writing was refused before it went through. Fails if it ended in anything but a refusal,
if the artefact of before was harmed, or if a temporary file stayed. Mounts a tmpfs, hence the mount namespace.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh

from femseg.cohorts.store import ArrayStore, write_array, write_index
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.formats.writing import write_mask
from femseg.lineage.provenance import Lineage
from femseg.meshes.files import write_mesh
from femseg.meshes.mesh import TriangleMesh
from femseg.networks.package import architecture_of, load_package, write_package
from femseg.networks.package_files import ModelDescription
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.checkpoint import newest_good_checkpoint, write_checkpoint
from femseg.volumes.grid import MaskVolume, VoxelGrid
from femseg.volumes.network_input import InputRecipe

PAGE = 4096
SHAPE_ZYX = (16, 16, 16)
GRID = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=(1.0, 1.0, 1.0))


def noise(version: int) -> np.ndarray:
    return np.random.default_rng(version).random(SHAPE_ZYX).astype(np.float32)


def write_checkpoint_of(folder: Path, version: int) -> None:
    write_checkpoint(folder, version, {"w": torch.from_numpy(noise(version))}, {})


def read_checkpoint_of(folder: Path) -> int:
    newest = newest_good_checkpoint(folder, lambda line: sys.exit(f"said: {line}"))
    return newest.iteration if newest else 0


def write_arrays(folder: Path, version: int) -> None:
    entry = write_array(folder / "raw", f"case-{version}", noise(version), kind="raw", network_grid=GRID, ct_grid=GRID)
    write_index(folder / "raw", "raw", InputRecipe(input_mode="raw", shape_zyx=SHAPE_ZYX), {f"case-{version}": entry})


def read_arrays(folder: Path) -> int:
    store = ArrayStore.open(folder / "raw")
    (case_id,) = store.case_ids
    version = int(case_id.removeprefix("case-"))
    assert np.array_equal(store.load(case_id), noise(version))
    return version


def write_model(folder: Path, version: int) -> None:
    torch.manual_seed(version)
    network = VNet(VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3), 1)
    recipe = InputRecipe(input_mode="raw", shape_zyx=SHAPE_ZYX)
    model = ModelDescription(architecture=architecture_of(network), input_mode="raw", input_recipe=recipe)
    write_package(folder / "model", network, model=model, lineage=Lineage(seed=version))


def read_model(folder: Path) -> int:
    return int(load_package(folder / "model").lineage.seed or 0)


def write_nifti(folder: Path, version: int) -> None:
    write_mask(folder / "mask.nii", MaskVolume(femur_zyx=noise(version) > 0.5, grid=GRID))


def read_nifti(folder: Path) -> int:
    voxels = np.frombuffer((folder / "mask.nii").read_bytes()[-noise(1).size :], np.uint8).reshape(SHAPE_ZYX)
    return next(version for version in (1, 2) if np.array_equal(voxels, noise(version) > 0.5))


def ball(version: int) -> TriangleMesh:
    made = trimesh.creation.icosphere(subdivisions=3, radius=10.0 * version)
    return TriangleMesh(vertices_mm_xyz=np.array(made.vertices), triangles=np.array(made.faces, np.int64))


def write_stl(folder: Path, version: int) -> None:
    write_mesh(folder / "ball.stl", ball(version))


def read_stl(folder: Path) -> int:
    return round(trimesh.load_mesh(folder / "ball.stl").extents[0] / 20.0)


def write_3mf(folder: Path, version: int) -> None:
    write_mesh(folder / "ball.3mf", ball(version))


def read_3mf(folder: Path) -> int:
    return round(trimesh.load_scene(folder / "ball.3mf").extents[0] / 20.0)


ARTEFACTS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], int]]] = {
    "checkpoint": (write_checkpoint_of, read_checkpoint_of),
    "arrays": (write_arrays, read_arrays),
    "package": (write_model, read_model),
    "nifti": (write_nifti, read_nifti),
    "stl": (write_stl, read_stl),
    "3mf": (write_3mf, read_3mf),
}


def refusals_until_it_fits(folder: Path, artefact: str, set_limit: Callable[[int], None]) -> int:
    """Write version 2 over version 1 with a little more room each time; returns how often it was refused."""
    write, read = ARTEFACTS[artefact]
    for refused in range(500):
        set_limit(refused)
        fault = refusal_of(lambda: write(folder, 2))
        if fault is None:
            assert read(folder) == 2
            return refused
        assert fault.exit_code == ExitCode.RESOURCE, str(fault)
        assert read(folder) == 1, f"{artefact}: what was there before is harmed"
        assert not list(folder.rglob(".*.part*")), "a temporary file is left"
    raise AssertionError("never went through")


def refusal_of(work: Callable[[], None]) -> Refusal | None:
    try:
        work()
    except Refusal as refusal:
        return refusal
    return None


def refusals_on_a_small_disk(artefact: str) -> dict[str, int]:
    """With one page more each time, then with one file more; the first limit is what the disk holds already."""
    counted = {}
    for what in ("pages", "files"):
        with tempfile.TemporaryDirectory(prefix="femseg-full-") as place:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=10000", "tmpfs", place], check=True)
            try:
                ARTEFACTS[artefact][0](Path(place), 1)
                disk = os.statvfs(place)
                pages, files = disk.f_blocks - disk.f_bfree, disk.f_files - disk.f_ffree

                def set_limit(more: int, place=place, what=what, pages=pages, files=files) -> None:
                    limit = f"size={(pages + more) * PAGE}" if what == "pages" else f"nr_inodes={files + more}"
                    subprocess.run(["mount", "-o", f"remount,{limit}", place], check=True)

                counted[what] = refusals_until_it_fits(Path(place), artefact, set_limit)
            finally:
                subprocess.run(["umount", place], check=True)
    return counted


if __name__ == "__main__":
    print(json.dumps(refusals_on_a_small_disk(sys.argv[1])))
