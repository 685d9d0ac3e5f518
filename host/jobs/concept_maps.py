"""Maps of concepts in a picture, at the picture's size."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from ...core.attribute.concept_attention import ConceptBackbone, ConceptSettings, OnStep, concept_heatmaps
from ...core.backbone import Placeholders
from ...core.masks.upsample import covered_size, to_pixels
from ...core.messages import shown
from ..adapters import backbone_of
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, no_concepts
from .blocks import sites_of_blocks


def picture_concept_maps(
    parts: tuple[Any, Any, Any],
    picture: Tensor,
    text: str,
    concepts: Sequence[str],
    background: Sequence[str],
    settings: ConceptSettings,
    *,
    placeholders: Placeholders | None = None,
    blocks: str = "",
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Maps of concepts in a picture.

    Args:
        parts: MODEL, CLIP and VAE.
        picture: (1, 3, H, W) in 0..1.
        text: the prompt meanwhile.
        concepts: N words or phrases that differ.
        background: words that take a share of each cell and are not shown.
        settings: see :class:`ConceptSettings`.
        placeholders: learnt tokens that may stand in text and concepts.
        blocks: the blocks that are read, see :func:`.blocks.sites_of_blocks`; empty for the family's.
        seed: random seed of the noise.
        on_step: called with passes done and passes in all.

    Returns:
        (N, 1, H, W) in 0..1, shares of each pixel among concepts and background.

    Raises as :func:`backbone_of` and :func:`concept_heatmaps` do, and ``ValueError`` for a word that is both a concept
    and background.
    """
    both = [word for word in background if word in concepts]
    if both:
        raise ValueError(f"{shown(both[0])} is named as a concept and as background; name it once")
    backbone = cast(ConceptBackbone, backbone_of(*parts))
    transformer = FAMILIES[backbone.family].transformer
    if transformer is None or not transformer.concepts:  # before anything is computed
        raise UnsupportedModelError(no_concepts(backbone.family))
    names = sites_of_blocks(backbone.attention_sites(), blocks)
    sites = None if names is None else [site for site in backbone.attention_sites() if site.name in names]
    found = concept_heatmaps(
        backbone,
        backbone.encode_image(picture),
        text,
        [*concepts, *background],
        settings,
        placeholders=placeholders,
        sites=sites,
        seed=seed,
        on_step=on_step,
    )
    size = (picture.shape[-2], picture.shape[-1])
    covered = covered_size(size, backbone.latent_downscale)
    return to_pixels(found[: len(concepts)], size, "bilinear", covered)[:, None].cpu()
