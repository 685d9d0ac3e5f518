"""Pictures as a picture encoder sees them, whole and by position: the seam to CLIP_VISION, ComfyUI's or the lab's."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core.evaluate.similarity import unit
from ...core.explain.activations import Activations, Origin, check_memory, fingerprint_of
from ...core.messages import listed, shown
from ...core.steps import OnStep
from ..shared.errors import UnsupportedModelError
from ..shared.progress import check_interrupt

BATCH = 16
STATES = {"penultimate": "penultimate_hidden_states", "last": "last_hidden_state"}
"""Sites of ComfyUI's picture encoders: the states before the last block, which hold more of places, and behind it."""

WHOLE = "whole picture"
"""The site of the single vector of a picture."""


def picture_features(clip_vision: Any, pictures: Tensor) -> Tensor:
    """Features of pictures, on the CPU.

    Whole pictures are squeezed into the encoder's square: its own habit of cutting off the sides would cut concepts.

    Args:
        clip_vision: what a CLIP_VISION socket carries: ``encode_image(IMAGE, crop=False)`` gives ``image_embeds``.
        pictures: (B, 3, H, W) in 0..1.

    Returns:
        (B, D) float32 at unit length.

    Raises:
        UnsupportedModelError: for anything that is no CLIP_VISION, and for encoders without one vector a picture.
        ValueError: for pictures, or features, that are not finite.
    """
    check_vision(clip_vision)
    if not bool(torch.isfinite(pictures).all()):
        raise ValueError("a picture holds NaN or infinite values; the latent or the model it came from is broken")
    parts = []
    for part in pictures.split(BATCH):
        check_interrupt()
        parts.append(_embeds(clip_vision, part))
    return unit(torch.cat(parts))


def window_features(
    clip_vision: Any, pictures: Tensor, count: int = 3, share: float = 0.6, on_step: OnStep | None = None
) -> Tensor:
    """(P, count * count, D) features of overlapping windows of pictures (P, 3, H, W), each a share of their sides.

    Raises as :func:`picture_features` does.
    """
    height, width = pictures.shape[-2:]
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    places = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    corners = [(round(down * (height - rows)), round(right * (width - columns))) for down in places for right in places]
    found = []
    for number, (top, left) in enumerate(corners, 1):
        found.append(picture_features(clip_vision, pictures[..., top : top + rows, left : left + columns]))
        if on_step is not None:
            on_step(number, len(corners))
    return torch.stack(found, 1)


def check_vision(clip_vision: Any) -> None:
    """Raises :class:`UnsupportedModelError` for anything that is no CLIP_VISION."""
    if not callable(getattr(clip_vision, "encode_image", None)):
        described = f"{type(clip_vision).__module__}.{type(clip_vision).__qualname__}"
        raise UnsupportedModelError(
            f"CLIP_VISION is a {described}; connect what Load CLIP Vision or Load Lab CLIP Vision gives"
        )


@torch.no_grad()
def _embeds(clip_vision: Any, pictures: Tensor) -> Tensor:
    return embeds_of(clip_vision.encode_image(pictures.movedim(1, -1).contiguous(), crop=False), len(pictures))


def embeds_of(output: Any, count: int) -> Tensor:
    """The vectors (B, E) that a picture encoder gives for so many pictures, on the CPU. Raises
    :class:`UnsupportedModelError` for one that gives none."""
    embeds = getattr(output, "image_embeds", None)
    if isinstance(embeds, Tensor) and embeds.ndim == 3:  # SigLIP: ComfyUI leaves out the head that pools its patches
        embeds = embeds.mean(1)
    if not isinstance(embeds, Tensor) or embeds.ndim != 2 or len(embeds) != count:
        raise UnsupportedModelError(
            "this CLIP_VISION gives no single vector for a picture; use a CLIP, SigLIP or DINOv2 vision model"
        )
    return embeds.detach().float().cpu()


