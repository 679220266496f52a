import json
import random
from dataclasses import replace

import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file, sha256_of_json, write_json_durably
from femseg.lineage.provenance import GitState, Lineage
from femseg.networks.package import load_package, write_package
from femseg.networks.package_files import Architecture, ModelDescription, ScaleDescription, TrainingMetrics, Windows
from femseg.networks.vnet import VNet, VNetSettings
from femseg.settings import as_plain
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

SETTINGS = VNetSettings(
    base_channels=2, strides=((1, 2, 2),), convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3
)
RECIPE = {"input_mode": "gradient", "shape_zyx": [8, 8, 8]}
MODEL = ModelDescription(
    architecture=Architecture(settings=as_plain(SETTINGS), input_channels=1),
    input_mode="gradient",
    input_recipe=InputRecipe(input_mode="gradient", shape_zyx=(8, 8, 8)),
    metrics=TrainingMetrics(validation_dice=0.9),
)
LINEAGE = Lineage(git=GitState(commit="abc"), seed=1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VNet(SETTINGS, 1).to(memory_format=torch.channels_last_3d)


def test_a_package_comes_back_with_the_same_weights_and_words(tmp_path, network):
    sha256 = write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    package = load_package(tmp_path / "model")
    assert package.sha256 == sha256
    assert (package.model, package.lineage) == (MODEL, LINEAGE)
    assert package.network.settings == SETTINGS
    assert not package.network.training
    volume = torch.rand(1, 1, 4, 8, 8)
    assert torch.equal(package.network(volume), network.eval()(volume.clone()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_equal_content_gives_equal_bytes_and_replaces_what_was_there(tmp_path, network):
    first = write_package(tmp_path / "a", network, model=MODEL, lineage=LINEAGE)
    second = write_package(tmp_path / "b", network, model=MODEL, lineage=LINEAGE)
    assert first == second
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    other = write_package(tmp_path / "a", network, model=MODEL, lineage=Lineage(git=GitState(commit="def")))
    assert load_package(tmp_path / "a").sha256 == other != first


def test_rg_07_one_flipped_bit_anywhere_is_refused_naming_the_file(tmp_path, network):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    dice = random.Random(0)
    for path in sorted((tmp_path / "model").iterdir()):
        good = path.read_bytes()
        for _ in range(40):
            place = dice.randrange(len(good))
            path.write_bytes(good[:place] + bytes([good[place] ^ 1 << dice.randrange(8)]) + good[place + 1 :])
            with pytest.raises(Refusal, match=path.name) as refused:
                load_package(tmp_path / "model")
            assert refused.value.exit_code == ExitCode.INTEGRITY
        path.write_bytes(good)
    load_package(tmp_path / "model")


def test_missing_and_additional_files_are_refused_by_name(tmp_path, network):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    (tmp_path / "model" / "code.py").write_text("")
    with pytest.raises(Refusal, match=r"code\.py: does not belong to the package"):
        load_package(tmp_path / "model")
    (tmp_path / "model" / "code.py").unlink()
    (tmp_path / "model" / "lineage.json").unlink()
    with pytest.raises(Refusal, match=r"lineage\.json: cannot be read"):
        load_package(tmp_path / "model")
    with pytest.raises(Refusal, match="nothing: cannot be read"):
        load_package(tmp_path / "nothing")


def test_weights_that_do_not_fit_the_stated_architecture_are_refused(tmp_path, network):
    wider = Architecture(settings=as_plain(replace(SETTINGS, base_channels=4)), input_channels=1)
    write_package(tmp_path / "model", network, model=replace(MODEL, architecture=wider), lineage=LINEAGE)
    with pytest.raises(Refusal, match="names, shapes or types of the weights differ"):
        load_package(tmp_path / "model")


def test_weights_that_are_not_finite_make_no_package(tmp_path, network):
    network.last.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite make no package: last\.bias"):
        write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    assert not list(tmp_path.iterdir())


def signed_anew(folder, name: str, content: bytes) -> None:
    """What somebody does who changes a file and knows how the manifest is made."""
    (folder / name).write_bytes(content)
    files = {f: sha256_of_file(folder / f) for f in ("weights.safetensors", "model.json", "lineage.json")}
    write_json_durably(folder / "MANIFEST.json", {"files": files, "sha256_of_files": sha256_of_json(files)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", b"{"),
        ("model.json", b"[" * 100_000),
        ("model.json", b"\xff"),
        ("lineage.json", b"no json"),
        ("weights.safetensors", b""),
        ("weights.safetensors", b"junk" * 100),
    ],
    ids=["cut", "deep", "no text", "lineage", "empty", "junk"],
)
def test_rg_07_a_file_that_cannot_be_read_is_refused_though_its_hash_holds(tmp_path, network, name, content):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    signed_anew(tmp_path / "model", name, content)
    with pytest.raises(Refusal) as refused:
        load_package(tmp_path / "model")
    assert refused.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize(
    "change",
    [
        {"input_mode": "raw"},
        {"input_recipe": RECIPE | {"shape_zyx": [2**20, 2**20, 8]}},
        {"input_recipe": RECIPE | {"shape_zyx": [8, 7, 8]}},
        {"input_mode": "both", "input_recipe": RECIPE | {"input_mode": "both"}},
        {"architecture": {"settings": 7, "input_channels": 1}},
        {"architecture": {"settings": {"base_channels": 2**62}, "input_channels": 1}},
    ],
    ids=["other mode", "huge grid", "indivisible grid", "channels", "no settings", "huge network"],
)
def test_rg_07_a_description_that_does_not_fit_the_network_is_refused(tmp_path, network, change):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    signed_anew(tmp_path / "model", "model.json", json.dumps(model | change).encode())
    with pytest.raises(Refusal, match=r"RG-07: .*model\.json") as refused:
        load_package(tmp_path / "model")
    assert refused.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize("name", ["model.json", "lineage.json"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 3}, r"is of version 3, this femseg reads up to \d\. Fix: update femseg, or .*`dvc repro train`"),
        ({"version": True, "more": 1}, r"version: .* Fix: make the package anew with `dvc repro train`"),
        ({"more": 1}, r"more: unknown setting\. Fix: make the package anew with `dvc repro train`"),
    ],
    ids=["later", "no version", "unknown key"],
)
def test_rg_07_a_file_of_another_layout_is_refused_with_the_command_that_makes_it_anew(
    tmp_path, network, name, change, problem
):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    plain = json.loads((tmp_path / "model" / name).read_text())
    signed_anew(tmp_path / "model", name, json.dumps(plain | change).encode())
    with pytest.raises(Refusal, match=rf"RG-07: .*{name}: .*{problem}") as refused:
        load_package(tmp_path / "model")
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert len(refused.value.faults) == 1


@pytest.mark.parametrize("key", ["architecture", "input_mode", "input_recipe"])
def test_rg_07_a_description_that_lacks_what_is_needed_is_refused(tmp_path, network, key):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    plain = {name: value for name, value in as_plain(MODEL).items() if name != key}
    signed_anew(tmp_path / "model", "model.json", json.dumps(plain).encode())
    with pytest.raises(Refusal, match=rf"RG-07: .*model\.json: model\.{key}: .*required.* `dvc repro train`"):
        load_package(tmp_path / "model")


def test_a_package_of_femseg_0_1_without_versions_and_name_is_read_as_it_is(tmp_path, network):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    settings = {name: value for name, value in as_plain(SETTINGS).items() if name != "name"}
    scaling = {"kind": "min_max", "low": None, "high": None}
    model = {
        "architecture": {"input_channels": 1, "settings": settings},
        "input_mode": "gradient",
        "input_recipe": RECIPE | {"anti_aliasing": False, "raw_scaling": scaling, "gradient_scaling": scaling},
        "metrics": {"best_iteration": 240, "validation_dice": 0.9343},
        "training": {"optimisation": {"batch_size": 2}, "train": {"max_iterations": 240, "seed": 0}},
        "training_range": {
            "extent_mm_zyx": [[416.0, 199.8, 199.8], [560.0, 199.8, 199.8]],
            "spacing_mm_zyx": [[4.0, 1.8, 1.8], [4.0, 1.8, 1.8]],
        },
        "versions": {"femseg": "0.1.0", "torch": "2.13.0+cpu"},
    }
    lineage = {
        "dvc_md5": {"data/split.json": "5c" * 16},
        "git": {"commit": "91" * 20, "modified": False},
        "seed": 0,
        "sha256": {"code": "c0" * 32, "inputs": "3b" * 32},
    }
    signed_anew(tmp_path / "model", "model.json", (json.dumps(model, indent=2, sort_keys=True) + "\n").encode())
    signed_anew(tmp_path / "model", "lineage.json", (json.dumps(lineage, indent=2, sort_keys=True) + "\n").encode())
    package = load_package(tmp_path / "model")
    assert isinstance(package.network, VNet)
    assert as_plain(package.model) == model | {
        "version": 2,
        "name": "",
        "refine": None,
        "windows": None,
        "cohort_source": "",
        "architecture": {"input_channels": 1, "settings": settings},
        "input_recipe": model["input_recipe"] | {"spacing_mm_zyx": None, "gradient_of": "ct"},
        "training": model["training"] | {"painted_share": None},
    }
    assert as_plain(package.lineage) == lineage | {"version": 1}


def test_a_network_with_values_outside_of_its_weights_is_refused(tmp_path, network, monkeypatch):
    """They would stay without a value, and the first CT would meet that."""
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)

    def with_buffer(settings, input_channels):
        made = VNet(settings, input_channels)
        made.register_buffer("scale", torch.ones(1), persistent=False)
        return made

    monkeypatch.setattr("femseg.networks.package.build_network", with_buffer)
    with pytest.raises(Refusal, match=r"RG-07: .* keeps values outside of its weights"):
        load_package(tmp_path / "model")


def test_whatever_a_network_s_constructor_raises_is_one_sentence(tmp_path, network, monkeypatch):
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)

    def broken(settings, input_channels):
        raise KeyError("width")

    monkeypatch.setattr("femseg.networks.package.build_network", broken)
    with pytest.raises(Refusal, match=r"RG-07: .*KeyError"):
        load_package(tmp_path / "model")


