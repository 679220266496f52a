"""A network is found by its name, its settings are checked, and a package alone decides nothing that is imported."""

import sys

import pytest
from residual_unet import ResidualUNet, ResidualUNetSettings

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.choice import read_network, require_at_hand, source_sha256
from femseg.networks.network import NETWORKS, Network, build_network, network_class
from femseg.networks.vnet import VNet, VNetSettings

FOREIGN = "residual_unet:ResidualUNet"


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Write the `network:` section of a params.yaml in the working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda section: (tmp_path / "params.yaml").write_text(f"network: {section}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package beside femseg whose entry point is named `lab_unet`."""
    folder = tmp_path / "site" / "lab-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Name: lab\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[femseg.networks]\nlab_unet = {FOREIGN}\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder.parent)])
    network_class.cache_clear()
    yield
    network_class.cache_clear()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_femseg_is_found_and_its_settings_carry_its_name(name):
    found = network_class(name)
    assert issubclass(found, Network)
    assert found.Settings().name == name
    assert source_sha256(found.Settings()) == ""


def test_without_a_name_the_section_is_the_v_nets(params):
    params("{base_channels: 4}")
    settings = read_network()
    assert settings == VNetSettings(base_channels=4)
    assert isinstance(build_network(settings, 1), VNet)


def test_a_class_of_any_module_is_named_with_settings_of_its_own(params):
    params(f"{{name: '{FOREIGN}', width: 2}}")
    settings = read_network()
    assert settings == ResidualUNetSettings(width=2)
    network = build_network(settings, 2)
    assert isinstance(network, ResidualUNet)
    assert network.input_channels == 2
    assert len(source_sha256(settings)) == 64


def test_an_installed_package_adds_one_by_an_entry_point(params, installed):
    params("{name: lab_unet}")
    assert isinstance(build_network(read_network(), 1), ResidualUNet)
    params("{}")
    require_at_hand("lab_unet")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (f"{{name: '{FOREIGN}', base_channels: 4}}", "network.base_channels: unknown setting"),
        (f"{{name: '{FOREIGN}', width: 0}}", "expected at least 1, got 0"),
        ("{name: unet}", "network.name: expected vnet or package.module:Class, got 'unet'"),
        ("{name: 'nowhere.unet:UNet'}", "network.name: nowhere.unet:UNet cannot be imported .*No module named"),
        ("{name: 'residual_unet:Nothing'}", "residual_unet:Nothing cannot be imported .*no attribute"),
        ("{name: 'residual_unet:Residual'}", "residual_unet:Residual is no subclass of Network"),
        ("{name: 7}", "network.name: expected vnet"),
        ("[vnet]", "network: Input should be an object"),
    ],
)
def test_what_names_no_network_or_no_setting_of_it_is_refused_in_one_line(params, section, problem):
    params(section)
    with pytest.raises(Refusal, match=problem) as refused:
        read_network()
    assert refused.value.exit_code == ExitCode.USAGE
    assert len(refused.value.faults) == 1


def test_a_package_may_name_what_is_femsegs_own_installed_or_of_the_params_at_hand(params):
    require_at_hand("vnet")
    with pytest.raises(ValueError, match=f"{FOREIGN} is not at hand"):
        require_at_hand(FOREIGN)  # no params.yaml at all
    params("{base_channels: 4}")
    with pytest.raises(ValueError, match="is not at hand"):
        require_at_hand(FOREIGN)
    params(f"{{name: '{FOREIGN}'}}")
    require_at_hand(FOREIGN)
