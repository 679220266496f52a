"""What pages say out of results: the table of benchmarks/README.md (each script, what it answers, its last figures),
and the errors in the reference page of measurements.

python -m benchmarks.readme
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pipeline.measurements import page_part
from femseg.files.durable import read_json, write_bytes_durably

HERE = Path(__file__).parent
BEGIN, END = "<!-- begin: made by python -m benchmarks.readme -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Script:
    """A script that is started by itself.

    Attributes:
        name: room and module; the result of `training.vnet_step` is `vnet_step.json` unless `result` says otherwise.
        figures: a format of the result `r`; empty where no result is kept.
    """

    name: str
    answers: str
    figures: str = ""
    options: str = ""
    result: str = ""

    def row(self) -> str:
        room, _, module = self.name.rpartition(".")
        result = self.result or f"{module}.json"
        figures = self.figures and self.figures.format(r=read_json(HERE / "results" / result))
        cells = (
            f"[{module}]({room}/{module}.py)",
            self.answers,
            f"`python -m benchmarks.{self.name}{self.options and ' '}{self.options}`",
            f"[{result}](results/{result})" if figures else "none kept",
            figures or "–",
        )
        return f"| {' | '.join(cells)} |\n"


SCRIPTS = (
    Script(
        "training.vnet_step",
        "one training step of our V-Net against MONAI's, in one precision with one normalisation, and against the sum "
        "of its convolutions",
        "fp32 {r[ratio_to_monai_in_the_same_precision_each_in_its_faster_layout][batch fp32]:.2f} of its time, "
        "bf16 {r[ratio_to_monai_in_the_same_precision_each_in_its_faster_layout][batch bf16]:.2f}; of its own "
        "convolutions {r[ratio_to_the_sum_of_its_convolutions_in_its_faster_layout][paper fp32]:.2f} × and "
        "{r[ratio_to_the_sum_of_its_convolutions_in_its_faster_layout][paper bf16]:.2f} ×",
    ),
    Script("training.gpu_paper_step", "a step of the paper's size on a GPU, in each precision"),
    Script(
        "training.ray_train_overhead",
        "a step through Ray Train against the plain loop; what recording and checkpoints cost between steps",
        "{r[median_ratio]:.2f} ×; {r[between_steps][parts_of_step_time][together (goal: 3 %)]:.1%} of a step's time",
    ),
    Script(
        "training.painting_share",
        "what painting a synthetic person anew costs of a step, batch 2 × 64³, one thread",
        "painting {r[share_of_a_step][painting]:.1%}, beside metal {r[share_of_a_step][painting metal]:.1%}, all of a "
        "sample {r[share_of_a_step][sample]:.0%}",
    ),
    Script(
        "training.refine_step",
        "a step of the finer scale in patches against the sum of its convolutions, and what drawing its patches costs, "
        "batch 2 × 64³, one thread",
        "{r[step_over_convolutions]:.2f} × with {r[channels]} channels; drawing {r[drawing_share]:.0%} of a step, "
        "waited for {r[waiting_share_by_the_clock]:.1%}",
    ),
    Script(
        "training.training_startup",
        "from the command to the first iteration, two workers",
        "{r[starts][femseg][median_seconds_to_training]:.1f} s",
    ),
    Script(
        "intake.intake_fuzz",
        "damaged files and files built to cost: crashes, seconds, memory",
        "{r[files]} files, {r[out_of_bounds]} out of bounds",
    ),
    Script(
        "intake.intake_peers",
        "the specimens, given to femseg, SimpleITK, dicom2nifti and nnU-Net's check",
        "[outcomes](results/intake_peers.md), [totals](../docs/explanation/intake-against-peers.md)",
        "--peers PYTHON",
    ),
    Script(
        "intake.intake_speed",
        "what a check costs beyond reading; headers of many studies against pydicom",
        "{r[one_study_of_400_slices_512][ct_alone][beyond_reading_processor_s]:.1f} s of processor time; "
        "{r[200_studies_of_300_slices_64][ratio_to_pydicom]:.1f} ×",
    ),
    Script(
        "intake.mask_placement",
        "masks moved or mirrored against their CT: which are noticed; false alarms",
        "{r[cost_cpu_seconds_large_ct]:.2f} s of processor time for a large CT",
    ),
    Script(
        "pipeline.demo_repro",
        "the default `dvc repro` from nothing: time, memory, disk, and what of it is start-up",
        "{r[repro_seconds]:.0f} s, {r[peak_memory_gib]:.1f} GiB, {r[disk_gb]:.1f} GB; "
        "start-up {r[overhead_seconds]:.0f} s; nothing to do {r[nothing_to_do][ratio]:.2f} × `dvc status`",
    ),
    Script(
        "pipeline.demo_comparison",
        "what the README says of the demo, out of the report of `make repro`",
        "Dice {r[dice][raw][mean]:.3f} and {r[dice][gradient][mean]:.3f}: {r[headlines][0]}",
        "--output benchmarks/results/demo_comparison.json",
    ),
    Script(
        "pipeline.arrays_large_ct",
        "reading a 512 × 512 × 1000 CT and making the network input, against reading it",
        "raw {r[medians][raw][ratio]:.2f} ×, gradient {r[medians][gradient][ratio]:.2f} ×, "
        "{r[medians][gradient][peak_gib]:.1f} GiB",
    ),
    Script(
        "pipeline.cascade_large_ct",
        "a 512 × 512 × 400 CT of both legs, from file to mask file by a cascade, against nnU-Net's windows alone",
        "fp32 {r[ours][fp32][seconds]:.0f} s, {r[ratio_of_ours_whole_to_its_windows][fp32]:.2f} of theirs; bf16 "
        "{r[ours][bf16][seconds]:.0f} s, {r[ratio_of_ours_whole_to_its_windows][bf16]:.2f}; "
        "{r[ours][bf16][peak_gib]:.1f} GiB; `femseg segment` as typed {r[by_command][400 × 512 × 512][seconds]:.0f} s",
    ),
    Script(
        "pipeline.native_resolution",
        "phantoms at 1 mm: the cascade, the network that finds alone, and what the paper's grid leaves of a mask",
        "mean Dice {r[table][cascade-raw][dice][mean]:.3f} (CT), {r[table][cascade-gradient][dice][mean]:.3f} "
        "(gradient); found {r[table][raw][dice][mean]:.3f}, {r[table][gradient][dice][mean]:.3f}; grid "
        "{r[table][the paper's grid, there and back][dice][mean]:.3f}",
    ),
    Script(
        "pipeline.plan_estimates",
        "what `femseg plan` estimates for four cohorts, against trainings, windows and arrays as planned",
        "at worst memory {r[furthest][memory]:.2f} of what was measured, time {r[furthest][time by the clock]:.2f}",
    ),
    Script(
        "pipeline.meshes",
        "a whole femur's mesh at 0.8 mm, against scikit-image alone, trimesh's smoothing and VTK's surface nets: a "
        "solid? volume drift, deviation, seconds of all threads (ours with proof and measurement)",
        "ours: a solid, {r[meshes][femseg][volume_drift]:+.2%}, mean {r[meshes][femseg][to_mask][mean_mm]:.2f} mm, "
        "{r[meshes][femseg][vertices_near]:.1%} of vertices within 0.25 mm, {r[meshes][femseg][cpu_seconds]:.1f} s; "
        "Laplacian {r[meshes][trimesh, 20 Laplacian][volume_drift]:+.1%}; surface nets, 50 smoothing "
        "{r[meshes][VTK surface nets, 50 smoothing][volume_drift]:+.1%}",
    ),
    Script(
        "pipeline.metrics",
        "twelve metrics against the fastest peer, close and rough masks",
        "paper's grid {r[pairs][paper, close][fastest_peer_over_ours]:.1f} × and "
        "{r[pairs][paper, rough][fastest_peer_over_ours]:.1f} ×, "
        "native {r[pairs][native, close][fastest_peer_over_ours]:.1f} × and "
        "{r[pairs][native, rough][fastest_peer_over_ours]:.1f} ×",
    ),
    Script(
        "pipeline.measurements",
        "the measurement sheet of phantoms at 1 mm, against their exact anatomy",
        "{r[patients]} patients; 95 in 100 within {r[errors][head_diameter][within_95]:.2f} mm (head), "
        "{r[errors][neck_shaft_angle][within_95]:.1f}° (neck-shaft), {r[errors][version][within_95]:.1f}° (version), "
        "{r[errors][bicondylar_length][within_95]:.2f} mm (length)",
    ),
    Script(
        "pipeline.measurements",
        "the same of meshes that are made of these masks",
        "{r[patients]} patients; at worst {r[errors][head_diameter][worst]:.2f} mm (head), "
        "{r[errors][neck_shaft_angle][worst]:.1f}° (neck-shaft), {r[errors][version][worst]:.1f}° (version), "
        "{r[errors][bicondylar_length][worst]:.2f} mm (length)",
        "--patients 12 --mesh",
        "measurements_of_meshes.json",
    ),
    Script(
        "pipeline.real_pelvis",
        "the demo's model on a real CT that it was never meant for",
        "Dice {r[dice_against_labels][right (intact)]:.2f} intact, {r[dice_against_labels][left (nailed)]:.2f} nailed",
        "--model models/gradient",
    ),
    Script(
        "pipeline.verdicts",
        "verdicts on masks of phantoms, good and spoiled, and on CTs without a femur",
        "{r[held out][good_usable_share]:.0%} of {r[held out][good_masks]} good masks usable; "
        "{r[held out][without_femur_not_rejected_count]} of {r[held out][without_femur]} without a femur not rejected; "
        "expected Dice within 0.05 for {r[held out][expected_dice_within_0_05_share]:.0%}",
        "--model FOLDER",
    ),
    Script(
        "pipeline.grown_bone",
        "true femora of synthetic people, with pelvis or tibia grown onto them and without: what the verdict notices",
        "{r[true_heads][over_the_bound]} of {r[true_heads][masks]} true heads and {r[true_knees][over_the_bound]} of "
        "{r[true_knees][masks]} true knees noticed; pelvis of 2 to 4 ml {r[pelvis_on_the_head][2 to 4 ml]"
        "[noticed_share]:.0%}, 4 to 8 ml {r[pelvis_on_the_head][4 to 8 ml][noticed_share]:.0%}; tibia of 30 mm "
        "{r[tibia_below_the_knee][30 mm][noticed_share]:.0%}",
    ),
    Script(
        "pipeline.twelve_studies",
        "a folder of twelve studies by one command, killed in the middle and started again: right words, exit code, "
        "nothing done twice",
        "{r[right]} of {r[count]} right, exit {r[exit_code]}; killed after {r[killed_after]}, {r[kept]} kept, "
        "{r[done_twice]} done twice",
    ),
    Script(
        "pipeline.outputs_cost",
        "a 512 × 512 × 300 CT with the shipped model, from DICOM files to mask file; mesh, page and DICOM objects of "
        "it; selftest and doctor",
        "segment {r[commands][segment][seconds]:.0f} s by the clock, {r[commands][segment][processor_s]:.0f} s of "
        "processor time (the wheel alone in an empty environment: "
        "{r[commands][segment_of_the_wheel_alone][seconds]:.0f} s); processor time of mesh "
        "{r[outputs][mesh][processor_s]:.1f}, page {r[outputs][page][processor_s]:.1f}, DICOM-SEG "
        "{r[outputs][dicom_seg][processor_s]:.1f}, RTSTRUCT {r[outputs][rtstruct][processor_s]:.1f}, selftest "
        "{r[commands][selftest][processor_s]:.0f}, doctor "
        "{r[commands][doctor][processor_s]:.1f}",
        "--alone",
    ),
    Script(
        "pipeline.femur_sides",
        "how often left and right are told from a mask: phantoms, and label maps of real bones",
        "{r[total][told]} told, {r[total][unknown]} unknown, {r[total][wrong]} wrong",
    ),
    Script(
        "shipped.evidence",
        "a model on a real CT, on real shapes in painted CT, and where there is no femur",
        "Dice {r[pelvis][dice][right (intact)]:.2f} intact, {r[pelvis][dice][left (nailed)]:.2f} nailed",
        "--model FOLDER",
        "shipped_evidence.json",
    ),
    Script(
        "shipped.scan_ends",
        "to see a scan's ends in the middle of a window, too, with the shipped model, on its validation people",
        "Dice {r[mean_dice][without]:.3f} without, {r[mean_dice][with]:.3f} with, higher in {r[higher_in]} of {r[of]}",
    ),
    Script(
        "shipped.case_page",
        "the picture of a case's page, as Chromium shows it",
        options="--figure docs/images/case_page.png",
    ),
    Script(
        "shipped.ablations",
        "what each ingredient of the shipped model gives: inputs, shapes, field of view, scanner, neighbours, by one "
        "budget",
        "real CT, intact, after {r[steps]} steps: CT {r[means][raw][intact]:.2f}, gradient "
        "{r[means][gradient][intact]:.2f}, both {r[means][both][intact]:.2f}",
        "--minutes 6 --arms ARM … --seeds 0 1",
        "shipped_ablations.json",
    ),
    Script(
        "shipped.start_from",
        "five cases of a cohort, trained on from nothing, from the shipped model, and with a share of synthetic people",
    ),
    Script(
        "scaling.scaling_costs",
        "what a training pays besides its arithmetic: checkpoints, exchange, reading, tracking",
        "the paper's checkpoint {r[checkpoint][paper][write_seconds]:.1f} s",
    ),
    Script(
        "scaling.case_count",
        "memory and start of a worker with 60 to 60 000 cases",
        "{r[rows][0][mib_after_training]:.0f} and {r[rows][3][mib_after_training]:.0f} MiB",
    ),
    Script(
        "scaling.scaling_page",
        "the model of 1 to 1024 GPUs, and the tables and figures of [scaling](../docs/explanation/scaling.md)",
        "64 GPUs with the settings as they are: {r[efficiency_as_the_settings_are][6]:.0%} efficient",
        result="scaling_model.json",
    ),
    Script(
        "chaos.chaos",
        "kill -9 of trainings at random instants: anything lost, any bit different",
        "{r[plain][kills]} + {r[ray][kills]} + {r[nodes][kills]} kills, "
        "{r[plain][lost_runs]} + {r[ray][lost_runs]} + {r[nodes][lost_runs]} runs lost; "
        "training again after {r[plain][seconds_to_training_again][p95]:.1f} s (95 in 100, plain loop)",
        "--kills 100 --ray 12 --nodes 8",
    ),
    Script(
        "chaos.tracking_outage",
        "MLflow's server killed and frozen during a run: points lost, time waited",
        "{r[points_lost]} of {r[points]} lost, {r[wait_per_point_ms_longest]:.0f} ms at most",
    ),
    Script(
        "gate.promotion_gate",
        "kill -9 during a promotion: is there one champion; how long a rollback takes",
        "{r[at_random_instants][champion_was_none_or_another]} of {r[at_random_instants][kills]} without a champion; "
        "{r[rollback_command_s][median]:.1f} s",
    ),
)


def scripts_table() -> str:
    """A row for each script."""
    head = "| script | answers | command | result | last figures |\n|---|---|---|---|---|\n"
    return head + "".join(script.row() for script in SCRIPTS)


def measurement_errors() -> str:
    """Definitions and errors of the measurement sheet."""
    of_masks, of_meshes = (read_json(HERE / "results" / f"measurements{of}.json") for of in ("", "_of_meshes"))
    return page_part(of_masks, of_meshes)


PAGES: dict[Path, Callable[[], str]] = {
    HERE / "README.md": scripts_table,
    HERE.parent / "docs" / "reference" / "measurements.md": measurement_errors,
}


def renewed(page: str, part: str) -> str:
    """The page with a part as the results have it."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + part + END + rest.partition(END)[2]


if __name__ == "__main__":
    for path, part in PAGES.items():
        write_bytes_durably(path, renewed(path.read_text(encoding="utf-8"), part()).encode())
