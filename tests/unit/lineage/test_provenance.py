"""A package says which code, data and settings it comes from."""

import subprocess

import pytest
import yaml

import femseg
from femseg.errors import Refusal
from femseg.lineage.provenance import (
    GitState,
    Lineage,
    code_sha256,
    commit_remark,
    dvc_hashes,
    git_state,
    lineage,
    software_versions,
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_is_known_and_whether_the_tree_differs_from_it(repository):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    assert git_state(repository) == GitState(commit=commit, modified=False)
    (repository / "untracked.txt").touch()
    assert git_state(repository).modified is False
    (repository / "params.yaml").write_text("seed: 2\n")
    assert git_state(repository) == GitState(commit=commit, modified=True)


def test_a_committed_dvc_lock_that_dvc_rewrites_is_no_change_of_the_code(repository):
    (repository / "dvc.lock").write_text("stages: {}\n")
    for words in (
        ["add", "dvc.lock"],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "Lock"],
    ):
        subprocess.run(["git", *words], cwd=repository, check=True)
    (repository / "dvc.lock").write_text("stages: {split: {}}\n")
    assert git_state(repository).modified is False


def test_without_git_the_commit_is_unknown_not_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == GitState()


def test_without_the_program_git_the_commit_is_unknown_too(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(repository) == GitState()


def test_a_commit_that_git_does_not_name_is_said_at_once_in_gits_own_words_RG_04(repository, monkeypatch):
    assert commit_remark(repository) == ""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container that mounts somebody else's folder
    assert git_state(repository) == GitState()
    remark = commit_remark(repository)
    assert remark.startswith("warning RG-04: ")
    assert "detected dubious ownership in repository at" in remark
    assert "safe.directory" in remark
    monkeypatch.setenv("PATH", "/nowhere")
    assert "No such file" in commit_remark(repository)


def test_hashes_of_outs_are_those_of_dvc_lock(tmp_path):
    outs = [{"path": "data/cohort", "md5": "abc.dir"}, {"path": "data/split.json", "md5": "def"}]
    lock = {"schema": "2.0", "stages": {"cohort": {"cmd": "x", "outs": outs}, "frozen": {"cmd": "y"}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert dvc_hashes(tmp_path / "dvc.lock", ["data/cohort", "data/absent"]) == {"data/cohort": "abc.dir"}


@pytest.mark.parametrize("content", [None, "", "schema: '2.0'\n"])
def test_without_a_filled_dvc_lock_no_hash_is_claimed(tmp_path, content):
    if content is not None:
        (tmp_path / "dvc.lock").write_text(content)
    assert dvc_hashes(tmp_path / "dvc.lock", ["data/cohort"]) == {}


def test_the_code_hash_changes_with_any_source_line_and_file_name(tmp_path, monkeypatch):
    monkeypatch.setattr(femseg, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "networks").mkdir()
    source = tmp_path / "networks" / "vnet.py"
    source.write_text("a = 1\n")
    (tmp_path / "cli.py").write_text("unrelated\n")
    first = code_sha256(["networks"])
    (tmp_path / "cli.py").write_text("changed\n")
    assert code_sha256(["networks"]) == first
    source.write_text("a = 2\n")
    assert code_sha256(["networks"]) != first
    source.write_text("a = 1\n")
    assert code_sha256(["networks"]) == first
    source.rename(source.with_name("unet.py"))
    assert code_sha256(["networks"]) != first


def test_the_lineage_brings_all_of_it_together(repository):
    found = lineage(repository, inputs=["data/cohort"], sha256={"split": "s"}, seed=7)
    assert found == Lineage(git=git_state(repository), sha256={"split": "s"}, seed=7)


def test_versions_name_what_the_numbers_depend_on():
    versions = software_versions()
    assert versions["femseg"] == femseg.__version__
    assert {"torch", "numpy", "SimpleITK", "ray", "mlflow", "dvc"} < set(versions)


def test_source_that_has_gone_is_refused_instead_of_hashed(tmp_path, monkeypatch):
    monkeypatch.setattr("femseg.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(Refusal, match="no longer there"):
        code_sha256(["networks"])
