"""A link to code or data holds, is not here, or is broken; each for a stated reason."""

import hashlib
import json
import subprocess
from dataclasses import replace

import pytest

from femseg.files.durable import sha256_of_json
from femseg.lineage.data_links import code_links, code_sha256_at, data_links, trained_on
from femseg.lineage.materials import Materials, broken_links
from femseg.lineage.output_links import about_case, ct_links, same_sources, trained_series
from femseg.lineage.provenance import GitState, Lineage
from femseg.lineage.records import OutputRecord

CODE = {"networks/vnet.py": b"network = 1\n", "training/loop.py": b"loop = 1\n", "training/deep/a.py": b""}
PARTS = {"train": ["case-1"], "validation": ["case-2"], "test": ["case-3"]}


def states(links) -> dict[str, str]:
    return {link.what: link.state for link in links}


def git(folder, *words: str) -> str:
    names = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "repository"
    for name, content in CODE.items():
        file = folder / "platform/femseg" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        git(folder, *words)
    return folder


def code_of(files) -> str:
    digest = hashlib.sha256()
    for name in sorted(files, key=lambda name: name.split("/")):
        digest.update(name.encode() + b"\0" + files[name])
    return digest.hexdigest()


def described(repository, *, modified=False, commit=None, code=None) -> Lineage:
    git_state = GitState(commit=commit or git(repository, "rev-parse", "HEAD"), modified=modified)
    return Lineage(git=git_state, sha256={"code": code or code_of(CODE)})


def test_the_commit_must_hold_the_code_that_trained(repository):
    assert code_sha256_at(repository, git(repository, "rev-parse", "HEAD")) == code_of(CODE)
    assert states(code_links(described(repository), repository)) == {"git commit": "holds", "training code": "holds"}
    other = described(repository, code="00" * 32)
    assert states(code_links(other, repository)) == {"git commit": "holds", "training code": "broken"}


def test_other_files_that_differed_are_said_but_break_nothing_while_the_code_is_the_same(repository):
    commit, code = code_links(described(repository, modified=True), repository)
    assert (commit.state, code.state) == ("holds", "holds")
    assert "other files than the training code differed" in commit.note


def test_a_commit_of_another_repository_is_not_here_and_if_files_differed_broken(repository):
    elsewhere = "12" * 20
    assert states(code_links(described(repository, commit=elsewhere), repository)) == {
        "git commit": "not here",
        "training code": "not here",
    }
    assert states(code_links(described(repository, commit=elsewhere, modified=True), repository)) == {
        "git commit": "broken"
    }


@pytest.mark.parametrize("commit", [None, "", "HEAD", "--output=/tmp/x", "abc"])
def test_what_is_no_commit_is_broken_and_never_handed_to_git(repository, commit):
    lineage = replace(described(repository), git=GitState(commit=commit))
    (link,) = code_links(lineage, repository)
    assert link.state == "broken"


@pytest.fixture
def trained(tmp_path):
    """A lineage and the DVC cache that holds all that it names."""
    cache, root = tmp_path / "cache", tmp_path / "tree"

    def kept(content: bytes, suffix: str = "") -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
        (cache / md5[:2] / md5[2:]).write_bytes(content)
        return md5

    cases = [{"case_id": f"case-{n}", "ct": {"files": [{"sha256": f"{n}{k}"} for k in "21"]}} for n in "123"]
    files = {
        "data/cohort": ("manifest.json", json.dumps({"cases": cases}).encode()),
        "data/arrays/raw": ("index.json", b"raw"),
        "data/arrays/mask": ("index.json", b"mask"),
    }
    md5 = {
        path: kept(json.dumps([{"md5": kept(content), "relpath": name}]).encode(), ".dir")
        for path, (name, content) in files.items()
    }
    md5["data/split.json"] = kept(json.dumps({"parts": PARTS}).encode())
    sha256 = {
        key: hashlib.sha256(files[path][1]).hexdigest()
        for key, path in (("manifest", "data/cohort"), ("inputs", "data/arrays/raw"), ("masks", "data/arrays/mask"))
    }
    root.mkdir()
    lineage = Lineage(dvc_md5=md5, sha256=sha256 | {"split": sha256_of_json(PARTS)}, seed=0)
    return lineage, Materials(root=root, cache=cache)


def test_data_in_dvcs_cache_hold_by_md5_and_by_our_own_hash(trained):
    lineage, materials = trained
    links = data_links(lineage, "raw", materials)
    assert {link.state for link in links} == {"holds"}
    assert len(links) == 9
    assert trained_on(lineage, "split", materials)["parts"] == PARTS


def test_data_that_lie_nowhere_here_are_not_here(trained):
    lineage, materials = trained
    links = data_links(lineage, "raw", Materials(root=materials.root, cache=None))
    assert states(links) == dict.fromkeys(states(links), "not here") | {"seed": "holds"}
    assert trained_on(lineage, "manifest", Materials(root=materials.root, cache=None)) is None


