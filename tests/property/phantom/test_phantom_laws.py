from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from femseg.phantom import PhantomSettings, phantom_study
from femseg.phantom.acquisition import draw_acquisition
from femseg.phantom.patient import draw_patient

SMALL = PhantomSettings(patients=64, spacing_mm_zyx=(6.0, 4.0, 4.0), cut_off_fraction=0.3)

seeds = st.integers(0, 2**63 - 1)
indices = st.integers(0, 63)


@settings(max_examples=6, deadline=None)
@given(seed=seeds, index=indices, more=st.integers(1, 500))
def test_a_case_is_a_function_of_seed_and_index_whatever_the_size_of_the_cohort(seed, index, more):
    alone = replace(SMALL, seed=seed, patients=64)
    a, b = phantom_study(alone, index), phantom_study(replace(alone, patients=64 + more), index)
    assert a.ct.hu_zyx.tobytes() == b.ct.hu_zyx.tobytes()
    assert a.femur.femur_zyx.tobytes() == b.femur.femur_zyx.tobytes()
    assert (a.ct.grid, a.facts, a.patient_id, a.fingerprint) == (b.ct.grid, b.facts, b.patient_id, b.fingerprint)


@settings(max_examples=12, deadline=None)
@given(seed=seeds, index=indices)
def test_every_femur_is_one_piece_inside_the_field_of_view_except_at_an_end_that_the_facts_name(seed, index):
    study = phantom_study(replace(SMALL, seed=seed), index)
    femur = study.femur.femur_zyx
    assert ndimage.label(femur, np.ones((3, 3, 3)))[1] == 1
    assert not femur[:, [0, -1]].any()
    assert not femur[:, :, [0, -1]].any()
    assert femur[-1].any() == ("superior" in study.facts.cut_off)
    assert femur[0].any() == ("inferior" in study.facts.cut_off)


@settings(max_examples=12, deadline=None)
@given(seed=seeds, index=indices)
def test_hu_are_whole_numbers_of_a_ct_and_brighter_in_the_femur_than_in_a_shell_round_it(seed, index):
    study = phantom_study(replace(SMALL, seed=seed), index)
    hu, femur = study.ct.hu_zyx, study.femur.femur_zyx
    assert hu.dtype == np.float32
    assert np.array_equal(hu, np.rint(hu))
    assert -1024 <= hu.min() < -950
    assert 700 < hu.max() <= 3071
    shell = ndimage.binary_dilation(femur, iterations=2) & ~femur
    assert hu[femur].mean() > hu[shell].mean()


@settings(max_examples=200, deadline=None)
@given(seed=seeds, fraction=st.sampled_from([0.0, 0.125, 0.5, 1.0]))
def test_about_the_asked_share_of_any_run_of_cases_is_cut_off(seed, fraction):
    chosen = replace(SMALL, seed=seed, cut_off_fraction=fraction)
    first = int(seed % 40)
    lost = [
        draw_acquisition(chosen, index, draw_patient(seed, index)).lost_end is not None
        for index in range(first, first + 24)
    ]
    assert abs(sum(lost) - 24 * fraction) <= 2
