"""The tools that keep the house: style, types, direction of imports."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["lint-imports", "--no-cache"]],
    ids=["ruff", "format", "mypy", "imports"],
)
def test_the_tree_is_clean(command, tmp_path):
    extra = ["--cache-dir", str(tmp_path)] if command[0] == "mypy" else []
    done = subprocess.run([BIN / command[0], *command[1:], *extra], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_init_in_platform_is_caught_by_the_projects_own_rules(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "__init__.py").touch()
    done = subprocess.run([BIN / "ruff", "check", "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "A005" in done.stdout