def finer(network):
    return ScaleDescription(
        architecture=Architecture(settings=as_plain(SETTINGS), input_channels=1),
        input_mode="raw",
        input_recipe=InputRecipe(
            input_mode="raw", spacing_mm_zyx=(1.0, 1.0, 1.0), raw_scaling=Scaling(kind="window", low=0.0, high=1.0)
        ),
        windows=Windows(shape_zyx=(8, 8, 8)),
    )


def test_a_package_of_two_networks_comes_back_under_one_hash(tmp_path, network):
    torch.manual_seed(1)
    second = VNet(SETTINGS, 1)
    model = replace(MODEL, name="cascade-raw", refine=finer(second))
    sha256 = write_package(tmp_path / "model", network, model=model, lineage=LINEAGE, refine=second)
    package = load_package(tmp_path / "model")
    assert (package.sha256, package.model) == (sha256, model)
    volume = torch.rand(1, 1, 8, 8, 8)
    assert torch.equal(package.refine(volume), second.eval()(volume))
    assert not torch.equal(package.refine(volume), package.network(volume))


@pytest.mark.parametrize("change", ["lost", "altered", "not described"])
def test_rg_07_the_finer_network_s_weights_are_held_against_their_hash_and_description(tmp_path, network, change):
    model = replace(MODEL, refine=finer(network))
    write_package(tmp_path / "model", network, model=model, lineage=LINEAGE, refine=network)
    weights = tmp_path / "model" / "refine.safetensors"
    if change == "lost":
        weights.unlink()
    elif change == "altered":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    else:
        signed_anew(tmp_path / "model", "model.json", json.dumps(as_plain(MODEL)).encode())
    with pytest.raises(Refusal, match="RG-07"):
        load_package(tmp_path / "model")
