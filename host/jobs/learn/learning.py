"""What learning needs of a host: progress with pictures, cancel, and settings and words as people give them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image

from ....core import settings
from ....core.backbone import Backbone
from ....core.learn.engine.settings import LearnSettings
from ....core.learn.registry import METHODS
from ....core.messages import listed, shown
from ....core.types import ConceptTokens
from ...shared.progress import start_progress
from .token_previews import MAX_TOKENS, captioned, draw_tokens


class TrainingReporter:
    """A callback that shows every step, draws the tokens every so many (0: never) and stops a cancelled run.

    Attributes:
        preview: the last picture that was drawn, None before the first.
    """

    def __init__(
        self, backbone: Backbone, template: str, size: tuple[int, int], preview_every: int, node_id: str | None
    ) -> None:
        self.preview: Image | None = None
        self._backbone, self._template, self._size, self._every = backbone, template, size, preview_every
        self._progress = start_progress(node_id)

    def __call__(self, step: int, total: int, loss: float, tokens: ConceptTokens) -> None:
        due = self._every > 0 and (step % self._every == 0 or step == total)
        if due:
            self.preview = self._draw(step, total, tokens)
        self._progress(step, total, self.preview if due else None)

    def _draw(self, step: int, total: int, tokens: ConceptTokens) -> Image:
        with torch.no_grad():
            row = draw_tokens(self._backbone, tokens, self._template, self._size)
        return captioned(row, [f"<{name}>" for name in tokens.names[:MAX_TOKENS]], f"step {step} of {total}")


UNSET: Mapping[str, Any] = {
    "steps": 0,
    "rate": 0.0,
    "attention_weight": -1.0,
    "flip": -1.0,
    "class_weight": -1.0,
    "cycle_weight": -1.0,
    "mask_weight": -1.0,
    "adaptive_rate": 0.0,
    "template": "",
}
"""Input to the value that keeps the preset's."""


def preset_names() -> list[str]:
    """The presets of all methods, each once."""
    return list(dict.fromkeys(name for method in METHODS.values() for name in method.presets))


def settings_of(method: str, preset: str, inputs: Mapping[str, Any]) -> LearnSettings:
    """A method's preset, overridden by the inputs that were changed (see :data:`UNSET`).

    Raises:
        ValueError: for a preset the method does not have, an input it does not know, and values out of range.
    """
    return settings.settings_of(METHODS[method], preset, inputs, UNSET)


def weights_said(tokens: ConceptTokens) -> str:
    """What adaptive weights of pictures became, one sentence; empty where there were none."""
    weights = tokens.metadata.get("picture_weights", "")
    return f"weights of the pictures' own loss at the end: {weights.strip('[]')}" if weights else ""


def parse_words(text: str, names: Sequence[str], what: str = "start words") -> dict[str, str]:
    """``"1=fruit, cat=kitten"`` to a word per concept; ``what`` is what messages call them.

    Raises:
        ValueError: for entries without ``=``, and for names that are no concept.
    """
    words: dict[str, str] = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, word = (part.strip() for part in entry.partition("="))
        name = name.strip("<>")
        if not equals or not word:
            raise ValueError(f"{what} are written as concept=word, separated by commas; got {shown(entry)}")
        if name not in names:
            raise ValueError(f"{what} name a concept {shown(name)}; there are {listed(names)}")
        words[name] = word
    return words
