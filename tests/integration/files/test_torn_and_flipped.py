"""Checkpoints, arrays and model packages: cut short, or with one bit turned over, they are refused by name."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.damage import cuts, files_below, flips
from tiny_model import described

from femseg.cohorts.store import ArrayStore, write_array, write_index
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.lineage.provenance import Lineage
from femseg.networks.package import load_package, write_package
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.checkpoint import newest_good_checkpoint, read_checkpoint, write_checkpoint
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe

SHAPE_ZYX = (4, 3, 2)
GRID = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=(1.1, 2.2, 3.3))


def checkpoint(folder: Path) -> None:
    write_checkpoint(folder, 5, {"network": {"w": torch.arange(24.0)}, "rows": [[1, 0.5]]}, {"lr": 1e-4})


def arrays(folder: Path) -> None:
    array = np.random.default_rng(0).random(SHAPE_ZYX).astype(np.float32)
    entry = write_array(folder, "case-a", array, kind="raw", network_grid=GRID, ct_grid=GRID, remarks=["PP-04 +6 %"])
    write_index(folder, "raw", InputRecipe(input_mode="raw", shape_zyx=SHAPE_ZYX), {"case-a": entry})


def package(folder: Path) -> None:
    torch.manual_seed(0)
    network = VNet(VNetSettings(base_channels=2, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=1), 1)
    write_package(folder / "model", network, model=described(network), lineage=Lineage(seed=0))


ARTEFACTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "checkpoint": (checkpoint, lambda folder: read_checkpoint(folder, 5)),
    "array": (arrays, lambda folder: ArrayStore.open(folder).load("case-a")),
    "package": (package, lambda folder: load_package(folder / "model")),
}


def damaged(
    folder: Path, artefact: str, damage: Callable[[bytes], Iterator[bytes]]
) -> Iterator[tuple[Path, bytes, bytes]]:
    """Every file of an artefact in every damaged form, in its place: the file, its right bytes, what it is now."""
    make, read = ARTEFACTS[artefact]
    make(folder)
    read(folder)
    for file in files_below(folder):
        right = file.read_bytes()
        for wrong in damage(right):
            file.write_bytes(wrong)
            yield file, right, wrong
        file.write_bytes(right)
    read(folder)


def assert_refused(folder: Path, artefact: str, file: Path, right: bytes, wrong: bytes) -> None:
    refused = None
    try:
        ARTEFACTS[artefact][1](folder)
    except Refusal as refusal:
        refused = refusal
    if refused is None:  # what says the same in other bytes may pass, where only what it says is hashed
        assert file.name == "index.json", (file, len(wrong))
        assert json.loads(wrong) == json.loads(right)
        return
    assert refused.exit_code == ExitCode.INTEGRITY
    assert all(fault.file == str(file) for fault in refused.faults), (str(refused), str(file))


@pytest.mark.parametrize("artefact", ARTEFACTS)
@pytest.mark.parametrize("most", [25, pytest.param(None, marks=pytest.mark.slow)], ids=["G3-some", "G3-every-byte"])
def test_a_file_cut_anywhere_is_refused_by_its_name(tmp_path, artefact, most):
    for file, right, wrong in damaged(tmp_path, artefact, lambda content: cuts(content, most)):
        assert_refused(tmp_path, artefact, file, right, wrong)


@pytest.mark.parametrize("artefact", ARTEFACTS)
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)], ids=["G4-60", "G4-1000"])
def test_one_bit_turned_over_anywhere_is_seen_before_the_file_is_used(tmp_path, artefact, count):
    for file, right, wrong in damaged(tmp_path, artefact, lambda content: flips(content, count)):
        assert_refused(tmp_path, artefact, file, right, wrong)


@pytest.mark.parametrize("most", [25, pytest.param(None, marks=pytest.mark.slow)], ids=["G3-some", "G3-every-byte"])
def test_a_run_folder_whose_newest_checkpoint_is_cut_anywhere_goes_on_from_the_one_before_TR_03(tmp_path, most):
    for iteration in (5, 10):
        write_checkpoint(tmp_path, iteration, {"n": iteration}, {})
    newest = tmp_path / "step-000010"
    for name in ("COMMIT", "state.pt"):
        right = (newest / name).read_bytes()
        for wrong in cuts(right, most):
            (newest / name).write_bytes(wrong)
            said: list[str] = []
            found = newest_good_checkpoint(tmp_path, said.append)
            assert found is not None
            assert found.iteration == 5
            assert str(newest) in said[0]
            (tmp_path / "step-000010.corrupt").rename(newest)
        (newest / name).write_bytes(right)
    again = newest_good_checkpoint(tmp_path, pytest.fail)
    assert again is not None
    assert again.iteration == 10
