"""`femseg doctor`, `selftest` and `submit`: this installation, and a cluster."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from femseg.cli.commands.options import JSON
from femseg.errors import Refusal
from femseg.exits import command_exit
from femseg.faults import ExitCode


def doctor(as_json: Annotated[bool, JSON] = False) -> None:
    """Look at the installation, the project and the registry, a line each: ok, or what to mend."""
    with command_exit(as_json=as_json):
        from femseg.cli.doctor import doctor as look

        code = look(as_json=as_json)
    raise typer.Exit(code)


def selftest(as_json: Annotated[bool, JSON] = False) -> None:
    """Does every exporter put a mask where it belongs? A phantom in all orientations, read back by other libraries."""
    code = ExitCode.DONE
    with command_exit(as_json=as_json):
        from femseg.selftest.exporters import findings

        told = []
        for finding in findings():
            told.append(finding)
            if not as_json:
                print(finding, flush=True)
        if as_json:
            print(json.dumps([asdict(finding) for finding in told], indent=2))
        faults = [finding.fault for finding in told if finding.fault]
        for fault in faults:
            print(fault, file=sys.stderr)
        code = Refusal(faults).exit_code if faults else code
    raise typer.Exit(code)


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
