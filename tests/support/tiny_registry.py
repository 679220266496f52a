"""A frozen test set of small studies, networks that were trained on others for a moment, and versions made of them."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from study_maker import ct_hu, femur_mask, write_nifti
from tiny_model import RECIPE, TINY_NETWORK

from femseg.cohorts.case import Case, CaseFacts
from femseg.cohorts.manifest import Manifest, read_case_ct, read_case_mask, write_manifest
from femseg.cohorts.split import Split, write_split
from femseg.files.durable import sha256_of_file
from femseg.formats.source import HashedFile, Source
from femseg.formats.writing import write_mask
from femseg.gate.saved_predictions import write_predictions
from femseg.gate.test_set import read_test_set
from femseg.inference.segment import segment
from femseg.lineage.provenance import Lineage
from femseg.metrics.scorecard import CaseScore, read_scores, score, summary, write_scores
from femseg.networks.network import foreground_probability
from femseg.networks.package import architecture_of, load_package, write_package
from femseg.networks.package_files import ModelDescription
from femseg.networks.vnet import VNet
from femseg.services.registry.aliases import set_alias
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.predictions import log_predictions
from femseg.services.registry.versions import register_package
from femseg.services.tracking.connect import start_run
from femseg.settings import as_plain, checked
from femseg.training.losses import soft_dice_loss
from femseg.volumes.grid import MaskVolume, VoxelGrid
from femseg.volumes.network_input import network_input, sampled_mask

CASES = tuple(f"case-{number:02d}" for number in range(10))
SPLIT = Split(train=CASES[:3], validation=CASES[3:4], test=CASES[4:])
ITERATIONS = 40


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Where the test set lies."""

    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "data/cohort/manifest.json"

    @property
    def split(self) -> Path:
        return self.folder / "data/split.json"

    @property
    def test_set(self):
        return read_test_set(self.manifest, self.split)

    def case(self, case_id: str) -> Case:
        return next(case for case in _cases(self.folder / "data/source") if case.case_id == case_id)


def write_cohort(folder: Path, *, split: Split = SPLIT) -> Cohort:
    """Ten studies, each with its block of bone at a place and in a noise of its own."""
    source = folder / "data/source"
    for number, case_id in enumerate(CASES):
        mask = np.roll(femur_mask(), (number % 2, number % 3, number % 4), axis=(0, 1, 2))
        write_nifti(source / case_id / "ct.nii.gz", ct_hu(mask, seed=number))
        write_nifti(source / case_id / "mask.nii.gz", mask.astype(np.uint8))
    cohort = Cohort(folder=folder)
    cohort.manifest.parent.mkdir(parents=True)
    write_manifest(Manifest(root="../source", cases=_cases(source)), cohort.manifest)
    write_split(split, cohort.split)
    return cohort


@cache
def _cases(source: Path) -> tuple[Case, ...]:
    import SimpleITK as sitk

    def hashed(file: Path, labels: tuple[int, ...] = ()) -> Source:
        name = file.relative_to(source).as_posix()
        return Source(kind="volume", files=(HashedFile(path=name, sha256=sha256_of_file(file)),), labels=labels)

    return tuple(
        Case(
            case_id=case_id,
            patient_id=f"patient-{number:02d}",
            ct=hashed(source / case_id / "ct.nii.gz"),
            mask=hashed(source / case_id / "mask.nii.gz", (1,)),
            grid=VoxelGrid.of_image(sitk.ReadImage(str(source / case_id / "ct.nii.gz"))),
            facts=CaseFacts(sex="F" if number % 2 else "M"),
        )
        for number, case_id in enumerate(CASES)
    )


