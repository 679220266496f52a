"""The phantom cohort: synthetic lower-limb CT angiographies from a seed, with exact ground truth.

In reading order: `settings`, `patient` (who lies in the scanner), `acquisition` (what is scanned), `shapes` and
`frame` (distances in millimetres), `femur`, `other_bones`, `soft_tissue`, `vessels`, `implant` (the anatomy),
`anatomy` (all of it painted), `scanner` (what a CT makes of it), `study` (the whole of one case), `dicom_export`.
"""

from femseg.phantom.dicom_export import write_phantom_study
from femseg.phantom.settings import PhantomSettings
from femseg.phantom.study import PhantomStudy, phantom_bytes, phantom_study

__all__ = ["PhantomSettings", "PhantomStudy", "phantom_bytes", "phantom_study", "write_phantom_study"]
