"""`femseg doctor` and `submit`: this installation, and a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from femseg.cli.commands.options import JSON
from femseg.exits import command_exit


def doctor(as_json: Annotated[bool, JSON] = False) -> None:
    """What is wrong with the registry: aliases moved by hand, altered packages, an altered log."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import doctor as look

        look(as_json=as_json)


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
