"""What a stage reads, with a payload in its place: each hash holds, as somebody writes it who knows how."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from security.payloads import pickled, signed_anew

from femseg.cohorts.case_lines import CaseLines, write_case_lines
from femseg.files.durable import sha256_of_file, sha256_of_json, write_json_durably
from femseg.training.checkpoint import checkpoint_folder, committed_iterations

Spoil = Callable[[Path, Path], None]  # a finished project, where the canary would be
RAW = "data/arrays/raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """One input with a payload.

    Attributes:
        name: starts with its case of the matrix.
        spoil: puts it into a finished project.
        stages: commands that read it before they would start Ray.
        says: id and exit code of their refusal.
    """

    name: str
    spoil: Spoil
    stages: tuple[str, ...]
    says: tuple[str, int]


def case_of(project: Path, part: str) -> str:
    """The first case of a part of the split."""
    return str(json.loads((project / "data/split.json").read_text())["parts"][part][0])


def _array(kind: str, *, store: str = RAW, part: str = "test", sign: bool = True) -> Spoil:
    def spoil(project: Path, canary: Path) -> None:
        case, index = case_of(project, part), project / store / "index.json"
        npy = index.with_name(f"{case}.npy")
        _replace(npy, pickled(kind, canary))
        if sign:
            lines = CaseLines(index)
            cases = {name: dict(lines[name]) for name in lines}
            cases[case]["sha256"] = sha256_of_file(npy)
            write_case_lines(index, lines.head, cases)

    return spoil


def _replace(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)  # it may be a link, and read-only
    file.write_bytes(content)


def _file(path: str, content: Callable[[Path], bytes], *, package: str = "") -> Spoil:
    def spoil(project: Path, canary: Path) -> None:
        _replace(project / path, content(canary))
        if package:
            signed_anew(project / package)

    return spoil


def _pickle(path: str, kind: str = "protocol 0", *, package: str = "") -> Spoil:
    return _file(path, lambda canary: pickled(kind, canary), package=package)


def _edited(path: str, edit: Callable[[dict[str, Any], Path], None]) -> Spoil:
    """One of our JSON files with another content."""

    def spoil(project: Path, canary: Path) -> None:
        plain = json.loads((project / path).read_text())
        edit(plain, canary)
        _replace(project / path, json.dumps(plain, indent=2, sort_keys=True).encode() + b"\n")

    return spoil


def _split_that_leads_out(part: str) -> Spoil:
    def edit(split: dict[str, Any], canary: Path) -> None:
        split["parts"][part] = [str(canary)]
        split["sha256"] = sha256_of_json(split["parts"])

    return _edited("data/split.json", edit)


def _case_that_leads_out(manifest: dict[str, Any], canary: Path) -> None:
    manifest["cases"][0]["case_id"] = f"../../{canary.name}"


def _learning_rate(value: object) -> Spoil:
    def edit(best: dict[str, Any], canary: Path) -> None:
        best["best"]["raw"]["learning_rate"] = str(value).replace("CANARY", str(canary))

    return _edited("results/search/best.json", edit)


def _checkpoints(kind: str, *, finished: bool) -> Spoil:
    def spoil(project: Path, canary: Path) -> None:
        (run,) = (project / "runs/train").glob("raw-*")
        *_, newest = committed_iterations(run)
        if not finished:  # killed before its last checkpoint
            (checkpoint_folder(run, newest) / "COMMIT").unlink()
            *_, newest = committed_iterations(run)
        state, commit = (checkpoint_folder(run, newest) / name for name in ("state.pt", "COMMIT"))
        _replace(state, pickled(kind, canary))
        content = json.loads(commit.read_text())["content"] | {"sha256": sha256_of_file(state)}
        write_json_durably(commit, {"content": content, "sha256_of_content": sha256_of_json(content)})

    return spoil


def _params(project: Path, canary: Path) -> None:
    text = (project / "params.yaml").read_text()
    tag = f"!!python/object/apply:os.mkdir ['{canary}']"
    spoiled = re.sub(r"^input_modes:", f"payload: {tag}\ninput_modes:", text, flags=re.M)
    _replace(project / "params.yaml", spoiled.encode())


EVALUATE, TRAIN = "evaluate --input-mode raw", "train --input-mode raw"
TORN, CODE, SETTINGS = ("ST-02", 4), ("SC-01", 9), ("CFG-01", 2)
SPOILED = (
    Spoiled(name="SC_01 objects in a test array", spoil=_array("object array"), stages=(EVALUATE,), says=TORN),
    Spoiled(name="SC_01 objects, unsigned", spoil=_array("object array", sign=False), stages=(EVALUATE,), says=TORN),
    Spoiled(name="SC_01 a pickle as an array", spoil=_array("protocol 5"), stages=(EVALUATE, "compare"), says=TORN),
    Spoiled(
        name="SC_01 objects in a mask",
        spoil=_array("object array", store="data/arrays/mask"),
        stages=(EVALUATE, "compare"),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as the arrays' index",
        spoil=_pickle(f"{RAW}/index.json"),
        stages=(TRAIN, "search", EVALUATE, "compare"),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as weights",
        spoil=_pickle("models/raw/weights.safetensors", "zip", package="models/raw"),
        stages=(EVALUATE, "register"),
        says=CODE,
    ),
    Spoiled(
        name="SC_01 a pickle beside a package",
        spoil=_pickle("models/raw/optimizer.pt", "legacy"),
        stages=(EVALUATE, "register"),
        says=CODE,
    ),
    Spoiled(
        name="SC_01 a pickle as model.json",
        spoil=_pickle("models/raw/model.json", package="models/raw"),
        stages=(EVALUATE, "compare", "register"),
        says=CODE,
    ),
    Spoiled(
        name="SC_02 a distributed checkpoint in a package's place",
        spoil=_pickle("models/raw/.metadata", "protocol 4"),
        stages=(EVALUATE, "register"),
        says=("SC-02", 9),
    ),
    Spoiled(
        name="SC_03 torch.export beside a package",
        spoil=_pickle("models/raw/model.pt2", "zip"),
        stages=(EVALUATE, "register"),
        says=("SC-03", 9),
    ),
    Spoiled(
        name="SC_05 a state of Ray Tune beside a package",
        spoil=_pickle("models/raw/tuner.pkl", "protocol 5"),
        stages=(EVALUATE, "register"),
        says=("SC-05", 9),
    ),
    Spoiled(
        name="SC_01 code in the checkpoint of a finished run",
        spoil=_checkpoints("zip", finished=True),
        stages=(TRAIN,),
        says=CODE,
    ),
    Spoiled(
        name="SC_01 code in the checkpoint to go on from",
        spoil=_checkpoints("zip", finished=False),
        stages=(TRAIN,),
        says=CODE,
    ),
    Spoiled(
        name="SC_01 a pickle as the search's best",
        spoil=_pickle("results/search/best.json"),
        stages=(TRAIN, "compare"),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 code as a learning rate",
        spoil=_learning_rate("__import__('os').mkdir('CANARY')"),
        stages=(TRAIN,),
        says=TORN,
    ),
    Spoiled(name="SC_01 no number as a learning rate", spoil=_learning_rate("nan"), stages=(TRAIN,), says=TORN),
    Spoiled(
        name="SC_01 a pickle as the search's settings",
        spoil=_pickle("results/search/search.json"),
        stages=("compare",),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as the search's trials",
        spoil=_pickle("results/search/trials.csv", "protocol 5"),
        stages=("compare",),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as scores",
        spoil=_pickle("results/evaluate/raw/scores.csv", "protocol 5"),
        stages=("compare", "register"),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as a curve",
        spoil=_pickle("results/train/raw/training.csv", "protocol 5"),
        stages=("compare",),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as the cohort's manifest",
        spoil=_pickle("data/cohort/manifest.json"),
        stages=("split", "arrays --kind raw", EVALUATE, "compare"),
        says=TORN,
    ),
    Spoiled(
        name="SC_08 a case of the manifest that leads out",
        spoil=_edited("data/cohort/manifest.json", _case_that_leads_out),
        stages=("split", "arrays --kind raw", EVALUATE, "compare"),
        says=TORN,
    ),
    Spoiled(
        name="SC_01 a pickle as the split",
        spoil=_pickle("data/split.json"),
        stages=(TRAIN, "search", EVALUATE, "compare", "register"),
        says=TORN,
    ),
    Spoiled(
        name="SC_08 a test case that leads out", spoil=_split_that_leads_out("test"), stages=(EVALUATE,), says=TORN
    ),
    Spoiled(
        name="SC_06 a YAML tag in the settings",
        spoil=_params,
        stages=("cohort", "arrays --kind raw", "split", "search", TRAIN, "compare", "register"),
        says=SETTINGS,
    ),
)
