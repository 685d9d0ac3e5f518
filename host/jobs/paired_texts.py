"""Words in the space that a picture encoder shares with the text encoder it was trained with.

ComfyUI's objects do not say what was trained together, and no weight of one encoder stands in the other. Beside the
width, one thing can be measured: encoders that belong together agree on which plain colour is which.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.evaluate.pairing import pairing_chance
from ...core.evaluate.similarity import unit
from ...core.sampling import encode_for_passes
from ...core.steps import OnStep
from ..adapters import backbone_of
from ..shared.errors import UnsupportedModelError
from ..shared.progress import check_interrupt
from .vision import picture_features

BATCH = 32
TEMPLATE = "a photo of a {}"

COLOURS = {
    "red": (0.85, 0.1, 0.1),
    "green": (0.15, 0.65, 0.2),
    "blue": (0.1, 0.25, 0.85),
    "yellow": (0.98, 0.88, 0.15),
    "black": (0.02, 0.02, 0.02),
    "white": (0.98, 0.98, 0.98),
    "pink": (0.98, 0.6, 0.75),
    "purple": (0.5, 0.2, 0.65),
}
"""Plain pictures that every pair of encoders distinguishes."""
COLOUR_TEMPLATE, COLOUR_SIDE = "a plain {} background", 64
UNRELATED = 0.1
"""Encoders whose colours random orders match more often are no pair. Of unrelated encoders one in ten passes."""
TRUSTED = "concept_atelier_trusted"
"""The mark of a picture encoder whose text encoder someone vouched for."""

_LISTS = (
    "person woman man child face eyes hair hand body crowd dog cat bird horse fish insect animal monster robot",
    "tree flower grass forest leaf mountain rock water sea river lake beach sky cloud sunset moon star fire smoke",
    "snow rain fog desert field garden city street road bridge house building window door wall roof tower room",
    "furniture chair table lamp book food fruit cake drink glass bottle car train boat airplane bicycle machine",
    "weapon sword armor dress suit hat shoes jewelry mask text letters logo frame border shadow light reflection",
    "pattern stripes dots grid wood metal stone fabric leather fur skin plastic paper photograph painting drawing",
    "sketch watercolor anime cartoon engraving sculpture collage graffiti mosaic outline silhouette texture blur",
    "grain neon gold silver red orange yellow green blue purple pink brown black white gray pastel dark bright",
)
COMMON_WORDS: tuple[str, ...] = tuple(" ".join(_LISTS).split())
"""Words that pictures are often described by, for names where nobody lists others."""


def word_features(
    clip_vision: Any,
    clip: Any,
    words: Sequence[str],
    width: int,
    template: str = TEMPLATE,
    on_step: OnStep | None = None,
) -> Tensor:
    """Features (V, width) of words, at unit length.

    Args:
        clip_vision: the picture encoder.
        clip: the text encoder that it was trained with.
        words: V of them.
        width: of the picture encoder's features.
        template: the sentence that a word is put into.

    Raises:
        UnsupportedModelError: for encoders that are no pair, as far as can be measured; see :func:`trusted`.
    """
    backbone, projection = _checked(clip_vision, clip)
    pooled = _pooled(backbone, [template.replace("{}", word) for word in words], on_step)
    found = _in_space(pooled, projection, width)
    if projection is None and not getattr(clip_vision, TRUSTED, False):
        chance = colour_chance(clip_vision, backbone)
        if chance > UNRELATED:
            raise UnsupportedModelError(
                f"this CLIP_VISION and the text encoder of {backbone.family} do not agree on plain colours (random "
                f"orders do as well in {chance:.0%} of draws), so they were probably not trained together; connect a "
                "pair, such as both halves of one CLIP file, or Pair Encoders if you know that they belong together"
            )
    return unit(found)


def check_pair(clip_vision: Any, clip: Any) -> str:
    """Whether two encoders agree on plain colours, a whole sentence. Raises as :func:`word_features` does for encoders
    whose features cannot be compared at all."""
    backbone, projection = _checked(clip_vision, clip)
    chance = colour_chance(clip_vision, backbone, projection)
    verdict = "do not agree" if chance > UNRELATED else "agree"
    return (
        f"The two encoders {verdict} on {len(COLOURS)} plain colours: words in random order fit as well in "
        f"{chance:.1%} of draws."
    )


def colour_chance(clip_vision: Any, backbone: Backbone, projection: Tensor | None = None) -> float:
    """How often colour words in random order fit plain pictures as well as in their own, see
    :func:`~core.evaluate.pairing.pairing_chance`."""
    colours = torch.tensor(list(COLOURS.values()))[:, :, None, None]  # (n, 3, 1, 1)
    seen = picture_features(clip_vision, colours.expand(-1, -1, COLOUR_SIDE, COLOUR_SIDE).contiguous())
    texts = _pooled(backbone, [COLOUR_TEMPLATE.format(name) for name in COLOURS], None)
    return pairing_chance(seen, _in_space(texts, projection, seen.shape[1]))


def _checked(clip_vision: Any, clip: Any) -> tuple[Backbone, Tensor | None]:
    """The text encoder, and the lab's projection to the shared space. Raises for encoders of unlike families, and a
    text encoder without a projection."""
    backbone, projection = backbone_of(clip=clip), getattr(clip_vision, "text_projection", None)
    if (projection is not None) != (backbone.family.startswith("lab")):
        raise UnsupportedModelError(
            f"this CLIP_VISION and the text encoder of {backbone.family} were not trained together, so that they "
            "give no names; connect a pair, such as Load Lab CLIP Vision and Load Lab Model"
        )
    if projection is None:
        _check_projected(clip)
    return backbone, projection


def _in_space(pooled: Tensor, projection: Tensor | None, width: int) -> Tensor:
    """Pooled texts in the space of pictures of a width. Raises for another width."""
    found = pooled if projection is None else pooled @ projection.float().T
    if found.shape[1] != width:
        raise UnsupportedModelError(
            f"this CLIP_VISION gives {width} numbers for a picture and the text encoder {found.shape[1]} for a text, "
            "so they were not trained together; connect a pair (CLIP-L and ViT-L, or CLIP-G and ViT-bigG)"
        )
    return found


def trusted(clip_vision: Any) -> Any:
    """A picture encoder that is not tested for whether a text encoder belongs to it; the one given stays as it is."""
    marked = copy.copy(clip_vision)
    object.__setattr__(marked, TRUSTED, True)  # the lab's is frozen
    return marked


def text_features(clip: Any, texts: Sequence[str], on_step: OnStep | None = None) -> Tensor:
    """Features (V, D) of texts by their text encoder alone, at unit length: the pooled output.

    Raises :class:`UnsupportedModelError` for a text encoder without one.
    """
    return unit(_pooled(backbone_of(clip=clip), texts, on_step))


def _pooled(backbone: Backbone, texts: Sequence[str], on_step: OnStep | None) -> Tensor:
    """(V, D) the single vector that a text encoder gives for each text."""
    parts = []
    for start in range(0, len(texts), BATCH):
        check_interrupt()
        for _, encoded in encode_for_passes(backbone, texts[start : start + BATCH]):
            pooled = encoded.extras.get("pooled_output")
            if pooled is None:
                raise UnsupportedModelError(f"the text encoder of {backbone.family} gives no single vector for a text")
            parts.append(pooled.detach().float().cpu())
        if on_step is not None:
            on_step(min(len(texts), start + BATCH), len(texts))
    return torch.cat(parts)


def _check_projected(clip: Any) -> None:
    """Raises for a text encoder of ComfyUI whose file has no projection to the shared space: it is the identity
    then."""
    stage = getattr(clip, "cond_stage_model", None)
    name = next((one for one in ("clip_g", "clip_h", "clip_l") if hasattr(stage, one)), None)
    projection = None if name is None else getattr(getattr(stage, name).transformer, "text_projection", None)
    weight = getattr(projection, "weight", None)
    if weight is None or torch.equal(weight.float().cpu(), torch.eye(weight.shape[0])):
        raise UnsupportedModelError(
            "this text encoder's file holds no projection to the space shared with pictures, so that it gives no "
            "names; load a CLIP text encoder with its text_projection"
        )
