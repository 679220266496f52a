"""One table of faults: every id in it, every exit code from it, the reference page made of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from femseg.errors import Fault
from femseg.faults import FAULTS, REMARK, ExitCode, reference_page

ROOT = Path(__file__).parents[2]
CODE = [*(ROOT / "platform/femseg").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")]
SCRIPTS = [file for file in (ROOT / "docker").rglob("*") if file.suffix in (".sh", ".sbatch")]
ENDS = ("sys.exit", "exit", "quit", "os._exit", "SystemExit", "typer.Exit", "click.exceptions.Exit", "ctx.exit")


def ids_in(text: str) -> set[str]:
    """Ids of faults, and those with which a remark begins."""
    texts = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return {id_ for words in texts for id_ in re.findall(r"^([A-Z]{2,3}-\d\d)(?:$|:? )", words)}


def given_exit_codes(text: str) -> Iterator[str]:
    """Calls that end a process with a number of their own, or that give a fault an exit code."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name, values = ast.unparse(call.func), [*call.args, *(word.value for word in call.keywords)]
        numbers = [one for one in values if isinstance(one, ast.Constant) and isinstance(one.value, int)]
        ends = name in ENDS and numbers
        given = name in ("Fault", "Refusal.of") and len(values) != 4
        if ends or given or name == "ExitCode" or any(word.arg == "exit_code" for word in call.keywords):
            yield ast.unparse(call)


def test_every_id_of_the_code_is_in_the_table_and_every_id_of_the_table_is_used():
    in_scripts = {id_ for file in SCRIPTS for id_ in re.findall(r"error ([A-Z]+-\d\d):", file.read_text())}
    in_code = (ids_in(file.read_text()) for file in CODE if file.name != "faults.py")
    assert in_scripts.union(*in_code) == FAULTS.keys()


def test_a_container_script_ends_by_the_table_too():
    ends = [end for file in SCRIPTS for end in re.findall(r"error ([A-Z]+-\d\d):.*\n\s*exit (\d+)", file.read_text())]
    assert ends
    assert [(id_, int(code)) for id_, code in ends] == [(id_, FAULTS[id_].exit_code) for id_, _ in ends]


def test_an_exit_code_is_given_nowhere_but_in_the_table():
    assert {file: found for file in CODE if (found := list(given_exit_codes(file.read_text())))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "sys.exit(3)",
        "raise SystemExit(1)",
        "raise typer.Exit(code=2)",
        "os._exit(6)",
        "Fault(id='IN-01', file=f, problem=p, fix=x, exit_code=ExitCode.USAGE)",
        "Refusal.of('IN-01', f, p, x, 3)",
        "ExitCode(3)",
    ],
)
def test_a_planted_exit_code_is_found(line):
    assert list(given_exit_codes(line)) != []


def test_the_exit_codes_are_those_of_the_contract():
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 75, 130]


def test_the_reference_page_is_the_table():
    page = (ROOT / "docs/reference/exit-codes-and-faults.md").read_text(encoding="utf-8")
    assert page == reference_page(), "make faults"


@pytest.mark.parametrize(("id_", "kind"), FAULTS.items(), ids=FAULTS)
def test_every_fault_says_what_is_the_matter_and_what_to_do(id_, kind):
    assert kind.title
    assert not kind.title.endswith(".")
    assert kind.advice.endswith(".")
    assert "|" not in kind.title + kind.details + kind.advice  # a row of the page


@pytest.mark.parametrize("id_", ["XX-01", *(id_ for id_, kind in FAULTS.items() if kind.exit_code == REMARK)])
def test_what_is_not_in_the_table_or_only_a_remark_refuses_nothing(id_):
    with pytest.raises(ValueError, match=id_):
        Fault(id_, "file", "problem", "fix")
