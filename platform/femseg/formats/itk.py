"""SimpleITK, kept quiet and honest: its warnings are caught, its errors become refusals, its voxels are not copied."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.errors import Refusal, words_of

_ITS_OWN = re.compile(r"^Exception thrown in SimpleITK .*\n|\(0x[0-9a-f]+\)|(?:[is]tk::|ITK )ERROR: ")


def itk_words(error: RuntimeError) -> str:
    """SimpleITK's message without the line that names its own source, and without addresses in memory."""
    return words_of(_ITS_OWN.sub("", str(error)))


class _Caught(sitk.LoggerBase):
    """Keeps what ITK would print on stderr."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []

    def _keep(self, text: str) -> None:
        self.lines.append(" ".join(text.split()))

    DisplayText = DisplayErrorText = DisplayWarningText = DisplayGenericOutputText = DisplayDebugText = _keep


@contextmanager
def itk_reading(file: str) -> Iterator[list[str]]:
    """Inside, ITK's warnings go to the yielded list and its exceptions become a refusal of `file` (IN-16, exit 4).

    Our own checks come first and judge what ITK merely warns of, so its warnings matter only beside an error.
    """
    caught = _Caught()
    before = caught.SetAsGlobalITKLogger()  # type: ignore[no-untyped-call]
    try:
        yield caught.lines
    except RuntimeError as error:
        problem = f"cannot be read: {'; '.join([itk_words(error), *caught.lines])}"
        raise Refusal.of("IN-16", file, problem, "copy the file again from its archive") from None
    finally:
        before.SetAsGlobalITKLogger()


class _ImageMemory:
    """Lends an image's memory to NumPy and keeps the image alive for as long as the array lives."""

    def __init__(self, image: sitk.Image) -> None:
        self._image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def array_of(image: sitk.Image) -> NDArray[Any]:
    """The image's voxels, shape (Z, Y, X), without a copy; read-only."""
    return np.asarray(_ImageMemory(image))
