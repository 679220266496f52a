"""What Ray uploads for a job with `--working-dir .`: code and settings, never data."""

import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from ray._private.runtime_env.packaging import create_package

ROOT = Path(__file__).parents[3]
COME_WITH_IT = ("platform/femseg/shipped/", "platform/femseg/reports/niivue/")  # a model, and a viewer for pages


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository as a user has it: with data, results, an environment, a key and secrets."""
    folder = tmp_path_factory.mktemp("repository")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    made = [
        "data/arrays/raw/case.npy",
        "data/source/one/ct.nii.gz",
        "results/train/raw/training.csv",
        "models/raw/weights.safetensors",
        "runs/train/raw/newest.pt",
        "mlruns/mlflow.db",
        "reports/comparison.html",
        ".venv/lib/big.so",
        ".femseg/case-ids.key",
        "docker/secrets/ray_token",
        ".git/objects/pack/one.pack",
        "build/femseg.whl",
    ]
    for name in filter(None, tracked.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    for name in made:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(2**20))
    return folder


@pytest.mark.parametrize("with_gitignore", [True, False], ids=["gitignore", "rayignore-alone"])
def test_the_package_of_a_job_is_code_and_settings_and_small(copy, tmp_path, with_gitignore):
    create_package(str(copy), tmp_path / "package.zip", include_gitignore=with_gitignore)
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        names = package.namelist()
        own_bytes = sum(file.file_size for file in package.infolist() if not file.filename.startswith(COME_WITH_IT))
    assert {name.split("/")[0] for name in names if "/" in name} <= {"platform", "pipelines", "docker"}
    assert {"params.yaml", "pipelines/train.py", "platform/femseg/__init__.py"} <= set(names)
    assert not any(name.startswith("docker/secrets") for name in names)
    assert own_bytes < 3 * 2**20
    assert (tmp_path / "package.zip").stat().st_size < 8 * 2**20


def test_the_runtime_environment_puts_the_uploaded_code_first_and_ships_nothing_else():
    env = yaml.safe_load((ROOT / "ray-runtime-env.yaml").read_text())
    assert env == {"env_vars": {"PYTHONPATH": "platform"}}
    assert not (ROOT / "platform/__init__.py").exists()
