"""The page of one case: works from the disk, asks no network for anything, and is useful where no script runs."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from femseg.errors import printable
from femseg.reports.case.facts import CasePage, PageFemur, Solid
from femseg.reports.case.pictures import FemurPlanes, femur_planes
from femseg.reports.case.rendering import Colours, css_gradient, deviation_colours, rendered, top_mm, view_names
from femseg.reports.case.scene import cropped, ct_nrrd, labels_nrrd, mz3, scene_grid
from femseg.reports.pages import data_uri, templates, webp
from femseg.reports.sheet_page import shown_sheets
from femseg.volumes.grid import Triple, to_lps

HEADLINES = {"usable": "Usable", "review": "Review before use", "reject": "Do not use"}
_SCENE_MARGIN_MM = 20.0
_RENDERED_PIXEL_MM = 0.6
_QUALITY = 80


@cache
def viewer() -> str:
    """NiiVue as it was published: one script."""
    return files("femseg.reports").joinpath("niivue/niivue.umd.js").read_text(encoding="utf-8")


@cache
def _own_script() -> str:
    return files("femseg.reports").joinpath("templates/case.js").read_text(encoding="utf-8")


def csp_hash(script: str) -> str:
    """By which a page's policy allows this script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def case_page(case: CasePage) -> str:
    """The page as HTML; the same case gives the same bytes. Text from outside is escaped, and no other script runs."""
    solids = [femur.solid for femur in case.femora if femur.solid is not None]
    top = top_mm([solid.off_mm for solid in solids])
    coloured = [(solid, deviation_colours(solid.off_mm, top)) for solid in solids]
    sheets = tuple(femur.sheet for femur in case.femora if femur.sheet is not None)
    masks = tuple(femur.mask for femur in case.femora if femur.sheet is not None)
    scene, scene_mm = _scene(case, coloured)
    scripts = (viewer(), _own_script()) if case.femora else ()
    return (
        templates()
        .get_template("case.html.j2")
        .render(
            case=case,
            name=printable(case.name),
            headline=HEADLINES[case.verdict],
            policy=" ".join(csp_hash(script) for script in scripts) or "'none'",
            scripts=scripts,
            femora=[(femur, _planes(case, femur)) for femur in case.femora],
            scene=scene,
            scene_mm=scene_mm,
            at=",".join(f"{place:.1f}" for place in _first_look(case.femora)) if case.femora else "",
            drawings=_drawings(coloured),
            solids=[(femur, femur.solid) for femur in case.femora if femur.solid is not None],
            legend={"gradient": css_gradient(), "half": f"{top / 2:g}", "top": f"{top:g}"},
            sheet=shown_sheets(sheets, masks) if sheets else None,
            grid=_grid_words(case),
        )
    )


def _planes(case: CasePage, femur: PageFemur) -> list[FemurPlanes]:
    """Through the place that the verdict names, if it names one, and through the femur."""
    places = [femur.look_at_mm_xyz, None] if femur.look_at_mm_xyz else [None]
    return [femur_planes(case.ct, case.labels, femur.label, through_mm_xyz=place) for place in places]


def _scene(case: CasePage, coloured: Sequence[tuple[Solid, Colours]]) -> tuple[dict[str, str], float]:
    """What the viewer loads, in base64 by its element's name; and how coarse the CT is in it, in mm."""
    if not case.femora:
        return {}, 0.0
    ct, labels = cropped(case.ct, case.labels, _SCENE_MARGIN_MM)
    grid = scene_grid(ct.grid)
    parts = {"ct": ct_nrrd(ct, grid), "mask": labels_nrrd(labels, grid)}
    parts |= {f"mesh-{number}": mz3(solid.mesh, colours) for number, (solid, colours) in enumerate(coloured)}
    return {name: base64.b64encode(content).decode() for name, content in parts.items()}, max(grid.spacing_mm_zyx)


def _first_look(femora: Sequence[PageFemur]) -> Triple:
    """Where the viewer begins (LPS, mm): at what the verdict names, else in the first femur, half-way up."""
    if named := next((femur.look_at_mm_xyz for femur in femora if femur.look_at_mm_xyz), None):
        return named
    femur_zyx, grid = to_lps(femora[0].mask.femur_zyx, femora[0].mask.grid)
    heights = np.flatnonzero(femur_zyx.any(axis=(1, 2)))
    middle = int(heights[len(heights) // 2])
    y, x = np.argwhere(femur_zyx[middle]).mean(axis=0).tolist()
    left, back, up = grid.position_mm_xyz((middle, y, x)).tolist()
    return left, back, up


def _drawings(coloured: Sequence[tuple[Solid, Colours]]) -> list[tuple[str, str]]:
    """The meshes from some sides, and from where."""
    meshes = [(solid.mesh, colours) for solid, colours in coloured]
    return [
        (view, data_uri(webp(rendered(meshes, view, _RENDERED_PIXEL_MM), _QUALITY), "webp"))
        for view in (view_names(len(meshes)) if meshes else ())
    ]


def _grid_words(case: CasePage) -> str:
    z, y, x = case.ct.grid.shape_zyx
    z_mm, y_mm, x_mm = case.ct.grid.spacing_mm_zyx
    return f"{x} × {y} × {z} voxels of {x_mm:.3g} × {y_mm:.3g} × {z_mm:.3g} mm"
