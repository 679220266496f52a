"""What `femseg check` says."""

import json

import numpy as np
from study_maker import write_dicom_study

from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.intake.report import report_json, report_text


def test_the_report_shows_cases_remarks_and_faults_in_text_and_json(tmp_path):
    def implant(datasets):
        for dataset in datasets[3:6]:
            pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(24, 26).copy()
            pixels[9:12, 6:9] = 4000
            dataset.PixelData = pixels.tobytes()

    write_dicom_study(tmp_path / "good", ct=implant, patient="JANE")
    write_dicom_study(tmp_path / "torn")
    (tmp_path / "torn" / "mask" / "slice-000.dcm").write_bytes(b"")
    (tmp_path / "good" / "README").write_text("hello")
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom"), id_key=b"key")
    text = report_text(cohort)
    row = next(line for line in text.splitlines() if line.startswith("good"))
    assert "14 × 24 × 26" in row
    assert "4 × 3 × 2.5" in row
    assert row.split()[-2] == "0.8"
    assert "FACT: 0.81 ml of metal (above 2500 HU)" in text
    assert "ignored 1 file(s)" in text
    assert "1 case(s) accepted, 1 fault(s)" in text
    assert "error " not in text
    plain = json.loads(json.dumps(report_json(cohort)))
    assert plain["cases"][0]["metal_ml"] == 0.81
    assert [fault["exit_code"] for fault in plain["faults"]] == [3]
    assert "JANE" not in text + json.dumps(plain)
