"""Who is challenger: a version that is better by validation, or one that somebody puts there; what is said of it."""

import pytest
import torch
from tiny_model import TINY_NETWORK, described

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.lineage.provenance import Lineage
from femseg.networks.package import write_package
from femseg.networks.package_files import TrainingMetrics
from femseg.networks.vnet import VNet
from femseg.services.registry.aliases import CHAMPION, alias_holder, set_alias
from femseg.services.registry.challenger import nominate, propose
from femseg.services.registry.doctor import load_for_use
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, register_package, registered_version
from femseg.services.tracking.connect import connect, end_run, start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
CHALLENGING = f"models:/{MODEL_NAME}@{CHALLENGER}"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A store, and what registers a model of a validation Dice in it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client, experiment_id = connect()

    def register(dice: float | None, *, split: str = "a") -> int:
        torch.manual_seed(0)
        network, folder = VNet(TINY_NETWORK, 1), tmp_path / f"package-{dice}-{split}"
        model = described(network, metrics=TrainingMetrics(validation_dice=dice))
        write_package(folder, network, model=model, lineage=Lineage(sha256={"manifest": "m", "split": split}))
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        return register_package(client, folder, run_id=run_id, tags={}, input_channels=1).version

    return client, register


def test_only_a_version_that_is_better_by_validation_becomes_challenger(registry):
    client, register = registry
    assert propose(client, register(0.945)) == "challenger is version 1 (validation Dice 0.945)"
    said = propose(client, register(0.38))
    assert alias_holder(client, CHALLENGER) == 1
    assert "challenger stays version 1 (validation Dice 0.945)" in said
    assert "0.380" in said
    assert "`femseg challenger 2`" in said
    assert "better than challenger version 1" in propose(client, register(0.95))
    assert alias_holder(client, CHALLENGER) == 3
    propose(client, register(None))
    propose(client, 1)  # as `make register` does for a package that is there already
    assert alias_holder(client, CHALLENGER) == 3


def test_a_dice_on_other_validation_cases_moves_nothing_by_itself(registry):
    client, register = registry
    propose(client, register(0.9))
    assert "was validated on other cases" in propose(client, register(0.95, split="b"))
    assert alias_holder(client, CHALLENGER) == 1


def test_without_a_challenger_a_version_must_be_better_than_the_champion(registry):
    client, register = registry
    set_alias(client, CHAMPION, register(0.9))
    assert "champion stays version 1" in propose(client, register(0.8))
    assert "is champion" in propose(client, 1)
    assert alias_holder(client, CHALLENGER) is None
    propose(client, register(0.91))
    assert alias_holder(client, CHALLENGER) == 3


def test_a_challenger_that_is_gone_stands_in_nobodys_way(registry):
    client, register = registry
    propose(client, register(0.9))
    client.delete_model_version(MODEL_NAME, "1")
    propose(client, register(0.5))
    assert alias_holder(client, CHALLENGER) == 2


def test_somebody_may_put_any_version_there_and_it_is_said_which_is_used_and_how_good_it_is(
    registry, monkeypatch, tmp_path
):
    client, register = registry
    propose(client, register(0.9))
    register(0.38)
    assert nominate(client, 2) == "challenger is version 2 (validation Dice 0.380); it was version 1"
    monkeypatch.setattr("femseg.services.registry.shipped.SHIPPED_MODEL", tmp_path / "nothing is shipped")
    used = load_for_use(client, f"models:/{MODEL_NAME}")
    assert used.name == f"models:/{MODEL_NAME}/2, challenger"
    assert str(used.package.model.metrics) == "validation Dice 0.380"
    assert [remark[:5] for remark in used.remarks] == ["RG-15"]


def test_after_its_promotion_challenger_is_no_name_and_points_to_the_champion_RG_12(registry):
    client, register = registry
    set_alias(client, CHAMPION, register(0.9))
    with pytest.raises(Refusal) as refused:
        registered_version(client, CHALLENGING)
    (fault,) = refused.value.faults
    assert (fault.id, refused.value.exit_code) == ("RG-12", ExitCode.USAGE)
    assert "champion (version 1)" in fault.problem
    assert "use champion" in fault.fix
    assert "MlflowException" not in str(fault)


@pytest.mark.parametrize("model", ["models:/femseg@nobody", "models:/femseg/9"])
def test_a_name_that_no_version_has_is_refused_with_those_that_there_are_RG_12(registry, model):
    client, register = registry
    propose(client, register(0.9))
    register(0.8)
    with pytest.raises(Refusal, match=r"the registry has 2 versions, 1 to 2; aliases: challenger \(version 1\)"):
        registered_version(client, model)
