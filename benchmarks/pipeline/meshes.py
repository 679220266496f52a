"""A femur's mesh by femseg and by others, out of one mask: is it a solid, how far off, how long does it take?

Usage: python -m benchmarks.pipeline.meshes [--output FILE] [--figure FILE] [--spacing MM]

The mask is a phantom's whole femur. Every mesh is judged by the same functions: our proof, and the exact distances to
the mask's surface. VTK's surface nets take part where VTK is installed (`pip install vtk`). Seconds are by the clock;
where other work runs beside, `cpu_seconds` say more (of all threads). `surface_of` holds the surface of a probability
against that of the mask cut from it.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import trimesh
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import marching_cubes

from benchmarks.pipeline.measurements import shape_of, upright
from femseg.files.durable import write_json_durably
from femseg.meshes.deviation import deviation
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.solid import flaws
from femseg.meshes.surface import mask_surface, surface
from femseg.networks.network import FEMUR_FROM
from femseg.phantom.femur import femur_box, femur_voxels
from femseg.phantom.frame import leg_frame
from femseg.phantom.patient import draw_patient
from femseg.reports.case.rendering import STOPS, deviation_colours, rendered, top_mm, view_names
from femseg.reports.style import LIGHT, figure, pixels, styled
from femseg.volumes.grid import MaskVolume, VoxelGrid

try:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy
except ImportError:
    vtk = None


PROBABILITIES_MM = ((0.8, 1.0), (1.5, 3.0))  # voxels of a CT, and of a network


def phantom_femur(spacing_mm: float) -> MaskVolume:
    """A whole left femur, in the box that holds it."""
    patient = draw_patient(7, 0)
    length = patient.femur_length_mm + 60.0
    shape = tuple(int(edge / spacing_mm) for edge in (length, 260.0, 260.0))
    grid = VoxelGrid(shape_zyx=shape, spacing_mm_zyx=(spacing_mm,) * 3, origin_mm_xyz=(-40.0, -130.0, 40.0 - length))
    frame = leg_frame(patient, "left", grid)
    where = frame.where_femur(femur_box(patient))
    femur_zyx = np.zeros(shape, np.bool_)
    no_texture = np.zeros_like(femur_zyx[where], np.float32)
    femur_zyx[where] = femur_voxels(frame, frame.femur[where], no_texture).distance_mm < 0
    filled = [np.flatnonzero(femur_zyx.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(int(f[0]) - 2, int(f[-1]) + 3) for f in filled)
    origin = grid.position_mm_xyz(tuple(float(part.start) for part in box))
    cropped = femur_zyx[box]
    grid = VoxelGrid(shape_zyx=cropped.shape, spacing_mm_zyx=grid.spacing_mm_zyx, origin_mm_xyz=tuple(origin.tolist()))
    return MaskVolume(femur_zyx=cropped, grid=grid)


def by_femseg(mask: MaskVolume) -> TriangleMesh:
    """Proof and deviation are part of it."""
    return femur_mesh(mask, MeshSettings()).mesh


def by_skimage(mask: MaskVolume) -> TriangleMesh:
    """Marching cubes on the mask of 0 and 1."""
    indices, triangles, _, _ = marching_cubes(mask.femur_zyx.astype(np.float32), 0.5)
    return in_patient(indices, triangles, mask.grid)


def in_patient(indices_zyx: NDArray[np.floating], triangles: NDArray[np.integer], grid: VoxelGrid) -> TriangleMesh:
    """Also of others' meshes: they leave it to whoever calls them."""
    vertices = grid.positions_mm_xyz(indices_zyx.astype(np.float64))
    return TriangleMesh(vertices_mm_xyz=vertices, triangles=triangles.astype(np.int64))


def by_trimesh(smooth: Callable[[trimesh.Trimesh], object]) -> Callable[[MaskVolume], TriangleMesh]:
    """scikit-image's marching cubes, smoothed by trimesh."""

    def made(mask: MaskVolume) -> TriangleMesh:
        rough = by_skimage(mask)
        mesh = trimesh.Trimesh(rough.vertices_mm_xyz, rough.triangles, process=False)
        smooth(mesh)
        return TriangleMesh(vertices_mm_xyz=np.array(mesh.vertices), triangles=rough.triangles)

    return made


def by_surface_nets(iterations: int) -> Callable[[MaskVolume], TriangleMesh]:
    """VTK's, with its own smoothing."""

    def made(mask: MaskVolume) -> TriangleMesh:
        image = vtk.vtkImageData()
        image.SetDimensions(*mask.grid.shape_zyx[::-1])
        image.GetPointData().SetScalars(numpy_to_vtk(mask.femur_zyx.astype(np.uint8).ravel(), deep=True))
        nets = vtk.vtkSurfaceNets3D()
        nets.SetInputData(image)
        nets.SetValue(0, 1)
        nets.SetOutputMeshTypeToTriangles()
        nets.SetSmoothing(iterations > 0)
        nets.GetSmoother().SetNumberOfIterations(iterations)
        nets.Update()
        found = nets.GetOutput()
        points = vtk_to_numpy(found.GetPoints().GetData())[:, ::-1]
        triangles = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 3)
        mesh = in_patient(points, triangles, mask.grid)
        turned = mesh.volume_mm3 < 0
        return TriangleMesh(vertices_mm_xyz=mesh.vertices_mm_xyz, triangles=triangles[:, :: -1 if turned else 1])

    return made


