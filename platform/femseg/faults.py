"""Every fault that femseg can refuse with, once: its exit code, what is the matter, what to do.

`python -m femseg.faults > docs/reference/exit-codes-and-faults.md` writes the reference page from this file;
`femseg check` takes the titles of its groups and its first steps from it.
"""

import sys
from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """How a command of femseg ends, with what that means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """The number is the member's value; the words go with it."""
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    DONE = 0, "done"
    INTERNAL = 1, "a fault of femseg itself (`INTERNAL`): please report it"
    USAGE = 2, "usage or settings"
    INPUT_REFUSED = 3, "input data refused"
    INTEGRITY = 4, "integrity: a file is missing, torn or altered"
    RESOURCE = 5, "resource: disk, memory, processors, GPU"
    SERVICE_DOWN = 6, "a needed service is down"
    TRAINING_FAILED = 7, "training failed"
    GATE_REFUSED = 8, "gate refused"
    SECURITY = 9, "security refusal: an archive that would do harm, a file that holds a pickle"
    REVIEW = 10, "`femseg segment`: a mask that a person must look at before use"
    REJECT = 11, "`femseg segment`: nothing usable was found; no mask is written"
    RESUMABLE = 75, "stopped, and goes on from a checkpoint when started again"
    INTERRUPTED = 130, "interrupted where there is nothing to go on from"


REMARK, USAGE, INPUT, INTEGRITY = ExitCode.DONE, ExitCode.USAGE, ExitCode.INPUT_REFUSED, ExitCode.INTEGRITY
RESOURCE, SERVICE, TRAINING = ExitCode.RESOURCE, ExitCode.SERVICE_DOWN, ExitCode.TRAINING_FAILED
GATE, SECURITY, RESUMABLE = ExitCode.GATE_REFUSED, ExitCode.SECURITY, ExitCode.RESUMABLE


class FaultKind(NamedTuple):
    """One id of the acceptance matrix.

    Attributes:
        exit_code: how a command that stops on it ends; REMARK (0) for what is never more than a remark or a warning.
        title: what is the matter, as a sentence without its full stop; for studies in words of the clinic.
        advice: what to do first.
        details: when it is given, with its numbers; "" where the title says it.
    """

    exit_code: ExitCode
    title: str
    advice: str
    details: str = ""


_SEND_AGAIN = "Send the whole series again, into an empty folder."
_COPY_AGAIN = "Copy this file again from where it came; if it is broken there too, send the series again."
_EXPORT_AGAIN = "Export the original CT series again as DICOM, unchanged."
_REDRAW = "Open CT and mask together; draw or export the mask again on this very CT."
_SAME_COMMAND = "Run the same command again: it goes on from there."
_SAFE_WEIGHTS = "Do not load it elsewhere either; take a package that femseg wrote (safetensors)."

