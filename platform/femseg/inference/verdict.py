"""May a mask be used? A word, its reasons and an expected Dice, out of what was measured; no person has looked.

A plausible-looking wrong mask is the worst that can happen. All bounds stand here, once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.faults import ExitCode
from femseg.inference.femora import STRUCTURES, Femora, FemurSide
from femseg.inference.second_look import agreement, second_look
from femseg.inference.segment import Segmentation, TrainedModel
from femseg.inference.shape import FemurShape, shapes_of
from femseg.inference.surface import off_edge_share, surface_entropy_bits
from femseg.inference.training_range import outside_training
from femseg.networks.package_files import ModelDescription
from femseg.settings import as_plain
from femseg.volumes.grid import CtVolume, Triple

Word = Literal["usable", "review", "reject"]
EXIT_CODES: dict[Word, ExitCode] = {"usable": ExitCode.DONE, "review": ExitCode.REVIEW, "reject": ExitCode.REJECT}
_GRAVITY: tuple[Word, ...] = tuple(EXIT_CODES)
_ADVICE: dict[Word, str] = {"usable": "", "review": "look at this mask before use", "reject": "do not use this mask"}
_OF_NO_PATIENT = "learnt from no patient: look before use"


class Bound(NamedTuple):
    """From where on a number asks for a review, and from where on for a rejection; None: never for that."""

    id: str
    words: str
    review: float | None
    reject: float | None
    least: bool = False  # whether the number should be at least that

    def judged(self, value: float, name: str = "", at: Triple | None = None) -> "Iterator[Reason]":
        """The gravest reason that a value gives, if any, and where in the CT it lies, if anywhere."""
        bounds: tuple[tuple[Word, float | None], ...] = (("reject", self.reject), ("review", self.review))
        for word, bound in bounds:
            if bound is not None and (value < bound if self.least else value > bound):
                words = self.words.format(value=value, bound=bound, name=name)
                about = f", the largest part about ({', '.join(f'{mm:.0f}' for mm in at)}) mm LPS" if at else ""
                yield Reason(word, f"{self.id} {words}{about}", at)
                return


class Reason(NamedTuple):
    """What speaks against a mask, with the number and its bound, and how much; and in which place, of which femur."""

    word: Word
    text: str
    at: Triple | None = None
    side: FemurSide | None = None


# Chosen on the calibration seeds of `python -m benchmarks.pipeline.verdicts` (benchmarks/results/verdicts.json).
AGREEMENT = Bound("IF-11", "two looks at the CT agree by a Dice of {value:.3f}, expected {bound:.3f}", 0.9, 0.75, True)
ENTROPY = Bound("IF-11", "the network is unsure at the surface: {value:.3f} bits, at most {bound:.3f}", 0.4, 0.6)
OFF_EDGE = Bound("IF-11", "{value:.1%} of the surface lies on no edge of the CT, at most {bound:.1%}", 0.4, 0.8)
METAL = Bound("IF-12", "{value:.1f} ml of metal in the scan, at most {bound:.1f} ml", 1.0, None)
# A review beyond what was measured on 443 femora of adults, a rejection well beyond it: lengths of 350 to 505 mm, head
# to trochanter 79 to 113 mm, condyles 51 to 103 mm, perimeters of the middle of the shaft 69 to 116 mm (379 to
# 1071 mm²); J Clin Med Res 2019; 11: 740-744. A femur lies deep in muscle, and its cortex is denser than its marrow.
LONG = Bound("IF-09", "the {name} is {value:.0f} mm long, at most {bound:.0f} mm", 550.0, 650.0)
SHORT = Bound("IF-09", "the {name} is {value:.0f} mm long, a whole one at least {bound:.0f} mm", 330.0, 250.0, True)
NARROW_HIP = Bound(
    "IF-09", "the hip end of the {name} is {value:.0f} mm wide, at least {bound:.0f} mm", 68.0, 60.0, True
)
NARROW_KNEE = Bound(
    "IF-09", "the knee end of the {name} is {value:.0f} mm wide, at least {bound:.0f} mm", 55.0, 46.0, True
)
SLENDER = Bound(
    "IF-09", "no section of the {name} exceeds {value:.0f} mm², a knee {bound:.0f} mm²", 2200.0, 1400.0, True
)
# True masks of synthetic people reach 22 to 38 mm below the widest section of the knee, with tibia more, and at most
# 0.25 ml stick out of their heads; of 93 pieces of pelvis of 2 ml and more on a head one goes unnoticed
# (benchmarks.pipeline.grown_bone). Osteophytes of the old are larger than those drawn.
BELOW_KNEE = Bound("IF-09", "the {name} reaches {value:.0f} mm below its condyles, at most {bound:.0f} mm", 45.0, None)
THICK = Bound("IF-09", "the {name} has a section of {value:.0f} mm², at most {bound:.0f} mm²", 7000.0, 10000.0)
THIN = Bound("IF-09", "the {name} has a mean section of {value:.0f} mm², at least {bound:.0f} mm²", 350.0, 200.0, True)
SMALL = Bound("IF-09", "{value:.0f} ml of the {name} are in the scan, at least {bound:.0f} ml", 30.0, 10.0, True)
SPUR = Bound("IF-09", "{value:.1f} ml stick out of the head of the {name}, at most {bound:.1f} ml", 1.0, 20.0)
STRAY = Bound("IF-09", "{value:.1f} ml of the {name} lie apart from it, at most {bound:.1f} ml", 1.0, None)
SCATTERED = Bound("IF-09", "{value:.0%} of the {name} lies apart from it, at most {bound:.0%}", None, 0.4)
SHALLOW = Bound(
    "IF-09", "{value:.0%} of the shaft of the {name} lies just under the skin, at most {bound:.0%}", 0.05, 0.15
)
SOLID = Bound(
    "IF-09", "the rim of the {name} is denser than its core by {value:.0f} HU, at least {bound:.0f} HU", 50.0, 0.0, True
)
UNFOUND = Bound("IF-11", "{value:.1f} ml that the finer network drew are left out, at most {bound:.1f} ml", 1.0, None)
# Of the same calibration: Dice by agreement and entropy.
_DICE_WHERE_SURE, _LOST_BY_DISAGREEMENT, _LOST_BY_ENTROPY, _SURE_BITS = 0.982, 0.96, 0.5, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What was measured of a mask.

    Attributes:
        agreement: Dice of two looks at the CT; see `second_look`.
        surface_entropy_bits, off_edge_share: see `surface`.
        metal_ml: in the scan.
        femora: shape of each.
        left_out_ml: see `Part`.
    """

    agreement: float
    surface_entropy_bits: float
    off_edge_share: float
    metal_ml: float
    femora: Mapping[FemurSide, FemurShape]
    left_out_ml: float = 0.0