def test_one_flipped_bit_in_the_cache_is_never_taken_for_the_data(trained):
    lineage, materials = trained
    md5 = lineage.dvc_md5["data/split.json"]
    kept = materials.cache / md5[:2] / md5[2:]
    kept.write_bytes(bytes([kept.read_bytes()[0] ^ 1]) + kept.read_bytes()[1:])
    found = states(data_links(lineage, "raw", materials))
    assert (found["DVC data/split.json"], found["split"]) == ("not here", "not here")


def test_the_working_tree_serves_where_the_cache_does_not(trained):
    lineage, materials = trained
    (materials.root / "data").mkdir()
    (materials.root / "data/split.json").write_text(json.dumps({"parts": PARTS}))
    found = states(data_links(lineage, "raw", Materials(root=materials.root, cache=None)))
    assert found["split"] == "holds"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        pytest.param(lambda x: x.sha256.update(inputs="00" * 32), "network inputs", id="another hash of the inputs"),
        pytest.param(lambda x: x.sha256.pop("split"), "split", id="no hash of the split"),
        pytest.param(lambda x: x.dvc_md5.pop("data/cohort"), "DVC data/cohort", id="no MD5 of the cohort"),
        pytest.param(lambda x: x.dvc_md5.update({"../x": "ab" * 16}), "DVC ../x", id="a path out of the tree"),
        pytest.param(lambda x: x.dvc_md5.update({"data/cohort": "../../x"}), "DVC data/cohort", id="no MD5"),
    ],
)
def test_a_hash_that_lacks_or_contradicts_breaks_the_lineage(trained, change, broken):
    lineage, materials = trained
    change(lineage)
    links = data_links(lineage, "raw", materials)
    assert [link.what for link in links if link.state == "broken"] == [broken]
    (fault,) = broken_links("models/raw", links)
    assert fault.id == "LN-01"
    assert fault.exit_code == 4


def test_without_a_seed_the_lineage_is_broken(trained):
    lineage, materials = trained
    links = data_links(replace(lineage, seed=None), "raw", materials)
    assert [link.what for link in links if link.state == "broken"] == ["seed"]


def test_scenes_that_were_painted_belong_to_what_a_model_comes_from(trained):
    lineage, materials = trained
    index = b'{"kind": "tissue"}\n'
    painted = replace(lineage, sha256=lineage.sha256 | {"fields": hashlib.sha256(index).hexdigest()})
    found = states(data_links(painted, "raw", materials))
    assert (found["DVC data/arrays/tissue"], found["scenes"]) == ("broken", "not here")
    (materials.root / "data/arrays/tissue").mkdir(parents=True)
    (materials.root / "data/arrays/tissue/index.json").write_bytes(index)
    assert states(data_links(painted, "raw", materials))["scenes"] == "holds"
    both = replace(painted, sha256=painted.sha256 | {"refine_fields": "00" * 32})
    found = states(data_links(both, "raw", materials, refine_mode="raw"))
    assert {"DVC data/refine/tissue", "scenes of the finer network", "places of the finer network"} <= found.keys()
    assert "scenes" not in states(data_links(lineage, "raw", materials))


def evaluation(**cts: str) -> OutputRecord:
    return OutputRecord(kind="evaluation", files={}, models={"raw": "ab" * 32}, cts=cts)


def test_a_ct_is_found_in_the_cohort_by_its_hash_and_with_its_part(trained):
    lineage, materials = trained
    one, another = sha256_of_json(["31", "32"]), sha256_of_json(["11", "12"])
    (named,) = ct_links(evaluation(**{"case-3": one}), lineage, materials)
    assert (named.state, named.note) == ("holds", "in the cohort, part test")
    (unnamed,) = ct_links(evaluation(ct=another), lineage, materials)
    assert (unnamed.state, unnamed.note) == ("holds", "is case-1 of the cohort, part train")
    (wrong,) = ct_links(evaluation(**{"case-3": another}), lineage, materials)
    assert wrong.state == "broken"
    (foreign,) = ct_links(evaluation(ct="00" * 32), lineage, materials)
    assert foreign.state == "not here"
    assert [link.value for link in trained_series(lineage, materials)] == [
        sha256_of_json([f"{n}1", f"{n}2"]) for n in "123"
    ]


def test_the_record_of_one_mask_speaks_of_its_own_ct_alone(tmp_path):
    record = evaluation(**{"case-1": "11", "case-2": "22"})
    assert about_case(record, tmp_path / "case-2.nii.gz").cts == {"case-2": "22"}
    assert about_case(record, tmp_path / "scores.csv") == record


def test_an_output_of_another_split_than_the_models_is_broken(trained):
    lineage, _ = trained
    same = OutputRecord(kind="report", files={}, models={}, sources={"split": lineage.sha256["split"]})
    other = OutputRecord(kind="report", files={}, models={}, sources={"split": "00" * 32})
    assert same_sources(same, lineage) == []
    assert states(same_sources(other, lineage)) == {"same split": "broken"}


def test_a_repository_that_git_does_not_open_is_told_in_gits_own_words(repository, monkeypatch):
    lineage = described(repository)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    commit, _ = code_links(lineage, repository)
    assert commit.state == "not here"
    assert "detected dubious ownership" in commit.note
