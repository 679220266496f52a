"""Model packages in the storage: whole, proven, and refused by name when they no longer are what was sent."""

import pytest
import torch
from servers.s3_server import s3_server
from tiny_model import write_tiny_package

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.package import load_package
from femseg.services.storage.backend import open_storage
from femseg.services.storage.packages import download_package, upload_package


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as one:
        one.make_bucket("packages")
        yield one


@pytest.fixture
def sent(server, tmp_path, monkeypatch):
    """The storage, the package's SHA-256 and folder; it is uploaded."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    storage, sha256 = open_storage(f"s3://packages/{tmp_path.name}"), write_tiny_package(tmp_path / "model")
    assert upload_package(storage, tmp_path / "model") == f"{storage.url}/packages/{sha256}"
    return storage, sha256, tmp_path / "model"


def test_a_package_comes_back_from_the_storage_as_it_was(sent, tmp_path):
    storage, sha256, folder = sent
    package = download_package(storage, sha256, tmp_path / "again")
    here = load_package(folder)
    assert (package.sha256, package.model) == (sha256, here.model)
    weights = here.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in package.network.state_dict().items())
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in (tmp_path / "again").iterdir()
    }


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json", "lineage.json", "MANIFEST.json"])
def test_one_bit_altered_in_the_storage_is_refused_and_nothing_left_RG_07(sent, tmp_path, file):
    storage, sha256, folder = sent
    name = f"packages/{sha256}/{file}"
    content = storage.read(name)
    storage.write(name, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Refusal, match=rf"RG-07: {storage.url}/packages/{sha256}: .*{file}") as refused:
        download_package(storage, sha256, tmp_path / "again")
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert not (tmp_path / "again").exists()
    with pytest.raises(Refusal, match=r"RG-07.*train"):  # what is there under its name and size is not sent again
        upload_package(storage, folder)


def test_a_package_that_the_storage_does_not_have_is_refused(sent, tmp_path):
    storage = sent[0]
    with pytest.raises(Refusal, match=r"RG-07: .*MANIFEST\.json"):
        download_package(storage, "0" * 64, tmp_path / "again")
