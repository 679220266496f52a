"""The acceptance matrix and the numeric goals: each case is named by at least one test that runs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from specimens.catalogue import CATALOGUE

TESTS = Path(__file__).parents[2]
MATRIX = [
    *(f"IN-{number:02d}" for number in range(1, 28)),
    *(f"PP-{number:02d}" for number in range(1, 5)),
    *(f"SC-{number:02d}" for number in range(1, 16)),
    *(f"RG-{number:02d}" for number in range(1, 9)),
    *(f"TR-{number:02d}" for number in range(1, 18)),
    *(f"SE-{number:02d}" for number in range(1, 8)),
    *(f"TK-{number:02d}" for number in range(1, 11)),
    *(f"CL-{number:02d}" for number in range(1, 11)),
    *(f"ST-{number:02d}" for number in range(1, 9)),
    *(f"G-{number:02d}" for number in (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16)),
]
MEASURED = {  # goals that are times and costs: a test would say how busy the machine is
    "G-02": "chaos/chaos.py",  # seconds from a kill to training again
    "G-15": "intake/intake_speed.py",  # what checks cost
}
_ID = re.compile(r"(?<![A-Z])(IN|PP|SC|RG|TR|SE|TK|CL|ST)[-_](\d\d)(?!\d)")
_FIRST = re.compile(r"^test_(tr|st)_(\d\d)_(?:(tr|st)_(\d\d)_)?")
_GOAL = re.compile(r"(?<![A-Za-z0-9])G(\d{1,2})(?!\d)")


def ids_in(text: str) -> set[str]:
    """`IN-01` and `IN_01` anywhere, `G3` as `G-03`, and `test_tr_01_…` at the beginning of a name."""
    first = [part for part in _FIRST.match(text).groups() if part] if _FIRST.match(text) else []
    pairs = [*_ID.findall(text), *zip(first[::2], first[1::2], strict=True)]
    return {f"{kind.upper()}-{number}" for kind, number in pairs} | {f"G-{int(n):02d}" for n in _GOAL.findall(text)}


def parametrised_ids(decorators: list[ast.expr]) -> Iterator[str]:
    """Texts given as `id=` or `ids=` to pytest.param and parametrize in decorators."""
    for node in (inner for decorator in decorators for inner in ast.walk(decorator)):
        if isinstance(node, ast.keyword) and node.arg in ("id", "ids"):
            yield from (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))


def named_by_tests() -> set[str]:
    """Ids in test names and in ids of parameters; a parameter list of a module's own counts where a test uses it."""
    named = set()
    for file in TESTS.rglob("test_*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        lists = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for test in ast.walk(tree):
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                used = [node.id for one in test.decorator_list for node in ast.walk(one) if isinstance(node, ast.Name)]
                decorators = [*test.decorator_list, *(lists[name] for name in used if name in lists)]
                named |= ids_in(test.name).union(*(ids_in(str(text)) for text in parametrised_ids(decorators)))
    return named


@pytest.fixture(scope="module")
def named() -> set[str]:
    catalogued = {specimen.matrix_id for specimen in CATALOGUE}  # one test runs them all under these ids
    return named_by_tests() | catalogued


@pytest.mark.parametrize("case", MATRIX)
def test_a_case_of_the_matrix_is_named_by_a_test(case, named):
    assert case in named


def test_a_case_that_nobody_names_is_found_missing(named):
    assert "IN-99" not in named
    assert ids_in("test_this_IN_99 and IN-98") == {"IN-99", "IN-98"}
    assert ids_in("test_tr_98_st_99_this_G97_and_in_96_s_or_st_95") == {"TR-98", "ST-99", "G-97"}


@pytest.mark.parametrize("goal", MEASURED)
def test_a_goal_that_is_no_test_s_to_check_is_measured_by_a_benchmark(goal, named):
    assert goal not in named
    assert (TESTS.parent / "benchmarks" / MEASURED[goal]).is_file()
