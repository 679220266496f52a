"""A training that starts from a packaged model begins with its weights, and refuses one that is not its own kind."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_model import RECIPE, TINY_NETWORK, write_tiny_package
from tiny_store import write_tiny_store
from train_driver import QUIET, tiny_job

from femseg.errors import Refusal
from femseg.networks.package import load_package
from femseg.services.fit.job import job_trainer, training_job
from femseg.services.registry.start import starting_weights
from femseg.training.settings import TrainSettings
from femseg.volumes.intensity import Scaling


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_package(Path("model"), seed=7)
    return load_package(Path("model"))


def started(job, start):
    return training_job(
        inputs=Path(job.inputs),
        masks=Path(job.masks),
        split=Path(job.split),
        runs=Path("runs"),
        name="raw",
        network=job.network,
        optimisation=job.optimisation,
        train=job.train,
        start=start,
    )


def test_its_first_weights_are_the_model_s_and_its_run_is_another_one(model, tmp_path):
    drawn = tiny_job(write_tiny_store(tmp_path / "store"), tmp_path / "runs", 40, workers=1)
    start = starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=RECIPE)
    job = started(drawn, start)
    assert Path(job.run_folder).name != Path(drawn.run_folder).name
    with job_trainer(job, QUIET) as trainer:
        for name, weights in model.network.state_dict().items():
            assert weights.equal(trainer.network.state_dict()[name])
        trainer.fit()
    assert not all(
        weights.equal(trainer.network.state_dict()[name]) for name, weights in model.network.state_dict().items()
    )


def test_the_same_weights_by_another_name_are_the_same_run(model, tmp_path):
    job = tiny_job(write_tiny_store(tmp_path / "store"), tmp_path / "runs", 40, workers=1)
    start = starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=RECIPE)
    elsewhere = Path("copy.safetensors")
    elsewhere.write_bytes(start.read_bytes())
    named = replace(job, train=replace(job.train, start_from="3"))
    assert started(job, start).run_folder == started(named, elsewhere).run_folder


def test_weights_that_changed_after_the_plan_are_refused_ST_02(model, tmp_path):
    drawn = tiny_job(write_tiny_store(tmp_path / "store"), tmp_path / "runs", 40, workers=1)
    start = starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=RECIPE)
    job = started(drawn, start)
    start.write_bytes(start.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Refusal, match="ST-02"), job_trainer(job, QUIET):
        pass


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": replace(TINY_NETWORK, base_channels=8)}, "base_channels 4, here 8"),
        ({"recipe": replace(RECIPE, raw_scaling=Scaling(kind="window", low=0.0, high=1.0))}, "another kind of input"),
        ({"recipe": replace(RECIPE, input_mode="both")}, "another kind of input"),
        ({"scale": "refine"}, "no finer network"),
    ],
)
def test_a_model_of_another_kind_is_refused_CFG_02(model, settings, words):
    wanted = {"scale": "find", "network": TINY_NETWORK, "recipe": RECIPE} | settings
    with pytest.raises(Refusal, match=f"CFG-02.*{words}"):
        starting_weights("./model", **wanted)


def test_whose_gradient_it_is_matters_where_the_network_sees_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = replace(RECIPE, input_mode="gradient")
    write_tiny_package(Path("model"), seed=7, recipe=recipe)
    starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=recipe)
    with pytest.raises(Refusal, match=r"CFG-02.*another kind of input"):
        other = replace(recipe, gradient_of="resampled")
        starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=other)


def test_another_grid_is_no_other_kind_of_input(model):
    other = replace(RECIPE, shape_zyx=(8, 8, 8))
    start = starting_weights("./model", scale="find", network=TINY_NETWORK, recipe=other)
    assert start.read_bytes() == Path("model/weights.safetensors").read_bytes()


def test_a_searched_learning_rate_would_be_of_drawn_weights():
    with pytest.raises(ValueError, match="start_from"):
        TrainSettings(learning_rate="search", start_from="shipped")
