"""The rule of ruff that keeps `platform/` a plain folder; `.ci/run` runs the linters over the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
RUFF = Path(sys.executable).with_name("ruff")


def test_a_package_init_in_platform_is_caught_by_the_projects_own_rules(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "__init__.py").touch()
    done = subprocess.run([RUFF, "check", "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "A005" in done.stdout
