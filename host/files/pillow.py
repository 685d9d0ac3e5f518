"""Pillow on files that may be damaged."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from ...core.messages import plain

_RAISED = (
    (OSError, ValueError, EOFError, SyntaxError, RuntimeError, TypeError, IndexError, KeyError, OverflowError)
    + (struct.error, zlib.error, Image.DecompressionBombError)
)  # fmt: skip
"""What Pillow's readers raise for damaged files, as tens of thousands of them showed: each format's reader as it is."""


@contextmanager
def reading(source: str, unknown: str = "", error: type[ValueError] = ValueError) -> Iterator[None]:
    """For calls of Pillow alone: what it raises within the context becomes an ``error`` that names ``source``.

    Its warnings name no file, and show lines of Pillow's own code: they are left out. The picture that is read, or the
    error, says what came of them.

    Args:
        unknown: what else to say of a file of an unknown kind.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except UnidentifiedImageError:
        raise error(f"{source} cannot be read as a picture: it is damaged or of an unknown kind{unknown}") from None
    except _RAISED as raised:
        why = plain(str(raised), 200) or "it is damaged"
        raise error(f"{source} cannot be read as a picture: {why}") from raised
