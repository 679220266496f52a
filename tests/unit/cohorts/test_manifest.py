"""Where a manifest says that the cohort's folder lies."""

from pathlib import Path

import pytest

from femseg.cohorts.manifest import Manifest, cohort_root, recorded_root


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("data/cohort/studies", "studies"),
        ("data/source", "../source"),
        ("../elsewhere", "../../../elsewhere"),
        ("/mnt/archive/femora", "/mnt/archive/femora"),
    ],
)
def test_the_recorded_folder_is_the_same_wherever_the_repository_lies_and_leads_back(
    tmp_path, monkeypatch, folder, root
):
    for repository in (tmp_path / "here", tmp_path / "far" / "away"):
        (repository / "data/cohort").mkdir(parents=True)
        monkeypatch.chdir(repository)
        path = Path("data/cohort/manifest.json")
        assert recorded_root(Path(folder), path) == root
        assert cohort_root(Manifest(root=root, cases=()), path) == Path(folder).resolve()
