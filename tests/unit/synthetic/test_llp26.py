"""The shape model comes out of its wheel whole, and a pickle that is more than arrays does not run."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from femseg.errors import Refusal
from femseg.synthetic.anatomy import llp26 as module
from femseg.synthetic.anatomy.llp26 import evaluation, llp26, read_arrays, volume_mm3


class _Payload:
    """Unpickled the usual way, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, protocol):
    trace = tmp_path / "ran"
    hostile = pickle.dumps({"mean": np.zeros(3), "modes": _Payload(trace)}, protocol)
    with pytest.raises(Refusal) as refusal:
        read_arrays(io.BytesIO(hostile), file="shapes.pc")
    assert refusal.value.faults[0].id == "SC-01"
    assert not trace.exists()
    pickle.loads(hostile)  # noqa: S301 - what would have happened
    assert trace.exists()


@pytest.mark.parametrize("what", [b"", b"not a pickle", pickle.dumps(np.zeros(3)), pickle.dumps({"mean": print})])
def test_what_is_no_dictionary_of_arrays_is_refused(what):
    with pytest.raises(Refusal, match="SC-01"):
        read_arrays(io.BytesIO(what), file="shapes.pc")


def test_arrays_come_back_as_they_were_pickled():
    arrays = {"mean": np.arange(6.0), "modes": np.eye(3, dtype=np.float32), "sizes": None}
    found = read_arrays(io.BytesIO(pickle.dumps(arrays)), file="shapes.pc")
    assert set(found) == {"mean", "modes"}
    np.testing.assert_array_equal(found["mean"], arrays["mean"])
    np.testing.assert_array_equal(found["modes"], arrays["modes"])


def test_without_the_wheel_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(Refusal) as refusal:
        module.wheel_folder()
    (fault,) = refusal.value.faults
    assert fault.id == "CFG-02"
    assert "femseg[shapes]" in fault.fix


@pytest.mark.parametrize(("kind", "degree"), [("quad44", 3), ("quad55", 4), ("tri10", 3), ("tri15", 4)])
def test_an_element_follows_every_polynomial_of_its_degree(kind, degree):
    triangle = kind.startswith("tri")
    nodes = [
        (i / degree, j / degree)
        for j in range(degree + 1)
        for i in range(degree + 1)
        if not triangle or i + j <= degree
    ]
    surface = {"elements": {"0": f"0 {kind}"}, "connectivity": {f"0_{number}": "" for number in range(len(nodes))}}
    weights, faces = evaluation(surface, 7)

    def height(x, y):
        return 3 * x**degree - 2 * x * y ** (degree - 1) + y - 0.5

    x, y = np.array(nodes).T
    plane = weights @ np.array(nodes)
    np.testing.assert_allclose(weights @ height(x, y), height(*plane.T), atol=1e-9)
    assert len(faces) == (49 if triangle else 98)
    (ax, ay), (bx, by), (cx, cy) = plane[faces].transpose(1, 2, 0)
    areas = ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2
    assert np.all(areas > 0)
    assert areas.sum() == pytest.approx(0.5 if triangle else 1.0)


def test_every_bone_is_closed_turned_outwards_and_of_a_human_size():
    litres = {"femur": (0.2, 0.9), "tibia": (0.15, 0.6), "left_hip_bone": (0.15, 0.6), "patella": (0.005, 0.03)}
    for name, bone in llp26().items():
        edges = np.sort(np.stack([bone.faces, np.roll(bone.faces, -1, axis=1)], axis=-1).reshape(-1, 2))
        assert np.all(np.unique(edges, axis=0, return_counts=True)[1] == 2), name
        for person in bone.vertices_mm[::5]:
            low, high = litres.get(name, (0.01, 1.0))
            assert low * 1e6 < volume_mm3(person, bone.faces) < high * 1e6, name
    lengths = np.ptp(llp26()["femur"].vertices_mm[:, :, 2], axis=1)
    assert 390 < lengths.min() < lengths.max() < 480
