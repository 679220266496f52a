"""Which kind of CT scanner made a series, in words of a closed list: whatever else a header says stays there."""

import re

# Manufacturers by a word of their name; then the families of their CT and PET/CT scanners. A header's own text never
# leaves the header: it may hold a hospital's or a person's name.
_MAKERS = {
    "siemens": ("Siemens", ("SOMATOM", "NAEOTOM", "Biograph", "Sensation", "Emotion", "Definition")),
    "ge": ("GE", ("LightSpeed", "BrightSpeed", "Revolution", "Discovery", "Optima", "HiSpeed")),
    "philips": ("Philips", ("Brilliance", "Ingenuity", "iCT", "IQon", "Incisive", "Gemini", "MX")),
    "toshiba": ("Canon", ("Aquilion", "Asteion", "Activion")),
    "canon": ("Canon", ("Aquilion", "Lightning", "Prime")),
    "hitachi": ("Hitachi", ("Scenaria", "Supria", "Eclos")),
    "fujifilm": ("Fujifilm", ("Scenaria", "Supria", "FCT")),
    "uih": ("United Imaging", ("uCT", "uMI")),
    "united": ("United Imaging", ("uCT", "uMI")),
    "neusoft": ("Neusoft", ("NeuViz",)),
}


def scanner_family(manufacturer: str, model: str) -> str | None:
    """ "Siemens SOMATOM" of what a DICOM header says; the maker alone if the model is not known, else None.

    Args:
        manufacturer, model: Manufacturer and ManufacturerModelName as they stand in the header; may be empty.
    """
    words = re.findall(r"[a-z]+", manufacturer.lower())
    known = next((_MAKERS[word] for word in words if word in _MAKERS), None)
    if known is None:
        return None
    maker, families = known
    family = next((name for name in families if re.search(rf"\b{name}", model, re.IGNORECASE)), None)
    return f"{maker} {family}" if family else maker


SCANNERS = frozenset(maker for maker, _ in _MAKERS.values()) | frozenset(
    f"{maker} {family}" for maker, families in _MAKERS.values() for family in families
)
