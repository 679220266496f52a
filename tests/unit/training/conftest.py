import importlib.util
from pathlib import Path

import pytest

_RUNS = Path(__file__).parents[2] / "integration" / "training" / "sphere_run.py"


@pytest.fixture(scope="session")
def spheres():
    """The module of small runs on noisy ellipsoids."""
    spec = importlib.util.spec_from_file_location("sphere_run", _RUNS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
