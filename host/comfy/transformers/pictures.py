"""Prompts that a language model reads behind pictures, as TextEncodeQwenImageEdit and TextEncodeQwenImageEditPlus give
them to it.

A language model reads from left to right. So the rows before the first picture are known without the picture, and the
rows of the prompt and of the template behind it are the last ones of the conditioning.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ....core.backbone import Placeholders
from ...shared.families import ModelFamily
from .sites import record_of
from .text import encode

PICTURE = "<|vision_start|>"
"""The token that begins a picture."""

BEFORE_PICTURES = ("", "Picture 1: ", "Picture 2: ", "Picture 3: ")
"""What the nodes write before the first picture; TextEncodeQwenImageEditPlus numbers its inputs."""


class PictureReader:
    """The text encoder of a CLIP, in the template that it has for pictures."""

    def __init__(self, clip: Any, family: ModelFamily, template: str) -> None:
        self._clip, self._family = clip, family
        self._before, self._behind = template[: template.index(PICTURE)], template[template.index("{}") :]

    def without_pictures(self, text: str, placeholders: Placeholders) -> Tensor:
        """(1, L, D) of a prompt in this template, with no picture. Raises as :func:`~.text.encode` does."""
        return self._encoded(self._before + self._behind.format(text), placeholders)

    def beginnings(self) -> Iterator[Tensor]:
        """(n, D) rows with which a conditioning begins in which a picture comes first; each possible one."""
        for words in BEFORE_PICTURES:
            yield self._encoded(self._before + words + PICTURE, {})[0]

    def _encoded(self, text: str, placeholders: Placeholders) -> Tensor:
        return encode(self._clip, self._family, [text], placeholders).context


def picture_reader(clip: Any, family: ModelFamily) -> PictureReader | None:
    """Reads prompts behind pictures; None for families, and versions of ComfyUI, whose tokenizer has no template for
    them."""
    name = record_of(family).picture_template
    template = getattr(clip.tokenizer, name, "") if name else ""
    return PictureReader(clip, family, template) if PICTURE in template and "{}" in template else None
