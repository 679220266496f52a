"""A package goes into the registry once, as it is, and comes out as the same network or not at all."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from tiny_model import write_tiny_package

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.inference.segment import femur_probability
from femseg.networks.package import load_package
from femseg.services.registry.challenger import propose
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, load_registered, register_package
from femseg.services.tracking.connect import connect, end_run, start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
CHALLENGING = f"models:/{MODEL_NAME}@{CHALLENGER}"
PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".pt2", ".bin"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A store with one registered package: client, package folder, what registering said."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        client, experiment_id = connect()
        write_tiny_package(folder / "package")
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        made = register_package(client, folder / "package", run_id=run_id, tags={"input_mode": "raw"}, input_channels=1)
        propose(client, made.version)
        yield client, folder / "package", made


def stored_files(client, version) -> list[Path]:
    source = mlflow.artifacts.download_artifacts(artifact_uri=version.source)
    return [path for path in Path(source).rglob("*") if path.is_file()]


def test_the_first_package_becomes_a_version_under_the_alias_challenger(registry):
    client, package, made = registry
    version = client.get_model_version_by_alias(MODEL_NAME, CHALLENGER)
    assert (int(version.version), version.run_id) == (made.version, made.run_id)
    assert not made.already_there
    assert version.tags == {"input_mode": "raw", "package_sha256": load_package(package).sha256}


def test_its_signature_leaves_batch_and_spatial_sizes_free(registry):
    info = mlflow.models.get_model_info(CHALLENGING)
    assert [tensor.shape for tensor in info.signature.inputs.inputs] == [(-1, 1, -1, -1, -1)]
    assert [tensor.shape for tensor in info.signature.outputs.inputs] == [(-1, -1, -1, -1)]


def test_its_artefact_holds_the_package_and_nothing_pickled_SC_01(registry):
    client, package, _ = registry
    files = stored_files(client, client.get_model_version_by_alias(MODEL_NAME, CHALLENGER))
    assert not [file for file in files if file.suffix in PICKLES]
    stored = {file.name: file.read_bytes() for file in files if file.parent.name == "package"}
    assert stored == {file.name: file.read_bytes() for file in package.iterdir()}


def test_registering_twice_makes_one_version_TR_16(registry):
    client, package, made = registry
    again = register_package(client, package, run_id=made.run_id, tags={}, input_channels=1)
    assert again.already_there
    assert (again.version, again.run_id) == (made.version, made.run_id)
    assert len(client.search_model_versions(f"name = '{MODEL_NAME}'")) == 1


@pytest.mark.parametrize("uri", [CHALLENGING, f"models:/{MODEL_NAME}/1"])
def test_the_loaded_model_gives_the_same_bits_at_any_input_size(registry, uri):
    client, package, _ = registry
    loaded, original = load_registered(client, uri), load_package(package)
    for shape_czyx in ((1, 16, 16, 16), (1, 24, 12, 20)):
        input_czyx = np.random.default_rng(1).random(shape_czyx, dtype=np.float32)
        ours = femur_probability(original.network, input_czyx)
        assert femur_probability(loaded.network, input_czyx).tobytes() == ours.tobytes()


def test_its_loader_has_the_name_that_stands_in_every_version_registered_before(registry):
    client, _, _ = registry
    files = stored_files(client, client.get_model_version_by_alias(MODEL_NAME, CHALLENGER))
    (described,) = (file for file in files if file.name == "MLmodel")
    assert "\n    loader_module: femseg.services.registered_model\n" in described.read_text()


def test_mlflows_own_loader_predicts_the_same(registry):
    _, package, _ = registry
    model = mlflow.pyfunc.load_model(CHALLENGING)
    input_bczyx = np.random.default_rng(1).random((2, 1, 8, 16, 12), dtype=np.float32)
    predicted = model.predict(input_bczyx)
    network = load_package(package).network
    for one, input_czyx in zip(predicted, input_bczyx, strict=True):
        np.testing.assert_allclose(one, femur_probability(network, input_czyx), atol=1e-6)


@pytest.mark.parametrize("uri", [f"models:/{MODEL_NAME}@champion", f"models:/{MODEL_NAME}@nobody", "models:/femseg/99"])
def test_an_unknown_model_is_refused_with_what_to_do(registry, uri):
    with pytest.raises(Refusal) as refused:
        load_registered(registry[0], uri)
    assert refused.value.exit_code == ExitCode.USAGE
    assert "make register" in str(refused.value)
    assert uri in str(refused.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "lineage.json", "MANIFEST.json"])
def test_one_flipped_bit_in_the_stored_package_is_refused_RG_07(registry, name):
    client, _, _ = registry
    files = stored_files(client, client.get_model_version_by_alias(MODEL_NAME, CHALLENGER))
    (stored,) = (file for file in files if file.name == name)
    good = stored.read_bytes()
    try:
        stored.write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
        with pytest.raises(Refusal) as refused:
            load_registered(client, CHALLENGING)
        assert refused.value.exit_code == ExitCode.INTEGRITY
    finally:
        stored.write_bytes(good)
    load_registered(client, CHALLENGING)


def test_another_whole_package_in_its_place_is_refused_RG_07(registry, tmp_path):
    client, _, _ = registry
    files = stored_files(client, client.get_model_version_by_alias(MODEL_NAME, CHALLENGER))
    write_tiny_package(tmp_path / "other", seed=1)
    good = {file: file.read_bytes() for file in files if file.parent.name == "package"}
    try:
        for file in good:
            file.write_bytes((tmp_path / "other" / file.name).read_bytes())
        with pytest.raises(Refusal) as refused:
            load_registered(client, CHALLENGING)
        assert refused.value.exit_code == ExitCode.INTEGRITY
        assert "registered was" in str(refused.value)
    finally:
        for file, content in good.items():
            file.write_bytes(content)


def test_a_torn_package_is_not_registered_RG_01(registry, tmp_path):
    client, _, made = registry
    write_tiny_package(tmp_path / "torn", seed=2)
    with (tmp_path / "torn" / "weights.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(Refusal) as refused:
        register_package(client, tmp_path / "torn", run_id=made.run_id, tags={}, input_channels=1)
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert len(client.search_model_versions(f"name = '{MODEL_NAME}'")) == 1


def test_another_package_becomes_the_next_version_and_moves_no_alias(registry, tmp_path):
    client, _, made = registry
    write_tiny_package(tmp_path / "next", seed=3)
    second = register_package(client, tmp_path / "next", run_id=made.run_id, tags={}, input_channels=1)
    assert second.version == made.version + 1
    assert client.get_model_version_by_alias(MODEL_NAME, CHALLENGER).version == made.version
