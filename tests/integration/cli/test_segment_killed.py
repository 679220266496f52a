"""kill -9 of `femseg segment`: at any instant what stands there is whole, and the next run ends as if undisturbed."""

import random
import shutil
import time
from pathlib import Path

import pytest
from forks import loaded_femseg
from processes import command_line, descendants, ended, kill_tree, start, wait_until
from study_maker import ct_hu, write_nifti
from tiny_model import JUDGED, write_tiny_cascade, write_tiny_package
from tiny_project import environment

from femseg.files.durable import sha256_of_file
from femseg.lineage.records import read_record, record_beside

pytestmark = pytest.mark.timeout(1800)  # some ninety segmentations, or eight with Ray

LAST_TOUCH = 40  # beyond the last one the command ends by itself
NAMES = ("mask.nii.gz", "mask.nii.gz.lineage.json")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    write_tiny_package(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_whole_or_not_there(folder: Path, whole: dict[str, bytes]) -> None:
    """A mask stands only with all its bytes, and with the record of these bytes."""
    mask = folder / NAMES[0]
    if mask.exists():
        assert mask.read_bytes() == whole[NAMES[0]]
        assert read_record(record_beside(mask)).files == {"mask": sha256_of_file(mask)}


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_tiny_package, write_tiny_cascade], ids=["one network", "two networks"])
def test_a_ct_whose_segmentation_was_killed_anywhere_is_segmented_by_the_next_run(write, tmp_path):
    package, ct = tmp_path / "package", write_nifti(tmp_path / "ct.nii.gz", ct_hu())
    write(package)
    rng = random.Random(13)

    def words(folder: Path) -> tuple[object, ...]:
        return ("segment", ct, "-o", folder / NAMES[0], "--model", package, "--write-rejected")

    with loaded_femseg() as femseg:
        undisturbed = femseg.run(*words(tmp_path / "whole"))
        assert undisturbed.code in JUDGED, undisturbed.said
        whole = contents(tmp_path / "whole")
        assert sorted(whole) == sorted(NAMES)
        killed = []
        instants = [{"touch": touch} for touch in range(1, LAST_TOUCH)]
        instants += [{"after_s": undisturbed.seconds * rng.random()} for _ in range(20)]
        for number, instant in enumerate(instants):
            folder = tmp_path / str(number)
            killed.append(femseg.run(*words(folder), folder=folder, **instant).code == -9)
            folder.mkdir(exist_ok=True)
            assert_whole_or_not_there(folder, whole)
            done = (folder / NAMES[0]).exists()
            again = femseg.run(*words(folder))
            assert again.code == (2 if done else undisturbed.code), again.said
            assert contents(folder) == whole, instant
    assert killed[0]
    assert not killed[LAST_TOUCH - 2]
    assert sum(killed[LAST_TOUCH:]) > 10


@pytest.mark.slow
def test_a_mask_that_was_being_replaced_is_the_earlier_or_the_new_one(package, tmp_path):
    ct = write_nifti(tmp_path / "ct.nii.gz", ct_hu())
    write_tiny_package(tmp_path / "other", seed=5)
    earlier, whole = tmp_path / "earlier", tmp_path / "whole"
    with loaded_femseg() as femseg:
        for model, folder in ((tmp_path / "other", earlier), (package, whole)):
            words = ("segment", ct, "-o", folder / NAMES[0], "--model", model, "--write-rejected")
            assert femseg.run(*words).code in JUDGED
        masks = [(folder / NAMES[0]).read_bytes() for folder in (earlier, whole)]
        assert masks[0] != masks[1]
        killed = []
        for touch in range(1, LAST_TOUCH, 2):
            folder = tmp_path / str(touch)
            shutil.copytree(earlier, folder)
            words = ("segment", ct, "-o", folder / NAMES[0], "--model", package, "--write-rejected", "--overwrite")
            killed.append(femseg.run(*words, folder=folder, touch=touch).code == -9)
            assert (folder / NAMES[0]).read_bytes() in masks
            assert femseg.run(*words).code in JUDGED
            assert contents(folder) == contents(whole)
    assert killed[0]
    assert not killed[-1]


@pytest.mark.slow
def test_a_folder_whose_segmentation_was_killed_is_finished_by_the_next_run_and_nothing_whole_is_made_twice(
    package, tmp_path
):
    rng = random.Random(7)
    for name in "abcd":
        (tmp_path / "studies" / name).mkdir(parents=True)
        write_nifti(tmp_path / "studies" / name / "ct.nii.gz", ct_hu(seed=ord(name)))

    def started(out: Path):
        words = ["femseg", "segment", tmp_path / "studies", "-o", out, "--model", package, "--write-rejected"]
        return start(list(map(str, words)), env=environment(tmp_path), cwd=tmp_path, log=tmp_path / "log.txt")

    def finished(out: Path) -> None:
        assert ended(started(out), tmp_path / "log.txt", 300) in JUDGED, (tmp_path / "log.txt").read_text()[-2000:]

    def masks(out: Path) -> list[Path]:
        return sorted(out.glob("[a-z]/mask.nii.gz"))

    finished(tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    table = whole.pop("segmentations.csv")
    for number, with_workers in enumerate((True, False, True)):
        out = tmp_path / str(number)
        process = started(out)
        wait_until(lambda out=out, many=number: len(masks(out)) >= many, process, tmp_path / "log.txt", 300)
        time.sleep(rng.uniform(0.0, 0.4))
        below = descendants(process.pid)
        if with_workers:
            kill_tree(process)
        else:
            process.kill()
            process.wait()
        while any(map(command_line, below)):  # Ray's processes and the workers go with the command
            time.sleep(0.05)
        there = {path: path.stat().st_ino for path in masks(out)}
        assert all(contents(out)[str(path.relative_to(out))] == whole[str(path.relative_to(out))] for path in there)
        finished(out)
        made = contents(out)
        assert made.pop("segmentations.csv").count(b",kept,") == len(there)
        assert made == whole
        assert all(path.stat().st_ino == inode for path, inode in there.items())
    assert table.count(b",segmented,") == len("abcd")
