import json
import random

import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file, sha256_of_json, write_json_durably
from femseg.networks.package import load_package, write_package
from femseg.networks.vnet import VNet, VNetSettings

SETTINGS = VNetSettings(
    base_channels=2, strides=((1, 2, 2),), convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3
)
RECIPE = {"input_mode": "gradient", "shape_zyx": [8, 8, 8]}
MODEL = {"input_mode": "gradient", "input_recipe": RECIPE, "metrics": {"validation_dice": 0.9}}
LINEAGE = {"git_commit": "abc", "seed": 1}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VNet(SETTINGS, 1).to(memory_format=torch.channels_last_3d)


def test_a_package_comes_back_with_the_same_weights_and_words(tmp_path, network):
    sha256 = write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
    package = load_package(tmp_path / "model")
    assert package.sha256 == sha256
    assert package.lineage == LINEAGE
    assert package.model["input_recipe"] == MODEL["input_recipe"]
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
    other = write_package(tmp_path / "a", network, model=MODEL, lineage={"git_commit": "def"})
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
    network.settings = VNetSettings(
        base_channels=4, strides=((1, 2, 2),), convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3
    )
    write_package(tmp_path / "model", network, model=MODEL, lineage=LINEAGE)
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