def candidates() -> dict[str, Callable[[MaskVolume], TriangleMesh]]:
    """Each with what its documentation gives as usual."""
    laplacian = by_trimesh(
        lambda mesh: trimesh.smoothing.filter_laplacian(mesh, iterations=20, volume_constraint=False)
    )
    taubin = by_trimesh(lambda mesh: trimesh.smoothing.filter_taubin(mesh, iterations=20))
    found = {
        "femseg": by_femseg,
        "scikit-image": by_skimage,
        "trimesh, 20 Laplacian": laplacian,
        "trimesh, 20 Taubin": taubin,
    }
    if vtk is not None:
        found |= {f"VTK surface nets, {n} smoothing": by_surface_nets(n) for n in (0, 16, 50)}
    return found


def measured(make: Callable[[MaskVolume], TriangleMesh], mask: MaskVolume) -> tuple[TriangleMesh, dict[str, object]]:
    """One run."""
    wall, cpu = time.perf_counter(), time.process_time()
    mesh = make(mask)
    spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    judged = {"triangles": len(mesh.triangles), "flaws": list(flaws(mesh)), **asdict(deviation(mesh, mask))}
    return mesh, {**spent, **judged}


def of_a_probability(spacing_mm: float, network_mm: float) -> dict[str, dict[str, float]]:
    """The surface of a probability at one half, and the mask's: how far from the mask, and how far from the bone.

    The probability is the best that a network could give: on its own voxels it rises evenly through the bone's true
    surface. As `femseg segment` does, it is interpolated on the CT's grid, and the mask cut there.
    """
    patient = upright(7, 0)
    true, seen = shape_of(patient, spacing_mm), shape_of(patient, network_mm)
    on_network = np.clip(0.5 - seen.voxels.distance_mm / (2.0 * network_mm), 0.0, 1.0)
    first = seen.grid.indices_zyx(np.array([true.grid.origin_mm_xyz]))[0]
    step = np.full(3, spacing_mm / network_mm)
    shape = true.grid.shape_zyx
    probability = ndimage.affine_transform(on_network, step, first, output_shape=shape, order=1, mode="nearest")
    mask = MaskVolume(femur_zyx=probability >= FEMUR_FROM, grid=true.grid)
    found = {}
    for name, mesh in {"mask": mask_surface(mask), "probability": surface(probability, mask.grid, FEMUR_FROM)}.items():
        off_mask = deviation(mesh, mask)
        places = true.grid.indices_zyx(mesh.vertices_mm_xyz).T
        off_bone = np.abs(ndimage.map_coordinates(true.voxels.distance_mm, places, order=1, mode="nearest"))
        found[name] = {
            "vertices_near": off_mask.vertices_near,
            "volume_drift": off_mask.volume_drift,
            "to_mask_mean_mm": off_mask.to_mask.mean_mm,
            "to_bone_mean_mm": float(off_bone.mean()),
            "to_bone_p95_mm": float(np.percentile(off_bone, 95)),
        }
    return found


def draw(path: Path, mask: MaskVolume) -> None:
    """Our mesh from three sides, with its distance from the mask's surface as colour, and what was measured of it."""
    made = femur_mesh(mask, MeshSettings())
    off, back, top = made.deviation.to_mask, made.deviation.to_mesh, top_mm([made.vertices_off_mm])
    coloured = (made.mesh, deviation_colours(made.vertices_off_mm, top))
    views = {view: rendered([coloured], view, pixel_mm=0.5) for view in view_names(1)}
    with styled(LIGHT):
        drawn = figure(6.2, 6.6)
        axes = drawn.subplots(1, len(views), width_ratios=[picture.shape[1] for picture in views.values()])
        for axis, (view, picture) in zip(axes, views.items(), strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            axis.set_title(view, fontweight="normal")
        scale = ScalarMappable(Normalize(0.0, top), LinearSegmentedColormap.from_list("deviation", STOPS / 255.0))
        bar = drawn.colorbar(scale, ax=axes, orientation="horizontal", shrink=0.5, aspect=40, pad=0.02)
        bar.set_label("distance from the mask's surface, mm")
        drawn.suptitle(
            f"{len(made.mesh.triangles)} triangles, closed and outward; volume {made.deviation.volume_drift:+.2%}\n"
            f"mesh to mask: mean {off.mean_mm:.2f}, 95 % {off.p95_mm:.2f}, max {off.max_mm:.2f} mm; "
            f"mask to mesh: mean {back.mean_mm:.2f}, 95 % {back.p95_mm:.2f}, max {back.max_mm:.2f} mm",
            fontsize=8,
        )
        Image.fromarray(pixels(drawn)[..., :3]).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spacing", type=float, default=0.8)
    parser.add_argument("--figure", type=Path, help="Draw femseg's mesh, and compare nothing.")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    mask = phantom_femur(arguments.spacing)
    if arguments.figure:
        draw(arguments.figure, mask)
        return
    made = {name: measured(make, mask) for name, make in candidates().items()}
    result = {
        "command": "python -m benchmarks.pipeline.meshes",
        "spacing_mm": arguments.spacing,
        "shape_zyx": list(mask.grid.shape_zyx),
        "meshes": {name: found for name, (_, found) in made.items()},
        "surface_of": [
            {"ct_mm": ct_mm, "network_mm": network_mm, **of_a_probability(ct_mm, network_mm)}
            for ct_mm, network_mm in PROBABILITIES_MM
        ],
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
