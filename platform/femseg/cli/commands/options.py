"""What the arguments of several commands have in common."""

from pathlib import Path

import typer

VERSIONS = "A model: 3, champion, @champion, models:/femseg/3, models:/femseg@champion, or a package folder."
VERSION = typer.Argument(metavar="VERSION", help=VERSIONS)
JSON = typer.Option("--json", help="Print the same as JSON.")


def given_path(text: str) -> Path:
    """A path that was really given: "", of an unset variable perhaps, would mean the folder one happens to be in."""
    if not text:
        raise typer.BadParameter("expected a path, got ''")
    return Path(text)