# One fault in two to five lines; the formatter would give each part a line of its own.
# fmt: off
SECTIONS: dict[str, dict[str, FaultKind]] = {
    "Intake": {
        "IN-01": FaultKind(INPUT, "Slices are missing inside the scan", _SEND_AGAIN,
            "names both neighbours and the gap; `cohort.regularise` bridges gaps of up to 5 mm"),
        "IN-02": FaultKind(INPUT, "Slices are not evenly spaced", "Reconstruct the series with even slice spacing.",
            "beyond 0.01 mm or 1 %; smaller unevenness is a remark; `cohort.regularise` mends it"),
        "IN-03": FaultKind(INPUT, "The scan has fewer slices than were acquired", _SEND_AGAIN,
            "than ImagesInAcquisition or the mask has; without that tag the remark \"count of slices not verifiable\", "
            "and another where the femur reaches the CT's end"),
        "IN-04": FaultKind(INPUT, "Two different slices lie at one place",
            "Two phases or two reconstructions are mixed: put each into a folder of its own.",
            "also two frames of a segment on one slice, or phases in one enhanced CT; an identical copy is left out "
            "with a remark"),
        "IN-05": FaultKind(INPUT, "It is not clear which files are the CT and the mask",
            "Leave one CT series and one mask in the study's folder; move the others elsewhere.",
            "no study, no CT, a volume file loose among DICOM studies, or several candidates; never the first by "
            "default"),
        "IN-06": FaultKind(INPUT, "Two patients or two examinations are mixed",
            "Stop: find out whose images these are, and put each examination into a folder of its own.",
            "patients, studies or frames of reference in one series, or a mask's other than its CT's "
            "(`cohort.accept_frame` takes another frame); a missing PatientID is a remark: each study then counts as "
            "its own patient"),
        "IN-07": FaultKind(INPUT, "Overview images or reformats lie among the slices",
            "Move them out of the folder of the CT series.",
            "slices turned against the rest by more than half a pixel at a corner; up to three localizers are left out "
            "with a remark"),
        "IN-08": FaultKind(INPUT, "Slice size or pixel size changes within the scan", _EXPORT_AGAIN,
            "rows or columns, or pixel spacing by more than half a pixel at a corner"),
        "IN-09": FaultKind(INPUT, "The scan was made with a tilted gantry",
            "Scan without tilt, or let the study be straightened (option --untilt), and look at it afterwards.",
            "slices shifted by more than half a voxel, or one beside the line of the others; `cohort.untilt` mends "
            "tilt"),
        "IN-10": FaultKind(INPUT, "The scale of the grey values is missing", _EXPORT_AGAIN,
            "RescaleSlope or RescaleIntercept missing, slope 0, a RescaleType other than HU, a NIfTI scaled by NaN, or "
            "a slice with a rescaling of its own at which tissue jumps by more than 100 HU; other differences are a "
            "remark"),
        "IN-11": FaultKind(INPUT, "The grey values are no Hounsfield units",
            "Export the CT again without windowing or filters. If bone or air are truly absent: --accept-hu.",
            "implausible values; `cohort.accept_hu` or `--accept-hu` overrides"),
        "IN-12": FaultKind(INPUT, "The files are of a kind that is not read", _EXPORT_AGAIN,
            "no CT, not MONOCHROME2, many frames that are no enhanced CT, transfer syntax or file kind; a dataset.json "
            "that lacks a key or asks for more; an archive that is no ZIP, is encrypted, or holds another; remarks: "
            "lossy compression, another modality beside the CT"),
        "IN-13": FaultKind(INPUT, "The slices do not say where in the body they lie", _EXPORT_AGAIN,
            "position, orientation, spacing, size or series UID missing; all slices at one place; a single slice; "
            "fewer functional groups than frames; an RTSTRUCT region without a right number; a fractional DICOM-SEG "
            "without a maximum; a frame that names no segment"),
        "IN-14": FaultKind(INPUT, "Files are empty, cut short or broken", _COPY_AGAIN,
            "a slice that is no whole DICOM file: elements that do not fit into one another, bits that disagree, odd "
            "bytes behind its pixels, a codestream that is not its header's; packed (.dcm.gz)"),
        "IN-16": FaultKind(INTEGRITY, "Volume files are cut short or altered", _COPY_AGAIN,
            "shorter or longer than the header says, or a broken gzip or zlib stream or ZIP file"),
        "IN-17": FaultKind(INPUT, "The CT holds values that are no numbers", "Export the volume again from its source.",
            "NaN or infinite voxels, looked for before SimpleITK turns them into 0"),
        "IN-18": FaultKind(INPUT, "The file does not say clearly where its voxels lie",
            "Convert the CT again from its DICOM series.",
            "a header that places its voxels nowhere or in two places, is sheared, 4-D, keeps its voxels elsewhere, "
            "states a field twice, or is not read (ANALYZE, NRRD in bzip2 …)"),
        "IN-19": FaultKind(INPUT, "The sizes are impossible for a leg", "Write the geometry in millimetres.",
            "spacing outside 0.1 to 10 mm, or an edge outside 50 to 2500 mm"),
        "IN-20": FaultKind(INPUT, "Mask and CT do not lie on the same grid", _REDRAW,
            "other sizes, or a voxel more than a tenth of its shortest edge apart (above 0.01 mm a remark); a frame of "
            "a DICOM-SEG off the CT's slices by more than 0.01 mm, a contour by more than 0.1 mm, or nearer to another "
            "slice of the even spacing"),
        "IN-21": FaultKind(INPUT, "The mask does not lie on the bone", _REDRAW,
            "no bone where it is, left and right swapped, or it fits [twice as "
            "well](../explanation/where-a-mask-lies.md) elsewhere within 12 mm or mirrored; remarks: it fits somewhat "
            "better elsewhere, or Laterality or label contradict its side"),
        "IN-22": FaultKind(INPUT, "The mask is missing, empty or holds unexplained values", _REDRAW,
            "also without background or the wanted side; none of its named structures is chosen; left and right "
            "overlap; a structure skips slices; tiny separate pieces are a remark"),
        "IN-23": FaultKind(INPUT, "One patient, or one scan, is there twice",
            "Keep one copy of a scan; keep all studies of a patient on one side of the split.",
            "one study under two names, also as an image that a dataset keeps for a final test, or one patient on two "
            "sides of a given split"),
        "IN-24": FaultKind(RESOURCE, "The scan is too large to be read safely",
            "Crop the scan to the legs, or send it uncompressed.",
            "beyond its [bounds](../explanation/bounds.md): more than 2³⁰ voxels, or unpacked far more than packed; a "
            "mask object of more parts or contours than any femur has; a dataset.json of more than 4 MiB"),
        "IN-25": FaultKind(INPUT, "An array file cannot be trusted", "Make the array again from its CT.",
            "a NumPy file without spacing, torn, or of odd shape; one that holds a pickle is `SC-01`"),
        "IN-26": FaultKind(INPUT, "Files cannot be opened",
            "Ask who looks after this disk to restore the files or their permissions.",
            "no right, a dangling or circular link, a linked folder inside a study, a folder, pipe, socket or device "
            "in a file's place; a name that is no UTF-8 or holds control characters"),
        "IN-27": FaultKind(REMARK, "Faulty studies are left out",
            "Mend the studies that `quarantine.json` lists, then run the stage again.",
            "all are listed; without `cohort.quarantine` nothing is written, and their faults decide the exit code"),
        "SC-07": FaultKind(SECURITY, "An archive is unsafe to unpack",
            "Do not unpack it; ask who sent it, and let it be packed again.",
            "absolute names, `..`, links, devices, two entries of one name, or more than 10 000 entries; nothing is "
            "unpacked"),
        "SC-08": FaultKind(USAGE, "A list of files leads out of its folder",
            "Put all files of a data set into one folder.",
            "a path in a dataset.json, a lineage record, a model card or DVC's listing of a folder"),
        "SC-10": FaultKind(REMARK, "The patient may be named",
            "Look, and rename the folder or file or clear the header.",
            "worth a look: text of a folder, file or header"),
        "SC-12": FaultKind(INTEGRITY, "The key of case ids is too short to be a secret",
            "Restore the key from your backup, or remove it: all case ids change then."),
        "SC-13": FaultKind(INPUT, "Screenshots, or text burned into the image",
            "Export the original images; burned-in text can name the patient."),
    },
    "Arrays": {
        "PP-02": FaultKind(INPUT, "A voxel is not finite", "Export the study again; a CT holds numbers only.",
            "after reading, gradient, resampling or scaling"),
        "PP-03": FaultKind(INPUT, "No contrast is left to normalise",
            "Look whether the study shows a patient, or widen the scaling."),
        "PP-04": FaultKind(INPUT, "The femur is too small for the network's grid", "Crop the scan to the leg.",
            "its volume changes by more than 15 % on that grid; above 5 % a remark"),
        "PP-07": FaultKind(RESOURCE, "A worker died, as a rule for want of memory",
            "Give each case more memory (fewer cases at once), then run the stage again."),
        "PP-09": FaultKind(RESOURCE, "There is too little disk", "Free space, or choose another folder.",
            "found out before anything is written"),
    },
    "Training and search": {
        "CL-01": FaultKind(RESOURCE, "More processors, GPUs or memory are asked for than there are",
            "Lower the number of workers, or use a larger cluster.", "or than have been there for five minutes"),
        "CL-04": FaultKind(USAGE, "A node does not reach the storage, or without one the run's folder",
            "Set `storage.url` to what all nodes reach, and give every node its credentials.", "names node and place"),
        "CL-05": FaultKind(USAGE, "The nodes of a cluster run different software", "Install the same on every node.",
            "one line for each thing that differs"),
        "CL-06": FaultKind(SERVICE, "No cluster or job server answers",
            "Start the cluster again, or `unset RAY_ADDRESS` for a private session; then run the same command.",
            "Ray lacks its job server, no cluster answers, a private session does not start, or its head was lost"),
        "CL-08": FaultKind(SECURITY, "The job server takes no requests without its token, or with another one",
            "Get the token's path from whoever runs the cluster (RAY_AUTH_TOKEN_PATH)."),
        "CL-09": FaultKind(SECURITY, "A container has no token or no password", "`sh docker/make-secrets.sh`."),
        "TR-03": FaultKind(INTEGRITY, "A checkpoint is torn or altered",
            "Restore the run folder from a backup, or remove it to train anew.",
            "a warning while an older good one exists"),
        "TR-05": FaultKind(RESUMABLE, "The disk is full", "Free space, then run the same command again.",
            "the last good checkpoint is intact"),
        "TR-06": FaultKind(RESUMABLE, "The training was stopped by a signal", _SAME_COMMAND,
            "with a checkpoint; or before the workers had started, with the checkpoints of before"),
        "TR-08": FaultKind(TRAINING, "Another worker refused to go on", "See that worker's message."),
        "TR-09": FaultKind(TRAINING, "Loss, gradient or validation Dice are not finite",
            "Check the named cases with `femseg check`, or lower `train.learning_rate`.", "several times in a row"),
        "TR-11": FaultKind(USAGE, "The run folder holds checkpoints of another run",
            "Use the settings and data that it was started with, or another run folder."),
        "TR-12": FaultKind(USAGE, "The number of workers would make the run another",
            "Give it `train.workers` workers, or a network without batch statistics and dropout.",
            "batch statistics or dropout, and another number of workers than `train.workers`"),
        "TR-13": FaultKind(RESOURCE, "Out of GPU memory",
            "Raise `gradient_accumulation`, set `precision` to `bfloat16`, or set `activation_checkpointing`."),
        "TR-15": FaultKind(TRAINING, "Training failed after 3 retries",
            "Mend what the first worker names, then run the command that goes on.",
            "names the worker that failed first, the last good checkpoint and that command"),
        "SE-01": FaultKind(RESUMABLE, "The search was stopped by a signal", _SAME_COMMAND,
            "trials that have ended keep their results"),
        "SE-02": FaultKind(INTEGRITY, "The record of a search is torn",
            "Give the settings back with which it was begun, or remove the file to start anew.",
            "`runs/search/<name>/search.json`, and nothing else names its search; else a warning: it is written anew"),
        "SE-04": FaultKind(TRAINING, "Search trials failed",
            "Look at their runs in MLflow; narrow `search.learning_rate`, or raise `search.allow_failed`.",
            "more than `search.allow_failed` or all of one input mode"),
        "SE-05": FaultKind(USAGE, "A search of other settings, data or code has not ended",
            "Give the settings back, change `search.name`, or remove its folder.",
            "under this `search.name`; lists what was added and removed"),
        "SE-07": FaultKind(USAGE, "The same search runs already", "Wait for it to end, or stop it.",
            "names host and process"),
        "SE-08": FaultKind(REMARK, "A search trial is trained anew", "Look at the disk.",
            "all its checkpoints are torn"),
        "ST-07": FaultKind(REMARK, "Old checkpoints are not deleted", "Look at the disk and its permissions.",
            "a warning: the newest cannot be read back, or an old one cannot be removed"),
        "ST-08": FaultKind(USAGE, "The same training runs already", "Wait for it to end, or stop it.",
            "names host and process; a warning where the file system knows no locks"),
    },
    "Inference, registry, tracking": {
        "IF-03": FaultKind(TRAINING, "The network gives non-finite probabilities",
            "Do not use this model; go back to the version before it.",
            "no mask is written"),
        "IF-04": FaultKind(REMARK, "The CT is unlike those that the model was trained on", "Review the mask.",
            "a reason to review: spacing or field of view more than 10 % outside of theirs"),
        "IF-09": FaultKind(REMARK, "The mask is unlike a femur", "Review the mask, or do not use it.",
            "a reason of the verdict: nothing found, a size or form that no femur has, or pieces apart from it"),
        "IF-10": FaultKind(REMARK, "Left and right of a mask are in doubt", "Review the mask.",
            "a reason to review: nothing tells the side, or place, shape and header contradict each other"),
        "IF-11": FaultKind(REMARK, "The model is not sure of the mask", "Review the mask, or do not use it.",
            "a reason of the verdict: two looks at the CT disagree, or the surface is unsure or on no edge of the CT"),
        "IF-12": FaultKind(REMARK, "Metal lies in the scan", "Review the mask beside it.", "a reason to review"),
        "IF-08": FaultKind(USAGE, "The output exists", "Choose another output, or remove this one first.",
            "or in the place of its record lies something else"),
        "MS-01": FaultKind(INPUT, "No solid comes out of a mask, or is in a mesh file",
            "Look at it; mend it, or soften the mask otherwise.",
            "its surface is open, folded, inside out or crosses itself, nothing is left of it, or smoothing changes "
            "its volume by more than 0.5 %; nothing is written"),
        "DC-01": FaultKind(INPUT, "A mask cannot be written as DICOM",
            "Give the CT as the DICOM series that was scanned, or take the mask as a volume file.",
            "the CT is a volume file, is resampled, or lacks a UID to refer to; or its pieces are too many to be read"),
        "ME-01": FaultKind(INPUT, "A mask shows nothing that can be measured", "Give the mask of a femur's end.",
            "single values that the field of view does not hold are left out with their reasons"),
        "CR-01": FaultKind(INPUT, "A correction changes nothing", "Correct the mask, or leave the case as it is.",
            "it is the reference already, or what the model drew"),
        "LN-01": FaultKind(INTEGRITY, "A link of a lineage leads nowhere, or elsewhere than it should",
            "Do not rely on the file; make it again, or take it again from where it was made.",
            "every broken link is a line"),
        "LN-02": FaultKind(INTEGRITY, "Nothing beside a file tells where it comes from",
            "Take it again together with its `.json`, or make it again."),
        "LN-03": FaultKind(INTEGRITY, "What a replay needs is gone", "Fetch what is named, then replay again.",
            "commit, data, package or the first evaluation"),
        "LN-04": FaultKind(INTEGRITY, "A replay gives other masks than those that were evaluated",
            "Replay with the software of the first evaluation.", "names how many, and the software that differs"),
        "SC-01": FaultKind(SECURITY, "A file holds a pickle, which runs code when it is loaded",
            "Do not open it elsewhere either; ask who made it, and let it be written again without objects.",
            "alone, in PyTorch's forms, as an array of objects, or in a checkpoint; a registered version with one is "
            "`RG-01` at the gate"),
        "SC-02": FaultKind(SECURITY, "A distributed checkpoint, whose `.metadata` is a pickle", _SAFE_WEIGHTS),
        "SC-03": FaultKind(SECURITY, "An archive of torch.export", _SAFE_WEIGHTS,
            "it is unpickled where its weights alone do not load"),
        "SC-04": FaultKind(SECURITY, "An MLflow model names code of its own", _SAFE_WEIGHTS,
            "a loader, code, a pickle or a flavor which is not ours, or a folder of MLflow where a package is meant"),
        "SC-05": FaultKind(SECURITY, "A state of Ray Tune where a package is meant", _SAFE_WEIGHTS),
        "RG-01": FaultKind(GATE, "The run of a version is not in order", "Train to the end, then `make register`.",
            "it has not finished, stopped early or made another package; its artefact is missing or not the one that "
            "was registered"),
        "RG-02": FaultKind(GATE, "The model is not good enough",
            "Train again, or go by the bounds of `promotion.yaml`.",
            "too few test cases, a mean, a worst case or a subgroup beyond its bound, or not shown to be no worse than "
            "the champion"),
        "RG-03": FaultKind(GATE, "The saved predictions do not prove the scores",
            "Run `dvc repro evaluate` and `make register` again.",
            "missing, altered or not what the stored package predicts, or the scorecard or MLflow differ from them"),
        "RG-04": FaultKind(GATE, "The origin of a version is not known", "Train from a commit on the data at hand.",
            "code commit, data hash, settings or seed are missing from the package, or the data are others"),
        "RG-05": FaultKind(GATE, "Another promotion is at work, or was quicker", "Try again when it has ended."),
        "RG-06": FaultKind(GATE, "An alias was moved past the gate", "`femseg doctor`, then promote or roll back.",
            "as a remark of `femseg segment`: the gate did not allow the champion"),
        "RG-07": FaultKind(INTEGRITY, "A package or a card is missing, torn or altered",
            "Take the package again from where it was written or registered."),
        "RG-08": FaultKind(GATE, "There is no version to roll back to", "Promote another version."),
        "RG-09": FaultKind(INTEGRITY, "The gate's log was altered",
            "Find out who wrote there; restore it from its copy.",
            "an entry changed, removed or put in, or it differs from this machine's copy"),
        "RG-10": FaultKind(GATE, "The model is too slow or takes too much memory",
            "Train a smaller network, or raise the bound in `promotion.yaml`."),
        "RG-11": FaultKind(INTEGRITY, "An alias points at a version that cannot be loaded",
            "Roll back, or promote another version."),
        "RG-12": FaultKind(USAGE, "No such registered model, none that was judged, or it has no card",
            "Look at `femseg history`; `make register`, or `femseg promote VERSION --dry-run`."),
        "RG-13": FaultKind(USAGE, "A package names a network that is not at hand",
            "Set `network.name` in the `params.yaml` here to it, or install the package that has it."),
        "RG-14": FaultKind(GATE, "A version that holds an alias is not removed",
            "Promote another version or roll back first."),
        "RG-15": FaultKind(REMARK, "There is no champion, and the challenger is used",
            "`femseg promote challenger`, or name a version with `--model`."),
        "RG-17": FaultKind(REMARK, "The model that came with femseg is used",
            "`femseg promote` a model of your own, or name one with `--model`.",
            "there is no champion, or it saw phantoms alone"),
        "RG-16": FaultKind(REMARK, "The code of a package's network is not the one that was trained",
            "Bring that file back, or train again."),
        "TK-01": FaultKind(SERVICE, "The tracking store does not answer",
            "Start the MLflow server again; look at its name.", "or does not take the name and password"),
        "TK-08": FaultKind(RESOURCE, "The artefact store did not take a file",
            "Free space where the artefacts are kept, then run the same command again.",
            "its disk being full for instance; the run is FAILED, no part is listed"),
        "TK-09": FaultKind(SECURITY, "A password would travel to another machine by http",
            "Give the server https, or set FEMSEG_TRACKING_INSECURE=1 if nobody else is on this network."),
        "TK-10": FaultKind(USAGE, "An older or newer MLflow made the database's schema",
            "Follow the fix that is named.", "a backup of an older SQLite database is made"),
        "TK-11": FaultKind(USAGE, "The tracking URI is a plain-file store",
            "Use `sqlite:///mlruns/mlflow.db` or the address of a server."),
        "TK-12": FaultKind(USAGE, "The local store is in use under another path",
            "Give the project one path for all who use it at once, or wait for the other to end.",
            "by a container for instance"),
        "TK-13": FaultKind(SERVICE, "The tracking store answers, and refuses",
            "Mend in MLflow what it says."),
    },
    "Files and settings": {
        "CFG-01": FaultKind(USAGE, "A setting, section or argument is wrong, unknown or missing", "Correct it.",
            "also a key that is there twice, or a settings file beyond its [bounds](../explanation/bounds.md)"),
        "CFG-02": FaultKind(USAGE, "Settings do not fit one another or what is installed",
            "Correct the setting, run the search, or install what is named.",
            "`train.learning_rate` is `search` without a result, `search.searcher` is `tpe` without Optuna, "
            "`storage.url` is in S3 without its client, mirroring with one side alone …"),
        "CFG-03": FaultKind(USAGE, "Too few patients for three parts",
            "Add cases, or lower `split.validation`, `split.test` or `split.folds`."),
        "ST-02": FaultKind(INTEGRITY, "A file of an earlier stage is missing, torn or altered",
            "Run the stage that writes it again (`dvc repro`), or `dvc pull`."),
        "ST-05": FaultKind(INTEGRITY, "A source file is not the one that was checked", "Run `dvc repro` again.",
            "or mask and input lie on different grids"),
        "ST-06": FaultKind(RESOURCE, "A file cannot be written", "Free space, or choose a folder that may be written.",
            "no space or no right"),
        "ST-09": FaultKind(SERVICE, "The storage does not answer",
            "Look whether it is up, then run the same command again.",
            "a warning while a training can go on without it"),
        "ST-10": FaultKind(USAGE, "No file can have this name or place", "Name another place.",
            "a file is where a folder is meant, or the reverse"),
        "ST-11": FaultKind(INTEGRITY, "An exporter of this installation misplaces a mask",
            "Use no file that it wrote; install femseg again, and run `femseg selftest` until it ends with 0.",
            "by more than 1e-3 mm, mirrored, on the other side, or unreadable: found by `femseg selftest` alone"),
    },
}
# fmt: on
FAULTS: dict[str, FaultKind] = {id_: kind for kinds in SECTIONS.values() for id_, kind in kinds.items()}

