import hashlib
import io
import json
import os

import numpy as np
import pytest

from femseg.cohorts.case_lines import write_case_lines
from femseg.cohorts.store import INDEX_NAME, ArrayStore, bytes_needed, write_array, write_index
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import require_free_space
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe

RECIPE = InputRecipe(input_mode="raw", shape_zyx=(4, 3, 2))
NETWORK_GRID = VoxelGrid(shape_zyx=(4, 3, 2), spacing_mm_zyx=(1.1, 2.2, 3.3), origin_mm_xyz=(0.1, 0.2, 0.3))
CT_GRID = VoxelGrid(shape_zyx=(8, 9, 10), spacing_mm_zyx=(0.55, 0.7, 0.66))
ARRAY = np.random.default_rng(0).random((4, 3, 2)).astype(np.float32)


def _fill(folder, case_ids=("case-a", "case-b"), array=ARRAY, kind="raw"):
    entries = {
        case_id: write_array(
            folder, case_id, array, kind=kind, network_grid=NETWORK_GRID, ct_grid=CT_GRID, remarks=["PP-04 +6 %"]
        )
        for case_id in case_ids
    }
    write_index(folder, kind, RECIPE, entries)
    return entries


def _rewrite_index(folder, change):
    """As if somebody had forged the index: `change` alters its JSON value, the layout stays ours."""
    index = json.loads((folder / INDEX_NAME).read_text())
    change(index)
    cases, _ = index.pop("cases"), index.pop("sha256")
    write_case_lines(folder / INDEX_NAME, index, cases)


def _contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_arrays_grids_recipe_and_remarks_come_back_exactly(tmp_path):
    entries = _fill(tmp_path, case_ids=("case-b", "case-a"))
    store = ArrayStore.open(tmp_path)
    assert store.case_ids == ("case-a", "case-b")
    assert (store.kind, store.recipe) == ("raw", RECIPE)
    assert store.entry("case-a") == entries["case-a"]
    assert (store.entry("case-a").network_grid, store.entry("case-a").ct_grid) == (NETWORK_GRID, CT_GRID)
    loaded = store.load("case-b")
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, ARRAY)
    with pytest.raises(ValueError, match="read-only"):
        loaded[0] = 0


def test_masks_come_back_as_bool(tmp_path):
    _fill(tmp_path, array=ARRAY > 0.5, kind="mask")
    assert np.array_equal(ArrayStore.open(tmp_path).load("case-a"), ARRAY > 0.5)


def test_pp_08_the_same_arrays_give_the_same_bytes_in_any_order(tmp_path):
    _fill(tmp_path / "one", case_ids=("case-a", "case-b"))
    _fill(tmp_path / "two", case_ids=("case-b", "case-a"))
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_pp_06_after_a_killed_run_the_next_one_leaves_what_an_undisturbed_one_does(tmp_path):
    _fill(tmp_path / "undisturbed")
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / ".0123456789abcdef0123456789abcdef.part.npy").write_bytes(b"half an arr")
    (killed / "case-a.npy").write_bytes(b"from an older program")
    (killed / "case-dropped-since.npy").write_bytes(b"nobody's")
    with pytest.raises(Refusal) as caught:
        ArrayStore.open(killed)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    _fill(killed)
    assert _contents(killed) == _contents(tmp_path / "undisturbed")


def _npy(array, **kwargs):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **kwargs)
    return stream.getvalue()


def _header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class _Payload:
    def __reduce__(self):
        return (pytest.fail, ("code from the file ran",))


NPY_FAULTS = {
    "object-dtype": lambda: _npy(np.array([[[_Payload()]]], dtype=object), allow_pickle=True),
    "pickle": lambda: b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    "header-expression": lambda: _header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (len('ab'),3,2)}\n"),
    "negative-shape": lambda: _header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,3,2)}\n") + bytes(96),
    "absurd-shape": lambda: _header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,3,2)}\n"),
    "huge-shape": lambda: _header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,3,2)}\n"),
    "truncated": lambda: _npy(ARRAY)[:-1],
    "trailing-bytes": lambda: _npy(ARRAY) + b"\0",
    "big-endian": lambda: _npy(ARRAY.astype(">f4")),
    "wrong-axis-order": lambda: _npy(np.ascontiguousarray(ARRAY.transpose(2, 1, 0))),
    "fortran-order": lambda: _npy(np.asfortranarray(ARRAY)),
    "float64": lambda: _npy(ARRAY.astype(np.float64)),
    "empty": lambda: b"",
    "newer-version": lambda: _npy(ARRAY, version=(3, 0)),
}


