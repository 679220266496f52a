"""What is installed is told without importing it, and what is missing is said with the line that mends it."""

from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from femseg.installation import packages
from femseg.installation.packages import Found, extras_found, packages_found, ray_found, torch_found
from femseg.installation.places import disk_found


@pytest.mark.parametrize("name", ["torch", "ray", "mlflow", "dvc", "numpy"])
def test_a_version_is_the_one_that_the_metadata_tell(name):
    assert packages._version(name) == version(name)


def test_a_missing_package_and_a_wrong_version_are_named():
    assert packages._lack(Requirement("numpy>=2")) == ""
    assert packages._lack(Requirement("numpy>=99")) == f"numpy is {version('numpy')}, wanted >=99"
    assert packages._lack(Requirement("no-such-package")) == "no-such-package is not there"


def test_the_tests_environment_is_whole():
    for found in (packages_found(), ray_found(), torch_found()):
        assert found.fault is None, found.line()
    assert "mesh" in extras_found().words


def machine(root, *, gpu: bool, flags: str = "fpu avx512_bf16"):
    (root / "proc/driver/nvidia/gpus/0000").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
    if gpu:
        (root / "proc/driver/nvidia/gpus/0000/information").write_text("Model: \t NVIDIA H200\nIRQ: 3\n")
    return root


@pytest.mark.skipif("+cpu" not in version("torch"), reason="this PyTorch has CUDA")
def test_a_gpu_beside_a_pytorch_without_cuda_is_to_mend(tmp_path):
    found = torch_found(machine(tmp_path, gpu=True))
    assert found.fault is not None
    assert "NVIDIA H200" in found.line()
    assert found.line().startswith("mend  torch: ")


@pytest.mark.parametrize(("flags", "words"), [("fpu avx512_bf16", "with bfloat16"), ("fpu", "no bfloat16")])
def test_bfloat16_is_told_by_the_processors_flags(flags, words, tmp_path):
    assert words in torch_found(machine(tmp_path, gpu=False, flags=flags)).words


def test_too_little_disk_is_to_mend(tmp_path):
    found = disk_found("project's disk", tmp_path, needed_bytes=1 << 62)
    assert found.fault is not None
    assert found.fault.id == "PP-09"
    assert disk_found("project's disk", tmp_path, needed_bytes=1).fault is None


def test_a_line_says_ok_or_what_to_mend():
    assert Found(what="disk", words="9 GiB free").line() == "ok    disk: 9 GiB free"
