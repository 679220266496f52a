"""What all pages share: how they are made, and pictures that lie in them."""

import base64
import io

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

_WEBP_QUALITY = 62


def templates() -> Environment:
    """The pages' templates: text from outside is escaped, and a name that is missing is an error."""
    return Environment(
        loader=PackageLoader("femseg.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def webp(pixels: NDArray[np.uint8], quality: int = _WEBP_QUALITY) -> bytes:
    """Pixels, grey or with 3 or 4 channels, as WebP; the same pixels give the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="WEBP", quality=quality, method=4)
    return stream.getvalue()


def data_uri(image: bytes, kind: str) -> str:
    """A picture as an address that needs no request."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode()
