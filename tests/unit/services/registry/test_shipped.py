"""Which model segments unless one is named: the champion, then the one that came with femseg; never one of phantoms."""

from pathlib import Path

import pytest
from tiny_model import write_tiny_package

from femseg.cli.segment import Choices, load_model
from femseg.networks.package import load_package
from femseg.services.registry.aliases import CHAMPION, set_alias
from femseg.services.registry.doctor import load_for_use
from femseg.services.registry.model_name import IN_USE, named_model
from femseg.services.registry.versions import register_package
from femseg.services.tracking.connect import connect, end_run, start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """An installation with a model of its own, in a folder without a registry."""
    folder = tmp_path / "installation/shipped"
    write_tiny_package(folder, seed=3, cohort_source="synthetic")
    for module in ("services.registry.shipped", "services.registry.model_name"):
        monkeypatch.setattr(f"femseg.{module}.SHIPPED_MODEL", folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def registry(shipped, tmp_path, monkeypatch):
    """A registry, and what registers a model of a kind of cohort in it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client, experiment_id = connect()

    def register(source: str) -> int:
        write_tiny_package(tmp_path / source, seed=len(source), cohort_source=source)
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        return register_package(client, tmp_path / source, run_id=run_id, tags={}, input_channels=1).version

    return client, register


def test_without_a_registry_it_is_the_shipped_model_and_the_user_hears_what_it_saw(shipped, capsys):
    used = load_model(Choices.of(IN_USE).model)
    assert (used.name, used.package.sha256) == ("shipped", load_package(shipped).sha256)
    assert [remark[:5] for remark in used.remarks] == ["RG-17"]
    assert "has seen no patient" in capsys.readouterr().err


def test_it_can_be_asked_for_by_name(shipped):
    assert load_package(Path(named_model("shipped"))).sha256 == load_package(shipped).sha256


def test_a_champion_of_patients_goes_before_it(registry):
    client, register = registry
    set_alias(client, CHAMPION, register("dicom"))
    assert load_for_use(client, IN_USE).package.model.cohort_source == "dicom"


@pytest.mark.parametrize("alias", [CHAMPION, "challenger"])
def test_a_model_of_phantoms_is_used_only_if_it_is_asked_for(registry, alias):
    client, register = registry
    set_alias(client, alias, register("phantom"))
    assert load_for_use(client, IN_USE).name == "shipped"
    assert load_for_use(client, f"{IN_USE}@{alias}").package.model.of_phantoms


def test_a_challenger_is_used_only_if_it_is_asked_for(registry):
    client, register = registry
    set_alias(client, "challenger", register("dicom"))
    assert load_for_use(client, IN_USE).name == "shipped"
    assert load_for_use(client, f"{IN_USE}@challenger").package.model.cohort_source == "dicom"
