import json

import pytest
from scores import case_score

from femseg.comparison.paired import paired_comparison
from femseg.comparison.wording import numbers, p_text, sentence, signed, span, verdict_words


def scores(dice, grid="network"):
    """One case per Dice; a Dice of 0 stands for an empty prediction, without distances."""
    return [
        case_score(f"c{index:02d}", grid, value, 10 * (1 - value) if value else None)
        for index, value in enumerate(dice)
    ]


def compared(raw, gradient, metric="dice", **changed):
    return paired_comparison(scores(raw), scores(gradient), metric=metric, grid="network", resamples=1000, **changed)


RAW = [0.90, 0.91, 0.92, 0.90, 0.88, 0.86, 0.93]
BETTER = [0.92, 0.93, 0.95, 0.91, 0.90, 0.91, 0.945]


def test_differences_are_candidate_minus_baseline_paired_by_case_not_by_order():
    shuffled = paired_comparison(scores(RAW), scores(BETTER)[::-1], metric="dice", grid="network", resamples=1000)
    assert shuffled == compared(RAW, BETTER)
    assert shuffled.mean_difference == pytest.approx(sum(BETTER) / 7 - sum(RAW) / 7)


def test_a_clear_gain_is_better_whether_the_metric_goes_up_or_down():
    up, down = compared(RAW, BETTER), compared(RAW, BETTER, metric="hausdorff_95_mm")
    assert up.mean_difference > 0 > down.mean_difference
    assert up.verdict == down.verdict == "better"
    assert (up.improved, up.worsened, up.tied) == (down.improved, down.worsened, down.tied) == (7, 0, 0)
    assert compared(BETTER, RAW).verdict == compared(BETTER, RAW, metric="hausdorff_95_mm").verdict == "worse"


def test_gains_and_losses_that_cancel_show_no_difference():
    mixed = [r + d for r, d in zip(RAW, [0.01, -0.012, 0.02, -0.018, 0.005, -0.004, 0.003], strict=True)]
    assert compared(RAW, mixed).verdict == "no difference shown"


def test_five_cases_can_never_show_a_difference_and_the_sentence_says_so():
    five = compared(RAW[:5], BETTER[:5])
    assert five.verdict == "too few cases"
    assert five.test.smallest_p == pytest.approx(2 / 32)
    assert "Too few cases to tell" in sentence(five)
    assert "p cannot fall below 0.0625" in sentence(five)


def test_no_difference_beside_an_interval_without_0_is_explained():
    raw = [0.90, 0.91, 0.92, 0.90, 0.88, 0.86]
    gained = compared(raw, [r + d for r, d in zip(raw, [0.002, 0.004, 0.06, 0.01, 0.02, -0.001], strict=True)])
    assert gained.verdict == "no difference shown"
    assert gained.interval.low > 0
    assert (
        "The interval holds no 0, but Wilcoxon's test does not fall below 0.05 (p = 0.062): a difference counts as "
        "shown where both say so, and here they disagree."
    ) in sentence(gained)
    assert "holds no 0" not in sentence(compared(RAW, BETTER))


def test_a_few_rescued_cases_beside_many_that_lost_a_little_are_no_gain_and_the_sentence_says_why():
    raw = [0.3 + i / 1000 for i in range(6)] + [0.9 + i / 10_000 for i in range(34)]
    parted = compared(raw, [r + 0.6 for r in raw[:6]] + [r - 0.006 for r in raw[6:]])
    assert parted.interval.low > 0 > parted.test.rank_biserial
    assert parted.adjusted_p < 0.05
    assert (parted.verdict, parted.improved, parted.n) == ("no difference shown", 6, 40)
    assert "Most cases moved one way and the mean the other: look at the cases one by one." in sentence(parted)
    assert "Most cases moved" not in sentence(compared(RAW, BETTER))


def test_many_cases_of_which_few_differ_are_too_few_unequal_pairs():
    tied = compared([*RAW[:4], 0.5, 0.6, 0.7, 0.8], [*BETTER[:4], 0.5, 0.6, 0.7, 0.8])
    assert (tied.verdict, tied.tied) == ("too few cases", 4)
    assert sentence(tied).startswith("Too few unequal pairs to tell.")
    assert verdict_words(tied) == "too few unequal pairs"
    assert verdict_words(compared(RAW[:5], [*BETTER[:4], RAW[4]])) == "too few cases"


def test_equal_scores_are_ties_even_when_their_last_bits_differ():
    equal = compared([0.1 + 0.2, 0.5, 0.6], [0.3, 0.5, 0.6])
    assert (equal.tied, equal.verdict) == (3, "no difference shown")
    assert equal.test.p_value is None
    assert "every difference is zero" in sentence(equal)


