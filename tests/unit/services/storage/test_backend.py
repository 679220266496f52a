"""A shared folder and S3 by the same tests: names and bytes, objects under their hash, each node's cache of them."""

import hashlib
import os
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from servers.s3_server import SECRET_KEY, s3_server
from tiny_store import SPLIT, write_tiny_store

from femseg.cohorts.store import ArrayStore
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file
from femseg.services.storage import arrays as storage_objects
from femseg.services.storage import backend as storage_module
from femseg.services.storage.arrays import ObjectCache, fetched_split, fetched_store, object_name, publish
from femseg.services.storage.backend import StorageSettings, open_storage
from femseg.settings import checked

BUCKET = "femseg"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as one:
        one.make_bucket(BUCKET)
        yield one


@pytest.fixture(params=["folder", "s3"])
def storage(request, server, tmp_path, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return open_storage(str(tmp_path / "shared") if request.param == "folder" else f"s3://{BUCKET}/{tmp_path.name}")


def test_bytes_come_back_are_listed_replaced_and_removed(storage):
    assert storage.sizes("a") == {}
    storage.write("a/b/one", b"first")
    storage.write("a/b/one", b"second")
    storage.write("a/two", b"")
    storage.write("ab", b"not below a")
    assert storage.read("a/b/one") == b"second"
    assert storage.sizes("a") == {"a/b/one": 6, "a/two": 0}
    storage.remove("a/b/one")
    storage.remove("a/b/one")
    assert (storage.size("a/b/one"), storage.size("a/two")) == (None, 0)
    with pytest.raises(FileNotFoundError):
        storage.read("a/b/one")


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.write("a/b/one", b"first")
    tmp_path.chmod(0o755)
    (tmp_path / "a/b").chmod(0o000)
    nobody, root = 65534, 0
    try:
        with chdir(tmp_path):  # root may list everything, and nobody may not pass the folders above
            if os.geteuid() == root:
                os.seteuid(nobody)
            with pytest.raises(PermissionError):
                storage_module.SharedFolder(".").sizes("a")
    finally:
        if os.getuid() == root:
            os.seteuid(root)
        (tmp_path / "a/b").chmod(0o700)
    assert storage.sizes("a") == {"a/b/one": 5}


@pytest.fixture
def store(tmp_path) -> Path:
    return write_tiny_store(tmp_path / "store")


def published(storage, store: Path) -> int:
    return publish(storage, stores=[store / "raw", store / "mask"], files=[store / "split.json"])


def test_data_is_uploaded_once_and_read_back_as_it_was(storage, store, tmp_path):
    assert published(storage, store) == 5 + 5 + 2 + 1  # arrays, indices, split; two masks are alike in shape, not bytes
    assert published(storage, store) == 0
    cache = ObjectCache(storage, tmp_path / "cache")
    there, here = fetched_store(cache, sha256_of_file(store / "raw/index.json")), ArrayStore.open(store / "raw")
    assert (dict(there.lines), there.recipe, there.sha256) == (dict(here.lines), here.recipe, here.sha256)
    for case_id in here.case_ids:
        np.testing.assert_array_equal(there.load(case_id), here.load(case_id))
    assert fetched_split(cache, sha256_of_file(store / "split.json")) == SPLIT
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_what_is_missing_or_cut_short_in_the_storage_is_uploaded_again(storage, store):
    published(storage, store)
    stored = ArrayStore.open(store / "raw")
    storage.remove(object_name(stored.entry("case0").sha256))
    storage.write(object_name(stored.entry("case1").sha256), b"torn")
    assert published(storage, store) == 2


def test_an_altered_array_is_never_uploaded(storage, store):
    array = store / "raw/case2.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"!")
    with pytest.raises(Refusal, match=r"ST-02: .*case2\.npy") as refused:
        published(storage, store)
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert object_name(sha256_of_file(store / "raw/index.json")) not in storage.sizes("objects")


@pytest.fixture
def kept(storage, tmp_path):
    """An object, the cache that has it, and the cache's file."""
    content = bytes(range(256)) * 40
    sha256 = hashlib.sha256(content).hexdigest()
    storage.write(object_name(sha256), content)
    cache = ObjectCache(storage, tmp_path / "cache")
    assert cache.read(sha256) == content
    return content, sha256, cache, tmp_path / "cache" / object_name(sha256)


def test_the_cache_answers_without_the_storage(storage, kept):
    content, sha256, cache, _ = kept
    storage.remove(object_name(sha256))
    assert cache.read(sha256) == content


@pytest.mark.parametrize("place", [0, 5000, 10239])
def test_one_flipped_bit_in_the_cache_is_fetched_again(kept, place):
    content, sha256, cache, file = kept
    file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    assert cache.read(sha256) == content
    assert file.read_bytes() == content


@pytest.mark.parametrize("change", ["one bit", "cut", "gone"])
def test_an_object_that_the_storage_altered_or_lost_is_refused_by_name(storage, kept, change):
    content, sha256, cache, file = kept
    file.unlink()
    if change == "gone":
        storage.remove(object_name(sha256))
    else:
        storage.write(object_name(sha256), content[:-1] if change == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Refusal) as refused:
        cache.read(sha256)
    (fault,) = refused.value.faults
    assert (fault.id, fault.exit_code) == ("ST-02", ExitCode.INTEGRITY)
    assert fault.file == f"{storage.url}/{object_name(sha256)}"
    assert not file.exists()


def test_a_node_that_cannot_keep_a_copy_reads_on_and_says_so_once(storage, kept, tmp_path):
    content, sha256, _, _ = kept
    (tmp_path / "in-the-way").write_text("a file")
    said: list[str] = []
    cache = ObjectCache(storage, tmp_path / "in-the-way", say=said.append)
    assert [cache.read(sha256), cache.read(sha256)] == [content, content]
    assert len(said) == 1
    assert "in-the-way" in said[0]


@pytest.mark.parametrize("trouble", ["stopped", "gone", "no bucket"])
def test_s3_that_does_not_answer_is_refused_within_bounds_naming_no_secret(server, tmp_path, monkeypatch, trouble):
    monkeypatch.setattr(storage_objects, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(storage_module, "_READ_S", 0.5)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    if trouble == "gone":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    url = f"s3://{'nobodys' if trouble == 'no bucket' else BUCKET}/x"
    store = write_tiny_store(tmp_path / "store")
    if trouble == "stopped":
        with server.stopped(), pytest.raises(Refusal) as refused:
            published(open_storage(url), store)
    else:
        with pytest.raises(Refusal) as refused:
            published(open_storage(url), store)
    (fault,) = refused.value.faults
    assert (fault.id, fault.file, fault.exit_code) == ("ST-09", url, ExitCode.SERVICE_DOWN)
    assert SECRET_KEY not in str(fault)


@pytest.mark.parametrize(
    "url", ["relative/folder", "s3://", "s3://Bucket/x", "s3://b/../x?y", "gs://bucket", "http://x"]
)
def test_a_url_that_no_node_could_reach_is_refused(url):
    with pytest.raises(Refusal, match="storage: url: expected an absolute path or s3://bucket/prefix"):
        checked(StorageSettings, {"url": url}, where="storage")


def test_credentials_in_the_url_are_refused_and_not_repeated():
    with pytest.raises(Refusal, match="credentials by the environment") as refused:
        checked(StorageSettings, {"url": "s3://key:hush@bucket/x"}, where="storage")
    assert "hush" not in str(refused.value)
