"""Every DVC stage's `deps` name the code that its entry point really imports, and nothing that it does not."""

import sys
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[3]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def import_graph():
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    try:
        return grimp.build_graph("femseg", "pipelines", cache_dir=None)
    finally:
        del sys.path[:2]


def file_of(module: str) -> str:
    base = ROOT / ("platform" if module.startswith("femseg") else ".") / module.replace(".", "/")
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path.relative_to(ROOT).as_posix()


def imported_files(graph, entry_point: str) -> set[str]:
    modules = {entry_point} | graph.find_upstream_modules(entry_point)
    packages = {".".join(name.split(".")[:depth]) for name in modules for depth in range(1, name.count(".") + 1)}
    return {file_of(name) for name in modules | packages if name != "pipelines"}


def code_deps(stage: dict) -> list[str]:
    return [d for d in stage["deps"] if isinstance(d, str) and d.startswith(("platform/", "pipelines/"))]


def covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(dep.rstrip("/") + "/")


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_exactly_the_code_it_imports(name, import_graph):
    stage = STAGES[name]
    entry_point = stage["cmd"].split()[2]
    files, deps = imported_files(import_graph, entry_point), code_deps(stage)
    missing = sorted(f for f in files if not any(covers(d, f) for d in deps))
    idle = [d for d in deps if not any(covers(d, f) for f in files)]
    assert (missing, idle) == ([], [])


def test_every_entry_point_has_a_stage():
    entry_points = {path.stem for path in (ROOT / "pipelines").glob("*.py")}
    assert entry_points == {stage["cmd"].split()[2].removeprefix("pipelines.") for stage in STAGES.values()}
