import json
import os
import re
import shutil
import time

import pytest
import torch
from tiny_store import SPLIT, write_tiny_store

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.lock import locked
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import StoredCases
from femseg.training.trainer import Trainer

SETTINGS = {"learning_rate": 3e-3, "max_iterations": 12, "validate_every": 4, "checkpoint_every": 5}


class Curves:
    def __init__(self):
        self.points = []

    def metric(self, name, value, *, step):
        self.points.append((name, step, value))


def run(spheres, folder, *, cases=None, settings=None, optimisation=None, fingerprint=None, **context):
    network = spheres.new_network()
    context = {"say": lambda line: None, **context}
    trainer = Trainer(
        network,
        cases or spheres.SphereCases(range(4)),
        spheres.SphereCases(range(100, 102)),
        TrainSettings(**{**SETTINGS, **(settings or {})}),
        optimisation or OptimisationSettings(),
        folder=folder,
        fingerprint=fingerprint or {"seed": 0},
        context=TrainerContext(**context),
    )
    return network, trainer.fit()


def deterministic(result):
    return [(r.iteration, r.train_dice_loss, r.learning_rate, r.validation_dice) for r in result.curve]


def test_curves_hold_the_loss_of_each_iteration_and_validation_at_its_interval_and_at_the_end(spheres, tmp_path):
    recorder, seen = Curves(), []
    _, result = run(
        spheres, tmp_path, settings={"max_iterations": 10}, recorder=recorder, progress=lambda *told: seen.append(told)
    )
    assert [row.iteration for row in result.curve] == list(range(1, 11))
    assert [row.iteration for row in result.curve if row.validation_dice is not None] == [4, 8, 10]
    assert result.validation_dice == max(row.validation_dice for row in result.curve if row.validation_dice is not None)
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [line["train_dice_loss"] for line in lines] == [row.train_dice_loss for row in result.curve]
    steps = {name: [s for n, s, _ in recorder.points if n == name] for name, _, _ in recorder.points}
    assert steps["train_dice_loss"] == steps["learning_rate"] == steps["samples_per_second"] == list(range(1, 11))
    assert steps["validation_dice"] == [4, 8, 10]
    assert [done for done, _ in seen] == list(range(1, 11))


def test_the_network_is_left_with_the_weights_that_were_best_by_validation(spheres, tmp_path):
    scores = []

    def spy(score):
        scores.append(score)

    network, result = run(spheres, tmp_path, on_validation=spy)
    from femseg.training.validation import validation_score

    again = validation_score(
        network,
        spheres.SphereCases(range(100, 102)),
        OptimisationSettings(),
        iteration=result.best_iteration,
        device=torch.device("cpu"),
    )
    best = max(scores, key=lambda score: score.dice)
    assert (again.dice, again.dice_by_case) == (best.dice, best.dice_by_case)
    assert result.best_iteration == best.iteration


def test_tr_16_a_finished_run_started_again_returns_its_result_and_trains_nothing(spheres, tmp_path):
    first_network, first = run(spheres, tmp_path)
    network, again = run(spheres, tmp_path, progress=lambda *_: pytest.fail("trained again"))
    assert again.already_complete
    assert not first.already_complete
    assert again.curve == first.curve
    assert all(torch.equal(v, first_network.state_dict()[k]) for k, v in network.state_dict().items())


def test_tr_06_a_run_asked_to_stop_commits_leaves_with_75_and_goes_on_to_the_same_end(spheres, tmp_path):
    asked = iter([False] * 6 + [True])
    with pytest.raises(Refusal, match="saved as of iteration 7") as stopped:
        run(spheres, tmp_path / "stopped", stop_requested=lambda: next(asked))
    assert stopped.value.exit_code == ExitCode.RESUMABLE
    said = []
    network, result = run(spheres, tmp_path / "stopped", say=said.append)
    assert said == ["going on after iteration 7"]
    undisturbed_network, undisturbed = run(spheres, tmp_path / "undisturbed")
    assert deterministic(result) == deterministic(undisturbed)
    assert all(torch.equal(v, undisturbed_network.state_dict()[k]) for k, v in network.state_dict().items())


def test_a_run_stopped_early_on_validation_is_finished(spheres, tmp_path):
    _, result = run(spheres, tmp_path, on_validation=lambda score: "stop" if score.iteration == 8 else None)
    assert result.iterations == 8
    assert run(spheres, tmp_path)[1].already_complete


def test_tr_11_a_folder_with_another_runs_checkpoints_is_refused(spheres, tmp_path):
    run(spheres, tmp_path)
    with pytest.raises(Refusal, match="seed: 0 there, 1 now"):
        run(spheres, tmp_path, fingerprint={"seed": 1})


def test_tr_09_a_nan_voxel_in_one_case_is_skipped_and_no_checkpoint_holds_a_nan(spheres, tmp_path):
    class OneBroken(spheres.SphereCases):
        def input_czyx(self, case_id):
            volume = super().input_czyx(case_id)
            if case_id == "sphere-002":
                volume[0, 3, 3, 3] = float("nan")
            return volume

    network, result = run(spheres, tmp_path, cases=OneBroken(range(8)))
    skipped = [row.iteration for row in result.curve if row.train_dice_loss is None]
    assert len(skipped) in (2, 3)  # one batch of two in each epoch of four
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    for path in tmp_path.glob("step-*/state.pt"):
        state = torch.load(path, weights_only=True)
        assert all(torch.isfinite(value).all() for value in state["network"].values())


