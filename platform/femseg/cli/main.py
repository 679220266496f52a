"""`femseg …`: the command line. Heavy libraries load inside the command that needs them, so that --help is instant."""

import os
from pathlib import Path
from typing import Annotated

import typer

from femseg import __version__
from femseg.errors import Refusal
from femseg.exits import command_exit
from femseg.paths import PROMOTION_RULES

app = typer.Typer(
    name="femseg",
    help="Femur segmentation in CT: check studies, segment, and look after the registered model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_VERSIONS = "A model: 3, champion, @champion, models:/femseg/3, models:/femseg@champion, or a package folder."


def _path(text: str) -> Path:
    """A path that was really given: "", of an unset variable perhaps, would mean the folder one happens to be in."""
    if not text:
        raise typer.BadParameter("expected a path, got ''")
    return Path(text)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"femseg {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["FEMSEG_DEBUG"] = "1"


@app.command()
def check(
    folder: Annotated[
        Path, typer.Argument(parser=_path, help="Folder of studies, folder of a dataset, or one zipped study.")
    ],
    params: Annotated[
        Path | None,
        typer.Option(
            parser=_path, help="A params.yaml: check by its `cohort` settings; FOLDER replaces cohort.folder."
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="dicom, volumes, totalsegmentator, nnunet, msd, or auto: look and decide. "
            "[default: as --params says, else auto]"
        ),
    ] = "",
    masks: Annotated[bool, typer.Option("--masks/--no-masks", help="Whether each study must have a mask.")] = True,
    mask: Annotated[str, typer.Option(help="The mask's file or folder in each study, if it has no usual name.")] = "",
    series: Annotated[
        list[str] | None, typer.Option(help="Number, description or UID of the series, where a study holds several.")
    ] = None,
    patients: Annotated[
        str, typer.Option(help="Whose a study is: a .csv file (study,patient), or a pattern of its name.")
    ] = "",
    structure: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=NAME", help="What is femur by name: femur=, left= or right=.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=VALUE", help="What is femur by mask value; also other=.")
    ] = None,
    regularise: Annotated[bool, typer.Option("--regularise", help="Resample unevenly spaced slices.")] = False,
    untilt: Annotated[bool, typer.Option("--untilt", help="Resample scans made with a tilted gantry.")] = False,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    accept_frame: Annotated[
        bool, typer.Option("--accept-frame", help="Take a mask of another frame of reference on the CT's grid.")
    ] = False,
    headers: Annotated[
        bool, typer.Option("--headers", help="Headers alone: fast, and says what it leaves out.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, to be read in a browser.")] = None,
    split: Annotated[
        Path | None, typer.Option(help="A split by study names (splits_final.json): no patient on two sides.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Write the faulty studies to this file; end with 0 if any other is usable.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the settings that the check proposes into this params.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Check every study before anyone trains on it: all faults of all studies, in one pass."""
    from femseg.cli.check import CheckOptions, check_folder

    with command_exit(as_json=as_json):
        options = CheckOptions(
            params=params,
            cohort={
                "source": source,
                "mask": mask,
                "series": tuple(series or ()),
                "patients": patients,
                "structures": structure,
                "labels": label,
                "accept_hu": accept_hu,
                "accept_frame": accept_frame,
                "regularise": regularise,
                "untilt": untilt,
            },
            masks=masks,
            headers_only=headers,
            html=html,
            quarantine=quarantine,
            split=split,
            write=write,
        )
        code = check_folder(folder, options, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def plan(
    folder: Annotated[
        Path | None,
        typer.Argument(parser=_path, help="Folder of studies; without it, the cohort that the params.yaml names."),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(parser=_path, help="Settings that are kept, and the cohort. [default: --write, else params.yaml]"),
    ] = None,
    write: Annotated[Path | None, typer.Option(parser=_path, help="Write the plan into this params.yaml.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Try 20 training steps of each scale for time and memory.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Propose settings that fit the cohort and this machine, with reasons, memory, disk and time."""
    from femseg.cli.plan import plan_folder

    with command_exit(as_json=as_json):
        plan_folder(folder, params=params, write=write, probe=probe, as_json=as_json)


@app.command()
def segment(
    ct: Annotated[
        Path,
        typer.Argument(
            parser=_path, help="A DICOM folder, a NIfTI, NRRD or MHA file, or a ZIP of either; or a folder of studies."
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
        typer.Option(help=f"{_VERSIONS} models:/femseg is the champion, else femseg's own model, else the challenger."),
    ] = "models:/femseg",
    series: Annotated[
        list[str] | None, typer.Option(help="Number, description or UID of the series, where a folder holds several.")
    ] = None,
    regularise: Annotated[bool, typer.Option("--regularise", help="Resample unevenly spaced slices.")] = False,
    untilt: Annotated[bool, typer.Option("--untilt", help="Resample a scan made with a tilted gantry.")] = False,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    mesh_output: Annotated[
        Path | None, typer.Option("--mesh", metavar="FILE", help="Of one CT a mesh, too: .stl, .ply, .3mf or .glb.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Segment the femur in a CT, or in every study of a folder; a mask lies on its CT's own grid."""
    from femseg.cli.segment import Choices, is_for_many, segment_file
    from femseg.cohorts.settings import CohortSettings

    with command_exit(as_json=as_json):
        mends = CohortSettings(regularise=regularise, untilt=untilt).mends
        choices = Choices.of(model, series=tuple(series or ()), accept_hu=accept_hu, mends=mends)
        if not is_for_many(ct, output):
            segment_file(ct, output, choices, overwrite=overwrite, as_json=as_json, mesh=mesh_output)
            return
        if mesh_output is not None:
            raise Refusal.of(
                "CFG-01", "--mesh", "is for one CT, not for a folder of studies", "`femseg mesh MASK -o FILE`"
            )
        from femseg.cli.segment_folder import segment_folder  # Ray takes a second to load

        code = segment_folder(ct, output, choices, overwrite=overwrite, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def mesh(
    mask: Annotated[Path, typer.Argument(parser=_path, help="A mask: .nii.gz, .nii, .nrrd or .mha.")],
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


@app.command()
def measure(
    mask: Annotated[
        Path,
        typer.Argument(metavar="MASK|CASE", parser=_path, help="A mask file, or a study's folder with CT and mask."),
    ],
    ct: Annotated[Path | None, typer.Option(parser=_path, help="The CT, for canal and cortex.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=VALUE", help="What is femur by mask value: femur=, left=, right=.")
    ] = None,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    csv: Annotated[Path | None, typer.Option(parser=_path, help="Write the values to this file, too.")] = None,
    picture: Annotated[
        Path | None, typer.Option(parser=_path, help="Draw what was measured: a .svg or .png file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print values, definitions and points as JSON.")] = False,
) -> None:
    """Measure a femur, or both: head, neck, version, lengths, axes, knee; with the CT also canal and cortex."""
    from femseg.cli.measure import MeasureOptions
    from femseg.cli.measure import measure as measure_mask

    with command_exit(as_json=as_json):
        options = MeasureOptions(
            ct=ct, accept_hu=accept_hu, labels=tuple(label or ()), csv=csv, picture=picture, overwrite=overwrite
        )
        measure_mask(mask, options, as_json=as_json)


_VERSION = typer.Argument(metavar="VERSION", help=_VERSIONS)
_JSON = typer.Option("--json", help="Print the same as JSON.")


@app.command()
def promote(
    version: Annotated[str, _VERSION],
    rules: Annotated[Path, typer.Option(parser=_path, help="The rules.")] = PROMOTION_RULES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge it, and change nothing.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a version champion, if it passes every check of the gate."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import promote as judge_and_move

        judge_and_move(version, rules=rules, dry_run=dry_run, as_json=as_json)


@app.command()
def rollback(as_json: Annotated[bool, _JSON] = False) -> None:
    """Give the alias champion back to the version before."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import rollback as go_back

        go_back(as_json=as_json)


@app.command()
def history(as_json: Annotated[bool, _JSON] = False) -> None:
    """Every decision of the gate and every move of the champion, oldest first."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import history as tell

        tell(as_json=as_json)


@app.command()
def why(version: Annotated[str, _VERSION], as_json: Annotated[bool, _JSON] = False) -> None:
    """The last decision about a version, check by check."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import why as tell

        tell(version, as_json=as_json)


@app.command()
def challenger(version: Annotated[str, _VERSION]) -> None:
    """Make a version challenger, which is used while there is no champion; else only a better one becomes it."""
    with command_exit():
        from femseg.cli.registry import challenger as put

        put(version)


@app.command()
def remove(version: Annotated[str, _VERSION]) -> None:
    """Delete a registered version that holds no alias."""
    with command_exit():
        from femseg.cli.registry import remove as delete

        delete(version)


@app.command()
def doctor(as_json: Annotated[bool, _JSON] = False) -> None:
    """What is wrong with the registry: aliases moved by hand, altered packages, an altered log."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import doctor as look

        look(as_json=as_json)


audit = typer.Typer(help="The gate's log.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(help="A head hash that you noted: the log must still hold it.")] = "",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Prove that the log is whole and as it was written; ends with 4 if not."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import audit_verify as prove

        prove(head=head, as_json=as_json)


@app.command()
def lineage(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|VERSION|CT",
            help="A mask, report, package or a stage's folder; or 3, champion; or a case id or CT's hash.",
        ),
    ],
    below: Annotated[
        Path, typer.Option(parser=_path, help="Where masks and reports that came of a version are looked for.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON, every CT named.")] = False,
) -> None:
    """Say where it comes from, link by link, and what came of it; ends with 4 if a link is broken."""
    from femseg.cli.lineage import say_lineage

    with command_exit(as_json=as_json):
        code = say_lineage(subject, below=below, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def replay(
    version: Annotated[str, _VERSION],
    into: Annotated[
        Path | None, typer.Option(parser=_path, help="A new folder to work in, kept; else a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Evaluate a version again from its own commit and data; ends with 4 where a mask differs."""
    from femseg.cli.lineage import say_replay

    with command_exit(as_json=as_json):
        code = say_replay(version, into=into, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def card(
    version: Annotated[str, _VERSION],
    output: Annotated[Path, typer.Option("-o", "--output", parser=_path, help="Folder for the card.")] = Path("card"),
    as_json: Annotated[bool, typer.Option("--json", help="Name the files as JSON.")] = False,
) -> None:
    """Write the model card of a version: what it is for, how well it does, where it fails."""
    from femseg.cli.lineage import write_card_of

    with command_exit(as_json=as_json):
        write_card_of(version, output, as_json=as_json)


@app.command()
def submit(
    command: Annotated[list[str], typer.Argument(help="What to run: -- python -m pipelines.train …")],
    folder: Annotated[
        Path | None, typer.Option(help="Data folder that all nodes share; where the command runs.")
    ] = None,
) -> None:
    """Run a command with this folder's code as a job of a Ray cluster; show its log, and end with its exit code."""
    with command_exit():
        from femseg.services.cluster.submit import submitted

        code = submitted(command, folder=folder)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the `femseg` command."""
    app()
