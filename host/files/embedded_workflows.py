"""Workflows that pictures carry: ComfyUI writes what was run (``prompt``) and what was drawn (``workflow``)."""

import io
import re
from collections.abc import Iterator
from typing import Any

from PIL import Image

from .json_files import BadJsonError, parse_json
from .pillow import reading
from .png_chunks import SIGNATURE, texts

_NAMES = ("prompt", "workflow")
_NAMED = re.compile(rf"\s*({'|'.join(_NAMES)})\s*:\s*(\{{.*)", re.IGNORECASE | re.DOTALL)
_EXIF = 0x8769
_PICTURES = (SIGNATURE, b"RIFF", b"\xff\xd8\xff")


def is_picture(data: bytes) -> bool:
    """Whether bytes are those of a PNG, WebP, JPEG or AVIF file."""
    return data.startswith(_PICTURES) or data[4:8] == b"ftyp"


def embedded(data: bytes, source: str) -> dict[str, Any]:
    """What a picture carries of ``prompt`` and ``workflow``, as objects.

    Raises:
        BadJsonError: naming ``source``, for a picture that carries neither, and for a text that is no JSON.
    """
    found = texts(data) if data.startswith(SIGNATURE) else dict(_in_exif(data, source))
    carried = {
        name: parse_json(found[name].encode("utf-8", "surrogatepass"), f"the {name} in {source}")
        for name in _NAMES
        if found.get(name)
    }
    if not carried:
        more = " (only the settings that another program wrote)" if "parameters" in found else ""
        raise BadJsonError(f"{source} is a picture that carries no ComfyUI workflow{more}")
    return carried


def _in_exif(data: bytes, source: str) -> Iterator[tuple[str, str]]:
    """ComfyUI writes ``prompt:{...}`` into one field of a WebP file's EXIF data and ``workflow:{...}`` into another."""
    with reading(source, error=BadJsonError), Image.open(io.BytesIO(data)) as opened:
        exif = opened.getexif()
        values = [*exif.values(), *exif.get_ifd(_EXIF).values()]
    for value in values:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        match = _NAMED.match(text.strip("\0")) if isinstance(text, str) else None
        if match:
            yield match[1].lower(), match[2]
