"""What ITK would print reaches neither the user's terminal nor the void."""

import numpy as np
import SimpleITK as sitk
from study_maker import ct_slices, write_series

from femseg.formats.itk import array_of, itk_reading
from femseg.intake.single_ct import inspect_study


def test_a_check_prints_nothing_though_itk_would_warn(tmp_path, capfd):
    datasets = ct_slices()
    x, y, z = datasets[5].ImagePositionPatient
    datasets[5].ImagePositionPatient = [x, y, z + 0.03]
    write_series(tmp_path, datasets)
    inspect_study(tmp_path, id_key=b"key")
    assert capfd.readouterr() == ("", "")


def test_warnings_are_caught_while_reading_and_the_logger_before_comes_back(tmp_path):
    paths = write_series(tmp_path, ct_slices())
    with itk_reading("study") as warnings:
        sitk.ReadImage([str(path) for path in paths if path.name != "slice-005.dcm"])
    assert any("Non uniform sampling" in warning for warning in warnings)


def test_an_array_outlives_its_image_without_a_copy():
    array = array_of(sitk.GetImageFromArray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)))
    np.testing.assert_array_equal(array.ravel(), np.arange(24))
    assert not array.flags.owndata
    assert not array.flags.writeable
