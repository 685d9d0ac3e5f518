"""Maps of concepts in a picture, at the picture's size."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from ....core.attribute.concept_attention import (
    ConceptBackbone,
    ConceptSettings,
    OnStep,
    concept_heatmaps,
    concept_rows,
)
from ....core.backbone import AttentionSite, Placeholders
from ....core.masks.upsample import covered_size, to_pixels
from ....core.messages import shown
from ...adapters import backbone_of
from ...pictures.heat_pictures import stretch_note
from ...shared.captures import AttentionCapture, WantedConcepts
from ...shared.errors import UnsupportedModelError
from ...shared.families import FAMILIES, no_concepts
from ..blocks import sites_of_blocks


def wanted_concepts(
    model: Any, clip: Any, concepts: Sequence[str], background: Sequence[str], blocks: str = ""
) -> WantedConcepts:
    """Concepts and background words to read while a sampler runs; arguments as for :func:`picture_concept_maps`.

    Raises as that does, and ``ValueError`` without a CLIP.
    """
    if clip is None:
        raise ValueError("Capture Attention was given concepts and no CLIP to encode them; connect clip")
    backbone, sites = _readable(model, clip, None, concepts, background, blocks)
    names = (*concepts, *background)
    chosen = backbone.default_sites() if sites is None else sites
    return WantedConcepts(names, concept_rows(backbone, names), tuple(site.name for site in chosen))


def captured_concept_maps(
    capture: AttentionCapture, latent: Mapping[str, Any] | None, concepts: Sequence[str], image: Tensor
) -> tuple[Tensor, str]:
    """Maps (N, B, H, W) of N concepts that were read while a sampler ran, and what is to be said about the run.

    Args:
        capture: of Capture Attention.
        latent: LATENT that the sampler returned.
        concepts: those to show.
        image: the decoded pictures (B, H, W, 3).

    Raises ``ValueError`` without a latent, for concepts that were not captured, and for another number of pictures.
    """
    if latent is None:
        raise ValueError("capture needs samples: connect the latent that the sampler returned")
    run, note = capture.run_of(latent["samples"])
    maps = capture.concept_maps(run, concepts)  # (N, B, h, w)
    if len(image) != maps.shape[1]:
        raise ValueError(f"the run drew {maps.shape[1]} pictures and image holds {len(image)}; decode this latent")
    size = (image.shape[1], image.shape[2])
    pixels = to_pixels(maps.flatten(0, 1), size, "bilinear").unflatten(0, maps.shape[:2])
    return pixels, " ".join(filter(None, (note, stretch_note(run.latent_size, size))))


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
        blocks: the blocks that are read, see :func:`..blocks.sites_of_blocks`; empty for the family's.
        seed: random seed of the noise.
        on_step: called with passes done and passes in all.

    Returns:
        (N, 1, H, W) in 0..1, shares of each pixel among concepts and background.

    Raises as :func:`backbone_of` and :func:`concept_heatmaps` do, and ``ValueError`` for a word that is both a concept
    and background.
    """
    backbone, sites = _readable(*parts, concepts, background, blocks)
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


def _readable(
    model: Any, clip: Any, vae: Any, concepts: Sequence[str], background: Sequence[str], blocks: str
) -> tuple[ConceptBackbone, Sequence[AttentionSite] | None]:
    """The backbone and the layers that are read, before anything is computed; None for the family's layers."""
    both = [word for word in background if word in concepts]
    if both:
        raise ValueError(f"{shown(both[0])} is named as a concept and as background; name it once")
    backbone = cast(ConceptBackbone, backbone_of(model, clip, vae))
    transformer = FAMILIES[backbone.family].transformer
    if transformer is None or not transformer.concepts:
        raise UnsupportedModelError(no_concepts(backbone.family))
    names = sites_of_blocks(backbone.attention_sites(), blocks)
    return backbone, None if names is None else [one for one in backbone.attention_sites() if one.name in names]
