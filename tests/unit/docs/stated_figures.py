"""What the documentation states as measured: for each page the words that a result of benchmarks/results makes."""

from benchmarks.shipped import ablations

from .result_words import (
    Words,
    again,
    between_cascades,
    bomb,
    by_command,
    far_row,
    faster,
    floor,
    given,
    hours,
    largest_pieces,
    losses,
    mirrored,
    monai,
    native_row,
    of_the_real_ct,
    off,
    on_the_cts_own_grid,
    others,
    over_carriers,
    painted_row,
    placement_row,
    planned,
    right,
    second_seed,
)

MEASURED: tuple[tuple[str, Words], ...] = (
    (
        "demo_repro",
        lambda r: (
            f"{r['repro_seconds'] / 60:.1f} min, {r['peak_memory_gib']:.1f} GiB, {r['disk_gb']:.1f} GB (without the "
            "environment) |"
        ),
    ),
    (
        "demo_repro",
        lambda r: (
            f"{r['overhead_seconds']:.0f} s, missed: {r['overhead_stage_seconds']['train@raw']:.0f} s a training, "
            f"{r['overhead_stage_seconds']['search']:.0f} s the search, "
            f"{r['overhead_stage_seconds']['arrays@raw']:.0f} s each array stage"
        ),
    ),
    ("demo_repro", lambda r: f"| **{r['nothing_to_do']['ratio']:.2f}** |"),
    (
        "arrays_large_ct",
        lambda r: (
            f"raw {r['medians']['raw']['ratio']:.2f} ×, gradient {r['medians']['gradient']['ratio']:.2f} ×, "
            f"{r['medians']['gradient']['peak_gib']:.1f} GiB, as the paper does it; gradient with anti-aliasing "
            f"{r['medians']['gradient+anti_aliasing']['ratio']:.1f} ×"
        ),
    ),
    (
        "vnet_step",
        lambda r: (
            f"fp32 {monai(r, 'batch fp32'):.2f}, bf16 {monai(r, 'batch bf16'):.2f}; with the paper's stages "
            f"({faster(r, 'floor of paper fp32') / faster(r, 'floor of batch fp32'):.1f} × the work) "
            f"{monai(r, 'paper fp32'):.2f} and {monai(r, 'paper bf16'):.2f}"
        ),
    ),
    (
        "vnet_step",
        lambda r: (
            f"the paper's stages fp32 {floor(r, 'paper fp32'):.2f}, bf16 {floor(r, 'paper bf16'):.2f}; with instance "
            f"normalisation {floor(r, 'instance fp32'):.2f} and {floor(r, 'instance bf16'):.2f}"
        ),
    ),
    ("refine_step", lambda r: f"(2 patches of 64³, {r['channels']} channels, 3 × 3 × 3, bf16, one thread)"),
    (
        "refine_step",
        lambda r: (
            f"| {r['step_over_convolutions']:.2f}, missed: small kernels leave more to normalisation, PReLU and sums; "
            f"drawing {100 * r['drawing_share']:.1f} %, waited for {100 * r['waiting_share_by_the_clock']:.1f} % by "
            "the clock"
        ),
    ),
    (
        "cascade_large_ct",
        lambda r: (
            f"| bf16 {r['ours']['bf16']['seconds']:.0f} s, {r['ours']['bf16']['peak_gib']:.1f} GiB, "
            f"{r['ratio_of_ours_whole_to_its_windows']['bf16']:.2f}; fp32 "
            f"{r['ratio_of_ours_whole_to_its_windows']['fp32']:.2f}, missed"
        ),
    ),
    ("cascade_large_ct", by_command),
    ("ray_train_overhead", lambda r: f"| {r['median_ratio']:.2f} |"),
    (
        "ray_train_overhead",
        lambda r: (
            f"{100 * r['between_steps']['parts_of_step_time']['together (goal: 3 %)']:.1f} %, missed: "
            f"{100 * r['between_steps']['parts_of_step_time']['checkpoints']:.1f} % are checkpoints"
        ),
    ),
    ("training_startup", lambda r: f"{r['starts']['femseg']['median_seconds_to_training']:.1f} s**, missed: see below"),
    (
        "training_startup",
        lambda r: (
            "{median_processor_seconds:.1f} s of processor time, {median_of_each_process[RayTrainWorker]:.1f} s of "
            "them the workers'"
        ).format(**r["starts"]["femseg"]),
    ),
    (
        "training_startup",
        lambda r: "takes {median_processor_seconds:.1f} s and {median_seconds_to_training:.1f} s by the clock".format(
            **r["starts"]["Ray Train alone"]
        ),
    ),
    ("chaos", lambda r: "| {}, {} |".format(*losses(r))),
    (
        "chaos",
        lambda r: (
            f"plain loop {r['plain']['seconds_to_training_again']['p95']:.1f} s; a rank {again(r['ray'], 'rank'):.1f} "
            f"s at most; whole tree {again(r['ray'], 'tree'):.1f} s and node "
            f"{again(r['nodes'], 'node'):.1f} s at most, missed"
        ),
    ),
    (
        "tracking_outage",
        lambda r: (
            f"{r['points_lost']}, {r['points_doubled']}, {r['wait_per_point_ms_longest'] / 1000:.2f} s of "
            f"{r['points']} points; a server that is away refused after "
            f"{r['seconds_to_refuse_a_server_that_is_away']:.2f} s"
        ),
    ),
    (
        "promotion_gate",
        lambda r: (
            "{champion_was_none_or_another}, {log_and_aliases_differ:d}; {killed_at_work} came while it was at work, "
            "after {champion_was_the_new_one} the new version was champion"
        ).format(**r["at_random_instants"]),
    ),
    (
        "promotion_gate",
        lambda r: (
            f"{r['rollback_command_s']['median']:.1f} s from the shell, {r['rollback_command_s']['longest']:.1f} s at "
            f"most; the move takes {r['rollback_s']['median']:.2f} s"
        ),
    ),
    (
        "metrics",
        lambda r: (
            "masks that nearly agree (Dice {close[dice]:.2f}) {close[fastest_peer_over_ours]:.1f} ×, rough ones "
            "({rough[dice]:.2f}) {rough[fastest_peer_over_ours]:.1f} × (SimpleITK, seven of the twelve); processor "
            "time {close[fastest_peer_cpu_over_ours]:.0f} × and {rough[fastest_peer_cpu_over_ours]:.1f} ×; eleven of "
            "the twelve from several peers: {close[all_but_one_metric_from_peers_over_ours]:.0f} × and "
            "{rough[all_but_one_metric_from_peers_over_ours]:.0f} ×"
        ).format(close=r["pairs"]["paper, close"], rough=r["pairs"]["paper, rough"]),
    ),
    (
        "metrics",
        lambda r: (
            "{close[fastest_peer_over_ours]:.1f} × (surface-distance; MONAI {close[peers][MONAI][over_ours]:.0f} ×, "
            "SimpleITK {close[peers][SimpleITK][over_ours]:.0f} ×), rough {rough[fastest_peer_over_ours]:.1f} ×"
        ).format(close=r["pairs"]["native, close"], rough=r["pairs"]["native, rough"]),
    ),
    (
        "intake_speed",
        lambda r: (
            "{ct_alone[beyond_reading_processor_s]:.1f} s of processor time, missed ({ct_alone[beyond_reading_s]:.1f} "
            "s by the clock, beside other programs); with a DICOM mask {ct_and_mask[beyond_reading_processor_s]:.1f} s"
        ).format(**r["one_study_of_400_slices_512"]),
    ),
    (
        "intake_speed",
        lambda r: (
            "{ratio_to_pydicom:.1f} × by the clock, missed: {femseg_check_headers_s:.0f} s with Ray's start (full "
            "check {femseg_check_s:.0f} s, our header reading alone {our_headers_s:.0f} s)"
        ).format(**r["200_studies_of_300_slices_64"]),
    ),
    (
        "intake_peers",
        lambda r: (
            f"{sum(given(r, 'femseg', one) for one in ('refused', 'unsupported', 'mended'))} of "
            f"{given(r, 'femseg')} and "
            f"{given(r, 'femseg', 'right', 'odd but valid')} of {given(r, 'femseg', group='odd but valid')}"
        ),
    ),
    ("mask_placement", lambda r: f"moved by 1 mm on the real CT, {of_the_real_ct(r)} went unnoticed"),
    (
        "real_pelvis",
        lambda r: (
            f"the Dice is {r['dice_against_labels']['right (intact)']:.2f} on the intact side and "
            f"{r['dice_against_labels']['left (nailed)']:.2f} on the nailed side"
        ),
    ),
)
DEMO: tuple[tuple[str, Words], ...] = (
    ("demo_comparison", lambda r: f"On the {r['dice']['paired']['n']} that no model saw"),
    ("demo_comparison", lambda r: f"{r['headlines'][0]}. |"),
    *(
        (
            "demo_comparison",
            lambda r, name=name, mode=mode: "| {} | {mean:.3f} ± {standard_deviation:.3f} |".format(
                name, **r["dice"][mode]
            ),
        )
        for name, mode in (
            ("V-Net on the CT", "raw"),
            ("V-Net on the gradient", "gradient"),
            ("plain threshold at 200 HU, largest component", "threshold"),
        )
    ),
    (
        "demo_comparison",
        lambda r: (
            "{} (95 % interval {} to {}; Wilcoxon p < 0.001; higher in {improved} of {n} cases; below "
            "{detectable_difference:.3f} it might have been missed)"
        ).format(
            off(r["dice"]["paired"]["mean_difference"]),
            off(r["dice"]["paired"]["interval"]["low"]),
            off(r["dice"]["paired"]["interval"]["high"]),
            **r["dice"]["paired"],
        ),
    ),
    (
        "demo_comparison",
        lambda r: "the V-Net on the gradient reaches Dice {} and {} mm of average surface distance".format(
            *on_the_cts_own_grid(r, "gradient")
        ),
    ),
    ("demo_comparison", lambda r: "**{} and {} mm**".format(*on_the_cts_own_grid(r, "cascade-best"))),
)
SHIPPED: tuple[tuple[str, Words], ...] = (
    ("shipped_evidence", lambda r: f"| Dice {r['pelvis']['dice']['right (intact)']:.3f} | 0.92 |"),
    ("shipped_evidence", lambda r: f"| Dice {r['pelvis']['dice']['left (nailed)']:.3f} | 0.75 |"),
    ("shipped_evidence", lambda r: f"| {r['pelvis']['elsewhere_ml']:.1f} ml | 2 ml |"),
    (
        "shipped_evidence",
        lambda r: f"Dice {r['painted_mean_dice']:.3f}, least {r['painted_least_dice']:.3f} | 0.95, none below 0.88 |",
    ),
    *(("shipped_evidence", lambda r, whole=whole: painted_row(r, whole)) for whole in (False, True)),
    *(
        (
            "shipped_evidence",
            lambda r, name=name: f"{r['negatives'][name]['found_ml']:.1f} ml, {r['negatives'][name]['verdict']} |",
        )
        for name in ("the pelvis above its femora", "a trunk", "a leg below the knee", "a water cylinder", "noise")
    ),
    (
        "shipped_evidence",
        lambda r: "has Dice {:.3f} over the 11 shapes (hips {:.2f} mm, whole femora {:.2f} mm)".format(
            *largest_pieces(r)
        ),
    ),
    *(
        (
            "shipped_evidence",
            lambda r, words=words, side=side: words.format(r["pelvis"]["dice_of_two_published_models"][side]),
        )
        for words, side in (
            ("(another published model: {:.3f})", "right (intact)"),
            ("nailed femur ({:.3f})", "left (nailed)"),
        )
    ),
    ("shipped_ablations", ablations.table),
    ("verdicts", lambda r: f"within 0.05 for {100 * r['held out']['expected_dice_within_0_05_share']:.0f} %"),
)
STARTED: tuple[tuple[str, Words], ...] = tuple(
    (
        "start_from",
        lambda r, words=words, arm=arm: (
            f"| {words} | {r['means']['lab_dice'][arm]:.3f} | {r['means']['painted_people_dice'][arm]:.3f} |"
        ),
    )
    for words, arm in (
        ("from nothing", "nothing"),
        ("the shipped model as it is", "shipped, not trained on"),
        ("from the shipped model", "shipped"),
        ("and a quarter painted", "shipped with a share"),
    )
)
PLANNED: tuple[tuple[str, Words], ...] = (
    (
        "plan_estimates",
        lambda r: (
            f"was estimated at {r['furthest']['memory']:.2f} of it, the time at "
            f"{r['furthest']['time by the clock']:.2f} (arrays of a scan; trainings and windows at "
            f"{min(planned(r)):.2f} to {max(planned(r)):.2f})"
        ),
    ),
)
README: tuple[tuple[str, Words], ...] = (
    (
        "shipped_evidence",
        lambda r: (
            f"it reaches Dice {r['pelvis']['dice']['right (intact)']:.2f} on the intact side and "
            f"{r['pelvis']['dice']['left (nailed)']:.2f} on the nailed one"
        ),
    ),
    (
        "demo_repro",
        lambda r: (
            f"| {r['repro_seconds'] / 60:.1f} minutes, {r['peak_memory_gib']:.1f} GiB of memory, {r['disk_gb']:.1f} GB "
            "of disk, plus"
        ),
    ),
    (
        "intake_peers",
        lambda r: (
            f"Of {given(r, 'femseg')} malformed inputs, SimpleITK was given {given(r, 'simpleitk')} and read "
            f"{given(r, 'simpleitk', 'silently wrong')} wrongly without a warning; "
            f"{given(r, 'femseg', group='refused by femseg, read rightly by a peer')} more that femseg refuses"
        ),
    ),
)
PLACEMENT: tuple[tuple[str, Words], ...] = (
    *(("mask_placement", lambda r, mm=mm: placement_row(r, mm)) for mm in (1, 2, 3, 4)),
    ("mask_placement", far_row),
    ("mask_placement", mirrored),
    ("mask_placement", lambda r: f"On the real CT, masks moved by 1 mm went unnoticed in {of_the_real_ct(r)}"),
    (
        "mask_placement",
        lambda r: (
            f"one leg: {right(r, 'one leg')}; both legs: {right(r, 'both legs')}; with a nail, 40 % cut off: "
            f"{right(r, 'nail, often cut off')} | 0 | 0 |"
        ),
    ),
    ("mask_placement", lambda r: f"labels of two models: {right(r, 'real pelvis')} | 0 | 0 |"),
    ("mask_placement", lambda r: f"took {r['cost_cpu_seconds_large_ct']:.2f} s of processor time"),
)
BOUNDS: tuple[tuple[str, Words], ...] = (
    (
        "intake_fuzz",
        lambda r: (
            f"by {r['carriers']['NPY']['files']} seeds each (bits, runs of bytes, cuts, insertions, length fields, odd "
            "numbers and words, fields left out, doubled or moved)"
        ),
    ),
    ("intake_fuzz", lambda r: f"Of {r['files']} files every one was accepted or refused in one line"),
    (
        "intake_fuzz",
        lambda r: f"The slowest took {r['worst_seconds']:.2f} s, the largest peak was {r['worst_peak_mb']:.0f} MB.",
    ),
    (
        "intake_fuzz",
        lambda r: (
            f"Of {len(r['bombs'])} files built to cost ([all]) the worst were two million DICOM sequence items "
            f"({bomb(r, 'dicom of two million items', 'seconds'):.1f} s), YAML of 128 KiB "
            f"({bomb(r, 'yaml as long as it may be', 'seconds'):.1f} s), a NIfTI CT of 2²⁴ voxels of 64 bits "
            f"({bomb(r, 'nifti ct below the ratio', 'peak_mb'):.0f} MB) and a deflated DICOM slice of 290 MiB, just "
            f"below the ratio ({bomb(r, 'dicom deflated below the ratio', 'peak_mb'):.0f} MB). All others cost "
            f"{others(r, 'seconds'):.1f} s and {others(r, 'peak_mb'):.0f} MB at most"
        ),
    ),
    (
        "intake_fuzz",
        lambda r: "Of the {:.0f} damaged files that were accepted, {:.0f} differ in what is read".format(
            sum(over_carriers(r, lambda one: one["outcomes"].get("accepted", 0))),
            sum(over_carriers(r, lambda one: sum(one["accepted_and_changed_without_a_remark"].values()))),
        ),
    ),
    ("intake_fuzz", lambda r: f"moved by {max(over_carriers(r, lambda one: one['largest_move_mm'])):.2f} mm at most"),
)
SCALING: tuple[tuple[str, Words], ...] = (
    (
        "case_count",
        lambda r: "({:.0f} MiB with 60 cases, {:.0f} MiB with 60 000; in patches {:.0f} and {:.0f})".format(
            *(row["mib_after_training"] for row in (r["rows"][0], r["rows"][3], *r["rows_in_patches"]))
        ),
    ),
    (
        "case_count",
        lambda r: (
            f"{r['rows'][3]['worker_processor_seconds_to_the_first_step']:.0f} s of processor time with 60 000 cases"
        ),
    ),
)
NATIVE: tuple[tuple[str, Words], ...] = (
    *(
        ("native_resolution", lambda r, method=method, words=words: native_row(r, method, words))
        for method, words in (
            ("the paper's grid, there and back", "the paper's grid, there and back"),
            ("raw", "found at 4 mm, CT"),
            ("gradient", "found at 4 mm, gradient"),
            ("cascade-raw", "cut out at 1 mm, CT"),
            ("cascade-gradient", "cut out at 1 mm, gradient"),
        )
    ),
    (
        "native_resolution",
        lambda r: (
            f"{hours(r, 'raw')} hours of steps for a network that finds, {hours(r, 'refine-raw')} for one that cuts "
            "out, with one thread"
        ),
    ),
    ("native_resolution", between_cascades),
    (
        "native_resolution",
        lambda r: f"Dice {second_seed(r, 'gradient')} with the gradient and {second_seed(r, 'raw')} with the CT",
    ),
)
FOLDS: tuple[tuple[str, Words], ...] = (
    ("demo_repro", lambda r: f"Start-up adds {r['overhead_stage_seconds']['train@raw']:.0f} s with two workers"),
)
PAGES: dict[str, tuple[tuple[str, Words], ...]] = {
    "README.md": (*DEMO, *README),
    "docs/explanation/shipped-model.md": SHIPPED,
    "docs/explanation/measured.md": MEASURED,
    "docs/explanation/where-a-mask-lies.md": PLACEMENT,
    "docs/explanation/bounds.md": BOUNDS,
    "docs/explanation/scaling.md": SCALING,
    "docs/explanation/native-resolution.md": NATIVE,
    "docs/how-to/researcher/folds-and-seeds.md": FOLDS,
    "docs/how-to/researcher/plan.md": PLANNED,
    "docs/how-to/researcher/start-from-a-model.md": STARTED,
}
