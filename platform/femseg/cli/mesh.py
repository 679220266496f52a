"""`femseg mesh`: a mask in, a solid of each femur out, with its measured deviation."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg import __version__
from femseg.cli.bones import unexplained
from femseg.cli.check import by_side
from femseg.cohorts.femur_side import Side, pieces_of
from femseg.cohorts.settings import LabelMap
from femseg.errors import Refusal
from femseg.files.durable import read_json, require_writable, sha256_of_file, write_json_durably
from femseg.formats.reading import of_labels, read_checked_labels
from femseg.formats.volume_file import check_volume_file
from femseg.inference.femora import AS_WRITTEN, told_apart
from femseg.lineage.records import read_record, record_of
from femseg.meshes.femur import FemurMesh, MeshSettings, femur_mesh
from femseg.meshes.files import require_mesh_suffix, write_mesh
from femseg.meshes.mesh import Frame, TriangleMesh
from femseg.meshes.printing import cut, fits, least_box_mm, thinner_than
from femseg.volumes.grid import MaskVolume, VoxelGrid

FORMAT = 1
_NEAR, _DRIFT = 0.99, 0.005
_SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    """How meshes are made and written.

    Attributes:
        frame: of the coordinates in the file, of `plane` too.
        plane: a point and a normal (x, y, z, x, y, z), where each femur is cut in two.
        build_mm: a printer's build volume.
        wall_mm: what is thinner is remarked; 0 asks for nothing.
    """

    settings: MeshSettings = field(default_factory=MeshSettings)
    frame: Frame = "LPS"
    plane: tuple[float, ...] = ()
    build_mm: tuple[float, ...] = ()
    wall_mm: float = 0.0
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Femur:
    """One femur of a mask: "left", "right", or "" where nothing tells its side; what was noticed about it."""

    side: str
    mask: MaskVolume
    remarks: tuple[str, ...] = ()


def numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """Numbers with commas between. Raises: Refusal CFG-01 (exit 2) if they are not `count` finite ones."""
    try:
        found = tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError:
        found = (np.nan,)
    if text and (len(found) != count or not np.all(np.isfinite(found))):
        raise Refusal.of("CFG-01", option, f"expected {count} numbers with commas between, got {text!r}", "correct it")
    return found


def labels_of(words: Sequence[str] | None) -> LabelMap:
    """What mask values mean, from SIDE=VALUE. Raises: Refusal CFG-01 (exit 2) if it cannot be understood."""
    labels: LabelMap = by_side("--label", words or (), LabelMap, int)
    return labels


def femora_of(values_zyx: NDArray[np.generic], grid: VoxelGrid, labels: LabelMap, *, name: str) -> list[Femur]:
    """The femora of a mask: by its values where these say a side, else by place and shape.

    Raises: Refusal IN-22 (exit 3) if there is none, or the mask holds several values that nobody explains.
    """
    found = [int(value) for value in np.unique(values_zyx) if value != 0]
    if len(found) > 1 and not labels.known:
        raise unexplained(found, name)
    if not labels.left and not labels.right:
        femur_zyx = of_labels(values_zyx, labels.femur or found)
        if femur_zyx.any():
            values_zyx, labels = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=grid)).labels.labels_zyx, AS_WRITTEN
    by_side = (("left", labels.left), ("right", labels.right), ("", labels.femur))
    masks = [(side, of_labels(values_zyx, values)) for side, values in by_side]
    femora = [_large_pieces(side, mask_zyx, grid) for side, mask_zyx in masks if mask_zyx.any()]
    if not femora:
        fix = "give a mask that is not empty, or another --label"
        raise Refusal.of("IN-22", name, f"shows no femur; it holds the values {found}", fix)
    return femora


def own_labels(mask: Path) -> LabelMap:
    """What the values of a mask mean that `femseg segment` wrote, as its record proves; of others, nobody knows."""
    known = record_of(mask)
    if known is not None:
        record = read_record(known[0])
        if record.kind == "segmentation" and record.files.get(known[1] or "mask") == sha256_of_file(mask):
            return AS_WRITTEN
    return LabelMap()


def _large_pieces(side: str, mask_zyx: NDArray[np.bool_], grid: VoxelGrid) -> Femur:
    """A femur without pieces of up to 1 ml beside larger ones, which are no bone that one prints."""
    parts = pieces_of(mask_zyx, grid)
    kept, remarks = parts.large, []
    if len(kept) > 1:
        remarks.append(f"{len(kept)} separate pieces are in one file")
    if small := parts.pieces[len(kept) :]:
        remarks.append(f"{len(small)} pieces of together {sum(p.volume_ml for p in small):.2g} ml are left out")
    return Femur(side=side, mask=parts.mask_of(kept, grid), remarks=tuple(remarks))


def mesh_file(mask_path: Path, output: Path, options: MeshOptions, labels: LabelMap, *, as_json: bool) -> None:
    """Check a mask, make a solid of each femur and write it, with a record beside it.

    Raises: Refusal IF-08 (exit 2) if an output exists, MS-01 (exit 3) if no solid comes out, or what is wrong with the
        mask.
    """
    require_mesh_place(output, overwrite=options.overwrite)
    checked = check_volume_file(mask_path, "mask")
    values_zyx = read_checked_labels(checked)
    labels = labels if labels.known else own_labels(mask_path)
    femora = femora_of(values_zyx, checked.grid, labels, name=str(mask_path))
    solids = solids_of(output, femora, options)
    records = write_solids(output, solids, options, mask_sha256=sha256_of_file(mask_path))
    print(json.dumps(records, indent=2) if as_json else "\n".join(line for one in records for line in lines_of(one)))


def names_of(output: Path, femora: Sequence[Femur], *, parts: int) -> list[list[Path]]:
    """The files of each femur: NAME.stl, or NAME-left.stl and NAME-right.stl, and -1 and -2 of one that is cut."""
    stems = [output.stem if len(femora) == 1 else f"{output.stem}-{femur.side or 'unknown'}" for femur in femora]
    tails = [f"-{number}" for number in range(1, parts + 1)] if parts > 1 else [""]
    return [[output.with_name(f"{stem}{tail}{output.suffix}") for tail in tails] for stem in stems]


def require_free(meshes: Iterable[Path]) -> None:
    """Raises: Refusal IF-08 (exit 2) if one of these, or of their records, exists."""
    for path in (path for mesh in meshes for path in (mesh, _record_beside(mesh))):
        if os.path.lexists(path):
            raise Refusal.of("IF-08", path, "exists already", "choose another name, or give --overwrite")


def require_mesh_place(output: Path, *, overwrite: bool) -> None:
    """Refuse before minutes of work what `write_solids` would refuse after. Raises: Refusal (exit 2 or 5)."""
    require_mesh_suffix(output)
    require_writable(output)
    if not overwrite:
        require_free(
            output.with_name(output.stem + side + output.suffix) for side in ("", "-left", "-right", "-unknown")
        )


def _record_beside(mesh: Path) -> Path:
    return mesh.with_name(mesh.name + ".json")


def recorded_side(mesh: Path) -> Side | None:
    """The side that the record beside a mesh names; None where none does, or the record is of another mesh."""
    try:
        record = read_json(_record_beside(mesh))
    except (Refusal, OSError):
        return None
    own = isinstance(record, dict) and record.get("sha256") == sha256_of_file(mesh)
    return next((side for side in _SIDES if own and record.get("side") == side), None)


def solids_of(output: Path, femora: Sequence[Femur], options: MeshOptions) -> list[tuple[Femur, FemurMesh]]:
    """A proven solid of each femur; `output` is what a refusal names. Raises: Refusal MS-01 (exit 3) if one is none."""
    files = names_of(output, femora, parts=1)
    return [(f, femur_mesh(f.mask, options.settings, name=str(path))) for f, (path,) in zip(femora, files, strict=True)]


def write_solids(
    output: Path, solids: Sequence[tuple[Femur, FemurMesh]], options: MeshOptions, *, mask_sha256: str
) -> list[dict[str, Any]]:
    """Write all meshes, and a record beside each; returns the records. No file is written unless all can be cut."""
    files = names_of(output, [femur for femur, _ in solids], parts=2 if options.plane else 1)
    if not options.overwrite:
        require_free(path for paths in files for path in paths)
    parts = [_parts(one.mesh, options, str(paths[0])) for (_, one), paths in zip(solids, files, strict=True)]
    records = []
    for (femur, one), paths, cut_parts in zip(solids, files, parts, strict=True):
        for path, part in zip(paths, cut_parts, strict=True):
            write_mesh(path, part, options.frame)
            record = _record(path, part, femur, one, options) | {"mask_sha256": mask_sha256}
            write_json_durably(_record_beside(path), record)
            records.append(record | {"file": str(path)})
    return records


def _parts(mesh: TriangleMesh, options: MeshOptions, name: str) -> list[TriangleMesh]:
    if not options.plane:
        return [mesh]
    x, y, z, *normal = options.plane
    to_lps = -1.0 if options.frame == "RAS" else 1.0
    towards = (to_lps * normal[0], to_lps * normal[1], normal[2])
    return list(cut(mesh, (to_lps * x, to_lps * y, z), towards, name=name))


def _record(path: Path, part: TriangleMesh, femur: Femur, one: FemurMesh, options: MeshOptions) -> dict[str, Any]:
    """What stands beside a mesh: which file it is, in which frame, how far off, and what a printer should know."""
    remarks = list(femur.remarks)
    near, drift = one.deviation.vertices_near, one.deviation.volume_drift
    if near < _NEAR or abs(drift) > _DRIFT:
        remarks.append(f"coarser than a femur should be: {near:.1%} of vertices within 0.25 mm, volume {drift:+.2%}")
    if options.build_mm and not fits(part, options.build_mm):
        remarks.append(f"does not fit into {_by(options.build_mm)} mm; cut it with --cut")
    thin, least = thinner_than(part, options.wall_mm) if options.wall_mm else (0.0, None)
    if least is not None:
        remarks.append(f"thinner than {options.wall_mm:g} mm behind {thin:.1%} of its surface, {least:.2f} mm at least")
    return {
        "format": FORMAT,
        "file": path.name,
        "sha256": sha256_of_file(path),
        "femseg": __version__,
        "side": femur.side,
        "frame": options.frame,
        "unit": "mm",
        "triangles": len(part.triangles),
        "volume_ml": part.volume_mm3 / 1000.0,
        "box_mm": list(least_box_mm(part)),
        "settings": asdict(options.settings),
        "decimation_mm": one.decimation_mm,
        "deviation": asdict(one.deviation),
        "remarks": remarks,
    }


def lines_of(record: dict[str, Any]) -> list[str]:
    """A record in words."""
    there, back = record["deviation"]["to_mask"], record["deviation"]["to_mesh"]
    words = "mean {mean_mm:.2f}, 95 % {p95_mm:.2f}, max {max_mm:.2f} mm"
    side = f"{record['side']} femur" if record["side"] else "femur"
    return [
        f"{record['file']}: {side} {record['volume_ml']:.1f} ml, {record['triangles']} triangles, closed and outward, "
        f"{record['frame']} mm, box {_by(record['box_mm'])} mm",
        f"  mesh to mask: {words.format(**there)}; mask to mesh: {words.format(**back)}",
        f"  {record['deviation']['vertices_near']:.1%} of vertices within 0.25 mm of the mask's surface, "
        f"volume {record['deviation']['volume_drift']:+.2%}, fewer triangles cost {record['decimation_mm']:.2f} mm",
        *(f"  {remark}" for remark in record["remarks"]),
    ]


def _by(lengths: Sequence[float]) -> str:
    return " × ".join(f"{length:.0f}" for length in lengths)