def measured(
    package: TrainedModel,
    ct: CtVolume,
    found: Segmentation,
    femora: Femora,
    *,
    metal_ml: float,
    second_zyx: NDArray[np.bool_] | None = None,
    device: torch.device | str = "cpu",
    name: str = "CT",
) -> Signals:
    """All signals of what a model found in a CT.

    Args:
        second_zyx: of a second look; taken here if not given.
        name: the case, for refusals.
    Raises: Refusal as `femur_probability` does.
    """
    if second_zyx is None:
        second_zyx = second_look(package, ct, found, device=device, name=name)
    return Signals(
        agreement=agreement(found, second_zyx),
        surface_entropy_bits=surface_entropy_bits(*found.drawn_from),
        off_edge_share=off_edge_share(ct, found.mask),
        metal_ml=metal_ml,
        femora=shapes_of(femora, ct),
        left_out_ml=sum(part.left_out_ml for part in found.refined),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a mask may be used.

    Attributes:
        word: "usable" where nothing speaks against it, "review" where a person must look, "reject": do not use it.
        reasons: gravest first, each with its number and its bound.
        expected_dice: against the truth; None of a rejected mask.
        look_at_mm_xyz: of a femur the place in the CT that the gravest reason names, in LPS.
        caution: beside "usable", of a model that learnt from no patient; else "".
    """

    word: Word
    reasons: tuple[str, ...]
    expected_dice: float | None
    signals: Signals
    look_at_mm_xyz: Mapping[FemurSide, Triple]
    caution: str = ""

    def __str__(self) -> str:
        return verdict_line(self.word, self.reasons, self.expected_dice, self.caution)

    @property
    def exit_code(self) -> ExitCode:
        """How a command ends that came to it."""
        return EXIT_CODES[self.word]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        plain: dict[str, Any] = as_plain(self)
        return plain


def verdict_line(word: Word, reasons: Sequence[str], expected_dice: float | None, caution: str = "") -> str:
    """A verdict as a line for a terminal."""
    advice = (_ADVICE[word] and f": {_ADVICE[word]}") + (caution and f" ({caution})")
    dice = "" if expected_dice is None else f", expected Dice {expected_dice:.2f}"
    return f"verdict: {word}{advice}{dice}" + (f" — {'; '.join(reasons)}" if reasons else "")


def verdict(signals: Signals, femora: Femora, model: ModelDescription) -> Verdict:
    """What follows from the signals, from doubts about left and right, and from how unlike the training a CT is."""
    return verdict_of(signals, (*outside_training(femora.labels.grid, model), *femora.doubts), model)


def verdict_of(signals: Signals, doubts: Sequence[str], model: ModelDescription) -> Verdict:
    """The same of signals and of other reasons to review."""
    reasons = [*_of_the_look(signals), *_of_the_shapes(signals.femora), *(Reason("review", text) for text in doubts)]
    reasons.sort(key=lambda reason: -_GRAVITY.index(reason.word))
    word = reasons[0].word if reasons else "usable"
    return Verdict(
        word=word,
        reasons=tuple(reason.text for reason in reasons),
        expected_dice=None if word == "reject" else expected_dice(signals, model),
        signals=signals,
        look_at_mm_xyz={one.side: one.at for one in reversed(reasons) if one.side and one.at},
        caution=_OF_NO_PATIENT if word == "usable" and model.of_no_patient else "",
    )


def _of_the_look(signals: Signals) -> Iterator[Reason]:
    if not signals.femora:
        yield Reason("reject", "IF-09 no femur was found")
        return
    yield from AGREEMENT.judged(signals.agreement)
    yield from ENTROPY.judged(signals.surface_entropy_bits)
    yield from OFF_EDGE.judged(signals.off_edge_share)
    yield from UNFOUND.judged(signals.left_out_ml)
    yield from METAL.judged(signals.metal_ml)


def _of_the_shapes(shapes: Mapping[FemurSide, FemurShape]) -> Iterator[Reason]:
    """The largest femur decides whether there is one; another asks for a review at most.

    But where the largest shows no end, one of at least half its size decides as well: they are a pair, or no femora.
    Where these show no end either, they are refused: a spine or a humerus looks like a shaft.
    """
    largest = max(shapes.values(), key=lambda shape: shape.volume_ml, default=None)
    if largest is None:
        return
    alike = [shape for shape in shapes.values() if shape.volume_ml >= largest.volume_ml / 2]
    if all(shape.shows_no_end for shape in alike):
        yield Reason("reject", "IF-09 the scan shows no end of a femur, and a shaft alone is told from no other bone")
    decide = alike if largest.shows_no_end else [largest]
    for side, shape in shapes.items():
        for reason in _of_a_shape(shape, STRUCTURES[side].name):
            yield reason._replace(word=reason.word if shape in decide else "review", side=side)


def _of_a_shape(shape: FemurShape, name: str) -> Iterator[Reason]:
    yield from LONG.judged(shape.length_mm, name)
    whole_ml = shape.volume_ml - shape.stray_ml  # of one piece: others beside it make it no femur
    yield from (SMALL.judged(whole_ml, name) if shape.cut_off else SHORT.judged(shape.length_mm, name))
    if shape.shows_no_end:
        yield Reason("review", f"IF-09 the scan shows neither the hip end nor the knee end of the {name}")
    if shape.hip_width_mm is not None:
        yield from NARROW_HIP.judged(shape.hip_width_mm, name)
    if shape.knee_width_mm is not None:
        yield from NARROW_KNEE.judged(shape.knee_width_mm, name)
        yield from SLENDER.judged(shape.widest_mm2, name)
    if shape.below_knee_mm is not None:
        yield from BELOW_KNEE.judged(shape.below_knee_mm, name)
    yield from THICK.judged(shape.widest_mm2, name)
    yield from THIN.judged(shape.mean_mm2, name)
    if shape.spur_ml is not None:
        yield from SPUR.judged(shape.spur_ml, name, shape.spur_mm_xyz)
    elif shape.hip_width_mm is not None and {*shape.cut_off} <= {"inferior"}:
        yield Reason("review", f"IF-09 no head is seen at the hip end of the {name}")
    scattered = [*SCATTERED.judged(shape.stray_ml / shape.volume_ml, name, shape.stray_mm_xyz)]
    yield from scattered or STRAY.judged(shape.stray_ml, name, shape.stray_mm_xyz)
    yield from SHALLOW.judged(shape.near_skin_share, name)
    if shape.rim_over_core_hu is not None:
        yield from SOLID.judged(shape.rim_over_core_hu, name)


def expected_dice(signals: Signals, model: ModelDescription) -> float:
    """Dice that masks with such signals had in the calibration, and not more than the model reached in validation.

    Of painted people a validation bounds nothing: they are drawn harder than CTs are, a third of them with metal, and
    one who shows no femur counts 0 for a single voxel.
    """
    unsure = max(0.0, signals.surface_entropy_bits - _SURE_BITS)
    dice = _DICE_WHERE_SURE - _LOST_BY_DISAGREEMENT * (1.0 - signals.agreement) - _LOST_BY_ENTROPY * unsure
    most = None if model.cohort_source == "synthetic" else model.metrics.validation_dice
    return min(max(dice, 0.0), 1.0 if most is None else most)
