"""`platform/` is a source root: with an `__init__.py` it would hide Python's own `platform`."""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRINT_PLATFORM = "import platform; print(platform.__file__)"


def standard_library_platform() -> str:
    return str(Path(sysconfig.get_paths()["stdlib"]) / "platform.py")


def test_platform_folder_holds_no_init_file():
    assert (ROOT / "platform" / "femseg" / "__init__.py").is_file()
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_standard_library_platform_wins_under_pytest():
    assert platform.__file__ == standard_library_platform()
    assert platform.python_version().startswith("3.")


@pytest.mark.parametrize("arguments", [["-c", PRINT_PLATFORM], ["-m", "pipelines.where_is_platform"]])
def test_standard_library_platform_wins_in_the_repository_root(arguments, tmp_path):
    if arguments[0] == "-m":
        package = tmp_path / "pipelines"
        package.mkdir()
        (package / "where_is_platform.py").write_text(PRINT_PLATFORM)
        (tmp_path / "platform").mkdir()
    folder = tmp_path if arguments[0] == "-m" else ROOT
    found = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == standard_library_platform()


def test_standard_library_platform_wins_under_dvc():
    script = "import dvc.repo, platform; print(platform.__file__)"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == standard_library_platform()
