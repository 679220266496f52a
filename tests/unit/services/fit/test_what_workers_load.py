"""What Ray's processes load of ours before a training's first iteration: every second counts once in each."""

import subprocess
import sys

import pytest


def loaded(module: str, packages: list[str]) -> list[str]:
    """Those of the packages that are there once a fresh interpreter has imported a module."""
    code = f"import sys, {module}; print(*sorted({set(packages)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("module", ["femseg.services.fit.driver", "femseg.services.search.trial"])
def test_a_worker_trains_without_mlflow_which_its_recorder_loads_beside_it(module):
    assert loaded(module, ["mlflow", "sqlalchemy", "alembic", "pydicom"]) == []


def test_the_control_actor_needs_neither_pytorch_nor_ray_train():
    assert loaded("femseg.services.fit.control", ["mlflow", "torch", "ray.train", "pandas"]) == []


def test_ray_s_controller_loads_our_policy_without_our_trainer():
    assert loaded("femseg.services.fit.scaling", ["mlflow", "torch", "SimpleITK", "femseg.training"]) == []
