"""The picture of a case's page: a phantom of one leg, segmented by the installed `femseg`, as Chromium shows its page.

    python -m benchmarks.shipped.case_page --figure docs/images/case_page.png [--model shipped | FOLDER]

It shows the page's upper part: verdict, volume, the hip's outlines; on a narrow window, so that words are legible where
the picture is shown 250 pixels high.

Needs `chromium` (Debian's) and the extra `mesh`; WebGL is drawn in software, and no network is asked. A mask that is
rejected is written all the same: its page says so.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from femseg.phantom import PhantomSettings, phantom_study
from femseg.phantom.dicom_export import write_phantom_study

PHANTOM, INDEX = PhantomSettings(spacing_mm_zyx=(1.2, 0.9, 0.9)), 3
WIDTH, HEIGHT, SHARPNESS, COLOURS = 680, 700, 2, 256  # of the window, down to the hip; pixels for each of its own
CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000"),
)


def write_page(folder: Path, model: str) -> Path:
    """Segment the phantom by the command, in a process of its own."""
    write_phantom_study(phantom_study(PHANTOM, INDEX), folder / "phantom")
    model = str(Path(model).resolve()) if Path(model).is_dir() else model  # the command runs in another folder
    main = "from femseg.cli.main import main; main()"
    words = ["phantom/ct", "-o", "mask.nii.gz", "--page", "page.html", "--model", model]
    done = subprocess.run(
        [sys.executable, "-c", main, "segment", *words, "--write-rejected"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, sep="")
    return folder / "page.html"


def shown(page: Path, folder: Path) -> Image.Image:
    """The upper part of the page as the browser draws it."""
    picture = folder / "page.png"
    words = (f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}")
    words += (f"--window-size={WIDTH},{HEIGHT}", f"--force-device-scale-factor={SHARPNESS}")
    subprocess.run([*CHROMIUM, *words, page.as_uri()], capture_output=True, timeout=400, check=True)
    return Image.open(picture).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, required=True)
    parser.add_argument("--model", default="shipped")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        drawn = shown(write_page(Path(name), arguments.model), Path(name))
    drawn.save(arguments.figure, optimize=True)


if __name__ == "__main__":
    main()
