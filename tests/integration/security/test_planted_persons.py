"""SC-10, G13: a cohort whose headers are full of persons goes through the whole pipeline; nothing of them comes out."""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydicom.dataset import Dataset
from security.traces import search
from specimens.planted_text import PLANTED
from study_maker import write_dicom_study
from tiny_model import JUDGED
from tiny_project import changed, copy_of_the_working_tree, environment

WORD, UIDS = "Zyxkan", "1.2.826.0.1.3680043.5550199."
FREE = {  # more that tells of a person, by type
    "PatientBirthDate": "19170228",
    "PatientBirthTime": "031741",
    "OtherPatientIDs": f"{WORD}Other",
    "IssuerOfPatientID": f"{WORD}Issuer",
    "CountryOfResidence": f"{WORD}Country",
    "RegionOfResidence": f"{WORD}Region",
    "ResponsiblePerson": f"{WORD}^Responsible",
    "PatientReligiousPreference": f"{WORD}Belief",
    "CurrentPatientLocation": f"{WORD}Ward",
    "AdmissionID": f"{WORD}Admission",
    "PhysiciansOfRecord": f"{WORD}^Physician",
    "AcquisitionComments": f"{WORD} comments",
    "DetectorID": f"{WORD}Detector",
    "GantryID": f"{WORD}Gantry",
    "PlateID": f"{WORD}Plate",
}
WORDS = (WORD, "PLANTED0", "PLANTED1", "PLANTED2", UIDS, "19170228")


def of_person(number: int):
    """What is planted into a series of one patient."""

    def plant(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            for place, tag in enumerate(PLANTED):
                setattr(dataset, tag, f"PLANTED{place:02d}")
            for tag, value in FREE.items():
                setattr(dataset, tag, value)
            dataset.PatientName = f"{WORD}{number}^Erika"
            dataset.PatientID = f"{WORD}{number:04d}"
            for tag in ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                setattr(dataset, tag, UIDS + str(getattr(dataset, tag)).rpartition(".")[2][-20:].lstrip("0"))
            dataset.StudyInstanceUID = f"{UIDS}{number + 1}"
            block = dataset.private_block(0x0029, f"{WORD} PRIVATE", create=True)
            block.add_new(0x01, "LO", f"{WORD} private text")
            block.add_new(0x02, "OB", f"{WORD} private bytes".encode().ljust(64, b"\0"))
            inner = Dataset()
            inner.CodeMeaning = f"{WORD} inner"
            dataset.ProcedureCodeSequence = [inner]

    return plant


def test_the_search_finds_words_wherever_they_hide(tmp_path):
    """In a name, in two encodings, packed once and twice, and in a picture."""
    import io

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    (tmp_path / f"{WORD}.txt").touch()
    (tmp_path / "a.bin").write_bytes(WORD.upper().encode("utf-16-be"))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(gzip.compress(WORD.encode())))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.gz", gzip.compress(WORD.encode("utf-16-le")))
    info, stream = PngInfo(), io.BytesIO()
    info.add_text("Comment", WORD, zip=True)
    Image.new("L", (4, 4)).save(stream, "PNG", pnginfo=info)
    (tmp_path / "e.png").write_bytes(stream.getvalue())
    hits = search([tmp_path], [WORD]).hits
    assert {hit.split(" (unpacked)")[0].split(": ")[0].rpartition("/")[2] for hit in hits} == {
        f"{WORD}.txt",
        "a.bin",
        "b.nii.gz",
        "c.zip",
        "e.png",
    }


@pytest.fixture(scope="module")
def after(tmp_path_factory) -> Iterator[tuple[Path, list[Path]]]:
    """A project in which everything has run on planted studies, and the folders that it may have written to."""
    folder = tmp_path_factory.mktemp("persons")
    project = copy_of_the_working_tree(folder / "project")
    for number in range(6):
        plant = of_person(number)
        write_dicom_study(project / "data/source" / f"study{number}", ct=plant, mask=plant, seed=number)
    changed(project / "params.yaml", {"cohort": {"source": "dicom", "folder": "data/source"}})
    rules = {"acceptable": {"dice": {"mean": 0.0, "worst_case": 0.0, "subgroup_mean": 0.0}}, "fewest_cases": 1}
    (project / "promotion.yaml").write_text(yaml.safe_dump(rules))
    ray, home, temporary = Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp")), folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    (folder / "said").mkdir()
    where = {"RAY_TMPDIR": str(ray), "HOME": str(home), "TMPDIR": str(temporary)}
    femseg = [sys.executable, "-c", "from femseg.cli.main import main; main()"]
    stage = [sys.executable, "-m"]
    words = ("--accept-hu", "--model", "challenger", "--write-rejected")
    segment = (*femseg, "segment", "data/source/study0/ct", *words)

    def run(name: str, *words: str) -> int:
        done = subprocess.run(words, cwd=project, env=environment(project) | where, capture_output=True, timeout=900)
        (folder / "said" / f"{name}.out").write_bytes(done.stdout)
        (folder / "said" / f"{name}.err").write_bytes(done.stderr)
        return done.returncode

    codes = {
        "commit": run("commit", "git", "commit", "--quiet", "--all", "--message", "Planted"),
        "repro": run("repro", "dvc", "repro"),
        "register": run("register", *stage, "pipelines.register"),
        "check": run("check", *femseg, "check", "data/source", "--html", "check.html"),
        "segment": run("segment", *segment, "-o", "mask.nii.gz", "--page", "case.html"),
        "segment json": run("json", *segment, "-o", "mask.nrrd", "--json"),
        "lineage": run("lineage", *femseg, "lineage", "challenger", "--json"),
        "card": run("card", *femseg, "card", "challenger", "-o", "card"),
    }
    assert set(codes.values()) <= set(JUDGED), (codes, [p.read_text()[-1500:] for p in (folder / "said").glob("*.err")])
    codes = {
        "promote": run("promote", *femseg, "promote", "challenger"),  # allowed or refused: a decision, in any case
        "history": run("history", *femseg, "history"),
        "why": run("why", *femseg, "why", "1"),
        "doctor": run("doctor", *femseg, "doctor"),
    }
    assert codes["promote"] in (0, 8), codes
    try:
        yield project, [folder, ray]
    finally:
        shutil.rmtree(ray, ignore_errors=True)


@pytest.mark.slow
def test_every_kind_of_text_was_planted(after):
    raw = (after[0] / "data/source/study3/ct/slice-004.dcm").read_bytes()
    assert all(
        word.encode() in raw for word in (f"{WORD}3^Erika", f"{WORD} private bytes", UIDS, "19170228", "PLANTED29")
    )


@pytest.mark.slow
def test_nothing_of_a_person_is_in_what_the_whole_pipeline_leaves_SC_10_G13(after):
    project, folders = after
    code = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True).stdout
    own = [project / name for name in code.splitlines()]  # the maker of studies names the words that it plants
    found = search(folders, WORDS, but=[project / "data/source", project / ".git", *own])
    there = {path.relative_to(project).parts[0] for path in project.iterdir()}
    assert {"data", "models", "results", "reports", "mlruns", "runs", "dvc.lock", "card", "mask.nii.gz"} <= there
    assert found.files > 300
    assert found.unpacked > 50
    assert found.hits == (), "\n".join(found.hits[:30])


@pytest.mark.slow
def test_the_record_of_a_study_names_it_by_keyed_hashes_alone_SC_12(after):
    manifest = json.loads((after[0] / "data/cohort/manifest.json").read_text())
    assert len({case["patient_id"] for case in manifest["cases"]}) == 6