_PAGE = """# Exit codes and faults

Every refusal is one line on standard error:

```
error <ID>: <file>: <what is wrong, with the numbers>. Fix: <what to do>.
```

All faults of a pass are listed, not the first alone. Nothing is left under a final name, nothing is registered, and
earlier good results stay. There is no traceback unless you ask for it (`FEMSEG_DEBUG=1`, or `femseg --debug`).

## Exit codes

| code | meaning |
|---|---|
{codes}

Several faults at once: 9, then 4, then 5 decide; else the first fault's code. Of a folder of studies any fault
decides before a verdict, then 11, then 10. Under `dvc repro`, DVC prints the stage's code ("exited with 3") and itself
ends with 255.
{tables}
"–": a remark or a warning, the command goes on. `IF-04` and `IF-09` to `IF-12` are reasons of the
[verdict](../how-to/planner/segment-a-ct.md#the-verdict). `FACT` marks what was seen in a study, such as metal or bone
at its edge.
"""


def reference_page() -> str:
    """`docs/reference/exit-codes-and-faults.md`, whole."""
    tables = ""
    for section, kinds in SECTIONS.items():
        tables += f"\n## {section}\n\n| id | exit | what is wrong | what to do |\n|---|---|---|---|\n"
        for id_, kind in kinds.items():
            wrong = f"**{kind.title}**" + (f": {kind.details}" if kind.details else "")
            tables += f"| `{id_}` | {int(kind.exit_code) or '–'} | {wrong} | {kind.advice} |\n"
    return _PAGE.format(codes="\n".join(f"| {int(code)} | {code.meaning} |" for code in ExitCode), tables=tables)


if __name__ == "__main__":
    sys.stdout.write(reference_page())
