"""`femseg …`: the command line. Heavy libraries load inside the command that needs them, so that --help is instant."""

import os
from pathlib import Path
from typing import Annotated

import typer

from femseg import __version__
from femseg.door import door

app = typer.Typer(
    name="femseg",
    help="Femur segmentation in CT: check studies, segment, and look after the registered model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    folder: Annotated[Path, typer.Argument(help="Folder with one study per sub-folder, or pairs of volume files.")],
    params: Annotated[
        Path | None, typer.Option(help="A params.yaml: check by its `cohort` settings; FOLDER replaces cohort.folder.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="dicom, volumes, or auto: look and decide. [default: as --params says, else auto]")
    ] = "",
    masks: Annotated[bool, typer.Option("--masks/--no-masks", help="Whether each study must have a mask.")] = True,
    mask: Annotated[str, typer.Option(help="The mask's file or folder in each study, if it has no usual name.")] = "",
    series: Annotated[list[str] | None, typer.Option(help="SeriesInstanceUID, where a study holds several.")] = None,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Check every study before anyone trains on it: all faults of all studies, in one pass."""
    from femseg.cli.check import CheckOptions, check_folder

    options = CheckOptions(params=params, source=source, mask=mask, series=tuple(series or ()), accept_hu=accept_hu)
    with door(as_json=as_json):
        code = check_folder(folder, options, masks=masks, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def segment(
    ct: Annotated[Path, typer.Argument(help="A DICOM folder, or a NIfTI, NRRD or MHA file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Mask file: .nii.gz, .nii, .nrrd or .mha.")],
    model: Annotated[
        str, typer.Option(help="A package folder, or a registered model such as models:/femseg@challenger.")
    ] = "models:/femseg@challenger",
    series: Annotated[list[str] | None, typer.Option(help="SeriesInstanceUID, where a folder holds several.")] = None,
    accept_hu: Annotated[bool, typer.Option("--accept-hu", help="Take odd Hounsfield units as they are.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing mask file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Segment the femur in a CT; the mask lies on the CT's own grid."""
    from femseg.cli.segment import segment_file

    with door(as_json=as_json):
        segment_file(
            ct,
            output,
            model=model,
            overwrite=overwrite,
            accept_hu=accept_hu,
            series=tuple(series or ()),
            as_json=as_json,
        )


cluster = typer.Typer(help="A Ray cluster of your own on this machine.", no_args_is_help=True)
app.add_typer(cluster, name="cluster")


@cluster.command("up")
def cluster_up(
    nodes: Annotated[int, typer.Option(help="Ray nodes, the head included; more than one only to try things.")] = 1,
    cpus: Annotated[int | None, typer.Option(help="CPUs of each node. [default: equal parts]")] = None,
    dashboard_host: Annotated[
        str, typer.Option(help="Where dashboard and job server listen; all else stays on loopback.")
    ] = "127.0.0.1",
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Serve everyone on this machine, who can then run code as you.")
    ] = False,
) -> None:
    """Start it, and print what the shell needs: eval "$(femseg cluster up)"."""
    from femseg.cli.cluster import cluster_up as start

    with door():
        start(nodes=nodes, cpus=cpus, dashboard_host=dashboard_host, with_token=not no_token)


@cluster.command("status")
def cluster_status(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Nodes, jobs and addresses; ends with 6 if no cluster of yours answers."""
    from femseg.cli.cluster import cluster_status as say

    with door(as_json=as_json):
        say(as_json=as_json)


@cluster.command("down")
def cluster_down() -> None:
    """End it with all that it started, and no other cluster."""
    from femseg.cli.cluster import cluster_down as end

    with door():
        end()


def main() -> None:
    """Entry point of the `femseg` command."""
    app()
