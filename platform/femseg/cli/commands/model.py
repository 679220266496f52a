"""`femseg promote`, `lineage`, `card` and the like: the registered model, and where things come from."""

from pathlib import Path
from typing import Annotated

import typer

from femseg.cli.commands.options import JSON, VERSION, given_path
from femseg.exits import command_exit
from femseg.paths import PROMOTION_RULES


def promote(
    version: Annotated[str, VERSION],
    rules: Annotated[Path, typer.Option(parser=given_path, help="The rules.")] = PROMOTION_RULES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge it, and change nothing.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Make a version champion, if it passes every check of the gate."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import promote as judge_and_move

        judge_and_move(version, rules=rules, dry_run=dry_run, as_json=as_json)


def rollback(as_json: Annotated[bool, JSON] = False) -> None:
    """Give the alias champion back to the version before."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import rollback as go_back

        go_back(as_json=as_json)


def history(as_json: Annotated[bool, JSON] = False) -> None:
    """Every decision of the gate and every move of the champion, oldest first."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import history as tell

        tell(as_json=as_json)


def why(version: Annotated[str, VERSION], as_json: Annotated[bool, JSON] = False) -> None:
    """The last decision about a version, check by check."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import why as tell

        tell(version, as_json=as_json)


def challenger(version: Annotated[str, VERSION]) -> None:
    """Make a version challenger, which is used while there is no champion; else only a better one becomes it."""
    with command_exit():
        from femseg.cli.registry import challenger as put

        put(version)


def remove(version: Annotated[str, VERSION]) -> None:
    """Delete a registered version that holds no alias."""
    with command_exit():
        from femseg.cli.registry import remove as delete

        delete(version)


audit = typer.Typer(help="The gate's log.", no_args_is_help=True)


@audit.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(help="A head hash that you noted: the log must still hold it.")] = "",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Prove that the log is whole and as it was written; ends with 4 if not."""
    with command_exit(as_json=as_json):
        from femseg.cli.registry import audit_verify as prove

        prove(head=head, as_json=as_json)


def lineage(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|VERSION|CT",
            help="A mask, report, package or a stage's folder; or 3, champion; or a case id or CT's hash.",
        ),
    ],
    below: Annotated[
        Path, typer.Option(parser=given_path, help="Where masks and reports that came of a version are looked for.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON, every CT named.")] = False,
) -> None:
    """Say where it comes from, link by link, and what came of it; ends with 4 if a link is broken."""
    from femseg.cli.lineage import say_lineage

    with command_exit(as_json=as_json):
        code = say_lineage(subject, below=below, as_json=as_json)
    raise typer.Exit(code)


def replay(
    version: Annotated[str, VERSION],
    into: Annotated[
        Path | None, typer.Option(parser=given_path, help="A new folder to work in, kept; else a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Evaluate a version again from its own commit and data; ends with 4 where a mask differs."""
    from femseg.cli.lineage import say_replay

    with command_exit(as_json=as_json):
        code = say_replay(version, into=into, as_json=as_json)
    raise typer.Exit(code)


def card(
    version: Annotated[str, VERSION],
    output: Annotated[Path, typer.Option("-o", "--output", parser=given_path, help="Folder for the card.")] = Path(
        "card"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Name the files as JSON.")] = False,
) -> None:
    """Write the model card of a version: what it is for, how well it does, where it fails."""
    from femseg.cli.lineage import write_card_of

    with command_exit(as_json=as_json):
        write_card_of(version, output, as_json=as_json)
