"""Is it known where a version comes from: a finished run, code, data, settings and seed?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from femseg.gate.decision import Check
from femseg.gate.test_set import FrozenTestSet
from femseg.lineage.provenance import Lineage
from femseg.networks.package_files import ModelDescription
from femseg.paths import trained_from

_HEX64 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_TRAIN_AGAIN = "run `dvc repro` and `make register` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the tracking store says of the run that trained a version; nothing of it is believed unchecked.

    Attributes:
        status: FINISHED, RUNNING, FAILED or KILLED; "" if there is no such run.
        package_sha256: of the package that the run says it made; "" if it says nothing.
        iterations: last step of its training curve; 0 without a curve.
        metrics: the newest value of every metric.
    """

    status: str
    package_sha256: str
    iterations: int
    metrics: Mapping[str, float]


def run_checks(run: RunFacts, *, package_sha256: str, max_iterations: int | None) -> Iterator[Check]:
    """RG-01: the version's run has finished, and made this package."""
    yield Check(
        id="RG-01",
        name="training run",
        passed=run.status == "FINISHED",
        found=f"status {run.status or 'unknown, there is no such run'}",
        expected="FINISHED",
        fix=_TRAIN_AGAIN,
    )
    yield Check(
        id="RG-01",
        name="package of the run",
        passed=run.package_sha256 == package_sha256,
        found=f"the run made {run.package_sha256[:12] or 'none'}",
        expected=f"{package_sha256[:12]}, which the version holds",
        fix="register the package with the run that trained it (`make register`)",
    )
    if max_iterations is not None:
        yield Check(
            id="RG-01",
            name="training curve",
            passed=0 < max_iterations == run.iterations,
            found=f"ends at iteration {run.iterations}",
            expected=f"{max_iterations}, as the package's settings say",
            fix="let the training end (`dvc repro train`), then `make register`",
        )


def lineage_checks(
    lineage: Lineage, model: ModelDescription, test_set: FrozenTestSet, *, clean_commit: bool
) -> Iterator[Check]:
    """RG-04: commit, data, settings and seed stand in the package, and the data are those at hand."""
    git, sha256, md5 = lineage.git, lineage.sha256, lineage.dvc_md5
    yield _lineage_check("code commit", _matches(_COMMIT, git.commit), found=str(git.commit), expected="a git commit")
    if clean_commit:
        yield Check(
            id="RG-04",
            name="code beside the commit",
            passed=git.modified is False,
            found={None: "not recorded", True: "tracked files differed from the commit", False: "none"}[git.modified],
            expected="none (promotion.yaml: clean_commit)",
            fix="commit, train again with `dvc repro --force train`, and register",
        )
    of_scale = ("inputs", "masks", "code", *(("fields", "painting") if model.painted else ()))
    names = (*of_scale, "split", "manifest")
    if model.refine:
        names += (*(f"refine_{name}" for name in of_scale), "refine_places")
    lacking = [name for name in names if not _matches(_HEX64, sha256.get(name))]
    yield _lineage_check("hashes of data and code", not lacking, found=_lack(lacking), expected=", ".join(names))
    wanted = trained_from(model.input_mode, model.refine_mode, painted=model.painted)
    lacking = [name for name in wanted if not _matches(_MD5, md5.get(name))]
    yield _lineage_check("DVC's hashes", not lacking, found=_lack(lacking), expected=", ".join(wanted))
    lacking = [key for key in ("train", "optimisation") if not all(getattr(one.training, key) for one in model.scales)]
    yield _lineage_check("training settings", not lacking, found=_lack(lacking), expected="train, optimisation")
    yield Check(
        id="RG-04",
        name="test cases apart from the others",
        passed=not test_set.not_apart,
        found=f"{', '.join(test_set.not_apart[:5])} of a patient or CT that stands elsewhere too"
        if test_set.not_apart
        else "all of them",
        expected="no patient of theirs in training or validation, and no CT twice",
        fix="run `dvc repro split`, or drop the double case; then train again",
    )
    yield _lineage_check("seed", lineage.seed is not None, found=str(lineage.seed), expected="a whole number")
    for name, here in (("split", test_set.split.sha256), ("manifest", test_set.manifest_sha256)):
        yield Check(
            id="RG-04",
            name=f"{name} that it was trained with",
            passed=sha256.get(name) == here,
            found=str(sha256.get(name))[:12],
            expected=f"{here[:12]}, which is at hand",
            fix="judge it where its own data are (`dvc checkout`), or train again with these",
        )


def wanted_iterations(model: ModelDescription) -> int:
    """How long a package's settings say it was trained; 0, which no training is, if they do not say."""
    iterations = model.finest.training.train.get("max_iterations")
    return iterations if type(iterations) is int else 0


def validation_check(model: ModelDescription) -> Check:
    """RG-02: the package's validation Dice is a number that a Dice can be."""
    dice = model.finest.metrics.validation_dice
    valid = dice is not None and 0.0 <= dice <= 1.0
    expected = "a number from 0 to 1"
    return Check(id="RG-02", name="validation Dice", passed=valid, found=str(dice), expected=expected, fix=_TRAIN_AGAIN)


def _lineage_check(name: str, passed: bool, *, found: str, expected: str) -> Check:
    return Check(id="RG-04", name=name, passed=passed, found=found, expected=expected, fix=_TRAIN_AGAIN)


def _lack(names: Sequence[str]) -> str:
    return f"none for {', '.join(names)}" if names else "complete"


def _matches(pattern: re.Pattern[str], value: str | None) -> bool:
    return value is not None and pattern.fullmatch(value) is not None