def test_tr_05_a_disk_that_takes_no_checkpoint_leaves_with_75_and_the_last_good_checkpoint_intact(spheres, tmp_path):
    next_checkpoint = tmp_path / "step-000010"

    def block(score):
        if score.iteration == 8:
            next_checkpoint.symlink_to("/sys/kernel")  # where the kernel lets nobody make a file

    words = r"cannot be written: .* \(\d+ bytes are needed, \d+ are free\); the checkpoint of iteration 5 is intact"
    with pytest.raises(Refusal, match=words) as stopped:
        run(spheres, tmp_path, on_validation=block)
    assert stopped.value.exit_code == ExitCode.RESUMABLE
    next_checkpoint.unlink()
    said = []
    _, result = run(spheres, tmp_path, say=said.append)
    assert said == ["going on after iteration 5"]
    assert result.iterations == 12


def test_two_runs_with_equal_settings_leave_equal_bits(spheres, tmp_path):
    (a, first), (b, second) = (run(spheres, tmp_path / name) for name in ("a", "b"))
    assert deterministic(first) == deterministic(second)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_a_learning_rate_still_to_be_searched_is_refused(spheres, tmp_path):
    with pytest.raises(ValueError, match="expected a number, got 'search'"):
        run(spheres, tmp_path, settings={"learning_rate": "search"})


def test_checkpoints_by_time_change_nothing_in_the_result(spheres, tmp_path):
    often, _ = run(spheres, tmp_path / "often", settings={"checkpoint_minutes": 1e-9, "keep_checkpoints": 99})
    seldom, _ = run(spheres, tmp_path / "seldom", settings={"checkpoint_minutes": 0})
    assert len(list((tmp_path / "often").glob("step-*/COMMIT"))) == 12
    assert all(torch.equal(value, seldom.state_dict()[name]) for name, value in often.state_dict().items())


def test_tr_04_whatever_file_of_a_stopped_run_is_torn_or_gone_it_goes_on_to_the_same_end(spheres, tmp_path):
    asked = iter([False] * 10 + [True])
    with pytest.raises(Refusal, match="saved as of iteration 11"):
        run(spheres, tmp_path / "stopped", settings={"keep_checkpoints": 9}, stop_requested=lambda: next(asked))
    expected = deterministic(run(spheres, tmp_path / "undisturbed")[1])
    files = [path.relative_to(tmp_path / "stopped") for path in (tmp_path / "stopped").rglob("*") if path.is_file()]
    assert len(files) == 8  # the journal, the claim, and COMMIT and state of three checkpoints
    for number, name in enumerate(files):
        torn = tmp_path / f"torn-{number}" / name
        shutil.copytree(tmp_path / "stopped", tmp_path / f"torn-{number}")
        torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
        assert deterministic(run(spheres, tmp_path / f"torn-{number}")[1]) == expected, name


def test_tr_12_a_network_that_sees_a_share_as_a_whole_goes_on_with_no_other_number_of_workers(spheres, tmp_path):
    with pytest.raises(Refusal, match=r"train\.workers 2 cannot go on with 1") as refused:
        run(spheres, tmp_path, settings={"workers": 2})  # this network has dropout
    assert refused.value.exit_code == ExitCode.USAGE


def test_tr_13_out_of_gpu_memory_is_a_sentence_with_what_to_change(spheres, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    with pytest.raises(
        Refusal, match=r"out of GPU memory with 2 samples at a time on this GPU, peak 3\.0 GiB"
    ) as refused:
        run(spheres, tmp_path, wrap=lambda network: network.register_forward_pre_hook(full) and network)
    assert refused.value.exit_code == ExitCode.RESOURCE
    assert "gradient_accumulation" in refused.value.faults[0].fix


def test_tr_14_an_array_that_changes_while_a_run_goes_on_stops_it_by_name(spheres, tmp_path):
    store = write_tiny_store(tmp_path / "store")
    cases = StoredCases.open(store / "raw", store / "mask", SPLIT.train)
    altered = store / "raw" / f"{SPLIT.train[1]}.npy"

    def alter(done, _):
        if done == 3:
            altered.write_bytes(altered.read_bytes()[:-1] + b"\xff")

    with pytest.raises(Refusal, match=re.escape(f"{altered}: SHA-256 is")) as refused:
        run(spheres, tmp_path / "run", cases=cases, progress=alter)
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_tr_17_a_wall_clock_that_steps_back_an_hour_changes_nothing(spheres, tmp_path, monkeypatch):
    expected = deterministic(run(spheres, tmp_path / "undisturbed")[1])
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 3600)
    asked = iter([False] * 6 + [True])
    with pytest.raises(Refusal, match="saved as of iteration 7"):
        run(spheres, tmp_path / "stopped", stop_requested=lambda: next(asked))
    monkeypatch.setattr(time, "time", lambda: clock() - 7200)
    assert deterministic(run(spheres, tmp_path / "stopped")[1]) == expected


def test_st_08_a_second_process_in_a_run_folder_is_refused_by_the_name_of_the_first(spheres, tmp_path, monkeypatch):
    monkeypatch.setattr("femseg.training.trainer._PREDECESSOR_S", 0.2)
    with locked(tmp_path, name=".writer"), pytest.raises(Refusal, match=f"in use by process {os.getpid()} on"):
        run(spheres, tmp_path)
