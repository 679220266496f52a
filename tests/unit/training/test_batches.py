import pytest
import torch

from femseg.training.batches import MixedCases, global_batch, samples_at_a_time, share_of_rank, training_batches
from femseg.training.settings import AugmentationSettings, OptimisationSettings

AUGMENTED = AugmentationSettings(enabled=True)


def test_every_epoch_holds_every_case_once_and_orders_them_anew():
    case_ids = [f"case-{n}" for n in range(5)]
    drawn = [c for i in range(1, 6) for c in global_batch(case_ids, seed=1, iteration=i, batch_size=3)]
    epochs = [drawn[:5], drawn[5:10], drawn[10:15]]
    assert all(sorted(epoch) == case_ids for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_order_depends_on_the_seed_but_not_on_how_the_cases_were_listed():
    case_ids = [f"case-{n}" for n in range(9)]
    batch = global_batch(case_ids, seed=1, iteration=4, batch_size=2)
    assert batch == global_batch(case_ids[::-1], seed=1, iteration=4, batch_size=2)
    assert any(batch != global_batch(case_ids, seed=s, iteration=4, batch_size=2) for s in (2, 3, 4))


def batches_of(spheres, *, rank, world_size, first=1, cases=None):
    cases = cases or spheres.SphereCases(range(5))
    return list(
        training_batches(
            cases,
            batch_size=4,
            augmentation=AUGMENTED,
            seed=2,
            first_iteration=first,
            last_iteration=6,
            positions=share_of_rank(4, rank=rank, world_size=world_size),
        )
    )


def test_tr_12_the_global_batch_is_the_same_bits_for_one_two_and_four_workers(spheres):
    alone = batches_of(spheres, rank=0, world_size=1)
    for world_size in (2, 4):
        shares = [batches_of(spheres, rank=rank, world_size=world_size) for rank in range(world_size)]
        for whole, *parts in zip(alone, *shares, strict=True):
            assert {part.case_ids for part in parts} == {whole.case_ids}
            assert torch.equal(torch.cat([part.input_bczyx for part in parts]), whole.input_bczyx)
            assert torch.equal(torch.cat([part.target_bzyx for part in parts]), whole.target_bzyx)


def test_each_case_is_augmented_with_its_own_spacing(spheres):
    class Stretched(spheres.SphereCases):
        def spacing_mm_zyx(self, case_id):
            return (2.0, 1.0, 3.0 if case_id == "sphere-002" else 1.0)

    even, stretched = (
        batches_of(spheres, rank=0, world_size=1, cases=cases(range(5))) for cases in (spheres.SphereCases, Stretched)
    )
    changed = {
        case_id
        for whole, other in zip(even, stretched, strict=True)
        for case_id, a, b in zip(whole.case_ids, whole.input_bczyx, other.input_bczyx, strict=True)
        if not torch.equal(a, b)
    }
    assert changed == {"sphere-002"}


def test_batches_from_a_later_iteration_on_are_those_of_a_run_from_the_start(spheres):
    later = batches_of(spheres, rank=0, world_size=1, first=4)
    for a, b in zip(later, batches_of(spheres, rank=0, world_size=1)[3:], strict=True):
        assert a.iteration == b.iteration
        assert torch.equal(a.input_bczyx, b.input_bczyx)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_tr_12_any_number_of_workers_shares_a_batch_whole_and_evenly(batch_size):
    for world_size in range(1, batch_size + 1):
        shares = [share_of_rank(batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert [place for share in shares for place in share] == list(range(batch_size))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_worker_without_a_sample_is_refused():
    with pytest.raises(ValueError, match="batch_size: expected at least one sample for each of 3 workers, got 2"):
        share_of_rank(2, rank=0, world_size=3)


def test_tr_12_fewer_workers_than_the_settings_say_take_as_many_samples_at_a_time():
    settings = [OptimisationSettings(batch_size=8, gradient_accumulation=acc) for acc in (1, 2)]
    sizes = {one.gradient_accumulation: samples_at_a_time(one, workers=4) for one in settings}
    assert sizes == {1: 2, 2: 1}  # of a share of 2 on four workers, of 8 on one


def test_no_training_cases_and_mismatched_shapes_are_refused(spheres):
    with pytest.raises(ValueError, match="no training cases"):
        global_batch([], seed=0, iteration=1, batch_size=2)

    class Crooked(spheres.SphereCases):
        def input_czyx(self, case_id):
            return super().input_czyx(case_id)[:, 1:]

    batches = training_batches(
        Crooked([1]),
        batch_size=1,
        augmentation=AugmentationSettings(),
        seed=0,
        first_iteration=1,
        last_iteration=1,
        positions=range(1),
    )
    with pytest.raises(ValueError, match=r"case sphere-001: input of shape .* do not match"):
        next(batches)


def mixed(spheres, share):
    return MixedCases(cohort=spheres.SphereCases(range(5)), others=spheres.SphereCases(range(100, 140)), share=share)


def test_who_stands_in_for_a_case_is_the_same_for_one_two_and_four_workers(spheres):
    alone = batches_of(spheres, rank=0, world_size=1, cases=mixed(spheres, 0.5))
    for world_size in (2, 4):
        shares = [
            batches_of(spheres, rank=rank, world_size=world_size, cases=mixed(spheres, 0.5))
            for rank in range(world_size)
        ]
        for whole, *parts in zip(alone, *shares, strict=True):
            assert {part.case_ids for part in parts} == {whole.case_ids}
            assert torch.equal(torch.cat([part.input_bczyx for part in parts]), whole.input_bczyx)
    later = batches_of(spheres, rank=0, world_size=1, first=4, cases=mixed(spheres, 0.5))
    assert [batch.case_ids for batch in later] == [batch.case_ids for batch in alone[3:]]


def test_a_batch_names_those_whose_samples_it_holds(spheres):
    everybody = spheres.SphereCases([*range(5), *range(100, 140)])
    batches = batches_of(spheres, rank=0, world_size=1, cases=mixed(spheres, 0.5))
    named = {case_id for batch in batches for case_id in batch.case_ids}
    assert min(named) < "sphere-100" <= max(named)
    for batch in batches:
        for place, case_id in enumerate(batch.case_ids):
            sample, mask = everybody.sample(case_id, AUGMENTED, (2, batch.iteration, place))
            assert torch.equal(batch.input_bczyx[place], sample)
            assert torch.equal(batch.target_bzyx[place], mask)


def test_the_share_is_kept_in_the_long_run_and_falls_on_all_who_stand_in(spheres):
    cases = mixed(spheres, 0.25)
    standing = [cases.standing("sphere-000", (3, iteration, place)) for iteration in range(2000) for place in range(2)]
    others = [name for name in standing if name != "sphere-000"]
    assert abs(len(others) / len(standing) - 0.25) < 0.025  # 3.6 standard deviations
    assert set(others) == set(cases.others.case_ids)


def test_whose_turn_it_is_and_how_they_look_is_as_without_a_share(spheres):
    plain = batches_of(spheres, rank=0, world_size=1)
    for alone, among_others in zip(
        plain, batches_of(spheres, rank=0, world_size=1, cases=mixed(spheres, 0.5)), strict=True
    ):
        for place, case_id in enumerate(among_others.case_ids):
            if case_id < "sphere-100":
                assert case_id == alone.case_ids[place]
                assert torch.equal(among_others.input_bczyx[place], alone.input_bczyx[place])


def test_validation_sees_the_cohort_alone(spheres):
    cases = mixed(spheres, 0.99)
    for case_id in cases.case_ids:
        (seen, _), (own, _) = next(cases.validation_samples(case_id)), next(cases.cohort.validation_samples(case_id))
        assert torch.equal(seen, own)
