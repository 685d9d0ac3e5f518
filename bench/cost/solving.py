"""What solving for an erasure takes once its texts are encoded, by every closed form.

Rows of texts and projections are made up, in the sizes of the model and of Stable Diffusion 1.5, so that both are
measured wherever the bench runs. What asks the text encoder or its tokenizer is timed and taken off.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone, Conditioning, KeyValueWeight, Placeholders
from ...core.erase.parts.settings import ClosedFormSettings
from ...core.erase.registry import METHODS
from ...host.adapters import backbone_of
from .ground import Ground, Shape, made_up_words
from .meters import Time, timed
from .settings import CostSettings

CONCEPTS = 100
WIDTH, LAYERS = 768, (320, 320, 640, 640, *[1280] * 6, *[640] * 3, *[320] * 3)
"""Of Stable Diffusion 1.5: what its text is wide, and the cross-attention layers, each with keys and values."""
POOL = 4096
"""So many different rows are made up."""
FALL = 6.0
"""The variance of made-up rows falls by so many powers of ten from their first direction to their last, because a text
encoder's rows lie along few of their directions, and SPEED needs some that are free."""
TEXT = ("encode_text", "encode_beginnings", "encode_pooled", "tokenize", "vocabulary", "word_vectors")
"""What of a backbone asks the text encoder."""


def solving_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Erasing 100 concepts at once by every closed form, by its presets, less the time in the text encoder.

    The preset is the shape's; of sizes beside the model's own, which are Stable Diffusion's, it is the paper's.
    """
    backbone = backbone_of(model=ground.model, clip=ground.clip)
    own = [weight for weight in backbone.key_value_weights() if weight.role in ("key", "value")]
    sizes = {shape.name: (own[0].weight.shape[1], [(one.role, len(one.weight)) for one in own], shape.erase)}
    sizes.setdefault("sd15", (WIDTH, [(role, rows) for rows in LAYERS for role in ("key", "value")], "paper"))
    return {
        "concepts": CONCEPTS,
        "preserved": settings.preserved,
        "repetitions": 1,
        "sizes": {
            name: {"width": width, "projections": len(roles), "preset": preset}
            | {"methods": _of_methods(MadeUp(backbone, width, roles), preset, settings.preserved)}
            for name, (width, roles, preset) in sizes.items()
        },
    }


def _of_methods(backbone: MadeUp, preset: str, preserved: int) -> dict[str, dict[str, float]]:
    """Closed form to its seconds."""
    texts, found = list(made_up_words(CONCEPTS + preserved)), {}
    for name, method in METHODS.items():
        chosen = method.preset(preset)
        if not isinstance(chosen, ClosedFormSettings):
            continue
        listening = Listening(backbone, TEXT)

        def erase(method: Any = method, chosen: Any = chosen, listening: Any = listening) -> None:
            method.erase(listening, texts[:CONCEPTS], "", texts[CONCEPTS:], chosen)

        whole = timed(erase)
        found[name] = {
            "seconds": round(whole.wall - listening.wall, 2),
            "cpu_s": round(whole.cpu - listening.cpu, 2),
        }
    return found


class MadeUp:
    """A backbone whose rows of texts, and whose projections, are made up; all else is another's.

    Args:
        backbone: gives tokens and vocabulary.
        width: of the rows.
        roles: role and number of rows of each projection.
    """

    family = "made up"

    def __init__(self, backbone: Backbone, width: int, roles: Sequence[tuple[Any, int]]) -> None:
        self._backbone = backbone
        generator = torch.Generator().manual_seed(0)
        spread = 10 ** (-FALL / 2 * torch.arange(width) / width)  # (D,)
        turn = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
        rows = torch.randn(POOL, width, generator=generator) * spread * (width / spread.square().sum()) ** 0.5
        self._pool = rows @ turn  # of a mean square of 1 an entry
        self._weights = tuple(
            KeyValueWeight(f"layer{number}.{role}", role, torch.randn(rows, width, generator=generator) / width**0.5)
            for number, (role, rows) in enumerate(roles)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def key_value_weights(self) -> tuple[KeyValueWeight, ...]:
        return self._weights

    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        """(B, length, D): of each text other rows, always the same."""
        starts = [zlib.crc32(text.encode()) % (POOL - length) for text in texts]
        return torch.stack([self._pool[start : start + length] for start in starts])

    def encode_text(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
        """All rows of texts."""
        return Conditioning(self.encode_beginnings(texts, self._backbone.tokenize(texts[0]).length))


class Listening:
    """A backbone that counts the time of some of its methods.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of processor time.
    """

    def __init__(self, backbone: Any, methods: Sequence[str]) -> None:
        self._backbone, self._methods = backbone, frozenset(methods)
        self.wall = self.cpu = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backbone, name)
        return self._counted(found) if name in self._methods else found

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            found: list[Any] = []
            spent: Time = timed(lambda: found.append(method(*args, **kwargs)))
            self.wall, self.cpu = self.wall + spent.wall, self.cpu + spent.cpu
            return found[0]

        return counted