def test_cases_with_an_empty_mask_are_left_out_by_name_and_said_so():
    left_out = compared([0.0, *RAW], [0.9, *BETTER], metric="hausdorff_95_mm")
    assert (left_out.n, left_out.undefined_pairs) == (7, ("c00",))
    assert numbers(left_out).endswith("1 case left out: a mask is empty there, so the metric is undefined.")


def test_nothing_to_compare_is_said_and_not_computed():
    nothing = compared([0.0, 0.0], [0.9, 0.8], metric="average_hausdorff_mm")
    assert (nothing.n, nothing.mean_difference, nothing.verdict) == (0, None, "too few cases")
    assert "nothing can be compared. 2 cases left out" in sentence(nothing)


def test_models_measured_on_different_cases_are_not_compared():
    with pytest.raises(
        ValueError, match=r"raw and gradient on the network grid: only one side has the cases \['c02'\]"
    ):
        paired_comparison(scores(RAW[:3]), scores(BETTER[:2]), metric="dice", grid="network")


def test_a_case_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="raw on the network grid: a case stands there twice"):
        paired_comparison(scores(RAW) + scores(RAW), scores(RAW), metric="dice", grid="network")


def test_rows_of_the_other_grid_are_passed_over():
    both = scores(RAW) + scores([0.1] * 7, grid="native")
    assert paired_comparison(
        both, scores(BETTER) + scores([0.2] * 7, grid="native"), metric="dice", grid="network", resamples=1000
    ) == compared(RAW, BETTER)


def test_the_record_is_strict_json_even_where_values_are_missing():
    for comparison in (compared(RAW, BETTER), compared([0.0], [0.5], metric="hausdorff_95_mm")):
        plain = comparison.as_plain()
        assert json.loads(json.dumps(plain, allow_nan=False))["verdict"] == comparison.verdict


def test_the_sentence_gives_means_difference_interval_p_and_counts():
    text = sentence(compared(RAW, BETTER))
    assert text.startswith("Gradient input is better here. Mean Dice (DSC) 0.924 with gradient input against 0.900")
    assert "difference +0.024; 95 % interval +0.0" in text
    assert "Wilcoxon p = 0.016" in text
    assert "sign-flip permutation p = 0.016; rank-biserial correlation +1.00); better in 7 of 7 cases." in text
    assert text.endswith(
        "With 7 cases that scatter as these do, a mean difference of 0.017 would have been shown in 80 % of such "
        "studies; a smaller one may well be missed."
    )


def test_two_channels_are_called_so():
    assert "with two-channel input" in numbers(compared(RAW, BETTER, names=("raw", "both")))


def test_numbers_are_printed_with_a_true_minus_and_p_never_as_zero():
    assert (signed(-0.0123, 3), signed(0.5, 2), signed(None, 2)) == ("−0.012", "+0.50", "undefined")
    assert [p_text(p) for p in (0.0004, 0.03125, 1.0)] == ["< 0.001", "= 0.031", "= 1"]


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        (-0.5, -0.0034, "−0.500 to −0.003"),
        (-0.5, -0.00034, "−0.5000 to −0.0003"),
        (-2.68, 0.00004, "−2.68000 to +0.00004"),
        (-2.68, 0.0, "−2.680 to 0"),
    ],
)
def test_an_interval_shows_on_which_side_of_zero_its_ends_lie(low, high, printed):
    assert span(low, high, 3) == printed


def test_the_size_of_a_volume_difference_is_compared_without_its_sign():
    too_small, too_large = ([case_score(f"c{i}", volume_difference_ml=v + i) for i in range(7)] for v in (-40.0, 10.0))
    compared_sizes = paired_comparison(
        too_small, too_large, metric="volume_difference_ml", grid="network", resamples=500
    )
    assert (compared_sizes.baseline_mean, compared_sizes.candidate_mean) == (pytest.approx(37.0), pytest.approx(13.0))
    assert compared_sizes.verdict == "better"
    assert "Mean size of the volume difference (ml) 13.0 with gradient input" in numbers(compared_sizes)


@pytest.mark.parametrize(
    ("candidate", "margin", "said"),
    [
        (BETTER, 0.005, "The interval lies wholly beyond 0.005"),
        (BETTER, 0.024, "Whether it reaches 0.024"),
        (BETTER, 0.2, "It is smaller than 0.200"),
        (RAW[::-1], 0.2, "The interval leaves no room for a difference of 0.200"),
        (RAW[::-1], 0.01, "A difference of 0.010, the smallest that is set to matter, is not excluded either."),
    ],
)
def test_the_sentence_tells_the_interval_against_the_margin(candidate, margin, said):
    assert said in sentence(compared(RAW, candidate, margin=margin))


def test_no_margin_is_no_sentence_about_one():
    assert "set to matter" not in sentence(compared(RAW, BETTER))
