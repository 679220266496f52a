"""`femseg segment`, `mesh` and `measure`: from a CT to a femur."""

from pathlib import Path
from typing import Annotated

import typer

from femseg.cli.commands.options import VERSIONS, given_path
from femseg.exits import command_exit


def segment(
    ct: Annotated[
        Path,
        typer.Argument(
            parser=given_path,
            help="A DICOM folder, a NIfTI, NRRD or MHA file, or a ZIP of either; or a folder of studies.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Mask file: .nii.gz, .nii, .nrrd or .mha; or a folder, for all studies of a folder."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(help=f"{VERSIONS} models:/femseg is the champion, else femseg's own model, else the challenger."),
    ] = "models:/femseg",
    series: Annotated[
        list[str] | None, typer.Option(help="Number, description or UID of the series, where a folder holds several.")
    ] = None,
    regularise: Annotated[bool, typer.Option("--regularise", help="Resample unevenly spaced slices.")] = False,
    untilt: Annotated[bool, typer.Option("--untilt", help="Resample a scan made with a tilted gantry.")] = False,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    mesh_output: Annotated[
        Path | None,
        typer.Option(
            "--mesh",
            metavar="FILE",
            parser=given_path,
            help="Meshes, too: .stl, .ply, .3mf or .glb; of a folder, the name in each study's folder.",
        ),
    ] = None,
    dicom_seg: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="A DICOM-SEG of the CT's series, too: .dcm; likewise."),
    ] = None,
    rtstruct: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="An RTSTRUCT of the CT's series, too: .dcm; likewise."),
    ] = None,
    write_rejected: Annotated[
        bool, typer.Option("--write-rejected", help="Write a mask also where the verdict is: do not use it.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=given_path,
            help="A page of pictures, mesh and measurements, too: .html; of a folder, the name in each study's folder.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="The measurements as a table, too: .csv; likewise."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Segment the femur in a CT, or in every study of a folder; a mask lies on its CT's own grid."""
    from femseg.cli.outputs import Outputs
    from femseg.cli.segment import Choices, is_for_many, segment_file
    from femseg.cohorts.settings import CohortSettings

    with command_exit(as_json=as_json):
        mends = CohortSettings(regularise=regularise, untilt=untilt).mends
        choices = Choices.of(
            model, series=tuple(series or ()), accept_hu=accept_hu, mends=mends, write_rejected=write_rejected
        )
        outputs = Outputs(mesh=mesh_output, page=page, sheet=sheet, dicom_seg=dicom_seg, rtstruct=rtstruct)
        if is_for_many(ct, output):
            from femseg.cli.segment_folder import segment_folder  # Ray takes a second to load

            code = segment_folder(ct, output, choices, outputs, overwrite=overwrite, as_json=as_json)
        else:
            code = segment_file(ct, output, choices, outputs, overwrite=overwrite, as_json=as_json)
    raise typer.Exit(code)


def mesh(
    mask: Annotated[Path, typer.Argument(parser=given_path, help="A mask: .nii.gz, .nii, .nrrd or .mha.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Mesh file: .stl, .ply, .3mf or .glb.")],
    label: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=VALUE", help="What is femur by mask value: left=, right=, femur=.")
    ] = None,
    ras: Annotated[bool, typer.Option("--ras", help="Coordinates in RAS; else LPS, as DICOM has them.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="How far fewer triangles may lie from all of them, in mm; 0: keep all.")
    ] = 0.15,
    soften: Annotated[float, typer.Option(min=0.0, max=5.0, help="Blur of the mask before, in mm.")] = 0.8,
    smooth: Annotated[int, typer.Option(min=0, max=100, help="Steps of Taubin's smoothing.")] = 0,
    cut: Annotated[
        str, typer.Option(metavar="X,Y,Z,NX,NY,NZ", help="Cut in two at a plane: a point in mm, and its normal.")
    ] = "",
    build: Annotated[str, typer.Option(metavar="X,Y,Z", help="A printer's build volume in mm: does it fit?")] = "",
    wall: Annotated[float, typer.Option(min=0.0, help="Say where it is thinner than this, in mm.")] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing mesh files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Make a solid of each femur in a mask, proven closed, with its measured deviation from the mask."""
    from femseg.cli.extras import extra_needed

    with command_exit(as_json=as_json):
        with extra_needed("mesh", "femseg mesh"):
            from femseg.cli.mesh import MeshOptions, labels_of, mesh_file, numbers
            from femseg.meshes.femur import MeshSettings

        options = MeshOptions(
            settings=MeshSettings(softened_mm=soften, smoothing=smooth, tolerance_mm=tolerance),
            frame="RAS" if ras else "LPS",
            plane=numbers(cut, 6, "--cut"),
            build_mm=numbers(build, 3, "--build"),
            wall_mm=wall,
            overwrite=overwrite,
        )
        mesh_file(mask, output, options, labels_of(label), as_json=as_json)


def measure(
    femur: Annotated[
        Path,
        typer.Argument(
            metavar="MASK|MESH|CASE",
            parser=given_path,
            help="A mask file; a mesh: .stl, .ply, .3mf or .glb; or a study's folder with CT and mask.",
        ),
    ],
    ct: Annotated[Path | None, typer.Option(parser=given_path, help="The CT, for canal and cortex.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIDE=VALUE", help="What is femur by mask value: femur=, left=, right=; of a mesh: left=1, right=1."
        ),
    ] = None,
    ras: Annotated[bool, typer.Option("--ras", help="A mesh's coordinates are RAS, where it names no frame.")] = False,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    csv: Annotated[Path | None, typer.Option(parser=given_path, help="Write the values to this file, too.")] = None,
    picture: Annotated[
        Path | None, typer.Option(parser=given_path, help="Draw what was measured: a .svg or .png file.")
    ] = None,
    page: Annotated[Path | None, typer.Option(parser=given_path, help="The sheet as a page, too: .html.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print values, definitions and points as JSON.")] = False,
) -> None:
    """Measure a femur, or both: head, neck, version, lengths, axes, knee; with the CT also canal and cortex."""
    from femseg.cli.bones import BonesOptions
    from femseg.cli.measure import MeasureOptions
    from femseg.cli.measure import measure as measure_femur

    with command_exit(as_json=as_json):
        bones = BonesOptions(ct=ct, accept_hu=accept_hu, labels=tuple(label or ()), ras=ras)
        options = MeasureOptions(bones=bones, csv=csv, picture=picture, page=page, overwrite=overwrite)
        measure_femur(femur, options, as_json=as_json)