def record_encoder(clip_vision: Any, pictures: Tensor, site: str = "", on_step: OnStep | None = None) -> Activations:
    """What a picture encoder computes at every position of pictures, squeezed into its square.

    Args:
        clip_vision: what a CLIP_VISION socket carries.
        pictures: (P, 3, H, W) in 0..1.
        site: of ComfyUI's encoders ``penultimate``, the default, or ``last``; of the lab's the cells a side of the
            grid: ``8``, the default, ``16``, ``4``, or ``all`` of them together on the finest.

    Raises:
        UnsupportedModelError: for anything that is no CLIP_VISION, and for encoders without a grid of positions.
        ValueError: for an unknown site, and more pictures than fit into memory.
    """
    check_vision(clip_vision)
    read, model, weights, site = _reader(clip_vision, site.strip())
    rows = []
    for number, part in enumerate(pictures.split(BATCH)):
        check_interrupt()
        found = read(part.movedim(1, -1).contiguous())  # (B, D, h, w)
        if number == 0:
            check_memory(len(pictures), found.shape[2] * found.shape[3], found.shape[1])
        rows.append(found.flatten(2).mT.contiguous())
        if on_step is not None:
            on_step(min(len(pictures), (number + 1) * BATCH), len(pictures))
    joined = torch.cat(rows)
    origin = Origin("encoder", model, fingerprint_of(weights), site, joined.shape[-1])
    return Activations(joined, (found.shape[2], found.shape[3]), origin)


def encoder_origin(clip_vision: Any, width: int, site: str = WHOLE) -> Origin:
    """What identifies a picture encoder, for its features (P, width) of whole pictures.

    Raises :class:`UnsupportedModelError` for anything that is no CLIP_VISION.
    """
    check_vision(clip_vision)
    model, weights = _identity(clip_vision)
    return Origin("encoder", model, fingerprint_of(weights), site, width)


def _identity(clip_vision: Any) -> tuple[str, list[Tensor]]:
    """An encoder's name, and its weights in a fixed order."""
    if callable(getattr(clip_vision, "record_activations", None)):
        return "lab image tower", list(clip_vision.tower.parameters())
    weights = [weight for _, weight in sorted(clip_vision.model.state_dict().items()) if weight.is_floating_point()]
    return str(getattr(clip_vision, "model_type", type(clip_vision).__name__)), weights


Reader = Callable[[Tensor], Tensor]


def _reader(clip_vision: Any, site: str) -> tuple[Reader, str, list[Tensor], str]:
    """What reads an IMAGE to (B, D, h, w), the encoder's name, its weights, and the site's name."""
    if callable(getattr(clip_vision, "record_activations", None)):
        site = _known(site or "8", clip_vision.activation_sites)
        return (lambda image: clip_vision.record_activations(image, site)), *_identity(clip_vision), site
    site = _known(site or "penultimate", STATES)
    return (lambda image: _states(clip_vision, image, STATES[site])), *_identity(clip_vision), site


@torch.no_grad()
def _states(clip_vision: Any, image: Tensor, name: str) -> Tensor:
    """States (B, D, h, w) of the patches of an IMAGE, without class and register tokens, which stand before them."""
    output = clip_vision.encode_image(image, crop=False)
    states, patch = getattr(output, name, None), getattr(clip_vision, "config", {}).get("patch_size")
    if not isinstance(states, Tensor) or states.ndim != 3 or not patch:
        raise UnsupportedModelError(
            "this CLIP_VISION gives no states of patches; use a CLIP, SigLIP or DINOv2 vision model, or Load Lab CLIP "
            "Vision"
        )
    pixels = getattr(output, "image_sizes", None) or [(3, clip_vision.image_size, clip_vision.image_size)]
    rows, columns = (int(side) // patch for side in pixels[0][-2:])  # SigLIP 2 keeps proportions
    if states.shape[1] < rows * columns:
        raise UnsupportedModelError(
            f"this CLIP_VISION gives {states.shape[1]} states for a picture, fewer than its {columns}x{rows} patches; "
            "use a CLIP, SigLIP or DINOv2 vision model"
        )
    return states[:, -rows * columns :].detach().float().cpu().mT.unflatten(-1, (rows, columns))


def _known(site: str, sites: Any) -> str:
    if site not in sites:
        raise ValueError(f"this CLIP_VISION has no site {shown(site)}; it has {listed(sites)}")
    return site
