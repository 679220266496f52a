"""Mesh files as triangles in the patient, ours and other programs'."""

import errno
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from femseg.errors import Refusal
from femseg.files.plain import opened
from femseg.meshes.mesh import Frame
from femseg.meshes.nearest import Corners

MODEL_IN_3MF = "3D/3dmodel.model"
# rows: glTF's x is the patient's left, y superior, z anterior; a person that faces the viewer
UPRIGHT: dict[Frame, tuple[tuple[int, int, int], ...]] = {
    "LPS": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "RAS": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
}
_STATED = re.compile(rb"(?:femseg: |SPACE=)(LPS|RAS)")  # the latter is 3D Slicer's
_UNIT = re.compile(rb'<model[^>]*\sunit="(\w+)"')
_MM = {b"micron": 1e-3, b"centimeter": 10.0, b"inch": 25.4, b"foot": 304.8, b"meter": 1000.0}  # in 3MF
_HEAD_BYTES = 4096
_LONGEST_MM = (60.0, 2500.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshFile:
    """A file's triangles in LPS mm, shape (m, 3, 3), and the frame that it names itself, if any."""

    corners_mm: Corners
    stated_frame: Frame | None


def _head(path: Path) -> bytes:
    """The first bytes of what tells frame and unit; none of a 3MF that cannot be unpacked."""
    if path.suffix.lower() != ".3mf":
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(MODEL_IN_3MF) as model:
            return model.read(_HEAD_BYTES)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):  # torn, sealed
        return b""


def read_corners_mm(path: Path, suffix: str, frame: Frame) -> Corners:
    """Corners of a file's triangles in LPS mm, shape (m, 3, 3), as trimesh reads them. Raises: OSError if it cannot."""
    try:
        with path.open("rb") as stream:
            loaded: Any = trimesh.load_scene(stream, file_type=suffix[1:], process=False)
            corners = np.asarray(loaded.to_mesh().triangles, np.float64)
    except Exception as error:  # whatever it makes of a torn file
        raise OSError(errno.EIO, f"trimesh cannot read it: {error}") from error
    if suffix == ".glb":
        corners = corners * 1000.0 @ np.array(UPRIGHT[frame], np.float64)
    return corners * ((-1.0, -1.0, 1.0) if frame == "RAS" else (1.0, 1.0, 1.0))


def read_mesh_file(path: Path, *, ras: bool = False) -> MeshFile:
    """Read and check a mesh file of whatever program.

    Args:
        ras: its coordinates are in RAS, where it does not say; else LPS is taken.
    Raises: Refusal IN-26 if it cannot be opened, IN-14 if it is no whole mesh, IN-19 if no bone is as long (exit 3);
        CFG-01 (exit 2) if it says that it is in LPS though `ras`.
    """
    with opened(path):
        head = _head(path)
        found = _STATED.search(head)
        said: Frame | None = found and ("RAS" if found[1] == b"RAS" else "LPS")
        if ras and said == "LPS":
            raise Refusal.of("CFG-01", "--ras", f"{path} says that it is in LPS", "leave --ras out")
        try:
            corners = read_corners_mm(path, path.suffix.lower(), "RAS" if ras else said or "LPS")
        except OSError as error:
            raise Refusal.of("IN-14", path, error.strerror or str(error), "export it again, or copy it again") from None
    if not len(corners) or not np.isfinite(corners).all():
        problem = "holds coordinates that are no numbers" if len(corners) else "holds no triangles"
        raise Refusal.of("IN-14", path, problem, "export it again")
    if (unit := _UNIT.search(head)) is not None:
        corners = corners * _MM.get(unit[1], 1.0)
    long_mm = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
    if not _LONGEST_MM[0] <= long_mm <= _LONGEST_MM[1]:
        problem = f"is {long_mm:.3g} mm long, expected {_LONGEST_MM[0]:.0f} to {_LONGEST_MM[1]:.0f} (another unit?)"
        raise Refusal.of("IN-19", path, problem, "export it in millimetres (GLB: in metres)")
    return MeshFile(corners_mm=corners, stated_frame=said)
