"""A project's paths stand in one module; no other one writes them out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("platform", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))]
ROOTS = ("data", "results", "models", "reports", "runs", "mlruns")
FILES = ("dvc.lock", "params.yaml", "promotion.yaml")
BELOW = re.compile(rf"(?:{'|'.join(ROOTS)})/[\w./-]*")
OTHER_TREES = {  # of a storage, a node's cache and an MLflow artefact
    ("services/storage/lease.py", "runs/"),
    ("services/storage/checkpoints.py", "runs/"),
    ("services/fit/job.py", "runs"),
    ("services/registry/versions.py", "data"),
}


def literals(code: str) -> Iterator[str]:
    """Texts that are a path of a project: below one of its folders, such a folder in a path, or a file at its root."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if BELOW.fullmatch(node.value) or node.value in FILES:
                yield node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield from (s.value for s in (node.left, node.right) if isinstance(s, ast.Constant) and s.value in ROOTS)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            yield from (a.value for a in node.args if isinstance(a, ast.Constant) and a.value in ROOTS)


def test_no_module_but_paths_writes_a_path_of_a_project_out():
    found = {
        (path.relative_to(ROOT / "platform/femseg").as_posix() if "femseg" in path.parts else path.name, text)
        for path in SOURCES
        if path.name != "paths.py"
        for text in literals(path.read_text())
    }
    assert found <= OTHER_TREES


@pytest.mark.parametrize(
    "code", ['x = "data/split.json"', 'root / "models"', 'Path("reports")', 'f"results/{mode}"', 'y("dvc.lock")']
)
def test_a_written_out_path_would_be_found(code):
    assert list(literals(code))
