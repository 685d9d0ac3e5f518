"""PNG files piece by piece: the texts they carry, and a copy that any reader takes."""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 64 * 2**20
"""Bytes of one text, unpacked."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNING = ("Raw profile type exif", "XML:com.adobe.xmp")
"""Texts that may say which side of the picture is up."""
_MAX_TURNING = 2**19


def texts(data: bytes) -> dict[str, str]:
    """The texts of a PNG file by their keywords; damaged ones and those above :data:`MAX_TEXT` are left out."""
    found: dict[str, str] = {}
    for kind, start, end in _chunks(data):
        if kind in _TEXTS:
            keyword, value = _text(kind, data[start + 8 : end - 4], MAX_TEXT)
            if value is not None:
                found[keyword] = value
    return found


def without_extras(data: bytes) -> bytes:
    """A PNG file without its colour profile and its texts, but for those that turn it.

    Pillow refuses files whose packed profile or text is longer than a megabyte, which other programs read.
    """
    kept = [SIGNATURE]
    end = len(SIGNATURE)
    for kind, start, end in _chunks(data):
        if kind not in (*_TEXTS, b"iCCP") or _turns(kind, data[start + 8 : end - 4]):
            kept.append(data[start:end])
    return b"".join([*kept, data[end:]])


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk that is whole."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            return
        yield data[start + 4 : start + 8], start, end
        start = end


def _turns(kind: bytes, body: bytes) -> bool:
    keyword, value = _text(kind, body, _MAX_TURNING) if kind in _TEXTS else ("", None)
    return keyword in _TURNING and value is not None


def _text(kind: bytes, body: bytes, most: int) -> tuple[str, str | None]:
    """Keyword and text of a chunk; None for a text that is damaged or longer than ``most``."""
    name, _, rest = body.partition(b"\0")
    keyword, packed = name.decode("latin-1"), kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    value = _unpacked(rest, most) if packed else rest
    return keyword, None if value is None or len(value) > most else _decoded(value)


def _unpacked(data: bytes, most: int) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        return None


def _decoded(value: bytes) -> str:
    """Latin-1 is the rule for two kinds, but programs write UTF-8 into all three."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
