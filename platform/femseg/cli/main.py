"""`femseg …`: the command line. What each command takes stands in `commands/`, what it does in a module of its own."""

import os
from typing import Annotated

import typer

from femseg import __version__
from femseg.cli.commands import cohort, femur, installation, model

app = typer.Typer(
    name="femseg",
    help="Femur segmentation in CT: check studies, segment, and look after the registered model.",
    no_args_is_help=True,
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


for command in (
    *(cohort.check, cohort.plan),
    *(femur.segment, femur.mesh, femur.measure, cohort.correct),
    *(model.promote, model.rollback, model.history, model.why, model.challenger, model.remove),
    *(model.lineage, model.replay, model.card),
    *(installation.doctor, installation.selftest, installation.submit),
):
    app.command()(command)
app.add_typer(model.audit, name="audit")


def main() -> None:
    """Entry point of the `femseg` command."""
    app()
