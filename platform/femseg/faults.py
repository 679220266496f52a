"""Every fault that femseg can refuse with, once: its exit code, what it means, what to do first.

The reference page (`docs/reference/exit-codes-and-faults.md`) and the groups of `femseg check` are made from it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class ExitCode(IntEnum):
    """What a command's exit status means, everywhere in femseg."""

    DONE = 0
    USAGE = 2
    INPUT_REFUSED = 3
    INTEGRITY = 4
    RESOURCE = 5
    SERVICE_DOWN = 6
    TRAINING_FAILED = 7
    GATE_REFUSED = 8
    SECURITY = 9
    RESUMABLE = 75


Section = Literal["Intake", "Arrays", "Training and search", "Inference, registry, tracking", "Files and settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One id of the acceptance matrix.

    Attributes:
        exit_code: how a command that stops on it ends; None for what is never more than a remark or a warning.
        title: what is the matter, as a sentence without its full stop, in words of the clinic, or "".
        meaning: when it is given, with its numbers.
        advice: what to do first; "" where each fault says it.
    """

    section: Section
    exit_code: ExitCode | None
    title: str = ""
    meaning: str
    advice: str = ""


_SEND_AGAIN = "Send the whole series again from the scanner or the archive, into an empty folder."
_COPY_AGAIN = "Copy this file again from where it came; if it is broken there too, send the series again."
_EXPORT_AGAIN = "Export the original CT series again as DICOM, unchanged, not anonymised by hand and not converted."
_REDRAW = "Open CT and mask together in your viewer; draw or export the mask again on this very CT."

FAULTS: dict[str, FaultKind] = {
    "IN-01": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Slices are missing inside the scan",
        meaning=(
            "slices are missing inside the stack; names both neighbours and the gap; `cohort.regularise` bridges gaps "
            "of up to 5 mm"
        ),
        advice=_SEND_AGAIN,
    ),
    "IN-02": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Slices are not evenly spaced",
        meaning=(
            "slice spacing is uneven beyond 0.01 mm or 1 %; smaller unevenness is a remark; `cohort.regularise` mends "
            "it"
        ),
        advice="Reconstruct the series with even slice spacing.",
    ),
    "IN-03": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The scan has fewer slices than were acquired",
        meaning=(
            'fewer slices than ImagesInAcquisition says, or than the mask has; without that tag the remark "count of '
            "slices not verifiable\", and another where the femur reaches the CT's end"
        ),
        advice=_SEND_AGAIN,
    ),
    "IN-04": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Two different slices lie at one place",
        meaning=(
            "two slices at one position with different pixels, two frames of a segment on one slice, or phases in one "
            "enhanced CT; an identical copy is left out with a remark"
        ),
        advice="Two phases or two reconstructions are mixed: put each into a folder of its own.",
    ),
    "IN-05": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="It is not clear which files are the CT and the mask",
        meaning=(
            "no study, no CT, a volume file loose among DICOM studies, or several candidates for CT or mask; never "
            "the first by default"
        ),
        advice="Leave one CT series and one mask in the study's folder; move the others elsewhere.",
    ),
    "IN-06": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Two patients or two examinations are mixed",
        meaning=(
            "two patients, studies or frames of reference in one series; a mask of another patient, series or frame "
            "of reference than its CT (`cohort.accept_frame` takes another frame, with a remark); a missing PatientID "
            "is a remark, as in every volume file: each study then counts as its own patient"
        ),
        advice="Stop: find out whose images these are, and put each examination into a folder of its own.",
    ),
    "IN-07": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Overview images or reformats lie among the slices",
        meaning=(
            "slices turned against the rest by more than half a pixel at a corner; up to three localizers are left "
            "out with a remark"
        ),
        advice="Move them out of the folder of the CT series.",
    ),
    "IN-08": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Slice size or pixel size changes within the scan",
        meaning="rows or columns change within a series, or pixel spacing by more than half a pixel at a corner",
        advice=_EXPORT_AGAIN,
    ),
    "IN-09": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The scan was made with a tilted gantry",
        meaning=(
            "gantry tilt that shifts slices by more than half a voxel, or a slice beside the line of the others; "
            "`cohort.untilt` mends tilt"
        ),
        advice="Scan without tilt, or let the study be straightened (option --untilt), and look at it afterwards.",
    ),
    "IN-10": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The scale of the grey values is missing",
        meaning=(
            "RescaleSlope or RescaleIntercept missing, slope 0, or frames in another unit than HU; a slice with a "
            "rescaling of its own at which tissue jumps by more than 100 HU; other differing rescalings are a remark"
        ),
        advice=_EXPORT_AGAIN,
    ),
    "IN-11": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The grey values are no Hounsfield units",
        meaning="implausible Hounsfield units; `cohort.accept_hu` or `--accept-hu` overrides",
        advice="Export the CT again without windowing or filters. If bone or air are truly absent: --accept-hu.",
    ),
    "IN-12": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The files are of a kind that is not read",
        meaning=(
            "no CT, not MONOCHROME2, many frames that are no enhanced CT, unreadable transfer syntax or file kind; a "
            "dataset.json that lacks a key or says what is not read, such as several channels; an archive that is no "
            "ZIP, is encrypted, holds another or a whole dataset, or lies inside a study; lossy compression, and a "
            "dose or another modality beside the CT, are remarks"
        ),
        advice=_EXPORT_AGAIN,
    ),
    "IN-13": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The slices do not say where in the body they lie",
        meaning=(
            "position, orientation, spacing, size or series UID missing; all slices at one place; a single slice; "
            "fewer functional groups than frames; an RTSTRUCT region without a number, or with a negative one; a "
            "fractional DICOM-SEG without a maximum from 1 to 255; a DICOM-SEG frame that names no segment of its "
            "object"
        ),
        advice=_EXPORT_AGAIN,
    ),
    "IN-14": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Files are empty, cut short or broken",
        meaning=(
            "a slice that is empty, cut short or no DICOM, whose elements do not fit into one another or go deeper "
            "than 64 sequences, whose bits disagree, with odd bytes behind its pixels, or whose codestream is of "
            "another size, depth or sign than its header says; one that is packed (.dcm.gz); never dropped"
        ),
        advice=_COPY_AGAIN,
    ),
    "IN-16": FaultKind(
        section="Intake",
        exit_code=ExitCode.INTEGRITY,
        title="Volume files are cut short or altered",
        meaning="a volume file shorter or longer than its header says, or a broken gzip or zlib stream or ZIP file",
        advice=_COPY_AGAIN,
    ),
    "IN-17": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The CT holds values that are no numbers",
        meaning="NaN or infinite voxels, looked for before SimpleITK turns them into 0",
        advice="Export the volume again from its source.",
    ),
    "IN-18": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The file does not say clearly where its voxels lie",
        meaning=(
            "a header that places its voxels nowhere or in two places, is sheared, 4-D, keeps its voxels elsewhere, "
            "states a field twice, scales by NaN, or is of a kind that is not read (NIfTI-2, ANALYZE, NRRD in bzip2 "
            "…)"
        ),
        advice="Convert the CT again from its DICOM series.",
    ),
    "IN-19": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The sizes are impossible for a leg",
        meaning="spacing outside 0.1 to 10 mm, or an edge outside 50 to 2500 mm",
        advice="Write the geometry in millimetres.",
    ),
    "IN-20": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Mask and CT do not lie on the same grid",
        meaning=(
            "mask and CT differ in size, or place a voxel more than a tenth of its shortest edge apart; above 0.01 mm "
            "a remark; a frame of a DICOM-SEG off the CT's slices by more than 0.01 mm, or a contour by more than 0.1 "
            "mm; a frame or contour that the CT's even spacing would draw on another slice than it lies on, or within "
            "0.05 slices of that"
        ),
        advice=_REDRAW,
    ),
    "IN-21": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The mask does not lie on the bone",
        meaning=(
            "no bone where the mask is, left and right labels swapped, or a mask that fits [twice as "
            "well](../explanation/where-a-mask-lies.md) elsewhere within 12 mm or mirrored; remarks: it fits somewhat "
            "better elsewhere, or Laterality or label contradict the side it lies on"
        ),
        advice=_REDRAW,
    ),
    "IN-22": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The mask is missing, empty or holds unexplained values",
        meaning=(
            "mask missing, empty, without background, with unexplained values, or without the wanted side; named "
            "structures of which none is chosen; left and right that overlap; a structure that skips slices; tiny "
            "separate pieces are a remark"
        ),
        advice=_REDRAW,
    ),
    "IN-23": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="One patient, or one scan, is there twice",
        meaning=(
            "one study under two names, also where one is an image that a dataset keeps for a final test, or one "
            "patient on two sides of a given split"
        ),
        advice="Keep one copy of a scan; keep all studies of a patient on one side of the split.",
    ),
    "IN-24": FaultKind(
        section="Intake",
        exit_code=ExitCode.RESOURCE,
        title="The scan is too large to be read safely",
        meaning=(
            "more than 2³⁰ voxels; a file that unpacks to more than 200 times its size (a CT of more than 2²⁴ voxels, "
            "a mask of more than 1 GiB, a ZIP file); a ZIP file of more than 8 GiB unpacked; a deflated DICOM file of "
            "more than 300 MiB unpacked, or of more than 128 MiB and 200 times what was read of it by then; a mask "
            "object with more parts or contours than any femur has; a dataset.json of more than 4 MiB"
        ),
        advice="Crop the scan to the legs, or send it uncompressed.",
    ),
    "IN-25": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="An array file cannot be trusted",
        meaning=(
            "a NumPy file where a volume is meant: without spacing, torn, or of odd shape; one that holds a pickle is "
            "`SC-01`"
        ),
        advice="Make the array again from its CT.",
    ),
    "IN-26": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Files cannot be opened",
        meaning=(
            "a file that cannot be opened: no right, a dangling or circular link, a folder, pipe, socket or device in "
            "its place; a name that is no UTF-8 or holds control characters"
        ),
        advice="Ask who looks after this disk to restore the files or their permissions.",
    ),
    "IN-27": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        meaning=(
            "some studies of a cohort are faulty: all are listed, and nothing is written unless `cohort.quarantine` "
            "leaves them out, which the stage then says under this id"
        ),
    ),
    "SC-07": FaultKind(
        section="Intake",
        exit_code=ExitCode.SECURITY,
        title="An archive is unsafe to unpack",
        meaning=(
            "a ZIP file with absolute names, `..`, links, devices, two entries of one name, or more than 10 000 "
            "entries; nothing is unpacked"
        ),
        advice="Do not unpack it; ask who sent it, and let it be packed again.",
    ),
    "SC-08": FaultKind(
        section="Intake",
        exit_code=ExitCode.USAGE,
        title="A list of files leads out of its folder",
        meaning=(
            "a path in a dataset.json, a lineage record, a model card or DVC's listing of a folder that leads out of "
            "that folder"
        ),
        advice="Put all files of a data set into one folder.",
    ),
    "SC-10": FaultKind(
        section="Intake",
        exit_code=None,
        meaning="worth a look: a folder, file or header text that may name the patient",
    ),
    "SC-12": FaultKind(
        section="Intake",
        exit_code=ExitCode.INTEGRITY,
        meaning="the key of case ids is too short to be a secret",
    ),
    "SC-13": FaultKind(
        section="Intake",
        exit_code=ExitCode.INPUT_REFUSED,
        title="Screenshots, or text burned into the image",
        meaning="a screenshot, or text burned into the pixels",
        advice="Export the original images; burned-in text can name the patient.",
    ),
    "PP-02": FaultKind(
        section="Arrays",
        exit_code=ExitCode.INPUT_REFUSED,
        meaning="a voxel that is not finite after reading, gradient, resampling or scaling",
    ),
    "PP-03": FaultKind(
        section="Arrays",
        exit_code=ExitCode.INPUT_REFUSED,
        meaning="no contrast left to normalise",
    ),
    "PP-04": FaultKind(
        section="Arrays",
        exit_code=ExitCode.INPUT_REFUSED,
        title="The femur is too small for the network's grid",
        meaning="the femur's volume changes by more than 15 % on the network grid; above 5 % a remark",
        advice="Crop the scan to the leg.",
    ),
    "PP-07": FaultKind(
        section="Arrays",
        exit_code=ExitCode.RESOURCE,
        meaning="a worker died, as a rule for want of memory",
    ),
    "PP-09": FaultKind(
        section="Arrays",
        exit_code=ExitCode.RESOURCE,
        meaning="too little disk, found out before anything is written",
    ),
    "CL-01": FaultKind(
        section="Training and search",
        exit_code=ExitCode.RESOURCE,
        meaning="more processors, GPUs or memory asked for than there are, or than have been there for five minutes",
    ),
    "CL-04": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning="a node does not reach the storage, or without one the run's folder; names node and place",
    ),
    "CL-05": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning="the nodes of a cluster run different software; one line for each thing that differs",
    ),
    "CL-06": FaultKind(
        section="Training and search",
        exit_code=ExitCode.SERVICE_DOWN,
        meaning=(
            "Ray is installed without its job server, no cluster of yours is up, it does not answer or start, or its "
            "head was lost"
        ),
    ),
    "CL-07": FaultKind(
        section="Training and search",
        exit_code=ExitCode.SECURITY,
        meaning="a job server without a token on an address that other machines reach",
    ),
    "CL-08": FaultKind(
        section="Training and search",
        exit_code=ExitCode.SECURITY,
        meaning="the job server takes no requests without its token, or with another one",
    ),
    "CL-09": FaultKind(
        section="Training and search",
        exit_code=ExitCode.SECURITY,
        meaning="others may read the folder of the cluster's token",
    ),
    "TR-03": FaultKind(
        section="Training and search",
        exit_code=ExitCode.INTEGRITY,
        meaning="a checkpoint is torn or altered; a warning while an older good one exists",
    ),
    "TR-04": FaultKind(
        section="Training and search",
        exit_code=None,
        meaning=(
            "`mlflow_run.json` of a run folder is torn or altered: it is written anew, for the run in the store that "
            "carries the folder's key"
        ),
    ),
    "TR-05": FaultKind(
        section="Training and search",
        exit_code=ExitCode.RESUMABLE,
        meaning="the disk is full; the last good checkpoint is intact",
    ),
    "TR-06": FaultKind(
        section="Training and search",
        exit_code=ExitCode.RESUMABLE,
        meaning=(
            "stopped by a signal, with a checkpoint; or before the workers had started, with the checkpoints of before"
        ),
    ),
    "TR-08": FaultKind(
        section="Training and search",
        exit_code=ExitCode.TRAINING_FAILED,
        meaning="another worker refused to go on; its message says why",
    ),
    "TR-09": FaultKind(
        section="Training and search",
        exit_code=ExitCode.TRAINING_FAILED,
        meaning="loss, gradient or validation Dice not finite several times in a row",
    ),
    "TR-11": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning="the run folder holds checkpoints of another run",
    ),
    "TR-12": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning=(
            "batch statistics or dropout, and another number of workers than `train.workers`: the run would become "
            "another"
        ),
    ),
    "TR-13": FaultKind(
        section="Training and search",
        exit_code=ExitCode.RESOURCE,
        meaning="out of GPU memory",
    ),
    "TR-15": FaultKind(
        section="Training and search",
        exit_code=ExitCode.TRAINING_FAILED,
        meaning=(
            "training failed after 3 retries; names the worker that failed first, the last good checkpoint and the "
            "command that goes on from it"
        ),
    ),
    "SE-01": FaultKind(
        section="Training and search",
        exit_code=ExitCode.RESUMABLE,
        meaning="the search was stopped by a signal; trials that have ended keep their results",
    ),
    "SE-02": FaultKind(
        section="Training and search",
        exit_code=ExitCode.INTEGRITY,
        meaning=(
            "`runs/search/<name>/search.json` is torn and nothing else says which search was begun; as a warning: it "
            "was written anew, or a trial whose checkpoints are all torn is trained anew"
        ),
    ),
    "SE-04": FaultKind(
        section="Training and search",
        exit_code=ExitCode.TRAINING_FAILED,
        meaning="search trials failed, more than `search.allow_failed` or all of one input mode",
    ),
    "SE-05": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning=(
            "a search of other settings, data or code was begun under this `search.name` and has not ended; lists "
            "what was added and removed"
        ),
    ),
    "SE-07": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning="the same search runs already; names host and process",
    ),
    "ST-07": FaultKind(
        section="Training and search",
        exit_code=None,
        meaning="no old checkpoint is deleted, for the newest cannot be read back; or one cannot be deleted",
    ),
    "ST-08": FaultKind(
        section="Training and search",
        exit_code=ExitCode.USAGE,
        meaning=(
            "the same training runs already; names host and process. A warning where the file system knows no locks"
        ),
    ),
    "IF-03": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.TRAINING_FAILED,
        meaning=(
            "the network gives non-finite probabilities, and no mask is written. As a reason to review a mask: empty, "
            "outside 50 to 1500 ml, several large pieces, or at the edge of the scan"
        ),
    ),
    "IF-04": FaultKind(
        section="Inference, registry, tracking",
        exit_code=None,
        meaning=(
            "a reason to review: spacing or field of view is more than 10 % outside of what the model was trained on"
        ),
    ),
    "IF-08": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.USAGE,
        meaning="the output exists, or in the place of its record lies something else",
    ),
    "LN-01": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning="a link of a lineage leads nowhere, or to something else than it says; every broken link is a line",
    ),
    "LN-02": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning="nothing beside a file says where it comes from",
    ),
    "LN-03": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning="what a replay needs can no longer be had: commit, data, package or the first evaluation",
    ),
    "LN-04": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning=(
            "a replay gives other masks than those that were evaluated; names how many, and the software that differs"
        ),
    ),
    "SC-01": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning=(
            "a pickle, alone, in PyTorch's forms, as an array of objects, or in a checkpoint whose hash holds: not "
            "loaded. A registered version with one is `RG-01` at the gate, with this reason"
        ),
    ),
    "SC-02": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning="a distributed checkpoint, whose `.metadata` is a pickle",
    ),
    "SC-03": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning="an archive of torch.export, which is unpickled where its weights alone do not load",
    ),
    "SC-04": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning=(
            "an MLmodel that names a loader, code, a pickle or a flavor which is not ours, or a folder of MLflow "
            "where a package is meant"
        ),
    ),
    "SC-05": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning="a state of Ray Tune where a package is meant",
    ),
    "RG-01": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning=(
            "the run that trained a version has not finished, stopped early or made another package; its artefact is "
            "missing or not the one that was registered"
        ),
    ),
    "RG-02": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning=(
            "not good enough: no validation Dice between 0 and 1, too few test cases, a mean, a worst case or a "
            "subgroup beyond its bound, or not shown to be no worse than the champion; both numbers are said"
        ),
    ),
    "RG-03": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning=(
            "the saved predictions are missing, altered or not what the stored package predicts, or the scorecard or "
            "MLflow say other than they"
        ),
    ),
    "RG-04": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning=(
            "code commit, data hash, settings or seed are missing from the package, or the data are others than those "
            "at hand"
        ),
    ),
    "RG-05": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning="another promotion is at work, or was quicker",
    ),
    "RG-06": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning=(
            "an alias was moved past the gate, or a version that holds one is to be removed; as a remark of `femseg "
            "segment`: there is no champion, or the gate did not allow it"
        ),
    ),
    "RG-07": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning="a package or a card is missing, torn or altered",
    ),
    "RG-08": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning="there is no version to roll back to",
    ),
    "RG-09": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning=(
            "the gate's log was altered: an entry changed, removed or put in, or it differs from this machine's copy"
        ),
    ),
    "RG-10": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.GATE_REFUSED,
        meaning="the model is too slow or takes too much memory",
    ),
    "RG-11": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.INTEGRITY,
        meaning="an alias points at a version that cannot be loaded",
    ),
    "RG-12": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.USAGE,
        meaning="no such registered model, none that was judged, or it has no card",
    ),
    "TK-01": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SERVICE_DOWN,
        meaning="the tracking store does not answer, or does not take the name and password",
    ),
    "TK-08": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.RESOURCE,
        meaning=(
            "the artefact store did not take a file, its disk being full for instance; the run is FAILED, no part is "
            "listed"
        ),
    ),
    "TK-09": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.SECURITY,
        meaning="a password would travel to another machine by http",
    ),
    "TK-10": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.USAGE,
        meaning="an older or newer MLflow made the database's schema; a backup of an older SQLite database is made",
    ),
    "TK-11": FaultKind(
        section="Inference, registry, tracking",
        exit_code=ExitCode.USAGE,
        meaning="the tracking URI is a plain-file store",
    ),
    "CFG-01": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.USAGE,
        meaning=(
            "a wrong, unknown or missing setting, section or argument; a key that is there twice; a settings file "
            "beyond its [bounds](../explanation/bounds.md)"
        ),
    ),
    "CFG-02": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.USAGE,
        meaning=(
            "`train.learning_rate` is `search`, but the search has no result; `search.searcher` is `tpe`, but Optuna "
            "is not installed; or `storage.url` is in S3, whose client is not installed"
        ),
    ),
    "CFG-03": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.USAGE,
        meaning="too few patients for three parts",
    ),
    "ST-02": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.INTEGRITY,
        meaning="a file of an earlier stage is missing, torn or altered",
    ),
    "ST-05": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.INTEGRITY,
        meaning="a source file is not the one that was checked; or mask and input lie on different grids",
    ),
    "ST-09": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.SERVICE_DOWN,
        meaning="the storage does not answer; a warning while a training can go on without it",
    ),
    "ST-06": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.RESOURCE,
        meaning="a file cannot be written: no space or no right",
    ),
    "ST-10": FaultKind(
        section="Files and settings",
        exit_code=ExitCode.USAGE,
        meaning="a file is where a folder is meant, or the reverse, or no file can have this name or place",
    ),
}
