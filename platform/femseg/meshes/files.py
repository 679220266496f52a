"""A mesh as a file that other programs open: whole, in a stated frame, read back by another reader before it is named.

STL, PLY and 3MF hold millimetres in the patient's frame, LPS or RAS, and say so: in STL's 80 bytes of header, a comment
of PLY, the description of 3MF. GLB's unit is the metre and its y axis points up, so its node carries the matrix that
turns millimetres of the frame into that; its vertices are millimetres of the frame, and `extras` say so.
"""

import errno
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg import __version__
from femseg.errors import Refusal
from femseg.files.durable import written_durably
from femseg.files.plain import name_fault
from femseg.meshes.mesh import SUFFIXES, Frame, TriangleMesh
from femseg.meshes.reading import MODEL_IN_3MF, UPRIGHT, read_corners_mm

SAME_PLACE_MM = 1e-3
_STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_PLY_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_AXES = {"LPS": "left, posterior, superior", "RAS": "right, anterior, superior"}


def require_mesh_suffix(path: Path) -> str:
    """The suffix that decides the format. Raises: Refusal (exit 2) if it is none that we write, or there is no more."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        problem, fix = (
            f"meshes are written as {', '.join(SUFFIXES)}, not as '{path.suffix}'",
            "choose one of these suffixes",
        )
    elif problem := name_fault(path):
        fix = "choose another name"
    else:
        return suffix
    raise Refusal.of("CFG-01", path, problem, fix)


def write_mesh(path: Path, mesh: TriangleMesh, frame: Frame = "LPS") -> None:
    """Write a mesh in the format that the suffix names; trimesh reads it back before it gets its name.

    Every corner of every triangle must come back within 1e-3 mm. The same mesh gives the same bytes.

    Raises: Refusal (exit 2) on an unknown suffix; (exit 5) if the disk is full.
    """
    suffix = require_mesh_suffix(path)
    vertices = mesh.vertices_in(frame).astype("<f4")
    words = f"femseg: {frame} ({_AXES[frame]}), millimetres"

    def reads_back(temporary: Path) -> None:
        found = read_corners_mm(temporary, suffix, frame)
        expected = mesh.corners_mm
        if found.shape != expected.shape or not np.all(np.abs(found - expected) <= SAME_PLACE_MM):
            raise OSError(errno.EIO, "triangles read back differ from triangles written")

    with written_durably(path, check=reads_back) as temporary:
        if suffix == ".3mf":
            _write_3mf(temporary, vertices, mesh.triangles, words)
        else:
            content = {".stl": _stl, ".ply": _ply, ".glb": _glb}[suffix](vertices, mesh.triangles, words, frame)
            temporary.write_bytes(content)


Vertices = NDArray[np.float32]
Triangles = NDArray[np.int64]


def _stl(vertices: Vertices, triangles: Triangles, words: str, frame: Frame) -> bytes:
    records = np.zeros(len(triangles), _STL_RECORD)
    corners = vertices[triangles]
    records["corners"] = corners
    normals = np.cross(*np.moveaxis(np.diff(corners.astype(np.float64), axis=1), 1, 0))
    records["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return words.encode().ljust(80) + struct.pack("<I", len(triangles)) + records.tobytes()


def _ply(vertices: Vertices, triangles: Triangles, words: str, frame: Frame) -> bytes:
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {words}\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.zeros(len(triangles), _PLY_FACE)
    faces["count"], faces["corners"] = 3, triangles
    return header.encode() + vertices.tobytes() + faces.tobytes()


def _glb(vertices: Vertices, triangles: Triangles, words: str, frame: Frame) -> bytes:
    indices = triangles.astype("<u4").tobytes()
    points = vertices.tobytes()
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(UPRIGHT[frame]) / 1000.0
    bounds = {"min": vertices.min(axis=0).tolist(), "max": vertices.max(axis=0).tolist()}
    extras = {"frame": frame, "unit": "mm", "description": f"{words}; the node's matrix gives metres with y up"}
    scene: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"femseg {__version__}", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "femur", "mesh": 0, "matrix": matrix.T.ravel().tolist(), "extras": extras}],
        "meshes": [{"name": "femur", "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": 5125, "count": triangles.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points), "target": 34962},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(indices), "target": 34963},
        ],
        "buffers": [{"byteLength": len(points) + len(indices)}],
    }
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(points) + len(indices), b"BIN\0") + points + indices
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


_3MF_PARTS = {
    "[Content_Types].xml": '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>\n',
    "_rels/.rels": '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>\n',
}


def _write_3mf(path: Path, vertices: Vertices, triangles: Triangles, words: str) -> None:
    points = "".join(f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>' for x, y, z in vertices.tolist())
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in triangles.tolist())
    model = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xml:lang="en-US" '
        'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
        f'<metadata name="Application">femseg {__version__}</metadata><metadata name="Description">{words}</metadata>'
        f'<resources><object id="1" name="femur" type="model"><mesh><vertices>{points}</vertices>'
        f"<triangles>{faces}</triangles></mesh></object></resources>"
        '<build><item objectid="1"/></build></model>\n'
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**_3MF_PARTS, MODEL_IN_3MF: model}.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