@pytest.mark.parametrize("known_hash", [False, True], ids=["altered", "vouched-for"])
@pytest.mark.parametrize("kind", NPY_FAULTS, ids=lambda kind: f"IN-25-{kind}")
def test_a_faulty_npy_file_is_refused_by_name_and_runs_nothing(tmp_path, kind, known_hash):
    _fill(tmp_path)
    content = NPY_FAULTS[kind]()
    (tmp_path / "case-a.npy").write_bytes(content)
    if known_hash:  # as if the index itself had been forged: what is in the file still decides
        known = hashlib.sha256(content).hexdigest()
        _rewrite_index(tmp_path, lambda index: index["cases"]["case-a"].update(sha256=known))
    store = ArrayStore.open(tmp_path)
    with pytest.raises(Refusal, match=r"case-a\.npy") as caught:
        store.load("case-a")
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert np.array_equal(store.load("case-b"), ARRAY)


def test_one_flipped_bit_anywhere_in_an_array_is_seen(tmp_path):
    _fill(tmp_path)
    path = tmp_path / "case-a.npy"
    sound = path.read_bytes()
    store = ArrayStore.open(tmp_path)
    for position in (0, 9, 60, 127, 128, len(sound) - 1):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
        with pytest.raises(Refusal, match="SHA-256"):
            store.load("case-a")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda index: index.update(format=1), "format 2"),
        (lambda index: index.update(kind="ct"), "kind"),
        (lambda index: index["cases"]["case-a"].pop("sha256"), "sha256"),
        (lambda index: index["cases"].update({"../case": index["cases"]["case-a"]}), "unsafe"),
        (lambda index: index["recipe"].update(input_mode="x-ray"), "input_mode"),
    ],
)
def test_an_index_that_is_not_ours_is_refused(tmp_path, change, says):
    _fill(tmp_path)
    _rewrite_index(tmp_path, change)
    with pytest.raises(Refusal, match=says) as caught:
        ArrayStore.open(tmp_path).load("case-a")
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_st_03_an_array_altered_behind_size_time_and_read_only_flag_is_refused_by_name(tmp_path):
    """As a damaged object of DVC's cache comes into the working tree: DVC trusts what it marked read-only."""
    _fill(tmp_path)
    file = tmp_path / "case-a.npy"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    file.chmod(0o444)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(Refusal) as refused:
        ArrayStore.open(tmp_path).load("case-a")
    (fault,) = refused.value.faults
    assert (fault.file, fault.exit_code) == (str(file), ExitCode.INTEGRITY)


def test_missing_files_and_unknown_cases_are_refused_by_name(tmp_path):
    _fill(tmp_path)
    (tmp_path / "case-a.npy").unlink()
    store = ArrayStore.open(tmp_path)
    with pytest.raises(Refusal, match=r"case-a\.npy"):
        store.load("case-a")
    with pytest.raises(Refusal, match="case-z"):
        store.load("case-z")


@pytest.mark.parametrize(
    ("case_id", "array", "says"),
    [
        ("../case", ARRAY, "case id"),
        ("", ARRAY, "case id"),
        ("case-a", ARRAY.astype(np.float64), "dtype"),
        ("case-a", ARRAY[1:], "shape"),
    ],
)
def test_what_does_not_fit_the_store_is_not_written(tmp_path, case_id, array, says):
    with pytest.raises(ValueError, match=says):
        write_array(tmp_path / "raw", case_id, array, kind="raw", network_grid=NETWORK_GRID, ct_grid=CT_GRID)
    assert not list(tmp_path.iterdir())


def test_pp_09_too_small_a_disk_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "data" / "raw"
    require_free_space(folder, bytes_needed(RECIPE, "raw", [RECIPE.shape_zyx] * 2))
    with pytest.raises(Refusal, match=r"PP-09: .*raw: .* bytes are needed, .* are free") as caught:
        require_free_space(folder, bytes_needed(RECIPE, "raw", [(10**6, 10**6, 10**6)]))
    assert caught.value.exit_code == ExitCode.RESOURCE
    assert not folder.exists()


def test_the_predicted_size_is_the_size_on_disk(tmp_path):
    _fill(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.npy")) == bytes_needed(
        RECIPE, "raw", [RECIPE.shape_zyx] * 2
    )


@pytest.mark.parametrize("text", [b"(" * 90, b"{'descr': '<f4', 'shape': '''", b"9" * 110, b"{" * 117])
def test_a_header_that_no_parser_can_end_is_refused_though_its_hash_holds_IN_25(tmp_path, text):
    _fill(tmp_path, case_ids=("case-a",))
    content = _header(text) + ARRAY.tobytes()
    (tmp_path / "case-a.npy").write_bytes(content)
    known = hashlib.sha256(content).hexdigest()
    _rewrite_index(tmp_path, lambda index: index["cases"]["case-a"].update(sha256=known))
    with pytest.raises(Refusal, match="is no NPY file") as caught:
        ArrayStore.open(tmp_path).load("case-a")
    assert caught.value.exit_code == ExitCode.INTEGRITY
