"""Header texts that tell of a person, planted in every slice; none may come out of a pipeline."""

from pydicom.dataset import Dataset

PLANTED = (
    "PatientName",
    "PatientID",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "PatientComments",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "EthnicGroup",
    "Occupation",
    "MedicalRecordLocator",
    "AdditionalPatientHistory",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "StationName",
    "DeviceSerialNumber",
    "RequestingPhysician",
    "ImageComments",
    "RequestedProcedureDescription",
)


def planted(datasets: list[Dataset]) -> None:
    """Write PLANTED00, PLANTED01 … into the tags; what is found of them later came from there."""
    for dataset in datasets:
        for number, tag in enumerate(PLANTED):
            setattr(dataset, tag, f"PLANTED{number:02d}")
