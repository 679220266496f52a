"""`femseg check`, `plan` and `correct`: a folder of studies, before anyone trains on it, and after."""

from pathlib import Path
from typing import Annotated

import typer

from femseg.cli.commands.options import given_path
from femseg.exits import command_exit


def check(
    folder: Annotated[
        Path, typer.Argument(parser=given_path, help="Folder of studies, folder of a dataset, or one zipped study.")
    ],
    params: Annotated[
        Path | None,
        typer.Option(
            parser=given_path, help="A params.yaml: check by its `cohort` settings; FOLDER replaces cohort.folder."
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


def plan(
    folder: Annotated[
        Path | None,
        typer.Argument(parser=given_path, help="Folder of studies; without it, the cohort that the params.yaml names."),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            parser=given_path, help="Settings that are kept, and the cohort. [default: --write, else params.yaml]"
        ),
    ] = None,
    write: Annotated[Path | None, typer.Option(parser=given_path, help="Write the plan into this params.yaml.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Try 20 training steps of each scale for time and memory.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Propose settings that fit the cohort and this machine, with reasons, memory, disk and time."""
    from femseg.cli.settings.plan import plan_folder

    with command_exit(as_json=as_json):
        plan_folder(folder, params=params, write=write, probe=probe, as_json=as_json)


def correct(
    case: Annotated[
        str,
        typer.Argument(
            help="A mask of `femseg segment`, or its study's folder there; or a case id or study of the cohort."
        ),
    ],
    mask: Annotated[
        Path,
        typer.Argument(
            parser=given_path, help="The corrected mask: NIfTI, NRRD, MHA, DICOM-SEG, RTSTRUCT, or a series' folder."
        ),
    ],
    who: Annotated[str, typer.Option(help="Who corrected it.")],
    why: Annotated[str, typer.Option(help="Why, in a line.")],
    ct: Annotated[
        Path | None, typer.Option(parser=given_path, help="The CT of a case that is not in the cohort: it joins it.")
    ] = None,
    structure: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=NAME", help="What is femur by name: femur=, left= or right=.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="SIDE=VALUE", help="What is femur by mask value: femur=, left=, right=.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Make a corrected mask the case's next reference in the cohort, measured and recorded, ready for `dvc repro`."""
    with command_exit(as_json=as_json):
        from femseg.cli.correct import CorrectOptions, correct_case

        options = CorrectOptions(
            who=who, why=why, ct=ct, labels=tuple(label or ()), structures=tuple(structure or ()), as_json=as_json
        )
        correct_case(case, mask, options)