def trained(cohort: Cohort, *, iterations: int = ITERATIONS, seed: int = 0) -> VNet:
    """A network after so many steps on the training cases: few make a bad one, forty a good one."""
    torch.manual_seed(seed)
    network, root = VNet(TINY_NETWORK, 1), cohort.folder / "data/source"
    cases = [cohort.case(case_id) for case_id in SPLIT.train]
    inputs = torch.from_numpy(np.stack([network_input(read_case_ct(case, root), RECIPE) for case in cases]))
    targets = torch.from_numpy(np.stack([sampled_mask(read_case_mask(case, root), RECIPE) for case in cases]))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(iterations):
        loss = soft_dice_loss(foreground_probability(network(inputs)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def write_candidate(
    cohort: Cohort,
    folder: Path,
    network: VNet,
    *,
    evaluated: Path | None = None,
    lineage: Mapping[str, Any] = {},
    model: Mapping[str, Any] = {},
) -> Path:
    """`folder/package` and `folder/evaluated`, as the stages `train` and `evaluate` leave them; returns the folder.

    Args:
        evaluated: what another candidate with the same network left; predicted here if not given.
        lineage, model: what stands in lineage.json and model.json instead; None takes a key away.
    """
    test_set = cohort.test_set
    hashes = {name: f"{number:064x}" for number, name in enumerate(("inputs", "masks", "code"))}
    paths = ("data/cohort", "data/arrays/raw", "data/arrays/mask", "data/split.json")
    whole_lineage = {
        "git": {"commit": "c" * 40, "modified": False},
        "dvc_md5": dict.fromkeys(paths, "d" * 32 + ".dir"),
        "sha256": {**hashes, "split": test_set.split.sha256, "manifest": test_set.manifest_sha256},
        "seed": 0,
    }
    whole_model = {
        "architecture": as_plain(architecture_of(network)),
        "input_mode": "raw",
        "input_recipe": as_plain(RECIPE),
        "metrics": {"validation_dice": 0.9, "best_iteration": ITERATIONS},
        "training": {"train": {"max_iterations": ITERATIONS, "seed": 0}, "optimisation": {"batch_size": 2}},
        "versions": {"folder": folder.name},  # equal weights make another package
    }
    write_package(
        folder / "package",
        network,
        model=checked(ModelDescription, _with(whole_model, model), where="model"),
        lineage=checked(Lineage, _with(whole_lineage, lineage), where="lineage"),
    )
    if evaluated is None:
        evaluate(cohort, folder)
    else:
        shutil.copytree(evaluated, folder / "evaluated")
    return folder


def _with(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**plain, **changes}.items() if value is not None}


def evaluate(cohort: Cohort, folder: Path) -> None:
    """Predict and score the test cases with the package in `folder`, as the stage does."""
    package, root = load_package(folder / "package"), cohort.test_set.root
    masks = {case: segment(package, read_case_ct(case, root)).mask for case in cohort.test_set.cases}
    write_evaluated(cohort, folder, {case.case_id: mask.femur_zyx for case, mask in masks.items()})


def write_evaluated(cohort: Cohort, folder: Path, femur_zyx: Mapping[str, NDArray[np.bool_]]) -> None:
    """`folder/evaluated` with these masks by case id, and their true scores."""
    scores: list[CaseScore] = []
    for case in cohort.test_set.cases:
        predicted = MaskVolume(femur_zyx=femur_zyx[case.case_id], grid=case.grid)
        write_mask(folder / f"evaluated/ct_grid/{case.case_id}.nii.gz", predicted)
        reference = read_case_mask(case, cohort.test_set.root).femur_zyx
        spacing = case.grid.spacing_mm_zyx
        scores.append(score(reference, predicted.femur_zyx, spacing, case_id=case.case_id, grid="native"))
    write_scores(folder / "evaluated/scores.csv", scores)


def register_candidate(
    client: MlflowClient,
    experiment_id: str,
    cohort: Cohort,
    folder: Path,
    *,
    curve_until: int = ITERATIONS,
    metrics: Mapping[str, float | None] = {},
    predictions: bool = True,
) -> int:
    """Make a candidate a version, as the stage `register` does; returns its number.

    Args:
        curve_until: last step of the run's training curve.
        metrics: recorded on the run instead of the true ones; None records nothing.
        predictions: whether they are sent too.
    """
    package = load_package(folder / "package")
    true = {"test/native/dice": summary(read_scores(folder / "evaluated/scores.csv"))["native"]["dice"]["mean"]}
    run_id = start_run(client, experiment_id, name="train-raw", params={}, tags={"package_sha256": package.sha256})
    for step in (1, curve_until):
        client.log_metric(run_id, "train_dice_loss", 0.5, step=step)
    for name, value in {**true, **metrics}.items():
        if value is not None:
            client.log_metric(run_id, name, value)
    client.set_terminated(run_id, "FINISHED")
    tags = {"input_mode": "raw"}
    made = register_package(client, folder / "package", run_id=run_id, tags=tags, input_channels=1)
    set_alias(client, "challenger", made.version)
    if predictions:
        target, sha256 = folder / "predictions", package.sha256
        sent = write_predictions(target, folder / "evaluated", package_sha256=sha256, test_set=cohort.test_set)
        log_predictions(client, client.get_model_version(MODEL_NAME, str(made.version)), target, sha256=sent)
    return made.version
