"""A network that femseg does not hold is trained as a worker trains, packaged, loaded and used."""

import numpy as np
import pytest
import torch
from residual_unet import ResidualUNetSettings
from tiny_model import RECIPE, described
from tiny_store import write_tiny_store
from train_driver import QUIET, tiny_job

from femseg.cli.segment import load_model
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.inference.segment import segment
from femseg.lineage.provenance import Lineage
from femseg.networks.choice import source_sha256
from femseg.networks.network import build_network
from femseg.networks.package import load_package, write_package
from femseg.services.fit.job import TrainingJob, fit_job, training_job
from femseg.settings import as_plain, checked
from femseg.volumes.grid import CtVolume, VoxelGrid

CT = CtVolume(
    hu_zyx=np.random.default_rng(0).uniform(-200, 1200, (20, 24, 18)).astype(np.float32),
    grid=VoxelGrid(shape_zyx=(20, 24, 18), spacing_mm_zyx=(6.0, 4.0, 5.0)),
)


def residual_job(folder, levels=2):
    vnet = tiny_job(write_tiny_store(folder / "store"), folder / "runs", 40, workers=1)
    return training_job(
        inputs=folder / "store/raw",
        masks=folder / "store/mask",
        split=folder / "store/split.json",
        runs=folder / "runs",
        name="raw",
        network=ResidualUNetSettings(levels=levels),
        optimisation=vnet.optimisation,
        train=vnet.train,
    )


def as_a_worker_gets_it(job: TrainingJob) -> TrainingJob:
    return checked(TrainingJob, as_plain(job), where="job", file="training job")


def test_it_is_trained_packaged_loaded_and_segments_a_ct(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = residual_job(tmp_path)
    assert as_a_worker_gets_it(job) == job
    network, result = fit_job(as_a_worker_gets_it(job), QUIET)
    assert result.validation_dice > 0.8
    write_package(tmp_path / "model", network, model=described(network), lineage=Lineage(seed=0))

    with pytest.raises(
        Refusal, match=r"RG-13: .*residual_unet:ResidualUNet is not at hand.* Fix: set network\.name"
    ) as refused:
        load_package(tmp_path / "model")
    assert refused.value.exit_code == ExitCode.USAGE

    (tmp_path / "params.yaml").write_text("network: {name: 'residual_unet:ResidualUNet'}\n")
    loaded = load_package(tmp_path / "model")
    volume = torch.rand(1, 1, *RECIPE.shape_zyx)
    assert torch.equal(loaded.network(volume), network.eval()(volume))
    assert segment(loaded, CT).mask.grid == CT.grid


@pytest.mark.parametrize("trained", [True, False])
def test_a_package_whose_networks_file_has_changed_since_says_so_wherever_it_is_used_RG_16(
    tmp_path, monkeypatch, trained
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("network: {name: 'residual_unet:ResidualUNet'}\n")
    settings = ResidualUNetSettings()
    code = source_sha256(settings) if trained else "0" * 64
    network = build_network(settings, 1)
    lineage = Lineage(sha256={"network_code": code})
    write_package(tmp_path / "model", network, model=described(network), lineage=lineage)
    remarks = load_package(tmp_path / "model").remarks
    assert [remark[:5] for remark in remarks] == ([] if trained else ["RG-16"])
    told = load_model("model/").remarks
    assert told == remarks


def test_its_source_is_part_of_what_makes_a_run_itself(tmp_path):
    job = residual_job(tmp_path)
    vnet = tiny_job(tmp_path / "store", tmp_path / "runs", 20)
    assert job.fingerprint["network"] == {"name": "residual_unet:ResidualUNet", "width": 4, "levels": 2}
    assert len(job.fingerprint["network_code"]) == 64
    assert "network_code" not in vnet.fingerprint


def test_arrays_that_it_does_not_take_are_refused_before_a_worker_meets_them(tmp_path):
    with pytest.raises(Refusal, match=r"CFG-02: .*do not divide by 32"):
        residual_job(tmp_path, levels=5)
