"""The acceptance matrix of intake, security and the registry: each case is named by at least one test that runs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from femseg.cohorts.specimens.catalogue import CATALOGUE

TESTS = Path(__file__).parents[2]
MATRIX = [
    *(f"IN-{number:02d}" for number in range(1, 28)),
    *(f"PP-{number:02d}" for number in range(1, 5)),
    *(f"SC-{number:02d}" for number in range(1, 16)),
    *(f"RG-{number:02d}" for number in range(1, 9)),
]
_ID = re.compile(r"(?<![A-Z])(IN|PP|SC|RG)[-_](\d\d)(?!\d)")


def ids_in(text: str) -> set[str]:
    return {f"{kind}-{number}" for kind, number in _ID.findall(text)}


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
