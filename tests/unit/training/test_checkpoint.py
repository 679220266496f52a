import errno
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.training.checkpoint import (
    checkpoint_folder,
    discard_old_checkpoints,
    newest_good_checkpoint,
    read_checkpoint,
    write_checkpoint,
)


def written(folder, *iterations):
    for iteration in iterations:
        write_checkpoint(
            folder, iteration, {"network": {"w": torch.full((64,), float(iteration))}, "n": 1}, {"lr": 1e-4}
        )


def newest(folder):
    said = []
    return newest_good_checkpoint(folder, said.append), said


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def test_a_checkpoint_comes_back_whole(tmp_path):
    written(tmp_path, 5)
    checkpoint, said = newest(tmp_path)
    assert (checkpoint.iteration, checkpoint.fingerprint, said) == (5, {"lr": 1e-4}, [])
    assert torch.equal(checkpoint.state["network"]["w"], torch.full((64,), 5.0))


def test_an_empty_folder_holds_no_checkpoint(tmp_path):
    assert newest(tmp_path / "nothing") == (None, [])


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["state.pt", "COMMIT"])
def test_tr_03_a_torn_newest_one_is_named_set_aside_and_the_one_before_it_used(tmp_path, name, part):
    written(tmp_path, 5, 10)
    cut(checkpoint_folder(tmp_path, 10) / name, part)
    checkpoint, said = newest(tmp_path)
    assert checkpoint.iteration == 5
    assert len(said) == 1
    assert said[0].startswith("warning TR-03: ")
    assert "step-000010" in said[0]
    assert (tmp_path / "step-000010.corrupt" / name).exists()
    assert newest(tmp_path)[1] == []


def test_tr_03_exit_4_if_there_were_checkpoints_and_none_is_good_and_again_at_the_next_try(tmp_path):
    written(tmp_path, 5)
    cut(checkpoint_folder(tmp_path, 5) / "state.pt", 0.5)
    for _ in range(2):
        with pytest.raises(Refusal, match=r"none of the 1 checkpoints") as refused:
            newest(tmp_path)
        assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_save_that_was_interrupted_before_its_commit_never_counted(tmp_path):
    written(tmp_path, 5, 10)
    (checkpoint_folder(tmp_path, 10) / "COMMIT").unlink()
    checkpoint, said = newest(tmp_path)
    assert (checkpoint.iteration, said) == (5, [])
    written(tmp_path, 10)
    assert newest(tmp_path)[0].iteration == 10


@pytest.mark.parametrize("in_place", [0, 1])
@pytest.mark.parametrize("written_before", [False, True])
def test_a_writer_that_is_killed_between_its_files_leaves_nothing_that_counts(tmp_path, in_place, written_before):
    written(tmp_path, 5, *([10] if written_before else []))
    child = os.fork()
    if child == 0:
        replace, done = Path.replace, []

        def killed(self, target):
            if len(done) == in_place:
                os._exit(0)
            done.append(replace(self, target))

        Path.replace = killed
        write_checkpoint(tmp_path, 10, {"network": {}, "n": 2}, {"lr": 1e-4})
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    checkpoint, said = newest(tmp_path)
    assert (checkpoint.iteration, said) == (5, [])  # no COMMIT vouches for a state that is not there


def test_any_flipped_bit_of_state_or_commit_is_detected(tmp_path):
    written(tmp_path, 5)
    dice = random.Random(0)
    for name in ("state.pt", "COMMIT"):
        path = checkpoint_folder(tmp_path, 5) / name
        good = path.read_bytes()
        for _ in range(60):
            place = dice.randrange(len(good))
            path.write_bytes(good[:place] + bytes([good[place] ^ 1 << dice.randrange(8)]) + good[place + 1 :])
            with pytest.raises(Refusal, match=name) as refused:
                read_checkpoint(tmp_path, 5)
            assert refused.value.exit_code == ExitCode.INTEGRITY
        path.write_bytes(good)
    assert read_checkpoint(tmp_path, 5).iteration == 5


def test_st_07_retention_keeps_the_newest_and_the_best(tmp_path):
    written(tmp_path, 5, 10, 15, 20)
    discard_old_checkpoints(tmp_path, newest=2, also_keep={5}, say=pytest.fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000005", "step-000015", "step-000020"]


def test_st_07_nothing_is_deleted_while_the_newest_is_not_good(tmp_path):
    written(tmp_path, 5, 10, 15)
    cut(checkpoint_folder(tmp_path, 15) / "state.pt", 0.5)
    said = []
    discard_old_checkpoints(tmp_path, newest=1, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("warning ST-07: no checkpoint is deleted")
    assert newest(tmp_path)[0].iteration == 10


def test_st_07_what_cannot_be_deleted_is_named_and_counts_no_more(tmp_path, monkeypatch):
    written(tmp_path, 5, 10)

    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "rmtree", broken)
    said = []
    discard_old_checkpoints(tmp_path, newest=1, say=said.append)
    assert said == [f"warning ST-07: {tmp_path / 'step-000005'} cannot be deleted: Input/output error"]
    assert newest(tmp_path)[0].iteration == 10


def test_tr_17_the_newest_is_the_one_of_the_highest_step_whatever_the_clocks_said(tmp_path):
    written(tmp_path, 5, 10, 15)
    for age, iteration in ((0, 5), (3600, 10), (7200, 15)):  # as if every node's clock were an hour behind the last
        for path in (checkpoint_folder(tmp_path, iteration), *checkpoint_folder(tmp_path, iteration).iterdir()):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    discard_old_checkpoints(tmp_path, newest=2, say=pytest.fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000015"]
    assert newest(tmp_path)[0].iteration == 15


def test_a_checkpoint_that_carries_code_is_not_run_SC_01(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    write_checkpoint(tmp_path, 5, {"payload": Payload()}, {})
    with pytest.raises(Refusal, match="SC-01") as refused:
        newest(tmp_path)
    assert refused.value.exit_code == ExitCode.SECURITY
    assert not (tmp_path / "executed").exists()
