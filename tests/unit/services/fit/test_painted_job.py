"""A training that paints its samples: what makes it itself, and that it goes on as it began."""

from dataclasses import replace

import pytest
import torch
from painted_store import RECIPE, opened, painted_cases, stored_and_people

from femseg.cohorts.split import Split, write_split
from femseg.cohorts.store import ArrayStore, write_index
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.vnet import VNetSettings
from femseg.services.fit.job import fit_job, job_trainer, training_job
from femseg.settings import as_plain, checked
from femseg.synthetic.painting_settings import PaintingSettings, ScannerSettings
from femseg.training.context import TrainerContext
from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings

NETWORK = VNetSettings(
    base_channels=2,
    strides=((2, 2, 2),),
    convolutions_down=(1, 1),
    convolutions_up=(1,),
    kernel_size=3,
    normalisation="instance",
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    painted_cases(folder)
    write_split(Split(train=("case0",), validation=("case1",), test=("case2",)), folder / "split.json")
    return folder


def job_of(stores, runs, **changes):
    return training_job(
        **{
            "inputs": stores / "both",
            "masks": stores / "mask",
            "split": stores / "split.json",
            "runs": runs,
            "name": "both",
            "network": NETWORK,
            "optimisation": OptimisationSettings(augmentation=AugmentationSettings(enabled=True)),
            "train": TrainSettings(learning_rate=1e-3, max_iterations=4, validate_every=2, checkpoint_every=2),
            "places": stores / "places",
            "patches": PatchSettings(shape_zyx=(16, 16, 16), validation=1),
            "fields": stores / "tissue",
            "painting": PaintingSettings(),
        }
        | changes
    )


def quiet(**changes) -> TrainerContext:
    return replace(TrainerContext(say=lambda line: None), **changes)


def test_a_run_is_another_with_another_painting_and_with_none(stores, tmp_path):
    job = job_of(stores, tmp_path)
    darker = job_of(stores, tmp_path, painting=PaintingSettings(scanner=ScannerSettings(offset_hu=(-60.0, -30.0))))
    stored = job_of(stores, tmp_path, fields=None, painting=None)
    assert len({one.run_folder for one in (job, darker, stored)}) == 3
    assert job.fingerprint["fields"] == ArrayStore.open(stores / "tissue").sha256
    assert not {"fields", "painting", "painting_code"} & stored.fingerprint.keys()


def test_a_job_travels_as_plain_values(stores, tmp_path):
    job = job_of(stores, tmp_path)
    assert checked(type(job), as_plain(job), where="job") == job


def test_a_run_that_was_stopped_ends_as_one_that_was_not(stores, tmp_path):
    whole, result = fit_job(job_of(stores, tmp_path / "whole"), quiet())
    job, steps = job_of(stores, tmp_path / "stopped"), []
    with pytest.raises(Refusal) as stopped:
        fit_job(job, quiet(progress=lambda n, _: steps.append(n), stop_requested=lambda: steps[-1:] == [3]))
    assert stopped.value.exit_code == ExitCode.RESUMABLE
    again, same = fit_job(job, quiet())
    assert [row.train_dice_loss for row in same.curve] == [row.train_dice_loss for row in result.curve]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (replace(RECIPE, gradient_of="ct"), "gradient_of"),
        (replace(RECIPE, gradient_of="ct", input_mode="gradient"), ""),
    ],
)
def test_arrays_that_cannot_be_painted_are_refused_CFG_02(stores, tmp_path, recipe, named):
    other = ArrayStore.open(stores / "both")
    write_index(tmp_path / "both", "both", recipe, {case_id: other.entry(case_id) for case_id in other.case_ids})
    with pytest.raises(Refusal, match=f"CFG-02.*{named}"):
        job_of(stores, tmp_path, inputs=tmp_path / "both")


@pytest.fixture(scope="module")
def with_people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with people")
    stored_and_people(folder)
    write_split(Split(train=("case0",), validation=("case1",), test=("elsewhere",)), folder / "split.json")
    return folder


def test_a_share_is_part_of_what_a_run_is_and_none_leaves_a_run_as_it_was(with_people, tmp_path):
    quarter, half = (job_of(with_people, tmp_path, painted_share=share) for share in (0.25, 0.5))
    none = job_of(with_people, tmp_path, fields=None, painting=None, painted_share=0.0)
    plain = job_of(with_people, tmp_path, fields=None, painting=None)
    assert len({one.run_folder for one in (quarter, half, none)}) == 3
    assert quarter.fingerprint["painted_share"] == 0.25
    assert none.fingerprint == plain.fingerprint
    assert none.run_folder == plain.run_folder


def test_people_stand_in_for_cases_and_are_painted(with_people, tmp_path):
    job = job_of(with_people, tmp_path, painted_share=0.5)
    with job_trainer(job, quiet()) as trainer:
        batches = list(trainer.batches())
        assert {case_id for batch in batches for case_id in batch.case_ids} == {"case0", "case2"}
        assert trainer.validation_cases.case_ids == ("case1",)
    again = opened(with_people, job.patches)
    for batch in batches:
        for place, case_id in enumerate(batch.case_ids):
            cases = again if case_id == "case2" else again.patches
            seen, _ = cases.sample(case_id, job.optimisation.augmentation, (job.train.seed, batch.iteration, place))
            assert torch.equal(batch.input_bczyx[place], seen)


def test_a_run_with_a_share_that_was_stopped_ends_as_one_that_was_not(with_people, tmp_path):
    whole, result = fit_job(job_of(with_people, tmp_path / "whole", painted_share=0.5), quiet())
    job, steps = job_of(with_people, tmp_path / "stopped", painted_share=0.5), []
    with pytest.raises(Refusal, match="TR-06"):
        fit_job(job, quiet(progress=lambda n, _: steps.append(n), stop_requested=lambda: steps[-1:] == [3]))
    again, same = fit_job(job, quiet())
    assert [row.train_dice_loss for row in same.curve] == [row.train_dice_loss for row in result.curve]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
